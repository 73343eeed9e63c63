//! HTML of messages, leads, partners and custom fields: anybody may have written it who can send a mail.

use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet, HashSet};

use html5ever::tendril::StrTendril;
use html5ever::tokenizer::{
    BufferQueue, Tag, TagKind, Token, TokenSink, TokenSinkResult, Tokenizer, TokenizerOpts,
};
use sync::html::{Cleaner, Files};

/// Elements that show something and do nothing.
const SHOWN: &str = "a abbr acronym area article aside b bdi bdo blockquote br caption center cite code \
    col colgroup data dd del details dfn div dl dt em figcaption figure footer h1 h2 h3 h4 h5 h6 header \
    hgroup hr i img ins kbd li map mark nav ol p pre q rp rt rtc ruby s samp small span strike strong \
    sub summary sup table tbody td th thead time tr tt u ul var wbr";

/// Attributes that show something and do nothing, beside those with an address.
const HARMLESS: &str = "lang title hreflang dir datetime align char charoff span size width height alt \
    start summary colspan rowspan headers scope rel";

/// The longest form that is shown, in bytes.
const MAX_SHOWN: usize = 2 * 1024 * 1024;

/// HTML that Odoo gives, with pictures of others shown and held.
pub fn chatter_bodies(data: &[u8]) {
    let given = String::from_utf8_lossy(data);
    for hold in [false, true] {
        let cleaner = Cleaner::new("https://my.odoo.com", hold);
        let files = Files {
            own: BTreeSet::from([42]),
            tokens: BTreeMap::from([(7, "8f2c".to_owned())]),
        };
        let shown = cleaner.show(&given, files.clone());
        assert_eq!(shown, cleaner.show(&given, files), "shown differently");
        if let Some(html) = &shown.html {
            assert!(html.len() <= MAX_SHOWN);
            does_nothing(html, hold);
            assert!(shown.attachments.iter().all(|id| [7, 42].contains(id)));
            for id in &shown.attachments {
                let reference = format!("=\"odoo-attachment:{id}\"");
                assert!(html.contains(&reference), "{id} is not in it");
            }
        }
        if let Some(text) = &shown.text {
            assert!(!text.contains('\0') && text.len() <= 4096 + given.len());
        }
        assert!(shown.omitted.is_some() || shown.html.is_some());
    }
}

/// By the reading of a browser, HTML holds none but harmless elements and attributes.
fn does_nothing(html: &str, hold: bool) {
    let input = BufferQueue::default();
    input.push_back(StrTendril::from(html));
    let tokenizer = Tokenizer::new(Seen::default(), TokenizerOpts::default());
    let _ = tokenizer.feed(&input);
    tokenizer.end();
    let shown: HashSet<&str> = SHOWN.split_whitespace().collect();
    let harmless: HashSet<&str> = HARMLESS.split_whitespace().collect();
    for token in tokenizer.sink.0.into_inner() {
        match token {
            Token::TagToken(tag) => {
                assert!(shown.contains(&*tag.name), "<{}> in {html}", tag.name);
                if tag.kind == TagKind::StartTag {
                    check_attributes(&tag, &harmless, hold, html);
                }
            }
            Token::CommentToken(_) | Token::DoctypeToken(_) => panic!("more than tags in {html}"),
            _ => {}
        }
    }
}

fn check_attributes(tag: &Tag, harmless: &HashSet<&str>, hold: bool, html: &str) {
    for attribute in &tag.attrs {
        let name = &*attribute.name.local;
        match name {
            "href" | "src" | "cite" => {
                // As browsers do (WHATWG URL, 4.4): nothing before it, no tab or line break within.
                let address = attribute.value.trim_start_matches(|letter| letter <= ' ');
                let address = address.replace(['\t', '\n', '\r'], "").to_ascii_lowercase();
                for scheme in ["javascript:", "vbscript:", "file:", "blob:", "filesystem:"] {
                    assert!(!address.starts_with(scheme), "{address} in {html}");
                }
                let picture = &*tag.name == "img"
                    && ["png", "jpeg", "jpg", "gif", "webp"].iter().any(|kind| {
                        let rest = address.strip_prefix(&format!("data:image/{kind}"));
                        rest.is_some_and(|rest| rest.is_empty() || rest.starts_with([';', ',']))
                    });
                assert!(
                    picture || !address.starts_with("data:"),
                    "{address} in {html}"
                );
                // What stands without a scheme leads to the page that shows it; an anchor stays on it.
                let has_scheme = address.find(':').is_some_and(|end| {
                    address[..end]
                        .bytes()
                        .all(|b| b.is_ascii_alphanumeric() || b"+-.".contains(&b))
                });
                assert!(
                    has_scheme || address.starts_with('#'),
                    "{address} in {html}"
                );
                let loads = name == "src" && address.starts_with("http");
                assert!(!(hold && loads), "{address} is loaded: {html}");
            }
            _ => assert!(harmless.contains(name), "{name} in {html}"),
        }
    }
}

#[derive(Default)]
struct Seen(RefCell<Vec<Token>>);

impl TokenSink for Seen {
    type Handle = ();

    fn process_token(&self, token: Token, _: u64) -> TokenSinkResult<()> {
        // Errors of form are no matter: `&` may stand alone.
        if !matches!(token, Token::ParseError(_)) {
            self.0.borrow_mut().push(token);
        }
        TokenSinkResult::Continue
    }
}
