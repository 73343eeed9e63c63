//! The request of a caller, from the body of a POST.

use run::{Keys, RequestError};
use serde_json::Value;

/// What a batch does.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Mode {
    /// Discover and move.
    #[default]
    Migrate,
    /// Discover only.
    Discover,
    /// Count what a migration would move, by model, MIME type and reason; nothing is written.
    DryRun,
    /// Like `Migrate`, but failed, dead and waiting files are due at once.
    RetryFailed,
    /// Compare Odoo, the catalogue and Storage.
    Verify,
}

impl Mode {
    /// The name in requests and in the ledger.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Migrate => "migrate",
            Self::Discover => "discover",
            Self::DryRun => "dry_run",
            Self::RetryFailed => "retry_failed",
            Self::Verify => "verify",
        }
    }

    /// All modes.
    const ALL: [Self; 5] = [
        Self::Migrate,
        Self::Discover,
        Self::DryRun,
        Self::RetryFailed,
        Self::Verify,
    ];

    /// Whether this mode moves files.
    pub(crate) const fn moves(self) -> bool {
        matches!(self, Self::Migrate | Self::RetryFailed)
    }
}

/// One of `parts` parts of all objects.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Part {
    /// The part's number, from 1.
    pub part: u16,
    /// How many parts there are, up to 256.
    pub parts: u16,
}

impl Part {
    /// Parses `n/t`, such as `3/7`.
    fn parse(text: &str) -> Option<Self> {
        let (part, parts) = text.split_once('/')?;
        let (part, parts) = (part.trim().parse().ok()?, parts.trim().parse().ok()?);
        ((1..=256).contains(&parts) && (1..=parts).contains(&part)).then_some(Self { part, parts })
    }

    /// Whether this part holds the objects whose SHA-1 begins with this byte.
    pub fn holds(self, first_byte: u8) -> bool {
        u16::from(first_byte) % self.parts == self.part - 1
    }
}

/// The request of a caller.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Request {
    /// What to do.
    pub mode: Mode,
    /// Only these files, due or not.
    pub ids: Option<Vec<i64>>,
    /// For verify: also read the bytes of this part of all objects.
    pub read_data: Option<Part>,
    /// For verify: start over, and discard a verification under way.
    pub restart: bool,
    /// For verify: queue again each file whose object in Storage is missing or wrong.
    pub repair: bool,
    /// For a dry run: continue after this id.
    pub after_id: i64,
}

/// The most files that one request may name.
const MAX_IDS: usize = 1000;

impl Request {
    /// Parses a body.
    pub fn parse(body: &[u8]) -> Result<Self, RequestError> {
        let keys = Keys::of(body)?;
        Ok(Self {
            mode: keys.one_of("mode", Mode::ALL, Mode::name)?,
            ids: keys.get("ids").map(ids).transpose()?,
            read_data: keys.get("read_data").map(part).transpose()?,
            restart: keys.flag("restart")?,
            repair: keys.flag("repair")?,
            after_id: keys.get("after_id").map_or(Ok(0), after_id)?,
        })
    }
}

fn ids(value: &Value) -> Result<Vec<i64>, RequestError> {
    let wrong = |wanted: &str| RequestError::new("ids", wanted);
    let ids = value
        .as_array()
        .ok_or_else(|| wrong("must be a list of numbers"))?;
    if ids.len() > MAX_IDS {
        return Err(wrong(&format!("at most {MAX_IDS}")));
    }
    ids.iter()
        .map(|id| id.as_i64().filter(|id| *id > 0))
        .collect::<Option<_>>()
        .ok_or_else(|| wrong("must be positive numbers"))
}

fn part(value: &Value) -> Result<Part, RequestError> {
    value.as_str().and_then(Part::parse).ok_or_else(|| {
        RequestError::new(
            "read_data",
            "must be \"n/t\", the n-th of t parts (t up to 256)",
        )
    })
}

fn after_id(value: &Value) -> Result<i64, RequestError> {
    value
        .as_i64()
        .filter(|id| *id >= 0)
        .ok_or_else(|| RequestError::new("after_id", "must be a number, 0 or more"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn what_pg_cron_sends_is_accepted() {
        for body in ["", " \n", "{}", r#"{"time":"2026-11-21T20:22:17Z"}"#] {
            assert_eq!(
                Request::parse(body.as_bytes()),
                Ok(Request::default()),
                "{body}"
            );
        }
    }

    #[test]
    fn a_wrong_key_is_named() {
        for (body, key) in [
            (r#"{"mode":"fly"}"#, "mode"),
            (r#"{"mode":1}"#, "mode"),
            (r#"{"ids":"1"}"#, "ids"),
            (r#"{"ids":[1,"2"]}"#, "ids"),
            (r#"{"ids":[-1]}"#, "ids"),
            (r#"{"read_data":"8/7"}"#, "read_data"),
            (r#"{"read_data":"0/7"}"#, "read_data"),
            (r#"{"read_data":7}"#, "read_data"),
            (r#"{"restart":1}"#, "restart"),
            (r#"{"repair":"yes"}"#, "repair"),
            (r#"{"after_id":"x"}"#, "after_id"),
        ] {
            let error = Request::parse(body.as_bytes()).unwrap_err().to_string();
            assert!(error.starts_with(key), "{body}: {error}");
        }
        assert!(Request::parse(b"[]").is_err());
        assert!(Request::parse(b"{").is_err());
    }

    #[test]
    fn the_parts_together_hold_everything_once() {
        for parts in [1, 7, 256] {
            for byte in 0..=255u8 {
                let holders = (1..=parts)
                    .filter(|part| Part { part: *part, parts }.holds(byte))
                    .count();
                assert_eq!(holders, 1);
            }
        }
    }

    proptest! {
        #[test]
        fn no_body_makes_it_panic(body in prop::collection::vec(any::<u8>(), 0..200)) {
            let _ = Request::parse(&body);
        }
    }
}
