//! The HTTP interface as `components/openapi.json` describes it.

use std::collections::{BTreeMap, BTreeSet};

use anyhow::{Context, Result, bail, ensure};
use http::Method;
use http::header::ETAG;
use serde_json::{Map, Value, json};
use stage::Answer;

use crate::read;

/// The document, and which of its answers were seen.
pub struct Contract {
    document: Value,
    status: Value,
    seen: BTreeSet<(String, u16)>,
}

impl Contract {
    /// Reads it.
    pub fn open() -> Result<Self> {
        Ok(Self {
            document: serde_json::from_str(&read("components/openapi.json")?)?,
            status: serde_json::from_str(&read("components/status-api/status.schema.json")?)?,
            seen: BTreeSet::new(),
        })
    }

    /// The document.
    pub fn document(&self) -> &Value {
        &self.document
    }

    /// Its paths, those that stand for another one included.
    pub fn paths(&self) -> Vec<String> {
        let paths = self.document.get("paths").and_then(Value::as_object);
        paths.into_iter().flat_map(Map::keys).cloned().collect()
    }

    /// The path that a path stands for: its own, or that of its `$ref`.
    pub fn canonical(&self, path: &str) -> String {
        let paths = self.document.get("paths").and_then(|paths| paths.get(path));
        let target = paths
            .and_then(|item| item.get("$ref"))
            .and_then(Value::as_str);
        let target = target.and_then(|target| target.strip_prefix("#/paths/"));
        target.map_or_else(|| path.to_owned(), |target| target.replace("~1", "/"))
    }

    /// The operations of a path, by method in lower case.
    pub fn operations(&self, path: &str) -> BTreeMap<String, &Value> {
        let item = self.document.get("paths").and_then(|paths| paths.get(path));
        let item = item.map(|item| self.resolved(item));
        item.and_then(Value::as_object)
            .into_iter()
            .flatten()
            .filter(|(name, _)| ["get", "post", "put", "patch", "delete"].contains(&name.as_str()))
            .map(|(name, operation)| (name.clone(), operation))
            .collect()
    }

    /// Fails unless the answer is one that is documented for this path and method.
    pub fn check(&mut self, method: &Method, path: &str, answer: &Answer) -> Result<()> {
        self.answer_is_documented(method, path, answer)
            .with_context(|| format!("{method} {path}: {} {}", answer.status, answer.text()))
    }

    fn answer_is_documented(&mut self, method: &Method, path: &str, answer: &Answer) -> Result<()> {
        let operations = self.operations(path);
        let operation = operations
            .get(&method.as_str().to_ascii_lowercase())
            .context("no such operation is documented")?;
        let status = answer.status.as_u16();
        let response = operation
            .pointer(&format!("/responses/{status}"))
            .context("this status is not documented")?;
        let response = self.resolved(response);
        self.headers_are_there(response, answer)?;
        self.body_is_valid(response, answer)?;
        self.seen.insert((self.canonical(path), status));
        Ok(())
    }

    fn headers_are_there(&self, response: &Value, answer: &Answer) -> Result<()> {
        let headers = response.get("headers").and_then(Value::as_object);
        for (name, header) in headers.into_iter().flatten() {
            let value = answer.header(name);
            ensure!(!value.is_empty(), "the header {name} is missing");
            let schema = self
                .resolved(header)
                .get("schema")
                .context("a header without a schema")?;
            self.is_valid(schema, &json!(value))?;
        }
        Ok(())
    }

    fn body_is_valid(&self, response: &Value, answer: &Answer) -> Result<()> {
        let content = response.get("content").and_then(Value::as_object);
        let Some(content) = content else {
            ensure!(answer.body.is_empty(), "a body that is not documented");
            return Ok(());
        };
        let kind = answer.header("content-type").split(';').next();
        let kind = kind.unwrap_or_default().trim();
        let media = content
            .get(kind)
            .with_context(|| format!("the type {kind} is not documented"))?;
        let body = if kind == "application/json" {
            // What has an ETag is kept, and asked for again.
            ensure!(
                answer.headers.contains_key(ETAG) || answer.header("cache-control") == "no-store",
                "somebody may keep it"
            );
            serde_json::from_slice(&answer.body).context("it is no JSON")?
        } else {
            json!(answer.text())
        };
        self.is_valid(media.get("schema").context("no schema")?, &body)
    }

    /// Fails unless this value is what a schema of the document says.
    pub fn is_valid(&self, schema: &Value, value: &Value) -> Result<()> {
        let mut schema = schema.clone();
        if schema.get("$ref") == Some(&json!("status-api/status.schema.json")) {
            schema = self.status.clone();
        } else if let (Some(schema), Some(components)) =
            (schema.as_object_mut(), self.document.get("components"))
        {
            schema.insert("components".to_owned(), components.clone());
        }
        let validator = jsonschema::draft202012::new(&schema)
            .map_err(|error| anyhow::anyhow!("no schema: {error}"))?;
        let faults: Vec<_> = validator
            .iter_errors(value)
            .map(|fault| format!("{}: {fault}", fault.instance_path()))
            .collect();
        ensure!(faults.is_empty(), "{}", faults.join("; "));
        Ok(())
    }

    /// Fails unless every documented answer was seen.
    pub fn all_were_seen(&self) -> Result<()> {
        let mut missing = Vec::new();
        for path in self.paths() {
            for operation in self.operations(&path).values() {
                let responses = operation.get("responses").and_then(Value::as_object);
                for status in responses.into_iter().flat_map(Map::keys) {
                    let key = (self.canonical(&path), status.parse()?);
                    if !self.seen.contains(&key) {
                        missing.push(format!("{path} {status}"));
                    }
                }
            }
        }
        if !missing.is_empty() {
            bail!("documented, but never seen: {}", missing.join(", "));
        }
        Ok(())
    }

    /// What a `$ref` into the document stands for.
    fn resolved<'a>(&'a self, value: &'a Value) -> &'a Value {
        value
            .get("$ref")
            .and_then(Value::as_str)
            .and_then(|target| self.document.pointer(target.strip_prefix('#')?))
            .unwrap_or(value)
    }
}
