//! Simplifies HTML before it is parsed: any sender of mail decides what is in a body, and for some bodies a parser
//! that follows the standard takes far more time and memory than their length suggests.
//!
//! Seen with html5ever 0.40: it compares each attribute of a tag with all earlier ones, and reopens unclosed
//! formatting, with its attributes, in each following paragraph. So only what could be kept is passed on: known
//! elements with known attributes, and formatting without attributes except a link's address, as the standard keeps
//! at most three open of the same kind. Comments and elements without markup (`script`) are removed.

use std::collections::{HashMap, HashSet};

use ammonia::Builder;

use super::address::RECORD;

/// Elements that a parser reopens if they are unclosed.
const FORMATTING: [&str; 11] = [
    "a", "b", "code", "em", "i", "s", "small", "strike", "strong", "tt", "u",
];

/// Elements whose content is not markup, and whether that content is shown.
const RAW: [(&str, bool); 9] = [
    ("script", false),
    ("style", false),
    ("iframe", false),
    ("noembed", false),
    ("noframes", false),
    ("title", true),
    ("textarea", true),
    ("xmp", true),
    ("plaintext", true),
];

/// The longest address of a link, in bytes. It may be repeated in each paragraph.
const MAX_ADDRESS: usize = 4096;

/// The elements and attributes to keep.
pub(super) struct Markup {
    elements: HashSet<&'static str>,
    attributes: HashMap<&'static str, HashSet<&'static str>>,
    everywhere: HashSet<&'static str>,
}

/// Simplified HTML.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Plain {
    pub html: String,
    /// How many tags it contains.
    pub tags: usize,
}

impl Markup {
    /// Keeps what this sanitizer keeps.
    pub(super) fn kept_by(builder: &Builder<'static>) -> Self {
        Self {
            elements: builder.clone_tags(),
            attributes: builder.clone_tag_attributes(),
            everywhere: builder.clone_generic_attributes(),
        }
    }

    /// Simplifies a body, in linear time.
    pub(super) fn plain(&self, body: &str) -> Plain {
        let mut plain = Plain::default();
        let mut rest = body;
        while let Some((text, tag)) = rest.split_once('<') {
            plain.html.push_str(text);
            rest = self.markup(tag, &mut plain);
        }
        plain.html.push_str(rest);
        plain
    }

    /// Handles the markup after a `<`. Returns the rest.
    fn markup<'a>(&self, tag: &'a str, plain: &mut Plain) -> &'a str {
        if let Some(comment) = tag.strip_prefix("!--") {
            return after_comment(comment);
        }
        let (closes, named) = match tag.strip_prefix('/') {
            Some(named) => (true, named),
            None => (false, tag),
        };
        if !named.starts_with(|first: char| first.is_ascii_alphabetic()) {
            if closes || tag.starts_with(['!', '?']) {
                return after(tag, '>');
            }
            plain.html.push_str("&lt;");
            return tag;
        }
        let end = named.find(ends_name).unwrap_or(named.len());
        let (name, mut rest) = named.split_at(end);
        let name = name.to_ascii_lowercase();
        let element = self.elements.get(name.as_str());
        if let Some(element) = element {
            plain.tags += 1;
            plain.html.push_str(if closes { "</" } else { "<" });
            plain.html.push_str(element);
        }
        let mut seen: Vec<&'static str> = Vec::new();
        let mut record = Reference::default();
        let begun = plain.html.len();
        while let Some((attribute, value, after)) = attribute(rest) {
            rest = after;
            record.take(attribute, value);
            let known = element
                .filter(|_| !closes)
                .and_then(|element| self.attribute(element, attribute, value));
            if let Some(known) = known
                && !seen.contains(&known)
            {
                seen.push(known);
                plain.html.push(' ');
                plain.html.push_str(known);
                plain.html.push_str("=\"");
                plain.html.push_str(&value.replace('"', "&quot;"));
                plain.html.push('"');
            }
        }
        let end = rest.trim_start_matches(between_attributes);
        rest = end.strip_prefix('>').unwrap_or("");
        if let Some(address) = record.address().filter(|_| !closes && name == "a") {
            plain.html.truncate(begun);
            plain.html.push_str(" href=\"");
            plain.html.push_str(&address);
            plain.html.push('"');
        }
        if element.is_some() {
            plain.html.push('>');
        }
        match RAW.iter().find(|(raw, _)| !closes && *raw == name) {
            Some((_, shown)) => raw_text(&name, *shown, rest, plain),
            None => rest,
        }
    }

    /// The known attribute of this name, if it is kept.
    fn attribute(&self, element: &str, name: &str, value: &str) -> Option<&'static str> {
        let name = name.to_ascii_lowercase();
        if FORMATTING.contains(&element) {
            let address = element == "a" && name == "href" && value.len() <= MAX_ADDRESS;
            return address.then_some("href");
        }
        let own = self.attributes.get(element);
        own.and_then(|own| own.get(name.as_str()))
            .or_else(|| self.everywhere.get(name.as_str()))
            .copied()
    }
}

/// The record that a link stands for, for example a mention of a user: `data-oe-model`, `data-oe-id`.
#[derive(Default)]
struct Reference<'a> {
    model: Option<&'a str>,
    id: Option<&'a str>,
}

impl<'a> Reference<'a> {
    fn take(&mut self, attribute: &str, value: &'a str) {
        if attribute.eq_ignore_ascii_case("data-oe-model") {
            self.model.get_or_insert(value);
        } else if attribute.eq_ignore_ascii_case("data-oe-id") {
            self.id.get_or_insert(value);
        }
    }

    /// The address `odoo-record:res.partner/7`, which outlives Odoo.
    fn address(&self) -> Option<String> {
        let (model, id) = (self.model?, self.id?);
        let of_model = |letter: char| letter.is_ascii_alphanumeric() || matches!(letter, '.' | '_');
        let named = !model.is_empty() && model.len() <= 200 && model.chars().all(of_model);
        let id: i64 = id.parse().ok().filter(|id| *id > 0)?;
        named.then(|| format!("{RECORD}:{model}/{id}"))
    }
}

fn ends_name(letter: char) -> bool {
    is_space(letter) || matches!(letter, '/' | '>')
}

fn between_attributes(letter: char) -> bool {
    is_space(letter) || letter == '/'
}

/// White space as HTML defines it.
fn is_space(letter: char) -> bool {
    matches!(letter, ' ' | '\t' | '\n' | '\r' | '\u{c}')
}

/// The text after the first `letter`, or nothing.
fn after(text: &str, letter: char) -> &str {
    text.split_once(letter).map_or("", |(_, rest)| rest)
}

/// The text after a comment that has begun. An unclosed comment takes the rest.
fn after_comment(comment: &str) -> &str {
    if let Some(rest) = comment.strip_prefix('>').or(comment.strip_prefix("->")) {
        return rest;
    }
    let mut ends = comment
        .match_indices('>')
        .map(|(at, _)| comment.split_at(at));
    let end = ends.find(|(within, _)| within.ends_with("--") || within.ends_with("--!"));
    end.and_then(|(_, rest)| rest.get(1..)).unwrap_or("")
}

/// Splits off the next attribute of a tag: its name, its unquoted value, and the rest. `None` at the end of the tag.
fn attribute(tag: &str) -> Option<(&str, &str, &str)> {
    let tag = tag.trim_start_matches(between_attributes);
    if tag.is_empty() || tag.starts_with('>') {
        return None;
    }
    // A leading equals sign is part of the name.
    let end = tag
        .char_indices()
        .find(|(at, letter)| ends_name(*letter) || (*letter == '=' && *at > 0))
        .map_or(tag.len(), |(at, _)| at);
    let (name, rest) = tag.split_at(end);
    let Some(value) = rest.trim_start_matches(is_space).strip_prefix('=') else {
        return Some((name, "", rest));
    };
    let value = value.trim_start_matches(is_space);
    for quote in ['"', '\''] {
        if let Some(quoted) = value.strip_prefix(quote) {
            let (value, rest) = quoted.split_once(quote).unwrap_or((quoted, ""));
            return Some((name, value, rest));
        }
    }
    let end = value
        .find(|letter| is_space(letter) || letter == '>')
        .unwrap_or(value.len());
    let (value, rest) = value.split_at(end);
    Some((name, value, rest))
}

/// Handles raw text up to its end tag. Returns the rest.
fn raw_text<'a>(name: &str, shown: bool, text: &'a str, plain: &mut Plain) -> &'a str {
    let end = text.match_indices("</").find(|(at, _)| {
        let tag = text.get(at + 2..).unwrap_or_default();
        let named = tag.get(..name.len());
        named.is_some_and(|named| named.eq_ignore_ascii_case(name))
            && tag
                .get(name.len()..)
                .is_some_and(|rest| rest.starts_with(ends_name))
    });
    let (raw, rest) = text.split_at(end.map_or(text.len(), |(at, _)| at));
    if shown {
        plain.html.push_str(&raw.replace('<', "&lt;"));
    }
    rest
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn plain(body: &str) -> String {
        Markup::kept_by(&Builder::new()).plain(body).html
    }

    #[test]
    fn what_is_kept_stays_as_it_is() {
        for body in [
            "",
            "just text & more",
            "<p>Dear <b>team</b>,<br>2 &lt; 3 &amp; 4&nbsp;</p>",
            "<a href=\"https://x.example/?a=1&amp;b=2\">x</a><img src=\"data:image/png;base64,AAAA\" alt=\"\">",
            "<table><tbody><tr><td colspan=\"2\" align=\"right\">x</td></tr></tbody></table>",
        ] {
            assert_eq!(plain(body), body);
        }
    }

    #[test]
    fn every_spelling_of_a_tag_is_read_as_a_browser_does() {
        for (body, wanted) in [
            (
                "<P\nTITLE = 'a\"b' lang=de/>x</P >",
                "<p title=\"a&quot;b\" lang=\"de/\">x</p>",
            ),
            ("<p title=1 title=2 onclick=x()>", "<p title=\"1\">"),
            ("<p title=\"a>b\">", "<p title=\"a>b\">"),
            ("<p title>x", "<p title=\"\">x"),
            ("<p =title=x>y", "<p>y"),
            (
                "<b class=x title=y>z</b><a title=y href=z>",
                "<b>z</b><a href=\"z\">",
            ),
            (
                "a < b <3 </> <? php ?> <!doctype html><![endif]>c",
                "a &lt; b &lt;3   c",
            ),
            ("a<!-- <b> -->b<!--> c<!---> d<!-- --!> e<!-- ", "ab c d e"),
            (
                "<script>if (a</b>) '</scripts>'</SCRIPT >x<style>a{}</style>y",
                "xy",
            ),
            ("<textarea><b></textarea><xmp><i></xmp>", "&lt;b>&lt;i>"),
            ("<font color=red><o:p>x</o:p></font><svg><p>y", "x<p>y"),
            ("x<p title=\"never ends", "x<p title=\"never ends\">"),
            ("x<script>never ends", "x"),
            ("x<", "x&lt;"),
        ] {
            assert_eq!(plain(body), wanted, "{body}");
        }
    }

    #[test]
    fn a_link_to_a_record_is_one_that_outlives_odoo() {
        for (body, wanted) in [
            (
                "<a href=\"#\" data-oe-model=\"res.partner\" data-oe-id=\"7\" class=x>@Ada</a>",
                "<a href=\"odoo-record:res.partner/7\">@Ada</a>",
            ),
            (
                "<a data-oe-id='7' data-oe-model='crm.lead' href='/mail/view?res_id=7'>x</a>",
                "<a href=\"odoo-record:crm.lead/7\">x</a>",
            ),
            (
                "<a href=x data-oe-model='a\"b' data-oe-id=7>x</a>",
                "<a href=\"x\">x</a>",
            ),
            (
                "<a href=x data-oe-model=crm.lead data-oe-id=-1>x</a>",
                "<a href=\"x\">x</a>",
            ),
            ("<a href=x data-oe-id=7>x</a>", "<a href=\"x\">x</a>"),
            ("<p data-oe-model=crm.lead data-oe-id=7>x</p>", "<p>x</p>"),
        ] {
            assert_eq!(plain(body), wanted, "{body}");
        }
    }

    #[test]
    fn a_long_address_is_no_link() {
        let body = format!("<a href=\"/{}\">x</a>", "y".repeat(MAX_ADDRESS));
        assert_eq!(plain(&body), "<a>x</a>");
    }

    proptest! {
        #[test]
        fn the_plain_form_of_the_plain_form_is_itself(tags in prop::collection::vec("<[/!a-z-]{0,3}[a-z]{0,6}[ a-z=\"'/&;:<>-]{0,12}>?|[a-z<>&\"' ]{0,9}", 0..20)) {
            let once = plain(&tags.concat());
            prop_assert_eq!(plain(&once), once);
        }
    }
}
