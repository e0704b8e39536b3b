/** The picture of the other moment, in the hand: it is moved, and machines are picked in it, as in the one beside it. */

import { byId, h, replace } from "./dom.js";
import { hit } from "./layout.js";

const STILL = 6; // pixels within which a press is a click

/** @typedef {{x: number, y: number}} Point */

export class Twin {
  /**
   * @param {import("./canvas.js").Canvas} canvas which has the viewport of both
   * @param {HTMLElement} root
   * @param {{pick: (key: string) => void, toggle: (owner: string) => void, told: (key: string) => string}} use
   */
  constructor(canvas, root, use) {
    this.canvas = canvas;
    this.root = root;
    this.use = use;
    /** @type {Map<number, Point>} fingers, or the mouse, that are down */
    this.down = new Map();
    this.way = 0; // that they have moved since the first one came down
    this.tip = h("div.tip", { role: "presentation", hidden: true });
    root.append(this.tip);
    root.addEventListener("wheel", (event) => this.wheel(event), { passive: false });
    root.addEventListener("pointerdown", (event) => this.press(event));
    root.addEventListener("pointermove", (event) => this.move(event));
    root.addEventListener("pointerup", (event) => this.lift(event, true));
    root.addEventListener("pointercancel", (event) => this.lift(event, false));
    root.addEventListener("pointerleave", () => this.hover(null));
  }

  /** @param {MouseEvent} event @returns {Point} within the picture */
  at(event) {
    const { left, top } = this.root.getBoundingClientRect();
    return { x: event.clientX - left, y: event.clientY - top };
  }

  /** Of which place it is the picture. @param {Point} point */
  place({ x, y }) {
    const { cy } = this.canvas;
    const [zoom, pan] = [cy.zoom(), cy.pan()];
    return { x: (x - pan.x) / zoom, y: (y - pan.y) / zoom };
  }

  /** Let the other picture take it, as if it had been turned there: how far one turn goes is found out by it. @param {WheelEvent} event */
  wheel(event) {
    event.preventDefault();
    const there = byId("cytoscape");
    const { left, top } = there.getBoundingClientRect();
    const { x, y } = this.at(event);
    const { deltaX, deltaY, deltaMode, ctrlKey } = event;
    const how = { deltaX, deltaY, deltaMode, ctrlKey, clientX: left + x, clientY: top + y, cancelable: true };
    there.dispatchEvent(new WheelEvent("wheel", how));
  }

  /** @param {PointerEvent} event */
  press(event) {
    if (event.button !== 0) return;
    event.preventDefault();
    this.root.setPointerCapture(event.pointerId);
    if (!this.down.size) this.way = 0;
    this.down.set(event.pointerId, this.at(event));
    this.canvas.cy.stop();
    byId("graph").focus({ preventScroll: true }); // the keys are the same for both
  }

  /** @param {PointerEvent} event */
  move(event) {
    const now = this.at(event);
    const before = this.down.get(event.pointerId);
    if (!before) {
      if (event.pointerType !== "touch") this.hover(now);
      return;
    }
    const [middle, reach] = this.hold();
    this.down.set(event.pointerId, now);
    const [newMiddle, newReach] = this.hold();
    this.way += Math.hypot(now.x - before.x, now.y - before.y);
    if (this.way < STILL) return;
    const { cy } = this.canvas;
    this.canvas.moved = true;
    cy.panBy({ x: newMiddle.x - middle.x, y: newMiddle.y - middle.y });
    if (this.down.size > 1 && reach > 0)
      cy.zoom({ level: (cy.zoom() * newReach) / reach, renderedPosition: newMiddle });
    this.hover(null);
  }

  /** Where the fingers are: the middle of them, and how far they are from it. @returns {[Point, number]} */
  hold() {
    const points = [...this.down.values()];
    const mean = (/** @type {"x"|"y"} */ axis) => points.reduce((sum, one) => sum + one[axis], 0) / points.length;
    const middle = { x: mean("x"), y: mean("y") };
    const far = points.reduce((sum, { x, y }) => sum + Math.hypot(x - middle.x, y - middle.y), 0);
    return [middle, far / points.length];
  }

  /** @param {PointerEvent} event @param {boolean} isMeant */
  lift(event, isMeant) {
    const isLast = this.down.delete(event.pointerId) && !this.down.size;
    if (!isLast || !isMeant || this.way >= STILL) return;
    const { x, y } = this.place(this.at(event));
    const found = hit(this.canvas.arrangement, x, y);
    if (found?.key) this.use.pick(found.key);
    else if (found) this.use.toggle(found.owner);
  }

  /** @param {Point|null} point */
  hover(point) {
    const { canvas } = this;
    const place = point && this.place(point);
    const found = place && hit(canvas.arrangement, place.x, place.y);
    if (found?.key !== canvas.hover?.key || found?.owner !== canvas.hover?.owner) {
      canvas.hover = found;
      canvas.paint();
    }
    this.root.style.cursor = found ? "pointer" : "";
    this.tip.hidden = !found?.key;
    if (!found?.key || !point) return;
    replace(this.tip, h("strong", {}, canvas.label(found.key)), this.use.told(found.key));
    this.tip.style.transform = `translate(${Math.max(Math.min(point.x + 14, this.root.clientWidth - 290), 0)}px, ${point.y + 14}px)`;
  }
}
