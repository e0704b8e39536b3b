/** A transition, in words. */

import { h } from "./dom.js";
import { short } from "./time.js";

/** @typedef {import("./types.js").LogRecord} LogRecord */

/** What it did: +Open −Closed. @param {Partial<LogRecord>} record @param {string} [nothing] said if it did nothing */
export function changes(record, nothing = "no other state ") {
  const parts = [
    ...(record.activated ?? []).map((state) => h("span.came", {}, `+${state} `)),
    ...(record.deactivated ?? []).map((state) => h("span.went", {}, `−${state} `)),
  ];
  if (record.error) parts.unshift(h("span.fault-text", {}, "▲ error "));
  if (record.rejected) parts.unshift(h("span.fault-text", {}, "refused "));
  return parts.length ? parts : [h("span.quiet", {}, nothing)];
}

/** What asked for it. @param {Partial<LogRecord>} record */
export function asked(record) {
  const what = `${record.mutation ?? ""} ${(record.called ?? []).join(", ")}`.trim();
  return `${record.auto ? "by itself: " : ""}${what}`;
}

/**
 * A row that leads to a machine at a moment.
 * @param {any} record
 * @param {{at: bigint, name: string, peer?: string, go: () => void, isNow?: boolean, focus: string}} use
 */
export function row(record, { at, name, peer, go, isNow = false, focus }) {
  const moment = BigInt(record.at);
  return h(
    isNow ? "li.now-row" : "li",
    {},
    h(
      "button.plain",
      { type: "button", onclick: go, data: { f: focus } },
      h("span.when", {}, h("span", {}, short(moment, at)), h("span", {}, [name, peer].filter(Boolean).join(" · "))),
      h("span", {}, changes(record)),
      record.mutation ? h("span.asked", {}, asked(record)) : null,
    ),
  );
}
