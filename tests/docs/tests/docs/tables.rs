//! Tables that list what the program has: nothing is missing, nothing is made up.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use anyhow::{Context, Result};
use docs_tests::{Contract, Document, Section, documents, read};

fn section<'a>(document: &'a Document, title: &str) -> Result<&'a Section> {
    let found = document
        .sections
        .iter()
        .find(|section| section.title == title);
    found.with_context(|| format!("there is no section {title}"))
}

/// The inline code in the first cell of each row.
fn first_cells(section: &Section) -> BTreeSet<String> {
    let cells = section
        .rows()
        .into_iter()
        .filter_map(|row| row.into_iter().next());
    cells
        .flat_map(|cell| {
            cell.split('`')
                .skip(1)
                .step_by(2)
                .map(str::to_owned)
                .collect::<Vec<_>>()
        })
        .collect()
}

/// Each variable as the table of the settings should have it: default, whether secret, and who uses it.
fn declared() -> Result<BTreeMap<String, (String, bool, String)>> {
    let manifest: toml::Table = read("spin.toml")?.parse()?;
    let table = |name: &str| {
        let table = manifest.get(name).and_then(toml::Value::as_table);
        table.with_context(|| format!("spin.toml has no {name}"))
    };
    let mut declared = BTreeMap::new();
    for (name, variable) in table("variables")? {
        let default = variable.get("default").and_then(toml::Value::as_str);
        let default = default.with_context(|| format!("{name} has no default"))?;
        let secret = variable.get("secret").and_then(toml::Value::as_bool);
        let mut users = Vec::new();
        for component in ["archive-batch", "crm-sync", "chatter-sync", "status-api"] {
            let component_table = table("component")?.get(component);
            let component_table = component_table.context("a component is missing")?;
            let handed = component_table.get("variables").and_then(|v| v.get(name));
            let hosts = component_table.get("allowed_outbound_hosts");
            let hosts = hosts.map(ToString::to_string).unwrap_or_default();
            if handed.is_some() || hosts.contains(&format!("{{{{ {name} }}}}")) {
                users.push(component);
            }
        }
        let users = if users.len() == 4 {
            "all".to_owned()
        } else {
            users.join(", ")
        };
        declared.insert(
            name.clone(),
            (default.to_owned(), secret.unwrap_or_default(), users),
        );
    }
    Ok(declared)
}

#[test]
fn the_variables_are_those_of_the_manifest() -> Result<()> {
    let settings = Document::open("docs/settings.md")?;
    let mut told = BTreeMap::new();
    for row in section(&settings, "Settings")?.rows() {
        let [name, default, meaning, users] = row.as_slice() else {
            panic!("a row of another width: {row:?}");
        };
        assert!(!meaning.is_empty(), "{name} has no meaning");
        let secret = name.ends_with(" (secret)");
        let name = name
            .trim_end_matches(" (secret)")
            .trim_matches('`')
            .to_owned();
        let default = if default == "empty" {
            ""
        } else {
            default.trim_matches('`')
        };
        told.insert(name, (default.to_owned(), secret, users.clone()));
    }
    assert_eq!(told, declared()?);
    Ok(())
}

#[test]
fn every_variable_that_a_document_names_exists() -> Result<()> {
    let declared = declared()?;
    let prefixes = [
        "odoo_", "storage_", "db_", "archive_", "crm_", "chatter_", "jwt_", "jwks_",
    ];
    // Of the same form, and no variables: tables, columns, functions, kinds of failures.
    let files = [
        "spin.toml",
        "sql/03_archive.sql",
        "sql/05_schedules.sql",
        "sql/08_status.sql",
        "sql/09_models.sql",
        "sql/09_pipeline.sql",
        "sql/10_chatter.sql",
        "sql/11_alarm.sql",
        "sql/01_schema.sql",
        "components/shared/fault/src/kind.rs",
    ];
    let elsewhere = files
        .into_iter()
        .map(read)
        .collect::<Result<Vec<_>>>()?
        .join("\n");
    for document in documents()? {
        for code in document.inline_code() {
            let is_name = code.chars().all(|c| c.is_ascii_lowercase() || c == '_');
            if is_name && prefixes.iter().any(|prefix| code.starts_with(prefix)) {
                assert!(
                    declared.contains_key(&code) || elsewhere.contains(&code),
                    "{}: there is no {code}",
                    document.path
                );
            }
        }
    }
    Ok(())
}

#[test]
fn every_state_that_a_job_can_be_in_is_listed() -> Result<()> {
    let looks = [read("sql/06_calls.sql")?, read("sql/06_health.sql")?].concat();
    let states = looks.split("odoo_sync.finding('").skip(1);
    let states: BTreeSet<_> = states
        .filter_map(|rest| rest.split('\'').next())
        .map(str::to_owned)
        .collect();
    assert!(states.len() > 20, "{states:?}");
    let troubleshooting = Document::open("docs/troubleshooting.md")?;
    let listed = first_cells(section(&troubleshooting, "By what a job's state says")?);
    assert_eq!(listed, states);
    Ok(())
}

#[test]
fn every_kind_of_failure_is_listed() -> Result<()> {
    let kinds = fault::Kind::ALL.iter().map(|kind| kind.code().to_owned());
    let troubleshooting = Document::open("docs/troubleshooting.md")?;
    let listed = first_cells(section(&troubleshooting, "By the kind of a failure")?);
    assert_eq!(listed, kinds.collect());
    Ok(())
}

#[test]
fn every_table_and_view_for_people_is_listed() -> Result<()> {
    let queries = Document::open("docs/queries.md")?;
    let listed: BTreeSet<_> = first_cells(section(&queries, "Queries")?)
        .into_iter()
        .map(|name| name.trim_start_matches("public.").to_owned())
        .collect();
    for file in world::postgres::sql_files()? {
        let text = std::fs::read_to_string(file)?;
        let made = [
            "create table if not exists public.",
            "create or replace view public.",
        ];
        for name in made.iter().flat_map(|made| text.split(made).skip(1)) {
            let name = name.split([' ', '(']).next().unwrap_or_default();
            assert!(listed.contains(name), "public.{name} is not listed");
        }
    }
    Ok(())
}

#[test]
fn every_route_of_the_manifest_is_described_and_no_other() -> Result<()> {
    let manifest: toml::Table = read("spin.toml")?.parse()?;
    let triggers = manifest
        .get("trigger")
        .and_then(|trigger| trigger.get("http"));
    let triggers = triggers
        .and_then(toml::Value::as_array)
        .context("no triggers")?;
    let mut routes = BTreeMap::new();
    for trigger in triggers {
        let text = |key: &str| trigger.get(key).and_then(toml::Value::as_str);
        let route = text("route").context("no route")?;
        routes.insert(route, text("component").context("no component")?);
    }
    let contract = Contract::open()?;
    let told = read("docs/http.md")?;
    for path in contract.paths() {
        let component = routes.get(path.as_str()).or(routes.get("/..."));
        for operation in contract.operations(&path).values() {
            let tag = operation
                .pointer("/tags/0")
                .and_then(serde_json::Value::as_str);
            assert_eq!(tag, component.copied(), "{path}");
        }
        let shown = path
            .replace("/card/{file}", "/card/…")
            .replace("/actions/{action}", "/actions/retry");
        assert!(
            path == "/status.schema.json" || told.contains(&shown),
            "{path} is not in docs/http.md"
        );
    }
    for route in routes.keys().filter(|route| **route != "/...") {
        assert!(contract.paths().iter().any(|path| path == route), "{route}");
    }
    Ok(())
}

#[test]
fn every_library_is_described() -> Result<()> {
    let mut folders = BTreeSet::new();
    for entry in std::fs::read_dir(stage::root().join("components/shared"))? {
        folders.insert(entry?.file_name().to_string_lossy().into_owned());
    }
    let document = Document::open("docs/architecture.md")?;
    assert_eq!(first_cells(section(&document, "Architecture")?), folders);
    Ok(())
}

/// Each line of the threat model names tests, and they exist.
#[test]
fn every_line_of_the_threat_model_is_shown_by_tests() -> Result<()> {
    let document = Document::open("docs/threat-model.md")?;
    let sources = sources(&stage::root())?;
    let rows = section(&document, "Threat model")?.rows();
    assert!(rows.len() > 10);
    for row in rows {
        let tests: Vec<_> = row.last().context("an empty row")?.split('`').collect();
        assert!(tests.len() > 1, "no test shows: {row:?}");
        for test in tests.iter().skip(1).step_by(2) {
            assert!(
                sources.contains(&format!("fn {test}()"))
                    || sources.contains(&format!("fn {test}_in(")),
                "there is no test {test}"
            );
        }
    }
    Ok(())
}

/// The text of every Rust file below a folder, without what is built.
fn sources(folder: &Path) -> Result<String> {
    let mut text = String::new();
    for entry in std::fs::read_dir(folder)? {
        let path = entry?.path();
        if path.is_dir() && !path.ends_with("target") && !path.ends_with(".git") {
            text.push_str(&sources(&path)?);
        } else if path.extension().is_some_and(|end| end == "rs") {
            text.push_str(&std::fs::read_to_string(&path)?);
        }
    }
    Ok(text)
}

#[test]
fn one_version_stands_everywhere() -> Result<()> {
    let manifest: toml::Table = read("spin.toml")?.parse()?;
    let version = env!("CARGO_PKG_VERSION");
    let of_manifest = manifest
        .get("application")
        .and_then(|app| app.get("version"));
    assert_eq!(of_manifest.and_then(toml::Value::as_str), Some(version));
    let contract = Contract::open()?;
    assert_eq!(contract.document()["info"]["version"], version);
    let changes = Document::open("CHANGELOG.md")?;
    let newest = changes.sections.iter().find(|section| section.level == 2);
    assert_eq!(newest.map(|section| section.title.as_str()), Some(version));
    Ok(())
}
