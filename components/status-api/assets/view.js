// Puts a status into the card. Every text from data is set as text.

import { make } from "./dom.js";
import * as words from "./words.js";

const TONES = {
  running: "good", done: "good", errors: "bad", cron_failing: "bad", paused: "warn",
  offline: "bad", no_access: "warn", not_set_up: "warn", connecting: "none",
};

/** The card of a shadow root, and what it shows now. */
export class View {
  #root;
  #card;
  #opened = false;
  #spoken = { state: null, tenth: null };

  constructor(root) {
    this.#root = root;
    this.#card = root.querySelector(".card");
    this.#get("errors").addEventListener("toggle", () => {
      this.#opened = true;
    });
  }

  #get(id) {
    return this.#root.getElementById(id);
  }

  title(text) {
    say(this.#get("title"), text);
  }

  /** Shows everything as of now. `data` is null before the first answer; `failure` is that of the last call. */
  show({ data, failure, now, setup }) {
    const status = data?.status;
    const offline = Boolean(failure);
    const state = failure ? failure.missing.length > 0 ? "not_set_up" : failure.refused ? "no_access" : "offline"
      : isBegun(status, setup) ? status?.state ?? "connecting" : "not_set_up";
    const phase = status?.archive.phase;
    const alive = !offline && isAlive(status, now);
    const classes = {
      connecting: state === "connecting",
      offline,
      alive,
      moving: !offline && (phase === "moving" || phase === "discovering"),
    };
    for (const [name, on] of Object.entries(classes)) this.#card.classList.toggle(name, Boolean(on));
    this.#card.dataset.state = state;
    this.#card.dataset.phase = phase ?? "";

    const badge = this.#get("state");
    say(badge, words.STATES[state] ?? state);
    badge.dataset.tone = TONES[state] ?? "none";
    this.#liveness({ state, data, failure, alive, now });
    this.#setup(status, setup, offline);
    this.#archive(status?.archive, { now, alive, offline });
    this.#errors(status, now);
    this.#warnings(status);
    this.#sync("crm", "crm-sync", status, now);
    this.#sync("chatter", "chatter-sync", status, now);
    this.#comparisons(status, now);
    this.#actions(status, offline);
    this.#speak(state, status?.archive);
  }

  #liveness({ state, data, failure, alive, now }) {
    const place = this.#get("liveness");
    place.title = "";
    const missing = failure?.missing ?? [];
    this.#get("how").hidden = missing.length === 0;
    if (state === "connecting") {
      say(place, "Connecting…");
    } else if (missing.length > 0) {
      say(place, `Not set up yet: set ${missing.join(" and ")}`);
    } else if (state === "no_access") {
      say(place, "The token is missing or not accepted");
    } else if (state === "offline") {
      const age = data ? (now - data.at) / 1000 : null;
      say(place, age === null ? "Offline, no data yet" : `Offline, last data ${words.agoInWords(age)}`);
      place.title = data ? `${failure.message} ${words.moment(data.at)}` : failure.message;
    } else {
      const { last_tick: tick } = data.status.liveness;
      if (!tick) {
        say(place, "No tick yet");
        return;
      }
      say(place, `${alive ? "Live" : "Not live"} · last tick ${words.ago(since(tick, now))}`);
      place.title = words.moment(tick);
    }
  }

  /** The list of what has to be right: until it has been once, and whenever something is not. */
  #setup(status, { lines, looking, failure, denied }, offline) {
    const section = this.#get("setup");
    section.hidden = offline || denied || !status || !isOpen(status);
    if (section.hidden) return;
    const right = lines?.filter(({ state }) => ["ok", "warning"].includes(state)).length;
    say(this.#get("setup-title"), failure ?? (lines ? `Set-up: ${right} of ${lines.length} are right` : "Set-up"));
    const button = this.#get("look");
    button.disabled = looking;
    say(button, looking ? "Looking…" : lines ? "Look again" : "Look");
    // What comes after something that failed need not be told one by one.
    const told = (lines ?? []).filter(({ state }) => state !== "not_tried");
    fill(this.#get("lines"), told, ({ name, state, found, remedy }) => [
      make("span", `sign ${state}`, words.SIGNS[state]),
      make("span", "", make("span", "unseen", `${words.LINE_STATES[state]}: `), make("span", "name", name), state === "ok" ? "" : `: ${found}`,
        remedy && make("span", "remedy", remedy)),
    ], "line", [], "li");
  }

  #archive(archive, { now, alive, offline }) {
    const bar = this.#get("bar");
    if (!archive) {
      for (const id of ["percent", "migrated", "left", "rate", "phase"]) say(this.#get(id), "–");
      this.#get("for-people").hidden = true;
      for (const id of ["eta", "eta-range"]) say(this.#get(id), "");
      bar.setAttribute("aria-valuetext", "not known yet");
      this.#sparkline([]);
      return;
    }
    say(this.#get("percent"), words.percent(archive.percent));
    bar.style.setProperty("--moved", archive.percent);
    bar.style.setProperty("--dead", archive.total > 0 ? 100 * archive.dead / archive.total : 0);
    bar.setAttribute("aria-valuenow", archive.percent);
    const growing = archive.listed ? "" : " so far";
    const migrated = `${words.count(archive.migrated)} / ${words.count(archive.total)} migrated`;
    bar.setAttribute("aria-valuetext",
      `${words.percent(archive.percent)}, ${words.count(archive.migrated)} of ${words.count(archive.total)} files${growing}`);
    say(this.#get("migrated"), migrated);
    this.#get("migrated").title = [
      `${words.bytes(archive.bytes)} of ${words.bytes(archive.bytes_total)}`,
      `${words.count(archive.skipped)} need no moving`,
      growing && "Odoo's list is still being read",
    ].filter(Boolean).join("; ");
    const waiting = archive.waiting ?? 0;
    const forPeople = [archive.dead > 0 && `${words.count(archive.dead)} dead`, waiting > 0 && `${words.count(waiting)} waiting`];
    const told = forPeople.filter(Boolean).join(", ");
    say(this.#get("left"), `${words.count(archive.remaining)} remaining${told && ", "}`);
    say(this.#get("for-people"), told);
    this.#get("for-people").hidden = !told;
    this.#get("remaining").title = waiting > 0
      ? `${words.count(waiting)} wait for odoo_password or a higher limit` : "";

    const [eta, range] = offline ? ["", ""] : etaOf(archive, alive, now);
    say(this.#get("eta"), eta);
    say(this.#get("eta-range"), range);
    say(this.#get("rate"), archive.rate && !offline
      ? `${words.count(Math.round(archive.rate.files_per_minute))} files/min · ${words.bytes(archive.rate.bytes_per_s)}/s`
      : "–");
    say(this.#get("phase"), offline ? "–" : words.PHASES[archive.phase] ?? archive.phase);
    this.#sparkline(archive.history.files_per_minute);
  }

  #sparkline(history) {
    const picture = this.#get("sparkline");
    const highest = Math.max(1, ...history);
    const points = !history.some(Boolean) ? [] : history.map((value, index) => `${index * 2},${(30 - 28 * value / highest).toFixed(1)}`);
    const [area, line] = picture.children;
    line.setAttribute("d", points.length ? `M${points.join("L")}` : "");
    area.setAttribute("d", points.length ? `M0,32L${points.join("L")}L${(history.length - 1) * 2},32Z` : "");
    picture.setAttribute("aria-label", history.some(Boolean)
      ? `Throughput of the last 30 minutes: at most ${words.count(Math.max(...history))} files a minute`
      : "Throughput of the last 30 minutes: none");
  }

  #errors(status, now) {
    const findings = status ? findingsOf(status) : [];
    const groups = status?.errors.groups ?? [];
    const number = findings.length + (status?.errors.count ?? 0);
    const badge = this.#get("errors-count");
    say(badge, status ? words.count(number) : "–");
    badge.classList.toggle("some", number > 0);
    say(this.#get("errors-title"), number > 0 || !status ? "Errors" : "No errors");
    // Opens by itself once, when there is something that somebody has to do; after that it is the reader's.
    const panel = this.#get("errors");
    if (findings.length > 0 && !this.#opened) panel.open = true;

    fill(this.#get("diagnosis"), findings, ({ title, problem, remedy }) => [
      make("p", "", make("strong", "", title), problem ? `: ${problem}` : ""),
      remedy && make("p", "remedy", remedy),
    ], "finding");

    // What is said above already need not be said again.
    const told = new Set(findings.map(({ remedy }) => remedy));
    const caption = status?.errors.newest_at
      ? [make("p", "caption", "Last error (", time(status.errors.newest_at, now), ")")] : [];
    fill(this.#get("groups"), groups, (group) => [
      make("div", "line-head",
        make("span", "", lineOf(group)),
        make("span", "times-many", group.count > 1 ? `× ${words.count(group.count)}` : "")),
      group.newest.name && make("p", "more", group.newest.name),
      group.remedy && !told.has(group.remedy) && make("p", "more", group.remedy),
    ], "failure", caption);

    moment(this.#get("last-success"), status?.last_success, now, status ? "none yet" : "–");
    moment(this.#get("last-failure"), status?.last_failure?.at, now, status ? "none" : "–");
    if (status?.last_failure?.message) {
      this.#get("last-failure").title = `${words.moment(status.last_failure.at)}: ${status.last_failure.message}`;
    }
  }

  /** What does not keep a job from working, and will. */
  #warnings(status) {
    const warnings = !status?.viewer.admin ? [] : status.jobs.filter(({ state, problem }) => state === "ok" && problem);
    this.#get("warnings").hidden = warnings.length === 0;
    say(this.#get("warnings-count"), words.count(warnings.length));
    fill(this.#get("warned"), warnings, ({ component, problem, remedy }) => [
      make("p", "", make("strong", "", words.JOBS[component] ?? component), `: ${problem}`),
      remedy && make("p", "remedy", remedy),
    ], "finding warning");
  }

  /** Each comparison: how many either side has, and how many differ. */
  #comparisons(status, now) {
    const syncs = status ? [status.syncs.crm, status.syncs.chatter] : [];
    const entities = syncs.flatMap(({ validation }) => validation?.entities ?? []);
    this.#get("comparisons").hidden = entities.length === 0;
    const side = (number) => number == null ? "?" : words.count(number);
    fill(this.#get("compared"), entities, (entity) => [
      make("span", "name", entity.entity.replaceAll("_", " ")),
      make("span", "freshness", `${side(entity.source_count)} in Odoo, ${side(entity.destination_count)} here, `, time(entity.checked_at, now)),
      toned(entity.verdict === "same" ? "good" : "bad", entity.verdict === "same" ? "same"
        : entity.verdict === "differs" ? words.plural(entity.missing + entity.extra + entity.stale, "difference", "differences") : "not comparable"),
    ], "compared");
  }

  /** Where the pages of the app are: beside the card, or, from another page, in a window of their own. */
  links(base) {
    const apart = window.self !== window.top || base.origin !== location.origin;
    for (const [id, page] of [["how", "setup.md"], ["for-people", "files"], ["certificate", "certificate"]]) {
      const link = this.#get(id);
      link.href = new URL(page, base);
      if (apart) Object.assign(link, { target: "_blank", rel: "noopener" });
    }
  }

  #sync(name, component, status, now) {
    const place = this.#get(name);
    const verdict = this.#get(`${name}-verdict`);
    const sync = status?.syncs[name];
    place.title = verdict.title = "";
    verdict.dataset.tone = "none";
    if (!sync) {
      say(place, "–");
      say(verdict, "");
      return;
    }
    const failed = sync.last_run && sync.last_run.outcome !== "success";
    const lag = sync.fresh_as_of ? `${words.duration(since(sync.fresh_as_of, now))} behind` : "";
    const last = sync.last_run ? `last run ${words.ago(since(sync.last_run.at, now))}` : "";
    if (sync.running) say(place, "Syncing now");
    else if (sync.paused) say(place, "Paused");
    else if (failed) say(place, `Failed ${words.ago(since(sync.last_run.at, now))}`);
    else if (!sync.last_run) say(place, "Never ran");
    else say(place, `${lag || "Not complete yet"} · ${last}`);
    place.title = [
      sync.last_run && words.moment(sync.last_run.at),
      sync.last_run?.fault?.message,
      sync.fresh_as_of && `as of ${words.moment(sync.fresh_as_of)}`,
    ].filter(Boolean).join("\n");

    const { validation } = sync;
    if (!validation) {
      say(verdict, sync.last_run ? "Not validated" : "");
      return;
    }
    const differences = validation.missing + validation.extra + validation.stale;
    verdict.dataset.tone = validation.verdict === "same" ? "good" : "bad";
    say(verdict, validation.verdict === "same" ? "✓ Validated"
      : validation.verdict === "differs" ? words.plural(differences, "difference", "differences")
      : "Not comparable");
    verdict.title = [
      words.moment(validation.checked_at),
      ...validation.entities.map((entity) => `${entity.entity}: ${entity.verdict}, `
        + `${words.count(entity.missing)} missing, ${words.count(entity.extra)} extra, ${words.count(entity.stale)} stale`),
    ].join("\n");
  }

  #actions(status, offline) {
    this.#get("actions").hidden = !status?.viewer.admin || offline;
    if (!status) return;
    const paused = status.archive.phase === "paused";
    this.#get("pause").hidden = paused;
    this.#get("resume").hidden = !paused;
    this.#get("run").disabled = paused;
    const retry = this.#get("retry");
    retry.hidden = status.archive.dead === 0;
    say(retry, `Retry ${words.plural(status.archive.dead, "dead file", "dead files")}`);
  }

  /** What came of an action. */
  outcome(text, bad = false) {
    const place = this.#get("outcome");
    place.classList.toggle("bad", bad);
    say(place, text);
  }

  /** Tells those who do not see it: changes of state, and every ten percent. */
  #speak(state, archive) {
    if (state === "connecting") return;
    const tenth = archive ? Math.floor(archive.percent / 10) : null;
    const before = this.#spoken;
    this.#spoken = { state, tenth: tenth ?? before.tenth };
    if (before.state === null) return;
    if (before.state !== state) {
      say(this.#get("spoken"), archive
        ? `${words.STATES[state]}, ${words.percent(archive.percent)} migrated` : words.STATES[state]);
    } else if (tenth !== null && before.tenth !== null && tenth > before.tenth) {
      say(this.#get("spoken"), `${tenth * 10}% migrated`);
    }
  }
}

/** Whether the set-up is shown: to admins, until all was right once, and again whenever something is not. */
export function isOpen({ viewer, setup }) {
  return viewer.admin && (!setup?.right_at || setup.wrong > 0);
}

/** Whether any work was done, or nothing is known to keep it from being done. */
function isBegun(status, { lines }) {
  return status?.state !== "running" || status.liveness.last_tick || !lines?.some(({ state }) => state === "failed");
}

function isAlive(status, now) {
  const tick = status?.liveness.last_tick;
  return Boolean(tick) && since(tick, now) < status.liveness.stale_after_s;
}

/** What is wrong now, with what to do about it: what stopped the archive, the jobs, both sides at odds. */
function findingsOf(status) {
  const { fault } = status.archive;
  const jobs = status.jobs.filter((job) => job.needs_somebody).map((job) => ({
    title: `${words.JOBS[job.component] ?? job.component} (${job.name})`, problem: job.problem, remedy: job.remedy,
  }));
  const stopped = fault
    ? [{ title: "Files are not moving", problem: fault.message ?? "The last run was cut off.", remedy: fault.remedy }] : [];
  const atOdds = [["crm-sync", status.syncs.crm], ["chatter-sync", status.syncs.chatter]]
    .filter(([, { validation }]) => validation?.problem)
    .map(([component, { validation }]) => ({ title: words.JOBS[component], problem: validation.problem, remedy: validation.remedy }));
  return [...stopped, ...jobs, ...atOdds];
}

/** `Upload 4521: bucket quota exceeded`. */
function lineOf({ scope, job, blame, newest }) {
  if (scope === "run") return `${words.JOBS[job] ?? job}: ${newest.message}`;
  const verb = blame === "source" ? "File" : "Upload";
  return /^(File|Upload) \d+:/.test(newest.message) ? newest.message : `${verb} ${newest.id}: ${newest.message}`;
}

function etaOf(archive, alive, now) {
  if (archive.eta) {
    const { likely_s: likely, low_s: low, high_s: high } = archive.eta;
    const [sooner, later] = [words.duration(low), words.duration(high)];
    return [`ETA ~${words.duration(likely)}`, sooner === later ? "" : `${sooner} – ${later}`];
  }
  const left = archive.next_attempt_at ? -since(archive.next_attempt_at, now) : 0;
  const retries = archive.failed > 0 && archive.failed === archive.remaining;
  if (retries && ["moving", "waiting"].includes(archive.phase)) {
    return [left > 1 ? `Next retry in ${words.inWords(left)}` : alive ? "Retrying" : "", ""];
  }
  if (archive.phase === "moving" || archive.phase === "discovering") return ["ETA calculating…", ""];
  if (archive.phase === "waiting" && archive.next_attempt_at) {
    return [left > 1 ? `Next attempt in ${words.duration(left)}` : alive ? "ETA calculating…" : "", ""];
  }
  return ["", ""];
}

/** Seconds since a moment, by the server's clock; less than nothing for one to come. */
const since = (iso, now) => (now - Date.parse(iso)) / 1000;

function say(place, text) {
  if (place.textContent !== text) place.textContent = text;
}

function moment(place, iso, now, none) {
  place.title = iso ? words.moment(iso) : "";
  say(place, iso ? words.ago(since(iso, now)) : none);
}

function time(iso, now) {
  const element = make("time", "", words.ago(since(iso, now)));
  element.dateTime = iso;
  element.title = words.moment(iso);
  return element;
}

function toned(tone, text) {
  const element = make("span", "verdict", text);
  element.dataset.tone = tone;
  return element;
}

/** Draws a list anew, but only if it says something else: a selection or a reader in it stays. */
function fill(place, items, draw, className, before = [], tag = "div") {
  const drawn = [...before, ...items.map((item) => make(tag, className, ...draw(item)))];
  const fresh = make("div", "", ...drawn);
  if (fresh.innerHTML !== place.innerHTML) place.replaceChildren(...drawn);
}
