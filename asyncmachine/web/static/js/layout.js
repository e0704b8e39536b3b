/**
 * Where everything is drawn: a box for each peer, and in it a place for each machine. Pure.
 *
 * A machine keeps its place while time moves: places are given in the order in which machines came into the history, and
 * machines that are not there yet leave theirs empty. Boxes stand in shelves; of several widths the one is taken that
 * makes everything largest on the screen.
 */

/** @typedef {import("./types.js").Box} Box @typedef {import("./types.js").Rect} Rect */

export const OPEN = Object.freeze({ w: 78, h: 20, gap: 6 });
export const CLOSED = Object.freeze({ w: 10, h: 10, gap: 2 });
const HEAD = 46; // of a box, for its name and its summary
const READABLE = 21; // pixels of a head, at least, when all is fitted into the room; heads grow to have them
const TALLEST = 130;
export const PAD = 12;
const SPACE = 34; // between boxes
const NARROWEST = 190;
const SHAPES = [0.7, 1, 1.45, 2]; // width of a box by its height

/** How many tiles there may be before boxes close by themselves. */
export const MANY = 300;
export const MOST = 1500;

/**
 * Machines of a box, in parts: each begins in a row of its own.
 * @typedef {{owner: string, parts: string[][]}} Group
 *
 * @typedef {Object} Arrangement
 * @property {Box[]} boxes
 * @property {Map<string, {box: Box, index: number}>} places by key of the machine
 * @property {number} width
 * @property {number} height
 */

/**
 * @param {Group[]} groups in order
 * @param {(owner: string) => boolean} isCollapsed
 * @param {{width: number, height: number}} room that there is, in pixels
 * @returns {Arrangement}
 */
export function arrange(groups, isCollapsed, room) {
  const first = best(groups, isCollapsed, room, HEAD);
  const head = Math.min(Math.max(READABLE / Math.max(first.scale * room.height, 1e-6), HEAD), TALLEST);
  const { boxes, width, height } = head > HEAD ? best(groups, isCollapsed, room, head) : first;
  const places = new Map();
  for (const box of boxes) box.keys.forEach((key, index) => key !== null && places.set(key, { box, index }));
  return { boxes, places, width, height };
}

/**
 * Tell which boxes close by themselves: those with many machines, and the largest until the rest is not too many.
 * @param {Group[]} groups
 * @returns {Set<string>}
 */
export function crowded(groups) {
  const sizes = groups.map(({ owner, parts }) => ({ owner, size: parts.flat().length }));
  const closed = new Set(sizes.filter(({ size }) => size > MANY).map(({ owner }) => owner));
  const open = sizes.filter(({ owner }) => !closed.has(owner)).sort((a, b) => b.size - a.size);
  let left = open.reduce((sum, { size }) => sum + size, 0);
  for (const { owner, size } of open) {
    if (left <= MOST) break;
    closed.add(owner);
    left -= size;
  }
  return closed;
}

/** Of several shapes of boxes take the one that makes everything largest. `scale` is for a room of height 1. */
function best(
  /** @type {Group[]} */ groups,
  /** @type {(owner: string) => boolean} */ isCollapsed,
  /** @type {any} */ room,
  /** @type {number} */ head,
) {
  const aspect = room.width / Math.max(room.height, 1);
  const tried = SHAPES.map((shape) => {
    const boxes = groups.map(({ owner, parts }) => makeBox(owner, parts, isCollapsed(owner), shape, head));
    return { boxes, ...shelve(boxes, aspect) };
  });
  return tried.reduce((most, one) => (one.scale > most.scale * 1.02 ? one : most));
}

/** @param {string} owner @param {string[][]} parts @param {boolean} collapsed @param {number} shape @param {number} head @returns {Box} */
function makeBox(owner, parts, collapsed, shape, head) {
  const tile = collapsed ? CLOSED : OPEN;
  const [stepX, stepY] = [tile.w + tile.gap, tile.h + tile.gap];
  const fewest = Math.ceil((NARROWEST - 2 * PAD + tile.gap) / stepX);
  const size = parts.reduce((sum, part) => sum + part.length, 0);
  const columns = Math.max(fewest, Math.ceil(Math.sqrt((size * shape * stepY) / stepX)));
  /** @type {(string|null)[]} */
  const keys = [];
  for (const part of parts) {
    while (keys.length % columns) keys.push(null);
    keys.push(...part);
  }
  const rows = Math.ceil(keys.length / columns);
  const w = columns * stepX - tile.gap + 2 * PAD;
  const h = head + (rows ? rows * stepY - tile.gap + PAD : 4);
  return { owner, collapsed, keys, size, head, tile, columns, x: 0, y: 0, w, h };
}

/** Give boxes their places. @param {Box[]} boxes @param {number} aspect */
function shelve(boxes, aspect) {
  const order = boxes.map((_, i) => i).sort((a, b) => boxes[b].h - boxes[a].h || a - b);
  const area = boxes.reduce((sum, { w, h }) => sum + (w + SPACE) * (h + SPACE), 0);
  const widest = boxes.reduce((most, { w }) => Math.max(most, w), 0);
  let best = { scale: -1, width: 0, height: 0, at: /** @type {number[][]} */ ([]) };
  for (const stretch of [0.7, 0.8, 0.9, 1, 1.1, 1.2, 1.35, 1.5, 1.7, 2]) {
    const limit = Math.max(widest, Math.sqrt(area * aspect) * stretch);
    const tried = shelves(boxes, order, limit);
    const scale = Math.min(aspect / Math.max(tried.width, 1), 1 / Math.max(tried.height, 1));
    if (scale > best.scale * 1.0001) best = { scale, ...tried };
  }
  best.at.forEach(([x, y], i) => Object.assign(boxes[i], { x, y }));
  return { width: best.width, height: best.height, scale: best.scale };
}

/** @param {Box[]} boxes @param {number[]} order @param {number} limit */
function shelves(boxes, order, limit) {
  const at = /** @type {number[][]} */ (boxes.map(() => [0, 0]));
  let [x, y, shelf, width] = [0, 0, 0, 0];
  for (const i of order) {
    const { w, h } = boxes[i];
    if (x > 0 && x + w > limit + 0.5) {
      [x, y, shelf] = [0, y + shelf + SPACE, 0];
    }
    at[i] = [x, y];
    x += w + SPACE;
    shelf = Math.max(shelf, h);
    width = Math.max(width, x - SPACE);
  }
  return { at, width, height: y + shelf };
}

/** @param {Box} box @param {number} index @returns {Rect} */
export function tileAt(box, index) {
  const { tile, columns } = box;
  const [column, row] = [index % columns, Math.floor(index / columns)];
  return {
    x: box.x + PAD + column * (tile.w + tile.gap),
    y: box.y + box.head + row * (tile.h + tile.gap),
    w: tile.w,
    h: tile.h,
  };
}

/**
 * Tell what is at a point.
 * @param {Arrangement} arrangement
 * @param {number} x
 * @param {number} y
 * @returns {{owner: string, key: string|null}|null}
 */
export function hit({ boxes }, x, y) {
  const box = boxes.find((one) => x >= one.x && x <= one.x + one.w && y >= one.y && y <= one.y + one.h);
  if (!box) return null;
  const [stepX, stepY] = [box.tile.w + box.tile.gap, box.tile.h + box.tile.gap];
  const column = Math.floor((x - box.x - PAD + box.tile.gap / 2) / stepX);
  const row = Math.floor((y - box.y - box.head + box.tile.gap / 2) / stepY);
  const inside = column >= 0 && column < box.columns && row >= 0;
  return { owner: box.owner, key: (inside && box.keys[row * box.columns + column]) || null };
}

/**
 * Return the machine that an arrow key leads to.
 * @param {Arrangement} arrangement
 * @param {string|null} from
 * @param {"left"|"right"|"up"|"down"} way
 * @returns {string|null}
 */
export function neighbour({ boxes, places }, from, way) {
  const here = from === null ? undefined : places.get(from);
  if (!here) return boxes.find(({ size }) => size)?.keys[0] ?? null;
  const [dx, dy] = { left: [-1, 0], right: [1, 0], up: [0, -1], down: [0, 1] }[way];
  const { box, index } = here;
  const column = (index % box.columns) + dx;
  const next = index + dx + dy * box.columns;
  if (column >= 0 && column < box.columns && next >= 0 && box.keys[next]) return box.keys[next];
  const start = tileAt(box, index);
  /** @type {{key: string|null, far: number}} */
  let best = { key: from, far: Infinity };
  for (const other of boxes) {
    if (other === box || !other.size) continue;
    const [x, y] = [other.x + other.w / 2 - start.x, other.y + other.h / 2 - start.y];
    const along = x * dx + y * dy;
    if (along <= 0) continue;
    const far = along + 2 * Math.abs(x * dy + y * dx);
    if (far < best.far) best = { key: other.keys[0], far };
  }
  return best.key;
}
