//! One entity in a run.

use std::cell::Cell;

use chrono::{DateTime, Utc};
use fault::{Fault, Kind};
use ledger::Postgres;
use ledger::dictionary::Field;
use ledger::runs::RunId;
use ledger::sync::{self, Lease, Page, PreparedPage, Row, Written};
use ledger::unreadable::Unreadable;
use odoo::records::Model;
use odoo::salvage::{self, Part};
use serde_json::{Value, json};

use crate::cursor::{Position, Seen, Tail};
use crate::entity::{Known, Refine};
use crate::html::Cleaner;
use crate::naming::Mentions;
use crate::report::Copied;
use crate::row::row;
use crate::{Entity, Scope, Settings, Shape};

/// One entity in a run.
pub(crate) struct EntityRun<'e> {
    pub entity: &'e Entity<'e>,
    /// Which of its records are copied.
    pub scope: Scope,
    pub shape: Shape,
    /// The fields to read.
    pub asked: Vec<String>,
    pub position: Position,
    /// The cursor as the ledger has it.
    saved: Position,
    cursor: String,
    /// Odoo's newest `write_date`, if asked.
    pub newest: Option<DateTime<Utc>>,
    pub copied: Copied,
    /// The run as of whose start the copy is complete; `None` if this run knows of none.
    pub as_of: Option<RunId>,
    /// Whether it is worked on for the rest of the run.
    pub standing: Standing,
    /// Whether the shape differs from the last run's: if so, lacking columns are reported.
    new_shape: bool,
    domain: Vec<Value>,
    /// The links whose targets can be archived, each with its model.
    links: Vec<(String, String)>,
    refine: Option<Refine>,
    /// The cleaner, if the entity has HTML.
    cleaner: Option<Cleaner>,
    /// The lookup table of `refine`, once read.
    pub index: Option<Known>,
    /// Its fields, for the dictionary.
    pub described: Vec<Field>,
    /// The records that the current rows mention.
    pub mentions: Mentions,
    /// Unreadable records and fields that are not on their list yet.
    unreadable: Vec<Unreadable>,
    /// With `Scope::Of`: the parent ids whose rows the next page completes.
    pub answered: Vec<i64>,
    /// Whether the frozen fields changed.
    pub frozen_anew: bool,
}

/// Whether an entity is worked on in this run.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Standing {
    /// It is worked on.
    Active,
    /// It met a fault, and is not worked on for the rest of the run.
    Failed,
    /// It is left out.
    LeftOut(Gap),
}

/// Why an entity is not copied at all.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Gap {
    /// The user may not read it.
    Forbidden,
    /// This Odoo has no such model.
    Absent,
}

impl Gap {
    /// The name in the ledger, which also serves as the shape of what is left out.
    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::Forbidden => "forbidden",
            Self::Absent => "absent",
        }
    }
}

/// Replaces a text that made its record too long to read.
const LEFT_OUT: &str = "(Left out, since it is longer than 4 MiB: see Odoo.)";

/// Writes the rows of a run.
pub(crate) struct RowWriter<'a, P> {
    pub postgres: &'a P,
    pub lease: Lease,
    /// Whether writes are only counted.
    pub dry: bool,
    /// Whether the current step has made progress.
    pub moved: Cell<bool>,
}

impl<P: Postgres> RowWriter<'_, P> {
    /// Writes a page, unless there is none.
    pub(crate) async fn write(
        &self,
        prepared: Option<PreparedPage>,
    ) -> Result<Option<Written>, Stop> {
        let Some(prepared) = prepared else {
            return Ok(None);
        };
        let written = sync::write(self.postgres, prepared).await?;
        self.moved.set(true);
        written.map(Some).ok_or(Stop::GivenUp)
    }

    /// Writes cursors only.
    pub(crate) async fn save(&self, cursors: &[(&str, Value)]) -> Result<(), Stop> {
        if cursors.is_empty() || self.dry {
            return Ok(());
        }
        if !sync::move_on(self.postgres, self.lease, cursors).await? {
            return Err(Stop::GivenUp);
        }
        self.moved.set(true);
        Ok(())
    }
}

/// Why a run must end at once.
pub(crate) enum Stop {
    /// The run was given up meanwhile, and another run may have its slot.
    GivenUp,
    /// A fault.
    Fault(Fault),
}

impl From<Fault> for Stop {
    fn from(fault: Fault) -> Self {
        Self::Fault(fault)
    }
}

impl<'e> EntityRun<'e> {
    /// An entity at its stored cursor. An unreadable cursor starts from the beginning.
    pub(crate) fn new(
        entity: &'e Entity<'e>,
        job: &str,
        shape: Shape,
        kept: &Cursors,
        settings: &Settings,
    ) -> Self {
        let cursor = format!("{job}:{}", entity.name);
        let saved: Position = kept
            .get(&cursor)
            .and_then(|position| serde_json::from_value(position.clone()).ok())
            .unwrap_or_default();
        let mut entity_run = Self {
            entity,
            scope: settings.scope(entity),
            asked: shape.asked(),
            position: saved.clone(),
            saved,
            cursor,
            newest: None,
            copied: Copied::default(),
            as_of: None,
            standing: Standing::Active,
            new_shape: false,
            domain: entity
                .options
                .map_or_else(Vec::new, |options| (options.domain)(settings)),
            links: Vec::new(),
            refine: entity.options.map(|options| (options.refine)(settings)),
            cleaner: (!shape.marked.is_empty())
                .then(|| Cleaner::new(&settings.odoo.url, settings.hold_remote_images)),
            index: None,
            described: Vec::new(),
            mentions: Mentions::default(),
            unreadable: Vec::new(),
            answered: Vec::new(),
            frozen_anew: false,
            shape,
        };
        let cleaner = Cleaner::version(settings.hold_remote_images);
        let fingerprint =
            entity_run
                .shape
                .fingerprint(&entity_run.domain, &cleaner, &settings.language);
        let fingerprint = if entity_run.scope == entity.scope {
            fingerprint
        } else {
            format!("{fingerprint} {:?}", entity_run.scope)
        };
        if entity_run.position.shape != fingerprint {
            entity_run.new_shape = true;
            entity_run
                .copied
                .lacking
                .clone_from(&entity_run.shape.lacking);
            entity_run.copied.left_out = entity_run.shape.left_out_by_reason();
        }
        entity_run.position.take_shape(fingerprint);
        entity_run.note_links(entity_run.position.links.clone());
        let fields = entity_run.shape.names();
        entity_run.frozen_anew = entity_run.position.take_fields(fields);
        entity_run
    }

    /// Notes which links can lead to archived records, if that is known.
    pub(crate) fn note_links(&mut self, fields: Option<Vec<String>>) {
        let can_be_archived = fields.as_deref().unwrap_or_default();
        let links = self.shape.links.iter();
        let links = links.filter(|(field, _)| can_be_archived.contains(field));
        self.links = links.cloned().collect();
        self.position.links = fields;
    }

    /// The model, for a call.
    pub(crate) fn model<'l>(&'l self, language: &'l str) -> Model<'l> {
        Model {
            name: self.entity.model,
            domain: &self.domain,
            language,
            undated: self.shape.undated.as_deref(),
            links: &self.links,
        }
    }

    /// Leaves the entity out, which is reported once. Rows read before stay as they are.
    pub(crate) fn leave_out(&mut self, gap: Gap) {
        self.standing = Standing::LeftOut(gap);
        self.frozen_anew = false;
        self.as_of = None;
        self.position = self.saved.clone();
        self.described.clear();
        self.copied.lacking.clear();
        self.copied.left_out.clear();
        let is_new = self.position.shape != gap.name();
        self.copied.forbidden = is_new && gap == Gap::Forbidden;
        self.copied.absent = is_new && gap == Gap::Absent;
        gap.name().clone_into(&mut self.position.shape);
    }

    /// Notes that a column cannot be made for this user.
    pub(crate) fn lacks(&mut self, column: &'static str) {
        if self.new_shape && !self.copied.lacking.contains(&column) {
            self.copied.lacking.push(column);
        }
    }

    /// Converts a page of records to rows, and to what the cursor needs of all records found. Unreadable ones are
    /// listed with the next page that is written.
    pub(crate) fn rows(&mut self, part: Part) -> Result<(Vec<Row>, Vec<Seen>), Fault> {
        self.copied.read += u64::try_from(part.records.len()).unwrap_or_default();
        let nothing = Known::new();
        let index = self.index.as_ref().unwrap_or(&nothing);
        let unread: Vec<Seen> = part.unreadable.iter().filter_map(passed_over).collect();
        self.unreadable
            .extend(part.unreadable.into_iter().map(|one| Unreadable {
                id: one.id,
                fields: one.fields,
                said: one.said,
                hidden: false,
            }));
        let (rows, mut seen): (Vec<Row>, Vec<Seen>) = part
            .records
            .into_iter()
            .map(|mut record| {
                self.mentions.of_record(&record, self.entity, &self.shape);
                if let Some(cleaner) = &self.cleaner {
                    cleaner.refine(&mut record, &self.shape.marked, self.entity);
                }
                match (&self.refine, self.entity.bulk) {
                    (Some(refine), _) => refine(&mut record, index),
                    (None, Some(bulk)) if self.asked.iter().any(|field| field == bulk) => {
                        record.entry(bulk).or_insert_with(|| json!(LEFT_OUT));
                    }
                    (None, _) => {}
                }
                row(record, &self.shape)
            })
            .collect::<Result<Vec<_>, _>>()?
            .into_iter()
            .unzip();
        seen.extend(unread);
        Ok((rows, seen))
    }

    /// Notes records that exist but that the user may no longer see.
    pub(crate) fn turned_invisible(&mut self, ids: impl IntoIterator<Item = i64>) {
        self.unreadable
            .extend(ids.into_iter().map(Unreadable::hidden));
    }

    /// Custom fields that keep their values: those no longer readable, and those that one of these rows was read
    /// without.
    fn frozen_customs(&self, rows: &[Row]) -> Vec<String> {
        let all = self.shape.custom.len();
        let rest = self.shape.rest()[0];
        let is_whole = |row: &Row| {
            let custom = row.get(rest).and_then(Value::as_object);
            custom.is_none_or(|custom| custom.len() == all)
        };
        if rows.iter().all(is_whole) {
            return self.position.frozen.clone();
        }
        let unread = |name: &String| {
            let lacks = |row: &Row| row.get(rest).is_some_and(|all| all.get(name).is_none());
            rows.iter().any(lacks)
        };
        let customs = self.shape.custom.iter().map(|(name, _)| name);
        let unread = customs.filter(|name| unread(name)).cloned();
        self.position.frozen.iter().cloned().chain(unread).collect()
    }

    /// Prepares a page and the cursor behind it for writing; `None` if it brings nothing new.
    pub(crate) fn prepare_page<P>(
        &mut self,
        writer: &RowWriter<'_, P>,
        rows: &[Row],
        gone: &[i64],
        next: Option<&Position>,
    ) -> Result<Option<PreparedPage>, Fault> {
        let unreadable = std::mem::take(&mut self.unreadable);
        let answered = std::mem::take(&mut self.answered);
        let mentioned = self.mentions.take();
        let brings_nothing = next.is_some_and(|next| next.brings_nothing_to(&self.saved));
        if brings_nothing && gone.is_empty() && unreadable.is_empty() {
            self.copied.written.unchanged += u64::try_from(rows.len()).unwrap_or_default();
            return Ok(None);
        }
        let position = next.map(document).transpose()?;
        let page = Page {
            rows,
            gone,
            unreadable: (self.entity.model, &unreadable),
            frozen: &self.frozen_customs(rows),
            referred: self.scope == Scope::Referred,
            answered: &answered,
            mentioned: &mentioned,
            cursor: position
                .as_ref()
                .map(|position| (self.cursor.as_str(), position)),
            dry: writer.dry,
        };
        sync::prepare(self.entity.table, writer.lease, page).map(Some)
    }

    /// Whether a page that leads to this position has nothing new in it.
    pub(crate) fn knows_all_of(&self, next: &Position) -> bool {
        next.brings_nothing_to(&self.saved)
    }

    /// Writes a page together with the cursor behind it.
    pub(crate) async fn write<P: Postgres>(
        &mut self,
        writer: &RowWriter<'_, P>,
        rows: &[Row],
        next: Position,
    ) -> Result<(), Stop> {
        let prepared = self.prepare_page(writer, rows, &[], Some(&next))?;
        let written = writer.write(prepared).await?;
        self.stand_at(writer, next, written);
        Ok(())
    }

    /// Advances past a page that was written.
    pub(crate) fn stand_at<P>(
        &mut self,
        writer: &RowWriter<'_, P>,
        next: Position,
        written: Option<Written>,
    ) {
        if let Some(written) = written {
            self.copied.written += written;
            if !writer.dry {
                self.saved = next.clone();
            }
        }
        self.step(next);
    }

    /// Writes rows without moving the cursor. Returns what was written.
    pub(crate) async fn mend<P: Postgres>(
        &mut self,
        writer: &RowWriter<'_, P>,
        rows: &[Row],
        gone: &[i64],
    ) -> Result<Written, Stop> {
        let prepared = self.prepare_page(writer, rows, gone, None)?;
        let written = writer.write(prepared).await?.unwrap_or_default();
        self.copied.written += written;
        Ok(written)
    }

    /// The cursor, if the ledger does not have it yet.
    pub(crate) fn unsaved(&self) -> Result<Option<(&str, Value)>, Fault> {
        if self.position == self.saved {
            return Ok(None);
        }
        Ok(Some((&self.cursor, document(&self.position)?)))
    }

    /// Writes only the cursor, if it moved.
    pub(crate) async fn save<P: Postgres>(
        &mut self,
        writer: &RowWriter<'_, P>,
    ) -> Result<(), Stop> {
        writer.save(self.unsaved()?.as_slice()).await?;
        self.saved = self.position.clone();
        Ok(())
    }

    /// Ends a comparison.
    pub(crate) async fn conclude<P: Postgres>(
        &mut self,
        writer: &RowWriter<'_, P>,
        validation: &ledger::validation::Validation<'_>,
        gone: &[i64],
        next: Position,
    ) -> Result<(), Stop> {
        let position = document(&next)?;
        let cursor = (self.cursor.as_str(), &position);
        let (table, model) = (self.entity.table, self.entity.model);
        let concluded = sync::conclude(
            writer.postgres,
            table,
            writer.lease,
            model,
            validation,
            gone,
            cursor,
        );
        let deleted = concluded.await?;
        self.copied.written.deleted += deleted.ok_or(Stop::GivenUp)?;
        self.copied.verdict = Some(validation.verdict);
        writer.moved.set(true);
        self.saved = next.clone();
        self.position = next;
        Ok(())
    }

    /// Whether any reading or comparison is under way.
    pub(crate) fn unfinished(&self) -> bool {
        self.gap().is_none()
            && (self.position.changes.is_some()
                || self.position.full.is_some()
                || self.position.comparison.is_some()
                || self.position.looking.is_some()
                || self.position.written.is_none())
    }

    /// Why it is left out, if it is.
    pub(crate) fn gap(&self) -> Option<Gap> {
        match self.standing {
            Standing::LeftOut(gap) => Some(gap),
            Standing::Active | Standing::Failed => None,
        }
    }

    /// The run as of whose start everything that the user may read is copied.
    pub(crate) fn as_of(&self, this: RunId) -> Option<RunId> {
        if self.gap().is_some() {
            Some(this)
        } else {
            self.as_of
        }
    }

    /// Moves to the next cursor. When catch-up completes, records which run the copy is current as of.
    fn step(&mut self, next: Position) {
        if next.caught_up() && !self.position.caught_up() {
            self.as_of = self.position.catches_up_with();
        }
        self.position = next;
    }
}

/// Lets the cursor pass an unreadable record.
fn passed_over(unreadable: &salvage::Unreadable) -> Option<Seen> {
    (unreadable.id > 0).then_some(Seen {
        id: unreadable.id,
        write_date: None,
        tail: Tail::default(),
    })
}

/// The cursors of a job, by name.
pub(crate) type Cursors = std::collections::BTreeMap<String, Value>;

fn document(position: &Position) -> Result<Value, Fault> {
    serde_json::to_value(position)
        .map_err(|_| Fault::new(Kind::Program, "a cursor that is no JSON"))
}
