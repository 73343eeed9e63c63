// The page at /certificate: what the newest final check came to. Every text from data is set as text.

import { bytes, count, moment } from "./words.js";

const KEPT = "odoo-migration-status token";
const AGAIN_MS = 5000;
const place = document.querySelector("#certificate");
const form = document.querySelector("#sign-in");
const field = document.querySelector("#token");
const refused = document.querySelector("#refused");
let token = null;

try {
  token = sessionStorage.getItem(KEPT);
} catch {
  // A browser may forbid storage.
}

form.addEventListener("submit", (event) => {
  event.preventDefault();
  token = field.value.trim();
  field.value = "";
  try {
    sessionStorage.setItem(KEPT, token);
  } catch {
    // It lasts as long as the page.
  }
  look();
});

async function look() {
  refused.textContent = "";
  let answer;
  try {
    answer = await fetch(new URL("certificate.json", location.href), {
      headers: token ? { Authorization: `Bearer ${token}` } : {}, credentials: "omit",
    });
  } catch {
    refused.textContent = "The server cannot be reached.";
    setTimeout(look, AGAIN_MS);
    return;
  }
  form.hidden = answer.ok;
  if (!answer.ok) {
    refused.textContent = token ? `The server answered ${answer.status}: is the token an admin's, and still good?` : "";
    return;
  }
  const certificate = await answer.json();
  show(certificate);
  if (certificate.state === "running") setTimeout(look, AGAIN_MS);
}

const VERDICTS = { ready: "Ready", not_ready: "Not ready", running: "Under way", none: "Not checked" };

function show(c) {
  const drawn = [
    make("p", `verdict ${c.stale ? "stale" : c.state}`, `${c.stale ? "Out of date" : VERDICTS[c.state] ?? c.state}. ${c.words}`),
  ];
  if (c.state !== "none") {
    drawn.push(
      list([
        ["Check", `${c.id}, asked for by ${c.asked_by}`],
        ["Everything is from after", time(c.asked_at)],
        ["Ended", c.ended_at ? time(c.ended_at) : "not yet"],
        ["Odoo", c.sides.odoo], ["Storage", c.sides.storage],
        ["Bytes of objects", c.read_data ? "all read again, and hashed" : "not read again: size and etag were compared"],
        ["Changed since", c.stale ? `${c.stale_why}, ${time(c.stale_at)}` : "nothing that the jobs found, as long as they run"],
      ]),
      ...section("What stands in the way", ["of", "what", "how many", "for example", "what to do"], c.reasons.map((r) => [
        r.entity, r.kind, figure(r.count), r.examples.map((e) => e.id ? `${e.id}: ${e.said}` : e.said).join("; "), r.remedy,
      ])),
      ...section("What was compared", ["of", "in Odoo", "here", "how", "when"], c.parts.map(({ entity, done_at: done, evidence: e }) => [
        entity, side(e.source_count, e.source_bytes), side(e.destination_count, e.destination_bytes),
        [e.compared, e.rewritten && `${count(e.rewritten)} written anew`, e.read_back && `${count(e.read_back)} objects read`].filter(Boolean).join("; "),
        done ? time(done) : "under way",
      ])),
      ...section("What is left out", ["of", "what"], c.left_out.map((l) => [l.what, l.words])),
      ...section("What was accepted", ["of", "what", "record", "by whom", "when", "why"], c.acknowledged.map((a) => [
        a.entity, `${a.kind}: ${a.said}`, a.id ? figure(a.id) : "", a.who, time(a.at), a.note ?? "",
      ])),
    );
  }
  place.replaceChildren(...drawn);
}

const figure = (number) => ({ figure: String(number) });
const side = (rows, size) => figure(rows === undefined ? "–" : size === undefined ? count(rows) : `${count(rows)} (${bytes(size)})`);
const time = (iso) => `${moment(iso)} (${iso})`;

function list(rows) {
  const filled = rows.filter(([, value]) => value);
  return wide("The check", make("tbody", "", ...filled.map(([name, value]) => make("tr", "", head(name, "row"), make("td", "", value)))));
}

/** A table that is scrolled by itself where it is wider than the page, by the keyboard too. */
function wide(title, ...parts) {
  const region = make("div", "wide", make("table", "", ...parts));
  region.tabIndex = 0;
  region.role = "region";
  region.ariaLabel = title;
  return region;
}

function section(title, heads, rows) {
  if (!rows.length) return [];
  const cell = (value) => make("td", value?.figure ? "figure" : "", value?.figure ?? value ?? "");
  return [
    make("h2", "", title),
    wide(title,
      make("thead", "", make("tr", "", ...heads.map((name) => head(name, "col")))),
      make("tbody", "", ...rows.map((row) => make("tr", "", ...row.map(cell))))),
  ];
}

function head(name, scope) {
  const cell = make("th", "", name);
  cell.scope = scope;
  return cell;
}

function make(tag, className, ...children) {
  const element = document.createElement(tag);
  if (className) element.className = className;
  element.append(...children);
  return element;
}

look();
