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

/**
 * Say for each vertex of a graph what is drawn for it.
 * @param {GraphNow} graph
 * @param {Arrangement} arrangement
 * @returns {Map<string, string>}
 */
function ends(graph, { boxes, places }) {
  const peers = new Set(boxes.map(({ owner }) => owner));
  const found = new Map();
  for (const { id, kind, peer, key } of graph.vertices) {
    if (kind === "peer") {
      if (peers.has(peer)) found.set(id, peerNode(peer));
      continue;
    }
    const place = key ? places.get(key) : undefined;
    if (place && key) found.set(id, place.box.collapsed ? peerNode(place.box.owner) : machineNode(key));
  }
  return found;
}

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
  const edges = [];
  for (const { key, owner, parent } of machines) {
    if (parent === null || !keys.has(keyOf(owner, parent))) continue;
    edges.push({ id: `parent|${key}`, kind: "parent", source: key, target: keyOf(owner, parent) });
  }
  const vertices = machines.map(({ key, peer, machine }) => ({
    id: key,
    kind: "machine",
    peer,
    machine,
    key,
    label: machine,
  }));
  return { vertices, edges, kinds: { parent: edges.length }, derived: true };
}

/**
 * @param {GraphNow|null} graph
 * @param {Arrangement} arrangement
 * @param {string[]} kinds
 * @param {string|null} open a machine whose usual edges are drawn in any case
 * @returns {Drawn[]}
 */
export function drawn(graph, arrangement, kinds, open = null) {
  if (!graph) return [];
  const at = ends(graph, arrangement);
  const ofOpen = open === null ? null : graph.vertices.find(({ kind, key }) => kind === "machine" && key === open)?.id;
  const edges = new Map();
  for (const { kind, source, target } of graph.edges) {
    let [a, b] = [at.get(source), at.get(target)];
    const wanted = kinds.includes(kind) || (ofOpen && USUAL.includes(kind) && (source === ofOpen || target === ofOpen));
    if (!wanted || a === undefined || b === undefined || a === b) continue;
    if (BOTH_WAYS.has(kind) && a > b) [a, b] = [b, a];
    const id = `e:${kind}:${a}>${b}`;
    const known = edges.get(id);
    if (known) known.count += 1;
    else edges.set(id, { id, kind, source: a, target: b, count: 1 });
  }
  return [...edges.values()];
}

/** What is shown of a graph unless one says otherwise. @param {GraphNow|null} graph @returns {string[]} */
export function usual(graph) {
  const pipes = (graph?.edges ?? []).filter(({ kind }) => kind.startsWith("pipe"));
  return pipes.length > CALM ? USUAL.filter((kind) => !kind.startsWith("pipe")) : [...USUAL];
}

/**
 * Keys of the machines that a graph has, or null where it has none at all and so does not know.
 * @param {GraphNow|null} graph
 * @returns {Set<string>|null}
 */
export function present(graph) {
  if (!graph || graph.derived) return null;
  const keys = new Set();
  for (const { kind, key } of graph.vertices) if (kind === "machine" && key) keys.add(key);
  return keys.size ? keys : null;
}
