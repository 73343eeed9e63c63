//! What an Odoo says when it refuses, in the words of both protocols.

use serde_json::{Value, json};

/// Stands in every `debug` traceback, so that a test can prove that no traceback was ever stored.
pub const TRACEBACK_MARKER: &str = "odoo/service/model.py, line 4711, in simulated_traceback";

/// A call that failed.
#[derive(Debug)]
pub(crate) struct Failure {
    /// The Python class, which is what a client may branch on.
    name: &'static str,
    message: String,
    /// The HTTP status under JSON-2; JSON-RPC has 200 throughout.
    pub status: u16,
}

impl Failure {
    pub(crate) fn new(name: &'static str, status: u16, message: impl Into<String>) -> Self {
        Self {
            name,
            message: message.into(),
            status,
        }
    }

    pub(crate) fn access_denied() -> Self {
        Self::new("odoo.exceptions.AccessDenied", 403, "Access Denied")
    }

    pub(crate) fn access_error(message: impl Into<String>) -> Self {
        Self::new("odoo.exceptions.AccessError", 403, message)
    }

    pub(crate) fn value_error(message: impl Into<String>) -> Self {
        Self::new("builtins.ValueError", 500, message)
    }

    pub(crate) fn unknown_field(model: &str, field: &str) -> Self {
        Self::value_error(format!("Invalid field '{field}' on model '{model}'"))
    }

    /// An answer that the server fails to put into words: an HTML page with status 500, no JSON at all.
    pub(crate) fn unspeakable() -> Self {
        Self::new("", 500, "")
    }

    pub(crate) fn is_unspeakable(&self) -> bool {
        self.name.is_empty()
    }

    /// The `error` member of a JSON-RPC answer.
    pub(crate) fn json_rpc(&self) -> Value {
        json!({"code": 200, "message": "Odoo Server Error", "data": self.body(&json!([self.message]))})
    }

    /// The body of a JSON-2 answer.
    pub(crate) fn json_2(&self) -> Value {
        // werkzeug's own exceptions carry their status along.
        let arguments = if self.name.starts_with("werkzeug.") {
            json!([self.message, self.status])
        } else {
            json!([self.message])
        };
        self.body(&arguments)
    }

    fn body(&self, arguments: &Value) -> Value {
        let debug = format!(
            "Traceback (most recent call last):\n  File \"/opt/odoo/{TRACEBACK_MARKER}\n    raise\n{}: {}\n",
            self.name, self.message
        );
        let message = self.message.as_str();
        json!({"name": self.name, "debug": debug, "message": message, "arguments": arguments, "context": {}})
    }
}
