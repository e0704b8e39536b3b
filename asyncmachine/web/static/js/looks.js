/** What each machine looks like at a moment, and what states to colour by when nobody has chosen. Pure. */

/** @typedef {import("./types.js").MachineNow} MachineNow */

/** Colours there are for picked states. */
export const COLOURS = 6;
/** Nothing heard of an owner for so long may mean that something was missed, unless it is known to be alive. ms */
const SILENT = 5000;
export const IDLE = -1; // known, and none of the picked states is active
export const ABSENT = -2; // not there yet

/**
 * @typedef {Object} Look
 * @property {number} fill index of the picked state that is active, IDLE or ABSENT
 * @property {boolean} error
 * @property {boolean} stale
 * @property {boolean} offline
 * @property {boolean} gone the graph knows that it is no more
 * @property {boolean} dim a filter leaves it out
 */

/** @type {Look} */
export const NOTHING = Object.freeze({
  fill: ABSENT,
  error: false,
  stale: false,
  offline: false,
  gone: false,
  dim: false,
});

/**
 * @param {MachineNow|undefined} machine
 * @param {string[]} picks
 * @param {Set<string>|null} here keys of those that the graph has; null: it does not know
 * @param {(machine: MachineNow) => boolean} passes the filter
 * @returns {Look}
 */
export function lookOf(machine, picks, here, passes) {
  if (!machine) return NOTHING;
  return {
    fill: picks.findIndex((state) => machine.active.includes(state)),
    error: machine.error,
    stale: isStale(machine),
    offline: machine.online === false,
    gone: here !== null && !here.has(machine.key),
    dim: !passes(machine),
  };
}

/**
 * Whether a copy may be behind: an owner that is alive and has nothing new says nothing, and its copies are right.
 * @param {MachineNow} machine
 */
export function isStale({ stale_ms: silent, online }) {
  return silent !== null && silent > SILENT && online !== true;
}

/**
 * Say it in words, for a tooltip and for who listens.
 * @param {MachineNow|undefined} machine
 * @param {Look} look
 */
export function describe(machine, look) {
  if (!machine) return "not there yet";
  const marks = [];
  if (look.error) marks.push("error");
  if (look.offline) marks.push("its peer is away");
  if (look.stale) marks.push(`nothing heard for ${(Number(machine.stale_ms) / 1000).toFixed(0)} s`);
  if (look.gone) marks.push("gone");
  return [machine.active.join(", ") || "nothing is active", ...marks].join(" · ");
}

/**
 * Count, for a box or for all.
 * @param {Iterable<string|null>} keys
 * @param {Map<string, Look>} looks
 */
export function summary(keys, looks) {
  const counts = { machines: 0, idle: 0, errors: 0, stale: 0, fills: new Array(COLOURS).fill(0) };
  for (const key of keys) {
    const look = key === null ? NOTHING : (looks.get(key) ?? NOTHING);
    if (look.fill === ABSENT) continue;
    counts.machines += 1;
    counts.errors += look.error ? 1 : 0;
    counts.stale += look.stale || look.offline ? 1 : 0;
    if (look.fill === IDLE) counts.idle += 1;
    else counts.fills[look.fill] += 1;
  }
  return counts;
}

/** In how many machines is each state active? @param {Iterable<MachineNow>} machines @returns {Map<string, number>} */
export function activeCounts(machines) {
  const counts = new Map();
  for (const { active } of machines) for (const state of active) counts.set(state, (counts.get(state) ?? 0) + 1);
  return counts;
}

/**
 * Choose states that tell machines apart: one by one that which makes the colours say most (the entropy of their shares
 * grows most). The rarest comes first, as the first that is active gives the colour. Deterministic: of equals the first
 * name.
 * @param {MachineNow[]} machines
 * @param {string[]} known the states that there are, most used first
 * @returns {string[]}
 */
export function choose(machines, known) {
  const counts = activeCounts(machines);
  const rarest = (/** @type {string} */ a, /** @type {string} */ b) =>
    (counts.get(a) ?? 0) - (counts.get(b) ?? 0) || (a < b ? -1 : 1);
  const left = [...counts.keys()].filter((state) => state !== "Exception").sort();
  let chosen = /** @type {string[]} */ ([]);
  let told = 0;
  while (chosen.length < COLOURS && left.length) {
    const tried = left.map((state) => {
      const picks = [...chosen, state].sort(rarest);
      return { state, picks, told: entropy(machines, picks) };
    });
    const best = tried.reduce((most, one) => (one.told > most.told + 1e-9 ? one : most));
    if (best.told < told + 0.02) break;
    left.splice(left.indexOf(best.state), 1);
    ({ picks: chosen, told } = best);
  }
  return chosen.length ? chosen : known.filter((state) => state !== "Exception").slice(0, 1);
}

/** In bits. @param {MachineNow[]} machines @param {string[]} picks */
function entropy(machines, picks) {
  const shares = new Array(picks.length + 1).fill(0);
  for (const { active } of machines) {
    const fill = picks.findIndex((state) => active.includes(state));
    shares[fill < 0 ? picks.length : fill] += 1 / machines.length;
  }
  return shares.reduce((sum, share) => sum - (share ? share * Math.log2(share) : 0), 0);
}

/**
 * Make the filter of a view.
 * @param {{owner: string, tag: string, only: string}} view
 * @returns {(machine: MachineNow) => boolean}
 */
export function filterOf({ owner, tag, only }) {
  return (machine) =>
    (!owner || machine.peer === owner) &&
    (!tag || machine.tags.some((one) => one === tag || one.startsWith(`${tag}:`))) &&
    (!only || machine.active.includes(only));
}
