/** The time bar: how much happened when, and a handle that says which moment is shown. */

import uPlot from "../vendor/uplot/uPlot.esm.js";
import { Newest } from "./api.js";
import { byId, eachFrame } from "./dom.js";
import { clockFace, duration, exact, fromMs, iso, SECOND, toMs } from "./time.js";

const SHORTEST = SECOND; // that the bar shows
const BAR = 4; // pixels for each

/** What stands below: the time, and the day where one begins. @param {any} plot @param {number[]} seconds */
function labels(plot, seconds) {
  const step = seconds.length > 1 ? seconds[1] - seconds[0] : 1;
  return seconds.map((at, i) => {
    const x = plot.valToPos(at, "x");
    const room = step < 60 ? 42 : 24;
    if (x < room || x > plot.width - room) return ""; // it would be cut
    const text = new Date(at * 1000).toISOString();
    const day = text.slice(0, 10);
    const isNew = i > 0 && day !== new Date(seconds[i - 1] * 1000).toISOString().slice(0, 10);
    if (isNew || step >= 86_400) return day;
    return step >= 60 ? text.slice(11, 16) : text.slice(11, step >= 1 ? 19 : 23);
  });
}

export class TimeBar {
  /**
   * @param {import("./world.js").World} world
   * @param {import("./theme.js").Theme} theme
   * @param {(error: Error) => void} failed
   */
  constructor(world, theme, failed) {
    this.world = world;
    this.view = world.view;
    this.theme = theme;
    this.root = byId("time-bar");
    this.handle = byId("handle");
    this.mark = byId("mark");
    this.counts = /** @type {number[]} */ ([]);
    this.errors = /** @type {number[]} */ ([]);
    this.drags = /** @type {"at"|"span"|null} */ (null);
    this.shown = /** @type {{since: bigint, until: bigint}} */ ({ since: 0n, until: 1n });
    this.loads = new Newest(
      (/** @type {any} */ asked) => world.api.get("density", asked),
      (answer, asked) => this.take(answer, asked),
      failed,
    );
    this.plot = this.makePlot();
    theme.on(() => this.plot.redraw());
    new ResizeObserver(eachFrame(() => this.resized())).observe(this.root);
    this.listen();
    this.view.on(["at", "diff"], () => this.place());
    this.view.on(["since", "until", "window"], () => this.load());
    this.lastCall = 0;
  }

  /** What the bar shows: what was asked for, or all there is. @returns {{since: bigint, until: bigint}} */
  get span() {
    const { info, last } = this.world.data.value;
    const { since, until } = this.view.value;
    const first = info?.first ? BigInt(info.first) : last - SECOND;
    const from = since ?? first;
    const to = until ?? last;
    return { since: from, until: to > from ? to : from + SHORTEST };
  }

  makePlot() {
    const text = () => this.theme.colours.names.quiet;
    return new uPlot(
      {
        width: Math.max(this.root.clientWidth, 50),
        height: this.root.clientHeight,
        padding: [6, 0, 0, 0],
        legend: { show: false },
        cursor: { show: false },
        tzDate: (/** @type {number} */ s) => uPlot.tzDate(new Date(s * 1000), "Etc/UTC"),
        scales: {
          x: { time: true, range: () => [toMs(this.shown.since) / 1000, toMs(this.shown.until) / 1000] },
          y: {
            range: (/** @type {any} */ _, /** @type {number} */ __, /** @type {number} */ most) => [
              0,
              Math.max(most, 1),
            ],
          },
        },
        axes: [
          {
            size: 19,
            gap: 2,
            space: 100,
            stroke: text,
            font: "11.5px system-ui, sans-serif",
            values: (/** @type {any} */ u, /** @type {number[]} */ at) => labels(u, at),
            grid: { stroke: () => this.theme.colours.names.line, width: 1 },
            ticks: { show: false },
          },
          { show: false },
        ],
        series: [
          {},
          {
            fill: () => this.theme.colours.names.density,
            width: 0,
            points: { show: false },
            paths: uPlot.paths.bars?.({ size: [0.82, 100], align: 1 }),
          },
        ],
        hooks: { draw: [(/** @type {any} */ u) => this.drawErrors(u)] },
      },
      [[], []],
      byId("density"),
    );
  }

  /** Errors are triangles at the foot of the bars. @param {any} u */
  drawErrors(u) {
    const c = u.ctx;
    const ratio = devicePixelRatio || 1;
    const foot = u.bbox.top + u.bbox.height;
    c.save();
    c.fillStyle = this.theme.colours.names.fault;
    this.errors.forEach((count, i) => {
      if (!count) return;
      const x = u.valToPos(u.data[0][i], "x", true) + (BAR / 2) * ratio;
      c.beginPath();
      c.moveTo(x, foot - 9 * ratio);
      c.lineTo(x + 4.5 * ratio, foot - ratio);
      c.lineTo(x - 4.5 * ratio, foot - ratio);
      c.fill();
    });
    c.restore();
  }

  resized() {
    const { clientWidth: width, clientHeight: height } = this.root;
    if (!width) return;
    this.plot.setSize({ width, height });
    this.place();
    this.load();
  }

  /** Ask how much happened when. */
  load() {
    if (!this.world.data.value.info) return;
    this.shown = this.span;
    this.plot.redraw(false, true);
    this.place();
    byId("span-length").textContent = duration(this.shown.until - this.shown.since);
    this.lastCall = performance.now();
    const buckets = Math.max(10, Math.min(Math.floor(this.root.clientWidth / BAR), 600));
    this.loads.ask({ since: this.shown.since, until: this.shown.until, buckets });
  }

  /** Let the bar grow with the time, but not for each thing that happens. */
  grow() {
    if (this.view.value.until === null && performance.now() - this.lastCall > 2000) this.load();
    else this.place();
  }

  /** @param {{since: string, until: string, counts: number[], errors: number[]}} answer @param {any} asked */
  take({ counts, errors }, asked) {
    const since = toMs(asked.since) / 1000;
    const step = (toMs(asked.until) / 1000 - since) / Math.max(counts.length, 1);
    this.errors = errors;
    this.counts = counts;
    // The root lets a single transition be seen beside a storm.
    this.plot.setData([counts.map((_, i) => since + i * step), counts.map(Math.sqrt)]);
  }

  /** Put the handle where the moment is. */
  place() {
    const { since, until } = this.shown;
    const width = this.root.clientWidth;
    const { at, diff } = this.view.value;
    const put = (/** @type {HTMLElement} */ line, /** @type {bigint|null} */ moment) => {
      const share = moment === null ? -1 : Number(moment - since) / Number(until - since);
      line.hidden = !(share >= -0.0001 && share <= 1.0001);
      line.style.transform = `translateX(${Math.min(Math.max(share, 0), 1) * width}px)`;
      return share;
    };
    const moment = this.world.moment;
    const share = put(this.handle, at ?? (this.view.value.until === null ? until : moment));
    put(this.mark, diff);
    const [day, time] = clockFace(moment);
    const clock = byId("clock");
    clock.querySelector(".day").textContent = day;
    clock.querySelector(".hour").textContent = time;
    clock.dataset.at = this.world.isLive ? "live" : String(moment);
    clock.title = `${exact(moment)} — go to a time`;
    this.root.setAttribute("aria-valuenow", String(Math.round(Math.min(Math.max(share, 0), 1) * 1000)));
    this.root.setAttribute("aria-valuetext", this.world.isLive ? `now, ${iso(moment)}` : iso(moment));
  }

  listen() {
    const root = this.root;
    root.addEventListener("pointerdown", (/** @type {PointerEvent} */ event) => {
      root.setPointerCapture(event.pointerId);
      this.drags = event.shiftKey || event.button === 1 ? "span" : "at";
      this.from = { x: event.clientX, ...this.shown };
      if (this.drags === "at") this.goTo(event.clientX);
    });
    root.addEventListener("pointermove", (/** @type {PointerEvent} */ event) => {
      if (this.drags === "at") this.goTo(event.clientX);
      else if (this.drags === "span" && this.from) {
        const { x, since, until } = this.from;
        const by = BigInt(Math.round((Number(until - since) * (x - event.clientX)) / root.clientWidth));
        this.view.set({ since: since + by, until: until + by });
      }
    });
    for (const end of ["pointerup", "pointercancel"]) root.addEventListener(end, () => (this.drags = null));
    root.addEventListener("dblclick", () => this.all());
    root.addEventListener(
      "wheel",
      (/** @type {WheelEvent} */ event) => {
        event.preventDefault();
        const share = (event.clientX - root.getBoundingClientRect().left) / root.clientWidth;
        if (Math.abs(event.deltaX) > Math.abs(event.deltaY)) this.pan(event.deltaX / root.clientWidth);
        else this.zoom(Math.exp(event.deltaY * 0.002), share);
      },
      { passive: false },
    );
    root.addEventListener("keydown", (/** @type {KeyboardEvent} */ event) => this.key(event));
    byId("span-in").addEventListener("click", () => this.zoom(0.5));
    byId("span-out").addEventListener("click", () => this.zoom(2));
    byId("span-all").addEventListener("click", () => this.all());
  }

  /** @param {KeyboardEvent} event */
  key(event) {
    const { since, until } = this.shown;
    const part = (until - since) / (event.shiftKey ? 20n : 200n) || 1n;
    /** @type {Record<string, bigint|null>} */
    const ways = {
      ArrowLeft: -part,
      ArrowDown: -part,
      ArrowRight: part,
      ArrowUp: part,
      PageDown: -(until - since) / 10n,
      PageUp: (until - since) / 10n,
    };
    if (event.key in ways) this.goBy(/** @type {bigint} */ (ways[event.key]));
    else if (event.key === "Home") this.view.set({ at: since });
    else if (event.key === "End") this.view.set({ at: this.view.value.until === null ? null : until });
    else return;
    event.preventDefault();
    event.stopPropagation();
  }

  /** @param {bigint} by */
  goBy(by) {
    const { last } = this.world.data.value;
    const at = this.world.moment + by;
    const first = BigInt(this.world.data.value.info?.first ?? 0);
    this.view.set({ at: at >= last ? null : at < first ? first : at });
  }

  /** @param {number} x of the pointer */
  goTo(x) {
    const { left, width } = this.root.getBoundingClientRect();
    const share = Math.min(Math.max((x - left) / width, 0), 1);
    const { since, until } = this.shown;
    if (share === 1 && this.view.value.until === null) this.view.set({ at: null });
    else this.view.set({ at: since + fromMs((Number(until - since) / 1e6) * share) });
  }

  /** @param {number} factor below 1: less time @param {number} [share] what stays where it is */
  zoom(factor, share) {
    const { since, until } = this.shown;
    const length = Number(until - since);
    const { info, last } = this.world.data.value;
    const first = BigInt(info?.first ?? 0);
    const most = Math.max(Number(last - first), Number(SHORTEST));
    const wanted = Math.min(Math.max(length * factor, Number(SHORTEST)), most);
    if (wanted >= most) return this.all();
    const inside = Number(this.world.moment - since) / length;
    const still = share ?? (inside >= 0 && inside <= 1 ? inside : 0.5);
    let from = since + BigInt(Math.round((length - wanted) * still));
    if (from < first) from = first;
    let to = from + BigInt(Math.round(wanted));
    if (to > last) [from, to] = [from - (to - last), last];
    this.view.set({ since: from, until: to });
  }

  /** @param {number} share of what is shown */
  pan(share) {
    const { since, until } = this.shown;
    const by = BigInt(Math.round(Number(until - since) * share));
    this.view.set({ since: since + by, until: until + by });
  }

  all() {
    this.view.set({ since: null, until: null });
  }

  /** Move the window, if the moment has left it. */
  keepInSight() {
    const { since, until } = this.view.value;
    const at = this.world.moment;
    if (since === null || until === null || (at >= since && at <= until)) return;
    const half = (until - since) / 2n;
    this.view.set({ since: at - half, until: at - half + (until - since) });
  }
}
