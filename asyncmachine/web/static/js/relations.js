/** The relations between the states of a machine, as a ring with arrows. Positions are computed, so it never jumps. */

import { svg } from "./dom.js";

const LINKS = /** @type {const} */ (["require", "add", "remove", "after"]);
export const COLOUR = {
  require: "var(--fill-0)",
  add: "var(--fill-2)",
  remove: "var(--kind-pipe-remove)",
  after: "var(--quiet)",
};
const WIDTH = 364;

/**
 * @param {any[]} states of /api/machine
 * @param {(state: string) => string|null} colour of a picked state
 * @returns {SVGElement|null} null: there are none
 */
export function drawRelations(states, colour) {
  /** @type {{source: string, target: string, link: keyof typeof COLOUR}[]} */
  const edges = [];
  for (const state of states) {
    for (const link of LINKS) for (const target of state[link] ?? []) edges.push({ source: state.name, target, link });
  }
  const named = new Set(edges.flatMap(({ source, target }) => [source, target]));
  const shown = states.filter(({ name }) => named.has(name));
  if (!edges.length || shown.length > 40) return null;
  const height = Math.min(120 + shown.length * 18, 420);
  const places = ring(
    shown.map(({ name }) => name),
    height,
  );
  const root = svg("svg", { viewBox: `0 0 ${WIDTH} ${height}`, role: "img", "aria-label": sentence(edges) }, heads());
  const arrows = edges.map((edge) => arrow(edge, places, height));
  const pills = shown.map(({ name, active }) => {
    const [x, y] = places.get(name) ?? [0, 0];
    const w = Math.min(name.length * 6.2 + 16, 118);
    const light = (/** @type {boolean} */ on) => {
      root.classList.toggle("lit", on);
      edges.forEach(({ source, target }, i) =>
        arrows[i].classList.toggle("lit", on && (source === name || target === name)),
      );
    };
    return svg(
      active ? "g.on" : "g",
      {
        style: { "--swatch": colour(name) ?? "var(--accent)" },
        onpointerenter: () => light(true),
        onpointerleave: () => light(false),
      },
      svg("title", {}, name),
      svg("rect.pill", { x: x - w / 2, y: y - 11, width: w, height: 22, rx: 11 }),
      svg("text", { x, y: y + 0.5 }, name.length > 17 ? `${name.slice(0, 16)}…` : name),
    );
  });
  root.append(...arrows, ...pills);
  return root;
}

/** @param {string[]} names @param {number} height @returns {Map<string, number[]>} */
function ring(names, height) {
  const [a, b] = [WIDTH / 2 - 62, height / 2 - 18];
  return new Map(
    names.map((name, i) => {
      const turn = (2 * Math.PI * i) / names.length - Math.PI / 2;
      return [name, [WIDTH / 2 + a * Math.cos(turn), height / 2 + b * Math.sin(turn)]];
    }),
  );
}

/** @param {{source: string, target: string, link: keyof typeof COLOUR}} edge @param {Map<string, number[]>} places @param {number} height */
function arrow({ source, target, link }, places, height) {
  const [[x1, y1], [x2, y2]] = [places.get(source) ?? [0, 0], places.get(target) ?? [0, 0]];
  const [mx, my] = [(x1 + x2) / 2, (y1 + y2) / 2];
  const bend = 0.22 + 0.08 * LINKS.indexOf(link);
  const [cx, cy] = [mx + (WIDTH / 2 - mx) * bend + (y2 - y1) * 0.06, my + (height / 2 - my) * bend - (x2 - x1) * 0.06];
  const [sx, sy] = outside(x1, y1, cx, cy, source);
  const [tx, ty] = outside(x2, y2, cx, cy, target);
  return svg("path.arrow", {
    d: `M${sx.toFixed(1)} ${sy.toFixed(1)}Q${cx.toFixed(1)} ${cy.toFixed(1)} ${tx.toFixed(1)} ${ty.toFixed(1)}`,
    "marker-end": `url(#head-${link})`,
    "stroke-dasharray": link === "after" ? "3 3" : null,
    style: { stroke: COLOUR[link] },
  });
}

/** Where a line towards (cx, cy) leaves the pill. @param {number} x @param {number} y @param {number} cx @param {number} cy @param {string} name */
function outside(x, y, cx, cy, name) {
  const [w, h] = [Math.min(name.length * 6.2 + 16, 118) / 2 + 2, 13];
  const [dx, dy] = [cx - x, cy - y];
  const share = Math.min(w / (Math.abs(dx) || 1e-6), h / (Math.abs(dy) || 1e-6), 1);
  return [x + dx * share, y + dy * share];
}

function heads() {
  return svg(
    "defs",
    {},
    LINKS.map((link) =>
      svg(
        "marker",
        {
          id: `head-${link}`,
          viewBox: "0 0 8 8",
          refX: 7,
          refY: 4,
          markerWidth: 6,
          markerHeight: 6,
          orient: "auto-start-reverse",
        },
        svg("path", { d: link === "remove" ? "M5 0h2v8h-2z" : "M0 0.5L8 4L0 7.5z", style: { fill: COLOUR[link] } }),
      ),
    ),
  );
}

/** @param {{source: string, target: string, link: string}[]} edges */
function sentence(edges) {
  return `Relations: ${edges
    .slice(0, 40)
    .map(({ source, link, target }) => `${source} ${link} ${target}`)
    .join(", ")}`;
}
