//! The cursor of an entity, and what to read next.
//!
//! `write_date` is the start of the writing transaction, so a slow transaction commits behind the newest date already
//! seen, and the database keeps microseconds that RPC cuts off (seen on 17 and 18). Therefore a reading fixes its
//! bound before its first page and begins one overlap before the last bound; pages follow the ids, and the bound is
//! reached only when all pages are read. Once a bound is two overlaps old, no transaction from before it can still be
//! open: rows up to it are settled and are not read again. Changes without a new date (a computed probability, a
//! rename elsewhere) are found by a full reading, page by page in the order of ids.

use chrono::{DateTime, TimeDelta, Utc};
use ledger::runs::RunId;
use odoo::Window;
use serde::{Deserialize, Serialize};

use crate::comparison::Comparison;
pub use crate::tail::Tail;

/// The cursor, as stored in the ledger.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Position {
    /// Rows written up to this moment of Odoo's clock have been read.
    pub written: Option<DateTime<Utc>>,
    /// Whether no row written up to that moment can still be committed.
    pub settled: bool,
    /// Whether every row has been read at least once.
    pub complete: bool,
    /// The fingerprint of the shape in which rows are read.
    pub shape: String,
    /// The checksum of the overlap before `written`: while it is the same, nothing is new.
    pub tail: Tail,
    /// The reading of changes that is under way.
    pub changes: Option<Reading>,
    /// The full reading that is under way.
    pub full: Option<Reading>,
    /// The repairing comparison that is under way.
    pub comparison: Option<Comparison>,
    /// The read-only comparison that is under way.
    pub looking: Option<Comparison>,
    /// When the last full reading that was finished and compared began, by our clock.
    pub compared: Option<DateTime<Utc>>,
    /// For a model without dates: the last id read.
    pub last_id: i64,
    /// The last final check that this entity took part in.
    pub check: Option<i64>,
    /// The fingerprint of this entity's part of the dictionary.
    pub dictionary: String,
    /// The many2many fields whose targets can be archived; `None`: Odoo is still to be asked.
    pub links: Option<Vec<String>>,
    /// The fields that are read.
    pub fields: Vec<String>,
    /// Fields that were read once but no longer can be: their columns are frozen.
    pub frozen: Vec<String>,
    /// Whether a person has confirmed that records missing in Odoo's next list are deleted. Valid until that
    /// comparison ends, in whichever run.
    pub confirmed: bool,
}

/// A reading that is under way.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Reading {
    /// The upper bound.
    pub until: DateTime<Utc>,
    /// When it began, by our clock.
    #[serde(default)]
    pub began: Option<DateTime<Utc>>,
    /// How many rows it has rewritten.
    #[serde(default)]
    pub rewritten: u64,
    /// The run that set the bound: once the reading ends, the copy is complete as of that run's start.
    #[serde(default)]
    pub since_run: Option<RunId>,
    /// Whether it began late enough to settle all rows up to its bound.
    pub settles: bool,
    /// Ids up to this one have been read.
    pub after_id: i64,
    /// The checksum of the rows read so far that are in the overlap before the bound.
    pub tail: Tail,
}

/// What the cursor needs to know about a row.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Seen {
    pub id: i64,
    pub write_date: Option<DateTime<Utc>>,
    pub tail: Tail,
}

impl Position {
    /// Adopts a shape. If it differs from the last one, all rows are read again.
    pub(crate) fn take_shape(&mut self, fingerprint: String) {
        if self.shape != fingerprint {
            self.shape = fingerprint;
            self.links = None;
            self.full = self.full_reading();
        }
    }

    /// The comparison that is under way: the read-only one if `looks`, else the repairing one.
    pub(crate) const fn comparison_of(&mut self, looks: bool) -> &mut Option<Comparison> {
        if looks {
            &mut self.looking
        } else {
            &mut self.comparison
        }
    }

    /// Requests a full reading, if none is under way.
    pub(crate) fn ask_for_full(&mut self) {
        if self.full.is_none() {
            self.full = self.full_reading();
        }
    }

    /// Requests a full reading if the last one will soon be too old (the next run may be an hour away), or is dated in
    /// the future: a clock that was ahead once must not delay it for a year.
    pub(crate) fn ask_for_full_by_age(&mut self, now: DateTime<Utc>, most_age: TimeDelta) {
        let due = most_age - (most_age / 24).min(TimeDelta::hours(1));
        let ages = |then: DateTime<Utc>| (TimeDelta::minutes(-5)..due).contains(&(now - then));
        if self.complete && self.comparison.is_none() && !self.compared.is_some_and(ages) {
            self.ask_for_full();
        }
    }

    /// Starts the full reading, if it has not started yet.
    pub(crate) fn begin_full(&mut self, now: DateTime<Utc>) {
        if let Some(full) = &mut self.full {
            full.began.get_or_insert(now);
        }
    }

    /// Counts rewritten rows for the full reading that is under way or just ended.
    pub(crate) fn rewrote(&mut self, rows: u64) {
        if let Some(full) = &mut self.full {
            full.rewritten += rows;
        } else if let Some(comparison) = &mut self.comparison {
            comparison.rewritten += rows;
        }
    }

    /// Joins a final check after the first full reading, and reads all again: earlier readings prove nothing about now.
    pub(crate) fn take_part(&mut self, check: i64) {
        if self.check != Some(check) && self.complete {
            self.check = Some(check);
            self.comparison = None;
            self.full = self.full_reading();
        }
    }

    /// Adopts the readable fields. Returns whether the frozen ones changed.
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

    /// Begins a reading of changes up to the newest `write_date` (`None`: Odoo has no rows), or the very first full
    /// reading. The bound is never after `now`: a row dated in the future would hide all others until then.
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

    /// The reading that brings the copy up to date: of changes, or the very first full one.
    fn catching_up(&self) -> Option<&Reading> {
        let first = self.full.as_ref().filter(|_| !self.complete);
        self.changes.as_ref().or(first)
    }

    /// The run that the copy is current as of, once the catch-up under way completes.
    pub(crate) fn catches_up_with(&self) -> Option<RunId> {
        self.catching_up().and_then(|reading| reading.since_run)
    }

    /// Whether the copy is complete up to a bound and no catch-up is under way.
    pub(crate) fn caught_up(&self) -> bool {
        self.complete && self.catching_up().is_none()
    }

    /// Records the run that has just set the bound.
    pub(crate) fn bounded_by(&mut self, run: RunId) {
        let first = self.full.as_mut().filter(|_| !self.complete);
        if let Some(reading) = self.changes.as_mut().or(first) {
            reading.since_run = Some(run);
        }
    }

    /// Whether nothing has changed since `saved` except `settled`: then the cursor need not be written.
    pub(crate) fn brings_nothing_to(&self, saved: &Self) -> bool {
        *self
            == Self {
                settled: self.settled,
                ..saved.clone()
            }
    }

    /// Whether a reading of changes began but had no time for its first page.
    pub(crate) fn was_left_out(&self) -> bool {
        self.changes
            .as_ref()
            .is_some_and(|changes| changes.after_id == 0)
    }

    /// The window where a reading of changes begins.
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

    /// The next page of changes, if a reading of changes is under way.
    pub(crate) fn changes_window(&self, overlap: TimeDelta) -> Option<Window> {
        let changes = self.changes.as_ref()?;
        Some(Window {
            after_id: changes.after_id,
            until: Some(changes.until),
            ..self.changes_since(overlap)
        })
    }

    /// Advances past a page of changes; `at_end` if it was the last.
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

    /// Advances past a page of a full reading, up to the id `up_to`.
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
