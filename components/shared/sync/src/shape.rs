//! What a server lets this user read of an entity: what is asked for is no more than that.

use std::collections::BTreeMap;

use fault::Fault;
use ledger::sync::Row;
use odoo::records::{FieldInfo, Record};
use serde_json::Value;
use sha1::{Digest, Sha1};

use crate::html::Marked;
use crate::{Entity, Kind, row};

/// Custom fields begin so.
const CUSTOM: &str = "x_";

/// The columns that can be filled, and from what.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Shape {
    /// Columns, with the field that fills each.
    pub columns: Vec<(&'static str, Kind, String)>,
    /// Custom fields.
    pub custom: Vec<(String, Kind)>,
    /// Columns that are made from other fields.
    pub made: Vec<&'static str>,
    /// What they are made from, beside the columns' own fields.
    pub beside: Vec<&'static str>,
    /// Columns that stay empty: this version of Odoo, or this user, has no field for them.
    pub lacking: Vec<&'static str>,
    /// Fields with HTML, from which clean forms are made.
    pub marked: Vec<Marked>,
    /// Custom fields that are not copied, and why.
    pub left_out: Vec<(String, &'static str)>,
    /// What is made of a record, by its version.
    pub version: u32,
}

impl Shape {
    /// The shape of an entity whose model has these fields. Custom fields that are computed at each
    /// reading are left out: one of them can cost more than all the rest.
    pub fn of(entity: &Entity, fields: &BTreeMap<String, FieldInfo>) -> Self {
        let mut shape = Self {
            columns: Vec::new(),
            custom: Vec::new(),
            made: Vec::new(),
            beside: Vec::new(),
            lacking: Vec::new(),
            marked: Vec::new(),
            left_out: Vec::new(),
            version: entity.particular.map_or(0, |particular| particular.version),
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
        shape.beside = entity
            .particular
            .map_or(&[][..], |particular| particular.beside)
            .iter()
            .copied()
            .filter(|name| fields.contains_key(*name))
            .collect();
        shape.custom = fields
            .iter()
            .filter(|(name, info)| name.starts_with(CUSTOM) && info.store)
            .filter_map(|(name, info)| Some((name.clone(), Kind::of_type(&info.kind)?)))
            .collect();
        let custom = shape.custom.iter().filter(|(_, kind)| *kind == Kind::Html);
        shape.marked.extend(custom.map(|(name, _)| Marked {
            field: name.clone(),
            column: None,
            is_html: true,
        }));
        let customs = fields.iter().filter(|(name, _)| name.starts_with(CUSTOM));
        shape.left_out = customs
            .filter_map(|(name, info)| {
                let why = match (info.store, Kind::of_type(&info.kind)) {
                    (true, Some(_)) => return None,
                    (true, None) => "a file or a type that is not copied here",
                    (false, _) => "computed at each reading",
                };
                Some((name.clone(), why))
            })
            .collect();
        shape
    }

    /// The fields to ask for.
    pub fn asked(&self) -> Vec<String> {
        let columns = self.columns.iter().map(|(_, _, name)| name);
        let custom = self.custom.iter().map(|(name, _)| name);
        let beside = self.beside.iter().map(|name| (*name).to_owned());
        let dates = ["create_date", "write_date"].map(str::to_owned);
        columns
            .chain(custom)
            .cloned()
            .chain(beside)
            .chain(dates)
            .collect()
    }

    /// The columns and custom fields that are filled.
    pub fn names(&self) -> Vec<String> {
        let columns = self.columns.iter().map(|(column, ..)| (*column).to_owned());
        let customs = self.custom.iter().map(|(name, _)| name.clone());
        columns.chain(customs).collect()
    }

    /// A record as a row of the entity's table. Whatever its values are, Postgres takes the row; the
    /// same record is the same row. A record without an id is a fault of the source.
    pub fn row(&self, record: Record) -> Result<Row, Fault> {
        row::row(record, self).map(|(row, _)| row)
    }

    /// Another fingerprint is another shape: rows that were read in the old one have to be read again,
    /// since a field that is new does not change their dates. `cleaner` is the version of what is made of HTML,
    /// `language` that of names.
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

    fn entity(name: &str) -> &'static Entity {
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
    fn custom_fields_are_asked_for_unless_they_are_computed_or_files() {
        let shape = Shape::of(
            entity("leads"),
            &fields(&[
                ("x_studio_region", "char", true),
                ("x_score", "float", false),
                ("x_scan", "binary", true),
                ("activity_state", "selection", false),
            ]),
        );
        assert_eq!(shape.custom, [("x_studio_region".to_owned(), Kind::Text)]);
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
