/** Questions to the server, and how not to ask too many at once. */

/** The server said no, or cannot be reached. `parameter` is the one at fault, if it is one. */
export class ApiError extends Error {
  /** @param {string} message @param {number} status @param {string|null} parameter */
  constructor(message, status, parameter = null) {
    super(message);
    this.name = "ApiError";
    this.status = status;
    this.parameter = parameter;
  }
}

export class Api {
  constructor() {
    /** @type {string|null} a window that was opened, which all questions are then about */
    this.window = null;
    this.asked = 0;
  }

  /**
   * @param {string} path below /api/
   * @param {Record<string, unknown>} [params] null, undefined and "" are left out; lists are joined
   */
  url(path, params = {}) {
    const query = new URLSearchParams();
    for (const [name, value] of Object.entries({ ...params, window: this.window })) {
      if (value === null || value === undefined || value === "") continue;
      query.set(name, Array.isArray(value) ? value.join(",") : String(value));
    }
    const text = query.toString();
    return `/api/${path}${text ? `?${text}` : ""}`;
  }

  /**
   * @param {string} path
   * @param {Record<string, unknown>} [params]
   * @returns {Promise<any>}
   */
  async get(path, params) {
    this.asked += 1;
    const url = this.url(path, params);
    const early = /** @type {any} */ (globalThis).early?.get(url); // see early.js
    /** @type {any} */ (globalThis).early?.delete(url);
    return await answer(early ?? fetch(url, { headers: { accept: "application/json" } }));
  }

  /** Give a file to the server, and get a window. @param {Blob} file @returns {Promise<{window: string}>} */
  async open(file) {
    return await answer(fetch("/api/open", { method: "POST", body: file }));
  }
}

/** @param {Promise<Response>} sent */
async function answer(sent) {
  let response;
  try {
    response = await sent;
  } catch {
    throw new ApiError("the server does not answer: is it still running?", 0);
  }
  const body = await response.json().catch(() => null);
  if (response.ok && body !== null) return body;
  throw new ApiError(body?.error ?? `the server answered ${response.status}`, response.status, body?.parameter ?? null);
}

/**
 * Ask one at a time; while one is under way, of those that come only the newest waits. So dragging asks as often as
 * the server can answer, and never more.
 *
 * @template A, R
 */
export class Newest {
  /**
   * @param {(asked: A) => Promise<R>} run
   * @param {(result: R, asked: A, isLast: boolean) => void} done
   * @param {(error: Error, asked: A) => void} failed
   */
  constructor(run, done, failed) {
    this.run = run;
    this.done = done;
    this.failed = failed;
    this.busy = false;
    /** @type {{asked: A}|null} */
    this.waiting = null;
  }

  /** @param {A} asked */
  ask(asked) {
    this.waiting = { asked };
    if (!this.busy) void this.go();
  }

  async go() {
    this.busy = true;
    while (this.waiting) {
      const { asked } = this.waiting;
      this.waiting = null;
      try {
        const result = await this.run(asked);
        this.done(result, asked, !this.waiting);
      } catch (error) {
        if (!this.waiting) this.failed(/** @type {Error} */ (error), asked);
      }
    }
    this.busy = false;
  }
}
