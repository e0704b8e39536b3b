/** The keyboard, and the help that says what it does. Both are made of one table. */

import { byId, h, replace } from "./dom.js";

/** @typedef {{keys: string[], text: string, call: () => void}} Command */

export class Keys {
  /** @param {{title: string, commands: Command[]}[]} groups */
  constructor(groups) {
    this.groups = groups;
    this.byKey = new Map(
      groups.flatMap(({ commands }) => commands.flatMap(({ keys, call }) => keys.map((key) => [key, call]))),
    );
    document.addEventListener("keydown", (event) => this.press(event));
    byId("do-help").addEventListener("click", () => this.help());
  }

  /** Say what keys do that stand in the table in pairs. @param {Record<string, () => void>} calls */
  bind(calls) {
    for (const [key, call] of Object.entries(calls)) this.byKey.set(key, call);
  }

  /** @param {KeyboardEvent} event */
  press(event) {
    const target = /** @type {HTMLElement} */ (event.target);
    if (event.ctrlKey || event.metaKey || event.altKey || event.defaultPrevented) return;
    const inside = target.closest("input:not([type=checkbox]), select, textarea, dialog");
    if (inside && event.key !== "Escape") return;
    if (event.key === " " && target.closest("button, summary, input, [role=tab]")) return;
    if (document.querySelector("dialog[open]")) return;
    const call = this.byKey.get(event.key);
    if (!call) return;
    event.preventDefault();
    call();
  }

  help() {
    const dialog = byId("help");
    const name = (/** @type {string} */ key) => ({ " ": "Space", ArrowLeft: "←" })[key] ?? key;
    replace(
      dialog,
      h(
        "form.head",
        { method: "dialog" },
        h("h2", { id: "help-title" }, "Keyboard and help"),
        h("button.main", { autofocus: true }, "Close"),
      ),
      h(
        "p.quiet",
        {},
        "Each box is a peer, and each tile in it a machine, in a place that stays. Click a tile to open it, and the head of a box to fold it. Drag the time bar: everything is as of then.",
      ),
      this.groups.map(({ title, commands }) => [
        h("h3", {}, title),
        h(
          "dl",
          {},
          commands.flatMap(({ keys, text }) => [
            h(
              "dt",
              {},
              keys.map((key) => [h("kbd", {}, name(key)), " "]),
            ),
            h("dd", {}, text),
          ]),
        ),
      ]),
      h("h3", {}, "In the network"),
      h(
        "dl",
        {},
        h("dt", {}, h("kbd", {}, "← ↑ ↓ →")),
        h("dd", {}, "from machine to machine"),
        h("dt", {}, h("kbd", {}, "Enter")),
        h("dd", {}, "open it"),
      ),
      h("h3", {}, "On the time bar"),
      h(
        "dl",
        {},
        h("dt", {}, h("kbd", {}, "← →")),
        h("dd", {}, "a little; with Shift, more"),
        h("dt", {}, h("kbd", {}, "Home"), " ", h("kbd", {}, "End")),
        h("dd", {}, "to its ends"),
        h("dt", {}, "wheel"),
        h("dd", {}, "show less time, or more"),
        h("dt", {}, "Shift and drag"),
        h("dd", {}, "move what it shows"),
      ),
    );
    dialog.showModal();
  }
}
