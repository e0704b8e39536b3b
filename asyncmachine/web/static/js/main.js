/** Puts the page together: what changes in the view leads to questions, and answers to what is drawn. */

import { Api } from "./api.js";
import { Canvas } from "./canvas.js";
import { Diff } from "./diff.js";
import { byId, eachFrame, say } from "./dom.js";
import { usual } from "./edges.js";
import { Feed } from "./feed.js";
import { Keys } from "./keys.js";
import { fromHash, START, toHash } from "./link.js";
import { Log } from "./log.js";
import { choose } from "./looks.js";
import { MachineView } from "./machine_view.js";
import { Panel } from "./panel.js";
import { Player } from "./player.js";
import { Search } from "./search.js";
import { Side } from "./side.js";
import { Store } from "./store.js";
import { Theme } from "./theme.js";
import { exact, parse } from "./time.js";
import { TimeBar } from "./timebar.js";
import { Windows } from "./windows.js";
import { World } from "./world.js";

const api = new Api();
/** @type {Store<import("./types.js").View>} */
const view = new Store(fromHash(location.hash));
api.window = view.value.window;

/** @param {Error} error */
const failed = (error) => feed.miss(error) || say(error.message, "wrong");

const theme = new Theme();
const world = new World(api, view, failed, () => kinds());
let chosen = /** @type {string[]} */ ([]); // when nobody has chosen
const picks = () => view.value.states ?? chosen;
let usualKinds = usual(null);
const kinds = () => view.value.kinds ?? usualKinds;

/** Open a machine, and if a moment is given go there. @param {string} key @param {bigint} [at] */
const open = (key, at) => {
  player.stop();
  view.set({ machine: key, tab: "machine", ...(at === undefined ? {} : { at }) });
  bar.keepInSight();
  canvas.show(key);
};

/** @param {string} owner */
const toggle = (owner) => {
  const box = canvas.arrangement.boxes.find((one) => one.owner === owner);
  if (!box?.size) return;
  const others = view.value.collapsed.filter((entry) => entry !== owner && entry !== `!${owner}`);
  view.set({ collapsed: [...others, box.collapsed ? `!${owner}` : owner] });
};
const foldAll = () =>
  view.set({ collapsed: canvas.arrangement.boxes.some(({ collapsed }) => !collapsed) ? ["*"] : ["!*"] });

const canvas = new Canvas(world, theme, { picks, kinds, pick: open, toggle });
const side = new Side(world, theme, picks, kinds);
const bar = new TimeBar(world, theme, failed);
const player = new Player(world, bar, picks, failed);
const use = {
  picks,
  kinds,
  toggle,
  pickStates: (/** @type {string[]} */ list) => side.pick(list),
  open,
  show: (/** @type {string} */ key) => canvas.show(key, true),
  failed,
};
const machine = new MachineView(world, bar, use);
const log = new Log(world, use);
const diff = new Diff(world, canvas, use);
const panel = new Panel(view, [
  {
    id: "machine",
    title: "Machine",
    root: machine.root,
    isThere: () => view.value.machine !== null,
    close: () => view.set({ machine: null }),
  },
  { id: "log", title: "Log", root: log.root, isThere: () => view.value.tab === "log" },
  {
    id: "diff",
    title: "Compare",
    root: diff.root,
    isThere: () => view.value.diff !== null,
    close: () => view.set({ diff: null }),
  },
]);
const search = new Search(world, canvas, use);
const refreshPanel = eachFrame(() => {
  machine.load();
  log.load();
});
const feed = new Feed(world, {
  records: (records) => {
    world.follow(records);
    bar.grow();
    if (view.value.at !== null) return;
    const key = view.value.machine;
    if (records.some((record) => record.key === key)) {
      machine.load();
      machine.loadLanes();
    }
    log.load();
  },
  graph: () => {
    if (view.value.at === null) world.reloadSoon("graph");
  },
  gap: () => {
    if (view.value.at === null) world.reloadSoon("network");
    refreshPanel();
  },
  again: () => {
    world.reload();
    bar.load();
    refreshPanel();
    machine.loadLanes();
    diff.loadOther();
    diff.load();
  },
  anew: () => start(),
});
byId("live").addEventListener("click", () => feed.retry());
const windows = new Windows(world, bar, () => start(), failed);

// -- what follows from what

view.on(["at"], () => world.reload());
view.on(["states", "only"], () => {
  canvas.refresh();
  side.refresh();
  if (machine.span) machine.loadLanes();
});
view.on(["kinds"], () => {
  canvas.refresh();
  side.refresh();
  world.complete();
});
view.on(["owner", "tag", "collapsed"], () => {
  canvas.moved = false;
  canvas.rearrange();
  side.refresh();
});
view.on(["owner", "tag", "only"], () => side.refill());
view.on(["machine"], () => {
  canvas.connect();
  canvas.paint();
  world.complete();
});
view.on(["tab"], () => byId("do-log").setAttribute("aria-pressed", String(view.value.tab === "log")));
let begun = false; // until then all is still to be arranged
world.data.on(["revision", "graph"], (now, before) => {
  if (usual(now.graph).length < usualKinds.length) usualKinds = usual(now.graph); // it does not go back and forth
  if (!begun) return;
  if (now.rosterSize !== before.rosterSize) canvas.rearrange();
  else canvas.refresh();
  side.refresh();
  world.complete(); // others may have been switched on meanwhile
});
world.data.on(["last"], () => bar.place());
world.data.on(["busy", "revision", "asked"], ({ busy }) => {
  const { dataset } = byId("graph");
  dataset.ready = String(!busy);
  dataset.at = String(world.moment);
});

// -- the address

let writes = 0;
view.on([], () => {
  clearTimeout(writes);
  writes = setTimeout(() => history.replaceState(null, "", toHash(view.value)), 250);
});
addEventListener("hashchange", () => {
  const next = fromHash(location.hash);
  const other = next.window !== api.window;
  api.window = next.window;
  view.set(next);
  if (other) void start();
});

// -- buttons

const wide = matchMedia("(min-width: 901px)");
/** @param {boolean} shown */
const showSide = (shown) => {
  byId("main").classList.toggle("no-side", !shown);
  byId("toggle-side").setAttribute("aria-expanded", String(shown));
};
showSide(wide.matches);
wide.addEventListener("change", () => showSide(wide.matches));
const toggleSide = () => showSide(byId("main").classList.contains("no-side"));
const toggleLog = () => view.set({ tab: view.value.tab === "log" ? (view.value.machine ? "machine" : "") : "log" });
const toggleDiff = () => {
  if (view.value.diff !== null) {
    view.set({ diff: null, tab: view.value.tab === "diff" ? (view.value.machine ? "machine" : "") : view.value.tab });
    return;
  }
  const { since, until } = bar.span;
  const back = view.value.at === null ? (until - since) / 10n : 0n;
  view.set({ diff: world.moment - back, tab: "diff" });
  if (!back) say("The left one stays: move the time bar for the right one.");
};
const goToTime = () => {
  byId("go-time").value = exact(world.moment);
  byId("go-wrong").textContent = "";
  byId("go").showModal();
  byId("go-time").select();
};
byId("go")
  .querySelector("form")
  .addEventListener("submit", (/** @type {Event} */ event) => {
    try {
      const at = parse(byId("go-time").value, world.data.value.last);
      player.stop();
      view.set({ at: at >= world.data.value.last ? null : at });
      bar.keepInSight();
    } catch (error) {
      event.preventDefault();
      byId("go-wrong").textContent = /** @type {Error} */ (error).message;
    }
  });
byId("go-cancel").addEventListener("click", () => byId("go").close());
const copyLink = async () => {
  history.replaceState(null, "", toHash(view.value));
  try {
    await navigator.clipboard.writeText(location.href);
    say("The link to this view is copied.");
  } catch {
    say("The address of this page is the link to this view.");
  }
};
const escape = () => {
  byId("more").open = false;
  if (side.open) side.toggle();
  else if (view.value.tab) panel.close();
  else if (!wide.matches) showSide(false);
};
for (const [id, call] of /** @type {[string, () => void][]} */ ([
  ["toggle-side", toggleSide],
  ["do-log", toggleLog],
  ["do-diff", toggleDiff],
  ["do-link", copyLink],
  ["clock", goToTime],
  ["do-theme", () => theme.toggle()],
  ["zoom-in", () => canvas.zoomBy(1.4)],
  ["zoom-out", () => canvas.zoomBy(1 / 1.4)],
  ["zoom-fit", () => canvas.fit()],
]))
  byId(id).addEventListener("click", call);
byId("more").addEventListener("click", (/** @type {Event} */ event) => {
  if (/** @type {HTMLElement} */ (event.target).closest(".list button")) byId("more").open = false;
});
byId("graph").addEventListener("keydown", (/** @type {KeyboardEvent} */ event) => {
  const way = { ArrowLeft: "left", ArrowRight: "right", ArrowUp: "up", ArrowDown: "down" }[event.key];
  const key = way ? canvas.step(/** @type {any} */ (way)) : canvas.hover?.key;
  if (way && key)
    byId("told").textContent =
      `${canvas.label(key)}, ${world.peerName(world.roster.get(key)?.peer ?? "")}: ${canvas.told(key)}${diff.toldBeside(key)}`;
  else if (event.key === "Enter" && key && event.target === byId("graph")) open(key);
  else return;
  event.preventDefault();
});

new Keys([
  {
    title: "Time",
    commands: [
      { keys: [" "], text: "play, or pause", call: () => player.toggle() },
      { keys: [",", "."], text: "previous and next transition, of the open machine if there is one", call: () => {} },
      { keys: ["[", "]"], text: "a minute back, and on", call: () => {} },
      { keys: ["p", "n"], text: "previous and next change of the first picked state", call: () => {} },
      { keys: ["<", ">"], text: "play slower, and faster", call: () => {} },
      { keys: ["t"], text: "go to a time", call: goToTime },
      { keys: ["l"], text: "back to now, or to the end", call: () => player.toEnd() },
      { keys: ["b"], text: "to the time bar", call: () => byId("time-bar").focus() },
    ],
  },
  {
    title: "View",
    commands: [
      { keys: ["/"], text: "find a machine, a peer, a state or a tag", call: () => byId("search").focus() },
      {
        keys: ["s"],
        text: "pick states to colour by",
        call: () => {
          showSide(true);
          side.toggle();
        },
      },
      { keys: ["d"], text: "compare two moments", call: toggleDiff },
      { keys: ["g"], text: "log", call: toggleLog },
      { keys: ["f"], text: "fit all", call: () => canvas.fit() },
      { keys: ["+", "-"], text: "zoom", call: () => {} },
      { keys: ["c"], text: "fold all boxes, or open them", call: foldAll },
      { keys: ["m"], text: "colours, edges and filters", call: toggleSide },
      { keys: ["y"], text: "copy a link to this view", call: copyLink },
      { keys: ["k"], text: "dark or light", call: () => theme.toggle() },
      { keys: ["Escape"], text: "close what is open", call: escape },
      { keys: ["?"], text: "this help", call: () => byId("do-help").click() },
    ],
  },
]).bind({
  ",": () => player.step("previous", "transition"),
  ".": () => player.step("next", "transition"),
  "[": () => player.step("previous", "minute"),
  "]": () => player.step("next", "minute"),
  p: () => player.step("previous", "change"),
  n: () => player.step("next", "change"),
  "<": () => player.faster(-1),
  ">": () => player.faster(1),
  "+": () => canvas.zoomBy(1.4),
  "=": () => canvas.zoomBy(1.4),
  "-": () => canvas.zoomBy(1 / 1.4),
});

/** Begin, or begin anew with another window. */
async function start() {
  let opened;
  begun = false;
  try {
    opened = await world.open();
  } catch (error) {
    if (api.window !== null && /** @type {any} */ (error).status === 404) {
      api.window = null; // it was dropped: a link to it still shows the rest
      view.set({ ...START });
      failed(/** @type {Error} */ (error));
      await start();
      return;
    }
    if (/** @type {any} */ (error).status >= 500) feed.lost(/** @type {any} */ (error));
    else failed(/** @type {Error} */ (error));
    return;
  }
  const { info, network } = world.data.value;
  chosen = choose(
    [...network.values()],
    (info?.states ?? []).map(({ name }) => name),
  );
  byId("title").textContent = info?.title || "asyncmachine";
  document.title = `${info?.title || "asyncmachine"} · asyncmachine`;
  if (view.value.machine && !view.value.tab) view.set({ tab: "machine" });
  if (view.value.diff !== null && !view.value.tab) view.set({ tab: "diff" });
  begun = true;
  side.refill();
  log.refill();
  canvas.rearrange();
  side.refresh();
  bar.load();
  player.tell();
  machine.load();
  machine.loadLanes();
  log.load();
  diff.loadOther();
  diff.load();
  windows.tell();
  feed.open();
  try {
    await opened.edges;
  } catch (error) {
    world.data.set({ busy: false });
    failed(/** @type {Error} */ (error));
  }
}

/** @type {any} */ (window).asyncmachine = { store: view, view: canvas, world, api, feed, search, diff };
void start();
