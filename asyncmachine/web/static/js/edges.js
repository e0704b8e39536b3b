/** Which edges are drawn, and from where to where: those of machines in a closed box belong to the box. Pure. */

/** @typedef {import("./types.js").GraphNow} GraphNow @typedef {import("./layout.js").Arrangement} Arrangement */

/** Kinds in the order in which they are offered, with what they are called. */
export const KINDS = Object.freeze({
  connection: "connections",
  session: "sessions",
  mesh: "mesh",
  neighbour: "neighbours",
  "pipe add": "pipes that add",
  "pipe remove": "pipes that remove",
  replica: "replicas",
  parent: "parents",
});
/** Shown unless one says otherwise. */
export const USUAL = Object.freeze(["connection", "pipe add", "pipe remove"]);
/** With more pipes than this, only those of the machine that is open are shown, unless one says otherwise. */
export const CALM = 300;
const BOTH_WAYS = new Set(["connection", "session", "mesh", "neighbour"]);

/** @typedef {{id: string, kind: string, source: string, target: string, count: number}} Drawn */

/** @param {string} kind */
export function nameOf(kind) {
  return KINDS[/** @type {keyof typeof KINDS} */ (kind)] ?? kind;
}

/** The id of what is drawn. @param {string} owner */
export const peerNode = (owner) => `p:${owner}`;
/** @param {string} key */
export const machineNode = (key) => `m:${key}`;

/** @param {string} owner @param {string} machine */
export function keyOf(owner, machine) {
  return `${owner}/${machine}`;
}

/**
 * What is known where no graph was recorded: who belongs to whom.
 * @param {import("./types.js").MachineNow[]} machines
 * @returns {GraphNow}
 */
export function derived(machines) {
  const keys = new Set(machines.map(({ key }) => key));
  const ends = [];
  for (const { key, owner, parent } of machines) {
    if (parent === null || !keys.has(keyOf(owner, parent))) continue;
    ends.push(machineNode(key), machineNode(keyOf(owner, parent)));
  }
  return {
    peers: [],
    machines: keys,
    edges: [{ kind: "parent", ends }],
    kinds: ends.length ? { parent: ends.length / 2 } : {},
    asked: Object.keys(KINDS),
    open: null,
    derived: true,
    truncated: false,
  };
}

/**
 * @param {GraphNow|null} graph
 * @param {Arrangement} arrangement
 * @param {string[]} kinds
 * @param {string|null} open a machine whose usual edges are drawn in any case
 * @returns {Drawn[]}
 */
export function drawn(graph, { boxes, places }, kinds, open = null) {
  if (!graph) return [];
  /** @type {Map<string, string|undefined>} what is drawn for an end */
  const at = new Map(boxes.map(({ owner }) => [peerNode(owner), peerNode(owner)]));
  for (const [key, { box }] of places) at.set(machineNode(key), box.collapsed ? peerNode(box.owner) : machineNode(key));
  const ofOpen = open === null ? null : machineNode(open);
  const edges = new Map();
  for (const { kind, ends } of graph.edges) {
    const isShown = kinds.includes(kind);
    if (!isShown && (ofOpen === null || !USUAL.includes(kind))) continue;
    for (let i = 0; i < ends.length; i += 2) {
      if (!isShown && ends[i] !== ofOpen && ends[i + 1] !== ofOpen) continue;
      let [a, b] = [at.get(ends[i]), at.get(ends[i + 1])];
      if (a === undefined || b === undefined || a === b) continue;
      if (BOTH_WAYS.has(kind) && a > b) [a, b] = [b, a];
      const id = `e:${kind}:${a}>${b}`;
      const known = edges.get(id);
      if (known) known.count += 1;
      else edges.set(id, { id, kind, source: a, target: b, count: 1 });
    }
  }
  return [...edges.values()];
}

/** What is shown of a graph unless one says otherwise. @param {GraphNow|null} graph @returns {string[]} */
export function usual(graph) {
  const { "pipe add": adding = 0, "pipe remove": removing = 0 } = graph?.kinds ?? {};
  return adding + removing > CALM ? USUAL.filter((kind) => !kind.startsWith("pipe")) : [...USUAL];
}

/**
 * Whether all that is to be drawn is in a graph: else it has to be asked for.
 * @param {GraphNow} graph
 * @param {string[]} kinds
 * @param {string|null} open
 */
export function covers(graph, kinds, open) {
  const has = (/** @type {string} */ kind) => graph.asked.includes(kind) || !(kind in KINDS);
  return kinds.every(has) && (open === null || open === graph.open || USUAL.every(has));
}

/**
 * Keys of the machines that a graph has, or null where it has none at all and so does not know.
 * @param {GraphNow|null} graph
 * @returns {Set<string>|null}
 */
export function present(graph) {
  return graph && !graph.derived && graph.machines.size ? graph.machines : null;
}
