/** The network on the screen: cytoscape has the viewport, and moves it; all that is seen is painted here. */

import cytoscape from "../vendor/cytoscape/cytoscape.esm.min.mjs";
import { byId, eachFrame } from "./dom.js";
import { drawn, present } from "./edges.js";
import { arrange, crowded, hit, neighbour, tileAt } from "./layout.js";
import { paintEdges, place } from "./lines.js";
import { describe, filterOf, lookOf, NOTHING } from "./looks.js";
import { clear, paintBoxes, paintTiles } from "./painter.js";

/** So much wider or higher the room may become before boxes get other places: opening a panel should move none. */
const STRETCH = 1.9;
const calm = matchMedia("(prefers-reduced-motion: reduce)");

export class Canvas {
  /**
   * @param {import("./world.js").World} world
   * @param {import("./theme.js").Theme} theme
   * @param {{picks: () => string[], kinds: () => string[], pick: (key: string) => void, toggle: (owner: string) => void}} use
   */
  constructor(world, theme, use) {
    this.world = world;
    this.theme = theme;
    this.use = use;
    this.root = byId("graph");
    this.under = byId("under");
    this.over = byId("over");
    this.tip = byId("tip");
    /** @type {import("./layout.js").Arrangement} */
    this.arrangement = { boxes: [], places: new Map(), width: 0, height: 0 };
    this.looks = new Map();
    /** @type {Set<string>|null} */
    this.here = null;
    /** @type {Set<string>|null} */
    this.peersHere = null;
    this.marked = new Set();
    /** @type {Set<string>|null} */
    this.changed = null;
    this.hover = /** @type {{owner: string, key: string|null}|null} */ (null);
    this.moved = false; // by hand: then it is not fitted any more when the room changes
    this.isDue = false;
    this.due = eachFrame(() => this.isDue && this.draw());
    this.shape = 1; // of the room for which everything has its place
    this.edges = /** @type {import("./lines.js").Placed[]} */ ([]);
    this.painted = /** @type {((scene: any, port: any) => void)[]} */ ([]);
    this.cy = cytoscape({
      container: byId("cytoscape"),
      autoungrabify: true,
      autounselectify: true,
      boxSelectionEnabled: false,
      minZoom: 0.04,
      maxZoom: 9,
      style: [],
    });
    theme.on(() => this.paint());
    this.cy.on("render", () => this.draw());
    this.cy.on("tap", (/** @type {any} */ event) => this.tapped(event.position));
    this.cy.on("mousemove", (/** @type {any} */ event) => this.hovers(event.position, event.renderedPosition));
    this.root.addEventListener("pointerleave", () => this.hovers(null));
    this.cy.on("dragpan scrollzoom pinchzoom", () => {
      this.moved = true;
    });
    new ResizeObserver(eachFrame(() => this.resized())).observe(this.root);
  }

  /** Give everything its place: when machines come that were never seen, boxes open or close, or a filter changes. */
  rearrange() {
    const { view, roster, peers } = this.world;
    const { owner, tag, collapsed } = view.value;
    /** @type {Map<string, Map<string, string[]>>} machines of a kind stand together, told by the first of their tags */
    const groups = new Map([...peers.keys()].filter((one) => !owner || one === owner).map((one) => [one, new Map()]));
    const passes = filterOf({ owner, tag, only: "" });
    for (const one of roster.values()) {
      if (!passes(/** @type {any} */ (one))) continue;
      const parts = groups.get(one.peer);
      const kind = one.tags[0]?.split(":")[0] ?? "";
      if (parts?.has(kind)) parts.get(kind)?.push(one.key);
      else parts?.set(kind, [one.key]);
    }
    const name = (/** @type {string} */ one) => this.world.peerName(one);
    const list = [...groups]
      .map(([one, parts]) => ({ owner: one, parts: [...parts.values()] }))
      .filter(({ owner: one, parts }) => parts.length || (!tag && one))
      .sort(
        (a, b) => name(a.owner).localeCompare(name(b.owner), "en", { numeric: true }) || (a.owner < b.owner ? -1 : 1),
      );
    const crowd = crowded(list);
    const isCollapsed = (/** @type {string} */ one) => {
      const said = collapsed.findLast((entry) => [one, `!${one}`, "*", "!*"].includes(entry));
      return said === undefined ? crowd.has(one) : !said.startsWith("!");
    };
    const room = this.room();
    this.shape = room.width / Math.max(room.height, 1);
    this.arrangement = arrange(list, isCollapsed, room);
    byId("empty").hidden = list.length > 0;
    byId("empty").textContent = owner || tag ? "No machine passes the filter." : "Nothing is recorded here yet.";
    this.refresh();
    if (!this.moved) this.fit(false);
  }

  /** Look at the moment anew: colours, edges, who is there. */
  refresh() {
    const { network, graph } = this.world.data.value;
    const picks = this.use.picks();
    const passes = filterOf(this.world.view.value);
    this.here = present(graph);
    const peers = (graph?.peers ?? []).map(({ peer }) => peer);
    this.peersHere = peers.length ? new Set(peers) : null;
    this.looks = new Map();
    for (const key of this.arrangement.places.keys()) {
      this.looks.set(key, lookOf(network.get(key), picks, this.here, passes));
    }
    this.connect();
    this.paint();
  }

  /** Choose the edges that are drawn, and find out where they begin and end. */
  connect() {
    const { graph } = this.world.data.value;
    const edges = drawn(graph, this.arrangement, this.use.kinds(), this.world.view.value.machine);
    this.edges = place(edges, this.arrangement);
    const shown = [...this.looks.values()].filter((look) => look !== NOTHING).length;
    this.root.dataset.nodes = String(this.arrangement.boxes.length + shown);
    this.root.dataset.edges = String(edges.length);
  }

  room() {
    return { width: this.root.clientWidth, height: this.root.clientHeight };
  }

  resized() {
    this.cy.resize();
    const { width, height } = this.room();
    const ratio = width / Math.max(height, 1) / this.shape;
    if (this.moved) this.paint();
    else if (ratio > STRETCH || ratio < 1 / STRETCH) this.rearrange();
    else this.fit(false);
  }

  /** @param {boolean} [smooth] */
  fit(smooth = true) {
    const { width: w, height: h } = this.room();
    const { width, height } = this.arrangement;
    if (!w || !h || !width || !height) return;
    const margin = Math.min(28, w * 0.04);
    const zoom = Math.min((w - 2 * margin) / width, (h - 2 * margin) / height, 1.6);
    this.moved = false;
    this.go(zoom, { x: (w - width * zoom) / 2, y: (h - height * zoom) / 2 }, smooth);
  }

  /** @param {number} zoom @param {{x: number, y: number}} pan @param {boolean} smooth */
  go(zoom, pan, smooth) {
    this.cy.stop();
    if (smooth && !calm.matches) this.cy.animate({ zoom, pan }, { duration: 220 });
    else this.cy.viewport({ zoom, pan });
  }

  /** @param {number} factor */
  zoomBy(factor) {
    const { width, height } = this.room();
    this.moved = true;
    this.cy.zoom({ level: this.cy.zoom() * factor, renderedPosition: { x: width / 2, y: height / 2 } });
  }

  /** Bring a machine into sight, if it is not, and large enough to be read if asked. @param {string} key */
  show(key, close = false) {
    const place = this.arrangement.places.get(key);
    if (!place) return;
    const tile = tileAt(place.box, place.index);
    const { width, height } = this.room();
    const zoom = close ? Math.max(this.cy.zoom(), place.box.collapsed ? 3 : 1) : this.cy.zoom();
    const pan = this.cy.pan();
    const [x, y] = [(tile.x + tile.w / 2) * zoom + pan.x, (tile.y + tile.h / 2) * zoom + pan.y];
    const seen = x > 30 && y > 30 && x < width - 30 && y < height - 30;
    if (seen && zoom === this.cy.zoom()) return;
    this.moved = true;
    this.go(zoom, { x: width / 2 - (tile.x + tile.w / 2) * zoom, y: height / 2 - (tile.y + tile.h / 2) * zoom }, true);
  }

  /** @param {"left"|"right"|"up"|"down"} way @returns {string|null} */
  step(way) {
    const key = neighbour(this.arrangement, this.hover?.key ?? this.world.view.value.machine, way);
    if (key) {
      this.hover = { owner: this.arrangement.places.get(key)?.box.owner ?? "", key };
      this.show(key);
      this.paint();
    }
    return key;
  }

  /** @param {{x: number, y: number}} position */
  tapped(position) {
    const found = hit(this.arrangement, position.x, position.y);
    if (found?.key) this.use.pick(found.key);
    else if (found) this.use.toggle(found.owner);
  }

  /** @param {{x: number, y: number}|null} position @param {{x: number, y: number}} [rendered] */
  hovers(position, rendered) {
    const found = position && hit(this.arrangement, position.x, position.y);
    if (found?.key !== this.hover?.key || found?.owner !== this.hover?.owner) {
      this.hover = found;
      this.paint();
    }
    byId("cytoscape").style.cursor = found ? "pointer" : "";
    this.tip.hidden = !found?.key;
    if (!found?.key || !rendered) return;
    const text = document.createElement("strong");
    text.textContent = this.label(found.key);
    const { width } = this.room();
    this.tip.replaceChildren(text, this.told(found.key));
    this.tip.style.transform = `translate(${Math.min(rendered.x + 14, width - 290)}px, ${rendered.y + 14}px)`;
  }

  /** @param {string} key */
  told(key) {
    return describe(this.world.data.value.network.get(key), this.looks.get(key) ?? NOTHING);
  }

  /** @param {string} key */
  label(key) {
    return this.world.roster.get(key)?.machine ?? key;
  }

  /** Draw with the next frame, however often it is asked for until then. */
  paint() {
    this.isDue = true;
    this.due();
  }

  draw() {
    this.isDue = false;
    const { width, height } = this.room();
    if (!width) return;
    const port = { zoom: this.cy.zoom(), pan: this.cy.pan(), width, height };
    const scene = this.scene();
    const under = clear(this.under, port);
    paintBoxes(under, scene, port);
    paintEdges(under, this.edges, scene, port);
    paintTiles(clear(this.over, port), scene, port);
    for (const call of this.painted) call(scene, port);
  }

  /** @returns {import("./painter.js").Scene} */
  scene() {
    const { peersHere, hover } = this;
    return {
      arrangement: this.arrangement,
      looks: this.looks,
      peerName: (owner) => this.world.peerName(owner),
      label: (key) => this.label(key),
      away: (owner) => Boolean(peersHere) && Boolean(owner) && !peersHere?.has(owner),
      picked: this.world.view.value.machine,
      hovered: hover?.key ?? null,
      hoveredOwner: hover?.owner ?? null,
      marked: this.marked,
      changed: this.changed,
      colours: this.theme.colours,
    };
  }
}
