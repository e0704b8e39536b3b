/** Find a machine, a peer, a state or a tag by a part of its name, and go there. */

import { byId, h, replace } from "./dom.js";

const MOST = 14; // that are listed
const EACH = 3; // of a kind, at least, if there are so many
const RINGS = 500; // machines that are marked in the picture

/** @typedef {"machine"|"peer"|"state"|"tag"} Kind */
/** @typedef {{kind: Kind, key: string, name: string, rank: number}} Found rank: 0 it is that, 1 begins so, 2 has it in it */

const TITLES = /** @type {Record<Kind, string>} */ ({
  machine: "Machines",
  peer: "Peers",
  state: "States",
  tag: "Tags",
});

/**
 * Choose what is listed: of each kind the best ones, and the kind first that has the best one. Pure.
 * @param {Record<Kind, {key: string, name: string}[]>} all
 * @param {string} wanted in small letters
 * @returns {{list: Found[], counts: Record<Kind, number>}}
 */
export function choose(all, wanted) {
  const kinds = /** @type {Kind[]} */ (Object.keys(TITLES));
  const counts = /** @type {Record<Kind, number>} */ ({});
  const groups = kinds.map((kind) => {
    /** @type {Found[]} */
    const found = [];
    for (const { key, name } of all[kind]) {
      const at = name.toLowerCase().indexOf(wanted);
      if (at >= 0) found.push({ kind, key, name, rank: at ? 2 : name.length === wanted.length ? 0 : 1 });
    }
    counts[kind] = found.length;
    return found.sort((a, b) => a.rank - b.rank || a.name.length - b.name.length || (a.name < b.name ? -1 : 1));
  });
  groups.sort((a, b) => (a[0]?.rank ?? 3) - (b[0]?.rank ?? 3)); // those that are equal stay in order
  let room = MOST - groups.reduce((sum, { length }) => sum + Math.min(length, EACH), 0);
  const list = groups.flatMap((group) => {
    const more = Math.min(Math.max(group.length - EACH, 0), room);
    room -= more;
    return group.slice(0, EACH + more);
  });
  return { list, counts };
}

export class Search {
  /**
   * @param {import("./world.js").World} world
   * @param {import("./canvas.js").Canvas} canvas
   * @param {{open: (key: string) => void, picks: () => string[], pickStates: (picks: string[]) => void}} use
   */
  constructor(world, canvas, use) {
    this.world = world;
    this.canvas = canvas;
    this.use = use;
    this.input = byId("search");
    this.list = byId("found");
    this.found = /** @type {Found[]} */ ([]);
    this.chosen = 0;
    this.input.addEventListener("input", () => this.look());
    this.input.addEventListener("focus", () => this.look());
    this.input.addEventListener("blur", () => setTimeout(() => this.hide(), 120));
    this.input.addEventListener("keydown", (/** @type {KeyboardEvent} */ event) => this.key(event));
  }

  /** What can be found. @returns {Record<Kind, {key: string, name: string}[]>} */
  all() {
    const { roster, peers, data } = this.world;
    const tags = new Set();
    for (const one of roster.values()) {
      for (const tag of one.tags) {
        tags.add(tag);
        if (tag.includes(":")) tags.add(tag.slice(0, tag.indexOf(":")));
      }
    }
    const named = (/** @type {string} */ name) => ({ key: name, name });
    return {
      machine: [...roster.values()].map(({ key, machine }) => ({ key, name: machine })),
      peer: [...peers.keys()].map((key) => ({ key, name: this.world.peerName(key) })),
      state: (data.value.info?.states ?? []).map(({ name }) => named(name)),
      tag: [...tags].map(named),
    };
  }

  look() {
    const wanted = this.input.value.trim().toLowerCase();
    const { list, counts } = wanted ? choose(this.all(), wanted) : { list: [], counts: null };
    this.found = list;
    this.chosen = 0;
    const marked = [...this.world.roster.values()].filter(({ machine }) => machine.toLowerCase().includes(wanted));
    this.canvas.marked = new Set(wanted && marked.length <= RINGS ? marked.map(({ key }) => key) : []);
    this.canvas.paint();
    this.draw(counts);
  }

  /** @param {Record<Kind, number>|null} counts null: nothing was asked for */
  draw(counts) {
    const open = counts !== null && document.activeElement === this.input;
    this.list.hidden = !open;
    this.input.setAttribute("aria-expanded", String(open));
    const kinds = [...new Set(this.found.map(({ kind }) => kind))];
    replace(
      this.list,
      kinds.map((kind) => {
        const mine = this.found.filter((one) => one.kind === kind);
        const more = (counts?.[kind] ?? 0) - mine.length;
        return h(
          "li",
          { role: "group", "aria-label": TITLES[kind] },
          h(
            "p",
            { "aria-hidden": "true" },
            TITLES[kind],
            more > 0 ? h("span", {}, ` and ${more.toLocaleString("en")} more`) : null,
          ),
          mine.map((one) => this.row(one)),
        );
      }),
    );
    if (open && !this.found.length)
      replace(
        this.list,
        h(
          "li",
          { role: "option", "aria-disabled": "true", "aria-selected": "false" },
          h("span.quiet", {}, "Nothing has this in its name"),
        ),
      );
    if (open) byId("told").textContent = this.count(counts);
    this.point();
  }

  /** @param {Found} one */
  row(one) {
    const at = this.found.indexOf(one);
    return h(
      "div",
      {
        role: "option",
        id: `found-${at}`,
        data: { kind: one.kind },
        onpointerdown: (/** @type {any} */ event) => {
          event.preventDefault();
          this.take(one);
        },
      },
      h("span", {}, one.name),
      h("span", {}, this.told(one)),
    );
  }

  /** @param {Record<Kind, number>|null} counts */
  count(counts) {
    const parts = Object.entries(counts ?? {}).filter(([, count]) => count);
    const words = parts.map(([kind, count]) => `${count.toLocaleString("en")} ${kind}${count > 1 ? "s" : ""}`);
    return words.join(", ") || "Nothing has this in its name";
  }

  /** What stands beside the name. @param {Found} one */
  told({ kind, key }) {
    const { network, info } = this.world.data.value;
    const many = (/** @type {number} */ count) => `${count.toLocaleString("en")} machine${count === 1 ? "" : "s"}`;
    const machines = [...this.world.roster.values()];
    if (kind === "peer") return many(machines.filter(({ peer }) => peer === key).length);
    if (kind === "state") {
      const now = [...network.values()].filter(({ active }) => active.includes(key)).length;
      return `active in ${now.toLocaleString("en")} of ${many(info?.states.find(({ name }) => name === key)?.machines ?? 0)}`;
    }
    if (kind === "tag")
      return many(machines.filter(({ tags }) => tags.some((tag) => tag === key || tag.startsWith(`${key}:`))).length);
    const peer = this.world.peerName(this.world.roster.get(key)?.peer ?? "");
    return `${peer} · ${network.get(key)?.active.join(", ") ?? "not there yet"}`;
  }

  /** Say which one Enter takes. */
  point() {
    for (const row of this.list.querySelectorAll('[role="option"][id]'))
      row.setAttribute("aria-selected", String(row.id === `found-${this.chosen}`));
    if (!this.list.hidden && this.found.length) {
      this.input.setAttribute("aria-activedescendant", `found-${this.chosen}`);
      byId(`found-${this.chosen}`).scrollIntoView({ block: "nearest" });
    } else this.input.removeAttribute("aria-activedescendant");
  }

  /** @param {KeyboardEvent} event */
  key(event) {
    const by = { ArrowDown: 1, ArrowUp: -1 }[event.key];
    if (by && this.found.length) {
      this.chosen = (this.chosen + by + this.found.length) % this.found.length;
      this.point();
    } else if (event.key === "Enter" && this.found[this.chosen]) this.take(this.found[this.chosen]);
    else if (event.key === "Escape") {
      this.input.value = "";
      this.look();
      byId("graph").focus({ preventScroll: true });
    } else return;
    event.preventDefault();
    event.stopPropagation();
  }

  /** Go there. @param {Found} one */
  take(one) {
    const told = `${one.name}: ${this.told(one)}`;
    this.input.value = "";
    this.canvas.marked = new Set();
    this.hide();
    if (one.kind === "machine") this.takeMachine(one.key);
    else if (one.kind === "peer") this.takePeer(one.key);
    else if (one.kind === "state")
      this.use.pickStates([one.key, ...this.use.picks().filter((state) => state !== one.key)]);
    else this.world.view.set({ tag: one.key });
    byId("graph").focus({ preventScroll: true });
    if (one.kind !== "machine") byId("told").textContent = told;
  }

  /** @param {string} key */
  takeMachine(key) {
    if (!this.canvas.arrangement.places.has(key)) this.world.view.set({ owner: "", tag: "" }); // a filter hides it
    this.use.open(key);
    this.canvas.show(key, true);
  }

  /** Let the box of a peer fill the picture; the arrow keys go on from its first machine. @param {string} owner */
  takePeer(owner) {
    const { canvas } = this;
    const find = () => canvas.arrangement.boxes.find((box) => box.owner === owner);
    if (!find()) this.world.view.set({ owner: "", tag: "" });
    const box = find();
    if (!box) return;
    const { width, height } = canvas.room();
    const zoom = Math.min((width - 40) / box.w, (height - 40) / box.h, 2);
    const [x, y] = [box.x + box.w / 2, box.y + box.h / 2];
    canvas.moved = true;
    canvas.go(zoom, { x: width / 2 - x * zoom, y: height / 2 - y * zoom }, true);
    canvas.hover = { owner, key: box.keys.find((key) => key !== null) ?? null };
    canvas.paint();
  }

  hide() {
    this.list.hidden = true;
    this.input.setAttribute("aria-expanded", "false");
    this.input.removeAttribute("aria-activedescendant");
  }
}
