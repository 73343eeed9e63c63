// <odoo-migration-status>: the card of odoo-to-supabase.
//
//   <script type="module" src="https://sync.example.com/card/card.js"></script>
//   <odoo-migration-status></odoo-migration-status>
//
// Attributes: `address` (of the app; by default where this script comes from), `token`, `heading`,
// `theme` (light or dark; by default the reader's). Property `getToken`: a function, which may be
// asynchronous, for tokens that run out; it is asked before each call. Method `refresh()`. Events:
// `status` with each new status, `access` with `granted` when it is known whether the token is good.

import { Poll, Server } from "./poll.js";
import { blank } from "./template.js";
import { View, isOpen } from "./view.js";

const HOME = new URL("..", import.meta.url);

// Fetched before the element is defined: a card is never seen without its style. A sheet made so
// needs no permission by the style-src of the page that it is in.
const style = new CSSStyleSheet();
style.replaceSync(await (await fetch(new URL("card.css", import.meta.url))).text());

// While something of the set-up is not right it is looked at again, but seldom: a key that is wrong is refused each time.
const LOOK_EVERY_MS = 90_000;

const QUESTIONS = {
  run: ["Call the archive now, out of turn?", "Run now"],
  pause: ["Pause the archive? Files that are on their way still arrive; nothing new is begun.", "Pause"],
  resume: ["Go on with the archive?", "Resume"],
  "final-check": ["Compare everything with Odoo anew, to see whether Odoo can be switched off? It goes on over many ticks; the answer is at /certificate.", "Check"],
  retry: ["Put all dead files back into the queue, each with all its attempts?", "Retry"],
};

class OdooMigrationStatus extends HTMLElement {
  static observedAttributes = ["address", "token", "heading"];

  #getToken = null;
  #view;
  #server;
  #poll = new Poll(() => this.#ask());
  #clock = null;
  #data = null;
  #failure = null;
  #granted = null;
  #setup = { lines: null, looking: false, failure: null };
  #opened = false;
  #looked = -Infinity;

  constructor() {
    super();
    const root = this.attachShadow({ mode: "open" });
    root.adoptedStyleSheets = [style];
    root.append(blank());
    this.#view = new View(root);
    for (const action of Object.keys(QUESTIONS)) {
      root.getElementById(action).addEventListener("click", () => this.#confirm(action));
    }
    root.getElementById("look").addEventListener("click", () => this.#look());
  }

  /** For tokens that run out; by default the attribute `token`. */
  get getToken() {
    return this.#getToken;
  }

  set getToken(getToken) {
    this.#getToken = getToken;
    if (this.isConnected) this.refresh();
  }

  connectedCallback() {
    // What a page set before this class was there.
    if (Object.hasOwn(this, "getToken")) {
      this.#getToken = this.getToken;
      delete this.getToken;
    }
    this.#adopt();
    this.#show();
    // Not at once: who makes a card may give it its token just after (React's refs).
    queueMicrotask(() => {
      if (this.isConnected) this.#poll.start();
    });
    this.#clock = setInterval(() => {
      if (!document.hidden) this.#show();
    }, 1000);
  }

  disconnectedCallback() {
    this.#poll.stop();
    clearInterval(this.#clock);
  }

  attributeChangedCallback() {
    if (!this.isConnected) return;
    this.#adopt();
    this.refresh();
  }

  /** Asks now; resolves when the answer is shown. */
  refresh() {
    return this.#poll.anew();
  }

  #adopt() {
    this.#view.title(this.getAttribute("heading") || "Odoo migration");
    const address = this.getAttribute("address");
    const base = new URL(address ? address.replace(/\/*$/, "/") : HOME, document.baseURI);
    this.#view.links(base);
    this.#server = new Server(base, async () => await (this.#getToken ? this.#getToken() : this.getAttribute("token")) || null);
  }

  async #ask() {
    const server = this.#server;
    try {
      const { status, serverTime } = await server.status();
      if (server !== this.#server) return true;
      // The server's time and this page's own stopwatch: the reader's clock may be wrong.
      this.#data = { status, at: Date.parse(serverTime ?? status.server_time), received: performance.now() };
      this.#failure = null;
      this.#access(true);
      this.dispatchEvent(new CustomEvent("status", { detail: status }));
      const opens = isOpen(status) && !this.#opened;
      this.#opened = isOpen(status);
      if (opens || (this.#opened && performance.now() - this.#looked > LOOK_EVERY_MS)) this.#look();
      const { phase } = status.archive;
      return phase === "moving" || phase === "discovering" || status.syncs.crm.running || status.syncs.chatter.running;
    } catch (failure) {
      this.#failure = failure;
      if (failure.refused) {
        this.#data = null;
        this.#access(false);
      }
      throw failure;
    } finally {
      this.#show();
    }
  }

  #access(granted) {
    if (granted === this.#granted) return;
    this.#granted = granted;
    this.dispatchEvent(new CustomEvent("access", { detail: { granted } }));
  }

  #show() {
    const now = this.#data ? this.#data.at + performance.now() - this.#data.received : 0;
    this.#view.show({ data: this.#data, failure: this.#failure, now, setup: this.#setup });
  }

  /** Looks whether all is set up right, and shows the list. */
  async #look() {
    if (this.#setup.looking) return;
    const server = this.#server;
    this.#looked = performance.now();
    this.#setup = { ...this.#setup, looking: true };
    this.#show();
    let found;
    try {
      found = { lines: await server.check(), failure: null };
    } catch (failure) {
      // A key that may only read is no reason to say anything.
      found = { lines: this.#setup.lines, failure: failure.message, denied: failure.refused };
    }
    this.#setup = { ...found, looking: false };
    if (server === this.#server) await this.refresh();
  }

  #confirm(action) {
    const dialog = this.shadowRoot.getElementById("confirm");
    const [question, yes] = QUESTIONS[action];
    this.shadowRoot.getElementById("question").textContent = question;
    this.shadowRoot.getElementById("yes").textContent = yes;
    dialog.returnValue = "no";
    dialog.onclose = () => {
      if (dialog.returnValue === "yes") this.#act(action);
    };
    dialog.showModal();
  }

  async #act(action) {
    this.#view.outcome("…");
    try {
      this.#view.outcome(await this.#server.act(action));
    } catch (failure) {
      this.#view.outcome(failure.message, true);
    }
    await this.refresh();
  }
}

customElements.define("odoo-migration-status", OdooMigrationStatus);
