//! JSON-RPC: `/jsonrpc`, where every answer has status 200.

use http::header::{ACCEPT, CONTENT_TYPE, HeaderValue};
use http::{Response, StatusCode};
use serde_json::{Map, Value, json};

use super::failure::Failure;
use super::spelling::Json;
use super::{Company, methods};
use crate::serve::{Payload, html, internal_server_error, json as json_answer};

/// A call as it came: the envelope's id and its parameters.
pub(crate) struct Call {
    id: Value,
    without_parameters: bool,
    service: String,
    method: String,
    args: Vec<Value>,
}

impl Call {
    /// Understands the body; otherwise the words of the refusal.
    pub(crate) fn parse(body: &[u8]) -> Result<Self, &'static str> {
        let mut body: Value = serde_json::from_slice(body).map_err(|_| "Invalid JSON data")?;
        if !body.is_object() {
            return Err("Invalid JSON-RPC data");
        }
        let mut take = |name: &str| body.get_mut(name).map(Value::take).unwrap_or_default();
        let (id, mut params) = (take("id"), take("params"));
        let without_parameters = params.is_null();
        let text = |name: &str| {
            params
                .get(name)
                .and_then(Value::as_str)
                .unwrap_or_default()
                .to_owned()
        };
        let (service, method) = (text("service"), text("method"));
        let args = match params.get_mut("args").map(Value::take) {
            Some(Value::Array(args)) => args,
            _ => Vec::new(),
        };
        Ok(Self {
            id,
            without_parameters,
            service,
            method,
            args,
        })
    }

    /// `model/method` of an `execute_kw`, and the ids that it names.
    pub(crate) fn target(&self) -> Option<(String, Vec<i64>)> {
        let [
            _,
            _,
            _,
            Value::String(model),
            Value::String(method),
            rest @ ..,
        ] = self.args.as_slice()
        else {
            return None;
        };
        let positional = rest.first().and_then(|args| args.get(0));
        let named = rest.get(1).and_then(|named| named.get("ids"));
        let on_records = methods::is_called_on_records(method);
        let ids = positional
            .filter(|_| on_records)
            .or(named)
            .map(methods::ids_of)
            .unwrap_or_default();
        Some((format!("{model}/{method}"), ids))
    }

    /// What it counts for where it is no `execute_kw`.
    pub(crate) fn service_method(&self) -> String {
        format!("{}.{}", self.service, self.method)
    }

    pub(crate) fn answer(self, company: &Company) -> Response<Payload> {
        let id = self.id.clone();
        respond(company.version, &id, self.run(company))
    }

    fn run(self, company: &Company) -> Result<Json, Failure> {
        if self.without_parameters {
            let message = "jsonrpc() missing 3 required positional arguments: 'service', 'method', and 'args'";
            return Err(Failure::new("builtins.TypeError", message));
        }
        match (self.service.as_str(), self.method.as_str()) {
            ("common", "version") => Ok(of(&company.version_info())),
            ("common", "authenticate" | "login") => {
                let text = |index: usize| {
                    self.args
                        .get(index)
                        .and_then(Value::as_str)
                        .unwrap_or_default()
                };
                company.check_database(text(0))?;
                // A wrong password is no error here.
                let user = company
                    .users
                    .iter()
                    .find(|user| user.login == text(1) && user.accepts(text(2)));
                Ok(of(&user.map_or(json!(false), |user| json!(user.uid))))
            }
            ("object", "execute_kw" | "execute") => self.execute(company),
            ("common", method) => Err(Failure::new(
                "builtins.Exception",
                format!("Method not found: {method}"),
            )),
            ("object", method) => Err(Failure::new(
                "builtins.NameError",
                format!("Method not available {method}"),
            )),
            (service, _) => Err(Failure::new("builtins.KeyError", service)),
        }
    }

    fn execute(self, company: &Company) -> Result<Json, Failure> {
        let mut args = self.args.into_iter();
        let mut next = || args.next().unwrap_or_default();
        let (database, uid, password, model, method) = (next(), next(), next(), next(), next());
        let (positional, named) = (next(), next());
        company.check_database(database.as_str().unwrap_or_default())?;
        let uid = uid.as_i64().unwrap_or_default();
        let user = company.users.iter().find(|user| user.uid == uid);
        let user = user.ok_or_else(|| Failure::missing("res.users", uid, uid))?;
        if !password.as_str().is_some_and(|given| user.accepts(given)) {
            return Err(Failure::access_denied());
        }
        let positional = match positional {
            Value::Array(positional) => positional,
            _ => Vec::new(),
        };
        let named = match named {
            Value::Object(named) => named,
            _ => Map::new(),
        };
        let (model, method) = (
            model.as_str().unwrap_or_default(),
            method.as_str().unwrap_or_default(),
        );
        // What is called on records takes them from the first position, whatever is named.
        if positional.is_empty() && methods::is_called_on_records(method) {
            let message = "list index out of range";
            return Err(Failure::new("builtins.IndexError", message));
        }
        methods::call(company, user, model, method, positional, named)
    }
}

fn of(value: &Value) -> Json {
    let mut json = Json::default();
    json.value(value);
    json
}

/// Puts a result or a failure into the envelope.
pub(crate) fn respond(version: u8, id: &Value, result: Result<Json, Failure>) -> Response<Payload> {
    let mut envelope = Json::default();
    envelope.raw("{\"jsonrpc\": \"2.0\", \"id\": ");
    envelope.value(id);
    let succeeded = result.is_ok();
    match result {
        Ok(result) => {
            envelope.raw(", \"result\": ");
            envelope.append(result);
        }
        Err(failure) if failure.as_page().is_some() => return internal_server_error(),
        Err(failure) => {
            envelope.raw(", \"error\": ");
            envelope.value(&failure.json_rpc(version));
        }
    }
    envelope.raw("}");
    let mut response = json_answer(StatusCode::OK, "");
    *response.body_mut() = envelope.finish();
    if version < 16 {
        response
            .headers_mut()
            .insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
    }
    if succeeded && version >= 17 {
        super::nosniff(&mut response);
    }
    response
}

/// The answer to a call of an address that is none.
pub(crate) fn not_found() -> Response<Payload> {
    let body = json!({"jsonrpc": "2.0", "id": null, "error": {
        "code": 404, "message": "404: Not Found", "http_status": 404, "data": {
            "name": "werkzeug.exceptions.NotFound", "debug": "", "message": "404 Not Found", "arguments": [], "context": {}
    }}});
    let mut response = json_answer(StatusCode::NOT_FOUND, body.to_string());
    let kind = HeaderValue::from_static("application/json");
    response.headers_mut().insert(CONTENT_TYPE, kind);
    response
}

/// The answer to what does not say that it is JSON.
pub(crate) fn not_json(version: u8) -> Response<Payload> {
    let status = if version >= 19 {
        StatusCode::UNSUPPORTED_MEDIA_TYPE
    } else {
        StatusCode::BAD_REQUEST
    };
    let words = "Request inferred type is compatible with [&#39;http&#39;] but";
    let mut response = html(
        status,
        format!("<!doctype html>\n<html lang=en>\n<title>{status}</title>\n<p>{words}</p>\n"),
    );
    if version >= 19 {
        let taken = HeaderValue::from_static("application/json, application/json-rpc");
        response.headers_mut().insert(ACCEPT, taken);
    }
    response
}

/// The answer to what is no JSON.
pub(crate) fn invalid_json(version: u8) -> Response<Payload> {
    bad_request(version, "Invalid JSON data")
}

/// A refusal of the body, in plain words.
pub(crate) fn bad_request(version: u8, words: &'static str) -> Response<Payload> {
    let mut response = html(StatusCode::BAD_REQUEST, words);
    if version >= 17 {
        super::nosniff(&mut response);
    }
    response
}
