// The page at /: the card, and a way to hand it a token. The token comes by the form, or by
// `#token=…` from whoever embeds the page: a fragment is never sent to a server.

const KEPT = "odoo-migration-status token";

const card = document.querySelector("odoo-migration-status");
const form = document.querySelector("#sign-in");
const field = document.querySelector("#token");
const wayIn = document.querySelector("#way-in");
const refused = document.querySelector("#refused");

// A browser may forbid storage to a frame of another site; then the token lasts as long as the page.
let inMemory = null;

if (window.self !== window.top) {
  document.documentElement.classList.add("framed");
}

const given = new URLSearchParams(location.hash.slice(1)).get("token");
if (given) {
  keep(given);
  history.replaceState(null, "", location.pathname + location.search);
}

card.addEventListener("access", (event) => {
  form.hidden = event.detail.granted;
  wayIn.hidden = true;
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

function kept() {
  try {
    return sessionStorage.getItem(KEPT) ?? inMemory;
  } catch {
    return inMemory;
  }
}

function keep(token) {
  inMemory = token;
  try {
    sessionStorage.setItem(KEPT, token);
  } catch {
    // It is in memory.
  }
}
