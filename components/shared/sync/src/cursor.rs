//! How far the reading of an entity came, and what to read next.
//!
//! `write_date` is the start of the transaction that wrote it, so a slow one commits behind the newest
//! date that was seen, and the database keeps microseconds that RPC cuts off (seen on 17 and 18).
//! Therefore the bound of a reading is fixed before its first page, it begins an overlap before the
//! bound of the last one, pages follow the ids, and the bound counts as reached only when all pages
//! are in. Once a bound is twice the overlap old, no transaction from before it is still under way:
//! what was read then is settled and is not read again. What changes without a new date (a computed
//! probability, a rename elsewhere) is found by a full reading, page by page of ids.

use chrono::{DateTime, TimeDelta, Utc};
use ledger::runs::RunId;
use odoo::Window;
use serde::{Deserialize, Serialize};

use crate::comparison::Comparison;
pub use crate::tail::Tail;

/// The position, as it is kept in the ledger.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Position {
    /// Everything written up to this moment of Odoo's clock has been read.
    pub written: Option<DateTime<Utc>>,
    /// Whether nothing can be committed any more that was written up to then.
    pub settled: bool,
    /// Whether every row was read, once at least.
    pub complete: bool,
    /// The fingerprint of the shape in which rows are read.
    pub shape: String,
    /// The rows in the overlap before `written`: while they are the same, nothing is new.
    pub tail: Tail,
    /// The reading of changes under way.
    pub changes: Option<Reading>,
    /// The full reading under way.
    pub full: Option<Reading>,
    /// The comparison under way.
    pub comparison: Option<Comparison>,
    /// The one under way that only looks.
    pub looking: Option<Comparison>,
    /// Since when the contents of all rows were last read again, to the end and with a comparison after it, by our clock.
    pub compared: Option<DateTime<Utc>>,
    /// Of a model without dates: the last id that was read.
    pub last_id: i64,
    /// The final check that this entity took part in last.
    pub check: Option<i64>,
    /// The fingerprint of what the dictionary has of its fields.
    pub dictionary: String,
    /// The fields that are read.
    pub fields: Vec<String>,
    /// Those that were read once, and cannot be any more: their columns keep what they had.
    pub frozen: Vec<String>,
    /// Whether a person has said that what Odoo's next list lacks is gone. It holds until that comparison
    /// ends, whichever run ends it.
    pub confirmed: bool,
}

/// A reading under way.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Reading {
    /// Its bound.
    pub until: DateTime<Utc>,
    /// When it began, by our clock.
    #[serde(default)]
    pub began: Option<DateTime<Utc>>,
    /// Rows that it wrote.
    #[serde(default)]
    pub rewritten: u64,
    /// The run that set the bound: once all is read, all that Odoo had when it began is here.
    #[serde(default)]
    pub since_run: Option<RunId>,
    /// Whether it began so late that it settles all up to its bound.
    pub settles: bool,
    /// Every id up to this one has been read.
    pub after_id: i64,
    /// The rows read so far that lie in the overlap before the bound.
    pub tail: Tail,
}

/// What the cursor needs of a row.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Seen {
    pub id: i64,
    pub write_date: Option<DateTime<Utc>>,
    pub tail: Tail,
}

impl Position {
    /// Takes on a shape; another one than before has every row read again.
    pub(crate) fn take_shape(&mut self, fingerprint: String) {
        if self.shape != fingerprint {
            self.shape = fingerprint;
            self.full = self.full_reading();
        }
    }

    /// The comparison under way: the one that mends, or the one that only `looks`.
    pub(crate) const fn comparison_of(&mut self, looks: bool) -> &mut Option<Comparison> {
        if looks {
            &mut self.looking
        } else {
            &mut self.comparison
        }
    }

    /// Asks for a full reading, if none is under way.
    pub(crate) fn ask_for_full(&mut self) {
        if self.full.is_none() {
            self.full = self.full_reading();
        }
    }

    /// Asks for one if the contents will soon be compared longer ago than that, or were at a moment that is still to
    /// come: a clock that was ahead once must not put it off for a year. The next run may be an hour away.
    pub(crate) fn ask_for_full_by_age(&mut self, now: DateTime<Utc>, most_age: TimeDelta) {
        let due = most_age - (most_age / 24).min(TimeDelta::hours(1));
        let ages = |then: DateTime<Utc>| (TimeDelta::minutes(-5)..due).contains(&(now - then));
        if self.complete && self.comparison.is_none() && !self.compared.is_some_and(ages) {
            self.ask_for_full();
        }
    }

    /// A full reading that has not begun yet begins now.
    pub(crate) fn begin_full(&mut self, now: DateTime<Utc>) {
        if let Some(full) = &mut self.full {
            full.began.get_or_insert(now);
        }
    }

    /// So many rows were not as Odoo has them, in the full reading under way or the one that just ended.
    pub(crate) fn rewrote(&mut self, rows: u64) {
        if let Some(full) = &mut self.full {
            full.rewritten += rows;
        } else if let Some(comparison) = &mut self.comparison {
            comparison.rewritten += rows;
        }
    }

    /// Takes part in a final check, once the first reading is over: all that was read before it says nothing of now.
    pub(crate) fn take_part(&mut self, check: i64) {
        if self.check != Some(check) && self.complete {
            self.check = Some(check);
            self.comparison = None;
            self.full = self.full_reading();
        }
    }

    /// Takes on the fields that can be read; whether others are frozen now than before.
    pub(crate) fn take_fields(&mut self, fields: Vec<String>) -> bool {
        let mut frozen: Vec<String> = std::mem::take(&mut self.fields);
        frozen.extend(self.frozen.iter().cloned());
        frozen.retain(|field| !fields.contains(field));
        frozen.sort_unstable();
        frozen.dedup();
        self.fields = fields;
        let other = self.frozen != frozen;
        self.frozen = frozen;
        other
    }

    fn full_reading(&self) -> Option<Reading> {
        let until = self.written?;
        Some(Reading::new(until, self.settled))
    }

    /// The newest `write_date` is known (`None`: Odoo has no rows): a reading of changes begins, or
    /// the very first one of everything. No bound lies after `now`: a row that is dated in the future
    /// would hide all others until then.
    pub(crate) fn begin(
        &mut self,
        newest: Option<DateTime<Utc>>,
        now: DateTime<Utc>,
        overlap: TimeDelta,
    ) {
        let newest = newest.unwrap_or(DateTime::UNIX_EPOCH).min(now);
        let until = self.written.map_or(newest, |written| written.max(newest));
        let reading = Reading::new(until, until + overlap * 2 <= now);
        if self.written.is_none() {
            self.written = Some(until);
            self.full = Some(reading);
        } else if !self.settled || self.written != Some(until) {
            self.changes = Some(reading);
        }
    }

    /// The reading that brings the copy up to date: that of changes, or the very first one of everything.
    fn catching_up(&self) -> Option<&Reading> {
        let first = self.full.as_ref().filter(|_| !self.complete);
        self.changes.as_ref().or(first)
    }

    /// The run as of whose beginning all is here, once what is read now has come to its end.
    pub(crate) fn catches_up_with(&self) -> Option<RunId> {
        self.catching_up().and_then(|reading| reading.since_run)
    }

    /// Whether all is here up to a bound, and no reading is to lead beyond it.
    pub(crate) fn caught_up(&self) -> bool {
        self.complete && self.catching_up().is_none()
    }

    /// Notes who set the bound that was set just now.
    pub(crate) fn bounded_by(&mut self, run: RunId) {
        let first = self.full.as_mut().filter(|_| !self.complete);
        if let Some(reading) = self.changes.as_mut().or(first) {
            reading.since_run = Some(run);
        }
    }

    /// Whether a page that leads here from `saved` has brought nothing new: then it need not be written.
    pub(crate) fn brings_nothing_to(&self, saved: &Self) -> bool {
        *self
            == Self {
                settled: self.settled,
                ..saved.clone()
            }
    }

    /// Whether a reading of changes had begun, and there was no time for its first page.
    pub(crate) fn was_left_out(&self) -> bool {
        self.changes
            .as_ref()
            .is_some_and(|changes| changes.after_id == 0)
    }

    /// Where a reading of changes begins.
    pub(crate) fn changes_since(&self, overlap: TimeDelta) -> Window {
        Window {
            since: self.written.map(|written| {
                if self.settled {
                    written + TimeDelta::seconds(1)
                } else {
                    written - overlap
                }
            }),
            ..Window::default()
        }
    }

    /// The next page of changes, if they are being read.
    pub(crate) fn changes_window(&self, overlap: TimeDelta) -> Option<Window> {
        let changes = self.changes.as_ref()?;
        Some(Window {
            after_id: changes.after_id,
            until: Some(changes.until),
            ..self.changes_since(overlap)
        })
    }

    /// A page of changes was read; `at_end`: it was the last.
    #[must_use]
    pub(crate) fn changes_read(&self, rows: &[Seen], at_end: bool, overlap: TimeDelta) -> Self {
        let mut next = self.clone();
        if let Some(mut changes) = next.changes.take() {
            changes.read(rows, overlap);
            if at_end {
                next.written = Some(changes.until);
                next.settled = changes.settles;
                next.tail = changes.tail;
            } else {
                next.changes = Some(changes);
            }
        }
        next
    }

    /// A page of everything was read, up to the id `up_to`.
    #[must_use]
    pub(crate) fn full_read(
        &self,
        rows: &[Seen],
        up_to: Option<i64>,
        at_end: bool,
        overlap: TimeDelta,
    ) -> Self {
        let mut next = self.clone();
        if let Some(mut full) = next.full.take() {
            full.read(rows, overlap);
            full.after_id = up_to.unwrap_or_default().max(full.after_id);
            if at_end {
                next.last_id = next.last_id.max(full.after_id);
                next.complete = true;
                if next.written == Some(full.until) {
                    next.settled |= full.settles;
                    next.tail = full.tail;
                }
                next.comparison = Some(Comparison {
                    rewritten: full.rewritten,
                    ..Comparison::of_contents(full.began, next.check)
                });
            } else {
                next.full = Some(full);
            }
        }
        next
    }
}

impl Reading {
    fn new(until: DateTime<Utc>, settles: bool) -> Self {
        Self {
            until,
            began: None,
            rewritten: 0,
            since_run: None,
            settles,
            after_id: 0,
            tail: Tail::default(),
        }
    }

    fn read(&mut self, rows: &[Seen], overlap: TimeDelta) {
        for row in rows {
            self.after_id = self.after_id.max(row.id);
            let in_tail = |date: DateTime<Utc>| date >= self.until - overlap && date <= self.until;
            if row.write_date.is_some_and(in_tail) {
                self.tail.add(row.tail);
            }
        }
    }
}

#[cfg(test)]
mod tests;
