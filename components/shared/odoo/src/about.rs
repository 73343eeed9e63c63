//! What a server says about itself and about the logged-in user.

use chrono::{DateTime, Utc};
use fault::Fault;
use http::{Method, header};
use outbound::{Clock, Http, Request, Response};
use serde::Deserialize;
use serde_json::{Map, Value, json};

use crate::protocol::{json_rpc, post};
use crate::value::{datetime, or_false};
use crate::{Odoo, Protocol, answer};

const ANSWER_BYTES: usize = 64 * 1024;

/// What a server tells anyone.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Server {
    /// The version in Odoo's words, such as `18.0`.
    pub version: String,
    /// The server's clock, in seconds since 1970.
    pub unix_seconds: Option<i64>,
}

impl Server {
    /// The major version, such as 18.
    pub fn major(&self) -> Option<u32> {
        let digits = self
            .version
            .trim_start_matches(|c: char| !c.is_ascii_digit());
        let end = digits.find(|c: char| !c.is_ascii_digit());
        digits.get(..end.unwrap_or(digits.len()))?.parse().ok()
    }
}

/// One of a user's API keys. Odoo does not say which one is in use.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct ApiKey {
    /// What the key may be used for; `None` for everything.
    #[serde(deserialize_with = "or_false", default)]
    pub scope: Option<String>,
    /// When the key expires; `None` for never.
    #[serde(rename = "expiration_date", deserialize_with = "datetime", default)]
    pub ends: Option<DateTime<Utc>>,
}

#[derive(Deserialize)]
struct VersionAnswer {
    #[serde(alias = "server_version")]
    version: String,
}

impl<H: Http, C: Clock> Odoo<H, C> {
    /// The version and the clock, which need no login.
    pub async fn server(&self) -> Result<Server, Fault> {
        let url = format!("{}/web/version", self.settings.url);
        let version = self.ask(Request::new(Method::GET, url), Some(ANSWER_BYTES));
        let (response, permit) = version.await.map_err(answer::transport)?;
        if let Some(fault) = answer::busy(&response) {
            return Err(fault);
        }
        // Odoo 19 and later have this address; older versions treat it as unknown.
        if response.status.is_success() && response.is_json() {
            let unix_seconds = unix_seconds(&response);
            let VersionAnswer { version } = answer::json2(response, ANSWER_BYTES).await?;
            return Ok(Server {
                version,
                unix_seconds,
            });
        }
        drop(permit);
        let question = json_rpc("common", "version", &json!([]));
        let request = post(format!("{}/jsonrpc", self.settings.url), &question);
        let version = self.ask(request, Some(ANSWER_BYTES));
        let (response, _permit) = version.await.map_err(answer::transport)?;
        let unix_seconds = unix_seconds(&response);
        let VersionAnswer { version } = answer::json_rpc(response, ANSWER_BYTES).await?;
        Ok(Server {
            version,
            unix_seconds,
        })
    }

    /// The user's id. The call fails unless the login is valid.
    pub async fn user_id(&self) -> Result<Option<i64>, Fault> {
        let protocol = self.connect().await?;
        let context: Value = self
            .call("res.users", "context_get", None, Map::new())
            .await?;
        Ok(match protocol {
            Protocol::JsonRpc { uid } => Some(uid),
            Protocol::Json2 => context.get("uid").and_then(Value::as_i64),
        })
    }

    /// A user's own API keys. They expire from 18 on.
    pub async fn api_keys(&self, user: i64) -> Result<Vec<ApiKey>, Fault> {
        let named = json!({
            "domain": [["user_id", "=", user]], "fields": ["scope", "expiration_date"], "limit": 100, "order": "id",
        });
        let named = named.as_object().cloned().unwrap_or_default();
        self.call("res.users.apikeys", "search_read", None, named)
            .await
    }
}

fn unix_seconds(response: &Response) -> Option<i64> {
    let date = response.header(&header::DATE)?;
    Some(DateTime::parse_from_rfc2822(date).ok()?.timestamp())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_version_has_a_number_whatever_stands_before_it() {
        for (version, major) in [
            ("18.0", Some(18)),
            ("saas~18.2+e", Some(18)),
            ("19.0-20261101", Some(19)),
            ("17", Some(17)),
            ("master", None),
        ] {
            let server = Server {
                version: version.to_owned(),
                unix_seconds: None,
            };
            assert_eq!(server.major(), major, "{version}");
        }
    }
}
