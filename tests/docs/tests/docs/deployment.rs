//! The files of `components/deploy` are what their tools take, as far as these are at hand, and name
//! only what there is.

use std::collections::BTreeMap;
use std::process::Command;

use anyhow::{Context, Result};
use docs_tests::read;

const FOLDER: &str = "components/deploy";

/// The variables of spin.toml, and whether each is secret.
fn variables() -> Result<BTreeMap<String, bool>> {
    let manifest: toml::Table = read("spin.toml")?.parse()?;
    let variables = manifest.get("variables").and_then(toml::Value::as_table);
    let variables = variables.context("no variables")?.iter();
    Ok(variables
        .map(|(name, variable)| (name.clone(), variable.get("secret").is_some()))
        .collect())
}

#[test]
fn the_settings_for_akamai_are_variables_of_the_manifest() -> Result<()> {
    let variables = variables()?;
    for line in read(format!("{FOLDER}/akamai.env"))?.lines() {
        if !line.starts_with('#') {
            let name = line.split('=').next().unwrap_or_default();
            assert!(variables.contains_key(name), "{line}");
        }
    }
    Ok(())
}

#[test]
fn the_manifest_for_kubernetes_gives_secrets_by_reference_only() -> Result<()> {
    let variables = variables()?;
    let manifest = read(format!("{FOLDER}/spinkube.yaml"))?;
    let listed = manifest
        .split("\n  variables:\n")
        .nth(1)
        .context("no variables")?;
    let listed = listed.split("\n---").next().unwrap_or_default();
    let mut given = 0;
    for entry in listed.split("    - name: ").skip(1) {
        let name = entry.lines().next().unwrap_or_default();
        let secret = variables
            .get(name)
            .with_context(|| format!("there is no {name}"))?;
        assert!(
            !secret || !entry.contains("\n      value: "),
            "{name} is secret"
        );
        given += 1;
    }
    assert!(given > 8);
    Ok(())
}

#[test]
fn the_manifest_for_kubernetes_is_yaml() -> Result<()> {
    // kubectl reads resources of a folder without a cluster.
    let kustomization = "resources: [spinkube.yaml]\n";
    let folder =
        std::env::temp_dir().join(format!("odoo-to-supabase-kustomize-{}", std::process::id()));
    std::fs::create_dir_all(&folder)?;
    std::fs::write(folder.join("kustomization.yaml"), kustomization)?;
    std::fs::write(
        folder.join("spinkube.yaml"),
        read(format!("{FOLDER}/spinkube.yaml"))?,
    )?;
    let output = Command::new("kubectl")
        .arg("kustomize")
        .arg(&folder)
        .output();
    std::fs::remove_dir_all(&folder)?;
    let Ok(output) = output else {
        eprintln!("skipped: spinkube.yaml is not read, since there is no kubectl");
        return Ok(());
    };
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{said}");
    let read = String::from_utf8_lossy(&output.stdout);
    assert!(read.contains("kind: SpinApp") && read.contains("kind: HorizontalPodAutoscaler"));
    Ok(())
}

#[test]
fn the_unit_is_one_that_systemd_takes() {
    let unit = stage::root().join(FOLDER).join("odoo-to-supabase.service");
    let output = Command::new("systemd-analyze")
        .arg("verify")
        .arg(&unit)
        .output();
    let Ok(output) = output else {
        eprintln!("skipped: the unit is not verified, since there is no systemd-analyze");
        return;
    };
    let said = String::from_utf8_lossy(&output.stderr);
    // Whether a Spin is installed is not the unit's affair.
    let complaints: Vec<_> = said
        .lines()
        .filter(|line| {
            line.contains("odoo-to-supabase.service") && !line.contains("is not executable")
        })
        .collect();
    assert_eq!(complaints, Vec::<&str>::new());
}

/// systemd's own score: 0 is a service that can do nothing, 10 one that may do everything.
#[test]
fn the_unit_exposes_little() -> Result<()> {
    let unit = stage::root().join(FOLDER).join("odoo-to-supabase.service");
    let output = Command::new("systemd-analyze")
        .args(["security", "--offline=true", "--threshold=20"])
        .arg(&unit)
        .output();
    let Ok(output) = output else {
        eprintln!("skipped: the unit is not rated, since there is no systemd-analyze");
        return Ok(());
    };
    let said = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success(), "{said}");
    assert!(
        read(format!("{FOLDER}/odoo-to-supabase.service"))?.contains("\nLimitCORE=0\n"),
        "a core dump would hold the keys"
    );
    Ok(())
}

#[test]
fn no_action_of_the_workflow_can_change_behind_our_back() -> Result<()> {
    let workflow = read(".github/workflows/ci.yml")?;
    let mut actions = 0;
    for action in workflow.split("uses: ").skip(1) {
        let version = action
            .split_whitespace()
            .next()
            .and_then(|action| action.split_once('@'));
        let (_, version) = version.context("an action without a version")?;
        assert!(
            version.len() == 40 && version.chars().all(|c| c.is_ascii_hexdigit()),
            "{version} is no commit"
        );
        actions += 1;
    }
    assert!(actions > 0);
    Ok(())
}

#[test]
fn the_runtime_configuration_caps_postgres_and_leaves_http_alone() -> Result<()> {
    let configuration: toml::Table = read(format!("{FOLDER}/runtime-config.toml"))?.parse()?;
    let tables: Vec<_> = configuration.keys().collect();
    assert_eq!(tables, ["outbound_pg"]);
    let most = configuration["outbound_pg"].get("max_connections");
    let most = most
        .and_then(toml::Value::as_integer)
        .context("no number")?;
    let told = read(format!("{FOLDER}/README.md"))?;
    assert!(told.contains(&format!("`max_connections = {most}`")));
    assert!(told.contains(&format!("replicas × {most}")));
    Ok(())
}
