//! The media type that an object gets.

/// The media type of unknown bytes.
const BYTES: &str = "application/octet-stream";

/// The longest type that is sent: a registered name has 127 characters on either side of the slash.
const LONGEST: usize = 255;

/// Odoo's media type if it is valid by RFC 9110 and no browser executes it, otherwise mere bytes. A `multipart` type
/// is never sent: Storage would unwrap the content and keep one of its parts (seen on storage-api 1.70). The
/// catalogue keeps the original type.
pub fn media_type(text: Option<&str>) -> &str {
    let text = text.unwrap_or_default().trim_matches([' ', '\t']);
    match parse(text) {
        Some((kind, subtype)) if text.len() <= LONGEST && !is_active(kind, subtype) => text,
        _ => BYTES,
    }
}

/// Whether a browser executes it when opened or embedded: HTML, any XML (SVG included), scripts, and unknown types,
/// which browsers guess (WHATWG, MIME Sniffing, 4.6 and 7).
fn is_active(kind: &str, subtype: &str) -> bool {
    let kind = kind.to_ascii_lowercase();
    let subtype = subtype.to_ascii_lowercase();
    let plain = subtype.strip_prefix("x-").unwrap_or(&subtype);
    if plain.ends_with("+xml")
        || ["javascript", "ecmascript"]
            .iter()
            .any(|s| plain.starts_with(s))
    {
        return true;
    }
    match kind.as_str() {
        "text" | "application" => matches!(
            plain,
            "html"
                | "xhtml"
                | "xml"
                | "xsl"
                | "xslt"
                | "svg"
                | "jscript"
                | "livescript"
                | "vbscript"
                | "component"
                | "scriptlet"
                | "server-parsed-html"
                | "hta"
                | "mimearchive"
                | "shockwave-flash"
                | "unknown"
        ),
        "image" => matches!(plain, "svg"),
        "message" => matches!(plain, "rfc822" | "global"),
        "unknown" => true,
        _ => false,
    }
}

/// Parses `type/subtype` and its parameters, each after a semicolon.
fn parse(text: &str) -> Option<(&str, &str)> {
    let (kind, rest) = token(text)?;
    let (subtype, mut rest) = token(rest.strip_prefix('/')?)?;
    // A range of types is not a type.
    if kind.eq_ignore_ascii_case("multipart") || kind.contains('*') || subtype.contains('*') {
        return None;
    }
    while !rest.is_empty() {
        let parameter = space(space(rest).strip_prefix(';')?);
        let (_, value) = token(parameter)?;
        let value = value.strip_prefix('=')?;
        (_, rest) = token(value).or_else(|| quoted(value))?;
    }
    Some((kind, subtype))
}

fn space(text: &str) -> &str {
    text.trim_start_matches([' ', '\t'])
}

/// Splits off a token.
fn token(text: &str) -> Option<(&str, &str)> {
    let is_part = |c: char| c.is_ascii_alphanumeric() || "!#$%&'*+-.^_`|~".contains(c);
    let end = text.find(|c| !is_part(c)).unwrap_or(text.len());
    text.split_at_checked(end)
        .filter(|(token, _)| !token.is_empty())
}

/// Splits off a quoted string.
fn quoted(text: &str) -> Option<(&str, &str)> {
    let inside = text.strip_prefix('"')?;
    let mut escaped = false;
    for (at, c) in inside.char_indices() {
        match c {
            ' '..='~' | '\t' if escaped => escaped = false,
            '\\' => escaped = true,
            '"' => return inside.split_at_checked(at + 1),
            ' '..='~' | '\t' => {}
            _ => return None,
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn only_a_media_type_of_the_standard_is_sent() {
        for same in [
            "application/pdf",
            "text/plain; charset=utf-8",
            "text/plain;charset=\"utf-8\" ; format=flowed",
            "application/vnd.openxmlformats-officedocument.wordprocessingml.document",
            "a/b; c=\"d\\\"; e\"",
        ] {
            assert_eq!(media_type(Some(same)), same);
        }
        for none in [
            "",
            "pdf",
            "/",
            "a/",
            "/b",
            "a/b/c",
            "*/*",
            "image/*",
            "not a/mime type; x=\"y\"",
            "image/jpeg, image/png",
            "application/x foo",
            "text/plain;",
            "text/plain; charset",
            "text/plain; charset=",
            "text/plain; charset=\"utf-8",
            "text/plain; charset=\"utf-8\" x",
            "text/html\r\nx-evil: 1",
            "größe/ß",
            "multipart/form-data; boundary=xyz",
            "Multipart/Mixed",
            "multipart/x",
        ] {
            assert_eq!(media_type(Some(none)), BYTES, "{none}");
        }
        assert_eq!(media_type(None), BYTES);
        assert_eq!(media_type(Some(" text/css\t")), "text/css");
        assert_eq!(media_type(Some(&format!("a/{}", "b".repeat(254)))), BYTES);
    }

    /// Each active type with harmless ones like it.
    #[test]
    fn what_a_browser_would_run_is_sent_as_mere_bytes() {
        for active in [
            "text/html",
            "TEXT/Html; charset=\"utf-8\"",
            "application/xhtml+xml",
            "application/vnd.wap.xhtml+xml",
            "image/svg+xml",
            "Image/SVG+XML ;charset=utf-8",
            "image/svg",
            "text/xml",
            "application/xml;charset=utf-8",
            "application/rss+xml",
            "application/mathml+xml",
            "model/x3d+xml",
            "text/xsl",
            "application/xslt+xml",
            "text/javascript",
            "text/javascript1.5",
            "application/javascript",
            "application/x-javascript",
            "application/ecmascript",
            "text/jscript",
            "text/livescript",
            "text/vbscript",
            "text/x-component",
            "application/hta",
            "application/x-mimearchive",
            "message/rfc822",
            "application/x-shockwave-flash",
            "application/unknown",
            "unknown/unknown",
        ] {
            assert_eq!(media_type(Some(active)), BYTES, "{active}");
        }
        for shown in [
            "text/plain",
            "text/css",
            "text/csv",
            "text/markdown",
            "text/calendar",
            "application/json",
            "application/ld+json",
            "application/pdf",
            "application/zip",
            "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet",
            "application/msword",
            "image/png",
            "image/webp",
            "video/mp4",
            "audio/mpeg",
            "message/delivery-status",
        ] {
            assert_eq!(media_type(Some(shown)), shown);
        }
    }

    proptest! {
        #[test]
        fn what_is_sent_is_a_media_type_and_never_multipart(text in "[a-z*]{0,12}[/ ,;]?[a-zA-Z/;=\"\\\\ \t\r\n,é-]{0,40}") {
            let sent = media_type(Some(&text));
            prop_assert!(sent == BYTES || sent == text.trim_matches([' ', '\t']));
            prop_assert_eq!(media_type(Some(sent)), sent);
            prop_assert!(!sent.to_ascii_lowercase().starts_with("multipart"));
            prop_assert!(sent.bytes().all(|b| matches!(b, b'\t' | b' '..=b'~')));
            let (kind, rest) = sent.split_once('/').unwrap();
            prop_assert!(!kind.is_empty() && !kind.contains([' ', ';', '"', ',']));
            let subtype = rest.split(';').next().unwrap().trim_end();
            prop_assert!(!subtype.is_empty() && !subtype.contains([' ', '"', ',', '/']));
        }

        #[test]
        fn every_media_type_is_sent_as_it_is(
            kind in "[a-z]{1,10}", subtype in "[a-z0-9.+-]{1,20}", name in "[a-z]{1,8}", value in "[a-z0-9-]{1,8}", quotes: bool,
        ) {
            prop_assume!(kind != "multipart" && !is_active(&kind, &subtype));
            let value = if quotes { format!("\"{value} \"") } else { value };
            let text = format!("{kind}/{subtype}; {name}={value}");
            prop_assert_eq!(media_type(Some(&text)), &text);
        }

        #[test]
        fn no_text_makes_it_panic(text in ".*") {
            media_type(Some(&text));
        }
    }
}
