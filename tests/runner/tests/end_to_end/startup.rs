//! An app that cannot run does not start, and one line says why.

use std::{collections::BTreeMap, path::Path};

use runner::{Log, Options};

use crate::app::guest;

async fn failure(source: &Path, more: &str) -> String {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("spin.toml");
    let manifest = format!(
        "spin_manifest_version = 2\n[application]\nname = \"x\"\n\
         [[trigger.http]]\nroute = \"/\"\ncomponent = \"one\"\n\
         [component.one]\nsource = \"{}\"\n{more}",
        source.display()
    );
    std::fs::write(&path, manifest).unwrap();
    let started = runner::start(Options {
        manifest: path,
        listen: "127.0.0.1:0".parse().unwrap(),
        variables: BTreeMap::new(),
        memory_limit_mib: None,
        request_timeout: None,
        max_connections: None,
        log: Log::Discard,
    })
    .await;
    let error = format!("{:#}", started.err().expect("it started"));
    assert!(!error.contains('\n'), "one line: {error}");
    error
}

/// Writes a component given as text.
fn component(text: &str) -> tempfile::NamedTempFile {
    let file = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(file.path(), wat::parse_str(text).unwrap()).unwrap();
    file
}

#[tokio::test]
async fn an_import_that_is_not_supported_is_named_with_its_component() {
    let file = component(
        r#"(component
            (import "fermyon:spin/key-value@2.0.0" (instance))
            (import "wasi:cli/environment@0.2.0" (instance))
            (import "wasi:keyvalue/store@0.2.0-draft2" (instance)))"#,
    );
    let error = failure(file.path(), "").await;
    assert!(error.contains("component one"), "{error}");
    assert!(error.contains("fermyon:spin/key-value@2.0.0"), "{error}");
    assert!(
        error.contains("wasi:keyvalue/store@0.2.0-draft2"),
        "{error}"
    );
    assert!(!error.contains("wasi:cli"), "{error}");
}

#[tokio::test]
async fn a_component_that_serves_no_http_is_named() {
    let file = component("(component)");
    let error = failure(file.path(), "").await;
    assert!(error.contains("component one"), "{error}");
    assert!(error.contains("wasi:http/handler@0.3.0"), "{error}");
}

#[tokio::test]
async fn a_component_that_is_not_built_says_how_to() {
    let error = failure(Path::new("nowhere.wasm"), "").await;
    assert!(error.contains("nowhere.wasm is not there"), "{error}");
    assert!(error.contains("[component.one.build]"), "{error}");
}

#[tokio::test]
async fn a_manifest_that_asks_for_more_is_refused_with_its_path_and_the_key() {
    let error = failure(guest(), "ai_models = [\"llama\"]").await;
    assert!(error.contains("spin.toml"), "{error}");
    assert!(error.contains("component.one.ai_models"), "{error}");
}

#[tokio::test]
async fn a_required_variable_without_a_value_and_a_wrong_host_are_named() {
    let error = failure(guest(), "[variables]\nsecret_thing = { required = true }").await;
    assert!(error.contains("SPIN_VARIABLE_SECRET_THING"), "{error}");
    let error = failure(guest(), "allowed_outbound_hosts = [\"example.com\"]").await;
    assert!(error.contains("component one"), "{error}");
    assert!(error.contains("\"example.com\""), "{error}");
}
