//! Odoo's answers, and the faults that failed ones stand for.

use std::time::Duration;

use fault::{Fault, Kind};
use http::StatusCode;
use outbound::{Response, TransportError};
use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::Value;

use crate::lenient;

/// How much of an error's body is read. A traceback (`data.debug`) can be long.
const ERROR_BODY: usize = 256 * 1024;

/// How long Odoo refuses every login after too many failures, by default.
const LOGIN_COOLDOWN: Duration = Duration::from_mins(1);

/// The fault for a call without an answer.
pub(crate) fn transport(error: TransportError) -> Fault {
    match error {
        TransportError::Refused => Fault::new(
            Kind::SourceUnreachable,
            "Odoo refused the connection: check odoo_url, and that Odoo is up",
        ),
        TransportError::NoSuchHost => Fault::new(
            Kind::SourceUnreachable,
            "Odoo's host does not resolve: check odoo_url",
        ),
        TransportError::NotAllowed => Fault::new(
            Kind::Setting,
            "odoo_url is not an allowed host: it must be scheme://host[:port] without a path",
        ),
        TransportError::Tls => Fault::new(
            Kind::SourceUnreachable,
            "no TLS connection to Odoo: check odoo_url (http or https?) and its certificate",
        ),
        TransportError::Timeout => Fault::new(Kind::SourceTimeout, "Odoo did not answer in time"),
        TransportError::Reset => Fault::new(Kind::SourceTimeout, "Odoo dropped the connection"),
        TransportError::TooLong { max_bytes } => Fault::told(
            Kind::SourceProtocol,
            format!("Odoo's answer is longer than {max_bytes} bytes"),
        ),
        error @ TransportError::Encoded(_) => {
            Fault::told(Kind::SourceProxy, format!("Odoo: {error}"))
        }
        other => Fault::told(
            Kind::SourceUnreachable,
            format!("no connection to Odoo: {other}"),
        ),
    }
}

/// The fault if Odoo asks for a pause.
pub(crate) fn busy(response: &Response) -> Option<Fault> {
    let status = response.status.as_u16();
    matches!(status, 429 | 503).then(|| {
        Fault::told(Kind::SourceBusy, format!("Odoo is busy (HTTP {status})"))
            .retry_after(response.retry_after())
    })
}

/// Checks the head of an answer that should be JSON, whatever its status.
pub(crate) fn head(response: &Response) -> Result<(), Fault> {
    if let Some(fault) = busy(response) {
        return Err(fault);
    }
    // A gateway timeout, or a worker that died on this very call (500 and 502 with an HTML page, as `raw` causes;
    // seen on 18): another call may succeed.
    let status = response.status.as_u16();
    if status == 504 {
        return Err(Fault::new(
            Kind::SourceTimeout,
            "Odoo did not answer its gateway in time (HTTP 504)",
        ));
    }
    if matches!(status, 520..=530) {
        return Err(Fault::told(
            Kind::SourceBusy,
            format!("a proxy before Odoo cannot reach it (HTTP {status})"),
        ));
    }
    // Odoo itself answers 404 and 415 with HTML pages.
    if matches!(status, 400..=499) && !matches!(status, 404 | 415) && !response.is_json() {
        return Err(Fault::told(
            Kind::SourceProxy,
            format!(
                "a proxy before Odoo answered HTTP {status} in its place: let /jsonrpc, /json/2 and /web through to Odoo"
            ),
        ));
    }
    if matches!(status, 500 | 502) && !response.is_json() {
        return Err(Fault::told(
            Kind::SourceRefused,
            format!("Odoo failed at this call (HTTP {status})"),
        ));
    }
    if response.status.is_redirection() {
        return Err(Fault::told(
            Kind::SourceProtocol,
            format!(
                "Odoo answered HTTP {} to a login page: this endpoint does not exist there (is odoo_protocol right?)",
                response.status.as_u16()
            ),
        ));
    }
    if !response.is_json() {
        return Err(Fault::told(
            Kind::SourceProtocol,
            format!(
                "Odoo answered HTTP {} with {} where JSON was due: is odoo_url an Odoo?",
                response.status.as_u16(),
                response
                    .header(&http::header::CONTENT_TYPE)
                    .unwrap_or("no Content-Type")
            ),
        ));
    }
    Ok(())
}

/// The same for JSON-2. If the database is unknown, or none is named where there are several, Odoo 19 answers with
/// its page for unknown addresses (seen on 19).
pub(crate) fn json2_head(response: &Response) -> Result<(), Fault> {
    if response.status == StatusCode::NOT_FOUND && !response.is_json() {
        return Err(Fault::new(
            Kind::SourceLogin,
            "Odoo has no such database, or several and none is named: check odoo_database (or this is no Odoo 19: then odoo_protocol must not be json-2)",
        ));
    }
    head(response)
}

#[derive(Deserialize)]
struct Envelope<T> {
    // A method that returns nothing has no `result` key (seen on 18).
    result: Option<T>,
    error: Option<RpcError>,
}

#[derive(Deserialize)]
pub(crate) struct RpcError {
    #[serde(default)]
    message: String,
    data: Option<ErrorData>,
}

/// `data.debug` is a traceback, and is never read.
#[derive(Deserialize)]
struct ErrorData {
    #[serde(default)]
    name: String,
    #[serde(default)]
    message: String,
}

/// The result of a JSON-RPC call.
pub(crate) async fn json_rpc<T: DeserializeOwned>(
    response: Response,
    max_bytes: usize,
) -> Result<T, Fault> {
    head(&response)?;
    let body = response.bytes(max_bytes).await.map_err(transport)?;
    let envelope: Envelope<T> = parse(&body)?;
    match (envelope.error, envelope.result) {
        (Some(error), _) => Err(rpc_error(error)),
        (None, Some(result)) => Ok(result),
        (None, None) => serde_json::from_value(Value::Null).map_err(|_| broken()),
    }
}

/// The result of a JSON-2 call.
pub(crate) async fn json2<T: DeserializeOwned>(
    response: Response,
    max_bytes: usize,
) -> Result<T, Fault> {
    json2_head(&response)?;
    if !response.status.is_success() {
        return Err(json2_error(response).await);
    }
    let body = response.bytes(max_bytes).await.map_err(transport)?;
    parse(&body)
}

/// Parses JSON, or else Python's variant of it.
fn parse<T: DeserializeOwned>(body: &[u8]) -> Result<T, Fault> {
    serde_json::from_slice(body)
        .or_else(|_| serde_json::from_str(&lenient::mended(body)))
        .map_err(|_| broken())
}

/// The fault for a JSON-2 error.
pub(crate) async fn json2_error(response: Response) -> Fault {
    let status = response.status;
    let Ok(body) = response.bytes(ERROR_BODY).await else {
        return by_status(status, "");
    };
    match serde_json::from_slice::<ErrorData>(&body) {
        Ok(error) => {
            named(&error.name, &error.message).unwrap_or_else(|| by_status(status, &error.message))
        }
        Err(_) => by_status(status, ""),
    }
}

pub(crate) fn broken() -> Fault {
    Fault::new(
        Kind::SourceProtocol,
        "Odoo's answer is not the JSON that was due",
    )
}

/// The fault for a JSON-RPC error. `error.code` is always 200 (seen on 17 and 18).
pub(crate) fn rpc_error(error: RpcError) -> Fault {
    let Some(data) = error.data else {
        return Fault::told(Kind::SourceRefused, format!("Odoo: {}", error.message));
    };
    named_error(&data.name, &data.message)
}

/// The fault for an exception, by its name.
pub(crate) fn named_error(name: &str, message: &str) -> Fault {
    named(name, message).unwrap_or_else(|| {
        Fault::told(
            Kind::SourceRefused,
            format!("Odoo: {} ({name})", first_line(message)),
        )
    })
}

fn first_line(message: &str) -> &str {
    message.trim().lines().next().unwrap_or_default()
}

/// The fault for a known exception name.
fn named(name: &str, message: &str) -> Option<Fault> {
    let message = first_line(message);
    let short = name.rsplit('.').next().unwrap_or(name);
    Some(match short {
        // The answer to any login for a minute, right or wrong (`base.login_cooldown_duration`).
        "AccessDenied" if message.starts_with("Too many login failures") => Fault::new(
            Kind::SourceBusy,
            "Odoo takes no login for a minute, since too many have failed: check odoo_login, odoo_api_key and odoo_password",
        )
        .retry_after(Some(LOGIN_COOLDOWN)),
        "AccessDenied" | "Unauthorized" => {
            const REFUSED: &str = "Odoo refused the key: check odoo_login and odoo_api_key or odoo_password (an API key of a user who is no administrator ends after 3 months)";
            match message {
                "" | "Access Denied" => Fault::new(Kind::SourceLogin, REFUSED),
                // A text in the user's language, which may also say that no login is possible for a minute.
                said => Fault::told(Kind::SourceLogin, format!("{REFUSED}. Odoo said: {said}")),
            }
        }
        "AccessError" | "Forbidden" => Fault::told(
            Kind::SourceForbidden,
            format!("the Odoo user lacks a right: {message}"),
        ),
        "OperationalError" if message.contains("does not exist") => Fault::new(
            Kind::SourceLogin,
            "Odoo does not know this database: check odoo_database",
        ),
        "MissingError" => Fault::told(Kind::SourceEmpty, format!("not found in Odoo: {message}")),
        "LockError" | "OperationalError" | "SerializationFailure" | "TooManyRequests" => {
            Fault::told(Kind::SourceBusy, format!("Odoo is busy: {message}"))
        }
        _ => return None,
    })
}

fn by_status(status: StatusCode, message: &str) -> Fault {
    let message = first_line(message);
    let said = |what: &str| {
        if message.is_empty() {
            format!("{what} (HTTP {})", status.as_u16())
        } else {
            format!("{what} (HTTP {}): {message}", status.as_u16())
        }
    };
    match status.as_u16() {
        401 => Fault::new(
            Kind::SourceLogin,
            "Odoo refused the API key: check odoo_api_key",
        ),
        403 => Fault::told(Kind::SourceForbidden, said("the Odoo user lacks a right")),
        404 => Fault::told(
            Kind::SourceProtocol,
            said("Odoo knows no such model or method"),
        ),
        409 => Fault::told(Kind::SourceBusy, said("Odoo is busy")),
        _ => Fault::told(Kind::SourceRefused, said("Odoo")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fault(name: &str, message: &str) -> Fault {
        let body = serde_json::json!({
            "code": 200, "message": "Odoo Server Error",
            "data": { "name": name, "debug": "Traceback (most recent call last): …", "message": message, "arguments": [message] },
        });
        rpc_error(serde_json::from_value(body).unwrap())
    }

    #[test]
    fn errors_are_told_by_their_name_and_never_by_their_code() {
        for (name, message, kind) in [
            (
                "odoo.exceptions.AccessDenied",
                "Access Denied",
                Kind::SourceLogin,
            ),
            (
                "odoo.exceptions.AccessError",
                "You do not have enough rights",
                Kind::SourceForbidden,
            ),
            (
                "odoo.exceptions.AccessDenied",
                "Too many login failures, please wait a bit before trying again.",
                Kind::SourceBusy,
            ),
            (
                "psycopg2.OperationalError",
                "FATAL:  database \"nodb\" does not exist\n",
                Kind::SourceLogin,
            ),
            (
                "odoo.exceptions.MissingError",
                "Record does not exist",
                Kind::SourceEmpty,
            ),
            (
                "builtins.ValueError",
                "Invalid field 'nosuch' on model 'crm.lead'",
                Kind::SourceRefused,
            ),
        ] {
            let fault = fault(name, message);
            assert_eq!(fault.kind(), kind, "{name}");
            assert!(!fault.message().contains("Traceback"));
        }
    }

    #[test]
    fn what_a_refused_login_was_told_is_passed_on_in_whatever_language() {
        let said = "Zu viele fehlgeschlagene Anmeldungen, bitte warten Sie.";
        let told = fault("odoo.exceptions.AccessDenied", said);
        assert_eq!(told.kind(), Kind::SourceLogin);
        assert!(told.message().ends_with(said), "{}", told.message());
        let nothing_more = fault("odoo.exceptions.AccessDenied", "Access Denied");
        assert!(!nothing_more.message().contains("Odoo said"));
    }
}
