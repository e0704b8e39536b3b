/** How cytoscape draws edges. Nodes are only where edges end: the painter draws what is to be seen of them. Pure. */

import { KINDS } from "./edges.js";

const DASHED = ["replica", "mesh", "neighbour"];
const DOTTED = ["parent"];
const DIRECTED = ["pipe add", "pipe remove", "replica", "parent"];

/**
 * @param {(kind: string) => string} colour
 * @param {number} faint opacity of an edge that is one of many
 * @returns {any[]}
 */
export function edgeStyle(colour, faint) {
  return [
    { selector: "core", style: { "active-bg-opacity": 0 } },
    { selector: "node", style: { shape: "rectangle", width: "data(w)", height: "data(h)", ...UNSEEN } },
    { selector: "edge", style: { width: "data(wide)", "curve-style": "straight", opacity: faint, ...QUIET } },
    ...Object.keys(KINDS).map((kind) => ({ selector: `edge[kind="${kind}"]`, style: styleOf(kind, colour(kind)) })),
    { selector: ".unlit", style: { opacity: faint / 2 } },
    { selector: ".lit", style: { opacity: 1 } },
  ];
}

const UNSEEN = { "background-opacity": 0, "border-width": 0, "overlay-opacity": 0 };
const QUIET = { "overlay-opacity": 0, events: "no" };

/** @param {string} kind @param {string} colour */
function styleOf(kind, colour) {
  const line = DASHED.includes(kind) ? "dashed" : DOTTED.includes(kind) ? "dotted" : "solid";
  const style = { "line-color": colour, "target-arrow-color": colour, "line-style": line };
  if (!DIRECTED.includes(kind)) return style;
  const head = kind === "pipe remove" ? "tee" : "triangle";
  return { ...style, "target-arrow-shape": head, "arrow-scale": 0.8, "curve-style": "bezier" };
}
