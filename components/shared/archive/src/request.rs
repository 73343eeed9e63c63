//! What a caller asks for, from the body of a POST.

use serde_json::Value;

/// What a batch should do.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Mode {
    /// Discover and move.
    #[default]
    Migrate,
    /// Discover only.
    Discover,
}

impl Mode {
    /// Its name in requests and in the ledger.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Migrate => "migrate",
            Self::Discover => "discover",
        }
    }
}

/// What a caller asks for.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Request {
    /// What to do.
    pub mode: Mode,
    /// Only these files, due or not.
    pub ids: Option<Vec<i64>>,
}

/// Why a body is no request; it names the key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RequestError(String);

impl std::fmt::Display for RequestError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for RequestError {}

/// The most files that one request may name.
const MAX_IDS: usize = 1000;

impl Request {
    /// Reads a body. Nothing at all and `{}` are the default; keys that are not known are accepted,
    /// since `pg_cron` jobs send some of their own (`time`).
    pub fn parse(body: &[u8]) -> Result<Self, RequestError> {
        let mut request = Self::default();
        if body.iter().all(u8::is_ascii_whitespace) {
            return Ok(request);
        }
        let document: Value = serde_json::from_slice(body)
            .map_err(|_| RequestError("the body is not JSON".to_owned()))?;
        let Value::Object(keys) = document else {
            return Err(RequestError("the body is not a JSON object".to_owned()));
        };
        match keys.get("mode") {
            None | Some(Value::Null) => {}
            Some(Value::String(mode)) => {
                request.mode = [Mode::Migrate, Mode::Discover]
                    .into_iter()
                    .find(|known| known.name() == mode)
                    .ok_or_else(|| RequestError("mode: one of migrate, discover".to_owned()))?;
            }
            Some(_) => return Err(RequestError("mode: must be a text".to_owned())),
        }
        match keys.get("ids") {
            None | Some(Value::Null) => {}
            Some(Value::Array(ids)) if ids.len() <= MAX_IDS => {
                let ids = ids
                    .iter()
                    .map(|id| id.as_i64().filter(|id| *id > 0))
                    .collect::<Option<Vec<_>>>()
                    .ok_or_else(|| RequestError("ids: must be positive numbers".to_owned()))?;
                request.ids = Some(ids);
            }
            Some(Value::Array(_)) => {
                return Err(RequestError(format!("ids: at most {MAX_IDS}")));
            }
            Some(_) => return Err(RequestError("ids: must be a list of numbers".to_owned())),
        }
        Ok(request)
    }
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
        ] {
            let error = Request::parse(body.as_bytes()).unwrap_err().to_string();
            assert!(error.starts_with(key), "{body}: {error}");
        }
        assert!(Request::parse(b"[]").is_err());
        assert!(Request::parse(b"{").is_err());
    }

    proptest! {
        #[test]
        fn no_body_makes_it_panic(body in prop::collection::vec(any::<u8>(), 0..200)) {
            let _ = Request::parse(&body);
        }
    }
}
