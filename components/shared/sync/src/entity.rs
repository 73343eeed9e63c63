//! Describes what is copied, as pure data.

use std::collections::BTreeMap;

use ledger::pipeline::RECORDS;
use ledger::sync::Table;
use odoo::records::Record;
use serde_json::Value;

use crate::Settings;
use crate::html::Owns;

/// One model of Odoo and the table that it is copied to.
#[derive(Debug)]
pub struct Entity<'a> {
    /// Its name in requests, cursors and logs, such as `leads`.
    pub name: &'a str,
    /// Its model, such as `crm.lead`.
    pub model: &'a str,
    /// The columns, and the fields that fill them.
    pub fields: &'static [Field],
    /// The table that it is copied to.
    pub table: &'static Table,
    /// Which of its records are copied.
    pub scope: Scope,
    /// A long text field: a note takes its place where it makes a record too long to be read.
    pub bulk: Option<&'static str>,
    /// Further options, if any.
    pub options: Option<&'static EntityOptions>,
}

/// Options that only some entities need.
#[derive(Debug)]
pub struct EntityOptions {
    /// Which records of the model, as an Odoo domain.
    pub domain: fn(&Settings) -> Vec<Value>,
    /// Fields to read in addition to those of columns, if the server has them.
    pub beside: &'static [&'static str],
    /// The column that keeps these fields unchanged; `None` for `custom`.
    pub raw: Option<&'static str>,
    /// The most records per page.
    pub page: usize,
    /// The lookup table for `refine`.
    pub index: Index,
    /// Related records that are read with each record.
    pub lists: &'static [List],
    /// Makes the columns that no field fills.
    pub refine: fn(&Settings) -> Refine,
    /// Increase this if `refine` makes something else of the same record: all rows are then read again.
    pub version: u32,
    /// Whether a user without access to the model is reported once instead of being a fault.
    pub optional: bool,
    /// What records own beyond the files attached to them: their HTML may refer to it.
    pub owns: Option<Owns>,
    /// Whether it adds attachments that any copied record refers to, to the catalogue.
    pub catalogues: bool,
}

/// The key under which a record holds what Odoo knows about the attachments that it names.
pub(crate) const FILES: &str = "(files)";
/// Holds the tail of a record as it was listed, before its links were completed.
pub(crate) const LISTED: &str = "(listed)";
/// The key under which a record of the index holds its external id.
pub(crate) const EXTERNAL_ID: &str = "(external id)";

/// Records that a field lists by id: `refine` finds them in place of the ids.
#[derive(Debug)]
pub struct List {
    /// The field with the ids, which must be among those in `beside`.
    pub field: &'static str,
    /// Their model.
    pub model: &'static str,
    /// The fields to read, if the server has them.
    pub fields: &'static [&'static str],
    /// The column that stays empty if they cannot be read.
    pub fills: &'static str,
}

/// A small model that is read as a whole, once per run.
#[derive(Debug)]
pub struct Index {
    /// The model.
    pub model: &'static str,
    /// Which of its records are read.
    pub domain: fn(&Settings) -> Vec<Value>,
    /// The fields to read.
    pub fields: &'static [&'static str],
    /// The field with the id by which records are looked up.
    pub key: &'static str,
    /// Whether to ask for the records' external ids, too.
    pub external_ids: bool,
    /// The column that stays empty if the index cannot be read.
    pub fills: &'static str,
}

/// An index that was read; empty if the user may not read it.
pub type Known = BTreeMap<i64, Record>;

/// Adds columns to a record that no field of Odoo fills.
pub type Refine = Box<dyn Fn(&mut Record, &Known)>;

impl EntityOptions {
    /// The column that keeps a field of `beside` unchanged.
    pub(crate) fn keeps(&self, field: &str) -> Option<&'static str> {
        let list = self.lists.iter().find(|list| list.field == field);
        let raw = self.raw.filter(|_| self.beside.contains(&field));
        list.map(|list| list.fills).or(raw)
    }
}

impl<'a> Entity<'a> {
    /// Any model, copied as a whole.
    pub fn of_model(model: &'a str) -> Self {
        Self {
            name: model,
            model,
            fields: RECORD,
            table: &RECORDS,
            scope: Scope::All,
            bulk: None,
            options: None,
        }
    }

    /// Whether many of its records disappear within a day: planned activities are deleted when done.
    pub(crate) fn comes_and_goes(&self) -> bool {
        self.model == "mail.activity"
    }

    /// The most records per page: one or two megabytes for most models.
    pub(crate) fn page(&self) -> usize {
        self.options.map_or(1000, |options| options.page)
    }

    /// Finds out what its records own, for their HTML.
    pub(crate) fn owns(&self) -> Option<Owns> {
        self.options.and_then(|options| options.owns)
    }

    /// Whether an unreadable or missing model is not a fault.
    pub(crate) fn optional(&self) -> bool {
        self.table.is_shared() || self.options.is_some_and(|options| options.optional)
    }
}

/// Which records of a model are copied.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Scope {
    /// All records, including archived ones.
    All,
    /// Records that something refers to: whoever refers to a record puts its id into the table, and the rest of it is
    /// read later.
    Referred,
    /// Records that point, by this field, to a row of the parent table. They are asked for by the ids of rows that
    /// are already here.
    Of(&'static str),
}

/// A column and the field that fills it.
#[derive(Debug, Clone, Copy)]
pub struct Field {
    /// The column's name, the same for all versions of Odoo.
    pub column: &'static str,
    /// The type of its value.
    pub kind: Kind,
    /// The field's names in Odoo, newest first; the first one that the server has is used. If empty, the column is
    /// made from other fields.
    pub names: &'static [&'static str],
}

/// The type of a column.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// Text.
    Text,
    /// HTML, or text in other versions of Odoo. Three columns are made from it: `<column>_html`, `<column>_text`,
    /// `<column>_omitted`.
    Html,
    /// A whole number, or a selection whose values are digits.
    Integer,
    /// A number.
    Number,
    /// A boolean.
    Flag,
    /// A date.
    Date,
    /// A moment in UTC.
    Moment,
    /// A many2one, as its id.
    Link,
    /// An x2many, as a list of ids. A many2one of another version becomes a list of one.
    Links,
    /// Any JSON, unchanged.
    Json,
}

impl Kind {
    /// The kind of a custom field, by Odoo's type; `None` for types that are not copied, such as files.
    pub fn of_type(type_name: &str) -> Option<Self> {
        Some(match type_name {
            "char" | "text" | "selection" | "reference" => Self::Text,
            "html" => Self::Html,
            "integer" | "many2one_reference" => Self::Integer,
            "float" | "monetary" => Self::Number,
            "boolean" => Self::Flag,
            "date" => Self::Date,
            "datetime" => Self::Moment,
            "many2one" => Self::Link,
            "one2many" | "many2many" => Self::Links,
            "json" | "properties" | "properties_definition" | "serialized" => Self::Json,
            _ => return None,
        })
    }
}

/// A column filled by the field of the same name, or by the first of the given names.
macro_rules! column {
    ($name:literal, $kind:ident) => {
        $crate::Field {
            column: $name,
            kind: $crate::Kind::$kind,
            names: &[$name],
        }
    };
    ($name:literal, $kind:ident, $($field:literal)|+) => {
        $crate::Field {
            column: $name,
            kind: $crate::Kind::$kind,
            names: &[$($field),+],
        }
    };
}

/// A column that no field fills.
macro_rules! made {
    ($name:literal, $kind:ident) => {
        $crate::Field {
            column: $name,
            kind: $crate::Kind::$kind,
            names: &[],
        }
    };
}

pub(crate) use {column, made};

/// The columns of every record of any model.
const RECORD: &[Field] = &[
    column!("name", Text, "display_name"),
    made!("inline_attachment_ids", Links),
];
