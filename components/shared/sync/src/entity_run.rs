//! One entity in a run.

use std::cell::Cell;

use chrono::{DateTime, Utc};
use fault::{Fault, Kind};
use ledger::Postgres;
use ledger::dictionary::Field;
use ledger::runs::RunId;
use ledger::sync::{self, Lease, Page, Row, Sheet, Written};
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
    /// Which of its records.
    pub scope: Scope,
    pub shape: Shape,
    /// What to ask for.
    pub asked: Vec<String>,
    pub position: Position,
    /// The position as the ledger has it.
    saved: Position,
    cursor: String,
    /// Odoo's newest `write_date`, where it was asked.
    pub newest: Option<DateTime<Utc>>,
    pub copied: Copied,
    /// The run, this one or an earlier one, as of whose beginning all is here; `None`: this run does not
    /// know of any.
    pub as_of: Option<RunId>,
    /// Whether it is worked on for the rest of the run.
    pub standing: Standing,
    /// Its shape is not that of the last run: what it lacks is told.
    new_shape: bool,
    domain: Vec<Value>,
    refine: Option<Refine>,
    /// What makes its HTML ready to be shown, where it has any.
    cleaner: Option<Cleaner>,
    /// What `refine` looks up, once it was read.
    pub index: Option<Known>,
    /// Its fields, for the dictionary.
    pub described: Vec<Field>,
    /// What the rows at hand mention.
    pub mentions: Mentions,
    /// What could not be read, and is not on its list yet.
    unreadable: Vec<Unreadable>,
    /// Of a table that is `of` another: the ids there whose rows the next page completes.
    pub answered: Vec<i64>,
    /// Other fields are frozen than before.
    pub frozen_anew: bool,
}

/// Whether an entity is worked on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Standing {
    /// It is.
    Active,
    /// It met a fault: it is left alone for the rest of the run.
    Failed,
    /// It is left out.
    LeftOut(Gap),
}

/// Why nothing of an entity is copied.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Gap {
    /// The user may not read it.
    Forbidden,
    /// This Odoo has no such model.
    Absent,
}

impl Gap {
    /// Its name in the ledger: also the shape of what is left out.
    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::Forbidden => "forbidden",
            Self::Absent => "absent",
        }
    }
}

/// What stands in place of a text that its record was too long with.
const LEFT_OUT: &str = "(Left out, since it is longer than 4 MiB: see Odoo.)";

/// How a run writes.
pub(crate) struct RowWriter<'a, P> {
    pub postgres: &'a P,
    pub lease: Lease,
    /// Nothing is written, only counted.
    pub dry: bool,
    /// Whether the step under way got anything forward.
    pub moved: Cell<bool>,
}

impl<P: Postgres> RowWriter<'_, P> {
    /// Writes a page, if there is anything in it.
    pub(crate) async fn write(&self, sheet: Option<Sheet>) -> Result<Option<Written>, Stop> {
        let Some(sheet) = sheet else { return Ok(None) };
        let written = sync::write(self.postgres, sheet).await?;
        self.moved.set(true);
        written.map(Some).ok_or(Stop::GivenUp)
    }

    /// Writes positions alone.
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

/// Why a run has to end at once.
pub(crate) enum Stop {
    /// It was given up meanwhile: its slot may be somebody else's.
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
    /// An entity at the position that the ledger has. A position that cannot be read is one to begin
    /// anew from.
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
        let fields = entity_run.shape.names();
        entity_run.frozen_anew = entity_run.position.take_fields(fields);
        entity_run
    }

    /// The model, for a call.
    pub(crate) fn model<'l>(&'l self, language: &'l str) -> Model<'l> {
        Model {
            name: self.entity.model,
            domain: &self.domain,
            language,
            undated: self.shape.undated.as_deref(),
            links: &self.shape.links,
        }
    }

    /// It is left out, which is told once. What was read before stays as it is.
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

    /// A column cannot be made for this user.
    pub(crate) fn lacks(&mut self, column: &'static str) {
        if self.new_shape && !self.copied.lacking.contains(&column) {
            self.copied.lacking.push(column);
        }
    }

    /// A part of Odoo's as rows, and what the cursor needs of all that was found. What could not be read goes
    /// to its list with the next page that is written.
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

    /// Records that are there, and that the user may not see any more.
    pub(crate) fn turned_invisible(&mut self, ids: impl IntoIterator<Item = i64>) {
        self.unreadable
            .extend(ids.into_iter().map(Unreadable::hidden));
    }

    /// Custom fields that keep what they had: those that cannot be read any more, and those that one of these rows was
    /// read without.
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

    /// A page and the position behind it, to be written; `None`: it brought nothing new.
    pub(crate) fn sheet<P>(
        &mut self,
        writer: &RowWriter<'_, P>,
        rows: &[Row],
        gone: &[i64],
        next: Option<&Position>,
    ) -> Result<Option<Sheet>, Fault> {
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
        sync::sheet(self.entity.table, writer.lease, page).map(Some)
    }

    /// Writes a page, and with it the position behind it.
    pub(crate) async fn write<P: Postgres>(
        &mut self,
        writer: &RowWriter<'_, P>,
        rows: &[Row],
        next: Position,
    ) -> Result<(), Stop> {
        let sheet = self.sheet(writer, rows, &[], Some(&next))?;
        let written = writer.write(sheet).await?;
        self.stand_at(writer, next, written);
        Ok(())
    }

    /// A page was written, and it stands behind that.
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

    /// Writes rows that no position stands behind; how many of them were written.
    pub(crate) async fn mend<P: Postgres>(
        &mut self,
        writer: &RowWriter<'_, P>,
        rows: &[Row],
        gone: &[i64],
    ) -> Result<Written, Stop> {
        let sheet = self.sheet(writer, rows, gone, None)?;
        let written = writer.write(sheet).await?.unwrap_or_default();
        self.copied.written += written;
        Ok(written)
    }

    /// The position, if the ledger does not have it yet.
    pub(crate) fn unsaved(&self) -> Result<Option<(&str, Value)>, Fault> {
        if self.position == self.saved {
            return Ok(None);
        }
        Ok(Some((&self.cursor, document(&self.position)?)))
    }

    /// Writes the position alone, if it moved.
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

    /// Whether something is under way.
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

    /// The run as of whose beginning all is here that the user may read.
    pub(crate) fn as_of(&self, this: RunId) -> Option<RunId> {
        if self.gap().is_some() {
            Some(this)
        } else {
            self.as_of
        }
    }

    /// Steps on to the next position. Where that ends the reading that brings the copy up to date, it
    /// is known as of when it is.
    fn step(&mut self, next: Position) {
        if next.caught_up() && !self.position.caught_up() {
            self.as_of = self.position.catches_up_with();
        }
        self.position = next;
    }
}

/// What the cursor needs of a record that could not be read: it is passed over.
fn passed_over(unreadable: &salvage::Unreadable) -> Option<Seen> {
    (unreadable.id > 0).then_some(Seen {
        id: unreadable.id,
        write_date: None,
        tail: Tail::default(),
    })
}

/// The positions of a job's readings, by name.
pub(crate) type Cursors = std::collections::BTreeMap<String, Value>;

fn document(position: &Position) -> Result<Value, Fault> {
    serde_json::to_value(position)
        .map_err(|_| Fault::new(Kind::Program, "a cursor that is no JSON"))
}
