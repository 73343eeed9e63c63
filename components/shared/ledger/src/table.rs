//! A table of copied rows and its statements.
//!
//! The statements of all tables differ only by names and a few parts. Each stands whole in `statements/`, with `{…}`
//! where a name goes, and `/*if …*/ … /*end*/` around what only some tables need. They are filled in when a table is
//! first used, with constants of this program and nothing else.

use std::sync::OnceLock;

/// A table and its statements.
#[derive(Debug)]
pub struct Table {
    /// Its name, with the schema.
    pub name: &'static str,
    columns: &'static str,
    references: &'static str,
    attachments: &'static str,
    kind: Kind,
    statements: OnceLock<Statements>,
}

/// How a table differs from others.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    /// Not at all.
    Plain,
    /// It can hold only the rows that something refers to.
    Referred,
    /// It holds rows of several models.
    Shared,
    /// It queues each message that it writes, so that the field changes of that message are read.
    Messages,
    /// It is read by message, from this queue.
    Changes,
}

#[derive(Debug)]
pub(crate) struct Statements {
    pub(crate) write: String,
    pub(crate) compare: String,
    pub(crate) conclude: String,
    pub(crate) known: String,
    pub(crate) waiting: String,
}

impl Table {
    /// A table and its own columns, without those that every such table has.
    pub(crate) const fn new(name: &'static str, columns: &'static str) -> Self {
        Self {
            name,
            columns,
            references: "",
            attachments: "",
            kind: Kind::Plain,
            statements: OnceLock::new(),
        }
    }

    /// Names columns with ids of partners: those that are missing are inserted with a null `row_hash`, to be read.
    pub(crate) const fn references(mut self, columns: &'static str) -> Self {
        self.references = columns;
        self
    }

    /// Names columns with ids of attachments: those that the catalogue lacks are queued to be asked for.
    pub(crate) const fn attachments(mut self, columns: &'static str) -> Self {
        self.attachments = columns;
        self
    }

    pub(crate) const fn kind(mut self, kind: Kind) -> Self {
        self.kind = kind;
        self
    }

    /// Its own columns, without those that every such table has.
    pub fn columns(&self) -> impl Iterator<Item = &'static str> {
        self.columns.split_whitespace()
    }

    /// Whether it holds rows of several models, distinguished by the column `model`.
    pub fn is_shared(&self) -> bool {
        self.kind == Kind::Shared
    }

    /// The column with all other fields, and the one with their cleaned HTML.
    pub fn rest(&self) -> [&'static str; 2] {
        if self.is_shared() {
            ["data", "html"]
        } else {
            ["custom", "custom_html"]
        }
    }

    pub(crate) fn statements(&'static self) -> &'static Statements {
        self.statements.get_or_init(|| {
            let (known, waiting) = match self.kind {
                Kind::Changes => (
                    include_str!("statements/known_messages.sql"),
                    include_str!("statements/waiting_messages.sql"),
                ),
                _ => (
                    include_str!("statements/known.sql"),
                    include_str!("statements/waiting.sql"),
                ),
            };
            Statements {
                write: self.fill(include_str!("statements/write_page.sql")),
                compare: self.fill(include_str!("statements/compare.sql")),
                conclude: self.fill(include_str!("statements/conclude.sql")),
                known: self.fill(known),
                waiting: self.fill(waiting),
            }
        })
    }

    fn fill(&self, statement: &str) -> String {
        let mut filled = String::with_capacity(2 * statement.len());
        for piece in statement.split("/*end*/") {
            let (always, optional) = piece.split_once("/*if ").unwrap_or((piece, ""));
            self.fill_names(always, &mut filled);
            if let Some((part, sql)) = optional.split_once("*/")
                && self.has(part)
            {
                self.fill_names(sql, &mut filled);
            }
        }
        filled
    }

    fn fill_names(&self, sql: &str, filled: &mut String) {
        let mut pieces = sql.split('{');
        filled.push_str(pieces.next().unwrap_or_default());
        for piece in pieces {
            let place = piece.split_once('}');
            match place.and_then(|(place, after)| Some((self.names(place)?, after))) {
                Some((names, after)) => filled.extend([names.as_str(), after]),
                None => filled.extend(["{", piece]),
            }
        }
    }

    /// What stands for `{place}`, if it is a place.
    fn names(&self, place: &str) -> Option<String> {
        let [rest, rest_html] = self.rest();
        Some(match place {
            "table" => self.name.to_owned(),
            "columns" => list(self.columns, ", ", str::to_owned),
            "p.columns" => list(self.columns, ", ", |name| format!("p.{name}")),
            "columns = excluded.columns" => list(self.columns, ", ", |name| {
                format!("{name} = excluded.{name}")
            }),
            "(p.references)" => list(self.references, ", ", |name| format!("(p.{name})")),
            "p.attachments" => list(self.attachments, " || ", |name| format!("p.{name}")),
            "rest" => rest.to_owned(),
            "rest_html" => rest_html.to_owned(),
            "key" if self.is_shared() => "model, id".to_owned(),
            "range" if self.kind == Kind::Changes => "message_id".to_owned(),
            "key" | "range" => "id".to_owned(),
            _ => return None,
        })
    }

    /// Whether it needs a part of a statement.
    fn has(&self, part: &str) -> bool {
        match part {
            "references" => !self.references.is_empty(),
            "attachments" => !self.attachments.is_empty(),
            "referred" => self.kind == Kind::Referred,
            "shared" => self.kind == Kind::Shared,
            "messages" => self.kind == Kind::Messages,
            "changes" => self.kind == Kind::Changes,
            _ => false,
        }
    }
}

fn list(columns: &str, separator: &str, write: impl Fn(&str) -> String) -> String {
    let written: Vec<_> = columns.split_whitespace().map(write).collect();
    written.join(separator)
}

#[cfg(test)]
mod tests {
    use crate::chatter::{FIELD_CHANGES, MESSAGES};
    use crate::pipeline::{LEADS, PARTNERS, RECORDS, STAGES};

    #[test]
    fn a_statement_has_its_names_and_the_parts_that_its_table_needs() {
        const PARTS: [&str; 4] = [
            "insert into public.odoo_partners (id)",
            "insert into odoo_sync.wanted_attachments",
            "insert into odoo_sync.wanted_changes",
            "delete from odoo_sync.wanted_changes",
        ];
        for (table, parts, of_model, referred) in [
            (&STAGES, [false, false, false, false], 0, false),
            (&LEADS, [true, true, false, false], 0, false),
            (&PARTNERS, [true, true, false, false], 0, true),
            (&RECORDS, [false, true, false, false], 2, false),
            (&MESSAGES, [true, true, true, false], 0, false),
            (&FIELD_CHANGES, [false, false, false, true], 0, false),
        ] {
            let all = table.statements();
            let write = &all.write;
            for statement in [write, &all.compare, &all.conclude, &all.known, &all.waiting] {
                let left = statement.replace("'{}'", "");
                assert!(!left.contains(['{', '}']) && !left.contains("/*"), "{left}");
            }
            assert!(write.contains(&format!("insert into {} as t (id, ", table.name)));
            assert_eq!(PARTS.map(|part| write.contains(part)), parts, "{write}");
            assert_eq!(write.matches("and t.model = ").count(), of_model, "{write}");
            assert_eq!(write.contains("jsonb->>'referred'"), referred, "{write}");
        }
    }
}
