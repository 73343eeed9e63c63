//! JSON-2: `/json/2/<model>/<method>`, from 19 on, with real statuses.

use http::header::{AUTHORIZATION, HeaderMap};
use http::{Response, StatusCode};
use serde_json::{Map, Value};

use super::failure::Failure;
use super::spelling::Json;
use super::{Company, User, methods};
use crate::serve::{Payload, internal_server_error, json as json_answer};

/// A call as it came.
pub(crate) struct Call {
    pub model: String,
    pub method: String,
    /// The bearer's key, where there is one.
    key: Option<String>,
    database: Option<String>,
    /// The named arguments; an error where the body was no JSON object.
    arguments: Result<Map<String, Value>, String>,
}

impl Call {
    pub(crate) fn parse(model: &str, method: &str, headers: &HeaderMap, body: &[u8]) -> Self {
        let text = |name: &str| headers.get(name).and_then(|value| value.to_str().ok());
        let key = text(AUTHORIZATION.as_str()).and_then(|value| {
            let (scheme, key) = value.split_once(' ')?;
            scheme
                .eq_ignore_ascii_case("bearer")
                .then(|| key.trim().to_owned())
        });
        let arguments = match serde_json::from_slice(body) {
            _ if body.is_empty() => Ok(Map::new()),
            Ok(Value::Object(arguments)) => Ok(arguments),
            Ok(_) => Err("the body must be a JSON object".to_owned()),
            Err(error) => Err(format!("could not parse the body, invalid json: {error}")),
        };
        let database = text("x-odoo-database").map(str::to_owned);
        Self {
            model: model.to_owned(),
            method: method.to_owned(),
            key,
            database,
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
            Err(failure) if failure.is_unspeakable() => internal_server_error(),
            Err(failure) => {
                let mut body = Json::default();
                body.value(&failure.json_2());
                let status = StatusCode::from_u16(failure.status)
                    .unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
                let mut response = json_answer(status, "");
                *response.body_mut() = body.finish();
                response
            }
        }
    }

    fn run(self, company: &Company) -> Result<Json, Failure> {
        if let Some(database) = &self.database {
            company.check_database(database)?;
        }
        let user = self.bearer(company)?;
        let mut arguments = self
            .arguments
            .map_err(|why| Failure::new("werkzeug.exceptions.BadRequest", 400, why))?;
        if !company.store.tables().contains_key(&self.model) {
            let message = format!("the model '{}' does not exist", self.model);
            return Err(Failure::new("werkzeug.exceptions.NotFound", 404, message));
        }
        if !methods::is_called_on_records(&self.method) {
            arguments.remove("ids");
        }
        methods::call(
            company,
            user,
            &self.model,
            &self.method,
            Vec::new(),
            arguments,
        )
    }

    /// A key, and nothing but a key: passwords are refused here.
    fn bearer<'a>(&self, company: &'a Company) -> Result<&'a User, Failure> {
        let refused = |why| Failure::new("werkzeug.exceptions.Unauthorized", 401, why);
        let key = self
            .key
            .as_deref()
            .ok_or_else(|| refused("User not authenticated, use the \"Authorization\" header"))?;
        company
            .users
            .iter()
            .find(|user| user.api_key.as_deref() == Some(key))
            .ok_or_else(|| refused("Invalid apikey"))
    }
}
