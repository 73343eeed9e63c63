//! The two protocols for calling a method, and how to tell which one a server supports.

use fault::{Fault, Kind};
use outbound::{Request, Response, TransportError};
use serde_json::{Map, Value, json};

use crate::limiter::Permit;
use crate::{ProtocolChoice, Settings, answer};

/// A protocol for calling methods.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Protocol {
    /// `POST /json/2/<model>/<method>`: real HTTP statuses, bare values.
    Json2,
    /// `POST /jsonrpc`: always status 200, an envelope.
    JsonRpc {
        /// The user's id, from `authenticate`.
        uid: i64,
    },
}

/// The largest answer that is not a listing: a login, a version.
pub(crate) const SMALL_ANSWER: usize = 64 * 1024;

/// Finds out the server's protocol, and logs in if that is a separate step. `ask` sends each request within the
/// limits.
pub(crate) async fn negotiate(
    settings: &Settings,
    ask: impl AsyncFn(Request) -> Result<(Response, Permit), TransportError>,
) -> Result<Protocol, Fault> {
    let json2 = match settings.protocol {
        ProtocolChoice::Json2 => true,
        ProtocolChoice::JsonRpc => false,
        // JSON-2 accepts only API keys: without one, only JSON-RPC can work.
        ProtocolChoice::Auto => {
            !settings.api_key.is_empty() && speaks_json2(settings, &ask).await?
        }
    };
    if json2 {
        if settings.api_key.is_empty() {
            return Err(Fault::new(
                Kind::Setting,
                "odoo_protocol is json-2, which needs an API key: set odoo_api_key",
            ));
        }
        return Ok(Protocol::Json2);
    }
    // Without a database each version fails with different words, none of which names the setting.
    for (missing, words) in [
        (settings.database.is_empty(), "odoo_database is not set"),
        (settings.login.is_empty(), "odoo_login is not set"),
    ] {
        if missing {
            return Err(Fault::new(Kind::Setting, words));
        }
    }
    let arguments = json!([
        settings.database,
        settings.login,
        settings.rpc_secret().reveal(),
        {}
    ]);
    let envelope = json_rpc("common", "authenticate", &arguments);
    let (response, _permit) = ask(post(format!("{}/jsonrpc", settings.url), &envelope))
        .await
        .map_err(answer::transport)?;
    match answer::json_rpc(response, SMALL_ANSWER).await? {
        Value::Number(uid) if uid.as_i64().is_some_and(|uid| uid > 0) => Ok(Protocol::JsonRpc {
            uid: uid.as_i64().unwrap_or_default(),
        }),
        // A wrong password is `result: false` (seen on 17 and 18).
        _ => Err(Fault::new(
            Kind::SourceLogin,
            "Odoo refused the login: check odoo_login and odoo_api_key or odoo_password (an API key of a user who is no administrator ends after 3 months)",
        )),
    }
}

/// `GET /web/version` is JSON on 19 and a 404 on 17 and 18 (seen on both), while JSON-2 itself would redirect to a
/// login page.
async fn speaks_json2(
    settings: &Settings,
    ask: &impl AsyncFn(Request) -> Result<(Response, Permit), TransportError>,
) -> Result<bool, Fault> {
    let request = Request::new(http::Method::GET, format!("{}/web/version", settings.url));
    let (response, _permit) = ask(request).await.map_err(answer::transport)?;
    if let Some(fault) = answer::busy(&response) {
        return Err(fault);
    }
    Ok(response.status.is_success() && response.is_json())
}

/// The positional parameters of the methods in use, in the order that 14 to 19 share.
///
/// JSON-2 accepts only names, and these differ: the domain of `search` is `args` up to 15, and in `crm.lead` still in
/// 16 (seen: `search() got an unexpected keyword argument 'domain'`). Positions are the same everywhere. The context
/// is always named.
fn parameters(method: &str) -> &'static [&'static str] {
    match method {
        "search" => &["domain", "offset", "limit", "order"],
        "search_read" => &["domain", "fields", "offset", "limit", "order"],
        "read" => &["fields"],
        "fields_get" => &["allfields", "attributes"],
        "has_group" => &["group_ext_id"],
        _ => &[],
    }
}

/// Whether a method only reads, and so may be retried.
pub(crate) fn changes_nothing(method: &str) -> bool {
    matches!(
        method,
        "search"
            | "search_read"
            | "read"
            | "fields_get"
            | "has_group"
            | "context_get"
            | "get_external_id"
    )
}

/// Takes the positional arguments, up to the last one given, out of the named ones.
fn positional(method: &str, ids: Option<&[i64]>, named: &mut Map<String, Value>) -> Vec<Value> {
    let given: Vec<Option<Value>> = parameters(method)
        .iter()
        .map(|name| named.remove(*name))
        .collect();
    let last = given.iter().rposition(Option::is_some);
    let arguments = given
        .into_iter()
        .zip(parameters(method))
        .take(last.map_or(0, |last| last + 1))
        .map(|(value, name)| match value {
            Some(value) => value,
            None if *name == "offset" => json!(0),
            None => Value::Null,
        });
    ids.map(|ids| json!(ids))
        .into_iter()
        .chain(arguments)
        .collect()
}

/// Builds the request to call a method with named arguments.
pub(crate) fn call(
    protocol: Protocol,
    settings: &Settings,
    model: &str,
    method: &str,
    ids: Option<&[i64]>,
    mut named: Map<String, Value>,
) -> Request {
    match protocol {
        Protocol::Json2 => {
            if let Some(ids) = ids {
                named.insert("ids".into(), json!(ids));
            }
            let request = post(
                format!("{}/json/2/{model}/{method}", settings.url),
                &Value::Object(named),
            )
            .header(
                http::header::AUTHORIZATION,
                format!("bearer {}", settings.api_key.reveal()),
            );
            if settings.database.is_empty() {
                request
            } else {
                request.header(
                    http::HeaderName::from_static("x-odoo-database"),
                    &settings.database,
                )
            }
        }
        Protocol::JsonRpc { uid } => {
            let positional = positional(method, ids, &mut named);
            let arguments = json!([
                settings.database,
                uid,
                settings.rpc_secret().reveal(),
                model,
                method,
                positional,
                named
            ]);
            post(
                format!("{}/jsonrpc", settings.url),
                &json_rpc("object", "execute_kw", &arguments),
            )
        }
    }
}

pub(crate) fn json_rpc(service: &str, method: &str, arguments: &Value) -> Value {
    json!({
        "jsonrpc": "2.0",
        "method": "call",
        "id": 1,
        "params": { "service": service, "method": method, "args": arguments },
    })
}

pub(crate) fn post(url: String, document: &Value) -> Request {
    Request::new(http::Method::POST, url)
        .header(http::header::CONTENT_TYPE, "application/json")
        .body(document.to_string().into_bytes())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn outside_json_2_only_the_context_is_named() {
        let context = json!({ "active_test": false });
        for (method, ids, mut named, wanted) in [
            (
                "search_read",
                None,
                json!({"order": "id", "domain": [["id", ">", 0]], "limit": 9, "fields": ["name"]}),
                json!([[["id", ">", 0]], ["name"], 0, 9, "id"]),
            ),
            (
                "search",
                None,
                json!({"domain": [], "order": "id"}),
                json!([[], 0, null, "id"]),
            ),
            (
                "read",
                Some([7].as_slice()),
                json!({"fields": ["datas"]}),
                json!([[7], ["datas"]]),
            ),
            (
                "fields_get",
                None,
                json!({"attributes": ["type"]}),
                json!([null, ["type"]]),
            ),
            ("context_get", None, json!({}), json!([])),
            ("get_external_id", Some(&[1, 2]), json!({}), json!([[1, 2]])),
            (
                "has_group",
                Some(&[2]),
                json!({"group_ext_id": "base.group_user"}),
                json!([[2], "base.group_user"]),
            ),
        ] {
            named["context"] = context.clone();
            let Value::Object(mut named) = named else {
                panic!()
            };
            assert_eq!(
                json!(positional(method, ids, &mut named)),
                wanted,
                "{method}"
            );
            assert_eq!(json!(named), json!({ "context": context }), "{method}");
        }
    }
}
