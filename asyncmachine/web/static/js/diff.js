/** Two moments beside each other: the network of the other one, with its edges, and what is different. */

import { Newest } from "./api.js";
import { byId, h } from "./dom.js";
import { covers, derived, drawn, present } from "./edges.js";
import { paintEdges, place } from "./lines.js";
import { describe, filterOf, lookOf, NOTHING } from "./looks.js";
import { clear, paintBoxes, paintTiles } from "./painter.js";
import { renew } from "./panel.js";
import { changes } from "./records.js";
import { duration, exact, iso } from "./time.js";
import { Twin } from "./twin.js";

const MOST = 300; // machines that are listed

export class Diff {
  /**
   * @param {import("./world.js").World} world
   * @param {import("./canvas.js").Canvas} canvas
   * @param {{picks: () => string[], kinds: () => string[], open: (key: string, at?: bigint) => void,
   *   toggle: (owner: string) => void, failed: (error: Error) => void}} use
   */
  constructor(world, canvas, use) {
    this.world = world;
    this.canvas = canvas;
    this.use = use;
    this.root = h("div");
    this.box = byId("before");
    this.network = new Map();
    this.graph = /** @type {import("./types.js").GraphNow|null} */ (null);
    this.looks = new Map();
    this.answer = /** @type {any} */ (null);
    this.networks = new Newest(
      (/** @type {bigint} */ at) =>
        Promise.all([world.networkAt(at), world.hasGraph ? world.graphAt(at) : null]),
      ([{ machines }, graph], at) => {
        if (at !== this.other) return;
        world.learn(machines);
        this.network = new Map(machines.map((/** @type {any} */ one) => [one.key, one]));
        this.graph = !graph || graph.derived ? derived(machines) : graph;
        this.shape = null;
        canvas.paint();
        this.draw();
      },
      use.failed,
    );
    this.shape = /** @type {any} */ (null); // for which edges were chosen
    this.edges = /** @type {import("./lines.js").Placed[]} */ ([]);
    new Twin(canvas, this.box, { pick: use.open, toggle: use.toggle, told: (key) => this.told(key) });
    this.loads = new Newest(
      (/** @type {{t1: bigint, t2: bigint}} */ asked) => world.api.get("diff", asked),
      (answer, asked) => this.take(answer, asked),
      use.failed,
    );
    world.view.on(["diff", "window"], () => this.loadOther());
    world.view.on(["at", "diff", "window"], () => this.load());
    world.view.on(["owner", "tag", "only"], () => this.draw());
    world.data.on(["asked"], () => this.draw());
    world.view.on(["kinds", "machine"], () => {
      if (this.graph && !covers(this.graph, use.kinds(), world.opened)) this.loadOther();
    });
    canvas.painted.push((scene, port) => this.paint(scene, port));
  }

  get other() {
    return this.world.view.value.diff;
  }

  loadOther() {
    const { other } = this;
    this.box.hidden = other === null;
    byId("after-caption").hidden = other === null;
    byId("do-diff").setAttribute("aria-pressed", String(other !== null));
    if (other !== null && this.world.data.value.info) this.networks.ask(other);
    else {
      this.canvas.changed = null;
      this.canvas.paint();
    }
  }

  load() {
    const { other } = this;
    if (other === null || !this.world.data.value.info) return;
    const { moment } = this.world;
    const [t1, t2] = other < moment ? [other, moment] : [moment, other];
    byId("before-at").textContent = iso(other);
    byId("after-at").textContent = iso(moment);
    this.box.querySelector(".tag").textContent = other <= moment ? "before" : "after";
    byId("after-caption").querySelector(".tag").textContent = other <= moment ? "after" : "before";
    this.loads.ask({ t1, t2 });
  }

  /** @param {any} answer @param {{t1: bigint, t2: bigint}} asked */
  take(answer, asked) {
    if (this.other === null) return;
    this.answer = { ...answer, ...asked };
    this.canvas.changed = new Set(answer.machines.map((/** @type {any} */ one) => one.key));
    this.canvas.paint();
    this.draw();
  }

  draw() {
    if (!this.answer || this.other === null) return;
    const { graph, unchanged } = this.answer;
    const { owner, tag, only } = this.world.view.value;
    const isNarrow = Boolean(owner || tag || only);
    const passes = filterOf(this.world.view.value);
    const now = this.world.data.value.network;
    const machines = this.answer.machines.filter(
      (/** @type {any} */ { key }) =>
        !isNarrow || [now.get(key), this.network.get(key)].some((one) => one && passes(one)),
    );
    const [t1, t2] = /** @type {bigint[]} */ ([this.answer.t1, this.answer.t2]);
    const peer = (/** @type {any} */ one) => this.world.peerName(this.world.roster.get(one.key)?.peer ?? one.owner);
    renew(
      this.root,
      h("h2", {}, `${machines.length.toLocaleString("en")} machine${machines.length === 1 ? "" : "s"} changed`),
      h(
        "p.sub",
        {},
        `${exact(t1)} to ${exact(t2)}, ${duration(t2 - t1)} · `,
        isNarrow
          ? `${(this.answer.machines.length - machines.length).toLocaleString("en")} more do not pass the filter`
          : `${Number(unchanged).toLocaleString("en")} are as they were`,
      ),
      h(
        "ul.rows",
        { id: "diff", "aria-label": "Machines that changed", data: { machines: machines.length } },
        machines
          .slice(0, MOST)
          .map((/** @type {any} */ one) =>
            h(
              "li",
              { data: { key: one.key } },
              h(
                "button.plain",
                { type: "button", data: { f: one.key }, onclick: () => this.use.open(one.key) },
                h("span.when", {}, h("span", {}, `${one.machine}${one.new ? " · new" : ""}`), h("span", {}, peer(one))),
                h("span", {}, changes(one, "")),
                ticks(one.ticks),
              ),
            ),
          ),
      ),
      machines.length > MOST ? h("p.quiet", {}, `and ${machines.length - MOST} more`) : null,
      this.answer.truncated ? h("p.quiet", {}, "There is more than an answer holds.") : null,
      graph ? this.parts("Came into the graph", graph.came, "came") : null,
      graph ? this.parts("Went out of the graph", graph.went, "went") : null,
    );
  }

  /** @param {string} title @param {any[]} list @param {string} how */
  parts(title, list, how) {
    if (!list.length) return [];
    const text = (/** @type {any} */ one) => `${one.kind} ${one.label}`;
    return [
      h("h3", {}, `${title}: ${list.length}`),
      h(
        "ul",
        {},
        list.slice(0, 60).map((one) => h(`li.${how}`, {}, text(one))),
      ),
      list.length > 60 ? h("p.quiet", {}, `and ${list.length - 60} more`) : null,
    ];
  }

  /** The other moment's network, where everything stands in the same place. @param {any} scene @param {any} port */
  paint(scene, port) {
    if (this.other === null) return;
    const canvas = /** @type {HTMLCanvasElement} */ (this.box.querySelector("canvas"));
    this.choose(scene);
    const mine = { ...port, width: this.box.clientWidth, height: this.box.clientHeight };
    const peers = new Set((this.graph?.peers ?? []).map(({ peer }) => peer));
    const away = (/** @type {string} */ owner) => peers.size > 0 && Boolean(owner) && !peers.has(owner);
    const other = { ...scene, looks: this.looks, away };
    const context = clear(canvas, mine);
    paintBoxes(context, other, mine);
    paintEdges(context, this.edges, other, mine);
    paintTiles(context, other, mine);
  }

  /** Choose colours and edges, if anything has changed that they depend on: moving the picture changes nothing. @param {any} scene */
  choose(scene) {
    const { view } = this.world;
    const now = [scene.arrangement, view.value, this.use.picks().join("\n"), this.use.kinds().join("\n")];
    if (this.shape?.every((/** @type {unknown} */ one, /** @type {number} */ i) => one === now[i])) return;
    this.shape = now;
    const picks = this.use.picks();
    const passes = filterOf(view.value);
    const here = present(this.graph);
    this.looks = new Map();
    for (const key of scene.arrangement.places.keys())
      this.looks.set(key, lookOf(this.network.get(key), picks, here, passes));
    const edges = drawn(this.graph, scene.arrangement, this.use.kinds(), view.value.machine);
    this.edges = place(edges, scene.arrangement);
  }

  /** The same, for who does not see it, if two moments are compared. @param {string} key */
  toldBeside(key) {
    if (this.other === null) return "";
    return `; ${this.other <= this.world.moment ? "before" : "after"}: ${this.told(key)}`;
  }

  /** What a machine was like in the other moment. @param {string} key */
  told(key) {
    return describe(this.network.get(key), this.looks.get(key) ?? NOTHING);
  }
}

/** @param {Record<string, number>} by */
function ticks(by) {
  const list = Object.entries(by ?? {}).filter(([, count]) => count > 1);
  return list.length ? h("span.quiet", {}, list.map(([state, count]) => `${state} ${count} ticks`).join(", ")) : null;
}
