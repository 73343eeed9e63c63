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
    /// The HTTP status under JSON-2, which follows from the class; JSON-RPC has 200 throughout.
    pub status: u16,
}

impl Failure {
    pub(crate) fn new(name: &'static str, message: impl Into<String>) -> Self {
        let status = match name {
            "werkzeug.exceptions.BadRequest" => 400,
            "werkzeug.exceptions.Unauthorized" => 401,
            "odoo.exceptions.AccessDenied" | "odoo.exceptions.AccessError" => 403,
            "odoo.exceptions.MissingError" | "werkzeug.exceptions.NotFound" => 404,
            "odoo.exceptions.UserError" | "werkzeug.exceptions.UnprocessableEntity" => 422,
            _ => 500,
        };
        Self {
            name,
            message: message.into(),
            status,
        }
    }

    pub(crate) fn access_denied() -> Self {
        Self::new("odoo.exceptions.AccessDenied", "Access Denied")
    }

    pub(crate) fn access_error(message: impl Into<String>) -> Self {
        Self::new("odoo.exceptions.AccessError", message)
    }

    pub(crate) fn missing(model: &str, id: i64, uid: i64) -> Self {
        Self::new(
            "odoo.exceptions.MissingError",
            format!(
                "Record does not exist or has been deleted.\n(Record: {model}({id},), User: {uid})"
            ),
        )
    }

    pub(crate) fn value_error(message: impl Into<String>) -> Self {
        Self::new("builtins.ValueError", message)
    }

    /// A domain that is no list.
    pub(crate) fn no_domain(version: u8, given: &Value) -> Self {
        if version >= 19 {
            let message = format!(
                "Domain() invalid argument type for domain: {}",
                python(given)
            );
            return Self::new("builtins.TypeError", message);
        }
        let message =
            "Domains to normalize must have a 'domain' form: a list or tuple of domain components";
        Self::new("builtins.AssertionError", message)
    }

    /// A domain in which an operator lacks its operand.
    pub(crate) fn incomplete_domain(version: u8, domain: &Value) -> Self {
        let domain = python(domain);
        match version {
            19.. => Self::value_error(format!("Domain() malformed domain {domain}")),
            17.. => Self::value_error(format!("Domain {domain} is syntactically not correct.")),
            _ => Self::new(
                "builtins.AssertionError",
                format!("This domain is syntactically not correct: {domain}"),
            ),
        }
    }

    /// What is no term of a domain: no comparison, and no operator.
    pub(crate) fn no_term(version: u8, item: &Value) -> Self {
        let type_error = |words: &str| Self::new("builtins.TypeError", words);
        match item {
            Value::Array(leaf) if version >= 17 && leaf.len() == 3 => {
                let (name, message) = if version >= 19 {
                    let leaf: Vec<String> = leaf.iter().map(python).collect();
                    let message = format!("Domain() invalid arguments: ({})", leaf.join(", "));
                    ("builtins.TypeError", message)
                } else {
                    let message = "'int' object has no attribute 'split'";
                    ("builtins.AttributeError", message.to_owned())
                };
                Self::new(name, message)
            }
            _ if version >= 19 => {
                Self::value_error(format!("Domain() invalid item in domain: {}", python(item)))
            }
            Value::Array(_) if version >= 17 => {
                Self::value_error("not enough values to unpack (expected 3, got 2)")
            }
            Value::Array(leaf) => {
                let leaf: Vec<String> = leaf.iter().map(python).collect();
                Self::value_error(format!("Invalid leaf ({})", leaf.join(", ")))
            }
            Value::String(_) => Self::new("builtins.IndexError", "string index out of range"),
            _ => type_error("'int' object is not subscriptable"),
        }
    }

    pub(crate) fn unknown_field(version: u8, model: &str, field: &str) -> Self {
        let on = if version >= 19 { "on" } else { "on model" };
        Self::value_error(format!("Invalid field '{field}' {on} '{model}'"))
    }

    pub(crate) fn private_method(version: u8, model: &str, method: &str) -> Self {
        let named = if version >= 19 {
            format!("'{model}.{method}'")
        } else {
            method.to_owned()
        };
        Self::access_error(format!(
            "Private methods (such as {named}) cannot be called remotely."
        ))
    }

    /// The same failure under JSON-2, where what is wrong with a call itself has a name of its own.
    pub(crate) fn of_call(self) -> Self {
        match self.name {
            "builtins.TypeError" if !self.message.starts_with("Domain()") => {
                // Without the method's name, and in the words of `inspect`.
                let words = self
                    .message
                    .split_once("() ")
                    .map_or(self.message.as_str(), |(_, words)| words);
                let words = words.replace(
                    "missing 1 required positional argument",
                    "missing a required argument",
                );
                Self::new("werkzeug.exceptions.UnprocessableEntity", words)
            }
            "builtins.AttributeError" => Self::new("werkzeug.exceptions.NotFound", self.message),
            _ => self,
        }
    }

    /// An answer that the server fails to put into words: an HTML page with status 500, no JSON at all.
    pub(crate) fn unspeakable() -> Self {
        Self::page(500, "")
    }

    /// A web session that is over, or never was.
    pub(crate) fn session_expired() -> Self {
        Self::new("odoo.http.SessionExpiredException", "Session expired")
    }

    /// A page instead of JSON, in the framework's words: the server never came to the method.
    pub(crate) fn page(status: u16, words: impl Into<String>) -> Self {
        Self {
            name: "",
            message: words.into(),
            status,
        }
    }

    /// The page, where it is one.
    pub(crate) fn as_page(&self) -> Option<(u16, &str)> {
        self.name
            .is_empty()
            .then_some((self.status, self.message.as_str()))
    }

    /// The `error` member of a JSON-RPC answer. Its code says nothing: 200 up to 18, 0 on 19.
    pub(crate) fn json_rpc(&self, version: u8) -> Value {
        let (code, message) = match (self.name, version) {
            ("odoo.http.SessionExpiredException", _) => (100, "Odoo Session Expired"),
            (_, 19..) => (0, "Odoo Server Error"),
            _ => (200, "Odoo Server Error"),
        };
        json!({"code": code, "message": message, "data": self.body(&json!([self.message]))})
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

/// A value as Python shows it, as far as domains hold such.
fn python(value: &Value) -> String {
    match value {
        Value::Null => "None".to_owned(),
        Value::String(text) => format!("'{text}'"),
        Value::Array(values) => {
            let values: Vec<String> = values.iter().map(python).collect();
            format!("[{}]", values.join(", "))
        }
        other => other.to_string(),
    }
}
