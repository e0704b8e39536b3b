/** Elements without markup in strings, so that no name of a machine can ever become one. */

const SVG = "http://www.w3.org/2000/svg";

/**
 * Make an element.
 * @param {string} tag with classes behind dots: "div.row.wide"
 * @param {Record<string, any>} [props] `on…`: listeners, `data`: dataset; what is false or null is left out
 * @param {...(Node|string|number|null|false|undefined|Array<any>)} children
 * @returns {any}
 */
export function h(tag, props = {}, ...children) {
  const [name, ...classes] = tag.split(".");
  const element = document.createElement(name);
  return fill(element, classes, props, children);
}

/** The same for SVG. @param {string} tag @param {Record<string, any>} [props] @param {...any} children @returns {any} */
export function svg(tag, props = {}, ...children) {
  const [name, ...classes] = tag.split(".");
  return fill(document.createElementNS(SVG, name), classes, props, children);
}

/** @param {any} element @param {string[]} classes @param {Record<string, any>} props @param {any[]} children */
function fill(element, classes, props, children) {
  if (classes.length) element.setAttribute("class", classes.join(" "));
  for (const [key, value] of Object.entries(props)) {
    if (value === null || value === undefined || value === false) continue;
    if (key.startsWith("on")) element.addEventListener(key.slice(2), value);
    else if (key === "data") Object.assign(element.dataset, value);
    else if (key === "style") for (const [name, one] of Object.entries(value)) element.style.setProperty(name, one);
    else if (key === "value" || key === "checked" || key === "disabled" || key === "open") element[key] = value;
    else element.setAttribute(key, value === true ? "" : value);
  }
  element.append(...children.flat(3).filter((one) => one !== null && one !== undefined && one !== false));
  return element;
}

/** @param {string} id @returns {any} */
export function byId(id) {
  const element = document.getElementById(id);
  if (!element) throw new Error(`the page has no #${id}`);
  return element;
}

/** Put these in place of all that is in there. @param {Element} parent @param {...any} children */
export function replace(parent, ...children) {
  parent.replaceChildren(...children.flat(3).filter((one) => one !== null && one !== undefined && one !== false));
}

/** Call at most once a frame. @param {() => void} call @returns {() => void} */
export function eachFrame(call) {
  let waits = false;
  return () => {
    if (waits) return;
    waits = true;
    requestAnimationFrame(() => {
      waits = false;
      call();
    });
  };
}

/** Say something to whoever looks, and to whoever listens. @param {string} text @param {"polite"|"wrong"} [how] */
export function say(text, how = "polite") {
  const place = byId("said");
  place.textContent = text;
  place.classList.toggle("wrong", how === "wrong");
  place.classList.add("shown");
  clearTimeout(place.timer);
  place.timer = setTimeout(() => place.classList.remove("shown"), how === "wrong" ? 8000 : 3000);
}
