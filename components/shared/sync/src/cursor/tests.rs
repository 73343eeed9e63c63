use super::*;
use proptest::prelude::*;
use std::collections::BTreeMap;

const OVERLAP: TimeDelta = TimeDelta::minutes(10);

fn at(second: i64) -> DateTime<Utc> {
    DateTime::from_timestamp(second, 0).unwrap()
}

/// A toy Odoo: id → (the second it is stamped with, version).
type Rows = BTreeMap<i64, (i64, u32)>;

/// A toy ledger: the copied rows, the cursor behind them, and how many writes that took.
#[derive(Default)]
struct Copy {
    rows: Rows,
    saved: Position,
    writes: usize,
}

impl Copy {
    /// One run like the engine's, cut off after `cut` pages.
    fn run(&mut self, odoo: &Rows, now: i64, full: bool, page: usize, mut cut: usize) {
        let mut position = self.saved.clone();
        position.take_shape("shape".into());
        if full {
            position.ask_for_full();
        }
        if position.written.is_none() || (position.complete && position.changes.is_none()) {
            let newest = odoo.values().map(|(stamp, _)| at(*stamp)).max();
            position.begin(newest, at(now), OVERLAP);
        }
        while let Some(window) = position.changes_window(OVERLAP) {
            if cut == 0 {
                return;
            }
            cut -= 1;
            let rows = Self::page(odoo, window, page);
            let next = position.changes_read(&Self::seen(&rows), rows.len() < page, OVERLAP);
            self.write(&rows, &next);
            position = next;
        }
        while let Some(full) = &position.full {
            if cut == 0 {
                return;
            }
            cut -= 1;
            let window = Window {
                after_id: full.after_id,
                ..Window::default()
            };
            let rows = Self::page(odoo, window, page);
            let last = rows.last().map(|(id, _)| *id);
            let next = position.full_read(&Self::seen(&rows), last, rows.len() < page, OVERLAP);
            self.write(&rows, &next);
            position = next;
        }
    }

    fn page(odoo: &Rows, window: Window, page: usize) -> Vec<(i64, (i64, u32))> {
        odoo.iter()
            .filter(|(id, (stamp, _))| {
                **id > window.after_id
                    && window.since.is_none_or(|since| at(*stamp) >= since)
                    && window.until.is_none_or(|until| at(*stamp) <= until)
            })
            .take(page)
            .map(|(id, row)| (*id, *row))
            .collect()
    }

    fn seen(rows: &[(i64, (i64, u32))]) -> Vec<Seen> {
        let seen = rows.iter().map(|(id, (stamp, version))| Seen {
            id: *id,
            write_date: Some(at(*stamp)),
            tail: Tail(u64::try_from(*id).unwrap() * 1_000_003 + u64::from(*version) * 7919 + 1),
        });
        seen.collect()
    }

    fn write(&mut self, rows: &[(i64, (i64, u32))], next: &Position) {
        if next.brings_nothing_to(&self.saved) {
            self.saved = next.clone();
        } else {
            self.writes += 1;
            self.rows.extend(rows.iter().copied());
            self.saved = next.clone();
        }
    }
}

proptest! {
    /// Rows are written and rewritten while readings of both kinds are cut off anywhere. Some transactions commit up
    /// to nine minutes after their stamp, some rows are dated in the future. At rest, nothing is missing, and a run
    /// with nothing new writes nothing.
    #[test]
    fn nothing_is_lost_whatever_is_committed_late(
        writes in prop::collection::vec((1i64..40, 0i64..540, prop_oneof![1i64..200, 1i64..4000], any::<bool>()), 1..60),
        page in 1usize..7,
        cuts in prop::collection::vec(0usize..12, 1..30),
    ) {
        let mut now = 1_000_000;
        let mut odoo = Rows::new();
        let mut copy = Copy::default();
        let mut cuts = cuts.into_iter().cycle();
        for (version, (id, late, pause, full)) in writes.into_iter().enumerate() {
            now += pause;
            odoo.insert(id, (now - late, u32::try_from(version).unwrap()));
            copy.run(&odoo, now, full && version % 5 == 0, page, cuts.next().unwrap());
        }
        for _ in 0..2 {
            now += 1;
            copy.run(&odoo, now, false, page, 1000);
        }
        prop_assert_eq!(&copy.rows, &odoo);
        let written = copy.writes;
        copy.run(&odoo, now + 900, false, 1000, 1000);
        prop_assert_eq!(copy.writes, written);
        // Long after, nothing is read at all.
        copy.run(&odoo, now + 10_000_000, false, 1000, 1000);
        prop_assert!(copy.saved.settled);
        copy.run(&odoo, now + 20_000_000, false, 1000, 0);
        prop_assert_eq!(&copy.rows, &odoo);
    }
}

#[test]
fn a_row_dated_in_the_future_hides_no_other() {
    let mut odoo = Rows::from([(1, (1_000, 0)), (2, (9_999_999, 0))]);
    let mut copy = Copy::default();
    copy.run(&odoo, 1_000, false, 10, 100);
    odoo.insert(3, (2_000, 0));
    copy.run(&odoo, 2_000, false, 10, 100);
    assert_eq!(copy.rows, odoo);
}

#[test]
fn another_shape_has_every_row_read_again() {
    let mut position = Position::default();
    position.take_shape("one".into());
    position.begin(Some(at(5)), at(9), OVERLAP);
    let mut position = position.full_read(&[], None, true, OVERLAP);
    assert!(position.complete && position.full.is_none());
    position.take_shape("one".into());
    assert!(position.full.is_none());
    position.take_shape("two".into());
    assert!(position.full.is_some());
}

#[test]
fn who_had_no_time_for_a_first_page_is_known_until_it_is_read() {
    let mut position = Position::default();
    position.begin(Some(at(5)), at(9), OVERLAP);
    let mut position = position.full_read(&[], None, true, OVERLAP);
    assert!(!position.was_left_out());
    position.begin(Some(at(7)), at(9), OVERLAP);
    assert!(position.was_left_out());
    let row = Seen {
        id: 1,
        write_date: Some(at(7)),
        tail: Tail(1),
    };
    assert!(!position.changes_read(&[row], false, OVERLAP).was_left_out());
}

#[test]
fn a_position_survives_the_ledger() {
    let mut position = Position::default();
    position.begin(Some(at(5)), at(9), OVERLAP);
    position.tail = Tail(u64::MAX - 1);
    let kept = serde_json::to_value(&position).unwrap();
    assert_eq!(serde_json::from_value::<Position>(kept).unwrap(), position);
    assert_eq!(
        serde_json::from_value::<Position>(serde_json::json!({})).unwrap(),
        Position::default()
    );
}
