/** Moving in time: by steps, by playing, and back to now. */

import { byId, say } from "./dom.js";
import { exact } from "./time.js";

export class Player {
  /**
   * @param {import("./world.js").World} world
   * @param {import("./timebar.js").TimeBar} bar
   * @param {() => string[]} picks
   * @param {(error: Error) => void} failed
   */
  constructor(world, bar, picks, failed) {
    this.world = world;
    this.view = world.view;
    this.bar = bar;
    this.picks = picks;
    this.failed = failed;
    this.playing = false;
    this.stepping = false;
    const on = (/** @type {string} */ id, /** @type {() => void} */ call) => byId(id).addEventListener("click", call);
    on("previous", () => this.step("previous", "transition"));
    on("next", () => this.step("next", "transition"));
    on("previous-minute", () => this.step("previous", "minute"));
    on("next-minute", () => this.step("next", "minute"));
    on("previous-change", () => this.step("previous", "change"));
    on("next-change", () => this.step("next", "change"));
    on("play", () => this.toggle());
    on("live", () => this.toEnd());
    this.view.on(["at"], () => this.tell());
  }

  tell() {
    const live = Boolean(this.world.data.value.info?.live);
    const button = byId("live");
    byId("live-text").textContent = live ? "Live" : "End";
    button.setAttribute("aria-pressed", String(this.view.value.at === null));
    button.setAttribute("aria-label", live ? "Back to now, and follow" : "To the end of the history");
    const play = byId("play");
    play.textContent = this.playing ? "❚❚" : "▶";
    play.setAttribute("aria-pressed", String(this.playing));
    play.setAttribute("aria-label", this.playing ? "Pause" : "Play");
  }

  /**
   * @param {"next"|"previous"} to
   * @param {"transition"|"minute"|"change"} by
   */
  async step(to, by) {
    if (this.stepping) return;
    this.stop();
    this.stepping = true;
    const state = this.picks()[0];
    const machine = this.view.value.machine;
    try {
      const { at } = await this.world.api.get("step", {
        at: this.world.moment,
        to,
        by,
        machine: by === "minute" ? null : machine,
        state: by === "change" ? state : null,
      });
      if (at === null) {
        const what = by === "change" ? `change of ${state}` : "transition";
        say(`There is no ${to} ${what}${machine && by !== "minute" ? " of this machine" : ""}.`);
        return;
      }
      const reached = BigInt(at);
      this.view.set({ at: reached >= this.world.data.value.last && to === "next" && by === "minute" ? null : reached });
      this.bar.keepInSight();
      byId("told").textContent = exact(this.world.moment);
    } catch (error) {
      this.failed(/** @type {Error} */ (error));
    } finally {
      this.stepping = false;
    }
  }

  toggle() {
    if (this.playing) this.stop();
    else this.play();
  }

  play() {
    const { at } = this.view.value;
    const { info, last } = this.world.data.value;
    if (at === null || at >= last) {
      if (info?.live) {
        say("This is now: it goes on by itself.");
        return;
      }
      this.view.set({ at: this.bar.span.since });
    }
    this.playing = true;
    this.tell();
    let before = performance.now();
    const tick = (/** @type {number} */ now) => {
      if (!this.playing) return;
      const passed = Math.min(now - before, 500) * Number(byId("speed").value);
      before = now;
      const next = this.world.moment + BigInt(Math.max(0, Math.round(passed * 1e6)));
      if (next >= this.world.data.value.last) {
        this.stop();
        this.view.set({ at: null });
        return;
      }
      this.view.set({ at: next });
      this.bar.keepInSight();
      requestAnimationFrame(tick);
    };
    requestAnimationFrame(tick);
  }

  stop() {
    this.playing = false;
    this.tell();
  }

  toEnd() {
    this.stop();
    this.view.set({ at: null });
  }

  /** @param {number} by */
  faster(by) {
    const speed = byId("speed");
    speed.selectedIndex = Math.min(Math.max(speed.selectedIndex + by, 0), speed.options.length - 1);
    say(`${speed.options[speed.selectedIndex].text} as fast`);
  }
}
