/** What happens now, as it happens. A browser that cannot keep up is told how much it has missed, and asks anew. */

import { byId, eachFrame } from "./dom.js";

const SOONEST = 1000; // ms, until it is tried again
const LATEST = 15_000;

export class Feed {
  /**
   * @param {import("./world.js").World} world
   * @param {{records: (records: import("./types.js").LogRecord[]) => void, graph: () => void, gap: () => void}} use
   */
  constructor(world, use) {
    this.world = world;
    this.use = use;
    this.source = /** @type {EventSource|null} */ (null);
    this.state = /** @type {"none"|"opening"|"open"|"lost"} */ ("none");
    this.waiting = /** @type {import("./types.js").LogRecord[]} */ ([]);
    this.received = 0;
    this.missed = 0;
    this.pause = SOONEST;
    this.deliver = eachFrame(() => this.hand());
    world.view.on(["at"], (now, before) => {
      if ((now.at === null) !== (before.at === null)) {
        this.beside = 0;
        this.tell();
      }
    });
    this.beside = 0; // what has come while the past is looked at
  }

  /** Begin, or begin anew, if this is a program that runs. */
  open() {
    this.close();
    if (!this.world.data.value.info?.live || this.world.api.window !== null) {
      this.tell("none");
      return;
    }
    this.tell("opening");
    const source = new EventSource(this.world.api.url("feed", { since: this.world.data.value.last }));
    this.source = source;
    source.addEventListener("hello", () => {
      const again = this.state === "lost";
      this.pause = SOONEST;
      this.tell("open");
      if (again) this.use.gap();
    });
    source.addEventListener("records", (event) => {
      const { records } = JSON.parse(event.data);
      this.received += records.length;
      this.waiting.push(...records);
      this.deliver();
    });
    source.addEventListener("graph", () => this.use.graph());
    source.addEventListener("gap", (event) => {
      this.missed += JSON.parse(event.data).dropped ?? 0;
      this.use.gap();
    });
    source.onerror = () => this.lost();
  }

  /** The browser would try by itself, but not after each kind of end, and not less often with time. */
  lost() {
    this.close();
    this.tell("lost");
    this.timer = setTimeout(() => this.open(), this.pause);
    this.pause = Math.min(this.pause * 2, LATEST);
  }

  close() {
    clearTimeout(this.timer);
    this.source?.close();
    this.source = null;
  }

  hand() {
    const records = this.waiting.splice(0);
    if (!records.length) return;
    if (this.world.view.value.at !== null) this.beside += records.length;
    this.use.records(records);
    this.tell();
  }

  /** @param {"none"|"opening"|"open"|"lost"} [state] */
  tell(state) {
    // After a loss it is lost until the server has said hello again.
    this.state = state === "opening" && this.state === "lost" ? "lost" : (state ?? this.state);
    const status = byId("feed-status");
    status.dataset.state = this.state;
    status.dataset.received = String(this.received);
    const texts = {
      none: "",
      opening: "connecting…",
      open: this.beside ? `${this.beside.toLocaleString("en")} new since` : "connected",
      lost: "connection lost, trying again…",
    };
    if (status.textContent !== texts[this.state]) status.textContent = texts[this.state];
  }
}
