/** When each state of a machine was active, in the window of the time bar. */

import { h, svg } from "./dom.js";
import { short } from "./time.js";

/**
 * @param {{state: string, spans: {start: string, end: string|null}[]}[]} lanes
 * @param {{since: bigint, until: bigint}} span
 * @param {(state: string) => string|null} colour of a picked state
 */
export function drawLanes(lanes, { since, until }, colour) {
  const length = Number(until - since) || 1;
  const x = (/** @type {string|null} */ at) =>
    at === null ? 1000 : Math.min(Math.max((Number(BigInt(at) - since) / length) * 1000, 0), 1000);
  const rows = lanes.map(({ state, spans }) => {
    const path = spans
      .map(({ start, end }) => {
        const [a, b] = [x(start), x(end)];
        return `M${a.toFixed(1)} 0H${Math.max(b, a + 1.5).toFixed(1)}V12H${a.toFixed(1)}Z`;
      })
      .join("");
    const fill = colour(state) ?? (state === "Exception" ? "var(--wrong)" : "var(--quiet)");
    return h(
      "div.lane",
      { role: "listitem", data: { state } },
      h("span", { title: state }, state),
      svg(
        "svg",
        {
          viewBox: "0 0 1000 12",
          preserveAspectRatio: "none",
          role: "img",
          "aria-label": `${state}: active ${spans.length} times`,
        },
        path ? svg("path", { d: path, style: { fill } }) : null,
      ),
    );
  });
  return [
    h(
      "div.tracks",
      { role: "list", "aria-label": "Intervals of each state" },
      rows,
      h("div.now", { "aria-hidden": "true" }),
    ),
    h("div.ends", {}, h("span", {}, short(since, until)), h("span", {}, short(until, since))),
  ];
}

/** Put the line where the moment is. @param {HTMLElement} root @param {bigint} at @param {{since: bigint, until: bigint}} span */
export function placeNow(root, at, { since, until }) {
  const line = /** @type {HTMLElement|null} */ (root.querySelector(".now"));
  if (!line) return;
  const share = Number(at - since) / (Number(until - since) || 1);
  line.hidden = share < 0 || share > 1;
  line.style.left = `calc(100px + (100% - 100px) * ${share})`;
}
