// The page at /certificate: what the newest final check came to. Every text from data is set as text.

import { figure, make, pairs, signIn, table } from "./dom.js";
import { bytes, count, moment } from "./words.js";

const AGAIN_MS = 5000;
const place = document.querySelector("#certificate");
const page = signIn(look);

async function look() {
  const certificate = await page.read("certificate.json");
  if (certificate) show(certificate);
  if (certificate ? certificate.state === "running" : !page.isOpen) setTimeout(look, AGAIN_MS);
}

const VERDICTS = { ready: "Ready", not_ready: "Not ready", running: "Under way", none: "Not checked" };

function show(c) {
  const drawn = [
    make("p", `verdict ${c.stale ? "stale" : c.state}`, `${c.stale ? "Out of date" : VERDICTS[c.state] ?? c.state}. ${c.words}`),
  ];
  if (c.state !== "none") {
    drawn.push(
      pairs("The check", [
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

const side = (rows, size) => figure(rows === undefined ? "–" : size === undefined ? count(rows) : `${count(rows)} (${bytes(size)})`);
const time = (iso) => `${moment(iso)} (${iso})`;
const section = (title, heads, rows) => rows.length ? [make("h2", "", title), table(title, heads, rows)] : [];

look();
