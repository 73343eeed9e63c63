//! Rows by id: generated unless they were changed, and searched without being kept.

use std::borrow::Cow;

use super::super::User;
use super::super::domain::Domain;
use super::super::order::Order;
use super::edge_cases::EdgeCase;
use super::row::{Holder, Kind, Row};
use super::{Sizes, Table};
use crate::serve::scramble;

impl Table {
    /// One row as it is now.
    pub(crate) fn row(&self, id: i64) -> Option<Row> {
        match self.changed.get(&id) {
            Some(changed) => changed.as_deref().cloned(),
            None if (self.options.first_id..=self.last_generated).contains(&id) => {
                Some(self.generated(id))
            }
            None => None,
        }
    }

    /// All ids from `low` to `high`, ascending.
    pub(super) fn ids(&self, low: i64, high: i64) -> impl DoubleEndedIterator<Item = i64> + '_ {
        // Changed rows can lie on both sides of the generated ones.
        let low_generated = low.max(self.options.first_id);
        let high_generated = high.min(self.last_generated);
        let before = self.changed_ids(low, high.min(self.options.first_id.saturating_sub(1)));
        let generated = (low_generated..=high_generated).filter(|id| {
            self.changed.is_empty() || self.changed.get(id).is_none_or(Option::is_some)
        });
        let after = self.changed_ids(low.max(self.last_generated.saturating_add(1)), high);
        before.chain(generated).chain(after)
    }

    fn changed_ids(&self, low: i64, high: i64) -> impl DoubleEndedIterator<Item = i64> + '_ {
        let range = (low <= high).then(|| self.changed.range(low..=high));
        range
            .into_iter()
            .flatten()
            .filter(|(_, row)| row.is_some())
            .map(|(id, _)| *id)
    }

    /// Puts a row in place of what was there.
    pub(super) fn put(&mut self, row: Row) {
        self.last_id = self.last_id.max(row.id);
        self.changed.insert(row.id, Some(Box::new(row)));
    }

    pub(super) fn spring(&self, edge_case: &EdgeCase, row: &mut Row) {
        let like = match edge_case {
            EdgeCase::SameContentAs(id) if *id != row.id => self.row(*id),
            _ => None,
        };
        edge_case.spring(row, self.version, like.as_ref());
    }

    /// The row that follows from the id, without edge cases.
    pub(super) fn plain(&self, id: i64, noise: bool) -> Row {
        let options = &self.options;
        let mut seed = id.unsigned_abs();
        // A row shares the content of the nearest multiple of eight below it, which shares none itself.
        let base = seed - seed % 8;
        let shares = options.shared_one_in > 0
            && seed != base
            && i64::try_from(base).is_ok_and(|base| base >= options.first_id)
            && !noise
            && scramble(seed ^ 0x7368).is_multiple_of(options.shared_one_in);
        if shares {
            seed = base;
        }
        let dice = scramble(id.unsigned_abs() ^ 0x0072_6f77);
        let us = self.first_us
            + self.step_us * (id - options.first_id)
            + i64::try_from(dice % self.step_us.unsigned_abs()).unwrap_or_default();
        let models = [
            "crm.lead",
            "crm.lead",
            "crm.lead",
            "res.partner",
            "sale.order",
            "account.move",
        ];
        let model = usize::try_from((dice >> 8) % models.len() as u64).unwrap_or_default();
        let records = options.records.max(1).unsigned_abs();
        Row {
            id,
            seed,
            len: size(options.sizes, seed),
            given: None,
            damage: None,
            kind: Kind::Binary,
            res_model: models.get(model).copied().map(Cow::Borrowed),
            res_id: i64::try_from((dice >> 16) % records).unwrap_or_default() + 1,
            res_field: None,
            company: Some(1),
            public: false,
            hidden: false,
            name: None,
            mimetype: None,
            url: None,
            access_token: None,
            create_us: us,
            write_us: us,
            holder: Holder::There,
            unchecked: false,
            undated: false,
            read_only: false,
            of_another: false,
        }
    }

    /// The row that follows from the id.
    fn generated(&self, id: i64) -> Row {
        let options = &self.options;
        let position = u64::try_from(id - options.first_id).unwrap_or_default();
        let noise = options.noise && position % 10 == 9;
        let mut row = self.plain(id, noise);
        let edge_case = if noise {
            let turn = position / 10;
            Some(match turn % 50 {
                // "Even an administrator sees 203 of 205": two rows are beyond everybody.
                3 if turn < 100 => &EdgeCase::HiddenRecord,
                turn if turn % 10 == 4 => &EdgeCase::AssetBundle,
                turn if turn % 10 == 7 => &EdgeCase::ViewAsset,
                _ => &EdgeCase::ImageVariant,
            })
        } else if options.edge_case_mix.one_in > 0
            && position % options.edge_case_mix.one_in == options.edge_case_mix.one_in / 2
        {
            let turn = position / options.edge_case_mix.one_in;
            let kinds = options.edge_case_mix.edge_cases.len().max(1) as u64;
            usize::try_from(turn % kinds)
                .ok()
                .and_then(|turn| options.edge_case_mix.edge_cases.get(turn))
        } else {
            None
        };
        let given = options.edge_cases.get(&id).into_iter().flatten();
        for edge_case in edge_case.into_iter().chain(given) {
            match edge_case {
                // The other row is looked at as it was generated, and never in a circle.
                EdgeCase::SameContentAs(other) if *other < id => {
                    edge_case.spring(&mut row, self.version, self.row(*other).as_ref());
                }
                edge_case => edge_case.spring(&mut row, self.version, None),
            }
        }
        row
    }

    /// Whether an account may see what a row hangs on.
    fn sees_record(row: &Row, user: &User) -> bool {
        let closed = row.res_model.as_deref() == Some("account.move") && !user.is_administrator();
        let of_another = row.of_another && !user.sees_all_leads();
        !row.hidden && (row.public || !(closed || of_another))
    }

    /// Whether an account finds a row in a search: whoever may not see its record does not, and nobody does where
    /// the record is gone. What else is refused at reading is left out from 17 on only (seen on 14, 16 and 17).
    fn visible(&self, row: &Row, user: &User) -> bool {
        row.holder != Holder::Deleted
            && Self::sees_record(row, user)
            && (self.version < 17 || self.readable(row, user))
    }

    /// Whether an account may read a row. What hangs on a record that is gone is everybody's up to 16, on a model that
    /// is gone up to 18. Without the group Settings nobody reads files of fields up to 16 (public ones neither on
    /// 14), nor what hangs on no record and was made by others (from 15 on).
    fn readable(&self, row: &Row, user: &User) -> bool {
        let held = match row.holder {
            Holder::There => true,
            Holder::Deleted => self.version < 17,
            Holder::ModelGone => self.version < 19,
        };
        held && Self::sees_record(row, user)
            && (user.is_administrator()
                || match self.version {
                    ..=14 => row.res_field.is_none(),
                    15..=16 => row.public || (row.res_field.is_none() && row.res_id != 0),
                    _ => row.public || row.res_id != 0,
                })
    }

    /// The row, if this account may read it.
    pub(crate) fn readable_row(&self, id: i64, user: &User) -> Option<Row> {
        self.row(id).filter(|row| self.readable(row, user))
    }

    /// The ids that a domain finds, in order.
    pub(crate) fn search(
        &self,
        domain: &Domain,
        order: &Order,
        offset: usize,
        limit: usize,
        user: &User,
    ) -> Vec<i64> {
        // Up to 18 the offset counts over all rows, then the page is filled with visible ones: the next page
        // begins with rows that filled this one (227 returned, 225 distinct).
        let over_all_rows = self.version <= 18;
        let mut skip = offset;
        let mut keep = |row: &Row| {
            let visible = self.visible(row, user);
            if skip > 0 && (visible || over_all_rows) {
                skip -= 1;
                return false;
            }
            visible
        };
        let Some(descending) = order.by_id() else {
            let mut found: Vec<Row> = self
                .candidates(domain)
                .filter(|row| domain.matches(row))
                .collect();
            found.sort_by(|a, b| order.compare(a, b));
            return found
                .iter()
                .filter(|row| keep(row))
                .take(limit)
                .map(|row| row.id)
                .collect();
        };
        let candidates: Box<dyn Iterator<Item = Row> + '_> = if descending {
            Box::new(self.candidates(domain).rev())
        } else {
            Box::new(self.candidates(domain))
        };
        let found = candidates
            .filter(|row| domain.matches(row))
            .filter(|row| keep(row));
        found.take(limit).map(|row| row.id).collect()
    }

    /// How many rows a domain finds.
    pub(crate) fn count(&self, domain: &Domain, user: &User) -> usize {
        self.candidates(domain)
            .filter(|row| self.visible(row, user) && domain.matches(row))
            .count()
    }

    /// The rows that can match: those whose id and write date can.
    fn candidates<'a>(&'a self, domain: &Domain) -> Box<dyn DoubleEndedIterator<Item = Row> + 'a> {
        let (low, high) = domain.range("id");
        if let Some(mut listed) = domain.listed("id") {
            listed.sort_unstable();
            listed.dedup();
            return Box::new(listed.into_iter().filter_map(|id| self.row(id)));
        }
        let (since, _) = domain.range("write_date");
        let newest_generated =
            self.first_us + self.step_us * (self.last_generated - self.options.first_id + 1);
        if since > newest_generated {
            return Box::new(self.changed_ids(low, high).filter_map(|id| self.row(id)));
        }
        Box::new(self.ids(low, high).filter_map(|id| self.row(id)))
    }
}

/// How large the content of this seed is.
fn size(sizes: Sizes, seed: u64) -> u64 {
    let dice = scramble(seed ^ 0x7369_7a65);
    let between = |low: u64, high: u64| low + (dice >> 16) % (high.saturating_sub(low) + 1);
    match sizes {
        Sizes::Fixed(bytes) => bytes,
        Sizes::Between(low, high) => between(low, high),
        Sizes::Mixed => match dice % 1000 {
            0..700 => between(1_000, 30_000),
            700..950 => between(30_000, 120_000),
            950..995 => between(120_000, 600_000),
            995..999 => between(1_000_000, 4_000_000),
            _ => between(7_000_000, 9_000_000),
        },
    }
}
