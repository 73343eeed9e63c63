//! `spin.toml`, as far as this runner goes. What it does not go for, it names.

use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
};

use anyhow::{Context as _, Result, bail, ensure};
use serde::Deserialize;
use toml::{Table, Value};

/// The parts of a Spin manifest (version 2) that the runner acts upon.
#[derive(Debug, Deserialize)]
pub(crate) struct Manifest {
    #[serde(default)]
    pub(crate) variables: BTreeMap<String, Variable>,
    #[serde(default, rename = "trigger")]
    pub(crate) triggers: Triggers,
    #[serde(default, rename = "component")]
    pub(crate) components: BTreeMap<String, Component>,
}

/// An application variable: it has a default, or the one who starts the app has to give a value.
#[derive(Debug, Default, Deserialize)]
pub(crate) struct Variable {
    pub(crate) default: Option<String>,
    #[serde(default)]
    pub(crate) required: bool,
}

#[derive(Debug, Default, Deserialize)]
pub(crate) struct Triggers {
    #[serde(default)]
    pub(crate) http: Vec<Trigger>,
}

/// One route to a component. A component may have several.
#[derive(Debug, Deserialize)]
pub(crate) struct Trigger {
    pub(crate) route: String,
    pub(crate) component: String,
    executor: Option<Executor>,
}

#[derive(Debug, Deserialize)]
struct Executor {
    #[serde(rename = "type")]
    kind: String,
}

#[derive(Debug, Deserialize)]
pub(crate) struct Component {
    /// Relative to the manifest's directory.
    pub(crate) source: PathBuf,
    #[serde(default)]
    pub(crate) variables: BTreeMap<String, String>,
    #[serde(default)]
    pub(crate) environment: BTreeMap<String, String>,
    #[serde(default)]
    pub(crate) allowed_outbound_hosts: Vec<String>,
    #[serde(default)]
    pub(crate) key_value_stores: Vec<String>,
}

impl Manifest {
    pub(crate) fn read(path: &Path) -> Result<Self> {
        let text = std::fs::read_to_string(path)
            .with_context(|| format!("cannot read the manifest {}", path.display()))?;
        Self::parse(&text).with_context(|| path.display().to_string())
    }

    fn parse(text: &str) -> Result<Self> {
        // The parser's own message is several lines with a drawing; its first says where.
        let document: Table = text
            .parse()
            .map_err(|error: toml::de::Error| anyhow::anyhow!(one_line(&error)))?;
        refuse_unknown_keys(&document)?;
        let version = document.get("spin_manifest_version");
        ensure!(
            version.and_then(Value::as_integer) == Some(2),
            "spin_manifest_version must be 2"
        );
        let name = document
            .get("application")
            .and_then(|table| table.get("name"));
        ensure!(name.is_some_and(Value::is_str), "[application] has no name");
        let manifest: Self = document
            .try_into()
            .map_err(|error: toml::de::Error| anyhow::anyhow!(one_line(&error)))?;
        manifest.check()?;
        Ok(manifest)
    }

    fn check(&self) -> Result<()> {
        for (name, variable) in &self.variables {
            check_variable_name(name)?;
            ensure!(
                variable.required != variable.default.is_some(),
                "variable {name:?} must be `required` or have a `default`"
            );
        }
        for (id, component) in &self.components {
            ensure!(
                component
                    .key_value_stores
                    .iter()
                    .all(|store| store == "default"),
                "component.{id}.key_value_stores names another store than \"default\", which this runner does not have"
            );
            for name in component.variables.keys() {
                check_variable_name(name).with_context(|| format!("component.{id}.variables"))?;
            }
        }
        for trigger in &self.triggers.http {
            ensure!(
                self.components.contains_key(&trigger.component),
                "the route {:?} names the component {:?}, which the manifest does not have",
                trigger.route,
                trigger.component
            );
            if let Some(Executor { kind }) = &trigger.executor {
                ensure!(
                    kind == "http" || kind == "spin",
                    "the route {:?} asks for the executor {kind:?}; this runner has only \"http\"",
                    trigger.route
                );
            }
        }
        ensure!(
            !self.triggers.http.is_empty(),
            "there is no [[trigger.http]]: nothing to serve"
        );
        Ok(())
    }
}

fn one_line(error: &toml::de::Error) -> String {
    error.message().replace('\n', " ")
}

/// Spin's rule: words of lower-case letters and digits, each beginning with a letter, joined by `_`.
pub(crate) fn check_variable_name(name: &str) -> Result<()> {
    let is_word = |word: &str| {
        word.starts_with(|first: char| first.is_ascii_lowercase())
            && word
                .chars()
                .all(|c| c.is_ascii_lowercase() || c.is_ascii_digit())
    };
    ensure!(
        name.split('_').all(is_word),
        "{name:?} is no variable name: write words of lower-case letters and digits, each beginning with a letter, joined by single underscores"
    );
    Ok(())
}

/// Fails with the names of all keys that this runner would otherwise ignore.
fn refuse_unknown_keys(document: &Table) -> Result<()> {
    let mut unknown = Unknown::default();
    unknown.in_table(
        "",
        document,
        &[
            "spin_manifest_version",
            "application",
            "variables",
            "trigger",
            "component",
        ],
    );
    // Beside `name` these only describe, or are for other tools.
    unknown.in_value(
        "application",
        document.get("application"),
        &[
            "name",
            "version",
            "description",
            "authors",
            "targets",
            "tool",
        ],
    );
    for (name, variable) in tables(document.get("variables")) {
        unknown.in_value(
            &format!("variables.{name}"),
            Some(variable),
            &["default", "required", "secret", "description"],
        );
    }
    unknown.in_value("trigger", document.get("trigger"), &["http"]);
    let triggers = document
        .get("trigger")
        .and_then(|trigger| trigger.get("http"));
    for trigger in triggers.and_then(Value::as_array).into_iter().flatten() {
        unknown.in_value(
            "trigger.http",
            Some(trigger),
            &["id", "route", "component", "executor"],
        );
        unknown.in_value("trigger.http.executor", trigger.get("executor"), &["type"]);
    }
    for (id, component) in tables(document.get("component")) {
        unknown.in_value(
            &format!("component.{id}"),
            Some(component),
            &[
                "source",
                "variables",
                "environment",
                "allowed_outbound_hosts",
                "key_value_stores",
                // These only describe, or are for `spin build` and other tools.
                "description",
                "build",
                "targets",
                "tool",
            ],
        );
        if component.get("source").is_some_and(Value::is_table) {
            bail!("component.{id}.source is not a local file; this runner downloads nothing");
        }
    }
    unknown.refuse()
}

fn tables(value: Option<&Value>) -> impl Iterator<Item = (&String, &Value)> {
    value.and_then(Value::as_table).into_iter().flatten()
}

#[derive(Default)]
struct Unknown(Vec<String>);

impl Unknown {
    fn in_table(&mut self, path: &str, table: &Table, known: &[&str]) {
        for key in table.keys().filter(|key| !known.contains(&key.as_str())) {
            self.0.push(match path {
                "" => key.clone(),
                path => format!("{path}.{key}"),
            });
        }
    }

    fn in_value(&mut self, path: &str, value: Option<&Value>, known: &[&str]) {
        if let Some(table) = value.and_then(Value::as_table) {
            self.in_table(path, table, known);
        }
    }

    fn refuse(self) -> Result<()> {
        ensure!(
            self.0.is_empty(),
            "this runner does not support {}; run the app under Spin, or remove it",
            self.0.join(", ")
        );
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SMALL: &str = r#"
        spin_manifest_version = 2
        [application]
        name = "small"
        authors = ["someone"]
        [variables]
        url = { default = "https://example.invalid" }
        key = { required = true, secret = true }
        [[trigger.http]]
        route = "/a"
        component = "one"
        [[trigger.http]]
        route = "/b/..."
        component = "one"
        executor = { type = "http" }
        [component.one]
        source = "one.wasm"
        allowed_outbound_hosts = ["{{ url }}"]
        [component.one.build]
        command = "make"
        [component.one.variables]
        url = "{{ url }}"
    "#;

    fn error_of(text: &str) -> String {
        format!("{:#}", Manifest::parse(text).unwrap_err())
    }

    #[test]
    fn the_projects_own_manifest_is_understood() {
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../spin.toml");
        let manifest = Manifest::read(&path).unwrap();
        for component in ["archive-batch", "chatter-sync", "crm-sync", "status-api"] {
            assert!(manifest.components.contains_key(component), "{component}");
            let routes = manifest.triggers.http.iter();
            assert!(
                routes.filter(|t| t.component == component).count() > 0,
                "{component}"
            );
        }
    }

    #[test]
    fn keys_that_only_describe_are_accepted() {
        let manifest = Manifest::parse(SMALL).unwrap();
        assert_eq!(manifest.triggers.http.len(), 2);
        assert!(manifest.variables["key"].required);
    }

    #[test]
    fn every_unsupported_key_is_named_at_every_level() {
        let text = SMALL
            .replace(
                "source = \"one.wasm\"",
                "source = \"one.wasm\"\nsqlite_databases = [\"default\"]\nfiles = []",
            )
            .replace("name = \"small\"", "name = \"small\"\nbase = \"/x\"")
            .replace("route = \"/a\"", "route = \"/a\"\nstatic_response = {}")
            .replace("required = true,", "required = true, vault = \"x\",")
            + "\n[[trigger.redis]]\nchannel = \"x\"\n[extra]\n";
        let error = error_of(&text);
        for key in [
            "component.one.sqlite_databases",
            "component.one.files",
            "application.base",
            "trigger.http.static_response",
            "trigger.redis",
            "variables.key.vault",
            "extra",
        ] {
            assert!(error.contains(key), "{key} is missing in: {error}");
        }
        assert!(!error.contains('\n'), "one line: {error}");
    }

    #[test]
    fn a_variable_is_required_or_has_a_default_and_is_named_as_spin_wants_it() {
        assert!(
            error_of(&SMALL.replace("{ required = true, secret = true }", "{ secret = true }"))
                .contains("\"key\" must be `required` or have a `default`")
        );
        for name in ["Key", "1key", "key_", "a__b", "a-b", "a_1", ""] {
            assert!(check_variable_name(name).is_err(), "{name:?}");
        }
        for name in ["key", "a_b2", "odoo_url"] {
            check_variable_name(name).unwrap();
        }
    }

    #[test]
    fn a_route_to_nowhere_a_foreign_executor_and_a_remote_source_are_refused() {
        assert!(
            error_of(&SMALL.replace(
                "component = \"one\"\n        executor",
                "component = \"two\"\n        executor"
            ))
            .contains("\"two\"")
        );
        assert!(error_of(&SMALL.replace("type = \"http\"", "type = \"wagi\"")).contains("wagi"));
        assert!(
            error_of(&SMALL.replace(
                "source = \"one.wasm\"",
                "source = { url = \"https://x.invalid/a\", digest = \"sha256:0\" }"
            ))
            .contains("component.one.source")
        );
        assert!(error_of(&SMALL.replace("version = 2", "version = 1")).contains("must be 2"));
    }
}
