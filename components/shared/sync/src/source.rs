//! Reads Odoo for a run: waits while it is busy, and makes pages smaller if they are too large.

mod links;

use std::borrow::Cow;
use std::cell::{Cell, RefCell};
use std::time::Duration;

use chrono::{DateTime, Utc};
use fault::{Fault, Kind};
use odoo::attachment::{Listed, Selection};
use odoo::presence::Presence;
use odoo::records::{FieldInfo, Model, Page, Record, Stamp};
use odoo::salvage::{Part, is_of_content};
use odoo::{Odoo, Window};
use outbound::{Clock, Http};
use serde_json::{Value, json};
use std::collections::{BTreeMap, BTreeSet, HashSet};

use crate::Entity;

/// The most ids per call.
pub(crate) const PAGE: usize = 1000;
/// The most parent rows per call whose children are read.
pub(crate) const OWNERS: usize = 500;
/// The most entries per page of a list of ids and dates.
pub(crate) const LIST: usize = 5000;
/// How many pages in a row must fit before pages grow again.
const FITTING: u32 = 8;
/// How many times a call is retried because Odoo is busy.
const BUSY_TRIES: u32 = 3;
/// The wait if Odoo is busy and names none, and the longest wait that is accepted.
const BUSY_WAIT: Duration = Duration::from_secs(2);
const LONGEST_WAIT: Duration = Duration::from_secs(20);

/// Odoo, as read by a run.
pub(crate) struct Source<'a, H, C> {
    pub(crate) odoo: &'a Odoo<H, C>,
    clock: &'a C,
    /// No wait goes beyond this moment.
    deadline: Duration,
    page: Cell<usize>,
    /// The most records per page of the current entity.
    most: Cell<usize>,
    /// Pages that fitted since the last one that did not.
    fitted: Cell<u32>,
    /// Fields that make reads fail, as `model.field`: they are not read again.
    failing: RefCell<BTreeSet<String>>,
    known_fields: RefCell<BTreeMap<&'static str, BTreeMap<String, FieldInfo>>>,
    /// Whether the current entity looks up what its records list.
    looks_up: Cell<bool>,
    /// Models, and whether their records can be archived.
    can_be_archived: RefCell<BTreeMap<String, bool>>,
    /// Models, and whether they have archived records.
    has_archived: RefCell<BTreeMap<String, bool>>,
}

impl<'a, H: Http, C: Clock> Source<'a, H, C> {
    pub(crate) fn new(odoo: &'a Odoo<H, C>, clock: &'a C, deadline: Duration) -> Self {
        Self {
            odoo,
            clock,
            deadline,
            page: Cell::new(PAGE),
            most: Cell::new(PAGE),
            fitted: Cell::new(0),
            failing: RefCell::default(),
            known_fields: RefCell::default(),
            looks_up: Cell::default(),
            can_be_archived: RefCell::default(),
            has_archived: RefCell::default(),
        }
    }

    /// Starts a new entity, with pages of full size.
    pub(crate) fn turn_page(&self, entity: &Entity) {
        self.page.set(entity.page());
        self.most.set(entity.page());
        self.fitted.set(0);
        let looks_up = entity
            .options
            .is_some_and(|options| !options.lists.is_empty());
        self.looks_up.set(looks_up);
    }

    /// The monotonic clock.
    pub(crate) fn now(&self) -> Duration {
        self.clock.now()
    }

    /// How much time is left.
    pub(crate) fn left(&self) -> Duration {
        self.deadline.saturating_sub(self.clock.now())
    }

    /// Checks that a model exists and that the user may read it.
    pub(crate) async fn may_read(&self, model: &str) -> Result<(), Fault> {
        self.patiently(|| self.odoo.may_read(model)).await
    }

    /// The current time, by our own clock.
    pub(crate) fn today(&self) -> DateTime<Utc> {
        DateTime::from_timestamp(self.clock.unix_seconds(), 0).unwrap_or_default()
    }

    /// The fields of a model, with labels in this language.
    pub(crate) async fn fields(
        &self,
        model: &str,
        language: &str,
    ) -> Result<BTreeMap<String, FieldInfo>, Fault> {
        self.patiently(|| self.odoo.fields(model, language)).await
    }

    /// The same, asked once per run.
    pub(crate) async fn fields_of(
        &self,
        model: &'static str,
    ) -> Result<BTreeMap<String, FieldInfo>, Fault> {
        let known = self.known_fields.borrow().get(model).cloned();
        if let Some(known) = known {
            return Ok(known);
        }
        let fields = self.fields(model, "").await?;
        let mut known = self.known_fields.borrow_mut();
        known.insert(model, fields.clone());
        Ok(fields)
    }

    pub(crate) async fn newest(&self, model: Model<'_>) -> Result<Option<DateTime<Utc>>, Fault> {
        self.patiently(|| self.odoo.newest_record(model)).await
    }

    /// The next part of a model's list, and whether it is the last.
    pub(crate) async fn stamps(
        &self,
        model: Model<'_>,
        after_id: i64,
    ) -> Result<(Vec<Stamp>, bool), Fault> {
        let mut window = Window {
            after_id,
            ..Window::default()
        };
        loop {
            let list = self
                .patiently(|| self.odoo.stamps(model, window, LIST))
                .await?;
            let at_end = self.is_last(model, &mut window, list.len(), LIST).await?;
            if at_end || !list.is_empty() {
                return Ok((list, at_end));
            }
        }
    }

    pub(crate) async fn stamps_by_id(
        &self,
        model: Model<'_>,
        ids: &[i64],
    ) -> Result<Vec<Stamp>, Fault> {
        self.patiently(|| self.odoo.stamps_by_id(model, ids)).await
    }

    /// The next records of a window, as far as readable, and whether they are the last.
    pub(crate) async fn records(
        &self,
        model: Model<'_>,
        window: Window,
        fields: &[String],
    ) -> Result<(Part, bool), Fault> {
        let (mut part, at_end) = self.listed(model, window, fields).await?;
        self.complete_links(model, &mut part).await?;
        Ok((part, at_end))
    }

    /// The same, with links to archived records lacking.
    async fn listed(
        &self,
        model: Model<'_>,
        mut window: Window,
        fields: &[String],
    ) -> Result<(Part, bool), Fault> {
        loop {
            let asked = self.readable(model, fields);
            let limit = self.page.get();
            let page = self
                .patiently(|| self.odoo.records(model, window, &asked, limit))
                .await;
            let part = self.part(page, model, window.domain(), &asked);
            if let Some(mut part) = part.await? {
                self.note_tails(model, &mut part)?;
                let at_end = self.is_last(model, &mut window, part.found, limit).await?;
                if at_end || part.found > 0 {
                    return Ok((part, at_end));
                }
            }
        }
    }

    /// All records of a window if they fit into one answer, else `None`. Links to archived records are lacking.
    pub(crate) async fn few(
        &self,
        model: Model<'_>,
        window: Window,
        fields: &[String],
    ) -> Result<Option<Part>, Fault> {
        if model.hides_late() {
            // Only an answer without a limit is known to be complete.
            let asked = self.readable(model, fields);
            if asked.len() < fields.len() {
                return Ok(None);
            }
            let all = || self.odoo.all_records(model, window, &asked);
            return match self.patiently(all).await {
                Ok(Page::Records(mut part)) => {
                    self.note_tails(model, &mut part)?;
                    Ok(Some(part))
                }
                Ok(Page::TooLong) => Ok(None),
                Err(fault) if is_of_content(&fault) => Ok(None),
                Err(fault) => Err(fault),
            };
        }
        let (part, at_end) = self.listed(model, window, fields).await?;
        Ok(Some(part).filter(|_| at_end))
    }

    /// These fields, without those known to make reads fail.
    fn readable<'f>(&self, model: Model<'_>, fields: &'f [String]) -> Cow<'f, [String]> {
        let failing = self.failing.borrow();
        let fails = |field: &String| failing.contains(&format!("{}.{field}", model.name));
        if fields.iter().any(fails) {
            let readable = fields.iter().filter(|field| !fails(field));
            Cow::Owned(readable.cloned().collect())
        } else {
            Cow::Borrowed(fields)
        }
    }

    /// Whether a page of this many records is the last of its window. If an empty page is not, the window moves to
    /// the next visible record.
    async fn is_last(
        &self,
        model: Model<'_>,
        window: &mut Window,
        found: usize,
        limit: usize,
    ) -> Result<bool, Fault> {
        if !model.hides_late() {
            return Ok(found < limit);
        }
        if found > 0 {
            return Ok(false);
        }
        let ahead = *window;
        let first = self.patiently(|| self.odoo.first_id(model, ahead)).await?;
        if let Some(id) = first {
            window.after_id = id - 1;
        }
        Ok(first.is_none())
    }

    /// The records with the first of these ids, and how many ids were asked for.
    pub(crate) async fn records_by_id(
        &self,
        model: Model<'_>,
        ids: &[i64],
        fields: &[String],
    ) -> Result<(Part, usize), Fault> {
        let asked = self.readable(model, fields);
        loop {
            let first = ids.get(..self.page.get()).unwrap_or(ids);
            let page = self
                .patiently(|| self.odoo.records_by_id(model, first, &asked))
                .await;
            let terms = vec![json!(["id", "in", first])];
            let part = self.part(page, model, terms, &asked);
            if let Some(mut part) = part.await? {
                self.complete_links(model, &mut part).await?;
                return Ok((part, first.len()));
            }
        }
    }

    /// Returns a page as far as readable, or `None` after making pages smaller. A page that was too long or too slow
    /// is halved; a single record that is too long is read without what makes it so. A record that was only slow
    /// keeps its text: a slow moment must not cost a text.
    async fn part(
        &self,
        page: Result<Page, Fault>,
        model: Model<'_>,
        terms: Vec<Value>,
        fields: &[String],
    ) -> Result<Option<Part>, Fault> {
        let limit = self.page.get();
        let failed = match page {
            Ok(Page::Records(part)) => {
                self.fitted.set(self.fitted.get() + 1);
                if self.fitted.get() >= FITTING && limit < self.most.get() {
                    self.fitted.set(0);
                    self.page.set((limit * 2).min(self.most.get()));
                }
                return Ok(Some(part));
            }
            Ok(Page::TooLong) => None,
            Err(fault) if fault.kind() == Kind::SourceTimeout && !self.left().is_zero() => {
                Some(fault)
            }
            Err(fault) if is_of_content(&fault) => {
                return self.salvage(model, terms, limit, fields, fault).await;
            }
            Err(fault) => return Err(fault),
        };
        self.fitted.set(0);
        if limit > 1 {
            self.page.set(limit / 2);
            return Ok(None);
        }
        if let Some(slow) = failed {
            return Err(slow);
        }
        let fault = Fault::told(
            Kind::SourceProtocol,
            format!("one record of {} alone is longer than 4 MiB", model.name),
        );
        self.salvage(model, terms, limit, fields, fault).await
    }

    /// Reads what is readable of a page that fails as a whole.
    async fn salvage(
        &self,
        model: Model<'_>,
        terms: Vec<Value>,
        limit: usize,
        fields: &[String],
        fault: Fault,
    ) -> Result<Option<Part>, Fault> {
        let salvage = || {
            let (terms, fault) = (terms.clone(), fault.clone());
            self.odoo.salvage(model, terms, limit, fields, fault)
        };
        let part = self.patiently(salvage).await?;
        let of_all = part.unreadable.iter().filter(|one| one.id == 0);
        self.failing.borrow_mut().extend(
            of_all
                .flat_map(|one| &one.fields)
                .map(|field| format!("{}.{field}", model.name)),
        );
        Ok(Some(part))
    }

    /// Those of these attachments that exist and that the user may see.
    pub(crate) async fn attachments(&self, ids: &[i64]) -> Result<Listed, Fault> {
        self.patiently(|| self.odoo.attachments_by_id(ids)).await
    }

    /// The records and tokens of these attachments, if the user may see them.
    pub(crate) async fn attachment_places(&self, ids: &[i64]) -> Result<Vec<Record>, Fault> {
        self.patiently(|| self.odoo.attachment_places(ids)).await
    }

    /// The external ids of records, by id; empty where there is none.
    pub(crate) async fn external_ids(
        &self,
        model: &str,
        ids: &[i64],
    ) -> Result<BTreeMap<i64, String>, Fault> {
        self.patiently(|| self.odoo.external_ids(model, ids)).await
    }

    /// Finds out which of these records exist, visible or not.
    pub(crate) async fn presence(
        &self,
        model: Model<'_>,
        ids: &[i64],
        calls: &mut u32,
    ) -> Result<Presence, Fault> {
        let field = model.undated.unwrap_or("create_date");
        let left = Cell::new(*calls);
        let asked = self
            .patiently(|| async {
                let mut calls = left.get();
                let asked = self.odoo.presence_by(field, model.name, ids, &mut calls);
                let found = asked.await;
                left.set(calls);
                found
            })
            .await;
        *calls = left.get();
        asked
    }

    /// Those of these attachments that are selected.
    pub(crate) async fn selected(
        &self,
        ids: &[i64],
        selection: &Selection,
    ) -> Result<HashSet<i64>, Fault> {
        let selected = self
            .patiently(|| self.odoo.selected_attachments(ids, selection))
            .await?;
        Ok(selected.into_iter().collect())
    }

    async fn patiently<T, F>(&self, call: impl Fn() -> F) -> Result<T, Fault>
    where
        F: Future<Output = Result<T, Fault>>,
    {
        let mut tries = 0;
        loop {
            let result = call().await;
            let Err(fault) = &result else {
                return result;
            };
            tries += 1;
            let wait = fault.wait().unwrap_or(BUSY_WAIT * tries);
            let patient = fault.kind() == Kind::SourceBusy
                && tries <= BUSY_TRIES
                && wait <= LONGEST_WAIT
                && self.clock.now() + wait < self.deadline;
            if !patient {
                return result;
            }
            self.clock.sleep(wait).await;
        }
    }
}
