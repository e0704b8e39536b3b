/** What is known of the moment that is looked at, and of the history as a whole. */

import { Newest } from "./api.js";
import { derived, keyOf } from "./edges.js";
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
   */
  constructor(api, view, failed) {
    this.api = api;
    this.view = view;
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
    /** @type {Map<string, {key: string, machine: string, owner: string, peer: string, tags: string[]}>} all, in order of arrival */
    this.roster = new Map();
    /** @type {Map<string, string>} peers that were ever seen, and how they are called */
    this.peers = new Map();
    /** @type {Map<string, string>} the machine that most of a peer's machines belong to: what one calls the peer by */
    this.heads = new Map();
    this.hasGraph = false;
    this.lastGraph = /** @type {bigint|null} */ (null);
    this.took = 0; // the last answer, ms
    this.timers = { network: 0, graph: 0 };
    this.graphs = new Newest(
      (/** @type {{at: bigint|null}} */ { at }) => this.api.get("graph", { at: at ?? this.lastGraph }),
      (graph, { at }) => this.takeGraph(graph, at),
      failed,
    );
    this.loads = new Newest(
      (/** @type {{at: bigint|null}} */ { at }) => this.ask(at),
      (result, { at }, isLast) => this.take(result, at, !isLast),
      (error) => {
        this.data.set({ busy: false });
        failed(error);
      },
    );
  }

  /** Begin, or begin anew with another window. */
  async open() {
    const at = this.view.value.at;
    const [info, everything, now] = await Promise.all([
      this.api.get("info"),
      this.api.get("network"),
      at === null ? null : this.api.get("network", { at }),
    ]);
    this.roster.clear();
    this.peers.clear();
    for (const { owner, name } of info.owners) this.peers.set(owner, name ?? "");
    this.hasGraph = info.graph.length > 0;
    this.lastGraph = info.live ? null : lastOf(info.graph);
    this.learn(everything.machines);
    this.heads = headsOf(everything.machines);
    const last = [info.last, everything.asked].map(ns).reduce((a, b) => (a === null || (b !== null && b < a) ? b : a));
    this.data.set({ info, last: last ?? 0n, graph: null });
    const network = now ?? everything;
    this.take({ network, graph: null }, at, this.hasGraph); // machines first: they can be seen while edges are on the way
    if (!this.hasGraph) return;
    const graph = await this.api.get("graph", { at: at ?? this.lastGraph });
    if (this.view.value.at === at) this.take({ network, graph: graph.derived ? null : graph }, at, this.loads.busy);
  }

  /** The moment that is shown, as a number. @returns {bigint} */
  get moment() {
    return this.view.value.at ?? this.data.value.last;
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

  /** @param {import("./types.js").GraphNow} graph @param {bigint|null} at */
  takeGraph(graph, at) {
    if (at !== this.view.value.at || graph.derived) return;
    this.hasGraph = true;
    this.meet(graph);
    const { revision } = this.data.value;
    this.data.set({ graph, revision: revision + 1, rosterSize: this.roster.size + this.peers.size });
  }

  /** @param {bigint|null} at */
  async ask(at) {
    const began = performance.now();
    const wanted = this.hasGraph ? this.api.get("graph", { at: at ?? this.lastGraph }) : null;
    const [network, graph] = await Promise.all([this.api.get("network", { at }), wanted]);
    this.took = performance.now() - began;
    return { network, graph: graph?.derived ? null : graph };
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
    for (const { kind, peer, label } of graph?.vertices ?? []) {
      if (kind !== "peer" || this.peers.get(peer)) continue;
      this.peers.set(peer, label.startsWith("…") ? "" : label); // the end of an id is no name: peerName may know better
    }
  }

  /** @param {MachineNow[]} machines */
  learn(machines) {
    for (const { key, machine, owner, peer, tags } of machines) {
      if (!this.roster.has(key)) this.roster.set(key, { key, machine, owner, peer, tags });
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

/**
 * The last moment at which a recorded graph was there: at its very end nothing is.
 * @param {{last: string}[]} lives
 * @returns {bigint|null}
 */
function lastOf(lives) {
  const last = lives.reduce((most, life) => (BigInt(life.last) > most ? BigInt(life.last) : most), 0n);
  return last ? last - 1n : null;
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
