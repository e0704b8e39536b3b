/**
 * Paints boxes and what is in them on a canvas. Boxes lie below the edges and machines above, so there are two calls,
 * and both get the same scene. It knows no page and no cytoscape: the picture of another moment is painted by it, too.
 */

import { PAD, tileAt } from "./layout.js";
import { ABSENT, IDLE, NOTHING, summary } from "./looks.js";

/** @typedef {import("./types.js").Box} Box @typedef {import("./looks.js").Look} Look */

/**
 * @typedef {Object} Scene
 * @property {import("./layout.js").Arrangement} arrangement
 * @property {Map<string, Look>} looks
 * @property {(owner: string) => string} peerName
 * @property {(key: string) => string} label
 * @property {(owner: string) => boolean} away the peer is not there at that moment
 * @property {string|null} picked key of the machine that is open
 * @property {string|null} hovered
 * @property {string|null} hoveredOwner
 * @property {Set<string>} marked those that were searched for
 * @property {Set<string>|null} changed between two moments: all others stand back
 * @property {import("./theme.js").Colours} colours
 *
 * @typedef {Object} Port
 * @property {number} zoom
 * @property {{x: number, y: number}} pan
 * @property {number} width
 * @property {number} height
 */

const RINGS = 60; // with more of them nothing could be seen
const FONT = 'system-ui, -apple-system, "Segoe UI", Roboto, "Noto Sans", "DejaVu Sans", sans-serif';

/** Make a canvas as large as its element, and empty. @param {HTMLCanvasElement} canvas @param {Port} port */
export function clear(canvas, port) {
  const ratio = Math.min(window.devicePixelRatio || 1, 2);
  const [w, h] = [Math.round(port.width * ratio), Math.round(port.height * ratio)];
  if (canvas.width !== w || canvas.height !== h) [canvas.width, canvas.height] = [w, h];
  const context = /** @type {CanvasRenderingContext2D} */ (canvas.getContext("2d"));
  context.setTransform(ratio, 0, 0, ratio, 0, 0);
  context.clearRect(0, 0, port.width, port.height);
  return context;
}

/** @param {Port} port @param {import("./types.js").Rect} rect */
function onScreen({ zoom, pan }, rect) {
  return { x: rect.x * zoom + pan.x, y: rect.y * zoom + pan.y, w: rect.w * zoom, h: rect.h * zoom };
}

/** @param {Port} port @param {{x: number, y: number, w: number, h: number}} r */
function isSeen(port, r) {
  return r.x + r.w > -8 && r.y + r.h > -8 && r.x < port.width + 8 && r.y < port.height + 8;
}

/** @param {CanvasRenderingContext2D} c @param {Scene} scene @param {Port} port */
export function paintBoxes(c, scene, port) {
  const { names } = scene.colours;
  for (const box of scene.arrangement.boxes) {
    const r = onScreen(port, box);
    if (!isSeen(port, r)) continue;
    c.beginPath();
    c.roundRect(r.x, r.y, r.w, r.h, Math.min(12 * port.zoom, 12));
    c.fillStyle = names.box;
    c.fill();
    const hovered = scene.hoveredOwner === box.owner;
    c.strokeStyle = hovered ? names["strong-line"] : names["box-line"];
    c.lineWidth = hovered ? 1.5 : 1;
    c.setLineDash(scene.away(box.owner) ? [5, 4] : []);
    c.stroke();
    c.setLineDash([]);
    paintHead(c, scene, port, box, r);
  }
}

/** @param {CanvasRenderingContext2D} c @param {Scene} scene @param {Port} port @param {Box} box @param {any} r */
function paintHead(c, scene, port, box, r) {
  const { names, fills } = scene.colours;
  const head = box.head * port.zoom;
  if (r.w < 46) return;
  const counts = summary(box.keys, scene.looks);
  const pad = Math.max(PAD * port.zoom, 4);
  const size = Math.max(10.5, Math.min(15 * port.zoom, 19));
  const middle = r.y + Math.max(head * 0.38, size * 0.72);
  c.textBaseline = "middle";
  const small = Math.max(10, size * 0.82);
  c.font = `400 ${small}px ${FONT}`;
  const marks = [];
  if (counts.errors) marks.push([`▲ ${counts.errors}`, names.wrong]);
  if (counts.stale) marks.push([`◔ ${counts.stale}`, names.stale]);
  const total = box.size ? `${counts.machines.toLocaleString("en")}` : "no machines";
  marks.push([scene.away(box.owner) ? "away" : total, names.quiet]);
  if (box.size) marks.push([box.collapsed ? "▸" : "▾", names.quiet]);
  let right = r.x + r.w - pad;
  if (r.w > 84) {
    c.textAlign = "right";
    for (const [text, colour] of marks.reverse()) {
      c.fillStyle = colour;
      c.fillText(text, right, middle);
      right -= c.measureText(text).width + small * 0.6;
    }
  }
  c.textAlign = "left";
  c.font = `650 ${size}px ${FONT}`;
  c.fillStyle = names.ink;
  c.fillText(fitted(c, scene.peerName(box.owner), right - r.x - pad), r.x + pad, middle);
  paintShares(c, counts, fills, names, {
    x: r.x + pad,
    y: r.y + head * 0.74,
    w: r.w - 2 * pad,
    h: Math.max(2, 4 * port.zoom),
  });
}

/** A bar of what is active, in the colours of the picked states. */
function paintShares(
  /** @type {any} */ c,
  /** @type {any} */ counts,
  /** @type {string[]} */ fills,
  /** @type {any} */ names,
  /** @type {any} */ r,
) {
  if (!counts.machines) return;
  let x = r.x;
  for (const [i, count] of [...counts.fills, counts.idle].entries()) {
    const w = (r.w * count) / counts.machines;
    c.fillStyle = fills[i] ?? names.idle;
    c.fillRect(x, r.y, w, r.h);
    x += w;
  }
}

/** @param {CanvasRenderingContext2D} c @param {Scene} scene @param {Port} port */
export function paintTiles(c, scene, port) {
  c.textBaseline = "middle";
  c.textAlign = "left";
  for (const box of scene.arrangement.boxes) {
    if (!isSeen(port, onScreen(port, box))) continue;
    box.keys.forEach((key, index) => {
      if (key === null) return;
      const r = onScreen(port, tileAt(box, index));
      if (!isSeen(port, r)) return;
      const look = scene.looks.get(key) ?? NOTHING;
      const stands = scene.changed === null || scene.changed.has(key);
      paintTile(c, scene, r, key, stands ? look : { ...look, dim: true }, port.zoom);
    });
  }
  c.globalAlpha = 1;
  if (scene.marked.size <= RINGS)
    for (const key of scene.marked) ring(c, scene, port, key, scene.colours.names.ink, 1.5, []);
  if (scene.hovered) ring(c, scene, port, scene.hovered, scene.colours.names["strong-line"], 2, []);
  if (scene.picked) ring(c, scene, port, scene.picked, scene.colours.names.accent, 3, []);
}

/**
 * @param {CanvasRenderingContext2D} c
 * @param {Pick<Scene, "colours" | "label">} scene
 * @param {{x: number, y: number, w: number, h: number}} r
 * @param {string} key
 * @param {Look} look
 * @param {number} zoom
 */
export function paintTile(c, scene, r, key, look, zoom) {
  const { names, fills } = scene.colours;
  c.globalAlpha = look.dim ? 0.14 : look.offline ? 0.55 : 1;
  const rounded = r.h > 9;
  if (look.fill === ABSENT) {
    c.fillStyle = names.absent;
    if (r.w > 24) c.fillRect(r.x + 2, r.y + r.h / 2 - 0.5, r.w - 4, 1);
    else c.fillRect(r.x + r.w * 0.38, r.y + r.h * 0.38, r.w * 0.24, r.h * 0.24);
    return;
  }
  const colour = look.fill === IDLE ? names.idle : fills[look.fill];
  const outline = (/** @type {number} */ inset) => {
    c.beginPath();
    if (rounded) c.roundRect(r.x + inset, r.y + inset, r.w - 2 * inset, r.h - 2 * inset, Math.min(5, r.h * 0.28));
    else c.rect(r.x + inset, r.y + inset, r.w - 2 * inset, r.h - 2 * inset);
  };
  const thin = Math.max(1, Math.min(1.5, zoom * 1.5));
  if (look.gone && !rounded) {
    c.globalAlpha *= 0.4; // there is no room for a frame
    outline(0);
    c.fillStyle = colour;
    c.fill();
    c.globalAlpha = look.dim ? 0.14 : 1;
  } else if (look.gone) {
    outline(thin / 2);
    c.strokeStyle = look.fill === IDLE ? names["box-line"] : colour;
    c.lineWidth = thin;
    c.stroke();
  } else {
    outline(0);
    c.fillStyle = colour;
    c.fill();
  }
  if (look.stale || look.offline) {
    outline(thin / 2);
    c.setLineDash(look.offline ? [1.5, 2] : [3, 2]);
    c.strokeStyle = names.stale;
    c.lineWidth = Math.max(1.5, Math.min(2, zoom * 2));
    c.stroke();
    c.setLineDash([]);
  }
  const text = r.w > 40 && r.h > 10.5;
  let left = r.x + Math.min(6, r.w * 0.08);
  if (look.error) left = paintError(c, names, r, text) ?? left;
  if (!text) return;
  const size = Math.min(r.w > r.h * 2 ? r.h * 0.55 : r.h * 0.22, 15);
  if (size < 7) return;
  c.font = `500 ${size}px ${FONT}`;
  c.fillStyle = look.gone ? names.quiet : look.fill === IDLE ? names["idle-ink"] : names["on-fill"];
  c.fillText(fitted(c, scene.label(key), r.x + r.w - left - 3), left, r.y + r.h / 2 + 0.5);
}

/** An error is a frame and a triangle, not only a colour. */
function paintError(/** @type {any} */ c, /** @type {any} */ names, /** @type {any} */ r, /** @type {boolean} */ text) {
  c.globalAlpha = 1;
  c.strokeStyle = names.fault;
  c.lineWidth = 2;
  c.strokeRect(r.x - 1.5, r.y - 1.5, r.w + 3, r.h + 3);
  const size = text ? r.h * 0.62 : Math.max(Math.min(r.w, r.h) * 0.9, 4);
  const [x, y] = [text ? r.x + 4 : r.x + (r.w - size) / 2, r.y + (r.h - size) / 2];
  c.beginPath();
  c.moveTo(x + size / 2, y);
  c.lineTo(x + size, y + size);
  c.lineTo(x, y + size);
  c.closePath();
  c.fillStyle = names.surface;
  c.fill();
  c.fillStyle = names.fault;
  c.lineWidth = 1;
  c.stroke();
  c.fill();
  return text ? x + size + 4 : null;
}

/** @param {CanvasRenderingContext2D} c @param {Scene} scene @param {Port} port @param {string} key @param {string} colour @param {number} width @param {number[]} dash */
function ring(c, scene, port, key, colour, width, dash) {
  const place = scene.arrangement.places.get(key);
  if (!place) return;
  const r = onScreen(port, tileAt(place.box, place.index));
  const out = width / 2 + 1.5;
  c.beginPath();
  c.roundRect(r.x - out, r.y - out, r.w + 2 * out, r.h + 2 * out, Math.min(8, 3 + r.h * 0.28));
  c.setLineDash(dash);
  c.strokeStyle = colour;
  c.lineWidth = width;
  c.stroke();
  c.setLineDash([]);
}

/** Cut a text to a width. @param {CanvasRenderingContext2D} c @param {string} text @param {number} width */
function fitted(c, text, width) {
  if (width < 8) return "";
  if (c.measureText(text).width <= width) return text;
  let [low, high] = [0, text.length];
  while (low < high) {
    const half = (low + high + 1) >> 1;
    if (c.measureText(`${text.slice(0, half)}…`).width <= width) low = half;
    else high = half - 1;
  }
  return low ? `${text.slice(0, low)}…` : "";
}
