/** Save what the time bar shows as one file, and look at such a file. */

import { byId, say } from "./dom.js";
import { START } from "./link.js";

export class Windows {
  /**
   * @param {import("./world.js").World} world
   * @param {import("./timebar.js").TimeBar} bar
   * @param {() => Promise<void>} reopen
   * @param {(error: Error) => void} failed
   */
  constructor(world, bar, reopen, failed) {
    this.world = world;
    this.bar = bar;
    this.reopen = reopen;
    this.failed = failed;
    byId("do-export-json").addEventListener("click", () => this.save("json"));
    byId("do-export-sqlite").addEventListener("click", () => this.save("sqlite"));
    byId("do-open").addEventListener("click", () => byId("file").click());
    byId("do-close-window").addEventListener("click", () => this.enter(null));
    byId("file").addEventListener("change", () => this.load(byId("file").files[0]));
    document.addEventListener("dragover", (event) => event.preventDefault());
    document.addEventListener("drop", (event) => {
      event.preventDefault();
      const file = event.dataTransfer?.files[0];
      if (file) void this.load(file);
    });
  }

  /** @param {"json"|"sqlite"} format */
  save(format) {
    const { since, until } = this.bar.span;
    const link = document.createElement("a");
    link.href = this.world.api.url("export", { since, until, format });
    link.download = "";
    link.click();
    say("The file holds what the time bar shows.");
  }

  /** @param {File|undefined} file */
  async load(file) {
    if (!file) return;
    try {
      const { window: id } = await this.world.api.open(file);
      await this.enter(id);
      say(`This is ${file.name}.`);
    } catch (error) {
      this.failed(/** @type {Error} */ (error));
    } finally {
      byId("file").value = "";
    }
  }

  /** @param {string|null} id null: back to all */
  async enter(id) {
    this.world.api.window = id;
    this.world.view.set({ ...START, window: id });
    await this.reopen();
  }

  tell() {
    byId("do-close-window").hidden = this.world.api.window === null;
  }
}
