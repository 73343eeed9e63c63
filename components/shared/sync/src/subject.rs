//! One entity in the course of a run.

use chrono::{DateTime, Utc};
use fault::{Fault, Kind};
use ledger::Postgres;
use ledger::sync::{self, Page, Row, Writer, Written};
use odoo::records::{Model, Record};
use serde_json::Value;

use crate::cursor::{Position, Seen};
use crate::report::Copied;
use crate::row::row;
use crate::{Entity, Shape};

/// One entity in the course of a run.
pub(crate) struct Subject {
    pub entity: &'static Entity,
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
    /// It met a fault: it is left alone for the rest of the run.
    pub failed: bool,
}

/// How a run writes.
pub(crate) struct Pen<'a, P> {
    pub postgres: &'a P,
    pub writer: Writer,
    /// Nothing is written, only counted.
    pub dry: bool,
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

impl Subject {
    /// An entity at the position that the ledger has. A position that cannot be read is one to begin
    /// anew from.
    pub(crate) fn new(entity: &'static Entity, job: &str, shape: Shape, kept: &Cursors) -> Self {
        let cursor = format!("{job}:{}", entity.name);
        let saved: Position = kept
            .get(&cursor)
            .and_then(|position| serde_json::from_value(position.clone()).ok())
            .unwrap_or_default();
        let mut subject = Self {
            entity,
            asked: shape.asked(),
            position: saved.clone(),
            saved,
            cursor,
            newest: None,
            copied: Copied::default(),
            failed: false,
            shape,
        };
        let fingerprint = subject.shape.fingerprint();
        if subject.position.shape != fingerprint {
            subject.copied.lacking.clone_from(&subject.shape.lacking);
        }
        subject.position.take_shape(fingerprint);
        subject
    }

    /// The model, for a call.
    pub(crate) fn model<'l>(&self, language: &'l str) -> Model<'l> {
        Model {
            name: self.entity.model,
            domain: &[],
            language,
        }
    }

    /// Records as rows.
    pub(crate) fn rows(&mut self, records: Vec<Record>) -> Result<(Vec<Row>, Vec<Seen>), Fault> {
        self.copied.read += u64::try_from(records.len()).unwrap_or_default();
        records
            .into_iter()
            .map(|record| row(record, &self.shape))
            .collect::<Result<Vec<_>, _>>()
            .map(|rows| rows.into_iter().unzip())
    }

    /// Writes a page, and with it the position behind it. A position that stands still has read what
    /// is known already: then there is nothing to write.
    pub(crate) async fn write<P: Postgres>(
        &mut self,
        pen: &Pen<'_, P>,
        rows: &[Row],
        gone: &[i64],
        next: Position,
    ) -> Result<(), Stop> {
        if next == self.saved && gone.is_empty() {
            self.copied.written.unchanged += u64::try_from(rows.len()).unwrap_or_default();
            self.position = next;
            return Ok(());
        }
        let position = document(&next)?;
        let page = Page {
            rows,
            gone,
            cursor: Some((&self.cursor, &position)),
            dry: pen.dry,
        };
        let written = sync::write(pen.postgres, self.entity.table, pen.writer, page).await?;
        self.copied.written += written.ok_or(Stop::GivenUp)?;
        if !pen.dry {
            self.saved = next.clone();
        }
        self.position = next;
        Ok(())
    }

    /// Writes rows that no position stands behind; how many of them were written.
    pub(crate) async fn mend<P: Postgres>(
        &mut self,
        pen: &Pen<'_, P>,
        rows: &[Row],
        gone: &[i64],
    ) -> Result<Written, Stop> {
        let page = Page {
            rows,
            gone,
            cursor: None,
            dry: pen.dry,
        };
        let written = sync::write(pen.postgres, self.entity.table, pen.writer, page)
            .await?
            .ok_or(Stop::GivenUp)?;
        self.copied.written += written;
        Ok(written)
    }

    /// Writes the position alone, if it moved.
    pub(crate) async fn save<P: Postgres>(&mut self, pen: &Pen<'_, P>) -> Result<(), Stop> {
        if self.position == self.saved || pen.dry {
            return Ok(());
        }
        let position = document(&self.position)?;
        let cursor = (self.cursor.as_str(), &position);
        if !sync::move_on(pen.postgres, pen.writer, cursor).await? {
            return Err(Stop::GivenUp);
        }
        self.saved = self.position.clone();
        Ok(())
    }

    /// Ends a comparison.
    pub(crate) async fn conclude<P: Postgres>(
        &mut self,
        pen: &Pen<'_, P>,
        validation: &ledger::validation::Validation,
        gone: &[i64],
        next: Position,
    ) -> Result<(), Stop> {
        let position = document(&next)?;
        let cursor = (self.cursor.as_str(), &position);
        let table = self.entity.table;
        let deleted =
            sync::conclude(pen.postgres, table, pen.writer, validation, gone, cursor).await?;
        self.copied.written.deleted += deleted.ok_or(Stop::GivenUp)?;
        self.copied.verdict = Some(validation.verdict);
        self.saved = next.clone();
        self.position = next;
        Ok(())
    }

    /// Whether something is under way.
    pub(crate) fn unfinished(&self) -> bool {
        self.position.changes.is_some()
            || self.position.full.is_some()
            || self.position.comparison.is_some()
            || self.position.written.is_none()
    }
}

/// The positions of a job's readings, by name.
pub(crate) type Cursors = std::collections::BTreeMap<String, Value>;

fn document(position: &Position) -> Result<Value, Fault> {
    serde_json::to_value(position)
        .map_err(|_| Fault::new(Kind::Program, "a cursor that is no JSON"))
}
