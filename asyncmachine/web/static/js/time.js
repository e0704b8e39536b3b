/** Times: ns since 1970 as BigInt, in and out of text. Pure. */

export const MS = 1_000_000n;
export const SECOND = 1_000_000_000n;
export const MINUTE = 60n * SECOND;
/** @type {Record<string, bigint>} */
const UNITS = { ms: MS, s: SECOND, m: MINUTE, h: 60n * MINUTE, d: 1440n * MINUTE, w: 10080n * MINUTE };
const ISO = /^(\d{4}-\d\d-\d\d)(?:[T ](\d\d:\d\d)(?::(\d\d)(?:\.(\d{1,9}))?)?)?\s*(Z|UTC|[+-]\d\d:?\d\d)?$/i;
const AGO = /^((?:\d+(?:ms|s|m|h|d|w))+)\s*ago$/;

/** @param {bigint} ns @returns {number} ms since 1970, with a fraction */
export function toMs(ns) {
  return Number(ns / 1000n) / 1000;
}

/** @param {number} ms @returns {bigint} */
export function fromMs(ms) {
  return BigInt(Math.round(ms * 1000)) * 1000n;
}

/** @param {string|null|undefined} text a decimal string of an answer @returns {bigint|null} */
export function ns(text) {
  return text === null || text === undefined ? null : BigInt(text);
}

/**
 * Write a time as ISO 8601 in UTC.
 * @param {bigint} at
 * @param {number} [digits] of the fraction of a second, 0 to 9
 */
export function iso(at, digits = 3) {
  const second = at / SECOND;
  const text = new Date(Number(second) * 1000).toISOString().slice(0, 19);
  const fraction = (at % SECOND).toString().padStart(9, "0").slice(0, digits);
  return `${text}${digits ? `.${fraction}` : ""}Z`;
}

/** Write a time exactly, and as short as that allows. @param {bigint} at */
export function exact(at) {
  const fraction = (at % SECOND).toString().padStart(9, "0").replace(/0+$/, "");
  return fraction ? iso(at, fraction.length) : iso(at, 0);
}

/** Write a time as the clock of the page shows it. @param {bigint} at @returns {[string, string]} the day, the time */
export function clockFace(at) {
  const text = iso(at);
  return [text.slice(0, 10), text.slice(11, -1)];
}

/** Write a time within a day, or with the day where that is another one. @param {bigint} at @param {bigint} beside */
export function short(at, beside) {
  const [day, time] = clockFace(at);
  return day === clockFace(beside)[0] ? time : `${day} ${time.slice(0, 8)}`;
}

/**
 * Read what a person types: ISO 8601 (UTC, unless it names a zone), ns since 1970, "now", or "5m ago".
 * @param {string} text
 * @param {bigint} now
 * @returns {bigint}
 */
export function parse(text, now) {
  const typed = text.trim();
  if (/^\d{15,19}$/.test(typed)) return BigInt(typed);
  if (typed === "now") return now;
  const ago = AGO.exec(typed);
  if (ago) {
    let back = 0n;
    for (const [, count, unit] of ago[1].matchAll(/(\d+)(ms|s|m|h|d|w)/g)) back += BigInt(count) * UNITS[unit];
    return now - back;
  }
  const found = ISO.exec(typed);
  const zone = (found?.[5] ?? "Z").toUpperCase().replace("UTC", "Z");
  const ms = found ? Date.parse(`${found[1]}T${found[2] ?? "00:00"}:${found[3] ?? "00"}${zone}`) : NaN;
  if (Number.isNaN(ms)) {
    throw new RangeError(`“${text}” is no time: write 2013-02-09T02:00Z, 5m ago or now`);
  }
  return BigInt(ms) * MS + BigInt((found?.[4] ?? "").padEnd(9, "0"));
}

/** Write a length of time in its two largest units. @param {bigint} length */
export function duration(length) {
  const whole = length < 0n ? -length : length;
  const left = whole < SECOND ? whole : ((whole + MS / 2n) / MS) * MS; // a ns below two minutes is two minutes
  if (left < MS) return `${(Number(left) / 1e3).toFixed(0)} µs`;
  if (left < SECOND) return `${(Number(left) / 1e6).toFixed(0)} ms`;
  if (left < MINUTE) return `${(Number(left) / 1e9).toFixed(left < 10n * SECOND ? 1 : 0)} s`;
  /** @type {[string, bigint][]} */
  const steps = [
    ["d", UNITS.d],
    ["h", UNITS.h],
    ["min", MINUTE],
    ["s", SECOND],
  ];
  const first = steps.findIndex(([, unit]) => left >= unit);
  const [big, small] = [steps[first], steps[first + 1]];
  const rest = small ? (left % big[1]) / small[1] : 0n;
  return `${left / big[1]} ${big[0]}${rest ? ` ${rest} ${small[0]}` : ""}`;
}

/** @param {bigint} at @param {bigint} now */
export function ago(at, now) {
  return at > now ? `in ${duration(at - now)}` : `${duration(now - at)} ago`;
}
