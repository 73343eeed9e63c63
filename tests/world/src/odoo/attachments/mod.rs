//! The attachments: millions of rows that follow from their ids, and the few that differ.

mod content;
mod edge_cases;
mod row;
mod table;

use std::collections::BTreeMap;
use std::sync::{Arc, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard};

use bytes::Bytes;
use serde::Serialize;

pub use edge_cases::{EdgeCase, EdgeCaseMix, OddName};
pub use row::{Damage, Kind};
pub(crate) use row::{Row, hex};

use super::spelling::{datetime, now_us, parse_datetime};
use crate::serve::{Source, scramble};

/// How large the files are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Sizes {
    /// As in real life: most of a few KB, some of MBs; 2,000 files are about 130 MB.
    Mixed,
    /// All of this many bytes.
    Fixed(u64),
    /// From this many bytes to that many, evenly.
    Between(u64, u64),
}

/// Which attachments there are.
#[derive(Debug, Clone)]
pub struct Attachments {
    /// How many real ones: attached by people, visible to an administrator.
    pub count: u64,
    /// The id of the first row.
    pub first_id: i64,
    /// How large they are.
    pub sizes: Sizes,
    /// One in so many real ones has the bytes of another; 0 is none.
    pub shared_one_in: u64,
    /// Whether every tenth row is noise beside the `count`: image variants, web assets, and two
    /// rows that even an administrator cannot see.
    pub noise: bool,
    /// Edge cases strewn over the real ones.
    pub edge_case_mix: EdgeCaseMix,
    /// Edge cases at given ids, added to what the row has.
    pub edge_cases: BTreeMap<i64, Vec<EdgeCase>>,
    /// How many records of each model they are attached to.
    pub records: i64,
}

impl Default for Attachments {
    fn default() -> Self {
        Self {
            count: 0,
            first_id: 1,
            sizes: Sizes::Mixed,
            shared_one_in: 12,
            noise: false,
            edge_case_mix: EdgeCaseMix::none(),
            edge_cases: BTreeMap::new(),
            records: 500,
        }
    }
}

impl Attachments {
    /// So many real attachments of mixed sizes, without noise and edge cases.
    pub fn of(count: u64) -> Self {
        Self {
            count,
            ..Self::default()
        }
    }

    /// As a real database has them: noise between, and edge cases that never fail.
    pub fn realistic(count: u64) -> Self {
        Self {
            count,
            noise: true,
            edge_case_mix: EdgeCaseMix::harmless(),
            ..Self::default()
        }
    }

    /// Sets how large they are.
    #[must_use]
    pub fn sized(mut self, sizes: Sizes) -> Self {
        self.sizes = sizes;
        self
    }

    /// Sets an edge case at an id.
    #[must_use]
    pub fn with(mut self, id: i64, edge_case: EdgeCase) -> Self {
        self.edge_cases.entry(id).or_default().push(edge_case);
        self
    }

    /// How many rows the ids span, noise included.
    fn rows(&self) -> u64 {
        if self.noise && self.count > 0 {
            self.count + (self.count - 1) / 9
        } else {
            self.count
        }
    }
}

/// A row to be added while the server runs. What is `None` is generated.
#[derive(Debug, Clone, Default)]
pub struct NewAttachment {
    /// An id that is free; the next one where `None`.
    pub id: Option<i64>,
    /// The file's name.
    pub name: Option<String>,
    /// The file's bytes.
    pub content: Option<Bytes>,
    /// The file's size, where the bytes do not matter.
    pub size: Option<u64>,
    /// The file's type.
    pub mimetype: Option<String>,
    /// The model of its record.
    pub res_model: Option<String>,
    /// The id of its record.
    pub res_id: Option<i64>,
    /// The field of its record, where it belongs to one.
    pub res_field: Option<String>,
    /// The company, 1 where `None`.
    pub company: Option<i64>,
    /// When its transaction began, as `2026-11-21 20:21:22.123456`; now where `None`. An older one is
    /// a transaction that was slow to commit.
    pub write_date: Option<String>,
    /// Edge cases to spring on it.
    pub edge_cases: Vec<EdgeCase>,
}

/// An attachment as the simulation knows it, for comparing with what was moved.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Attachment {
    /// The id.
    pub id: i64,
    /// The file's name.
    pub name: String,
    /// The file's size in bytes, as Odoo believes it.
    pub file_size: u64,
    /// The SHA-1 that Odoo has; none of an empty file or none at all.
    pub checksum: Option<String>,
    /// The file's type.
    pub mimetype: String,
    /// The model of its record.
    pub res_model: Option<String>,
    /// The id of its record.
    pub res_id: i64,
    /// The field of its record, where it belongs to one.
    pub res_field: Option<String>,
    /// The column `type`.
    pub r#type: &'static str,
    /// When it was written, cut off at the second.
    pub write_date: String,
}

/// What is in the whole table, counted.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
pub struct Counts {
    /// All rows, whoever may see them.
    pub rows: u64,
    /// Rows that nobody may see.
    pub hidden: u64,
    /// Image variants and other files of fields (`res_field`).
    pub of_fields: u64,
    /// Web assets (`ir.ui.view`, `/web/assets/…`), files of fields excepted.
    pub web_assets: u64,
    /// Links, of the rest.
    pub urls: u64,
    /// Files in a bucket of the company's own, of the rest.
    pub cloud: u64,
    /// Empty files, of the rest.
    pub empty: u64,
    /// Files that are lost or damaged, of the rest.
    pub damaged: u64,
    /// What is left: files that can be moved.
    pub movable: u64,
    /// Their bytes.
    pub movable_bytes: u64,
    /// How many different contents they have.
    pub movable_contents: u64,
}

/// The attachments of a running server. Clones share them.
#[derive(Debug, Clone)]
pub struct Handle(Arc<RwLock<Table>>);

/// All rows.
#[derive(Debug)]
pub(crate) struct Table {
    options: Attachments,
    version: u8,
    last_generated: i64,
    last_id: i64,
    /// When the first generated row was written, and how far apart they are.
    first_us: i64,
    step_us: i64,
    /// Rows that are not as generated; `None` are gone.
    changed: BTreeMap<i64, Option<Box<Row>>>,
}

/// Two years, over which generated rows were written, up to one day ago.
const SPAN_US: i64 = 730 * DAY_US;
const DAY_US: i64 = 86_400_000_000;

impl Handle {
    pub(crate) fn new(options: Attachments, version: u8) -> Self {
        let rows = i64::try_from(options.rows()).unwrap_or(i64::MAX);
        let last_generated = options.first_id.saturating_add(rows) - 1;
        let table = Table {
            version,
            last_generated,
            last_id: last_generated,
            first_us: now_us() - DAY_US - SPAN_US,
            step_us: (SPAN_US / rows.max(1)).max(1),
            changed: BTreeMap::new(),
            options,
        };
        Self(Arc::new(RwLock::new(table)))
    }

    pub(crate) fn table(&self) -> RwLockReadGuard<'_, Table> {
        self.0.read().unwrap_or_else(PoisonError::into_inner)
    }

    fn table_mut(&self) -> RwLockWriteGuard<'_, Table> {
        self.0.write().unwrap_or_else(PoisonError::into_inner)
    }

    /// One attachment, whoever may see it.
    pub fn get(&self, id: i64) -> Option<Attachment> {
        self.table().row(id).map(|row| Attachment {
            id,
            name: row.name().into_owned(),
            file_size: row.file_size(),
            checksum: row.checksum(),
            mimetype: row.mimetype().to_owned(),
            res_model: row.res_model.as_deref().map(str::to_owned),
            res_id: row.res_id,
            res_field: row.res_field.as_deref().map(str::to_owned),
            r#type: row.kind.as_str(),
            write_date: datetime(row.write_us),
        })
    }

    /// The bytes that are really stored; `None` if there are none.
    pub fn content(&self, id: i64) -> Option<Vec<u8>> {
        let stored = self.table().row(id)?.stored()?;
        stored.read_all(0, stored.len()).ok()
    }

    /// All ids, ascending.
    pub fn ids(&self) -> Vec<i64> {
        let table = self.table();
        table.ids(i64::MIN, i64::MAX).collect()
    }

    /// Counts the whole table.
    pub fn counts(&self) -> Counts {
        let table = self.table();
        let mut counts = Counts::default();
        let mut contents = std::collections::HashSet::new();
        for row in table.ids(i64::MIN, i64::MAX).filter_map(|id| table.row(id)) {
            counts.rows += 1;
            let asset = row.res_model.as_deref() == Some("ir.ui.view")
                || row
                    .url
                    .as_deref()
                    .is_some_and(|url| url.starts_with("/web/assets/"));
            let counter = if row.hidden {
                &mut counts.hidden
            } else if row.res_field.is_some() {
                &mut counts.of_fields
            } else if asset {
                &mut counts.web_assets
            } else if row.kind == Kind::Url {
                &mut counts.urls
            } else if row.kind == Kind::CloudStorage {
                &mut counts.cloud
            } else if row.file_size() == 0 {
                &mut counts.empty
            } else if row.damage.is_some() {
                &mut counts.damaged
            } else {
                counts.movable_bytes += row.file_size();
                contents.insert(row.given.map_or((row.seed, row.len), |given| {
                    let start = sha1_start(&given);
                    (start, given.len() as u64)
                }));
                &mut counts.movable
            };
            *counter += 1;
        }
        counts.movable_contents = contents.len() as u64;
        counts
    }

    /// Adds a row and returns its id.
    pub fn insert(&self, new: NewAttachment) -> i64 {
        let mut table = self.table_mut();
        let id = new.id.unwrap_or(table.last_id + 1);
        table.last_id = table.last_id.max(id);
        let mut row = table.plain(id, false);
        row.seed = scramble(id.unsigned_abs() ^ 0x006e_6577_5f72_6f77);
        row.write_us = new
            .write_date
            .as_deref()
            .and_then(parse_datetime)
            .unwrap_or_else(now_us);
        row.create_us = row.write_us;
        if let Some(size) = new.size {
            row.len = size;
        }
        if let Some(content) = new.content {
            row.len = content.len() as u64;
            row.given = Some(content);
        }
        row.name = new.name.or(row.name);
        row.mimetype = new.mimetype.map(Into::into).or(row.mimetype);
        row.res_model = new.res_model.map(Into::into).or(row.res_model);
        row.res_id = new.res_id.unwrap_or(row.res_id);
        row.res_field = new.res_field.map(Into::into).or(row.res_field);
        row.company = new.company.or(row.company);
        for edge_case in &new.edge_cases {
            table.spring(edge_case, &mut row);
        }
        table.put(row);
        id
    }

    /// Deletes rows, as Odoo does: without a trace.
    pub fn delete(&self, ids: impl IntoIterator<Item = i64>) {
        let mut table = self.table_mut();
        for id in ids {
            table.changed.insert(id, None);
        }
    }

    /// Takes a row out of sight, as if its transaction had not committed yet; `put_back` commits it.
    /// Its id and its dates stay as they are: older than what was committed in between.
    pub fn take_out(&self, id: i64) -> Option<Uncommitted> {
        let mut table = self.table_mut();
        let row = table.row(id)?;
        table.changed.insert(id, None);
        Some(Uncommitted(row))
    }

    /// Commits what was taken out.
    pub fn put_back(&self, uncommitted: Uncommitted) {
        self.table_mut().put(uncommitted.0);
    }

    /// Gives a row other bytes, as many, and the present as its write date.
    pub fn change_content(&self, id: i64) {
        self.change_content_since(id, 0);
    }

    /// The same by a transaction that ends now and began so many minutes ago, which is when Odoo says it was.
    pub fn change_content_since(&self, id: i64, minutes: i64) {
        self.change(id, |row| {
            row.given = None;
            row.seed = scramble(row.seed);
            row.write_us = now_us() - minutes * 60_000_000;
        });
    }

    /// Sets the write date to the present, and nothing else.
    pub fn touch(&self, id: i64) {
        self.change(id, |row| row.write_us = now_us());
    }

    /// Springs an edge case on a row; its dates stay.
    pub fn edge_case(&self, id: i64, edge_case: &EdgeCase) {
        let mut table = self.table_mut();
        if let Some(mut row) = table.row(id) {
            table.spring(edge_case, &mut row);
            table.put(row);
        }
    }

    /// Hangs a row on another record.
    pub fn set_record(&self, id: i64, model: &str, res_id: i64) {
        self.change(id, |row| {
            row.res_model = Some(model.to_owned().into());
            row.res_id = res_id;
            row.write_us = now_us();
        });
    }

    /// The access token of a row, made where there is none; this writes to the row.
    pub fn access_token(&self, id: i64) -> Option<String> {
        self.access_tokens(&[id]).ok()?.pop()?
    }

    /// Damages the stored file, or repairs it. The row knows nothing of it.
    pub fn damage(&self, id: i64, damage: Option<Damage>) {
        self.change(id, |row| row.damage = damage);
    }

    /// Makes a row visible or not, as its record's access rules would.
    pub fn hide(&self, id: i64, hidden: bool) {
        self.change(id, |row| row.hidden = hidden);
    }

    fn change(&self, id: i64, change: impl FnOnce(&mut Row)) {
        let mut table = self.table_mut();
        if let Some(mut row) = table.row(id) {
            change(&mut row);
            table.put(row);
        }
    }

    /// Writes the access tokens of rows, as `write` of a user does. The error is the row that may not be written to.
    pub fn write_token(&self, ids: &[i64], token: Option<&str>) -> Result<(), i64> {
        let mut table = self.table_mut();
        let locked = |id: &&i64| table.row(**id).is_some_and(|row| row.read_only);
        if let Some(id) = ids.iter().find(locked) {
            return Err(*id);
        }
        for row in ids
            .iter()
            .filter_map(|id| table.row(*id))
            .collect::<Vec<_>>()
        {
            table.put(Row {
                access_token: token.map(str::to_owned),
                write_us: now_us(),
                ..row
            });
        }
        Ok(())
    }

    /// The access token that a row has.
    pub fn token_of(&self, id: i64) -> Option<String> {
        self.table_mut().row(id)?.access_token
    }

    /// Gives each row an access token, if it has none; this writes to the row. The error is the row that may
    /// not be written to.
    pub(crate) fn access_tokens(&self, ids: &[i64]) -> Result<Vec<Option<String>>, i64> {
        let mut table = self.table_mut();
        let locked = |id: &&i64| table.row(**id).is_some_and(|row| row.read_only);
        if let Some(id) = ids.iter().find(locked) {
            return Err(*id);
        }
        let mut token_of = |id: &i64| {
            let mut row = table.row(*id)?;
            if row.access_token.is_none() {
                let [a, b] = [crate::serve::unpredictable(), crate::serve::unpredictable()];
                row.access_token = Some(
                    uuid::Builder::from_random_bytes(
                        (u128::from(a) << 64 | u128::from(b)).to_be_bytes(),
                    )
                    .into_uuid()
                    .to_string(),
                );
                row.write_us = now_us();
                table.put(row.clone());
            }
            row.access_token
        };
        Ok(ids.iter().map(&mut token_of).collect())
    }
}

/// A row whose transaction has not committed.
#[derive(Debug)]
pub struct Uncommitted(Row);

fn sha1_start(bytes: &Bytes) -> u64 {
    let digest = content::Content::Given(bytes.clone()).sha1();
    digest
        .iter()
        .take(8)
        .fold(0, |start, byte| start << 8 | u64::from(*byte))
}
