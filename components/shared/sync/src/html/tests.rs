//! What remains of hostile HTML, and its plain text.

use std::collections::{BTreeMap, BTreeSet};

use super::*;
use proptest::prelude::*;

const ODOO: &str = "https://my.odoo.com";

/// The cleaned body of a message with the file 42.
fn shown(body: &str) -> Shown {
    let files = Files {
        own: BTreeSet::from([42]),
        tokens: BTreeMap::from([(7, "8f2c".to_owned())]),
    };
    Cleaner::new(ODOO, false).show(body, files)
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
    // Nothing of one body leaks into the next.
    let cleaner = Cleaner::new(ODOO, false);
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
fn nothing_that_acts_is_left() {
    for hostile in [
        "<script>alert(1)</script><p>hi</p>",
        "<img src=x onerror=alert(1)>",
        "<svg onload=alert(1)><animate href=#x attributeName=href values=javascript:alert(1)></svg>",
        "<a href=\"javascript:alert(1)\">x</a>",
        "<a href=\" java\nscript:alert(1)\">x</a>",
        "<a href=\"data:text/html,<script>alert(1)</script>\">x</a>",
        "<a href=\"da\nta:text/html,<script>alert(1)</script>\">x</a>",
        "<a href=\"da&#10;t&Tab;a:text/html,<script>alert(1)</script>\">x</a>",
        "<img src=\"\tda\rta:image/svg+xml,<svg onload=alert(1)>\">",
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
        // Remains within texts and titles are escaped.
        let tags: Vec<&str> = html.split('<').skip(1).collect();
        for tag in tags {
            for acts in [
                "script", "svg", "math", "form", "input", "button", "iframe", "object", "embed",
                "style", "base", "meta", "link",
            ] {
                assert!(!tag.starts_with(acts), "{hostile} → {html}");
            }
            let inside = tag.split('>').next().unwrap();
            let inside = inside.replace(['\n', '\t', '\r'], "");
            for address in ["javascript:", "data:text", "svg+xml"] {
                assert!(!inside.contains(address), "{hostile} → {html}");
            }
            // A title may contain anything.
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
            "https://other.example/web/image/42",
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

/// With the parser alone, each of these took minutes or all memory.
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
        // Hundreds of times the usual time, since machines differ.
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

#[test]
fn a_record_has_the_clean_forms_of_all_its_html_beside_it() {
    let leads = crate::crm::CRM.entities.iter();
    let leads = leads.into_iter().find(|one| one.name == "leads").unwrap();
    let marked = |field: &str, column, is_html| Marked {
        field: field.to_owned(),
        column,
        is_html,
    };
    let cleaner = Cleaner::new(ODOO, false);
    let refined = |mut record: Value, marked: &[Marked]| {
        let record = record.as_object_mut().unwrap();
        cleaner.refine(record, marked, leads);
        record.clone()
    };
    let fields = [
        marked("description", Some("description"), true),
        marked("x_notes", None, true),
        marked("x_none", None, true),
    ];
    let place = |id, res_id| json!({"id": id, "res_model": "crm.lead", "res_id": res_id, "access_token": false});
    let hostile = "<p>a</p><script>b</script><img src=/web/image/42><img src=/web/image/43>";
    let row = refined(
        json!({"id": 5, "description": hostile, "x_notes": "<i onclick=x>c</i><a href=/web/content/41>d</a>",
            "x_none": false, crate::entity::FILES: [place(41, 5), place(42, 5), place(43, 6)]}),
        &fields,
    );
    assert_eq!(row["description"], hostile);
    assert_eq!(
        row["description_html"],
        "<p>a</p><img src=\"odoo-attachment:42\"><img src=\"https://my.odoo.com/web/image/43\">"
    );
    assert_eq!(
        (&row["description_text"], &row["description_omitted"]),
        (&json!("a"), &json!(null))
    );
    assert_eq!(
        row[CUSTOM],
        json!({"x_notes": {
            "html": "<i>c</i><a href=\"odoo-attachment:41\" rel=\"noopener noreferrer\">d</a>", "text": "cd", "omitted": null, "attachments": [41],
        }})
    );
    assert_eq!(row["inline_attachment_ids"], json!([41, 42]));
    // Plain text, as in Odoo 14; a text too long to be read with its record; and no text.
    let text = [marked("description", Some("description"), false)];
    let row = refined(json!({"id": 5, "description": "1 < 2\n<b>"}), &text);
    assert_eq!(row["description_html"], "1 &lt; 2<br>\n&lt;b&gt;");
    assert_eq!(row["description_text"], "1 < 2\n<b>");
    let row = refined(json!({"id": 5}), &fields);
    assert_eq!(row["description_omitted"], "too_large");
    let row = refined(json!({"id": 5, "description": false}), &fields);
    assert_eq!(
        (&row["description_html"], &row["description_omitted"]),
        (&json!(null), &json!(null))
    );
}

proptest! {
    #[test]
    fn no_body_makes_it_panic(body in ".*", tags in prop::collection::vec("<[/!a-z]{0,3}[a-z]{0,6}[ a-z=\"'/&;:]{0,12}>?", 0..20)) {
        shown(&body);
        shown(&tags.concat());
    }
}
