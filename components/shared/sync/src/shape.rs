//! Which fields of an entity the server lets this user read: nothing else is asked for.

use std::collections::BTreeMap;

use fault::Fault;
use ledger::pipeline;
use ledger::sync::Row;
use odoo::records::{FieldInfo, Record};
use serde_json::Value;
use sha1::{Digest, Sha1};

use crate::fate::{self, Reason};
use crate::html::Marked;
use crate::{Entity, Kind, row};

/// Columns that every row has, for any entity.
const OF_ALL: &[&str] = &["id", "create_date", "write_date"];

/// The columns that can be filled, and from which fields.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Shape {
    /// Columns, and the field that fills each.
    pub columns: Vec<(&'static str, Kind, String)>,
    /// Stored fields without a column.
    pub custom: Vec<(String, Kind)>,
    /// Columns that are made from other fields.
    pub made: Vec<&'static str>,
    /// Further fields that those columns are made from.
    pub beside: Vec<&'static str>,
    /// Columns that stay empty: this version of Odoo, or this user, has no field for them.
    pub lacking: Vec<&'static str>,
    /// Fields with HTML, which are also cleaned.
    pub marked: Vec<Marked>,
    /// Fields with ids, and the model of these ids; `None` if the value names it.
    pub relations: Vec<(String, Option<String>)>,
    /// Fields that are not copied, and why.
    pub left_out: Vec<(String, Reason)>,
    /// The version of `refine`, which makes columns from a record.
    pub version: u32,
    /// The model, if one table has rows of several models.
    pub model: Option<String>,
    /// For a model without dates: a plain stored field to read instead.
    pub undated: Option<String>,
    /// The many2many fields among those to read, each with its model.
    pub links: Vec<(String, String)>,
}

impl Shape {
    /// The shape of an entity whose model has these fields.
    pub fn of(entity: &Entity, fields: &BTreeMap<String, FieldInfo>) -> Self {
        let mut shape = Self {
            model: entity.table.is_shared().then(|| entity.model.to_owned()),
            version: entity.options.map_or(0, |options| options.version),
            ..Self::default()
        };
        for field in entity.fields {
            if field.names.is_empty() {
                shape.made.push(field.column);
                continue;
            }
            let named = |name: &&&str| fields.contains_key(**name);
            let Some(name) = field.names.iter().find(named) else {
                shape.lacking.push(field.column);
                continue;
            };
            if field.kind == Kind::Html {
                shape.marked.push(Marked {
                    field: (*name).to_owned(),
                    column: Some(field.column),
                    is_html: fields.get(*name).is_some_and(|info| info.kind == "html"),
                });
            }
            shape
                .columns
                .push((field.column, field.kind, (*name).to_owned()));
        }
        let options = entity.options;
        shape.beside = options
            .map_or(&[][..], |options| options.beside)
            .iter()
            .copied()
            .filter(|name| fields.contains_key(*name))
            .collect();
        let elsewhere = |name: &str| {
            OF_ALL.contains(&name)
                || shape.columns.iter().any(|(_, _, field)| field == name)
                || options.is_some_and(|options| options.keeps(name).is_some())
        };
        let (mut custom, mut left_out) = (Vec::new(), Vec::new());
        for (name, info) in fields.iter().filter(|(name, _)| !elsewhere(name)) {
            // A record holds the made column's value under this name.
            let hidden = shape.made.contains(&name.as_str());
            match fate::of(name, info)
                .and_then(|kind| if hidden { Err(Reason::Type) } else { Ok(kind) })
            {
                Ok(kind) => custom.push((name.clone(), kind)),
                Err(reason) => left_out.push((name.clone(), reason)),
            }
        }
        let html = custom.iter().filter(|(_, kind)| *kind == Kind::Html);
        shape.marked.extend(html.map(|(name, _)| Marked {
            field: name.clone(),
            column: None,
            is_html: true,
        }));
        (shape.custom, shape.left_out) = (custom, left_out);
        if entity.table.is_shared() && !fields.contains_key("write_date") {
            let plain = |kind| !matches!(kind, Kind::Link | Kind::Links | Kind::Html | Kind::Json);
            let plain = shape.custom.iter().find(|(_, kind)| plain(*kind));
            let field = plain.map_or("display_name", |(name, _)| name);
            shape.undated = Some(field.to_owned());
        }
        for field in shape.asked() {
            let info = fields.get(&field);
            let relation = info.and_then(FieldInfo::relation).map(str::to_owned);
            let refers = info.is_some_and(|info| info.kind == "reference");
            if info.is_some_and(|info| info.kind == "many2many") {
                let links = &mut shape.links;
                links.extend(relation.clone().map(|relation| (field.clone(), relation)));
            }
            if relation.is_some() || refers {
                shape.relations.push((field, relation));
            }
        }
        shape
    }

    /// The fields to read.
    pub fn asked(&self) -> Vec<String> {
        let columns = self.columns.iter().map(|(_, _, name)| name);
        let custom = self.custom.iter().map(|(name, _)| name);
        let customs = |name: &str| self.custom.iter().any(|(custom, _)| custom == name);
        let beside = self.beside.iter().filter(|name| !customs(name));
        let beside = beside.map(|name| (*name).to_owned());
        let dates: &[&str] = match self.undated {
            Some(_) => &[],
            None => &["create_date", "write_date"],
        };
        let dates = dates.iter().map(|name| (*name).to_owned());
        columns
            .chain(custom)
            .cloned()
            .chain(beside)
            .chain(dates)
            .collect()
    }

    /// The column that a field is copied to.
    pub(crate) fn copied_to(&self, entity: &Entity, field: &str) -> Option<String> {
        let columns = self.columns.iter().find(|(_, _, name)| name == field);
        let custom = self.custom.iter().find(|(name, _)| name == field);
        let kept = || entity.options?.keeps(field);
        let column = columns
            .map(|(column, ..)| *column)
            .or(custom.map(|_| self.rest()[0]))
            .or_else(kept)
            .or(OF_ALL.iter().find(|name| **name == field).copied());
        column.map(str::to_owned)
    }

    /// The columns for all other fields, and for their cleaned HTML.
    pub(crate) fn rest(&self) -> [&'static str; 2] {
        match self.model {
            Some(_) => pipeline::RECORDS.rest(),
            None => pipeline::LEADS.rest(),
        }
    }

    /// The fields that are left out, by reason.
    pub(crate) fn left_out_by_reason(&self) -> BTreeMap<Reason, Vec<String>> {
        let mut by_reason = BTreeMap::<_, Vec<String>>::new();
        for (name, reason) in &self.left_out {
            by_reason.entry(*reason).or_default().push(name.clone());
        }
        by_reason
    }

    /// The names of the filled columns and custom fields.
    pub fn names(&self) -> Vec<String> {
        let columns = self.columns.iter().map(|(column, ..)| (*column).to_owned());
        let customs = self.custom.iter().map(|(name, _)| name.clone());
        columns.chain(customs).collect()
    }

    /// Converts a record to a row of the entity's table. Postgres accepts the row whatever its values are; the same
    /// record gives the same row. A record without an id is a fault of the source.
    pub fn row(&self, record: Record) -> Result<Row, Fault> {
        row::row(record, self).map(|(row, _)| row)
    }

    /// Identifies a shape. If it changes, all rows must be read again, since a new field does not change their dates.
    /// `cleaner` is the version of the HTML cleaner, `language` that of translated names.
    pub fn fingerprint(&self, domain: &[Value], cleaner: &str, language: &str) -> String {
        let shape = (
            &self.columns,
            &self.custom,
            &self.lacking,
            &self.made,
            &self.beside,
            domain,
        );
        let mut said = match self.version {
            0 => format!("{shape:?}"),
            version => format!("{version} {shape:?}"),
        };
        if !self.marked.is_empty() {
            said = format!("{said} {:?} {cleaner}", self.marked);
        }
        if !self.links.is_empty() {
            said = format!("{said} {:?}", self.links);
        }
        if !language.is_empty() {
            said = format!("{said} {language}");
        }
        base16ct::lower::encode_string(&Sha1::digest(said.as_bytes()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::crm::CRM;

    fn entity(name: &str) -> &'static Entity<'static> {
        CRM.entities
            .iter()
            .find(|entity| entity.name == name)
            .unwrap()
    }

    fn fields(names: &[(&str, &str, bool)]) -> BTreeMap<String, FieldInfo> {
        names
            .iter()
            .map(|(name, kind, store)| {
                let info = FieldInfo {
                    kind: (*kind).to_owned(),
                    store: *store,
                    ..FieldInfo::default()
                };
                ((*name).to_owned(), info)
            })
            .collect()
    }

    #[test]
    fn a_renamed_field_fills_the_same_column_in_every_version() {
        for name in ["lost_reason", "lost_reason_id"] {
            let shape = Shape::of(entity("leads"), &fields(&[(name, "many2one", true)]));
            assert_eq!(
                shape.columns,
                [("lost_reason_id", Kind::Link, name.to_owned())]
            );
            assert!(shape.lacking.contains(&"name"));
            assert_eq!(shape.asked(), [name, "create_date", "write_date"]);
        }
    }

    #[test]
    fn a_stored_field_goes_into_a_column_into_custom_or_onto_the_list() {
        let shape = Shape::of(
            entity("leads"),
            &fields(&[
                ("name", "char", true),
                ("x_studio_region", "char", true),
                ("x_score", "float", false),
                ("x_scan", "binary", true),
                ("x_token_ids", "one2many", true),
                ("lang_id", "many2one", true),
                ("lead_properties_definition", "properties_definition", true),
                ("activity_state", "selection", false),
                ("message_ids", "one2many", true),
                ("access_token", "char", true),
                ("starred_message_ids", "many2many", true),
                ("write_date", "datetime", true),
                ("odd", "of tomorrow", true),
            ]),
        );
        assert_eq!(
            shape.custom,
            [
                ("lang_id".to_owned(), Kind::Link),
                ("lead_properties_definition".to_owned(), Kind::Json),
                ("x_studio_region".to_owned(), Kind::Text),
                ("x_token_ids".to_owned(), Kind::Links),
            ]
        );
        let left_out: Vec<_> = shape
            .left_out
            .iter()
            .map(|(name, reason)| (name.as_str(), *reason))
            .collect();
        assert_eq!(
            left_out,
            [
                ("access_token", Reason::Secret),
                ("activity_state", Reason::NotStored),
                ("message_ids", Reason::OneToMany),
                ("odd", Reason::Type),
                ("starred_message_ids", Reason::Technical),
                ("x_scan", Reason::File),
                ("x_score", Reason::NotStored),
            ]
        );
    }

    #[test]
    fn what_a_made_column_is_made_of_is_copied_once() {
        let of = |name: &str| {
            let entities = crate::chatter::CHATTER.entities;
            let entity = entities.iter().find(|entity| entity.name == name).unwrap();
            let known = [
                ("mail_activity_type_id", "many2one", true),
                ("incoming_email_to", "text", true),
                ("notification_ids", "one2many", true),
                ("old_value_char", "char", true),
            ];
            Shape::of(entity, &fields(&known))
        };
        let messages = of("messages");
        let custom: Vec<_> = messages
            .custom
            .iter()
            .map(|(name, _)| name.as_str())
            .collect();
        assert_eq!(
            custom,
            [
                "incoming_email_to",
                "mail_activity_type_id",
                "old_value_char"
            ]
        );
        assert_eq!(messages.left_out, []);
        let asked = messages.asked();
        let once: std::collections::BTreeSet<_> = asked.iter().collect();
        assert_eq!(asked.len(), once.len(), "{asked:?}");
        let changes = of("field_changes");
        assert!(
            !changes
                .custom
                .iter()
                .any(|(name, _)| name == "old_value_char")
        );
    }

    #[test]
    fn a_field_more_or_less_is_another_shape() {
        let one = Shape::of(entity("tags"), &fields(&[("name", "char", true)]));
        let more = fields(&[("name", "char", true), ("x_a", "char", true)]);
        let two = Shape::of(entity("tags"), &more);
        assert_ne!(one.fingerprint(&[], "", ""), two.fingerprint(&[], "", ""));
        assert_eq!(
            two.fingerprint(&[], "", ""),
            Shape::of(entity("tags"), &more).fingerprint(&[], "", "")
        );
        assert_ne!(
            one.fingerprint(&[], "", "de_DE"),
            one.fingerprint(&[], "", "")
        );
    }
}
