/** Paints edges on a canvas, for the picture that cytoscape does not draw; they look like those that it draws. */

import { machineNode, peerNode } from "./edges.js";
import { tileAt } from "./layout.js";

const DASHES = /** @type {Record<string, number[]>} */ ({
  replica: [6, 3],
  mesh: [6, 3],
  neighbour: [6, 3],
  parent: [1, 2],
});
const HEADS = new Set(["pipe add", "pipe remove", "replica", "parent"]);
const MANY = 120; // edges from which on they are fainter, so that what they connect can be seen

/** @typedef {import("./types.js").Rect} Rect */

/**
 * @param {CanvasRenderingContext2D} c
 * @param {import("./edges.js").Drawn[]} edges
 * @param {import("./painter.js").Scene} scene
 * @param {import("./painter.js").Port} port
 */
export function paintEdges(c, edges, scene, port) {
  const rects = new Map(scene.arrangement.boxes.map((box) => [peerNode(box.owner), /** @type {Rect} */ (box)]));
  const rect = (/** @type {string} */ id) => {
    const place = id.startsWith("m:") ? scene.arrangement.places.get(id.slice(2)) : null;
    return place ? tileAt(place.box, place.index) : rects.get(id);
  };
  const faint = Math.max(0.14, Math.min(0.6, 0.6 * Math.sqrt(MANY / Math.max(edges.length, 1))));
  const lit = litNode(scene);
  const isAnyLit = edges.some(({ source, target }) => source === lit || target === lit);
  c.save();
  for (const { kind, source, target, count } of edges) {
    const [a, b] = [rect(source), rect(target)];
    if (!a || !b) continue;
    const [from, to] = [edge(a, b, port), edge(b, a, port)];
    const isLit = source === lit || target === lit;
    c.globalAlpha = !isAnyLit ? faint : isLit ? 1 : faint / 2;
    c.strokeStyle = c.fillStyle = scene.colours.edge(kind);
    c.lineWidth = Math.max(Math.min(1.4 + Math.log2(count) * 0.5, 5) * port.zoom, 0.5);
    c.setLineDash((DASHES[kind] ?? []).map((length) => length * port.zoom));
    c.beginPath();
    c.moveTo(from.x, from.y);
    c.lineTo(to.x, to.y);
    c.stroke();
    if (HEADS.has(kind)) paintHead(c, from, to, kind, Math.max(8 * port.zoom, 2));
  }
  c.restore();
}

/** Of the machine that is open. @param {import("./painter.js").Scene} scene */
function litNode({ picked, arrangement }) {
  const place = picked === null ? null : arrangement.places.get(picked);
  if (!place || picked === null) return null;
  return place.box.collapsed ? peerNode(place.box.owner) : machineNode(picked);
}

/** Where the line from the middle of one to the middle of another leaves it, on the screen. @param {Rect} a @param {Rect} b @param {import("./painter.js").Port} port */
function edge(a, b, { zoom, pan }) {
  const [x, y] = [a.x + a.w / 2, a.y + a.h / 2];
  const [dx, dy] = [b.x + b.w / 2 - x, b.y + b.h / 2 - y];
  const share = Math.min(a.w / 2 / (Math.abs(dx) || 1e-6), a.h / 2 / (Math.abs(dy) || 1e-6), 1);
  return { x: (x + dx * share) * zoom + pan.x, y: (y + dy * share) * zoom + pan.y };
}

/** @param {CanvasRenderingContext2D} c @param {{x: number, y: number}} from @param {{x: number, y: number}} to @param {string} kind @param {number} size */
function paintHead(c, from, to, kind, size) {
  const turn = Math.atan2(to.y - from.y, to.x - from.x);
  const point = (/** @type {number} */ along, /** @type {number} */ aside) => ({
    x: to.x + along * Math.cos(turn) - aside * Math.sin(turn),
    y: to.y + along * Math.sin(turn) + aside * Math.cos(turn),
  });
  const [left, right] =
    kind === "pipe remove" ? [point(0, -size / 2), point(0, size / 2)] : [point(-size, -size / 2), point(-size, size / 2)];
  c.setLineDash([]);
  c.beginPath();
  c.moveTo(left.x, left.y);
  if (kind !== "pipe remove") c.lineTo(to.x, to.y);
  c.lineTo(right.x, right.y);
  if (kind === "pipe remove") {
    c.lineWidth = Math.max(size / 4, 1);
    c.stroke();
  } else c.fill();
}
