/** The view, as the part of the address behind the #. Pure. What is as it is by itself is left out. */

import { exact, parse } from "./time.js";

/** @type {import("./types.js").View} */
export const START = Object.freeze({
  at: null,
  machine: null,
  states: null,
  kinds: null,
  diff: null,
  collapsed: [],
  window: null,
  since: null,
  until: null,
  owner: "",
  tag: "",
  only: "",
  tab: "",
});

/** Names in the address, and the fields that they stand for. */
/** @type {Record<string, string>} */
const TIMES = { at: "at", diff: "diff", from: "since", to: "until" };
/** @type {Record<string, string>} */
const TEXTS = { m: "machine", window: "window", owner: "owner", tag: "tag", is: "only", tab: "tab" };
/** @type {Record<string, string>} */
const LISTS = { s: "states", kinds: "kinds", collapsed: "collapsed" };

/** @param {import("./types.js").View} view @returns {string} with the # */
export function toHash(view) {
  const parts = [];
  const fields = /** @type {Record<string, any>} */ (/** @type {unknown} */ (view));
  for (const [name, field] of Object.entries(TIMES))
    if (fields[field] !== null) parts.push([name, exact(fields[field])]);
  for (const [name, field] of Object.entries(TEXTS)) if (fields[field]) parts.push([name, fields[field]]);
  for (const [name, field] of Object.entries(LISTS)) {
    const list = fields[field];
    if (list !== null && !(field === "collapsed" && !list.length)) {
      parts.push([name, list.map((/** @type {string} */ one) => one.replace(/[\\,]/g, "\\$&")).join(",")]);
    }
  }
  return `#${parts.map(([name, value]) => `${name}=${encode(value)}`).join("&")}`;
}

/**
 * Read an address. What does not make sense is left out: a link from elsewhere must not break the page.
 * @param {string} hash
 * @returns {import("./types.js").View}
 */
export function fromHash(hash) {
  /** @type {Record<string, unknown>} */
  const view = { ...START };
  for (const part of hash.replace(/^#/, "").split("&")) {
    const [name, ...rest] = part.split("=");
    const value = decode(rest.join("="));
    if (name in TIMES) {
      try {
        view[TIMES[name]] = parse(value, BigInt(Date.now()) * 1_000_000n);
      } catch {
        view[TIMES[name]] = null;
      }
    } else if (name in TEXTS) view[TEXTS[name]] = value || /** @type {Record<string, any>} */ (START)[TEXTS[name]];
    else if (name in LISTS) view[LISTS[name]] = split(value);
  }
  return /** @type {import("./types.js").View} */ (/** @type {unknown} */ (view));
}

/** Keep an address readable: what may stand there as it is, does. @param {string} value */
function encode(value) {
  return encodeURIComponent(value).replace(/%(2C|2F|3A|40|5C|21)/g, (code) => decodeURIComponent(code));
}

/** @param {string} value */
function decode(value) {
  try {
    return decodeURIComponent(value);
  } catch {
    return value;
  }
}

/** Split at commas that have no backslash before them. @param {string} value */
function split(value) {
  const list = value.match(/(?:\\.|[^,\\])+/g) ?? [];
  return list.map((/** @type {string} */ one) => one.replace(/\\(.)/g, "$1"));
}
