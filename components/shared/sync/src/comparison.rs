//! The result of comparing both sides, and whether it can be believed.

use chrono::{DateTime, Utc};
use ledger::sync::Difference;
use serde::{Deserialize, Serialize};

/// How many ids of each kind are shown to people.
const EXAMPLES: usize = 100;
/// How many calls a final check may use per entity to ask for ids that no list shows.
pub(crate) const MOST_CALLS: u32 = 1000;
/// The most rows that one comparison marks as deleted; the next one continues.
const MAX_GONE: usize = 10_000;

/// A comparison under way: Odoo's list, by id, against the table.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Comparison {
    /// Whether differences are repaired at once.
    pub heal: bool,
    /// When the preceding full reading of all contents began; `None` if only ids and dates are compared.
    pub contents: Option<DateTime<Utc>>,
    /// Rows that the full reading had to rewrite, as they differed from Odoo.
    pub rewritten: u64,
    /// The final check that it belongs to.
    pub check: Option<i64>,
    /// Records that exist but are in no list that the user sees.
    pub hidden: u64,
    /// Ids that no list shows and that were not asked for.
    pub unasked: u64,
    /// How many calls are left to ask for ids that no list shows.
    pub calls: u32,
    /// Ids up to this one are compared.
    pub after_id: i64,
    /// How many records Odoo lists.
    pub listed: u64,
    /// How many rows Postgres has.
    pub here: u64,
    /// How many differ only because they are newer than the last reading.
    pub later: u64,
    /// How many are in Odoo only.
    pub missing: u64,
    /// How many are on both sides, with different dates.
    pub stale: u64,
    /// How many are in Postgres only.
    pub extra: u64,
    /// How many missing and stale rows were repaired.
    pub mended: u64,
    /// The ids of extra rows, at most 10,000.
    pub extra_ids: Vec<i64>,
    /// The first ids of missing rows.
    pub missing_ids: Vec<i64>,
    /// The first ids of stale rows.
    pub stale_ids: Vec<i64>,
}

impl Comparison {
    /// A comparison at its beginning.
    pub(crate) fn new(heal: bool) -> Self {
        Self {
            heal,
            ..Self::default()
        }
    }

    /// A comparison that follows a full reading of all contents, which began at `began`.
    pub(crate) fn of_contents(began: Option<DateTime<Utc>>, check: Option<i64>) -> Self {
        Self {
            contents: began,
            check,
            calls: MOST_CALLS,
            ..Self::new(true)
        }
    }

    /// Adds one compared part, in which `mended` differences were repaired.
    pub(crate) fn add(&mut self, difference: &Difference, listed: usize, mended: u64) {
        fn count(ids: &[i64]) -> u64 {
            u64::try_from(ids.len()).unwrap_or(u64::MAX)
        }
        fn keep(kept: &mut Vec<i64>, ids: &[i64], most: usize) {
            kept.extend(ids.iter().take(most.saturating_sub(kept.len())));
        }
        self.listed += u64::try_from(listed).unwrap_or(u64::MAX);
        self.here += difference.here;
        self.later += difference.later;
        self.missing += count(&difference.missing);
        self.stale += count(&difference.stale);
        self.extra += count(&difference.extra);
        self.mended += mended;
        keep(&mut self.extra_ids, &difference.extra, MAX_GONE);
        keep(&mut self.missing_ids, &difference.missing, EXAMPLES);
        keep(&mut self.stale_ids, &difference.stale, EXAMPLES);
    }

    /// Whether rows missing in Odoo's list can be taken as deleted. A suspiciously small list is a fault of the
    /// source unless a person says otherwise (`confirm_deletes`): an empty list where there were rows, or more than
    /// `most_share` deleted at once, except for up to five rows.
    #[allow(clippy::cast_precision_loss)]
    pub(crate) fn believable(&self, confirmed: bool, most_share: f64) -> Result<(), String> {
        let most = (self.here as f64 * most_share).max(5.0);
        if confirmed || self.extra == 0 || (self.listed > 0 && self.extra as f64 <= most) {
            return Ok(());
        }
        Err(format!(
            "Odoo's list lacks {} of {} rows, so nothing was marked as deleted. If they are gone indeed, call again with {{\"mode\": \"missing\", \"confirm_deletes\": true}}",
            self.extra, self.here
        ))
    }

    /// The extra ids that are shown to people.
    pub(crate) fn extra_examples(&self) -> &[i64] {
        self.extra_ids.get(..EXAMPLES).unwrap_or(&self.extra_ids)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn comparison(listed: u64, here: u64, extra: u64) -> Comparison {
        Comparison {
            listed,
            here,
            extra,
            ..Comparison::default()
        }
    }

    #[test]
    fn an_empty_list_deletes_nothing_unless_a_person_says_so() {
        for here in [1, 4, 50_000] {
            assert!(comparison(0, here, here).believable(false, 0.2).is_err());
            assert!(comparison(0, here, here).believable(true, 0.2).is_ok());
        }
    }

    #[test]
    fn a_few_deletions_are_believed_and_a_landslide_is_not() {
        assert!(comparison(6, 8, 2).believable(false, 0.2).is_ok());
        assert!(
            comparison(45_000, 50_000, 5_000)
                .believable(false, 0.2)
                .is_ok()
        );
        assert!(
            comparison(30_000, 50_000, 20_000)
                .believable(false, 0.2)
                .is_err()
        );
    }

    proptest! {
        #[test]
        fn what_is_kept_of_ids_is_bounded(parts in prop::collection::vec(0usize..4000, 1..12)) {
            let mut comparison = Comparison::new(true);
            for part in &parts {
                let ids: Vec<i64> = (0..i64::try_from(*part).unwrap()).collect();
                let difference = Difference { missing: ids.clone(), stale: ids.clone(), extra: ids, ..Difference::default() };
                comparison.add(&difference, 0, 0);
            }
            let all: usize = parts.iter().sum();
            prop_assert_eq!(comparison.extra, u64::try_from(all).unwrap());
            prop_assert_eq!(comparison.extra_ids.len(), all.min(MAX_GONE));
            prop_assert_eq!(comparison.missing_ids.len(), all.min(EXAMPLES));
            prop_assert_eq!(comparison.extra_examples().len(), all.min(EXAMPLES));
        }
    }
}
