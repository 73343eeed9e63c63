//! Makes rows from records, after looking up what they need.

use std::collections::{BTreeMap, BTreeSet};
use std::future::poll_fn;
use std::task::Poll;

use fault::{Fault, Kind};
use ledger::Postgres;
use ledger::sync::Row;
use odoo::Window;
use odoo::records::{FieldInfo, Model};
use odoo::salvage::{Part, is_of_content};
use outbound::{Clock, Http};
use serde_json::Value;

use crate::Index;
use crate::cursor::Seen;
use crate::entity::{EXTERNAL_ID, FILES, Known, List};
use crate::entity_run::EntityRun;
use crate::html::named;
use crate::naming::Mentions;
use crate::row::link;
use crate::source::PAGE;
use crate::work::RunContext;

/// After so many records the loop yields.
const AT_ONCE: usize = 100;

/// Yields once, so that other futures of this instance make progress.
async fn yield_now() {
    let mut yielded = false;
    poll_fn(|context| {
        if std::mem::replace(&mut yielded, true) {
            return Poll::Ready(());
        }
        context.waker().wake_by_ref();
        Poll::Pending
    })
    .await;
}

impl<H: Http, C: Clock, P: Postgres> RunContext<'_, H, C, P> {
    /// Makes rows from records.
    pub(crate) async fn rows(
        &self,
        entity_run: &mut EntityRun<'_>,
        mut part: Part,
    ) -> Result<(Vec<Row>, Vec<Seen>), Fault> {
        self.look_up(entity_run, &mut part).await?;
        entity_run.rows(part)
    }

    /// The same, for records whose lookups are done. It yields in between, because requests under way in this instance
    /// make progress only then.
    pub(crate) async fn made_of(
        &self,
        entity_run: &mut EntityRun<'_>,
        mut part: Part,
    ) -> Result<(Vec<Row>, Vec<Seen>), Fault> {
        let (mut rows, mut seen) = (Vec::new(), Vec::new());
        let mut records = std::mem::take(&mut part.records).into_iter();
        loop {
            part.records.extend(records.by_ref().take(AT_ONCE));
            let is_last = part.records.len() < AT_ONCE;
            let (made, passed) = entity_run.rows(std::mem::take(&mut part))?;
            rows.extend(made);
            seen.extend(passed);
            if is_last {
                return Ok((rows, seen));
            }
            yield_now().await;
        }
    }

    /// Asks Odoo for what else these records need.
    pub(crate) async fn look_up(
        &self,
        entity_run: &mut EntityRun<'_>,
        part: &mut Part,
    ) -> Result<(), Fault> {
        if let Some(options) = entity_run.entity.options
            && entity_run.index.is_none()
            && !part.records.is_empty()
        {
            let index = match self.index(&options.index).await {
                Err(fault) if fault.kind() == Kind::SourceForbidden => {
                    entity_run.lacks(options.index.fills);
                    Known::new()
                }
                read => read?,
            };
            entity_run.index = Some(index);
        }
        if let Some(options) = entity_run.entity.options {
            for list in options.lists {
                match self.read_list(list, part, &mut entity_run.mentions).await {
                    Err(fault) if is_of_content(&fault) => entity_run.lacks(list.fills),
                    read => read?,
                }
            }
        }
        self.look_up_files(entity_run, part).await
    }

    /// Replaces the ids in a field by the records that they stand for.
    async fn read_list(
        &self,
        list: &List,
        part: &mut Part,
        mentions: &mut Mentions,
    ) -> Result<(), Fault> {
        let ids: BTreeSet<i64> = part
            .records
            .iter()
            .filter_map(|record| record.get(list.field)?.as_array())
            .flatten()
            .filter_map(Value::as_i64)
            .collect();
        let model = Model {
            name: list.model,
            domain: &[],
            language: "",
            undated: None,
            links: &[],
        };
        let mut read = BTreeMap::new();
        let ids: Vec<i64> = ids.into_iter().collect();
        if !ids.is_empty() {
            let known = self.source.fields_of(list.model).await?;
            let fields = list.fields.iter().filter(|name| known.contains_key(**name));
            let fields: Vec<String> = fields.map(|name| (*name).to_owned()).collect();
            let mut rest = ids.as_slice();
            while !rest.is_empty() {
                let (part, asked) = self.source.records_by_id(model, rest, &fields).await?;
                for record in part.records {
                    for field in &fields {
                        let relation = known.get(field).and_then(FieldInfo::relation);
                        if let (Some(model), Some(given)) = (relation, record.get(field)) {
                            mentions.of_value(model, given);
                        }
                    }
                    let id = record.get("id").and_then(Value::as_i64);
                    read.extend(id.map(|id| (id, Value::Object(record))));
                }
                rest = rest.get(asked..).unwrap_or_default();
            }
        }
        for record in &mut part.records {
            if let Some(Value::Array(listed)) = record.get_mut(list.field) {
                let found = listed.iter().filter_map(|id| read.get(&id.as_i64()?));
                *listed = found.cloned().collect();
            }
        }
        Ok(())
    }

    /// Adds to each record what Odoo knows about the attachments that its HTML names.
    async fn look_up_files(
        &self,
        entity_run: &EntityRun<'_>,
        part: &mut Part,
    ) -> Result<(), Fault> {
        let (marked, owns) = (&entity_run.shape.marked, entity_run.entity.owns());
        let records = part.records.iter();
        let named: Vec<_> = records.map(|record| named(record, marked, owns)).collect();
        let ids: BTreeSet<i64> = named.iter().flatten().copied().collect();
        let ids: Vec<i64> = ids.into_iter().collect();
        let mut places = BTreeMap::new();
        for ids in ids.chunks(PAGE) {
            for place in self.source.attachment_places(ids).await? {
                let id = place.get("id").and_then(Value::as_i64);
                places.extend(id.map(|id| (id, place)));
            }
        }
        for (record, named) in part.records.iter_mut().zip(named) {
            let found = named.iter().filter_map(|id| places.get(id));
            let found: Vec<Value> = found.cloned().map(Value::Object).collect();
            if !found.is_empty() {
                record.insert(FILES.to_owned(), Value::Array(found));
            }
        }
        Ok(())
    }

    async fn index(&self, index: &Index) -> Result<Known, Fault> {
        let domain = (index.domain)(self.settings);
        let model = Model {
            name: index.model,
            domain: &domain,
            language: &self.settings.language,
            undated: None,
            links: &[],
        };
        let fields: Vec<String> = index.fields.iter().map(|name| (*name).to_owned()).collect();
        let mut known = Known::new();
        let mut window = Window::default();
        loop {
            let (part, at_end) = self.source.records(model, window, &fields).await?;
            window.after_id = part.last_id().unwrap_or_default().max(window.after_id);
            for record in part.records {
                let id = |name: &str| record.get(name).and_then(link);
                if let Some(key) = id(index.key) {
                    known.insert(key, record);
                }
            }
            if at_end {
                break;
            }
        }
        if index.external_ids {
            let ids: Vec<i64> = known.keys().copied().collect();
            for (id, external_id) in self.source.external_ids(index.model, &ids).await? {
                if let Some(record) = known.get_mut(&id) {
                    record.insert(EXTERNAL_ID.to_owned(), Value::String(external_id));
                }
            }
        }
        Ok(known)
    }
}
