//! Reads what can be read of a page that fails as a whole. The page is halved down to the failing record, and the
//! record down to the failing field; what is unreadable is noted, and the rest arrives.
//!
//! Seen: on 14 to 16 one attachment that the user may not read fails the page; on 19 so does a many2many to a model
//! without rights, and on 17 to 19 a message on a model that no longer exists.

use std::collections::BTreeMap;

use fault::{Fault, Kind};
use outbound::{Clock, Http};
use serde::Serialize;
use serde_json::{Value, json};

use crate::Odoo;
use crate::records::{Model, PAGE_BYTES, Page, Record};

/// A field that fails this many records is no longer read at all.
const FAILS_ALL: u32 = 2;

/// A record, or fields of it, that could not be read.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Unreadable {
    /// The record; 0 for the whole model.
    pub id: i64,
    /// The fields left out; none if the whole record was.
    pub fields: Vec<String>,
    /// Odoo's error, or what is wrong with the value.
    pub said: String,
}

/// A page of a model, as far as it is readable.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Part {
    /// The readable records, ordered by id.
    pub records: Vec<Record>,
    /// What could not be read.
    pub unreadable: Vec<Unreadable>,
    /// How many records were found, unreadable ones included.
    pub found: usize,
}

impl Part {
    /// The last id found.
    pub fn last_id(&self) -> Option<i64> {
        let read = self.records.iter().filter_map(id_of);
        read.chain(self.unreadable.iter().map(|one| one.id)).max()
    }
}

/// Whether a read may have failed because of the data: then reading less may succeed.
pub fn is_of_content(fault: &Fault) -> bool {
    matches!(
        fault.kind(),
        Kind::SourceForbidden | Kind::SourceRefused | Kind::SourceProtocol | Kind::SourceEmpty
    )
}

/// A read that failed because of the data.
struct Failed {
    fault: Fault,
    /// Whether the answer was too long.
    too_long: bool,
}

impl From<Fault> for Failed {
    fn from(fault: Fault) -> Self {
        Self {
            fault,
            too_long: false,
        }
    }
}

impl<H: Http, C: Clock> Odoo<H, C> {
    /// Reads the first `limit` records that match `terms`, after reading them together failed. Returns the fault
    /// itself unless it is proved that only some records cause it.
    pub async fn salvage(
        &self,
        model: Model<'_>,
        terms: Vec<Value>,
        limit: usize,
        fields: &[String],
        fault: Fault,
    ) -> Result<Part, Fault> {
        let ids = match self.ids(model, terms, limit, "id").await {
            Err(other) if is_of_content(&other) => return Err(fault),
            listed => listed?,
        };
        self.salvage_ids(model, &ids, fields, Some(fault)).await
    }

    /// The same for records with these ids, ascending. `fault` is the fault of reading them together, if tried.
    pub(crate) async fn salvage_ids(
        &self,
        model: Model<'_>,
        ids: &[i64],
        fields: &[String],
        fault: Option<Fault>,
    ) -> Result<Part, Fault> {
        let mut salvage = Salvage {
            odoo: self,
            model,
            fields: fields.to_vec(),
            failed: BTreeMap::new(),
            proven: false,
            part: Part {
                found: ids.len(),
                ..Part::default()
            },
        };
        let mut waiting = vec![ids];
        if let Some(fault) = fault {
            waiting = salvage.instead_of(ids, &fault.into()).await?;
        }
        while let Some(ids) = waiting.pop() {
            let asked = salvage.fields.clone();
            match salvage.read(ids, &asked, PAGE_BYTES).await? {
                Ok(read) => {
                    salvage.proven |= !read.records.is_empty();
                    salvage.part.records.extend(read.records);
                    salvage.part.unreadable.extend(read.unreadable);
                }
                Err(failed) => waiting.extend(salvage.instead_of(ids, &failed).await?),
            }
        }
        Ok(salvage.part)
    }
}

struct Salvage<'a, H, C> {
    odoo: &'a Odoo<H, C>,
    model: Model<'a>,
    /// The fields still being read.
    fields: Vec<String>,
    /// How many single records each field has failed.
    failed: BTreeMap<String, u32>,
    /// Whether anything was readable: only then can a failing record be to blame.
    proven: bool,
    part: Part,
}

impl<H: Http, C: Clock> Salvage<'_, H, C> {
    /// Reads these records. A fault that is not about the data is returned at once.
    async fn read(
        &self,
        ids: &[i64],
        fields: &[String],
        max_bytes: usize,
    ) -> Result<Result<Part, Failed>, Fault> {
        let named = self.model.of_ids(ids, fields);
        match self.odoo.page(self.model.name, named, 0, max_bytes).await {
            Ok(Page::Records(part)) => Ok(Ok(part)),
            Ok(Page::TooLong) => Ok(Err(Failed {
                fault: Fault::new(Kind::SourceProtocol, "it is too long to be read"),
                too_long: true,
            })),
            Err(fault) if is_of_content(&fault) => Ok(Err(fault.into())),
            Err(fault) => Err(fault),
        }
    }

    /// What to read instead after reading `ids` failed, last one first.
    async fn instead_of<'i>(
        &mut self,
        ids: &'i [i64],
        failed: &Failed,
    ) -> Result<Vec<&'i [i64]>, Fault> {
        if let Some(field) = named_field(&failed.fault, self.model.name, &self.fields) {
            self.leave_out(&field, &failed.fault);
            return Ok(vec![ids]);
        }
        match ids {
            [] => Err(failed.fault.clone()),
            [id] => self
                .read_alone(*id, &failed.fault)
                .await
                .map(|()| Vec::new()),
            ids => {
                let (first, second) = ids.split_at(ids.len() / 2);
                Ok(vec![second, first])
            }
        }
    }

    /// Stops reading a field.
    fn leave_out(&mut self, field: &str, fault: &Fault) {
        self.fields.retain(|asked| asked != field);
        self.part.unreadable.push(Unreadable {
            id: 0,
            fields: vec![field.to_owned()],
            said: fault.message().to_owned(),
        });
    }

    /// Reads one failing record, and halves the fields to find the failing ones.
    async fn read_alone(&mut self, id: i64, fault: &Fault) -> Result<(), Fault> {
        let plain = ["write_date".to_owned()];
        let Ok(read) = self.read(&[id], &plain, PAGE_BYTES).await? else {
            return self.give_up(id, &plain, fault).await;
        };
        // It may have been deleted meanwhile.
        let Some(mut record) = read.records.into_iter().next() else {
            return Ok(());
        };
        let fields = self.fields.clone();
        let mut room = PAGE_BYTES;
        let mut left_out = Vec::new();
        let mut waiting = vec![fields.as_slice()];
        while let Some(part) = waiting.pop() {
            match (self.read(&[id], part, room).await?, part) {
                (Ok(read), _) => {
                    self.part.unreadable.extend(read.unreadable);
                    for more in read.records {
                        room = room.saturating_sub(json!(more).to_string().len());
                        record.extend(more);
                    }
                }
                (Err(failed), [field]) => left_out.push((field.clone(), failed)),
                (Err(_), part) => {
                    let (first, second) = part.split_at(part.len() / 2);
                    waiting.extend([second, first]);
                }
            }
        }
        let Some((_, first)) = left_out.first() else {
            self.proven = true;
            self.part.records.push(record);
            return Ok(());
        };
        if left_out.len() == fields.len() {
            return self.give_up(id, &fields, fault).await;
        }
        self.proven = true;
        self.part.records.push(record);
        self.part.unreadable.push(Unreadable {
            id,
            fields: left_out.iter().map(|(field, _)| field.clone()).collect(),
            said: first.fault.message().to_owned(),
        });
        // A field too long in two records may be short in all others.
        for (field, failed) in left_out.into_iter().filter(|(_, failed)| !failed.too_long) {
            let times = self.failed.entry(field.clone()).or_default();
            *times += 1;
            if *times == FAILS_ALL {
                self.leave_out(&field, &failed.fault);
            }
        }
        Ok(())
    }

    /// Gives up a record of which nothing is readable. It is to blame only if others are readable and it still is not.
    async fn give_up(&mut self, id: i64, fields: &[String], fault: &Fault) -> Result<(), Fault> {
        let others = vec![json!(["id", "!=", id])];
        for order in ["id", "id desc"] {
            if self.proven {
                break;
            }
            let others = others.clone();
            for other in self.odoo.ids(self.model, others, 1, order).await? {
                let read = self.read(&[other], fields, PAGE_BYTES).await?;
                self.proven = read.is_ok_and(|read| !read.records.is_empty());
            }
        }
        if !self.proven || self.read(&[id], fields, PAGE_BYTES).await?.is_ok() {
            return Err(fault.clone());
        }
        self.part.unreadable.push(Unreadable {
            id,
            fields: Vec::new(),
            said: fault.message().to_owned(),
        });
        Ok(())
    }
}

/// The field that a fault names, such as `Failed to read field crm.lead.x_partners` (19).
fn named_field(fault: &Fault, model: &str, fields: &[String]) -> Option<String> {
    let named = format!("{model}.");
    let mut rest = fault.message();
    while let Some((_, after)) = rest.split_once(&named) {
        let end = after.find(|letter: char| !letter.is_ascii_alphanumeric() && letter != '_');
        let name = after.get(..end.unwrap_or(after.len()))?;
        if fields.iter().any(|field| field == name) {
            return Some(name.to_owned());
        }
        rest = after;
    }
    None
}

pub(crate) fn id_of(record: &Record) -> Option<i64> {
    record.get("id").and_then(Value::as_i64)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_field_is_known_by_its_name_in_any_language() {
        let fields = ["name", "x_partners", "x_partners_2"].map(str::to_owned);
        let named = |said: &str| {
            let fault = Fault::told(Kind::SourceForbidden, said);
            named_field(&fault, "crm.lead", &fields)
        };
        for (said, wanted) in [
            (
                "the Odoo user lacks a right: Failed to read field crm.lead.x_partners",
                Some("x_partners"),
            ),
            (
                "Feld crm.lead.x_partners_2 nicht lesbar",
                Some("x_partners_2"),
            ),
            ("crm.lead.nothing, crm.lead.name", Some("name")),
            ("Failed to read field res.partner.name", None),
            ("crm.lead.x_partners_3", None),
        ] {
            assert_eq!(named(said).as_deref(), wanted, "{said}");
        }
    }
}
