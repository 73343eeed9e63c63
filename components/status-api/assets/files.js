// The page at /files: the files that wait for a person, and what can be done about each. Every text from data is set
// as text.

import { figure, make, signIn, table } from "./dom.js";
import { bytes, count, plural } from "./words.js";

const PAGE = 100;
// What the server hands out at once, for a CSV of all.
const MOST = 500;

const get = (id) => document.getElementById(id);
const { read, send } = signIn(() => look());
let after = 0;

get("kind").addEventListener("change", () => look(0));
get("first").addEventListener("click", () => look(0));
get("next").addEventListener("click", () => look(Number(get("next").dataset.after)));
get("csv").addEventListener("click", save);

const page = (from, most) => `status/files?kind=${get("kind").value}&after=${from}&limit=${most}`;

/** Shows the page of the list that begins behind an id. */
async function look(from = after) {
  const found = await read(page(from, PAGE));
  get("list").hidden = !found;
  if (!found) return;
  after = from;
  show(found);
}

function show({ files, kinds, next_after: next }) {
  const chosen = get("kind").value;
  const all = kinds.reduce((sum, { files: of }) => sum + of, 0);
  const options = [["", `All (${count(all)})`], ...kinds.map(({ kind, files: of }) => [kind, `${kind} (${count(of)})`])];
  if (chosen && !kinds.some(({ kind }) => kind === chosen)) options.push([chosen, `${chosen} (0)`]);
  get("kind").replaceChildren(...options.map(([value, words]) => Object.assign(make("option", "", words), { value })));
  get("kind").value = chosen;
  get("csv").disabled = files.length === 0;
  get("first").disabled = after === 0;
  get("next").disabled = next === null;
  get("next").dataset.after = next ?? "";
  if (!files.length) {
    get("files").replaceChildren(make("p", "", "No file waits for anybody."));
    return;
  }
  get("files").replaceChildren(table("Files", ["File", "Record", "Size", "Why", "What to do", "Do"], files.map(row)));
}

const recordOf = (file) => file.res_model ? `${file.res_model} ${file.res_id ?? ""}`.trim() : "";
const reasonOf = (file) => [file.kind, file.message, file.deleted_at && "deleted in Odoo", file.accepted_by && `accepted by ${file.accepted_by}`].filter(Boolean).join("; ");

function row(file) {
  const actions = [];
  if (file.state === "dead") actions.push(button("Retry", `Retry file ${file.id}`, () => act("retry", { ids: [file.id] })));
  if (!file.accepted_by) {
    const kind = file.state === "dead" ? "dead" : file.kind;
    actions.push(button("Accept", `Accept that file ${file.id} is left behind`, () => accept(file, kind)));
  }
  return [`${file.id}: ${file.name}`, recordOf(file), figure(bytes(file.file_size)), reasonOf(file), file.remedy, actions];
}

/** What the newest final check found is accepted by name, once; it no longer stands in the way. */
function accept(file, kind) {
  const note = prompt(`File ${file.id} is left behind when Odoo is switched off. Why?`);
  if (note !== null) act("acknowledge", { entity: "attachments", kind, ids: [file.id], note });
}

async function act(action, body) {
  get("outcome").textContent = "…";
  let said;
  try {
    const answer = await send(`actions/${action}`, { method: "POST", body: JSON.stringify(body), headers: { "Content-Type": "application/json" } });
    const told = await answer.json();
    said = told.outcome ? [told.outcome, told.remedy].filter(Boolean).join(" ") : told.error ?? `The server answered ${answer.status}.`;
  } catch {
    said = "The server cannot be reached.";
  }
  get("outcome").textContent = said;
  await look();
}

/** All of the chosen kind, not only this page. */
async function save() {
  const lines = [["id", "name", "model", "record", "bytes", "state", "reason", "message", "remedy", "failed_at", "accepted_by"]];
  let from = 0;
  get("csv").disabled = true;
  while (from !== null) {
    const found = await read(page(from, MOST));
    // Half a list would pass for the whole.
    if (!found) {
      get("csv").disabled = false;
      return;
    }
    const { files, next_after: next } = found;
    for (const f of files) {
      lines.push([f.id, f.name, f.res_model, f.res_id, f.file_size, f.state, f.kind, f.message, f.remedy, f.failed_at, f.accepted_by]);
    }
    from = next;
  }
  get("csv").disabled = false;
  const text = lines.map((line) => line.map(cell).join(",")).join("\r\n");
  const link = make("a");
  link.href = URL.createObjectURL(new Blob(["\ufeff", text, "\r\n"], { type: "text/csv" }));
  link.download = "files-that-wait.csv";
  link.click();
  URL.revokeObjectURL(link.href);
  get("outcome").textContent = `${plural(lines.length - 1, "file", "files")} saved.`;
}

/** RFC 4180. What a spreadsheet would take for a formula is kept from being one. */
function cell(value) {
  const text = String(value ?? "");
  const plain = typeof value === "string" && /^[=+\-@\t\r]/.test(text) ? `'${text}` : text;
  return /[",\r\n]/.test(plain) ? `"${plain.replaceAll('"', '""')}"` : plain;
}

function button(words, label, what) {
  const element = make("button", "", words);
  element.type = "button";
  element.ariaLabel = label;
  element.addEventListener("click", what);
  return element;
}

look();
