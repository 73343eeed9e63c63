//! Rewrites addresses within HTML. The URL parser that browsers follow decides what an address is, never its
//! spelling: `da\nta:` is `data:`.

use std::collections::BTreeSet;

use url::{Position, Url};

use super::files::Files;

/// A file of Odoo: `odoo-attachment:<id>`, an id of `public.odoo_attachments`.
const ATTACHMENT: &str = "odoo-attachment";
/// An image on a foreign server that loads only if the reader wants it: `remote-image:https://…`.
const REMOTE: &str = "remote-image";
/// A record of Odoo, as written by [`super::markup`].
pub(super) const RECORD: &str = "odoo-record";

/// Image types that cannot contain scripts, for images within `data:` addresses.
const PICTURES: [&str; 5] = ["png", "jpeg", "jpg", "gif", "webp"];

/// The files that one text may refer to, and those that it does refer to.
#[derive(Debug, Default)]
pub(super) struct References {
    pub may: Files,
    pub are: BTreeSet<i64>,
}

/// Resolves addresses that name no host.
#[derive(Debug)]
pub(super) struct Addresses {
    pub odoo: Option<Url>,
    /// Whether remote images are held back.
    pub hold_remote_images: bool,
}

impl Addresses {
    /// Turns an address into one that outlives Odoo where there is one. Other addresses of Odoo become absolute and
    /// lose their access tokens. Our own schemes are never accepted as input.
    pub(super) fn mend(
        &self,
        element: &str,
        attribute: &str,
        value: &str,
        references: &mut References,
    ) -> Option<String> {
        let alone = Url::parse(value);
        let is_whole = alone.is_ok();
        let url = alone
            .ok()
            .or_else(|| self.odoo.as_ref()?.join(value).ok())?;
        let is_picture = element == "img" && attribute == "src";
        match url.scheme() {
            ATTACHMENT | REMOTE => None,
            RECORD => is_record(url.path()).then(|| format!("{RECORD}:{}", url.path())),
            "data" => (is_picture && is_safe_picture(url.path())).then(|| value.to_owned()),
            "http" | "https" if self.is_odoos(&url) => {
                if value.trim_start().starts_with('#') {
                    return Some(value.to_owned());
                }
                let path = &url[Position::BeforePath..];
                if let Some(id) = attachment(path).filter(|id| references.may.has(*id, token(path)))
                {
                    references.are.insert(id);
                    return Some(format!("{ATTACHMENT}:{id}"));
                }
                let odoo = self.odoo.as_ref()?.origin().ascii_serialization();
                Some(self.held(is_picture, format!("{odoo}{}", without_token(path))))
            }
            "http" | "https" => {
                let address = if is_whole {
                    value.to_owned()
                } else {
                    url.to_string()
                };
                Some(self.held(is_picture, address))
            }
            _ => is_whole.then(|| value.to_owned()),
        }
    }

    fn held(&self, is_picture: bool, address: String) -> String {
        if is_picture && self.hold_remote_images {
            format!("{REMOTE}:{}", address.trim())
        } else {
            address
        }
    }

    /// Ignores the scheme: links in old mails often predate TLS.
    fn is_odoos(&self, url: &Url) -> bool {
        self.odoo.as_ref().is_some_and(|odoo| {
            (odoo.host_str(), odoo.port()) == (url.host_str(), url.port())
                && url.username().is_empty()
        })
    }
}

fn is_safe_picture(data: &str) -> bool {
    let kind = data.split([';', ',']).next().unwrap_or_default().trim();
    let picture = kind.to_ascii_lowercase();
    picture
        .strip_prefix("image/")
        .is_some_and(|kind| PICTURES.contains(&kind))
}

/// Whether a path looks like `res.partner/7`.
fn is_record(path: &str) -> bool {
    let of_model = |letter: char| letter.is_ascii_alphanumeric() || matches!(letter, '.' | '_');
    path.split_once('/').is_some_and(|(model, number)| {
        let number = number.parse::<i64>();
        let begins = model.starts_with(|letter: char| letter.is_ascii_alphabetic());
        begins && model.chars().all(of_model) && number.is_ok_and(|id| id > 0)
    })
}

/// The access token in a path.
fn token(path: &str) -> Option<&str> {
    let (_, query) = path.split_once('?')?;
    query
        .split(['&', '#'])
        .find_map(|pair| pair.strip_prefix("access_token="))
}

/// The attachment that a path leads to: `/web/image/5`, `/web/image/5-hash/name.png`, `/web/content/5?download=true`,
/// `/web/image/ir.attachment/5/datas`, `/web/content?id=5`.
pub(super) fn attachment(path: &str) -> Option<i64> {
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

/// Parses `5`, or `5-` followed by a hash.
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

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::collections::BTreeMap;

    /// The address as shown in this place, in a text with the file 42.
    fn mended(element: &str, attribute: &str, value: &str, hold: bool) -> Option<String> {
        let addresses = Addresses {
            odoo: Url::parse("https://my.odoo.com").ok(),
            hold_remote_images: hold,
        };
        let mut references = References {
            may: Files {
                own: BTreeSet::from([42]),
                tokens: BTreeMap::new(),
            },
            are: BTreeSet::new(),
        };
        addresses.mend(element, attribute, value, &mut references)
    }

    #[test]
    fn a_scheme_is_what_a_browser_reads_and_not_how_it_is_spelled() {
        for hostile in [
            "data:text/html,<script>x</script>",
            "da\nta:text/html,<script>x</script>",
            " d\ta\rta\n:text/html,x",
            "\u{1}\u{1f} DATA:text/html;base64,AAAA",
            "data:image/svg+xml,<svg>",
            "data:image/png,x",
            "odoo-attachment:42",
            " ODOO-attach\nment:42",
            "remote-image:https://evil.example/x.png",
            "odoo-record:../7",
            "odoo-record:res.partner/7/../x",
        ] {
            assert_eq!(mended("a", "href", hostile, false), None, "{hostile:?}");
        }
        for hostile in [
            "da\nta:text/html,x",
            "da\nta:image/svg+xml,<svg>",
            "data:,x",
        ] {
            assert_eq!(mended("img", "src", hostile, false), None, "{hostile:?}");
        }
        let picture = "data:image/PNG;base64,AAAA";
        for hold in [false, true] {
            let shown = mended("img", "src", picture, hold);
            assert_eq!(shown.as_deref(), Some(picture));
        }
        let record = mended("a", "href", "odoo-record:res.partner/7?x", false);
        assert_eq!(record.as_deref(), Some("odoo-record:res.partner/7"));
    }

    #[test]
    fn where_an_address_leads_is_what_a_browser_reads() {
        for (value, wanted) in [
            ("/web/image/42", "odoo-attachment:42"),
            ("\\web/x/../image\\42", "odoo-attachment:42"),
            ("HTTPS://MY.ODOO.COM:443/web/image/42", "odoo-attachment:42"),
            (
                "/web/image/43?access_token=8f2c&a=1",
                "https://my.odoo.com/web/image/43?a=1",
            ),
            ("logo.png", "https://my.odoo.com/logo.png"),
            ("?debug=1", "https://my.odoo.com/?debug=1"),
            ("#top", "#top"),
            (
                "/\\evil.example/web/image/42",
                "https://evil.example/web/image/42",
            ),
            ("/\t/evil.example/x", "https://evil.example/x"),
            (
                "https://my.odoo.com@evil.example/web/image/42",
                "https://my.odoo.com@evil.example/web/image/42",
            ),
            (
                "https://my.odoo.com:444/web/image/42",
                "https://my.odoo.com:444/web/image/42",
            ),
            ("mailto:ada@example.com", "mailto:ada@example.com"),
        ] {
            let shown = mended("a", "href", value, true);
            assert_eq!(shown.as_deref(), Some(wanted), "{value}");
        }
        assert_eq!(mended("a", "href", "https://[::1", false), None);
    }

    #[test]
    fn remote_pictures_can_be_left_to_the_reader() {
        for (value, held) in [
            (
                "https://evil.example/pixel.gif?who=7",
                "remote-image:https://evil.example/pixel.gif?who=7",
            ),
            (
                " //evil.example/pixel.gif",
                "remote-image:https://evil.example/pixel.gif",
            ),
            (
                "/web/image/43",
                "remote-image:https://my.odoo.com/web/image/43",
            ),
            ("x.png", "remote-image:https://my.odoo.com/x.png"),
            ("/web/image/42", "odoo-attachment:42"),
        ] {
            let shown = mended("img", "src", value, true);
            assert_eq!(shown.as_deref(), Some(held), "{value}");
            let link = mended("a", "href", value, true).unwrap();
            assert!(!link.starts_with("remote-image:"), "{link}");
            let kept = mended("img", "src", value, false).unwrap();
            assert!(!kept.starts_with("remote-image:"), "{kept}");
        }
    }

    proptest! {
        #[test]
        fn no_address_makes_it_panic_and_none_of_data_is_left(value in "[a-z:/?#\\\\\\[\\]@. \t\n%&=-]{0,30}|.*", space in "[\t\n\r]{0,2}") {
            mended("img", "src", &value, true);
            attachment(&value);
            let hostile = format!("da{space}ta:{value}");
            if let Some(shown) = mended("a", "href", &hostile, false) {
                prop_assert!(Url::parse(&shown).is_err());
            }
        }
    }
}
