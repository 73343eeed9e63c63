//! What is copied: descriptions, and nothing that acts.

use ledger::sync::Table;

/// One model of Odoo and the table that it goes to.
#[derive(Debug)]
pub struct Entity {
    /// Its name in requests, cursors and logs, such as `leads`.
    pub name: &'static str,
    /// Its model, such as `crm.lead`.
    pub model: &'static str,
    /// Its columns, and where they come from.
    pub fields: &'static [Field],
    /// Where it goes.
    pub table: &'static Table,
    /// Which of its records.
    pub scope: Scope,
}

/// Which records of a model are copied.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Scope {
    /// All of them, archived ones too.
    All,
    /// Those that something refers to: whoever refers to a record puts its id into the table, and the
    /// rest of it is read afterwards.
    Referred,
}

/// A column, and the field that fills it.
#[derive(Debug, Clone, Copy)]
pub struct Field {
    /// The column, under one name for all versions of Odoo.
    pub column: &'static str,
    /// What it holds.
    pub kind: Kind,
    /// The field's names in Odoo, the newest first: the first one that the server has is taken.
    pub names: &'static [&'static str],
}

/// What a column holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// Text.
    Text,
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
            "char" | "text" | "html" | "selection" | "reference" => Self::Text,
            "integer" | "many2one_reference" => Self::Integer,
            "float" | "monetary" => Self::Number,
            "boolean" => Self::Flag,
            "date" => Self::Date,
            "datetime" => Self::Moment,
            "many2one" => Self::Link,
            "one2many" | "many2many" => Self::Links,
            "json" | "properties" => Self::Json,
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

pub(crate) use column;
