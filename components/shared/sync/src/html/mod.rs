//! Cleans HTML from Odoo: anyone who can write a record or send a mail decides what it contains. All HTML that is
//! shown passes through here, whichever field it came from.

mod address;
mod files;
mod markup;
mod text;

use std::sync::{Arc, Mutex, PoisonError};

use ammonia::Builder;
use odoo::records::Record;
use serde_json::{Map, Value, json};
use url::Url;

use crate::Entity;
use address::{Addresses, References};
pub(crate) use files::named;
pub use files::{Files, Owned, Owns};
use markup::Markup;

/// The longest text that is cleaned. Odoo moves images into attachments, so people seldom wrote what is longer.
const MAX_BYTES: usize = 2 * 1024 * 1024;
/// A text with more tags is shown as plain text only. The time for nested tags is quadratic: 19,000 took 2.5 s, and a
/// page of such texts must not outlast a lease.
const MAX_TAGS: usize = 6_000;
/// Increase this if the cleaner's output for the same text changes: all rows are then read again.
const VERSION: u32 = 1;

/// The key under which a record holds the cleaned custom fields.
pub(crate) const CUSTOM: &str = "(custom html)";

/// A field with HTML, or with text that is HTML in other versions of Odoo.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Marked {
    /// Its name in Odoo.
    pub field: String,
    /// The column that it fills; `None` for a custom field.
    pub column: Option<&'static str>,
    /// Whether this server has it as HTML, not as text.
    pub is_html: bool,
}

/// A cleaned text.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Shown {
    /// Without active content: scripts, handlers, forms, frames, styles.
    pub html: Option<String>,
    /// Its plain text.
    pub text: Option<String>,
    /// Why parts of it are missing.
    pub omitted: Option<&'static str>,
    /// The attachments that it refers to, ascending.
    pub attachments: Vec<i64>,
}

impl Shown {
    pub(crate) const TOO_LARGE: &str = "too_large";
    const TOO_COMPLEX: &str = "too_complex";

    /// The form of a text that is left out.
    fn too_large() -> Self {
        Self {
            omitted: Some(Self::TOO_LARGE),
            ..Self::default()
        }
    }

    fn too_complex(text: String) -> Self {
        Self {
            text: Some(text),
            omitted: Some(Self::TOO_COMPLEX),
            ..Self::default()
        }
    }

    /// The forms of a text without markup.
    fn of_text(said: &str) -> Self {
        let html = text::html(said);
        if said.len() > MAX_BYTES {
            Self::too_large()
        } else if html.len() > MAX_BYTES {
            Self::too_complex(said.to_owned())
        } else {
            Self {
                text: Some(said.to_owned()),
                html: Some(html),
                ..Self::default()
            }
        }
    }
}

/// Cleans HTML so that it is safe to show.
pub struct Cleaner {
    markup: Markup,
    builder: Builder<'static>,
    references: Arc<Mutex<References>>,
}

impl Cleaner {
    /// Cleans the HTML of the Odoo at this origin. Remote images may be held back: they become
    /// `remote-image:https://…`, which no browser loads.
    pub fn new(odoo_url: &str, hold_remote_images: bool) -> Self {
        let addresses = Addresses {
            odoo: Url::parse(odoo_url).ok(),
            hold_remote_images,
        };
        let references = Arc::new(Mutex::new(References::default()));
        let seen = Arc::clone(&references);
        let mut builder = Builder::new();
        builder
            .add_url_schemes(["data", address::RECORD])
            .attribute_filter(move |element, attribute, value| match attribute {
                "href" | "src" | "cite" => {
                    let mut seen = seen.lock().unwrap_or_else(PoisonError::into_inner);
                    let address = addresses.mend(element, attribute, value, &mut seen);
                    address.map(Into::into)
                }
                _ => Some(value.into()),
            });
        Self {
            markup: Markup::kept_by(&builder),
            builder,
            references,
        }
    }

    /// The version of the cleaned forms: if it changes, so may the output for the same text.
    pub(crate) fn version(hold_remote_images: bool) -> String {
        format!("{VERSION} {hold_remote_images}")
    }

    /// Cleans a text, which may refer to these files only.
    pub fn show(&self, html: &str, files: Files) -> Shown {
        if html.len() > MAX_BYTES {
            return Shown::too_large();
        }
        let plain = self.markup.plain(html);
        if plain.tags > MAX_TAGS {
            return Shown::too_complex(text::text(&plain.html));
        }
        self.turn_to(files);
        let html = self.builder.clean(&plain.html).to_string();
        let attachments = self.turn_to(Files::default());
        if html.len() > MAX_BYTES {
            return Shown::too_complex(text::text(&plain.html));
        }
        Shown {
            text: Some(text::text(&html)),
            html: Some(html),
            omitted: None,
            attachments,
        }
    }

    /// Starts a text with these files. Returns the ones that the previous text referred to, ascending.
    fn turn_to(&self, may: Files) -> Vec<i64> {
        let next = References {
            may,
            ..References::default()
        };
        let mut references = (self.references.lock()).unwrap_or_else(PoisonError::into_inner);
        let before = std::mem::replace(&mut *references, next);
        before.are.into_iter().collect()
    }

    /// Adds the columns made from a record's HTML: `<column>_html`, `<column>_text`, `<column>_omitted`, one for all
    /// custom fields, and the attachments of all.
    pub(crate) fn refine(&self, record: &mut Record, marked: &[Marked], entity: &Entity) {
        let files = Files::of(entity.model, entity.owns(), record);
        let mut custom = Map::new();
        let mut attachments = Vec::new();
        let mut all_read = true;
        for one in marked {
            let shown = match record.get(&one.field) {
                // Too long to be read with the record, so the record was read without it.
                None if entity.bulk == Some(&one.field) => Shown::too_large(),
                // No longer readable: the cleaned form stays as it is.
                None => {
                    all_read = false;
                    continue;
                }
                Some(Value::String(html)) if one.is_html => self.show(html, files.clone()),
                Some(Value::String(text)) => Shown::of_text(text),
                _ => Shown::default(),
            };
            attachments.extend_from_slice(&shown.attachments);
            match one.column {
                Some(column) => {
                    record.insert(format!("{column}_html"), json!(shown.html));
                    record.insert(format!("{column}_text"), json!(shown.text));
                    record.insert(format!("{column}_omitted"), json!(shown.omitted));
                }
                None if shown == Shown::default() => {}
                None => {
                    let forms = json!({
                        "html": shown.html, "text": shown.text, "omitted": shown.omitted,
                        "attachments": shown.attachments,
                    });
                    custom.insert(one.field.clone(), forms);
                }
            }
        }
        attachments.sort_unstable();
        attachments.dedup();
        if all_read {
            record.insert("inline_attachment_ids".to_owned(), json!(attachments));
        }
        record.insert(CUSTOM.to_owned(), Value::Object(custom));
    }
}

#[cfg(test)]
mod tests;
