//! What Storage says of an object, and what is held against it.

use serde::Deserialize;

/// What tells one content from another in Storage.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Fingerprint {
    /// Its length in bytes.
    pub size: u64,
    /// Its MD5.
    pub md5: [u8; 16],
}

/// What Storage says of an object.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct Info {
    /// Its path in the bucket.
    pub name: String,
    /// Its length in bytes.
    pub size: u64,
    /// Its etag: the MD5 of its bytes, if it was uploaded in one piece to the file backend.
    #[serde(default)]
    pub etag: Option<String>,
}

/// An object as a listing has it.
#[derive(Deserialize)]
pub(crate) struct Metadata {
    pub size: u64,
    #[serde(rename = "eTag", default)]
    pub etag: Option<String>,
}

/// An object as `info` tells of it: today, and by 1.7 and 1.8.0 (July 2024) as the database has it.
#[derive(Deserialize)]
#[serde(untagged)]
pub(crate) enum Told {
    Info(Info),
    Row { name: String, metadata: Metadata },
}

impl Told {
    pub fn info(self) -> Info {
        match self {
            Self::Info(info) => info,
            Self::Row { name, metadata } => Info {
                name,
                size: metadata.size,
                etag: metadata.etag,
            },
        }
    }
}

impl Info {
    /// Its MD5, if its etag is one; that of what came to S3 in parts is none.
    pub fn md5(&self) -> Option<[u8; 16]> {
        let etag = self.etag.as_deref()?.trim_matches('"');
        let mut md5 = [0; 16];
        base16ct::mixed::decode(etag, &mut md5)
            .is_ok_and(|decoded| decoded.len() == 16)
            .then_some(md5)
    }

    /// Whether it has these bytes; `None` where the size is right and the etag is no MD5.
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
