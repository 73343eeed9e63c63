//! What is copied: descriptions, and nothing that acts.

use std::collections::BTreeMap;

use ledger::pipeline::RECORDS;
use ledger::sync::Table;
use odoo::records::Record;
use serde_json::Value;

use crate::Settings;
use crate::html::Owns;

/// One model of Odoo and the table that it goes to.
#[derive(Debug)]
pub struct Entity<'a> {
    /// Its name in requests, cursors and logs, such as `leads`.
    pub name: &'a str,
    /// Its model, such as `crm.lead`.
    pub model: &'a str,
    /// Its columns, and where they come from.
    pub fields: &'static [Field],
    /// Where it goes.
    pub table: &'static Table,
    /// Which of its records.
    pub scope: Scope,
    /// The text that one record alone is read without when it is too long with it.
    pub bulk: Option<&'static str>,
    /// What it needs beyond the rest.
    pub options: Option<&'static EntityOptions>,
}

/// What some entities need beyond the rest.
#[derive(Debug)]
pub struct EntityOptions {
    /// Which records of the model, as an Odoo domain.
    pub domain: fn(&Settings) -> Vec<Value>,
    /// Fields that are read beside those of the columns, where the server has them.
    pub beside: &'static [&'static str],
    /// The column that keeps all of these as they are; `None`: `custom` does.
    pub raw: Option<&'static str>,
    /// The most records of a page.
    pub page: usize,
    /// What `refine` looks up.
    pub index: Index,
    /// Records that a record lists, which are read with it.
    pub lists: &'static [List],
    /// Makes the columns that no field fills.
    pub refine: fn(&Settings) -> Refine,
    /// Raised where `refine` makes something else of the same record: all rows are then read again.
    pub version: u32,
    /// Whether a user who may not read the model at all is a fact that is told once, and no fault.
    pub optional: bool,
    /// What its records own beside the files that hang on them: their HTML may refer to it.
    pub owns: Option<Owns>,
    /// Whether it puts into the catalogue what any copied record refers to.
    pub catalogues: bool,
}

/// Where the cleaner of HTML finds what Odoo knows of the attachments that a record names.
pub(crate) const FILES: &str = "(files)";
/// Where it finds the external id of a record of the index.
pub(crate) const EXTERNAL_ID: &str = "(external id)";

/// Records that a field of another lists by their ids: `refine` finds them in its place.
#[derive(Debug)]
pub struct List {
    /// The field with the ids, which is among those that are read beside the columns'.
    pub field: &'static str,
    /// Their model.
    pub model: &'static str,
    /// What is read of them, as far as the server has it.
    pub fields: &'static [&'static str],
    /// The column that stays empty without it.
    pub fills: &'static str,
}

/// A small model that is read as a whole, once in a run.
#[derive(Debug)]
pub struct Index {
    /// The model.
    pub model: &'static str,
    /// Which of its records.
    pub domain: fn(&Settings) -> Vec<Value>,
    /// What is read of it.
    pub fields: &'static [&'static str],
    /// The field with the id that it is looked up by.
    pub key: &'static str,
    /// Whether the records' external ids are asked for, too.
    pub external_ids: bool,
    /// The column that stays empty without it.
    pub fills: &'static str,
}

/// An index as it was read. It is empty if the user may not read it.
pub type Known = BTreeMap<i64, Record>;

/// Adds to a record what Odoo has no field for, under the names of the columns.
pub type Refine = Box<dyn Fn(&mut Record, &Known)>;

impl EntityOptions {
    /// The column that keeps all of a field that is read beside those of the columns.
    pub(crate) fn keeps(&self, field: &str) -> Option<&'static str> {
        let list = self.lists.iter().find(|list| list.field == field);
        let raw = self.raw.filter(|_| self.beside.contains(&field));
        list.map(|list| list.fills).or(raw)
    }
}

impl<'a> Entity<'a> {
    /// Any model, whole.
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

    /// Whether a large part of its records goes within a day: planned activities are deleted when they are done.
    pub(crate) fn comes_and_goes(&self) -> bool {
        self.model == "mail.activity"
    }

    /// The most records of a page: of most models, one or two megabytes.
    pub(crate) fn page(&self) -> usize {
        self.options.map_or(1000, |options| options.page)
    }

    /// What its records own, for their HTML.
    pub(crate) fn owns(&self) -> Option<Owns> {
        self.options.and_then(|options| options.owns)
    }

    /// Whether a user who may not read it at all is no fault, or an Odoo without it.
    pub(crate) fn optional(&self) -> bool {
        self.table.shared || self.options.is_some_and(|options| options.optional)
    }
}

/// Which records of a model are copied.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Scope {
    /// All of them, archived ones too.
    All,
    /// Those that something refers to: whoever refers to a record puts its id into the table, and the
    /// rest of it is read afterwards.
    Referred,
    /// Those that point to a row of the table that this one is of, by this field: they are asked for by the ids of rows
    /// that are here.
    Of(&'static str),
}

/// A column, and the field that fills it.
#[derive(Debug, Clone, Copy)]
pub struct Field {
    /// The column, under one name for all versions of Odoo.
    pub column: &'static str,
    /// What it holds.
    pub kind: Kind,
    /// The field's names in Odoo, the newest first: the first one that the server has is taken. None:
    /// the column is made from other fields.
    pub names: &'static [&'static str],
}

/// What a column holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// Text.
    Text,
    /// HTML, or text in other versions of Odoo. A column of it has three beside it that are made:
    /// `<column>_html`, `<column>_text`, `<column>_omitted`.
    Html,
    /// A whole number; Odoo's selections of digits too.
    Integer,
    /// A number.
    Number,
    /// True or false.
    Flag,
    /// A day.
    Date,
    /// A moment, UTC.
    Moment,
    /// A many2one: the id.
    Link,
    /// A x2many: the ids. A many2one becomes a list of one, where a version had that.
    Links,
    /// Anything, as it is.
    Json,
}

impl Kind {
    /// The kind of a custom field by Odoo's type; `None` for what is not copied, such as files.
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

/// A column whose field has had the same name in all versions.
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

/// What every record has, of whatever model.
const RECORD: &[Field] = &[
    column!("name", Text, "display_name"),
    made!("inline_attachment_ids", Links),
];
