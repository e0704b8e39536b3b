/** What stands at the left: the states to colour by, the kinds of edges, the filters, and what the marks mean. */

import { byId, h, replace } from "./dom.js";
import { KINDS, nameOf } from "./edges.js";
import { drawMarks, sample } from "./legend.js";
import { activeCounts, COLOURS, filterOf, isStale } from "./looks.js";

export class Side {
  /**
   * @param {import("./world.js").World} world
   * @param {import("./theme.js").Theme} theme
   * @param {() => string[]} picks
   * @param {() => string[]} kinds
   */
  constructor(world, theme, picks, kinds) {
    this.world = world;
    this.view = world.view;
    this.theme = theme;
    this.picks = picks;
    this.kinds = kinds;
    this.open = false;
    this.shape = ""; // which states are picked, so that the list is made anew only when that changes
    this.counts = new Map();
    /** @type {Set<string>} kinds of edges that were ever there */
    this.kindsSeen = new Set();
    this.build();
    theme.on(() => drawMarks(byId("marks"), theme.colours));
  }

  build() {
    replace(
      byId("side"),
      h(
        "section",
        { "aria-labelledby": "colour-title" },
        h("h2", { id: "colour-title" }, "Colour by state"),
        h("div.bar", { id: "shares", "aria-hidden": "true" }),
        h("ul", { id: "picks", "aria-label": "Picked states, and in how many machines each is active" }),
        h(
          "button",
          {
            id: "state-picker",
            type: "button",
            "aria-expanded": "false",
            "aria-controls": "state-choices",
            "aria-keyshortcuts": "s",
            onclick: () => this.toggle(),
          },
          "Pick states…",
        ),
        h(
          "div.choices",
          { id: "state-choices", hidden: true },
          h("input", {
            id: "state-filter",
            type: "text",
            placeholder: "Narrow down",
            "aria-label": "Narrow the states down",
            autocomplete: "off",
            oninput: () => this.listStates(),
          }),
          h("ul", { id: "state-list", "aria-label": "States" }),
        ),
      ),
      h(
        "section",
        { "aria-labelledby": "kinds-title" },
        h("h2", { id: "kinds-title" }, "Edges"),
        h("ul", { id: "kinds" }),
      ),
      h(
        "section",
        { id: "filters", "aria-labelledby": "filter-title" },
        h(
          "h2",
          { id: "filter-title" },
          "Show only",
          h(
            "button.plain",
            {
              id: "filter-none",
              type: "button",
              hidden: true,
              onclick: () => this.view.set({ owner: "", tag: "", only: "" }),
            },
            "all",
          ),
        ),
        this.select("filter-owner", "Peer", "owner"),
        this.select("filter-tag", "Tag", "tag"),
        this.select("filter-only", "State that is active", "only"),
      ),
      h(
        "section",
        { "aria-labelledby": "marks-title" },
        h("h2", { id: "marks-title" }, "Marks"),
        h("ul", { id: "marks" }),
      ),
      h(
        "section",
        {},
        h("p", { id: "cut", hidden: true }, "There is more than is shown: narrow it down."),
        h("p", { id: "source" }),
      ),
    );
    drawMarks(byId("marks"), this.theme.colours);
  }

  /** @param {string} id @param {string} label @param {string} field */
  select(id, label, field) {
    return [
      h("label", { for: id }, label),
      h("select", { id, onchange: (/** @type {any} */ event) => this.view.set({ [field]: event.target.value }) }),
    ];
  }

  /** When it is known what there is at all. */
  refill() {
    const { info } = this.world.data.value;
    if (!info) return;
    const { owner, tag, only } = this.view.value;
    const options = (
      /** @type {string} */ id,
      /** @type {[string, string][]} */ list,
      /** @type {string} */ chosen,
    ) => {
      const every = [["", "all"], ...list];
      if (chosen && !list.some(([value]) => value === chosen)) every.push([chosen, chosen]);
      const select = byId(id);
      replace(
        select,
        every.map(([value, text]) => h("option", { value }, text)),
      );
      select.value = chosen;
    };
    const counts = new Map();
    for (const one of this.world.roster.values()) {
      for (const tagged of one.tags) {
        const group = tagged.split(":")[0];
        for (const name of new Set([group, tagged])) counts.set(name, (counts.get(name) ?? 0) + 1);
      }
    }
    const tags = [...counts]
      .filter(([name, count]) => count > 1 || !name.includes(":"))
      .sort(([a], [b]) => (a < b ? -1 : 1))
      .slice(0, 300);
    options(
      "filter-owner",
      [...this.world.peers.keys()].filter(Boolean).map((one) => [one, this.world.peerName(one)]),
      owner,
    );
    options(
      "filter-tag",
      tags.map(([name, count]) => [name, `${name} (${count.toLocaleString("en")})`]),
      tag,
    );
    options(
      "filter-only",
      info.states.map(({ name }) => [name, name]),
      only,
    );
    byId("filter-none").hidden = !(owner || tag || only);
    byId("source").textContent = [info.title, info.source, `asyncmachine ${info.version}`].filter(Boolean).join(" · ");
    this.listStates();
  }

  /** When the moment, or the choice, has changed. */
  refresh() {
    const { network, graph } = this.world.data.value;
    const picks = this.picks();
    const passes = filterOf(this.view.value);
    const machines = [...network.values()].filter(passes);
    this.counts = activeCounts(machines);
    const count = (/** @type {string} */ state) => this.counts.get(state) ?? 0;
    const number = (/** @type {string} */ id, /** @type {number} */ value) => {
      byId(id).textContent = value.toLocaleString("en");
      byId(id).dataset.value = String(value);
    };
    number("count-machines", machines.length);
    number("count-active", picks.length ? count(picks[0]) : 0);
    byId("count-active-of").textContent = picks[0] ?? "active";
    const errors = machines.filter(({ error }) => error).length;
    const stale = machines.filter((one) => one.online === false || isStale(one)).length;
    byId("cut").hidden = !this.world.data.value.isCut;
    number("count-errors", errors);
    number("count-stale", stale);
    byId("counts-errors").classList.toggle("some", errors > 0);
    byId("counts-stale").classList.toggle("some", stale > 0);
    this.drawPicks(picks, machines.length, count);
    this.drawKinds(graph);
    if (this.open) this.listStates();
  }

  /** @param {string[]} picks @param {number} total @param {(state: string) => number} count */
  drawPicks(picks, total, count) {
    const shape = picks.join("\n");
    if (this.shape !== shape) {
      this.shape = shape;
      replace(
        byId("picks"),
        picks.map((state, i) =>
          h(
            i ? "li" : "li.first",
            { data: { state } },
            h("span.swatch", { style: { "--swatch": `var(--fill-${i})` }, "aria-hidden": "true" }),
            h(
              "button.plain.name",
              {
                type: "button",
                title: "Steps go by this one",
                "aria-pressed": i ? "false" : "true",
                onclick: () => this.pick([state, ...picks.filter((one) => one !== state)]),
              },
              state,
            ),
            h("span.count"),
            h(
              "button.plain",
              {
                type: "button",
                "aria-label": `Do not colour by ${state}`,
                onclick: () => this.pick(picks.filter((one) => one !== state)),
              },
              "×",
            ),
          ),
        ),
      );
      replace(
        byId("shares"),
        picks.map((_, i) => h("i", { style: { "--swatch": `var(--fill-${i})` } })),
      );
    }
    picks.forEach((state, i) => {
      byId("picks").children[i].querySelector(".count").textContent = count(state).toLocaleString("en");
      byId("shares").children[i].style.width = `${(100 * count(state)) / Math.max(total, 1)}%`;
    });
  }

  /** @param {string[]} picks */
  pick(picks) {
    this.view.set({ states: picks.slice(0, COLOURS) });
  }

  toggle() {
    this.open = !this.open;
    byId("state-choices").hidden = !this.open;
    byId("state-picker").setAttribute("aria-expanded", String(this.open));
    this.listStates();
    if (this.open) byId("state-filter").focus();
  }

  listStates() {
    if (!this.open) return;
    const list = byId("state-list");
    const wanted = byId("state-filter").value.toLowerCase();
    const picks = this.picks();
    const states = (this.world.data.value.info?.states ?? []).filter(({ name }) => name.toLowerCase().includes(wanted));
    const shape = JSON.stringify([states.map(({ name }) => name), picks]);
    if (list.dataset.shape !== shape) {
      const focused = /** @type {any} */ (document.activeElement)?.dataset?.state;
      list.dataset.shape = shape;
      replace(
        list,
        states.map(({ name }) =>
          h(
            "li",
            {},
            h(
              "label",
              {},
              h("input", {
                type: "checkbox",
                checked: picks.includes(name),
                data: { state: name },
                onchange: (/** @type {any} */ event) => {
                  const now = this.picks();
                  this.pick(
                    event.target.checked ? [...now.slice(0, COLOURS - 1), name] : now.filter((one) => one !== name),
                  );
                },
              }),
              h("span.name", {}, name),
              h("span.quiet.count"),
            ),
          ),
        ),
      );
      if (focused) list.querySelector(`[data-state="${CSS.escape(focused)}"]`)?.focus();
    }
    states.forEach(({ name }, i) => {
      list.children[i].querySelector(".count").textContent = (this.counts.get(name) ?? 0).toLocaleString("en");
    });
  }

  /** @param {import("./types.js").GraphNow|null} graph */
  drawKinds(graph) {
    const counts = new Map(Object.entries(graph?.kinds ?? {}));
    for (const kind of counts.keys()) this.kindsSeen.add(kind);
    const kinds = [...Object.keys(KINDS), ...this.kindsSeen].filter(
      (kind, i, all) => this.kindsSeen.has(kind) && all.indexOf(kind) === i,
    );
    const on = this.kinds();
    const list = byId("kinds");
    const shape = kinds.join("\n");
    if (list.dataset.shape !== shape) {
      list.dataset.shape = shape;
      replace(
        list,
        kinds.map((kind) =>
          h(
            "li",
            {},
            h(
              "label",
              {},
              h("input", { type: "checkbox", data: { kind }, onchange: () => this.switchKind(kind) }),
              sample(kind),
              h("span.name", {}, nameOf(kind)),
              h("span.count"),
            ),
          ),
        ),
      );
      if (!kinds.length) replace(list, h("li.quiet", {}, "None are recorded."));
    }
    kinds.forEach((kind, i) => {
      list.children[i].querySelector("input").checked = on.includes(kind);
      list.children[i].querySelector(".count").textContent = (counts.get(kind) ?? 0).toLocaleString("en");
    });
  }

  /** @param {string} kind */
  switchKind(kind) {
    const on = this.kinds();
    this.view.set({ kinds: on.includes(kind) ? on.filter((one) => one !== kind) : [...on, kind] });
  }
}
