/** Paints edges on a canvas: between boxes and machines, for both pictures. */

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

const APART = 9; // from each other of several between the same two

/** @typedef {import("./types.js").Rect} Rect @typedef {{x: number, y: number}} Point */
/** @typedef {import("./edges.js").Drawn & {from: Point, to: Point, wide: number}} Placed */

/**
 * Find out where edges begin and end: it stays the same while the picture is moved.
 * @param {import("./edges.js").Drawn[]} edges
 * @param {import("./layout.js").Arrangement} arrangement
 * @returns {Placed[]} those of a kind one after the other
 */
export function place(edges, { boxes, places }) {
  /** @type {Map<string, Rect>} */
  const rects = new Map(boxes.map((box) => [peerNode(box.owner), box]));
  for (const { source, target } of edges) {
    for (const id of [source, target]) {
      const at = rects.has(id) ? undefined : places.get(id.slice(2));
      if (at) rects.set(id, tileAt(at.box, at.index));
    }
  }
  const pair = (/** @type {import("./edges.js").Drawn} */ { source: a, target: b }) => (a < b ? `${a}>${b}` : `${b}>${a}`);
  /** @type {Map<string, number>} how many there are between two */
  const many = new Map();
  for (const edge of edges) many.set(pair(edge), (many.get(pair(edge)) ?? 0) + 1);
  /** @type {Map<string, number>} */
  const seen = new Map();
  const placed = [];
  for (const edge of edges) {
    const [a, b] = [rects.get(edge.source), rects.get(edge.target)];
    if (!a || !b) continue;
    const between = pair(edge);
    const index = seen.get(between) ?? 0;
    seen.set(between, index + 1);
    const shift = (index - ((many.get(between) ?? 1) - 1) / 2) * APART * (edge.source < edge.target ? 1 : -1);
    const wide = Math.min(1.4 + Math.log2(edge.count) * 0.5, 5);
    placed.push({ ...edge, from: end(a, b, shift), to: end(b, a, -shift), wide });
  }
  return placed;
}

/** Where the line from the middle of one to the middle of another leaves it. @param {Rect} a @param {Rect} b @param {number} shift aside */
function end(a, b, shift) {
  const [x, y] = [a.x + a.w / 2, a.y + a.h / 2];
  const [dx, dy] = [b.x + b.w / 2 - x, b.y + b.h / 2 - y];
  const share = Math.min(a.w / 2 / (Math.abs(dx) || 1e-6), a.h / 2 / (Math.abs(dy) || 1e-6), 1);
  const far = shift / (Math.hypot(dx, dy) || 1);
  return { x: x + dx * share - dy * far, y: y + dy * share + dx * far };
}

/**
 * @param {CanvasRenderingContext2D} c
 * @param {Placed[]} edges
 * @param {import("./painter.js").Scene} scene
 * @param {import("./painter.js").Port} port
 */
export function paintEdges(c, edges, scene, port) {
  const { zoom, pan, width, height } = port;
  const faint = Math.max(0.14, Math.min(0.6, 0.6 * Math.sqrt(MANY / Math.max(edges.length, 1))));
  const lit = litNode(scene);
  const isAnyLit = lit !== null && edges.some(({ source, target }) => source === lit || target === lit);
  const head = Math.max(8 * zoom, 2);
  let last = "";
  c.save();
  for (const { kind, source, target, from, to, wide } of edges) {
    const [x1, y1, x2, y2] = [from.x * zoom + pan.x, from.y * zoom + pan.y, to.x * zoom + pan.x, to.y * zoom + pan.y];
    if (Math.max(x1, x2) < 0 || Math.max(y1, y2) < 0 || Math.min(x1, x2) > width || Math.min(y1, y2) > height) continue;
    if (kind !== last) {
      last = kind;
      c.strokeStyle = c.fillStyle = scene.colours.edge(kind);
      c.setLineDash((DASHES[kind] ?? []).map((length) => length * zoom));
    }
    c.globalAlpha = !isAnyLit ? faint : source === lit || target === lit ? 1 : faint / 2;
    c.lineWidth = Math.max(wide * zoom, 0.5);
    c.beginPath();
    c.moveTo(x1, y1);
    c.lineTo(x2, y2);
    c.stroke();
    if (!HEADS.has(kind)) continue;
    paintHead(c, { x: x1, y: y1 }, { x: x2, y: y2 }, kind, head);
    if (DASHES[kind]) last = ""; // heads are not dashed
  }
  c.restore();
}

/** Of the machine that is open. @param {import("./painter.js").Scene} scene */
function litNode({ picked, arrangement }) {
  const place = picked === null ? null : arrangement.places.get(picked);
  if (!place || picked === null) return null;
  return place.box.collapsed ? peerNode(place.box.owner) : machineNode(picked);
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
  const isTee = kind === "pipe remove";
  if (DASHES[kind]) c.setLineDash([]);
  c.beginPath();
  c.moveTo(left.x, left.y);
  if (!isTee) c.lineTo(to.x, to.y);
  c.lineTo(right.x, right.y);
  if (isTee) {
    c.lineWidth = Math.max(size / 4, 1);
    c.stroke();
  } else c.fill();
}
