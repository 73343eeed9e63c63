//! The files of the card, compiled into the component, and the security headers that they are served with.

use std::borrow::Cow;
use std::hash::{DefaultHasher, Hasher};

use http::header::{
    ACCESS_CONTROL_ALLOW_ORIGIN, CACHE_CONTROL, CONTENT_SECURITY_POLICY, REFERRER_POLICY, VARY,
};
use http::{HeaderName, HeaderValue};
use platform::{Answer, document, unless_known};

const HTML: &str = "text/html; charset=utf-8";
const JAVASCRIPT: &str = "text/javascript; charset=utf-8";
const CSS: &str = "text/css; charset=utf-8";
// As `text/plain`, which browsers show instead of downloading.
const TEXT: &str = "text/plain; charset=utf-8";
const SVG: &str = "image/svg+xml";
const JSON: &str = "application/schema+json";

/// A file: path, content type, bytes.
pub type Asset = (&'static str, &'static str, &'static [u8]);

const ASSETS: [Asset; 18] = [
    ("/", HTML, include_bytes!("../assets/index.html")),
    (
        "/card/page.js",
        JAVASCRIPT,
        include_bytes!("../assets/page.js"),
    ),
    ("/card/page.css", CSS, include_bytes!("../assets/page.css")),
    (
        "/card/card.js",
        JAVASCRIPT,
        include_bytes!("../assets/card.js"),
    ),
    ("/card/card.css", CSS, include_bytes!("../assets/card.css")),
    (
        "/card/dom.js",
        JAVASCRIPT,
        include_bytes!("../assets/dom.js"),
    ),
    (
        "/card/poll.js",
        JAVASCRIPT,
        include_bytes!("../assets/poll.js"),
    ),
    (
        "/card/template.js",
        JAVASCRIPT,
        include_bytes!("../assets/template.js"),
    ),
    (
        "/card/view.js",
        JAVASCRIPT,
        include_bytes!("../assets/view.js"),
    ),
    (
        "/card/words.js",
        JAVASCRIPT,
        include_bytes!("../assets/words.js"),
    ),
    // The card links to it before anything is set up.
    ("/setup.md", TEXT, include_bytes!("../../../docs/setup.md")),
    (
        "/certificate",
        HTML,
        include_bytes!("../assets/certificate.html"),
    ),
    (
        "/card/certificate.js",
        JAVASCRIPT,
        include_bytes!("../assets/certificate.js"),
    ),
    (
        "/card/certificate.css",
        CSS,
        include_bytes!("../assets/certificate.css"),
    ),
    ("/files", HTML, include_bytes!("../assets/files.html")),
    (
        "/card/files.js",
        JAVASCRIPT,
        include_bytes!("../assets/files.js"),
    ),
    ("/card/icon.svg", SVG, include_bytes!("../assets/icon.svg")),
    (
        "/status.schema.json",
        JSON,
        include_bytes!("../status.schema.json"),
    ),
];

/// The file for a path.
pub fn asset(path: &str) -> Option<Asset> {
    let path = if path == "/index.html" { "/" } else { path };
    ASSETS.into_iter().find(|(of, ..)| *of == path)
}

/// The request for a file.
pub struct AssetRequest<'a> {
    /// The origins that may show the page in a frame; an invalid value allows none.
    pub frame_ancestors: &'a str,
    /// The origins of those that may also hand the page a token.
    pub token_origins: Vec<String>,
    /// `Sec-Fetch-Site`: whether a page of another site led here.
    pub site: Option<&'a str>,
    /// `If-None-Match`: the `ETag` of the client's copy.
    pub known: Option<&'a str>,
}

/// The response with a file.
pub fn answer((path, content_type, bytes): Asset, visit: &AssetRequest<'_>) -> Answer {
    let bytes = if path == "/" {
        Cow::Owned(page(bytes, visit))
    } else {
        Cow::Borrowed(bytes)
    };
    let mut hasher = DefaultHasher::new();
    hasher.write(&bytes);
    let tag = format!("\"{:016x}\"", hasher.finish());
    let file = document(content_type, bytes.into_owned());
    let mut answer = unless_known(file, &tag, visit.known);
    let headers = answer.headers_mut();
    headers.insert(VARY, HeaderValue::from_static("Sec-Fetch-Site"));
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("public, no-cache"));
    // Module scripts are fetched with CORS, and these files contain no private data.
    headers.insert(ACCESS_CONTROL_ALLOW_ORIGIN, HeaderValue::from_static("*"));
    headers.insert(
        HeaderName::from_static("cross-origin-resource-policy"),
        HeaderValue::from_static("cross-origin"),
    );
    headers.insert(REFERRER_POLICY, HeaderValue::from_static("no-referrer"));
    headers.insert(CONTENT_SECURITY_POLICY, policy(visit.frame_ancestors));
    answer
}

/// Adds to the HTML whether another site led to the page, and which origins may hand it a token.
fn page(html: &[u8], visit: &AssetRequest<'_>) -> Vec<u8> {
    let mut told = String::from("<html");
    // `none` means typed or a bookmark; browsers from before 2023 do not send the header.
    if !matches!(visit.site, None | Some("none" | "same-origin")) {
        told.push_str(" data-from-elsewhere");
    }
    let is_plain = |origin: &&String| {
        origin
            .bytes()
            .all(|b| b.is_ascii_graphic() && !b"\"&<>".contains(&b))
    };
    let origins = visit.token_origins.iter().filter(is_plain);
    let origins: Vec<&str> = origins.map(String::as_str).collect();
    if !origins.is_empty() {
        told = format!("{told} data-token-origins=\"{}\"", origins.join(" "));
    }
    String::from_utf8_lossy(html)
        .replacen("<html", &told, 1)
        .into_bytes()
}

/// The Content-Security-Policy: only the component's own files and status, nothing inline.
fn policy(frame_ancestors: &str) -> HeaderValue {
    const REST: &str = "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; \
        base-uri 'none'; form-action 'none'; frame-ancestors ";
    let ancestors = frame_ancestors.trim();
    // A `;` or `,` would start another directive or policy.
    let usable = !ancestors.is_empty() && !ancestors.contains([';', ',']);
    let ancestors = if usable { ancestors } else { "'none'" };
    HeaderValue::from_str(&format!("{REST}{ancestors}")).unwrap_or(HeaderValue::from_static(
        "default-src 'none'; frame-ancestors 'none'",
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_may_frame_the_card_cannot_change_the_rest_of_the_policy() {
        let policy_of = |ancestors| policy(ancestors).to_str().unwrap_or_default().to_owned();
        assert!(
            policy_of("'self' https://admin.example.com")
                .ends_with("frame-ancestors 'self' https://admin.example.com")
        );
        for unusable in ["", "*; script-src *", "a, b", "line\nbreak"] {
            let policy = policy_of(unusable);
            assert!(
                policy.ends_with("frame-ancestors 'none'") && !policy.contains("script-src *"),
                "{policy}"
            );
        }
    }

    #[test]
    fn the_page_is_told_who_led_to_it_and_who_may_hand_it_a_token() {
        let told = |site, origins: &[&str]| {
            let visit = AssetRequest {
                frame_ancestors: "'self'",
                token_origins: origins.iter().map(|origin| (*origin).to_owned()).collect(),
                site,
                known: None,
            };
            let html = String::from_utf8(page(b"<!doctype html><html lang=\"en\">", &visit));
            html.unwrap_or_default()
        };
        for site in [None, Some("none"), Some("same-origin")] {
            assert_eq!(told(site, &[]), "<!doctype html><html lang=\"en\">");
        }
        for site in ["cross-site", "same-site", "anything"] {
            assert!(told(Some(site), &[]).contains("<html data-from-elsewhere lang"));
        }
        let origins = [
            "https://a.example",
            "\"><script>",
            "https://b.example:8443",
            "x y",
        ];
        assert!(told(None, &origins).contains(
            "<html data-token-origins=\"https://a.example https://b.example:8443\" lang"
        ));
    }

    #[test]
    fn the_files_hold_nothing_inline_and_nothing_from_elsewhere() {
        for (path, content_type, bytes) in ASSETS {
            let text = String::from_utf8_lossy(bytes);
            if content_type == HTML {
                assert!(
                    !text.contains("<style")
                        && !text.contains(" style=")
                        && !text.contains(" onload="),
                    "{path}"
                );
                assert!(
                    text.matches("<script").count()
                        == text.matches("<script type=\"module\" src=").count(),
                    "{path}"
                );
            }
            if content_type == JAVASCRIPT {
                assert!(
                    !text.contains("eval(") && !text.contains("outerHTML"),
                    "{path}"
                );
                assert!(
                    !text.contains("import(\"http") && !text.contains("from \"http"),
                    "{path}"
                );
            }
        }
    }
}
