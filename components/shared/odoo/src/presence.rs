//! Tells hidden records from missing ones. A search leaves out both; reading by id leaves out missing records, but a
//! forbidden one fails the whole call (seen on 14, 16, 17, 18 and 19). So ids are read in blocks, and a block that
//! fails is halved.

use std::collections::BTreeSet;

use fault::{Fault, Kind};
use outbound::{Clock, Http};
use serde_json::{Map, json};

use crate::Odoo;
use crate::records::Record;
use crate::salvage::{id_of, is_of_content};

/// Ids per call.
pub const BLOCK: usize = 1000;

/// How many contents that should be empty one call reads.
const FEW: usize = 20;

/// The result of asking for ids.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Presence {
    /// Records that can be read.
    pub readable: BTreeSet<i64>,
    /// Records that exist but that the user may not read.
    pub hidden: BTreeSet<i64>,
    /// Records not asked for, since no calls were left.
    pub unasked: BTreeSet<i64>,
}

impl<H: Http, C: Clock> Odoo<H, C> {
    /// Checks that a model exists and that the user may read it.
    pub async fn may_read(&self, model: &str) -> Result<(), Fault> {
        let mut named = Map::new();
        named.insert("domain".into(), json!([]));
        named.insert("limit".into(), json!(1));
        let _first: Vec<i64> = self.call(model, "search", None, named).await?;
        Ok(())
    }

    /// Finds out which of these ids exist, visible or not. Decrements `calls`, and stops at zero.
    pub async fn presence(
        &self,
        model: &str,
        ids: &[i64],
        calls: &mut u32,
    ) -> Result<Presence, Fault> {
        self.presence_by("create_date", model, ids, calls).await
    }

    /// The same by a plain stored field, for a model that may have no dates.
    pub async fn presence_by(
        &self,
        field: &str,
        model: &str,
        ids: &[i64],
        calls: &mut u32,
    ) -> Result<Presence, Fault> {
        let mut presence = Presence::default();
        let mut blocks: Vec<&[i64]> = ids.chunks(BLOCK).rev().collect();
        while let Some(block) = blocks.pop() {
            if block.is_empty() {
                continue;
            }
            let Some(left) = calls.checked_sub(1) else {
                presence.unasked.extend(block);
                continue;
            };
            *calls = left;
            match self.there(field, model, block).await {
                Ok(there) => presence.readable.extend(there),
                Err(fault) if is_of_content(&fault) => match block {
                    [one] if fault.kind() == Kind::SourceForbidden => {
                        presence.hidden.insert(*one);
                    }
                    // The record exists, but reading it fails for another reason.
                    [one] => {
                        presence.readable.insert(*one);
                    }
                    many => {
                        let (first, second) = many.split_at(many.len() / 2);
                        blocks.extend([second, first]);
                    }
                },
                Err(fault) => return Err(fault),
            }
        }
        Ok(presence)
    }

    /// Which of these attachments have content although checksum and size are missing: rows that a migration wrote
    /// without Odoo (seen on 14, 16, 18 and 19).
    pub async fn with_content(&self, ids: &[i64]) -> Result<BTreeSet<i64>, Fault> {
        let mut with_content = BTreeSet::new();
        let mut blocks: Vec<&[i64]> = ids.chunks(FEW).rev().collect();
        while let Some(block) = blocks.pop() {
            let mut named = Map::new();
            named.insert("fields".into(), json!(["datas"]));
            let records: Result<Vec<Record>, Fault> =
                self.call("ir.attachment", "read", Some(block), named).await;
            match records {
                Ok(records) => with_content.extend(records.iter().filter_map(|record| {
                    let datas = record.get("datas")?.as_str()?;
                    id_of(record).filter(|_| !datas.is_empty())
                })),
                // An answer that is too long proves that there is content.
                Err(fault) if is_of_content(&fault) => match block {
                    [] => {}
                    [one] => drop(with_content.insert(*one)),
                    many => {
                        let (first, second) = many.split_at(many.len() / 2);
                        blocks.extend([second, first]);
                    }
                },
                Err(fault) => return Err(fault),
            }
        }
        Ok(with_content)
    }

    /// Which of these ids can be read. A field beside the id is needed: from 16 on, reading only the id also returns
    /// missing records (seen).
    async fn there(&self, field: &str, model: &str, ids: &[i64]) -> Result<Vec<i64>, Fault> {
        let mut named = Map::new();
        named.insert("fields".into(), json!([field]));
        named.insert("context".into(), json!({ "active_test": false }));
        let records: Vec<Record> = self.call(model, "read", Some(ids), named).await?;
        Ok(records.iter().filter_map(id_of).collect())
    }
}

/// The ids that a page of a list skips: `listed` is ascending and begins after `after_id`; if it is the last page,
/// the next [`BLOCK`] ids count too. Returns at most `most` ids, and the id up to which they are complete.
pub fn gaps(after_id: i64, listed: &[i64], is_last: bool, most: usize) -> (Vec<i64>, i64) {
    let last = listed.last().copied().unwrap_or(after_id);
    let end = if is_last {
        last.saturating_add_unsigned(BLOCK as u64)
    } else {
        last
    };
    let mut listed = listed.iter().copied().peekable();
    let mut skipped = Vec::new();
    for id in after_id.saturating_add(1)..=end {
        if listed.next_if_eq(&id).is_some() {
            continue;
        }
        if skipped.len() >= most {
            return (skipped, id - 1);
        }
        skipped.push(id);
    }
    (skipped, end)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn gaps_are_what_a_list_skips_and_end_where_there_are_enough() {
        assert_eq!(gaps(0, &[1, 2, 3], false, 10), (vec![], 3));
        assert_eq!(gaps(0, &[2, 5], false, 10), (vec![1, 3, 4], 5));
        assert_eq!(gaps(0, &[2, 5], false, 2), (vec![1, 3], 3));
        assert_eq!(gaps(7, &[], false, 10), (vec![], 7));
        let (beyond, end) = gaps(7, &[8], true, 5000);
        assert_eq!(
            (beyond.len(), beyond.first(), end),
            (BLOCK, Some(&9), 8 + i64::try_from(BLOCK).unwrap())
        );
    }
}
