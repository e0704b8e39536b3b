/** Dark or light, and the colours of the style sheet for what is painted. */

import { COLOURS } from "./looks.js";

const KEY = "asyncmachine.theme";
const dark = matchMedia("(prefers-color-scheme: dark)");

/**
 * @typedef {Object} Colours
 * @property {string[]} fills
 * @property {Record<string, string>} names
 * @property {(kind: string) => string} edge
 */

/** @returns {Colours} */
function read() {
  const style = getComputedStyle(document.documentElement);
  const get = (/** @type {string} */ name) => style.getPropertyValue(`--${name}`).trim();
  const wanted = [
    "ground",
    "surface",
    "line",
    "strong-line",
    "ink",
    "quiet",
    "accent",
    "wrong",
    "fault",
    "stale",
    "box",
    "box-line",
    "idle",
    "idle-ink",
    "absent",
    "on-fill",
    "density",
    "accent-soft",
  ];
  return {
    fills: Array.from({ length: COLOURS }, (_, i) => get(`fill-${i}`)),
    names: Object.fromEntries(wanted.map((name) => [name, get(name)])),
    edge: (kind) => get(`kind-${kind.replaceAll(" ", "-")}`) || get("strong-line"),
  };
}

export class Theme {
  constructor() {
    /** @type {(() => void)[]} */
    this.listeners = [];
    /** @type {Colours} */
    this.colours = read();
    this.apply();
    dark.addEventListener("change", () => this.apply());
  }

  /** What was chosen by hand, if anything. @returns {string|null} */
  get chosen() {
    try {
      return localStorage.getItem(KEY);
    } catch {
      return null; // a browser that keeps nothing
    }
  }

  apply() {
    document.documentElement.dataset.theme = this.chosen ?? (dark.matches ? "dark" : "light");
    this.colours = read();
    for (const call of this.listeners) call();
  }

  toggle() {
    const next = document.documentElement.dataset.theme === "dark" ? "light" : "dark";
    try {
      if (next === (dark.matches ? "dark" : "light")) localStorage.removeItem(KEY);
      else localStorage.setItem(KEY, next);
    } catch {
      // it lasts as long as the page, then
    }
    this.apply();
    if (document.documentElement.dataset.theme !== next) {
      document.documentElement.dataset.theme = next;
      this.colours = read();
      for (const call of this.listeners) call();
    }
  }

  /** @param {() => void} call */
  on(call) {
    this.listeners.push(call);
  }
}
