//! How far the reading of Odoo's list came, and what to read next.
//!
//! Two readings complement each other. One follows the ids: cheap, by the primary key, and it finds
//! what is new. The other follows `write_date`: it finds what changed, and what was committed late
//! with a smaller id. `write_date` is the start of the transaction that wrote it, so a slow one
//! commits behind the newest date that was seen (seen on 17 and 18): every reading starts an
//! overlap before the bound of the last, and its own bound is fixed before its first page.

use chrono::{DateTime, TimeDelta, Utc};
use odoo::attachment::Window;
use serde::{Deserialize, Serialize};

/// How long the reading by `write_date` rests after it has seen everything, in seconds.
const REST_S: i64 = 300;

/// The position, as it is kept in the ledger.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Position {
    /// Every id up to this one has been read.
    pub after_id: i64,
    /// Whether the ids were read to their end, once at least.
    pub complete: bool,
    /// Everything written up to this moment of Odoo's clock has been read.
    pub written: Option<DateTime<Utc>>,
    /// The reading by `write_date` under way.
    pub changes: Option<Changes>,
    /// When the last one ended, in seconds since 1970 by our clock.
    pub changes_ended: i64,
}

/// A reading by `write_date`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Changes {
    /// Its bound: the newest `write_date` there was when it began.
    pub until: DateTime<Utc>,
    /// Every id up to this one has been read.
    pub after_id: i64,
}

/// What to do next.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Step {
    /// Ask for the newest `write_date`, then [`Position::begin_changes`].
    AskNewest,
    /// Read this page.
    Read(Window),
    /// Nothing for now.
    Rest,
}

impl Position {
    /// What to read next: ids first, as long as `ids_at_end` is false; then changes, if it is time.
    /// `overlap` is how far a reading of changes goes back behind the last one's bound.
    pub fn next(&self, ids_at_end: bool, now_s: i64, overlap: TimeDelta) -> Step {
        if !ids_at_end {
            // The first reading of changes has to reach back to the time before the first page, since
            // what is written behind a page that was read already is seen by no later page.
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
        // A moment that is still to come is one of a clock that was ahead: it is as good as none.
        let rests = (0..REST_S).contains(&now_s.saturating_sub(self.changes_ended));
        if self.complete && !rests {
            Step::AskNewest
        } else {
            Step::Rest
        }
    }

    /// The newest `write_date` is known (`None`: there is nothing at all). No bound lies after now: a
    /// row that is dated in the future, by a clock that was wrong, would hide all others until then.
    #[must_use]
    pub fn begin_changes(mut self, newest: Option<DateTime<Utc>>, now_s: i64) -> Self {
        let now = DateTime::from_timestamp(now_s, 0).unwrap_or(DateTime::<Utc>::MAX_UTC);
        let newest = newest.map(|newest| newest.min(now));
        self.written = self.written.map(|written| written.min(now));
        if self.written.is_none() {
            // An empty Odoo: everything that will ever be written is after this.
            self.written = Some(newest.unwrap_or(DateTime::UNIX_EPOCH));
        } else if let Some(until) = newest {
            self.changes = Some(Changes { until, after_id: 0 });
        } else {
            self.changes_ended = now_s;
        }
        self
    }

    /// A page of `window` was read: its last id, and whether it was the last page.
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

    /// A toy Odoo: id → (second it was stamped with, version).
    type Rows = BTreeMap<i64, (i64, u32)>;

    /// Reads pages until there is nothing to do, being cut off after `cut` steps.
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
        /// Rows are written and rewritten, some by transactions that commit up to nine minutes after
        /// their stamp, some by a clock that is up to an hour ahead, while reading goes on and is cut
        /// off anywhere: at rest, nothing is missing.
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
            // Two undisturbed readings, each past its rest, when all that was dated ahead has come.
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
