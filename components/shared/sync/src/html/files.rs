//! The files that the HTML of a record may refer to.

use std::collections::{BTreeMap, BTreeSet};

use odoo::records::Record;
use serde_json::Value;

use super::address::attachment;
use super::{MAX_BYTES, Marked};
use crate::entity::FILES;

/// How many files named by a text are looked up: any sender of mail decides how many that is.
const MAX_NAMED: usize = 100;
/// How many bytes of an address are searched for a file.
const MAX_ADDRESS: usize = 300;

/// The files that a text may refer to. A stranger's mail can name any file: a file that Odoo would refuse the reader
/// must not become visible by that.
#[derive(Debug, Clone, Default)]
pub struct Files {
    /// The record's own files.
    pub own: BTreeSet<i64>,
    /// Tokens of other files: whoever knows a file's token may see it.
    pub tokens: BTreeMap<i64, String>,
}

/// What a record owns beyond the files attached to it.
#[derive(Debug, Default)]
pub struct Owned {
    /// Files that the record lists.
    pub files: Vec<i64>,
    /// Another record whose files also count as its own.
    pub on: Option<(String, i64)>,
}

/// Finds out what a record owns.
pub type Owns = fn(&Record) -> Owned;

impl Files {
    pub(super) fn has(&self, id: i64, token: Option<&str>) -> bool {
        self.own.contains(&id)
            || (token.is_some() && self.tokens.get(&id).map(String::as_str) == token)
    }

    /// The files of a record of this model, given what Odoo told about the files it names.
    pub(super) fn of(model: &str, owns: Option<Owns>, record: &mut Record) -> Self {
        let looked_up = record.remove(FILES);
        let owned = owns.map(|owns| owns(record)).unwrap_or_default();
        let record_id = record.get("id").and_then(Value::as_i64).unwrap_or_default();
        let places = [Some((model.to_owned(), record_id)), owned.on];
        let mut files = Self {
            own: owned.files.into_iter().collect(),
            ..Self::default()
        };
        let id = |of: &Value, name: &str| of.get(name).and_then(Value::as_i64);
        let text = |of: &Value, name: &str| of.get(name).and_then(Value::as_str).map(str::to_owned);
        for file in looked_up.iter().filter_map(Value::as_array).flatten() {
            let Some(file_id) = id(file, "id") else {
                continue;
            };
            // A file attached to no record belongs to nobody.
            let place = text(file, "res_model").zip(id(file, "res_id").filter(|id| *id > 0));
            if place.is_some() && places.contains(&place) {
                files.own.insert(file_id);
            } else if let Some(token) = text(file, "access_token").filter(|token| !token.is_empty())
            {
                files.tokens.insert(file_id, token);
            }
        }
        files
    }
}

/// The files that a record's HTML names and that the record does not list as its own.
pub(crate) fn named(record: &Record, marked: &[Marked], owns: Option<Owns>) -> Vec<i64> {
    let listed = owns.map(|owns| owns(record).files).unwrap_or_default();
    let html = marked.iter().filter(|one| one.is_html);
    let texts = html.filter_map(|one| record.get(&one.field)?.as_str());
    let named: BTreeSet<i64> = texts.flat_map(named_in).collect();
    named
        .into_iter()
        .filter(|id| !listed.contains(id))
        .collect()
}

/// The files that HTML names, ascending, in all spellings that become a reference.
fn named_in(html: &str) -> BTreeSet<i64> {
    let mut ids = BTreeSet::new();
    if html.len() > MAX_BYTES {
        return ids;
    }
    let ends = |letter: char| matches!(letter, '"' | '\'' | '<' | '>') || letter.is_whitespace();
    for (at, _) in html.match_indices("/web/") {
        let address: String = html
            .get(at..)
            .unwrap_or_default()
            .char_indices()
            .take_while(|(length, letter)| *length < MAX_ADDRESS && !ends(*letter))
            .map(|(_, letter)| letter)
            .collect();
        ids.extend(attachment(&address.replace("&amp;", "&")));
        if ids.len() >= MAX_NAMED {
            break;
        }
    }
    ids
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn ids(html: &str) -> Vec<i64> {
        named_in(html).into_iter().collect()
    }

    #[test]
    fn the_files_that_a_text_names_are_found_in_every_spelling() {
        for html in [
            "<img src=/web/image/42>",
            "<img src='https://my.odoo.com/web/content/42?download=true'>",
            "<a href=\"/web/content?model=ir.attachment&amp;id=42&amp;field=datas\">",
            "<img src=\"/web/image/42-8f2c1e/logo.png\">",
        ] {
            assert_eq!(ids(html), [42], "{html}");
        }
        assert_eq!(ids("/web/image/res.partner/42 /web/ /web"), [0i64; 0]);
        let many: Vec<String> = (1..6_000)
            .map(|id| format!("<img src=/web/image/{id}>"))
            .collect();
        assert_eq!(ids(&many.concat()).len(), MAX_NAMED);
        assert_eq!(ids(&"/web/".repeat(300_000)), [0i64; 0]);
    }

    #[test]
    fn files_on_the_record_and_those_it_lists_are_its_own() {
        let place = |id: i64, model: Value, res_id: i64, token: Value| json!({"id": id, "res_model": model, "res_id": res_id, "access_token": token});
        let record = |looked_up: Value| {
            json!({"id": 9, FILES: looked_up})
                .as_object()
                .cloned()
                .unwrap_or_default()
        };
        let owns: Owns = |_| Owned {
            files: vec![1],
            on: Some(("crm.lead".to_owned(), 50)),
        };
        let mut message = record(json!([
            place(2, json!("crm.lead"), 50, json!(false)),
            place(3, json!("mail.message"), 9, json!(false)),
            place(4, json!("crm.lead"), 51, json!("8f2c")),
            place(5, json!("res.partner"), 50, json!("")),
            place(6, json!(false), 0, json!(false)),
        ]));
        let found = Files::of("mail.message", Some(owns), &mut message);
        assert_eq!(found.own.into_iter().collect::<Vec<_>>(), [1, 2, 3]);
        let tokens: Vec<_> = found.tokens.into_iter().collect();
        assert_eq!(tokens, [(4, "8f2c".to_owned())]);
        assert!(!message.contains_key(FILES));
        // A record that is on no other record does not own files that are attached to none.
        let mut nowhere = record(json!([
            place(6, json!(false), 0, json!(false)),
            place(7, json!("crm.lead"), 0, json!(false))
        ]));
        assert!(Files::of("crm.lead", None, &mut nowhere).own.is_empty());
    }
}
