//! The body of a message: as it may be shown, and as plain text.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, PoisonError};

use ammonia::Builder;

use super::markup::Markup;

/// Longer bodies are left out. Odoo moves pictures out of a body into attachments, so that what is
/// longer is seldom something that people wrote.
const MAX_BYTES: usize = 2 * 1024 * 1024;
/// A body with more tags is not made ready to be shown. Nested into each other, twice as many take
/// four times as long: 19,000 of them took 2.5 s, and a page of such bodies must not outlast a lease.
const MAX_TAGS: usize = 6_000;
/// An inline picture that came from Odoo: `odoo-attachment:<id>`, an id of `public.odoo_attachments`.
const REFERENCE: &str = "odoo-attachment:";
/// So many files that a body names are looked up. Whoever can send a mail decides how many it names.
const MAX_NAMED: usize = 100;
/// As far as an address is looked for the file that it names, in bytes.
const MAX_ADDRESS: usize = 300;

/// Which files a body may refer to. A stranger's mail can name any: a reference to one that Odoo would have
/// refused its reader must not become one that is shown.
#[derive(Debug, Default)]
pub(super) struct Files {
    /// The message's own, and those on the same record.
    pub own: BTreeSet<i64>,
    /// The tokens of others: who has a file's token may see it.
    pub tokens: BTreeMap<i64, String>,
}

impl Files {
    fn has(&self, id: i64, token: Option<&str>) -> bool {
        self.own.contains(&id)
            || (token.is_some() && self.tokens.get(&id).map(String::as_str) == token)
    }
}

/// The files of the body at hand, and those that it was seen to refer to.
#[derive(Debug, Default)]
struct References {
    may: Files,
    are: BTreeSet<i64>,
}

/// What becomes of a body.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Shown {
    /// Without anything that acts: scripts, handlers, forms, frames, styles.
    pub html: Option<String>,
    /// What it says.
    pub text: Option<String>,
    /// Why there is no more of it.
    pub omitted: Option<&'static str>,
    /// The attachments that it refers to, ascending.
    pub attachments: Vec<i64>,
}

impl Shown {
    pub(super) const TOO_LARGE: &str = "too_large";
    const TOO_COMPLEX: &str = "too_complex";

    /// Of a body that is left out.
    pub(super) fn too_large() -> Self {
        Self {
            omitted: Some(Self::TOO_LARGE),
            ..Self::default()
        }
    }
}

/// Makes bodies ready to be shown.
pub(super) struct Cleaner {
    markup: Markup,
    builder: Builder<'static>,
    references: Arc<Mutex<References>>,
}

impl Cleaner {
    /// For the bodies of the Odoo at this origin.
    pub(super) fn new(odoo_url: &str) -> Self {
        let odoo_url = odoo_url.to_owned();
        let references = Arc::new(Mutex::new(References::default()));
        let files = Arc::clone(&references);
        let mut builder = Builder::new();
        builder
            .add_url_schemes(["data", "odoo-record"])
            .attribute_filter(move |element, attribute, value| {
                let address = |value| {
                    let mut files = files.lock().unwrap_or_else(PoisonError::into_inner);
                    address(value, &odoo_url, &mut files)
                };
                match (element, attribute) {
                    ("img", "src") if is_data(value) => picture(value).map(Into::into),
                    ("a", "href") if is_data(value) => None,
                    (_, "href" | "src" | "cite") => address(value).map(Into::into),
                    _ => Some(value.into()),
                }
            });
        Self {
            markup: Markup::kept_by(&builder),
            builder,
            references,
        }
    }

    /// A body as it may be shown, with references to no more than these files.
    pub(super) fn show(&self, body: &str, files: Files) -> Shown {
        if body.len() > MAX_BYTES {
            return Shown::too_large();
        }
        let plain = self.markup.plain(body);
        let too_complex = || Shown {
            text: Some(text(&plain.html)),
            omitted: Some(Shown::TOO_COMPLEX),
            ..Shown::default()
        };
        if plain.tags > MAX_TAGS {
            return too_complex();
        }
        self.turn_to(files);
        let html = self.builder.clean(&plain.html).to_string();
        let attachments = self.turn_to(Files::default());
        if html.len() > MAX_BYTES {
            return too_complex();
        }
        Shown {
            text: Some(text(&html)),
            html: Some(html),
            omitted: None,
            attachments,
        }
    }

    /// Turns to a body with these files; those that the one before was seen to refer to, ascending.
    fn turn_to(&self, may: Files) -> Vec<i64> {
        let next = References {
            may,
            are: BTreeSet::new(),
        };
        let mut references = (self.references.lock()).unwrap_or_else(PoisonError::into_inner);
        let before = std::mem::replace(&mut *references, next);
        before.are.into_iter().collect()
    }
}

/// The files that a body names, ascending, in every spelling that becomes a reference.
pub(super) fn named_files(body: &str) -> Vec<i64> {
    if body.len() > MAX_BYTES {
        return Vec::new();
    }
    let ends = |letter: char| matches!(letter, '"' | '\'' | '<' | '>') || letter.is_whitespace();
    let mut ids = BTreeSet::new();
    for (at, _) in body.match_indices("/web/") {
        let address: String = body
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
    ids.into_iter().collect()
}

/// A picture within its address stays if no program can hide in it.
fn picture(value: &str) -> Option<String> {
    let kinds = ["png", "jpeg", "jpg", "gif", "webp"];
    let kind = value
        .get(5..)?
        .split([';', ','])
        .next()?
        .to_ascii_lowercase();
    let picture = kind.strip_prefix("image/")?;
    kinds.contains(&picture).then(|| value.to_owned())
}

fn is_data(value: &str) -> bool {
    value
        .trim_start()
        .get(..5)
        .is_some_and(|scheme| scheme.eq_ignore_ascii_case("data:"))
}

/// An address that outlives Odoo where there is one; others of Odoo become whole, and lose their
/// access tokens. Our own scheme is never taken from the input.
fn address(value: &str, odoo_url: &str, references: &mut References) -> Option<String> {
    let plain: String = value
        .chars()
        .filter(|letter| !letter.is_control() && !letter.is_whitespace())
        .collect();
    let scheme = plain.get(..REFERENCE.len());
    if scheme.is_some_and(|scheme| scheme.eq_ignore_ascii_case(REFERENCE)) {
        return None;
    }
    let Some(path) = path_in_odoo(value, odoo_url) else {
        return Some(value.to_owned());
    };
    Some(match attachment(path) {
        Some(id) if references.may.has(id, token(path)) => {
            references.are.insert(id);
            format!("{REFERENCE}{id}")
        }
        _ => format!("{odoo_url}{}", without_token(path)),
    })
}

/// The access token of a path.
fn token(path: &str) -> Option<&str> {
    let (_, query) = path.split_once('?')?;
    query
        .split(['&', '#'])
        .find_map(|pair| pair.strip_prefix("access_token="))
}

/// The path of an address of this Odoo: `/web/image/5` of `https://my.odoo.com/web/image/5`.
fn path_in_odoo<'a>(value: &'a str, odoo_url: &str) -> Option<&'a str> {
    let value = value.trim();
    if value.starts_with('/') {
        // Two slashes begin the name of a host.
        return (!value.starts_with("//") && !value.starts_with("/\\")).then_some(value);
    }
    // Links in mails are often those of before there was TLS.
    let host = odoo_url.split_once("://")?.1;
    let rest = value
        .strip_prefix("https://")
        .or_else(|| value.strip_prefix("http://"))?
        .strip_prefix(host)?;
    rest.starts_with('/').then_some(rest)
}

/// The attachment that a path leads to: `/web/image/5`, `/web/image/5-hash/name.png`,
/// `/web/content/5?download=true`, `/web/image/ir.attachment/5/datas`, `/web/content?id=5`.
fn attachment(path: &str) -> Option<i64> {
    let (path, query) = path.split_once('?').unwrap_or((path, ""));
    let path = path.split('#').next()?;
    let mut parts = path.split('/').skip(1);
    if parts.next() != Some("web") || !matches!(parts.next(), Some("image" | "content")) {
        return None;
    }
    match parts.next() {
        None | Some("") => {
            let of = |name: &str| {
                query
                    .split(['&', '#'])
                    .filter_map(|pair| pair.split_once('='))
                    .find_map(|(key, value)| (key == name).then_some(value))
            };
            if of("model").is_some_and(|model| model != "ir.attachment") {
                return None;
            }
            id(of("id")?)
        }
        Some("ir.attachment") => id(parts.next()?),
        Some(first) => id(first),
    }
}

/// `5`, or `5-` and a hash.
fn id(part: &str) -> Option<i64> {
    let digits = part.split('-').next()?;
    if digits.is_empty() || !digits.bytes().all(|byte| byte.is_ascii_digit()) {
        return None;
    }
    digits.parse().ok().filter(|id| *id > 0)
}

fn without_token(path: &str) -> String {
    let Some((path, query)) = path.split_once('?') else {
        return path.to_owned();
    };
    let kept: Vec<&str> = query
        .split('&')
        .filter(|pair| !pair.starts_with("access_token="))
        .collect();
    if kept.is_empty() {
        path.to_owned()
    } else {
        format!("{path}?{}", kept.join("&"))
    }
}

/// What HTML says: a line for each block, single spaces, no tags.
fn text(html: &str) -> String {
    let mut said = Lines::default();
    let mut rest = html;
    while let Some((before, tag)) = rest.split_once('<') {
        said.push(before);
        let (tag, after) = tag.split_once('>').unwrap_or((tag, ""));
        rest = after;
        let name = tag
            .trim_start_matches('/')
            .split(|letter: char| !letter.is_ascii_alphanumeric())
            .next()
            .unwrap_or_default();
        match name.to_ascii_lowercase().as_str() {
            "td" | "th" | "img" => said.space(),
            "a" | "b" | "i" | "u" | "s" | "em" | "strong" | "span" | "font" | "small" | "sub"
            | "sup" | "code" | "mark" | "abbr" | "del" | "ins" => {}
            _ => said.line(),
        }
    }
    said.push(rest);
    said.text
}

#[derive(Default)]
struct Lines {
    text: String,
    /// What is due before the next word.
    due: Option<char>,
}

impl Lines {
    fn space(&mut self) {
        self.due = self.due.or(Some(' '));
    }

    fn line(&mut self) {
        self.due = Some('\n');
    }

    fn push(&mut self, html: &str) {
        let mut rest = html;
        while let Some(first) = rest.chars().next() {
            let (letter, length) = match first {
                '&' => entity(rest),
                letter => (letter, letter.len_utf8()),
            };
            rest = rest.get(length..).unwrap_or_default();
            if letter.is_whitespace() {
                self.space();
            } else if letter != '\0' {
                if let Some(due) = self.due.take()
                    && !self.text.is_empty()
                {
                    self.text.push(due);
                }
                self.text.push(letter);
            }
        }
    }
}

/// The character that an entity stands for, and its length. The cleaned form has no others.
fn entity(html: &str) -> (char, usize) {
    [
        ("&amp;", '&'),
        ("&lt;", '<'),
        ("&gt;", '>'),
        ("&quot;", '"'),
        ("&#39;", '\''),
        ("&nbsp;", ' '),
    ]
    .into_iter()
    .find(|(name, _)| html.starts_with(name))
    .map_or(('&', 1), |(name, letter)| (letter, name.len()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const ODOO: &str = "https://my.odoo.com";

    /// A body of a message with the file 42.
    fn shown(body: &str) -> Shown {
        let files = Files {
            own: BTreeSet::from([42]),
            tokens: BTreeMap::from([(7, "8f2c".to_owned())]),
        };
        Cleaner::new(ODOO).show(body, files)
    }

    #[test]
    fn only_files_of_the_message_and_those_whose_token_it_has_are_referred_to() {
        for (body, wanted) in [
            (
                "<img src=\"/web/image/43\">",
                "<img src=\"https://my.odoo.com/web/image/43\">",
            ),
            (
                "<img src=\"/web/image/7?access_token=8f2d\">",
                "<img src=\"https://my.odoo.com/web/image/7\">",
            ),
            (
                "<img src=\"/web/image/43?access_token=8f2c\">",
                "<img src=\"https://my.odoo.com/web/image/43\">",
            ),
            (
                "<img src=\"/web/image/7?access_token=\">",
                "<img src=\"https://my.odoo.com/web/image/7\">",
            ),
            ("<img src=\"odoo-attachment:42\">", "<img>"),
            ("<img src=\" ODOO-attach&#10;ment&#58;42\">", "<img>"),
        ] {
            let shown = shown(body);
            assert_eq!(shown.html.as_deref(), Some(wanted), "{body}");
            assert_eq!(shown.attachments, [0i64; 0], "{body}");
        }
        let title = shown("<p title=\"odoo-attachment:42\">x</p>");
        assert_eq!(title.attachments, [0i64; 0]);
        let both = "<img src=\"/web/image/7?access_token=8f2c\"><a href=\"/web/content/42\">x</a>";
        assert_eq!(shown(both).attachments, [7, 42]);
        // Nothing of one body is left for the next.
        let cleaner = Cleaner::new(ODOO);
        let own = BTreeSet::from([42]);
        let files = Files {
            own,
            ..Files::default()
        };
        assert_eq!(cleaner.show(both, files).attachments, [42]);
        let next = cleaner.show(both, Files::default());
        assert_eq!(next.attachments, [0i64; 0]);
    }

    #[test]
    fn a_mention_is_a_link_to_its_record() {
        let body = "<p><a href=\"#\" data-oe-model=\"res.partner\" data-oe-id=\"7\">@Ada</a></p>";
        let html = shown(body).html.unwrap();
        assert!(
            html.contains("href=\"odoo-record:res.partner/7\""),
            "{html}"
        );
    }

    #[test]
    fn the_files_that_a_body_names_are_found_in_every_spelling() {
        for body in [
            "<img src=/web/image/42>",
            "<img src='https://my.odoo.com/web/content/42?download=true'>",
            "<a href=\"/web/content?model=ir.attachment&amp;id=42&amp;field=datas\">",
            "<img src=\"/web/image/42-8f2c1e/logo.png\">",
        ] {
            assert_eq!(named_files(body), [42], "{body}");
        }
        assert_eq!(
            named_files("/web/image/res.partner/42 /web/ /web"),
            [0i64; 0]
        );
        let many: Vec<String> = (1..6_000)
            .map(|id| format!("<img src=/web/image/{id}>"))
            .collect();
        let many = many.concat();
        assert_eq!(named_files(&many).len(), MAX_NAMED);
        let long = "/web/".repeat(300_000);
        assert_eq!(named_files(&long), [0i64; 0]);
    }

    #[test]
    fn nothing_that_acts_is_left() {
        for hostile in [
            "<script>alert(1)</script><p>hi</p>",
            "<img src=x onerror=alert(1)>",
            "<svg onload=alert(1)><animate href=#x attributeName=href values=javascript:alert(1)></svg>",
            "<a href=\"javascript:alert(1)\">x</a>",
            "<a href=\" java\nscript:alert(1)\">x</a>",
            "<a href=\"data:text/html,<script>alert(1)</script>\">x</a>",
            "<img src=\"data:image/svg+xml,<svg onload=alert(1)>\">",
            "<form action=https://evil.example><input name=password><button>go</button></form>",
            "<iframe src=https://evil.example></iframe><object data=x></object><embed src=x>",
            "<style>body{background:url(https://evil.example)}</style>",
            "<p style=\"background:url(javascript:alert(1))\">x</p>",
            "<math><mtext><table><mglyph><style><!--</style><img title=\"--&gt;&lt;img src=1 onerror=alert(1)&gt;\">",
            "<noscript><p title=\"</noscript><img src=x onerror=alert(1)>\">",
            "<base href=https://evil.example><meta http-equiv=refresh content=0><link rel=stylesheet href=x>",
        ] {
            let html = shown(hostile).html.unwrap();
            // What is left of them within texts and titles is escaped.
            let tags: Vec<&str> = html.split('<').skip(1).collect();
            for tag in tags {
                for acts in [
                    "script", "svg", "math", "form", "input", "button", "iframe", "object",
                    "embed", "style", "base", "meta", "link",
                ] {
                    assert!(!tag.starts_with(acts), "{hostile} → {html}");
                }
                let inside = tag.split('>').next().unwrap();
                for address in ["javascript:", "data:text", "svg+xml"] {
                    assert!(!inside.contains(address), "{hostile} → {html}");
                }
                // A title may say anything.
                let names: String = inside.split('"').step_by(2).collect();
                for handler in [" onerror=", " onload=", " style="] {
                    assert!(!names.contains(handler), "{hostile} → {html}");
                }
            }
        }
    }

    #[test]
    fn a_picture_of_odoo_becomes_a_reference_to_the_catalogue() {
        for address in [
            "/web/image/42",
            "/web/image/42?access_token=8f2c",
            "/web/image/42-8f2c1e/logo.png",
            "/web/image/42/300x300",
            "/web/content/42?download=true",
            "/web/content/ir.attachment/42/datas/logo.png",
            "/web/image/ir.attachment/42/datas",
            "/web/content?model=ir.attachment&id=42&field=datas",
            "/web/image?id=42",
            "https://my.odoo.com/web/image/42?access_token=8f2c",
            "http://my.odoo.com/web/content/42",
        ] {
            let shown = shown(&format!(
                "<p><img src=\"{}\"></p>",
                address.replace('&', "&amp;")
            ));
            assert_eq!(shown.attachments, [42], "{address}");
            assert_eq!(
                shown.html.as_deref(),
                Some("<p><img src=\"odoo-attachment:42\"></p>"),
                "{address}"
            );
        }
    }

    #[test]
    fn what_is_no_attachment_of_this_odoo_is_no_reference() {
        for (address, wanted) in [
            (
                "https://other.example/web/image/42",
                "https://other.example/web/image/42",
            ),
            (
                "https://my.odoo.com.evil.example/web/image/42",
                "https://my.odoo.com.evil.example/web/image/42",
            ),
            (
                "//other.example/web/image/42",
                "//other.example/web/image/42",
            ),
            (
                "/web/image/res.partner/42/image_128?access_token=8f2c",
                "https://my.odoo.com/web/image/res.partner/42/image_128",
            ),
            (
                "/web/image?model=res.partner&id=42&field=image_128",
                "https://my.odoo.com/web/image?model=res.partner&amp;id=42&amp;field=image_128",
            ),
            ("/web/image/42x", "https://my.odoo.com/web/image/42x"),
            (
                "/web/image/99999999999999999999",
                "https://my.odoo.com/web/image/99999999999999999999",
            ),
            ("data:image/png;base64,AAAA", "data:image/png;base64,AAAA"),
        ] {
            let shown = shown(&format!("<img src=\"{}\">", address.replace('&', "&amp;")));
            assert_eq!(shown.attachments, [0i64; 0], "{address}");
            assert_eq!(
                shown.html,
                Some(format!("<img src=\"{wanted}\">")),
                "{address}"
            );
        }
    }

    #[test]
    fn the_text_is_what_a_reader_sees() {
        let body = "<div><p>Dear  team,</p>\n<p>what about <b>offer</b>&nbsp;2 &amp; 3?</p><ul><li>a</li><li>b &lt; c</li></ul><table><tr><td>x</td><td>y</td></tr></table></div><script>no()</script>";
        assert_eq!(
            shown(body).text.as_deref(),
            Some("Dear team,\nwhat about offer 2 & 3?\na\nb < c\nx y")
        );
    }

    /// By the parser alone, each of these took minutes or all memory.
    #[test]
    fn a_body_that_is_made_to_cost_costs_no_more_than_others() {
        let each = |times: u32, tag: fn(u32) -> String| -> String { (0..times).map(tag).collect() };
        let attributes = each(200_000, |n| format!("a{n:x} "));
        let formatting = each(2_000, |n| format!("<b title={n}>"));
        let links = format!("<a href=\"/{}\">", "x".repeat(4_000));
        for body in [
            format!("<a {attributes}>x</a>"),
            format!("<p>{formatting}</p>{}", "<p>x</p>".repeat(1_900)),
            format!("<p>{links}</p>{}", "<p>x</p>".repeat(2_900)),
            "<!---->".repeat(250_000),
            "<p title='".repeat(100_000),
            "<title></title".repeat(100_000),
        ] {
            let begun = std::time::Instant::now();
            let shown = shown(&body);
            let took = begun.elapsed();
            let length = shown.html.map(|html| html.len()).unwrap_or_default();
            println!("{body:.20}: {took:?}, {length} bytes");
            assert!(length <= MAX_BYTES);
            // Hundreds of times what it takes, since machines differ.
            assert!(took.as_secs() < 20, "{took:?}");
        }
    }

    #[test]
    fn a_body_over_a_limit_is_left_out_and_says_why() {
        let large = shown(&"x".repeat(MAX_BYTES + 1));
        assert_eq!(large, Shown::too_large());
        let many = shown(&"<b>y".repeat(MAX_TAGS + 1));
        assert_eq!((many.html, many.omitted), (None, Some("too_complex")));
        assert!(many.text.is_some());
    }

    proptest! {
        #[test]
        fn no_body_makes_it_panic(body in ".*", tags in prop::collection::vec("<[/!a-z]{0,3}[a-z]{0,6}[ a-z=\"'/&;:]{0,12}>?", 0..20)) {
            shown(&body);
            shown(&tags.concat());
            text(&tags.concat());
            attachment(&body);
        }
    }
}
