// Asks for the status: every 5 s while something moves, every 30 s while nothing does, not at all
// while nobody looks, and ever more rarely while it fails.

const ACTIVE_MS = 5_000;
const IDLE_MS = 30_000;
const REFUSED_MS = 60_000;
const LONGEST_MS = 120_000;
const PATIENCE_MS = 15_000;
// A look at the set-up waits for pg_net to call.
const LOOK_MS = 60_000;

/** No answer, or none that is a status. `refused` says that the token is not accepted, `missing` which settings are. */
export class Failure extends Error {
  constructor(message, refused = false, missing = []) {
    super(message);
    this.refused = refused;
    this.missing = missing;
  }
}

/** Calls of one server, with the newest token each time: those of users run out. */
export class Server {
  #address;
  #token;
  #tag = null;
  #known = null;
  #asked = null;

  constructor(address, token) {
    this.#address = address;
    this.#token = token;
  }

  /** The status, which may be the one that is known already, and the server's time. */
  async status() {
    const token = await this.#token();
    // What one may see must not be shown to another.
    if (token !== this.#asked) {
      [this.#tag, this.#known, this.#asked] = [null, null, token];
    }
    const headers = this.#tag ? { "If-None-Match": this.#tag } : {};
    const answer = await this.#send("status", token, { headers, cache: "no-store" });
    if (answer.status === 304 && this.#known) {
      return { status: this.#known, serverTime: answer.headers.get("x-server-time") };
    }
    if (!answer.ok) {
      const { words, missing } = await said(answer);
      throw new Failure(words, answer.status === 401 || answer.status === 403, missing);
    }
    let status;
    try {
      status = await answer.json();
    } catch {
      throw new Failure("The answer is no status.");
    }
    if (!status?.archive || !status.server_time) {
      throw new Failure("The answer is no status.");
    }
    this.#tag = answer.headers.get("etag");
    this.#known = status;
    return { status, serverTime: status.server_time };
  }

  /** What came of an action, in words. */
  async act(action, body = {}) {
    const answer = await this.#send(`actions/${action}`, await this.#token(), {
      method: "POST", headers: { "Content-Type": "application/json" }, body: JSON.stringify(body),
    });
    if (answer.ok) return (await answer.json()).outcome;
    throw new Failure((await said(answer)).words);
  }

  /** One look whether all is set up right: its lines. */
  async check() {
    const answer = await this.#send("check", await this.#token(), { method: "POST" }, LOOK_MS);
    if (!answer.ok) throw new Failure((await said(answer)).words, answer.status === 401 || answer.status === 403);
    return (await answer.json()).lines;
  }

  async #send(path, token, init, patience = PATIENCE_MS) {
    const headers = { ...init.headers };
    if (token) headers.Authorization = `Bearer ${token}`;
    try {
      return await fetch(new URL(path, this.#address), {
        ...init, headers, credentials: "omit", signal: AbortSignal.timeout(patience),
      });
    } catch {
      throw new Failure("The server cannot be reached.");
    }
  }
}

/** What a refusal says. */
async function said(answer) {
  try {
    const { error, outcome, remedy, missing } = await answer.json();
    return { words: [error ?? outcome ?? `HTTP ${answer.status}`, remedy].filter(Boolean).join(" "), missing };
  } catch {
    return { words: `The server answered ${answer.status}.` };
  }
}

/** Asks again and again while somebody looks. */
export class Poll {
  #ask;
  #timer = null;
  #failures = 0;
  #running = null;
  #started = false;

  /** `ask` resolves to whether something moves, and throws a Failure. */
  constructor(ask) {
    this.#ask = ask;
  }

  start() {
    this.#started = true;
    document.addEventListener("visibilitychange", this.#look);
    this.#look();
  }

  stop() {
    this.#started = false;
    document.removeEventListener("visibilitychange", this.#look);
    clearTimeout(this.#timer);
  }

  /** Asks now, also where an answer to an earlier question is under way; resolves when it is shown. */
  async anew() {
    await this.#running;
    await this.now();
  }

  /** Asks now, or waits for the answer that is under way. */
  now() {
    clearTimeout(this.#timer);
    this.#running ??= this.#once().finally(() => {
      this.#running = null;
    });
    return this.#running;
  }

  #look = () => {
    clearTimeout(this.#timer);
    if (this.#started && !document.hidden) this.now();
  };

  async #once() {
    let wait = IDLE_MS;
    try {
      wait = await this.#ask() ? ACTIVE_MS : IDLE_MS;
      this.#failures = 0;
    } catch (failure) {
      this.#failures += 1;
      wait = failure.refused ? REFUSED_MS : Math.min(ACTIVE_MS * 2 ** (this.#failures - 1), LONGEST_MS);
      // Cards that failed together must not come back together.
      wait *= 1 + Math.random() / 4;
    }
    if (this.#started && !document.hidden) {
      this.#timer = setTimeout(() => this.now(), wait);
    }
  }
}
