//! Bodies of messages: HTML that anybody may have written who can send a mail.

use std::cell::RefCell;
use std::collections::HashSet;

use html5ever::tendril::StrTendril;
use html5ever::tokenizer::{
    BufferQueue, Tag, TagKind, Token, TokenSink, TokenSinkResult, Tokenizer, TokenizerOpts,
};
use odoo::records::Record;
use serde_json::{Value, json};
use sync::chatter::CHATTER;
use sync::{Known, Settings};

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

/// A body that Odoo gives for a message.
pub fn chatter_bodies(data: &[u8]) {
    let body = String::from_utf8_lossy(data);
    let message = shown(&body);
    assert_eq!(message, shown(&body), "the same body, shown differently");
    let text = |column: &str| message.get(column).and_then(Value::as_str);
    if let Some(html) = text("body_html") {
        assert!(html.len() <= MAX_SHOWN);
        does_nothing(html);
        let ids = message["inline_attachment_ids"].as_array().unwrap();
        let ids: Vec<i64> = ids.iter().filter_map(Value::as_i64).collect();
        assert!(ids.is_sorted_by(|one, next| one < next) && ids.iter().all(|id| *id > 0));
        for id in ids {
            assert!(
                html.contains(&format!("=\"odoo-attachment:{id}")),
                "{id} is not in it"
            );
        }
    }
    if let Some(text) = text("body_text") {
        assert!(!text.contains('\0') && text.len() <= 4096 + body.len());
    }
    assert!(text("body_omitted").is_some() || text("body_html").is_some());
}

fn shown(body: &str) -> Record {
    let settings = Settings {
        odoo: odoo::Settings {
            url: "https://my.odoo.com".to_owned(),
            ..odoo::Settings::default()
        },
        ..Settings::default()
    };
    let messages = CHATTER
        .entities
        .iter()
        .find(|entity| entity.name == "messages");
    let refine = messages.unwrap().particular.unwrap().refine;
    let mut record = Record::new();
    record.insert("body".to_owned(), json!(body));
    refine(&settings)(&mut record, &Known::new());
    record
}

/// By the reading of a browser, HTML holds none but harmless elements and attributes.
fn does_nothing(html: &str) {
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
                    check_attributes(&tag, &harmless, html);
                }
            }
            Token::CommentToken(_) | Token::DoctypeToken(_) => panic!("more than tags in {html}"),
            _ => {}
        }
    }
}

fn check_attributes(tag: &Tag, harmless: &HashSet<&str>, html: &str) {
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
