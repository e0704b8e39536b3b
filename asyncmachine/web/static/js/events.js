/**
 * Server-sent events, read from an answer of fetch. An EventSource would read them, too, but it does not tell why it
 * has ended, and a new one cannot go on behind what an earlier one has had.
 */

import { ApiError } from "./api.js";

const QUIET = 50_000; // ms: the server says something each 15 s, so that it is away if it has said nothing for so long

/** @typedef {{name: string, id: number|null, data: any}} ServerEvent */

/**
 * Read one event; null: it is only a comment.
 * @param {string} text the lines of it
 * @returns {ServerEvent|null}
 */
export function parseEvent(text) {
  /** @type {Record<string, string>} */
  const fields = {};
  for (const line of text.split("\n")) {
    const [, name, value] = /^(\w+): ?(.*)$/.exec(line) ?? [];
    if (name) fields[name] = value;
  }
  if (!fields.event || fields.data === undefined) return null;
  return { name: fields.event, id: fields.id ? Number(fields.id) : null, data: JSON.parse(fields.data) };
}

/**
 * Follow a feed until it ends.
 * @param {string} url
 * @param {{after: number|null, signal: AbortSignal, quiet?: number}} how after: the id of the last event that was had
 * @param {(event: ServerEvent) => void} take
 * @returns {Promise<void>}
 */
export async function follow(url, { after, signal, quiet = QUIET }, take) {
  const headers = { accept: "text/event-stream", ...(after === null ? {} : { "last-event-id": String(after) }) };
  const gone = (/** @type {unknown} */ error) => {
    throw new ApiError(`the connection is lost: ${error}`, 0);
  };
  const response = await fetch(url, { headers, signal, cache: "no-store" }).catch(gone);
  if (!response.ok || !response.body) {
    const told = await response.json().catch(() => null);
    throw new ApiError(told?.error ?? `the server answered ${response.status}`, response.status);
  }
  const reader = response.body.pipeThrough(new TextDecoderStream()).getReader();
  let text = "";
  for (;;) {
    const { done, value } = await heard(reader, quiet).catch(gone);
    if (done) return;
    const parts = (text + value).split("\n\n");
    text = parts.pop() ?? "";
    for (const part of parts) {
      const event = parseEvent(part);
      if (event) take(event);
    }
  }
}

/** Read on; what says nothing for too long is over. @param {ReadableStreamDefaultReader<string>} reader @param {number} quiet */
async function heard(reader, quiet) {
  const timer = setTimeout(() => void reader.cancel("nothing was heard"), quiet); // then it is done
  try {
    return await reader.read();
  } finally {
    clearTimeout(timer);
  }
}
