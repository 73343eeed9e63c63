//! Which fields a version has, and who may see them.
//!
//! `fields.json` was drawn from `fields_get` of real 17.0 and 18.0 servers, for an administrator and
//! for a salesman (the difference is `settings`). What other versions have follows from the renames
//! that are known; `from-N`, `until-N` and `text-until-N` say so.

use std::collections::BTreeMap;

use serde_json::{Map, Value, json};

/// The type of a field, as far as comparing and showing go.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    Boolean,
    Integer,
    Float,
    Datetime,
    Many2one,
    /// one2many and many2many.
    Many,
    /// Text, bytes and bare dates: nothing is special about them.
    Other,
}

/// One field of a model.
#[expect(clippy::struct_excessive_bools, reason = "as Odoo describes a field")]
#[derive(Debug, Clone)]
pub(crate) struct Field {
    /// The type as Odoo names it.
    pub type_name: String,
    /// What Odoo's pages call it, where that is not its name.
    pub label: Option<String>,
    /// What it may be, each with its label.
    pub selection: Value,
    pub kind: Kind,
    pub relation: Option<String>,
    pub stored: bool,
    readonly: bool,
    required: bool,
    /// Only for the group *Administration / Settings*.
    pub settings: bool,
    /// A many2one that is shown without the name of what it points to.
    pub nameless: bool,
    /// What stands for the name of a record that has none.
    pub unnamed: Value,
}

/// The fields of one model.
pub(crate) type Fields = BTreeMap<String, Field>;

impl Field {
    /// Reads `many2one res.partner stored from-17`; `None` where this version lacks it.
    fn parse(text: &str, version: u8) -> Option<Self> {
        let mut words = text.split(' ');
        let type_name = words.next().unwrap_or_default();
        let mut field = Self::of_type(type_name, None);
        field.unnamed = match version {
            ..=15 => json!("False"),
            16 => json!(""),
            _ => json!(false),
        };
        for word in words {
            match word {
                "stored" => field.stored = true,
                "readonly" => field.readonly = true,
                "required" => field.required = true,
                "settings" => field.settings = true,
                // To messages, on 19.
                "nameless" => field.nameless = version >= 19,
                _ => {
                    let bound = |prefix| {
                        word.strip_prefix(prefix)
                            .and_then(|bound: &str| bound.parse::<u8>().ok())
                    };
                    if let Some(until) = bound("text-until-") {
                        if version <= until {
                            "text".clone_into(&mut field.type_name);
                        }
                    } else if let Some(from) = bound("from-") {
                        if version < from {
                            return None;
                        }
                    } else if let Some(until) = bound("until-") {
                        if version > until {
                            return None;
                        }
                    } else {
                        field.relation = Some(word.to_owned());
                    }
                }
            }
        }
        Some(field)
    }

    /// A field of this Odoo type (`char`, `many2one`, …).
    pub(crate) fn of_type(type_name: &str, relation: Option<&str>) -> Self {
        let kind = match type_name {
            "boolean" => Kind::Boolean,
            "integer" | "many2one_reference" => Kind::Integer,
            "float" | "monetary" => Kind::Float,
            "datetime" => Kind::Datetime,
            "many2one" => Kind::Many2one,
            "one2many" | "many2many" => Kind::Many,
            _ => Kind::Other,
        };
        Self {
            type_name: type_name.to_owned(),
            label: None,
            selection: Value::Null,
            kind,
            relation: relation.map(str::to_owned),
            stored: false,
            readonly: false,
            required: false,
            settings: false,
            nameless: false,
            unnamed: Value::Bool(false),
        }
    }

    /// The same, kept in the database.
    pub(crate) fn kept(self) -> Self {
        Self {
            stored: true,
            ..self
        }
    }

    /// What `fields_get` says of it.
    pub(crate) fn describe(&self, name: &str, wanted: Option<&[String]>) -> Value {
        let mut said = Map::new();
        said.insert("type".into(), json!(self.type_name));
        said.insert(
            "string".into(),
            json!(self.label.as_deref().unwrap_or(name)),
        );
        said.insert("readonly".into(), json!(self.readonly));
        said.insert("required".into(), json!(self.required));
        said.insert("store".into(), json!(self.stored));
        if let Some(relation) = &self.relation {
            said.insert("relation".into(), json!(relation));
        }
        if self.type_name == "selection" {
            let none = json!([]);
            let choices = Some(&self.selection).filter(|choices| choices.is_array());
            said.insert("selection".into(), choices.unwrap_or(&none).clone());
        }
        if let Some(wanted) = wanted {
            said.retain(|attribute, _| wanted.contains(attribute));
        }
        Value::Object(said)
    }

    /// What a record has where nothing was said.
    pub(crate) fn default(&self) -> Value {
        match self.kind {
            Kind::Integer => json!(0),
            Kind::Float => json!(0.0),
            Kind::Many => json!([]),
            _ => json!(false),
        }
    }
}

/// All models of a version with their fields; one without an id is of other versions.
pub(crate) fn of_version(version: u8) -> BTreeMap<String, Fields> {
    let recorded: BTreeMap<String, BTreeMap<String, String>> =
        serde_json::from_str(include_str!("fields.json")).unwrap_or_default();
    recorded
        .into_iter()
        .map(|(model, fields)| {
            let fields = fields
                .into_iter()
                .filter_map(|(name, text)| Field::parse(&text, version).map(|field| (name, field)))
                .collect();
            (model, fields)
        })
        .filter(|(_, fields): &(String, Fields)| fields.contains_key("id"))
        .collect()
}
