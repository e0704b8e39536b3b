/** A value that tells who listens what of it has changed. Pure. */

/** @template {Object} T */
export class Store {
  /** @param {T} initial */
  constructor(initial) {
    /** @type {T} */
    this.value = Object.freeze({ ...initial });
    /** @type {{keys: string[], call: (value: T, before: T) => void}[]} */
    this.listeners = [];
  }

  /**
   * Change some fields, and tell those who listen to one of them. Fields that are equal already do not count.
   * @param {Partial<T>} patch
   */
  set(patch) {
    const before = this.value;
    const fields = /** @type {[string, unknown][]} */ (Object.entries(patch));
    const old = /** @type {Record<string, unknown>} */ (before);
    const changed = fields.filter(([key, one]) => !same(old[key], one)).map(([key]) => key);
    if (!changed.length) return;
    this.value = Object.freeze({ ...before, ...patch });
    for (const { keys, call } of [...this.listeners]) {
      if (!keys.length || keys.some((key) => changed.includes(key))) call(this.value, before);
    }
  }

  /**
   * Call whenever one of these fields changes; without fields, whenever anything does.
   * @param {string[]} keys
   * @param {(value: T, before: T) => void} call
   */
  on(keys, call) {
    this.listeners.push({ keys, call });
  }
}

/** @param {unknown} a @param {unknown} b @returns {boolean} */
function same(a, b) {
  if (Array.isArray(a) && Array.isArray(b)) return a.length === b.length && a.every((one, i) => one === b[i]);
  return a === b;
}
