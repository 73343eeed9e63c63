//! The body of a POST: a JSON object, from which a job takes the keys that it knows.

use serde_json::{Map, Value};

/// Why a body is invalid; names the key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RequestError(String);

impl RequestError {
    /// States what the key should be.
    pub fn new(key: &str, wanted: &str) -> Self {
        Self(format!("{key}: {wanted}"))
    }
}

impl std::fmt::Display for RequestError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for RequestError {}

/// The keys of a body. Unknown keys are accepted, because `pg_cron` jobs send some of their own (`time`).
#[derive(Debug, Clone, Default)]
pub struct Keys(Map<String, Value>);

impl Keys {
    /// Parses a body. An empty one counts as `{}`.
    pub fn of(body: &[u8]) -> Result<Self, RequestError> {
        if body.iter().all(u8::is_ascii_whitespace) {
            return Ok(Self::default());
        }
        match serde_json::from_slice(body) {
            Ok(Value::Object(keys)) => Ok(Self(keys)),
            Ok(_) => Err(RequestError("the body is not a JSON object".to_owned())),
            Err(_) => Err(RequestError("the body is not JSON".to_owned())),
        }
    }

    /// The value of a key; `null` counts as absent.
    pub fn get(&self, key: &str) -> Option<&Value> {
        self.0.get(key).filter(|value| !value.is_null())
    }

    /// A boolean; `false` if the key is absent.
    pub fn flag(&self, key: &str) -> Result<bool, RequestError> {
        let given = self.get(key).map(Value::as_bool);
        given
            .unwrap_or(Some(false))
            .ok_or_else(|| RequestError::new(key, "must be true or false"))
    }

    /// One of a few named values; the default if the key is absent.
    pub fn one_of<T: Copy + Default, const N: usize>(
        &self,
        key: &str,
        known: [T; N],
        name: fn(T) -> &'static str,
    ) -> Result<T, RequestError> {
        let Some(value) = self.get(key) else {
            return Ok(T::default());
        };
        known
            .into_iter()
            .find(|known| value.as_str() == Some(name(*known)))
            .ok_or_else(|| {
                RequestError::new(key, &format!("one of {}", known.map(name).join(", ")))
            })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn nothing_and_null_are_absent() {
        for body in ["", " \n", "{}", r#"{"mode": null}"#] {
            assert_eq!(Keys::of(body.as_bytes()).unwrap().get("mode"), None);
        }
    }

    #[test]
    fn what_is_no_object_is_refused() {
        for body in ["[]", "{", "1", "\u{0}"] {
            assert!(Keys::of(body.as_bytes()).is_err(), "{body}");
        }
    }

    proptest! {
        #[test]
        fn no_body_makes_it_panic(body in prop::collection::vec(any::<u8>(), 0..200)) {
            let _ = Keys::of(&body);
        }
    }
}
