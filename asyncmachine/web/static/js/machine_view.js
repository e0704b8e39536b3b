/** All about one machine at the moment that is shown. */

import { Newest } from "./api.js";
import { byId, h, say } from "./dom.js";
import { drawLanes, placeNow } from "./lanes.js";
import { renew } from "./panel.js";
import { asked, changes, row } from "./records.js";
import { COLOUR, drawRelations } from "./relations.js";
import { ago, duration, exact, iso, MS, ns } from "./time.js";

export class MachineView {
  /**
   * @param {import("./world.js").World} world
   * @param {import("./timebar.js").TimeBar} bar
   * @param {{picks: () => string[], pickStates: (picks: string[]) => void, open: (key: string, at?: bigint) => void, show: (key: string) => void, failed: (error: Error) => void}} use
   */
  constructor(world, bar, use) {
    this.world = world;
    this.bar = bar;
    this.use = use;
    this.root = h("div");
    this.parts = Object.fromEntries(
      ["head", "states", "last", "lanes", "relations", "causes", "beliefs"].map((name) => [
        name,
        h(`div.${name}-part`),
      ]),
    );
    this.root.append(...Object.values(this.parts));
    this.parts.lanes.id = "lanes";
    this.answer = /** @type {any} */ (null);
    this.loads = new Newest(
      (/** @type {{key: string, at: bigint|null}} */ { key, at }) => world.api.get("machine", { machine: key, at }),
      (answer, { key }) => this.take(answer, key),
      (error, { key }) => this.refuse(error, key),
    );
    this.laneLoads = new Newest(
      (/** @type {any} */ { key, since, until }) => world.api.get("intervals", { machine: key, since, until }),
      (answer, span) => this.takeLanes(answer, span),
      () => this.takeLanes({ lanes: [], truncated: false }, null),
    );
    const { view } = world;
    view.on(["at"], () => this.load());
    view.on(["machine", "window"], () => {
      this.load();
      this.loadLanes();
    });
    view.on(["since", "until"], () => this.loadLanes());
    view.on(["states"], () => this.draw());
  }

  get key() {
    return this.world.view.value.machine;
  }

  load() {
    if (this.key && this.world.data.value.info) this.loads.ask({ key: this.key, at: this.world.view.value.at });
    if (this.span) placeNow(this.parts.lanes, this.world.moment, this.span);
  }

  loadLanes() {
    if (this.key && this.world.data.value.info) this.laneLoads.ask({ key: this.key, ...this.bar.span });
  }

  /** @param {any} answer @param {string} key */
  take(answer, key) {
    if (key !== this.key) return;
    this.answer = answer;
    this.answerKey = key;
    this.draw();
  }

  /** @param {any} error @param {string} key */
  refuse(error, key) {
    if (error.status === 0) this.use.failed(error);
    if (key !== this.key) return;
    this.answer = null;
    for (const part of Object.values(this.parts)) part.replaceChildren();
    const one = this.world.roster.get(key);
    renew(
      this.parts.head,
      h("h2", {}, one?.machine ?? key),
      h("p.sub", {}, error.status && error.status < 500 ? error.message : "The server does not answer."),
    );
  }

  /** @param {string} state */
  colour(state) {
    const i = this.use.picks().indexOf(state);
    return i < 0 ? null : `var(--fill-${i})`;
  }

  draw() {
    if (!this.answer || this.answerKey !== this.key) return;
    const { moment, states, last, causes, effects, beliefs } = this.answer;
    const at = this.world.moment;
    const key = /** @type {string} */ (this.key);
    const one = this.world.roster.get(key);
    const now = this.world.data.value.network.get(key);
    const peer = this.world.peerName(one?.peer ?? "");
    renew(
      this.parts.head,
      h("h2", {}, one?.machine ?? moment.machine ?? key),
      h(
        "p.sub",
        {},
        `of ${peer} · epoch ${moment.epoch}, row ${moment.seq}`,
        now?.parent ? [" · part of ", this.link(now.parent, now.owner)] : null,
      ),
      h(
        "p.sub",
        { title: exact(BigInt(moment.at)) },
        `the same since ${iso(BigInt(moment.at))}, ${ago(BigInt(moment.at), at)}`,
      ),
      h(
        "div.tags",
        {},
        (one?.tags ?? []).map((tag) => h("span.chip", {}, tag)),
        h("button.chip", { type: "button", data: { f: "show" }, onclick: () => this.use.show(key) }, "Show it"),
      ),
    );
    this.drawStates(states, last, at);
    renew(
      this.parts.last,
      h("h3", {}, "What changed last"),
      last
        ? h(
            "div.change",
            {},
            h("div", {}, changes(last)),
            h("div.quiet", {}, `${asked(last)} · ${ago(BigInt(last.at), at)}`),
          )
        : h("p.quiet", {}, "Nothing yet."),
    );
    renew(this.parts.relations, this.relations(states));
    renew(
      this.parts.causes,
      this.neighbours("Caused by", causes, at, "c"),
      this.neighbours("What it caused", effects, at, "e"),
    );
    renew(this.parts.beliefs, this.beliefs(beliefs, states, peer));
  }

  /** @param {any[]} states @param {any} last @param {bigint} at */
  drawStates(states, last, at) {
    const just = new Set([...(last?.activated ?? []), ...(last?.deactivated ?? [])]);
    renew(
      this.parts.states,
      h("h3", {}, h("span", {}, "States"), h("span", {}, "tick, and how long")),
      h(
        "ul.states",
        {},
        states.map((state) => {
          const changed = ns(state.last_change);
          const classes = [
            "li.state",
            state.active ? "on" : "",
            state.name === "Exception" && state.active ? "fault" : "",
            just.has(state.name) ? "just" : "",
          ];
          return h(
            classes.filter(Boolean).join("."),
            {
              data: { state: state.name, active: String(state.active), tick: String(state.tick) },
              style: { "--swatch": this.colour(state.name) ?? "" },
            },
            h("span.dot", { role: "img", "aria-label": state.active ? "active" : "not active" }),
            h(
              "button.plain",
              {
                type: "button",
                data: { f: `s${state.name}` },
                title: "Colour the network by this state",
                onclick: () =>
                  this.use.pickStates([state.name, ...this.use.picks().filter((one) => one !== state.name)]),
              },
              state.name,
              state.auto || state.multi
                ? h("span.quiet", {}, ` ${[state.auto && "auto", state.multi && "multi"].filter(Boolean).join(", ")}`)
                : null,
            ),
            h("span.tick", {}, Number(state.tick).toLocaleString("en")),
            h(
              "span.since",
              { title: changed === null ? "" : exact(changed) },
              changed === null ? "" : duration(at - changed),
            ),
          );
        }),
      ),
    );
  }

  /** @param {any[]} states */
  relations(states) {
    const drawing = drawRelations(states, (state) => this.colour(state));
    if (!drawing) return [];
    return [
      h("h3", {}, "Relations"),
      h("div.relations", {}, drawing),
      h(
        "p.key",
        { "aria-hidden": "true" },
        Object.entries(COLOUR).map(([link, colour]) =>
          h("span", {}, h(link === "after" ? "i.dashed" : "i", { style: { "--swatch": colour } }), link),
        ),
      ),
    ];
  }

  /** @param {string} title @param {any[]} list @param {bigint} at @param {string} mark */
  neighbours(title, list, at, mark) {
    if (!list?.length) return [];
    return [
      h("h3", {}, title),
      h(
        "ul.rows",
        {},
        list.map((record, i) => {
          const key = record.key ?? this.world.keyFor(record.machine, record.owner);
          const one = this.world.roster.get(key);
          return row(record, {
            at,
            name: record.machine,
            peer: this.world.peerName(one?.peer ?? record.owner ?? ""),
            go: () => this.use.open(key, BigInt(record.at)),
            focus: `${mark}${i}`,
          });
        }),
      ),
    ];
  }

  /** The owner's truth, and beside it what others believed. @param {any[]} beliefs @param {any[]} states @param {string} peer */
  beliefs(beliefs, states, peer) {
    if (!beliefs?.length) return [];
    const row = (/** @type {any} */ name, /** @type {any[]} */ cells, /** @type {Record<string, any>} */ data) =>
      h("tr", { data }, h("th", { scope: "row" }, name), cells);
    return [
      h("h3", {}, "What others believed"),
      h(
        "table.beliefs",
        {},
        h(
          "thead",
          {},
          h(
            "tr",
            {},
            ["peer", "active", "late by", "ticks behind"].map((text, i) =>
              h(i > 1 ? "th.number" : "th", { scope: "col" }, text),
            ),
          ),
        ),
        h(
          "tbody",
          {},
          row(
            `${peer}, its own`,
            [h("td", {}, this.active(states, {})), h("td.number", {}, "–"), h("td.number", {}, "–")],
            { observer: "" },
          ),
          beliefs.map((one) =>
            row(
              this.world.peerName(one.observer),
              one.known
                ? [
                    h("td", {}, this.active(states, one.ticks), this.differs(one.ticks)),
                    h("td.number", {}, late(one.stale_ms)),
                    h(
                      "td.number",
                      { title: one.behind_ticks === null ? "The machine has begun anew, and that has not come there." : "" },
                      one.behind_ticks === null ? "begun anew" : one.behind_ticks.toLocaleString("en"),
                    ),
                  ]
                : [h("td.quiet", { colspan: 3 }, "did not know it")],
              { observer: one.observer, behind: String(one.behind_ticks ?? ""), stale: String(one.stale_ms ?? "") },
            ),
          ),
        ),
      ),
    ];
  }

  /** What was active, as somebody saw it. @param {any[]} states @param {Record<string, [number, number]>} ticks truth, believed */
  active(states, ticks) {
    const seen = states.filter(({ name, tick }) => ((ticks ?? {})[name]?.[1] ?? tick) % 2 === 1).map(({ name }) => name);
    const wrong = states.some(({ name, active }) => active !== seen.includes(name));
    return h(wrong ? "div.wrong" : "div", {}, wrong ? "≠ " : "", seen.join(", ") || "nothing");
  }

  /** @param {Record<string, [number, number]>} ticks truth, believed */
  differs(ticks) {
    return Object.entries(ticks ?? {}).map(([state, [truth, believed]]) =>
      h("div.quiet", {}, `${state} ${believed}, is ${truth}`),
    );
  }

  /** @param {string} machine @param {string} owner */
  link(machine, owner) {
    const key = this.world.keyFor(machine, owner);
    return h("button.plain", { type: "button", data: { f: "parent" }, onclick: () => this.use.open(key) }, machine);
  }

  /** @param {{lanes: any[], truncated: boolean}} answer @param {any} span */
  takeLanes({ lanes, truncated }, span) {
    if (span && span.key !== this.key) return;
    this.span = span;
    const some = lanes.filter(({ spans }) => spans.length);
    renew(
      this.parts.lanes,
      h(
        "h3",
        {},
        h("span", {}, "When each state was active"),
        truncated ? h("span", {}, "the first part of it") : null,
      ),
      span && some.length
        ? h(
            "div.lanes",
            {},
            drawLanes(some, span, (state) => this.colour(state)),
          )
        : h("p.quiet", {}, "None was, in this window."),
    );
    if (span) placeNow(this.parts.lanes, this.world.moment, span);
  }

  /** Say to whoever listens what this machine is like. */
  tell() {
    const { network } = this.world.data.value;
    const machine = this.key ? network.get(this.key) : undefined;
    if (machine) byId("told").textContent = `${machine.machine}: ${machine.active.join(", ") || "nothing is active"}`;
    else if (this.key) say("It is not there yet at this moment.");
  }
}

/** How late something is, in ms and, where these are many, as people say it. @param {number|null} ms */
function late(ms) {
  if (ms === null || ms === undefined) return "–";
  const exactly = `${Math.round(ms).toLocaleString("en")} ms`;
  if (ms < 10_000) return exactly;
  return [duration(BigInt(Math.round(ms)) * MS), h("div.quiet", {}, exactly)];
}
