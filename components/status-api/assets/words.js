// Figures, times and states in words. Numbers are written as the reader's locale writes them; the
// words are English.

const whole = new Intl.NumberFormat(undefined, { maximumFractionDigits: 0 });
const tenths = new Intl.NumberFormat(undefined, { minimumFractionDigits: 1, maximumFractionDigits: 1 });
const percents = new Intl.NumberFormat(undefined, {
  style: "percent", minimumFractionDigits: 1, maximumFractionDigits: 1, roundingMode: "floor",
});
const exact = new Intl.DateTimeFormat(undefined, { dateStyle: "medium", timeStyle: "long" });

export const count = (number) => whole.format(number);

/** 4.0 as "4.0%", and 100 without a fraction that says nothing. */
export const percent = (number) => number >= 100 ? whole.format(100) + "%" : percents.format(number / 100);

export function bytes(number) {
  const units = ["B", "KB", "MB", "GB", "TB", "PB"];
  let unit = 0;
  while (number >= 1000 && unit < units.length - 1) {
    number /= 1000;
    unit += 1;
  }
  return `${(unit > 0 && number < 100 ? tenths : whole).format(number)} ${units[unit]}`;
}

/** Seconds as "3h 12m": two units, and never less than nothing. */
export function duration(seconds) {
  const s = Math.max(0, Math.round(seconds));
  if (s < 60) return `${s}s`;
  const m = Math.round(s / 60);
  if (m < 60) return `${m}m`;
  const h = Math.floor(m / 60);
  if (h < 24) return m % 60 ? `${h}h ${m % 60}m` : `${h}h`;
  const hours = Math.round(m / 60);
  const d = Math.floor(hours / 24);
  return hours % 24 ? `${count(d)}d ${hours % 24}h` : `${count(d)}d`;
}

/** Seconds that have passed as "2m ago". */
export function ago(seconds) {
  if (seconds < 2) return "just now";
  if (seconds < 60) return `${Math.floor(seconds)}s ago`;
  if (seconds < 3600) return `${Math.floor(seconds / 60)}m ago`;
  if (seconds < 172800) return `${Math.floor(seconds / 3600)}h ago`;
  return `${count(Math.floor(seconds / 86400))}d ago`;
}

/** Seconds as "3 min", for sentences. */
export function inWords(seconds) {
  if (seconds < 60) return `${Math.max(0, Math.floor(seconds))} s`;
  if (seconds < 3600) return `${Math.floor(seconds / 60)} min`;
  if (seconds < 172800) return `${Math.floor(seconds / 3600)} h`;
  return `${count(Math.floor(seconds / 86400))} days`;
}

/** Seconds that have passed as "3 min ago", for sentences. */
export const agoInWords = (seconds) => `${inWords(seconds)} ago`;

/** A moment in full, in the reader's zone. */
export const moment = (iso) => exact.format(new Date(iso));

export const plural = (number, one, many) => `${count(number)} ${number === 1 ? one : many}`;

/** The badge of each state. */
export const STATES = {
  connecting: "Connecting",
  running: "Running",
  done: "Done",
  errors: "Errors detected",
  cron_failing: "Cron failing",
  paused: "Paused",
  offline: "Offline",
  no_access: "No access",
  not_set_up: "Not set up",
};

/** A line of the set-up. */
export const SIGNS = { ok: "✓", warning: "!", failed: "✗" };
export const LINE_STATES = { ok: "Right", warning: "Works, but look at it", failed: "Wrong" };

/** What the archive does, for the line below the bar. */
export const PHASES = {
  discovering: "Reading Odoo's list of files",
  moving: "Moving files",
  waiting: "Waiting",
  paused: "Paused",
  done: "All files are moved",
  stopped: "Stopped by a fault",
};

export const JOBS = {
  "archive-batch": "Files",
  "crm-sync": "Pipeline",
  "chatter-sync": "Chatter",
  "maintenance": "Maintenance",
};
