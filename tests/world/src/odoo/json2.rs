//! JSON-2: `/json/2/<model>/<method>`, from 19 on, with real statuses.

use http::header::{ACCEPT, AUTHORIZATION, CONTENT_TYPE, HeaderMap, HeaderValue, WWW_AUTHENTICATE};
use http::{Response, StatusCode};
use serde_json::{Map, Value};

use super::failure::Failure;
use super::spelling::Json;
use super::{Company, User, methods};
use crate::serve::{Payload, html, internal_server_error, json as json_answer};

/// A call as it came.
pub(crate) struct Call {
    pub model: String,
    pub method: String,
    headers: HeaderMap,
    /// The named arguments; an error where the body was no JSON.
    arguments: Result<Map<String, Value>, String>,
}

/// Whether a body says that it is JSON.
pub(crate) fn is_json(headers: &HeaderMap) -> bool {
    let kind = headers
        .get(CONTENT_TYPE)
        .and_then(|value| value.to_str().ok());
    kind.and_then(|kind| kind.split(';').next()).map(str::trim) == Some("application/json")
}

impl Call {
    pub(crate) fn parse(model: &str, method: &str, headers: &HeaderMap, body: &[u8]) -> Self {
        let arguments = match serde_json::from_slice(body) {
            _ if body.is_empty() => Ok(Map::new()),
            Ok(Value::Object(arguments)) => Ok(arguments),
            // A list, a text or null is no arguments.
            Ok(_) => Ok(Map::new()),
            Err(error) => Err(format!("could not parse the body as json: {error}")),
        };
        Self {
            model: model.to_owned(),
            method: method.to_owned(),
            headers: headers.clone(),
            arguments,
        }
    }

    /// The ids that it names.
    pub(crate) fn ids(&self) -> Vec<i64> {
        self.arguments
            .as_ref()
            .ok()
            .and_then(|arguments| arguments.get("ids"))
            .map(methods::ids_of)
            .unwrap_or_default()
    }

    pub(crate) fn answer(self, company: &Company) -> Response<Payload> {
        match self.run(company) {
            Ok(result) => {
                let mut response = json_answer(StatusCode::OK, "");
                *response.body_mut() = result.finish();
                super::nosniff(&mut response);
                response
            }
            Err(failure) => refusal(&failure),
        }
    }

    fn run(self, company: &Company) -> Result<Json, Failure> {
        let text = |name: &str| self.headers.get(name).and_then(|value| value.to_str().ok());
        // An empty header is none, and another database is as if there were no server.
        let database = text("x-odoo-database").filter(|name| !name.is_empty());
        if database.is_some_and(|name| name != company.database) {
            return Err(Failure::page(
                404,
                "No database is selected and the requested URL was not found in the server-wide controllers.",
            ));
        }
        if !is_json(&self.headers) {
            return Err(Failure::page(
                415,
                "Request inferred type is compatible with [&#39;http&#39;] but &#39;/json/2/&lt;__model__&gt;/&lt;__method__&gt;&#39; is \
                 type=&#39;json2&#39;.<br><br>Please verify the Content-Type request header and try again.",
            ));
        }
        let user = self.bearer(company)?;
        let mut arguments = self
            .arguments
            .map_err(|why| Failure::new("werkzeug.exceptions.BadRequest", why))?;
        let not_found = |message| Failure::new("werkzeug.exceptions.NotFound", message);
        if !company.store.tables().contains_key(&self.model) {
            return Err(not_found(format!(
                "the model '{}' does not exist",
                self.model
            )));
        }
        let ids = arguments.remove("ids").unwrap_or(Value::Array(Vec::new()));
        methods::call_by_name(company, user, &self.model, &self.method, ids, arguments)
    }

    /// A key, and nothing but a key: passwords are refused here.
    fn bearer<'a>(&self, company: &'a Company) -> Result<&'a User, Failure> {
        let refused = |why| Failure::new("werkzeug.exceptions.Unauthorized", why);
        let header = self
            .headers
            .get(AUTHORIZATION)
            .and_then(|value| value.to_str().ok());
        let key = header.and_then(|value| {
            let (scheme, key) = value.split_once(' ')?;
            scheme.eq_ignore_ascii_case("bearer").then(|| key.trim())
        });
        let session = company.sessions.uid(&self.headers);
        let Some(key) = key else {
            return Err(refused(if session.is_some() {
                "Missing \"Authorization\" or Sec-headers for interactive usage."
            } else {
                "User not authenticated, use an API Key with a Bearer Authorization header."
            }));
        };
        let user = company
            .users
            .iter()
            .find(|user| user.api_key.as_deref() == Some(key))
            .ok_or_else(|| refused("Invalid apikey"))?;
        // A cookie jar that keys share breaks here.
        if session.is_some_and(|uid| uid != user.uid) {
            let message = "Session user does not match the used apikey.";
            return Err(Failure::new("odoo.exceptions.AccessDenied", message));
        }
        Ok(user)
    }
}

/// The answer to an address that is none of a method.
pub(crate) fn no_method() -> Response<Payload> {
    let message = "Did you mean POST /json/2/<model>/<method>?";
    refusal(&Failure::new("werkzeug.exceptions.NotFound", message))
}

fn refusal(failure: &Failure) -> Response<Payload> {
    let status = |status| StatusCode::from_u16(status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    match failure.as_page() {
        Some((500, _)) => return internal_server_error(),
        Some((code, words)) => {
            let mut page = html(
                status(code),
                format!("<!doctype html>\n<html lang=en>\n<title>{code}</title>\n<p>{words}</p>\n"),
            );
            if code == 415 {
                page.headers_mut()
                    .insert(ACCEPT, HeaderValue::from_static("application/json"));
            }
            return page;
        }
        None => {}
    }
    let mut body = Json::default();
    body.value(&failure.json_2());
    let mut response = json_answer(status(failure.status), "");
    *response.body_mut() = body.finish();
    if failure.status == 401 {
        response
            .headers_mut()
            .insert(WWW_AUTHENTICATE, HeaderValue::from_static("Bearer "));
    }
    response
}
