//! The cursor in Odoo's list, and what to read next.
//!
//! Two readings complement each other. The reading by id is cheap (primary key) and finds new rows. The reading by
//! `write_date` finds changed rows, and rows committed late with a smaller id. `write_date` is the start of the
//! writing transaction, so a slow transaction commits behind the newest date already seen (seen on 17 and 18). Hence
//! every reading starts one overlap before the last bound, and fixes its own bound before its first page.

use chrono::{DateTime, TimeDelta, Utc};
use odoo::attachment::Window;
use serde::{Deserialize, Serialize};

/// How many seconds to rest after a complete reading by `write_date`.
const REST_S: i64 = 300;

/// The cursor, as stored in the ledger.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Position {
    /// Ids up to this one have been read.
    pub after_id: i64,
    /// Whether the reading by id has reached the end at least once.
    pub complete: bool,
    /// Rows written up to this moment of Odoo's clock have been read.
    pub written: Option<DateTime<Utc>>,
    /// The reading by `write_date` that is under way.
    pub changes: Option<Changes>,
    /// When the last reading by `write_date` ended, in seconds since 1970 by our clock.
    pub changes_ended: i64,
}

/// A reading by `write_date`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Changes {
    /// The upper bound: the newest `write_date` when the reading began.
    pub until: DateTime<Utc>,
    /// Ids up to this one have been read.
    pub after_id: i64,
}

/// What to do next.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Step {
    /// Ask for the newest `write_date`, then [`Position::begin_changes`].
    AskNewest,
    /// Read this page.
    Read(Window),
    /// Nothing is due.
    Rest,
}

impl Position {
    /// The next step: read by id until `ids_at_end`, then read changes if due. `overlap` is how far a reading of
    /// changes goes back behind the last bound.
    pub fn next(&self, ids_at_end: bool, now_s: i64, overlap: TimeDelta) -> Step {
        if !ids_at_end {
            // Fix the bound before the first page: no later page by id shows a row that changes on a page already
            // read, so the first reading of changes must cover that time.
            if self.written.is_none() {
                return Step::AskNewest;
            }
            return Step::Read(Window {
                after_id: self.after_id,
                ..Window::default()
            });
        }
        if let Some(changes) = &self.changes {
            return Step::Read(Window {
                after_id: changes.after_id,
                since: self.written.map(|written| written - overlap),
                until: Some(changes.until),
            });
        }
        // An end in the future comes from a clock that was ahead, and counts as none.
        let rests = (0..REST_S).contains(&now_s.saturating_sub(self.changes_ended));
        if self.complete && !rests {
            Step::AskNewest
        } else {
            Step::Rest
        }
    }

    /// Starts a reading of changes up to `newest` (`None`: Odoo has no rows). The bound is never after now: a row
    /// dated in the future by a wrong clock would hide all others until then.
    #[must_use]
    pub fn begin_changes(mut self, newest: Option<DateTime<Utc>>, now_s: i64) -> Self {
        let now = DateTime::from_timestamp(now_s, 0).unwrap_or(DateTime::<Utc>::MAX_UTC);
        let newest = newest.map(|newest| newest.min(now));
        self.written = self.written.map(|written| written.min(now));
        if self.written.is_none() {
            // If Odoo is empty, every later row is written after this.
            self.written = Some(newest.unwrap_or(DateTime::UNIX_EPOCH));
        } else if let Some(until) = newest {
            self.changes = Some(Changes { until, after_id: 0 });
        } else {
            self.changes_ended = now_s;
        }
        self
    }

    /// Advances past a page of `window`, given its last id and whether it was the last page.
    #[must_use]
    pub fn read(mut self, window: Window, last_id: Option<i64>, at_end: bool, now_s: i64) -> Self {
        match (&mut self.changes, window.until) {
            (Some(changes), Some(until)) if changes.until == until => {
                if at_end {
                    self.written = Some(self.written.map_or(until, |written| written.max(until)));
                    self.changes = None;
                    self.changes_ended = now_s;
                } else {
                    changes.after_id = last_id.unwrap_or(changes.after_id);
                }
            }
            _ => {
                self.after_id = last_id.unwrap_or(self.after_id).max(self.after_id);
                self.complete |= at_end;
            }
        }
        self
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::collections::BTreeMap;

    const OVERLAP: TimeDelta = TimeDelta::minutes(10);

    fn at(second: i64) -> DateTime<Utc> {
        DateTime::from_timestamp(second, 0).unwrap()
    }

    /// A toy Odoo: id → (the second it is stamped with, version).
    type Rows = BTreeMap<i64, (i64, u32)>;

    /// Reads pages until nothing is due, or until it is cut off after `cut` steps.
    fn read(
        rows: &Rows,
        seen: &mut Rows,
        mut position: Position,
        now_s: i64,
        page: usize,
        cut: usize,
    ) -> Position {
        let mut ids_at_end = false;
        for _ in 0..cut {
            match position.next(ids_at_end, now_s, OVERLAP) {
                Step::Rest => break,
                Step::AskNewest => {
                    let newest = rows.values().map(|(stamp, _)| *stamp).max().map(at);
                    position = position.begin_changes(newest, now_s);
                }
                Step::Read(window) => {
                    let found: Vec<_> = rows
                        .iter()
                        .filter(|(id, (stamp, _))| {
                            **id > window.after_id
                                && window.since.is_none_or(|since| at(*stamp) >= since)
                                && window.until.is_none_or(|until| at(*stamp) <= until)
                        })
                        .take(page)
                        .map(|(id, row)| (*id, *row))
                        .collect();
                    let at_end = found.len() < page;
                    if window.until.is_none() && at_end {
                        ids_at_end = true;
                    }
                    let last = found.last().map(|(id, _)| *id);
                    seen.extend(found);
                    position = position.read(window, last, at_end, now_s);
                }
            }
        }
        position
    }

    proptest! {
        /// Rows are written and rewritten while reading goes on and is cut off anywhere. Some transactions commit up
        /// to nine minutes after their stamp, some clocks are up to an hour ahead. At rest, nothing is missing.
        #[test]
        fn nothing_is_lost_whatever_is_committed_late_or_dated_ahead(
            writes in prop::collection::vec((1i64..40, prop_oneof![4 => 0i64..540, 1 => -3600i64..0], 1i64..200), 1..60),
            page in 1usize..7,
            cuts in prop::collection::vec(1usize..12, 1..30),
        ) {
            let mut now = 1_000_000;
            let mut rows = Rows::new();
            let mut seen = Rows::new();
            let mut position = Position::default();
            let mut cuts = cuts.into_iter().cycle();
            for (version, (id, late, pause)) in writes.into_iter().enumerate() {
                now += pause;
                rows.insert(id, (now - late, u32::try_from(version).unwrap()));
                position = read(&rows, &mut seen, position, now, page, cuts.next().unwrap());
            }
            // Two undisturbed readings, each after its rest, once all rows dated ahead are due.
            now += 3600;
            for _ in 0..2 {
                now += REST_S + 1;
                position = read(&rows, &mut seen, position, now, page, 1000);
            }
            prop_assert_eq!(seen, rows);
        }
    }

    #[test]
    fn an_empty_odoo_is_asked_little() {
        let mut seen = Rows::new();
        let position = read(&Rows::new(), &mut seen, Position::default(), 1000, 10, 100);
        assert!(position.complete);
        let mut rows = Rows::new();
        rows.insert(1, (5000, 0));
        read(&rows, &mut seen, position, 5001, 10, 100);
        assert_eq!(seen, rows);
    }
}
