// The page at /: the card, and a way to hand it a token. The token comes by the form; by `#token=…` where a person
// opened the address (a fragment is never sent to a server); or, in a frame, by a message of the framing page.

const KEPT = "odoo-migration-status token";

const card = document.querySelector("odoo-migration-status");
const form = document.querySelector("#sign-in");
const field = document.querySelector("#token");
const wayIn = document.querySelector("#way-in");
const refused = document.querySelector("#refused");

// Who follows a link to here, or frames this, may be meant to look with somebody else's token.
const { fromElsewhere, tokenOrigins } = document.documentElement.dataset;
const framed = window.self !== window.top;
// How long a framing page has before it is asked for a better token.
const ASK_AGAIN_MS = 5000;

// A browser may forbid storage to a frame of another site; then the token lasts as long as the page.
let inMemory = null;

const given = new URLSearchParams(location.hash.slice(1)).get("token");
if (given) {
  if (!framed && fromElsewhere === undefined && window.opener === null) keep(given);
  history.replaceState(null, "", location.pathname + location.search);
}

if (framed) {
  document.documentElement.classList.add("framed");
  const origins = [location.origin, ...(tokenOrigins ?? "").split(" ")];
  window.addEventListener("message", async ({ source, origin, data }) => {
    if (source !== window.parent || !origins.includes(origin)) return;
    if (data?.type !== "odoo-migration-status:token" || typeof data.token !== "string") return;
    if (data.token === inMemory) return;
    inMemory = data.token;
    await card.refresh?.();
  });
}

// There is no secret in it, and the framing page's origin is not known here.
function askParent() {
  if (framed) window.parent.postMessage({ type: "odoo-migration-status:ready" }, "*");
}

let asking = null;
card.addEventListener("access", (event) => {
  form.hidden = event.detail.granted;
  wayIn.hidden = true;
  if (!event.detail.granted) {
    asking ??= setTimeout(() => {
      asking = null;
      askParent();
    }, ASK_AGAIN_MS);
  }
});

// A status that is open to anyone is read without a token, or with one that is not good: only its
// words tell who reads it.
card.addEventListener("status", (event) => {
  const { admin } = event.detail.viewer;
  form.hidden ||= admin;
  wayIn.hidden = admin || !form.hidden;
});

wayIn.addEventListener("click", () => {
  form.hidden = false;
  wayIn.hidden = true;
  field.focus();
});

form.addEventListener("submit", async (event) => {
  event.preventDefault();
  keep(field.value.trim());
  field.value = "";
  refused.textContent = "";
  await card.refresh();
  if (!form.hidden) refused.textContent = "This token does not let in: is it an admin's, and still good?";
});

// Before there is a card, so that its first question has the token.
card.getToken = kept;
await import("./card.js");
askParent();

function kept() {
  if (framed) return inMemory;
  try {
    return sessionStorage.getItem(KEPT) ?? inMemory;
  } catch {
    return inMemory;
  }
}

function keep(token) {
  inMemory = token;
  if (framed) return;
  try {
    sessionStorage.setItem(KEPT, token);
  } catch {
    // It is in memory.
  }
}
