//! The identity of a content: its SHA-1, and the path of its object, which is derived from it.
//!
//! Neither type has a default, so that an unknown content cannot get an identity.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

/// The SHA-1 of a content; its text form is 40 hex digits in lower case.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(into = "String", try_from = "String")]
pub struct Sha1([u8; 20]);

/// The text is not 40 hex digits in lower case.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct NoSha1;

impl Sha1 {
    /// Wraps a computed SHA-1.
    pub const fn new(digest: [u8; 20]) -> Self {
        Self(digest)
    }
}

impl From<[u8; 20]> for Sha1 {
    fn from(digest: [u8; 20]) -> Self {
        Self(digest)
    }
}

impl FromStr for Sha1 {
    type Err = NoSha1;

    fn from_str(text: &str) -> Result<Self, NoSha1> {
        let mut digest = [0; 20];
        let decoded = base16ct::lower::decode(text, &mut digest).map_err(|_| NoSha1)?;
        if decoded.len() == 20 {
            Ok(Self(digest))
        } else {
            Err(NoSha1)
        }
    }
}

impl TryFrom<String> for Sha1 {
    type Error = NoSha1;

    fn try_from(text: String) -> Result<Self, NoSha1> {
        text.parse()
    }
}

impl From<Sha1> for String {
    fn from(sha1: Sha1) -> Self {
        base16ct::lower::encode_string(&sha1.0)
    }
}

impl fmt::Display for Sha1 {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&String::from(*self))
    }
}

impl fmt::Debug for Sha1 {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl fmt::Display for NoSha1 {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("not 40 hex digits in lower case")
    }
}

impl std::error::Error for NoSha1 {}

/// The path of a content's object in the bucket: `0d/0d10d65a…`. The prefix of two digits keeps the listing
/// of each folder short.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize)]
pub struct ObjectPath(String);

impl ObjectPath {
    /// The path for a content.
    pub fn of(sha1: &Sha1) -> Self {
        let name = sha1.to_string();
        let folder = name.get(..2).unwrap_or_default();
        Self(format!("{folder}/{name}"))
    }

    /// The path as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Its folder: the first two digits.
    pub fn folder(&self) -> &str {
        self.0.get(..2).unwrap_or_default()
    }
}

impl fmt::Display for ObjectPath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const SHA1: &str = "0d10d65a3cbca6a252daf0510f07e278dbe86fd2";

    #[test]
    fn an_object_lies_where_its_content_says() {
        let path = ObjectPath::of(&SHA1.parse().unwrap());
        assert_eq!(path.as_str(), "0d/0d10d65a3cbca6a252daf0510f07e278dbe86fd2");
        assert_eq!(path.folder(), "0d");
    }

    #[test]
    fn what_is_no_sha1_is_refused() {
        for wrong in [
            "",
            &SHA1[1..],
            &format!("{SHA1}0"),
            &format!("{SHA1}00"),
            &SHA1.to_uppercase(),
            &SHA1.replace('d', "g"),
            "../../etc/passwd",
            &SHA1.replace("0d", "é"),
        ] {
            assert_eq!(wrong.parse::<Sha1>(), Err(NoSha1), "{wrong}");
        }
    }

    proptest! {
        #[test]
        fn a_sha1_is_read_as_it_is_written(digest in any::<[u8; 20]>()) {
            let sha1 = Sha1::from(digest);
            prop_assert_eq!(sha1.to_string().parse(), Ok(sha1));
            let json = serde_json::to_value(sha1).unwrap();
            prop_assert_eq!(serde_json::from_value::<Sha1>(json).unwrap(), sha1);
        }

        #[test]
        fn no_text_makes_it_panic(text in ".*") {
            let _ = text.parse::<Sha1>();
        }
    }
}
