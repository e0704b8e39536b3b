/** The frame of what stands at the right: which of its tabs is open. */

import { byId, h, replace } from "./dom.js";

/** @typedef {{id: "machine"|"log"|"diff", title: string, root: HTMLElement, isThere: () => boolean, close?: () => void}} Tab */

export class Panel {
  /**
   * @param {import("./store.js").Store<import("./types.js").View>} view
   * @param {Tab[]} tabs
   */
  constructor(view, tabs) {
    this.view = view;
    this.tabs = tabs;
    this.root = byId("panel");
    this.shape = ""; // which tabs there are, so that they are made anew only when that changes
    this.list = h("div", {
      role: "tablist",
      "aria-label": "Details",
      onkeydown: (/** @type {any} */ event) => this.key(event),
    });
    for (const { id, root } of tabs) {
      root.id = `tab-${id}`;
      root.setAttribute("role", "tabpanel");
      root.setAttribute("aria-labelledby", `title-${id}`);
      root.tabIndex = 0;
    }
    const close = h(
      "button.icon",
      {
        id: "panel-close",
        type: "button",
        "aria-label": "Close the details",
        "aria-keyshortcuts": "Escape",
        onclick: () => this.close(),
      },
      "×",
    );
    replace(
      this.root,
      h("div.tabs", {}, this.list, close),
      tabs.map(({ root }) => root),
    ); // the button is none of the tabs
    view.on(["tab", "machine", "diff"], () => this.refresh());
    this.refresh();
  }

  refresh() {
    const { tab } = this.view.value;
    const there = this.tabs.filter((one) => one.isThere() || one.id === tab);
    const open = there.find(({ id }) => id === tab);
    this.root.hidden = !open;
    for (const one of this.tabs) one.root.hidden = one !== open;
    const shape = there.map(({ id }) => `${id}${id === tab}`).join();
    if (this.shape === shape) return;
    this.shape = shape;
    const hadFocus = this.list.contains(document.activeElement);
    replace(
      this.list,
      there.map((one) =>
        h(
          "button",
          {
            type: "button",
            role: "tab",
            id: `title-${one.id}`,
            "aria-selected": String(one === open),
            "aria-controls": `tab-${one.id}`,
            tabindex: one === open ? "0" : "-1",
            onclick: () => this.view.set({ tab: one.id }),
          },
          one.title,
        ),
      ),
    );
    if (hadFocus) /** @type {any} */ (this.list.querySelector('[aria-selected="true"]'))?.focus();
  }

  /** @param {KeyboardEvent} event */
  key(event) {
    const step = { ArrowRight: 1, ArrowLeft: -1 }[event.key];
    if (!step) return;
    const there = this.tabs.filter((one) => one.isThere() || one.id === this.view.value.tab);
    const now = there.findIndex(({ id }) => id === this.view.value.tab);
    this.view.set({ tab: there[(now + step + there.length) % there.length].id });
    /** @type {any} */ (this.list.querySelector('[aria-selected="true"]'))?.focus();
    event.preventDefault();
    event.stopPropagation();
  }

  /** Close what is open. */
  close() {
    const { tab } = this.view.value;
    this.tabs.find(({ id }) => id === tab)?.close?.();
    this.view.set({ tab: "" });
    byId("graph").focus({ preventScroll: true });
  }
}

/**
 * Put new content in place, and leave the keyboard where it was: by the `data-f` of what had the focus.
 * @param {Element} root
 * @param {...any} children
 */
export function renew(root, ...children) {
  const focused = /** @type {any} */ (root.contains(document.activeElement) ? document.activeElement : null)?.dataset
    ?.f;
  replace(root, ...children);
  if (focused)
    /** @type {any} */ (root.querySelector(`[data-f="${CSS.escape(focused)}"]`))?.focus({ preventScroll: true });
}
