/**
 * What happens now, as it happens; and whether the server is there at all. If it is away it is tried again, ever less
 * often; then the feed goes on behind the last record that came, and what was missed comes first. A browser that cannot
 * keep up is told how much it has missed, and asks anew.
 */

import { ApiError } from "./api.js";
import { byId, eachFrame, say } from "./dom.js";
import { follow } from "./events.js";

const SOONEST = 1000; // ms, until it is tried again
const LATEST = 15_000;
const MOST = 5000; // records that wait to be shown: nothing is painted while nobody sees the page

export class Feed {
  /**
   * @param {import("./world.js").World} world
   * @param {{records: (records: import("./types.js").LogRecord[]) => void, graph: () => void, gap: () => void,
   *   again: () => void, anew: () => Promise<void>}} use again: the server was away, so that answers are missing;
   *   anew: it has another history now
   */
  constructor(world, use) {
    this.world = world;
    this.use = use;
    this.state = /** @type {"none"|"opening"|"open"|"lost"} */ ("none");
    this.why = ""; // it is lost
    this.waiting = /** @type {import("./types.js").LogRecord[]} */ ([]);
    this.received = 0;
    this.missed = 0;
    this.lastId = /** @type {number|null} */ (null); // of the last event: the next feed goes on behind it
    this.newest = -1; // id of the last record
    this.pause = SOONEST;
    this.isFollowed = false;
    this.isLate = false; // records were dropped that nobody could see
    this.stop = /** @type {AbortController|null} */ (null);
    this.deliver = eachFrame(() => this.hand());
    world.view.on(["at"], (now, before) => {
      if ((now.at === null) !== (before.at === null)) {
        this.beside = 0;
        this.tell();
      }
    });
    this.beside = 0; // what has come while the past is looked at
    addEventListener("online", () => this.retry());
    document.addEventListener("visibilitychange", () => document.hidden || this.retry());
  }

  /** Begin, or begin anew with another history. */
  open() {
    this.close();
    this.lastId = null;
    this.newest = -1;
    this.waiting.length = 0;
    this.pause = SOONEST;
    this.isFollowed = Boolean(this.world.data.value.info?.live) && this.world.api.window === null;
    this.tell(this.isFollowed ? "opening" : "none");
    if (this.isFollowed) void this.listen();
  }

  /** Follow what happens, until it ends. */
  async listen() {
    const stop = new AbortController();
    this.stop = stop;
    const since = this.lastId === null ? this.world.data.value.last : null;
    try {
      const url = this.world.api.url("feed", { since });
      await follow(url, { after: this.lastId, signal: stop.signal }, (event) => this.stop === stop && this.take(event));
      if (this.stop === stop) this.lost();
    } catch (error) {
      if (this.stop !== stop) return;
      if (!(error instanceof ApiError)) console.error(error); // of this page itself
      this.lost(/** @type {any} */ (error));
    }
  }

  /** @param {import("./events.js").ServerEvent} event */
  take({ name, id, data }) {
    if (id !== null) this.lastId = id;
    if (name === "hello") this.greet();
    else if (name === "records") this.put(data.records);
    else if (name === "graph") this.use.graph();
    else if (name === "gap") {
      this.missed += data.dropped ?? 0;
      this.use.gap();
    }
  }

  /** The feed begins; whatever was asked while the server was away is asked again. */
  greet() {
    const again = this.state === "lost";
    this.pause = SOONEST;
    this.tell(this.isFollowed ? "open" : "none");
    if (!again) return;
    say(this.world.isLive ? "Connected again: this is live." : "Connected again.");
    this.use.again();
  }

  /** @param {any[]} records */
  put(records) {
    const fresh = records.filter(({ id }) => id > this.newest); // each once, whatever is told twice
    if (fresh.length) this.newest = fresh[fresh.length - 1].id;
    this.received += fresh.length;
    this.waiting.push(...fresh);
    if (this.waiting.length > MOST) {
      this.beside += this.waiting.length;
      this.waiting.length = 0;
      this.isLate = true;
    }
    this.deliver();
  }

  hand() {
    if (this.isLate) {
      this.isLate = false;
      this.use.gap();
    }
    const records = this.waiting.splice(0);
    if (!records.length) return;
    if (this.world.view.value.at !== null) this.beside += records.length;
    this.use.records(records);
    this.tell();
  }

  /** A question was not answered: if that is since the server is away, say so, and see when it is there again. @param {any} error */
  miss(error) {
    if (error.status !== 0) return false;
    if (this.state !== "lost") this.lost(error);
    return true;
  }

  /** @param {{status?: number, message?: string}} [error] */
  lost(error) {
    this.close();
    const isFirst = this.state !== "lost";
    this.why = error?.status ? (error.message ?? "") : "";
    const wait = this.pause * (0.75 + Math.random() / 2); // not all pages at the same time
    this.pause = Math.min(this.pause * 2, LATEST);
    this.timer = setTimeout(() => void this.comeBack(), wait);
    this.tell("lost");
    if (isFirst) say(this.why || "The server does not answer. As soon as it does, this page goes on.", "wrong");
  }

  /** Do not wait any longer: somebody asks for it, or the computer is in a network again. */
  retry() {
    if (this.state !== "lost" || this.stop) return;
    clearTimeout(this.timer);
    void this.comeBack();
  }

  /** See whether the server is there, and has the same history: then go on. */
  async comeBack() {
    const stop = new AbortController();
    this.stop = stop;
    const known = this.world.data.value.info;
    let info;
    try {
      info = await this.world.api.get("info");
    } catch (error) {
      if (this.stop !== stop) return;
      const { status } = /** @type {any} */ (error);
      if (status !== 404) return this.lost(/** @type {any} */ (error)); // else: a window that it has not kept
    }
    if (this.stop !== stop) return;
    if (!info || !known || info.life !== known.life) {
      this.tell("none");
      say("The server is there again, with another history.");
      await this.use.anew();
      return;
    }
    const { last } = this.world.data.value;
    this.world.data.set({ info, last: BigInt(info.last ?? 0) > last ? BigInt(info.last) : last });
    this.isFollowed = this.isFollowed || (info.live && this.world.api.window === null);
    if (this.isFollowed) await this.listen();
    else {
      this.close();
      this.greet();
    }
  }

  close() {
    clearTimeout(this.timer);
    const { stop } = this;
    this.stop = null;
    stop?.abort();
  }

  /** @param {"none"|"opening"|"open"|"lost"} [state] */
  tell(state) {
    this.state = state ?? this.state;
    const status = byId("feed-status");
    status.dataset.state = this.state;
    status.dataset.received = String(this.received);
    byId("live").dataset.feed = this.state;
    const texts = {
      none: "",
      opening: "connecting…",
      open: this.beside ? `${this.beside.toLocaleString("en")} new since` : "connected",
      lost: this.why || "connection lost, trying again…",
    };
    const text = texts[this.state];
    if (status.textContent === text) return;
    status.textContent = text;
    status.title = text;
  }
}
