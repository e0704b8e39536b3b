/** What marks and lines mean, drawn by what draws them in the network. */

import { h, replace, svg } from "./dom.js";
import { ABSENT, IDLE } from "./looks.js";
import { paintTile } from "./painter.js";

const PLAIN = { fill: IDLE, error: false, stale: false, offline: false, gone: false, dim: false };
const MARKS = /** @type {[string, import("./looks.js").Look][]} */ ([
  ["no picked state is active", PLAIN],
  ["error", { ...PLAIN, error: true }],
  ["stale copy: not heard of", { ...PLAIN, stale: true }],
  ["its peer is away", { ...PLAIN, offline: true }],
  ["gone by then", { ...PLAIN, gone: true }],
  ["not there yet", { ...PLAIN, fill: ABSENT }],
]);

/** @param {Element} list @param {import("./theme.js").Colours} colours */
export function drawMarks(list, colours) {
  replace(
    list,
    MARKS.map(([text, look]) => {
      const canvas = h("canvas", { width: 52, height: 32, "aria-hidden": "true" });
      const c = canvas.getContext("2d");
      c.scale(2, 2);
      paintTile(c, { colours, label: () => "" }, { x: 4, y: 2, w: 18, h: 12 }, "", look, 1);
      return h("li", {}, canvas, text);
    }),
  );
}

/** A line as it is drawn. @param {string} kind */
export function sample(kind) {
  const dash = { replica: "4 3", mesh: "4 3", neighbour: "4 3", parent: "1.5 2.5" }[kind];
  const colour = `var(--kind-${kind.replaceAll(" ", "-")}, var(--strong-line))`;
  const ends = { "pipe add": "M20 3 L26 7 L20 11 Z", "pipe remove": "M24 2 h2 v10 h-2 Z" }[kind];
  return svg(
    "svg",
    { width: 28, height: 14, "aria-hidden": "true" },
    svg("path", { d: "M1 7 H25", style: { stroke: colour, "stroke-width": "2", "stroke-dasharray": dash ?? "none" } }),
    ends ? svg("path", { d: ends, style: { fill: colour } }) : null,
  );
}
