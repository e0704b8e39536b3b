/** What happened up to the moment that is shown, the newest first. */

import { Newest } from "./api.js";
import { h } from "./dom.js";
import { renew } from "./panel.js";
import { row } from "./records.js";

const PAGE = 60;

export class Log {
  /**
   * @param {import("./world.js").World} world
   * @param {{picks: () => string[], open: (key: string, at?: bigint) => void, failed: (error: Error) => void}} use
   */
  constructor(world, use) {
    this.world = world;
    this.use = use;
    this.records = /** @type {any[]} */ ([]);
    this.after = /** @type {string|null} */ (null);
    this.list = h("ul.rows", { id: "log", "aria-label": "Transitions, the newest first" });
    this.mine = h("input", { type: "checkbox", id: "log-mine", onchange: () => this.load() });
    this.state = h(
      "select",
      { id: "log-state", "aria-label": "Changes of a state", onchange: () => this.load() },
      h("option", { value: "" }, "any state"),
    );
    this.more = h(
      "button",
      { type: "button", hidden: true, onclick: () => this.loads.ask({ after: this.after }) },
      "Earlier",
    );
    this.root = h(
      "div",
      {},
      h("div.options", {}, h("label", { for: "log-mine" }, this.mine, "of this machine only"), this.state),
      this.list,
      this.more,
    );
    this.loads = new Newest(
      (/** @type {{after: string|null}} */ { after }) => this.ask(after),
      (answer, { after }) => this.take(answer, after),
      use.failed,
    );
    world.view.on(["at", "tab", "machine", "window"], () => this.load());
  }

  get isOpen() {
    return this.world.view.value.tab === "log";
  }

  /** States to choose from. */
  refill() {
    const chosen = this.state.value;
    const names = (this.world.data.value.info?.states ?? []).map(({ name }) => name);
    renew(
      this.state,
      h("option", { value: "" }, "any state"),
      names.map((name) => h("option", { value: name }, name)),
    );
    this.state.value = chosen;
  }

  load() {
    if (this.isOpen && this.world.data.value.info) this.loads.ask({ after: null });
  }

  /** @param {string|null} after */
  ask(after) {
    const { at, machine } = this.world.view.value;
    const mine = this.mine.checked && machine ? machine : null;
    return this.world.api.get("log", {
      machine: mine,
      state: this.state.value,
      until: at,
      order: "newest",
      limit: PAGE,
      after,
    });
  }

  /** @param {{records: any[], after: string|null}} answer @param {string|null} after */
  take({ records, after: next }, after) {
    this.records = after === null ? records : [...this.records, ...records];
    this.after = next;
    this.draw();
  }

  draw() {
    this.mine.disabled = !this.world.view.value.machine;
    this.more.hidden = this.after === null;
    const at = this.world.moment;
    renew(
      this.list,
      this.records.map((record) => {
        const key = record.key ?? this.world.keyFor(record.machine, record.owner);
        return row(record, {
          at,
          name: record.machine,
          peer: this.world.peerName(this.world.roster.get(key)?.peer ?? record.owner),
          go: () => this.use.open(key, BigInt(record.at)),
          isNow: BigInt(record.at) === at,
          focus: `${record.id}`,
        });
      }),
    );
    if (!this.records.length) renew(this.list, h("li.quiet", {}, "Nothing happened up to here."));
  }
}
