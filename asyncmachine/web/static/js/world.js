/** What is known of the moment that is looked at, and of the history as a whole. */

import { Newest } from "./api.js";
import { graphOf, machinesOf } from "./brief.js";
import { covers, derived, keyOf, KINDS, USUAL } from "./edges.js";
import { Store } from "./store.js";
import { ns } from "./time.js";

const PAUSE = 500; // ms, at least, between two questions about now that nobody has asked for

/** @typedef {import("./types.js").MachineNow} MachineNow @typedef {import("./types.js").LogRecord} LogRecord */

/**
 * @typedef {Object} Known
 * @property {import("./types.js").Info|null} info
 * @property {Map<string, MachineNow>} network as of the moment, by key
 * @property {import("./types.js").GraphNow|null} graph
 * @property {bigint|null} asked which moment that is; null: now
 * @property {bigint} last the newest moment that is known
 * @property {number} revision grows with each change of the network
 * @property {number} rosterSize grows when machines come that were never seen
 * @property {boolean} isCut there are more machines, or edges, than an answer holds
 * @property {boolean} busy
 */

export class World {
  /**
   * @param {import("./api.js").Api} api
   * @param {Store<import("./types.js").View>} view
   * @param {(error: Error) => void} failed
   * @param {() => string[]} kinds of edges that are shown
   */
  constructor(api, view, failed, kinds) {
    this.api = api;
    this.view = view;
    this.kinds = kinds;
    /** @type {Store<Known>} */
    this.data = new Store(
      /** @type {Known} */ ({
        info: null,
        network: new Map(),
        graph: null,
        asked: null,
        last: 0n,
        revision: 0,
        rosterSize: 0,
        isCut: false,
        busy: true,
      }),
    );
    /** @type {Map<string, import("./brief.js").Known>} all, in order of arrival */
    this.roster = new Map();
    /** @type {Map<number, import("./brief.js").Known>} those that have a number */
    this.numbered = new Map();
    /** @type {Map<string, string>} peers that were ever seen, and how they are called */
    this.peers = new Map();
    /** @type {Map<string, string>} the machine that most of a peer's machines belong to: what one calls the peer by */
    this.heads = new Map();
    this.hasGraph = false;
    this.took = 0; // the last answer, ms
    this.timers = { network: 0, graph: 0 };
    this.graphs = new Newest(
      (/** @type {{at: bigint|null}} */ { at }) => this.graphAt(at),
      (graph, { at }, isLast) => this.takeGraph(graph, at, !isLast || this.loads.busy),
      (error) => {
        this.data.set({ busy: this.loads.busy });
        failed(error);
      },
    );
    this.loads = new Newest(
      (/** @type {{at: bigint|null}} */ { at }) => this.ask(at),
      (result, { at }, isLast) => this.take(result, at, !isLast || this.graphs.busy),
      (error) => {
        this.data.set({ busy: this.graphs.busy });
        failed(error);
      },
    );
  }

  /**
   * Begin, or begin anew with another window. Machines are there when it returns; edges may still be on the way.
   * @returns {Promise<{edges: Promise<void>}>}
   */
  async open() {
    const { at, machine } = this.view.value;
    this.data.set({ busy: true });
    const asked = machine === null ? this.askGraph(at) : null;
    asked?.catch(() => {}); // it is waited for below, if all else goes well
    const [info, everything, then] = await Promise.all([
      this.api.get("info"),
      this.api.get("network"),
      at === null ? null : this.api.get("network", { at, form: "brief" }),
    ]);
    this.roster.clear();
    this.numbered.clear();
    this.peers.clear();
    for (const { owner, name } of info.owners) this.peers.set(owner, name ?? "");
    this.hasGraph = info.graph.length > 0;
    this.learn(everything.machines);
    this.heads = headsOf(everything.machines);
    const last = [info.last, everything.asked].map(ns).reduce((a, b) => (a === null || (b !== null && b < a) ? b : a));
    this.data.set({ info, last: last ?? 0n, graph: null });
    const network = then === null ? everything : await this.whole(then, at);
    this.take({ network, graph: null }, at, this.hasGraph || this.loads.busy);
    return { edges: this.hasGraph ? this.connect(network, at, asked ?? this.askGraph(at)) : Promise.resolve() };
  }

  /** The edges of the beginning. @param {any} network @param {bigint|null} at @param {Promise<any>} asked */
  async connect(network, at, asked) {
    const graph = await asked;
    if (this.view.value.at !== at || this.data.value.asked !== at) return; // somebody has moved on
    this.take({ network, graph: graph(this.numbered) }, at, this.loads.busy || this.graphs.busy);
  }

  /** The moment that is shown, as a number. @returns {bigint} */
  get moment() {
    return this.view.value.at ?? this.data.value.last;
  }

  /** The machine that is open, if it has a number. @returns {string|null} */
  get opened() {
    const { machine } = this.view.value;
    return machine !== null && (this.roster.get(machine)?.id ?? null) !== null ? machine : null;
  }

  /** Whether what is shown moves on by itself. */
  get isLive() {
    return this.view.value.at === null && Boolean(this.data.value.info?.live);
  }

  /** Ask for the moment of the view. */
  reload() {
    this.data.set({ busy: true });
    this.loads.ask({ at: this.view.value.at });
  }

  /**
   * Ask anew about now, but not more often than the server answers with ease: it is part of a program with other work.
   * @param {"network"|"graph"} what
   */
  reloadSoon(what) {
    if (this.timers[what]) return;
    const pause = Math.max(PAUSE, 3 * this.took);
    this.timers[what] = setTimeout(() => {
      this.timers[what] = 0;
      if (this.view.value.at !== null) return;
      if (what === "network") this.loads.ask({ at: null });
      else this.graphs.ask({ at: null });
    }, pause);
  }

  /** Ask for edges that are to be drawn and were not asked for yet. */
  complete() {
    const { graph } = this.data.value;
    if (!graph || covers(graph, this.kinds(), this.opened)) return;
    this.data.set({ busy: true });
    this.graphs.ask({ at: this.view.value.at });
  }

  /** @param {import("./types.js").GraphNow} graph @param {bigint|null} at @param {boolean} busy */
  takeGraph(graph, at, busy) {
    if (at !== this.view.value.at || graph.derived) {
      this.data.set({ busy });
      return;
    }
    this.hasGraph = true;
    this.meet(graph);
    const { revision } = this.data.value;
    this.data.set({ graph, revision: revision + 1, rosterSize: this.roster.size + this.peers.size, busy });
  }

  /** @param {bigint|null} at */
  async ask(at) {
    const began = performance.now();
    const [network, graph] = await Promise.all([this.networkAt(at), this.hasGraph ? this.graphAt(at) : null]);
    this.took = performance.now() - began;
    return { network, graph: graph?.derived ? null : graph };
  }

  /**
   * All machines as they were at a moment. What happens now is followed by its numbers, which answers in brief have not.
   * @param {bigint|null} at
   */
  async networkAt(at) {
    if (at === null && this.data.value.info?.live) return await this.api.get("network");
    return await this.whole(await this.api.get("network", { at, form: "brief" }), at);
  }

  /** @param {any} answer in brief @param {bigint|null} at */
  async whole(answer, at) {
    const machines = machinesOf(answer.brief, this.numbered);
    return machines ? { ...answer, machines } : await this.api.get("network", { at });
  }

  /** @param {bigint|null} at */
  async graphAt(at) {
    return (await this.askGraph(at))(this.numbered);
  }

  /**
   * Ask for the edges that are shown.
   * @param {bigint|null} at
   * @returns {Promise<(known: Map<number, import("./brief.js").Known>) => import("./types.js").GraphNow>} what needs names
   */
  async askGraph(at) {
    const open = this.opened;
    const shown = this.kinds().filter((kind) => kind in KINDS);
    const kinds = shown.length ? shown : [USUAL[0]]; // none would be all
    const answer = await this.api.get("graph", { at, kinds, form: "brief", pipes: open });
    return (known) => graphOf(answer, known, kinds, open);
  }

  /** @param {{network: any, graph: any}} result @param {bigint|null} at @param {boolean} busy */
  take({ network, graph }, at, busy) {
    this.learn(network.machines);
    this.meet(graph);
    const { revision, network: before } = this.data.value;
    // What has come by the feed since the question was asked is newer than the answer.
    const newest = (/** @type {MachineNow} */ one) => {
      const known = at === null && this.isLive ? before.get(one.key) : undefined;
      return known && known.epoch === one.epoch && known.seq > one.seq ? known : one;
    };
    this.data.set({
      network: new Map(network.machines.map((/** @type {MachineNow} */ one) => [one.key, newest(one)])),
      graph: graph ?? derived(network.machines),
      asked: at,
      revision: revision + 1,
      rosterSize: this.roster.size + this.peers.size,
      isCut: Boolean(network.truncated || graph?.truncated),
      busy,
    });
  }

  /** Learn of peers, also of those that have no machines. @param {import("./types.js").GraphNow|null} graph */
  meet(graph) {
    for (const { peer, label } of graph?.peers ?? []) {
      if (this.peers.get(peer)) continue;
      this.peers.set(peer, label.startsWith("…") ? "" : label); // the end of an id is no name: peerName may know better
    }
  }

  /** @param {MachineNow[]} machines */
  learn(machines) {
    for (const { key, id, machine, owner, peer, parent, tags } of machines) {
      if (!this.roster.has(key)) {
        const one = { key, id, machine, owner, peer, parent, tags };
        this.roster.set(key, one);
        if (id !== null) this.numbered.set(id, one);
      }
      if (!this.peers.has(peer)) this.peers.set(peer, "");
    }
  }

  /** Find the key of a machine that a record names. @param {string} machine @param {string|undefined} owner */
  keyFor(machine, owner) {
    const key = keyOf(owner ?? "", machine);
    if (owner !== undefined && owner !== null && this.roster.has(key)) return key;
    return [...this.roster.values()].find((one) => one.machine === machine)?.key ?? key;
  }

  /** A name for people. @param {string} owner */
  peerName(owner) {
    const name = this.peers.get(owner) || this.heads.get(owner);
    if (name) return name;
    return owner.length > 20 ? `…${owner.slice(-8)}` : owner || "this program";
  }

  /**
   * Move on with what has just happened. Where something is missing in between, ask anew.
   * @param {LogRecord[]} records
   */
  follow(records) {
    const { network, last, revision } = this.data.value;
    const newest = records.reduce((most, { at }) => (BigInt(at) > most ? BigInt(at) : most), last);
    if (this.view.value.at !== null) {
      this.data.set({ last: newest });
      return;
    }
    let gap = false;
    for (const record of records) {
      const machine = network.get(record.key);
      if (!machine || machine.epoch !== record.epoch || record.seq > machine.seq + 1) gap = true;
      else if (record.seq === machine.seq + 1) network.set(record.key, moved(machine, record));
    }
    this.data.set({ last: newest, revision: revision + 1 });
    if (gap) this.reloadSoon("network");
  }
}

/** @param {MachineNow[]} machines @returns {Map<string, string>} */
function headsOf(machines) {
  const sizes = new Map();
  const parents = new Map();
  for (const { peer, parent } of machines) {
    sizes.set(peer, (sizes.get(peer) ?? 0) + 1);
    if (parent === null) continue;
    const mine = parents.get(peer) ?? parents.set(peer, new Map()).get(peer);
    mine.set(parent, (mine.get(parent) ?? 0) + 1);
  }
  const heads = new Map();
  for (const [peer, mine] of parents) {
    for (const [parent, count] of mine) if (count * 2 > sizes.get(peer)) heads.set(peer, parent);
  }
  return heads;
}

/** @param {MachineNow} machine @param {LogRecord} record @returns {MachineNow} */
function moved(machine, record) {
  const active = machine.active.filter((state) => !record.deactivated.includes(state));
  for (const state of record.activated) if (!active.includes(state)) active.push(state);
  return { ...machine, active, at: record.at, seq: record.seq, error: active.includes("Exception") };
}
