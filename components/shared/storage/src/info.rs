//! What Storage reports about an object, and its comparison with a content.

use serde::Deserialize;

/// Size and MD5 of a content, as far as Storage can tell one from another by them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Fingerprint {
    /// Length in bytes.
    pub size: u64,
    /// MD5 of the bytes.
    pub md5: [u8; 16],
}

/// What Storage reports about an object.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct Info {
    /// Path in the bucket.
    pub name: String,
    /// Length in bytes.
    pub size: u64,
    /// Etag: the MD5 of the bytes, if the object was uploaded in one piece to the file backend.
    #[serde(default)]
    pub etag: Option<String>,
}

/// The metadata of an object in a listing.
#[derive(Deserialize)]
pub(crate) struct Metadata {
    pub size: u64,
    #[serde(rename = "eTag", default)]
    pub etag: Option<String>,
}

/// The answer of `info`: today's form, and that of 1.7 and 1.8.0 (July 2024), which is the database's row without its
/// name.
#[derive(Deserialize)]
#[serde(untagged)]
pub(crate) enum InfoAnswer {
    Info(Info),
    Row { metadata: Metadata },
}

impl InfoAnswer {
    pub fn info(self, path: &str) -> Info {
        match self {
            Self::Info(info) => info,
            Self::Row { metadata } => Info {
                name: path.to_owned(),
                size: metadata.size,
                etag: metadata.etag,
            },
        }
    }
}

impl Info {
    /// The MD5, if the etag is one. That of a multipart upload to S3 is not.
    pub fn md5(&self) -> Option<[u8; 16]> {
        let etag = self.etag.as_deref()?.trim_matches('"');
        let mut md5 = [0; 16];
        base16ct::mixed::decode(etag, &mut md5)
            .is_ok_and(|decoded| decoded.len() == 16)
            .then_some(md5)
    }

    /// Whether the object has this content; `None` if the size is equal and the etag is not an MD5.
    pub fn holds(&self, content: &Fingerprint) -> Option<bool> {
        if self.size != content.size {
            return Some(false);
        }
        self.md5().map(|md5| md5 == content.md5)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_object_has_a_content_if_its_size_and_its_md5_say_so() {
        let content = Fingerprint {
            size: 5,
            md5: *b"\x5d\x41\x40\x2a\xbc\x4b\x2a\x76\xb9\x71\x9d\x91\x10\x17\xc5\x92",
        };
        let holds = |size, etag: Option<&str>| {
            let etag = etag.map(str::to_owned);
            let name = String::new();
            Info { name, size, etag }.holds(&content)
        };
        let md5 = "5d41402abc4b2a76b9719d911017c592";
        assert_eq!(holds(5, Some(md5)), Some(true));
        assert_eq!(
            holds(5, Some(&format!("\"{}\"", md5.to_uppercase()))),
            Some(true)
        );
        assert_eq!(holds(5, Some(&md5.replace('5', "6"))), Some(false));
        assert_eq!(holds(4, Some(md5)), Some(false));
        assert_eq!(holds(4, None), Some(false));
        for no_md5 in [
            None,
            Some(""),
            Some("\"5d41402abc4b2a76b9719d911017c592-1\""),
        ] {
            assert_eq!(holds(5, no_md5), None);
        }
    }
}
