/** Answers in brief, made whole again: they have numbers where the page knows the names already. Pure. */

/** @typedef {import("./types.js").MachineNow} MachineNow @typedef {import("./types.js").GraphNow} GraphNow */

/** @typedef {Pick<MachineNow, "key" | "id" | "machine" | "owner" | "peer" | "parent" | "tags">} Known what stays as it is */

/**
 * @param {{ids: number[], sets: string[][], active: number[], stale_ms: (number|null)[]|null, online: Record<string, boolean|null>}} brief
 * @param {Map<number, Known>} known
 * @returns {MachineNow[]|null} null: there is one that is not known yet
 */
export function machinesOf({ ids, sets, active, stale_ms: silent, online }, known) {
  const errors = sets.map((states) => states.includes("Exception"));
  const machines = [];
  for (const [i, id] of ids.entries()) {
    const one = known.get(id);
    if (!one) return null;
    const set = active[i];
    machines.push({
      ...one,
      active: sets[set],
      error: errors[set],
      stale_ms: silent?.[i] ?? null,
      online: online[one.peer] ?? null,
    });
  }
  return /** @type {MachineNow[]} */ (machines);
}

/**
 * @param {any} answer of the server
 * @param {Map<number, Known>} known
 * @param {string[]} asked
 * @param {string|null} open
 * @returns {GraphNow}
 */
export function graphOf({ brief, kinds, derived, truncated }, known, asked, open) {
  const peers = brief?.peers ?? [];
  /** @type {Map<number, string|null>} */
  const names = new Map(peers.map((/** @type {any} */ { peer }, /** @type {number} */ i) => [-1 - i, `p:${peer}`]));
  const name = (/** @type {number} */ id) => {
    let found = names.get(id);
    if (found === undefined) {
      const one = known.get(id);
      names.set(id, (found = one ? `m:${one.key}` : null));
    }
    return found;
  };
  const edges = Object.entries(brief?.edges ?? {}).map(([kind, numbers]) => {
    const ends = /** @type {string[]} */ ([]);
    for (let i = 0; i < numbers.length; i += 2) {
      const [a, b] = [name(numbers[i]), name(numbers[i + 1])];
      if (a !== null && b !== null) ends.push(a, b);
    }
    return { kind, ends };
  });
  const machines = new Set();
  for (const id of brief?.machines ?? []) {
    const one = known.get(id);
    if (one) machines.add(one.key);
  }
  return { peers, machines, edges, kinds, asked, open, derived, truncated };
}
