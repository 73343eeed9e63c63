//! Making rows of records, with what has to be looked up for them.

use fault::{Fault, Kind};
use ledger::Postgres;
use ledger::sync::Row;
use odoo::Window;
use odoo::records::{Model, Record};
use outbound::{Clock, Http};

use crate::Index;
use crate::cursor::Seen;
use crate::entity::Known;
use crate::row::link;
use crate::run::Course;
use crate::subject::Subject;

impl<H: Http, C: Clock, P: Postgres> Course<'_, H, C, P> {
    /// Records as rows.
    pub(crate) async fn rows(
        &self,
        subject: &mut Subject,
        records: Vec<Record>,
    ) -> Result<(Vec<Row>, Vec<Seen>), Fault> {
        if let Some(particular) = subject.entity.particular
            && subject.index.is_none()
            && !records.is_empty()
        {
            let index = match self.index(&particular.index).await {
                Err(fault) if fault.kind() == Kind::SourceForbidden => {
                    subject.lacks(particular.index.fills);
                    Known::new()
                }
                read => read?,
            };
            subject.index = Some(index);
        }
        subject.rows(records)
    }

    async fn index(&self, index: &Index) -> Result<Known, Fault> {
        let domain = (index.domain)(self.settings);
        let model = Model {
            name: index.model,
            domain: &domain,
            language: &self.settings.language,
        };
        let fields: Vec<String> = index.fields.iter().map(|name| (*name).to_owned()).collect();
        let mut known = Known::new();
        let mut window = Window::default();
        loop {
            let (records, at_end) = self.source.records(model, window, &fields).await?;
            for record in records {
                let id = |name: &str| record.get(name).and_then(link);
                window.after_id = id("id").unwrap_or_default().max(window.after_id);
                if let Some(key) = id(index.key) {
                    known.insert(key, record);
                }
            }
            if at_end {
                return Ok(known);
            }
        }
    }
}
