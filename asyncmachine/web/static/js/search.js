/** Find a machine, or a peer, by a part of its name. */

import { byId, h, replace } from "./dom.js";

const MOST = 12;

export class Search {
  /**
   * @param {import("./world.js").World} world
   * @param {import("./canvas.js").Canvas} canvas
   * @param {(key: string) => void} open
   */
  constructor(world, canvas, open) {
    this.world = world;
    this.canvas = canvas;
    this.open = open;
    this.input = byId("search");
    this.list = byId("found");
    this.found = /** @type {string[]} */ ([]);
    this.chosen = 0;
    this.input.addEventListener("input", () => this.look());
    this.input.addEventListener("focus", () => this.look());
    this.input.addEventListener("blur", () => setTimeout(() => this.hide(), 120));
    this.input.addEventListener("keydown", (/** @type {KeyboardEvent} */ event) => this.key(event));
  }

  look() {
    const wanted = this.input.value.trim().toLowerCase();
    const all = [...this.world.roster.values()].filter(({ machine }) => machine.toLowerCase().includes(wanted));
    const begins = (/** @type {{machine: string}} */ one) => (one.machine.toLowerCase().startsWith(wanted) ? 0 : 1);
    all.sort(
      (a, b) => begins(a) - begins(b) || a.machine.length - b.machine.length || (a.machine < b.machine ? -1 : 1),
    );
    this.found = wanted ? all.slice(0, MOST).map(({ key }) => key) : [];
    this.canvas.marked = new Set(wanted ? all.slice(0, 500).map(({ key }) => key) : []);
    this.canvas.paint();
    this.chosen = 0;
    this.draw(wanted ? all.length : 0, wanted);
  }

  /** @param {number} count @param {string} wanted */
  draw(count, wanted) {
    const open = wanted !== "" && document.activeElement === this.input;
    this.list.hidden = !open;
    this.input.setAttribute("aria-expanded", String(open));
    const { network } = this.world.data.value;
    const rows = this.found.map((key, i) => {
      const one = this.world.roster.get(key);
      const active = network.get(key)?.active.join(", ");
      return h(
        "li",
        {
          role: "option",
          id: `found-${i}`,
          "aria-selected": String(i === this.chosen),
          onpointerdown: (/** @type {any} */ event) => {
            event.preventDefault();
            this.take(key);
          },
        },
        h("span", {}, one?.machine),
        h("span", {}, `${this.world.peerName(one?.peer ?? "")} · ${active ?? "not there yet"}`),
      );
    });
    if (count > MOST)
      rows.push(
        h(
          "li",
          { role: "option", "aria-disabled": "true", "aria-selected": "false" },
          h("span.quiet", {}, `${(count - MOST).toLocaleString("en")} more`),
        ),
      );
    if (!count)
      rows.push(
        h(
          "li",
          { role: "option", "aria-disabled": "true", "aria-selected": "false" },
          h("span.quiet", {}, "No machine has this in its name"),
        ),
      );
    replace(this.list, rows);
    if (open && this.found.length) this.input.setAttribute("aria-activedescendant", `found-${this.chosen}`);
    else this.input.removeAttribute("aria-activedescendant");
  }

  /** @param {KeyboardEvent} event */
  key(event) {
    const by = { ArrowDown: 1, ArrowUp: -1 }[event.key];
    if (by && this.found.length) {
      this.chosen = (this.chosen + by + this.found.length) % this.found.length;
      [...this.list.children].forEach((row, i) => row.setAttribute("aria-selected", String(i === this.chosen)));
      this.input.setAttribute("aria-activedescendant", `found-${this.chosen}`);
    } else if (event.key === "Enter" && this.found[this.chosen]) this.take(this.found[this.chosen]);
    else if (event.key === "Escape") {
      this.input.value = "";
      this.look();
      byId("graph").focus({ preventScroll: true });
    } else return;
    event.preventDefault();
    event.stopPropagation();
  }

  /** @param {string} key */
  take(key) {
    this.input.value = "";
    this.canvas.marked = new Set();
    this.hide();
    this.open(key);
    this.canvas.show(key, true);
    byId("graph").focus({ preventScroll: true });
  }

  hide() {
    this.list.hidden = true;
    this.input.setAttribute("aria-expanded", "false");
  }
}
