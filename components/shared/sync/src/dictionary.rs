//! Keeps Odoo's descriptions of the copied models' fields, for the time when Odoo is off.

use std::collections::BTreeMap;

use fault::{Fault, Kind};
use ledger::Postgres;
use ledger::dictionary::{self, Field, Model};
use odoo::Window;
use odoo::records::{self, FieldInfo};
use outbound::{Clock, Http};
use serde_json::{Value, json};
use sha1::{Digest, Sha1};

use crate::entity_run::{EntityRun, Gap, Stop};
use crate::work::{RunContext, concerns_one};
use crate::{Entity, Shape};

/// The fields of a model, and where the values of each one are copied to.
pub(crate) fn fields(
    entity: &Entity<'_>,
    shape: &Shape,
    fields: &BTreeMap<String, FieldInfo>,
) -> Vec<Field> {
    let of = |(name, info): (&String, &FieldInfo)| {
        let reason = shape.left_out.iter().find(|(field, _)| field == name);
        Field {
            name: name.clone(),
            label: info.label.clone(),
            kind: info.kind.clone(),
            relation: info.relation().map(str::to_owned),
            selection: match &info.selection {
                Value::Array(choices) => json!(choices),
                _ => Value::Null,
            },
            stored: info.store,
            copied_to: shape.copied_to(entity, name),
            reason: reason.map(|(_, reason)| json!(reason)),
        }
    };
    fields.iter().map(of).collect()
}

impl<H: Http, C: Clock, P: Postgres> RunContext<'_, H, C, P> {
    /// Writes what changed since the last write, in one statement.
    pub(crate) async fn write_dictionary(
        &self,
        entity_runs: &mut [EntityRun<'_>],
    ) -> Result<(), Stop> {
        let mut changed = Vec::new();
        for entity_run in entity_runs.iter_mut() {
            let gap = entity_run.gap();
            let model = Model {
                model: entity_run.entity.model,
                copied_to: entity_run.entity.table.name,
                label: None,
                reason: gap.map(Gap::name),
                fields: gap
                    .is_none()
                    .then(|| std::mem::take(&mut entity_run.described)),
            };
            let said = serde_json::to_vec(&model)
                .map_err(|_| Fault::new(Kind::Program, "a dictionary that is no JSON"))?;
            let hash = base16ct::lower::encode_string(&Sha1::digest(&said));
            if entity_run.position.dictionary != hash {
                entity_run.position.dictionary = hash;
                changed.push(model);
            }
        }
        if changed.is_empty() {
            return Ok(());
        }
        self.label(&mut changed).await?;
        let run_id = self.writer.lease.run_id;
        if dictionary::write(self.writer.postgres, run_id, &changed).await? {
            Ok(())
        } else {
            Err(Stop::GivenUp)
        }
    }

    /// Adds the labels of these models, if the user may read them.
    async fn label(&self, models: &mut [Model<'_>]) -> Result<(), Fault> {
        let names: Vec<&str> = models.iter().map(|model| model.model).collect();
        let domain = [json!(["model", "in", names])];
        let described = records::Model {
            name: "ir.model",
            domain: &domain,
            language: &self.settings.language,
            undated: None,
            links: &[],
        };
        let fields = ["model", "name"].map(str::to_owned);
        let mut window = Window::default();
        loop {
            let (part, at_end) = match self.source.records(described, window, &fields).await {
                Err(fault) if concerns_one(&fault) => return Ok(()),
                read => read?,
            };
            window.after_id = part.last_id().unwrap_or_default().max(window.after_id);
            for record in part.records {
                let text = |name: &str| record.get(name).and_then(Value::as_str);
                let of = |model: &&mut Model<'_>| Some(model.model) == text("model");
                if let Some(model) = models.iter_mut().find(of) {
                    model.label = text("name").map(str::to_owned);
                }
            }
            if at_end {
                return Ok(());
            }
        }
    }
}
