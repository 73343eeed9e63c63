//! Of each dependency one licence at least is among those that `.cargo/deny.toml` allows.

use std::process::Command;

use anyhow::{Context, Result, ensure};
use docs_tests::read;
use serde_json::Value;

/// Whether an SPDX expression can be satisfied. `/` is an old way to write OR.
fn satisfied(expression: &str, allowed: &[String]) -> bool {
    let spaced = expression
        .replace('/', " OR ")
        .replace('(', " ( ")
        .replace(')', " ) ");
    let mut words = spaced.split_whitespace().peekable();
    let met = any_of(&mut words, allowed);
    met && words.next().is_none()
}

type Words<'a> = std::iter::Peekable<std::str::SplitWhitespace<'a>>;

fn any_of(words: &mut Words<'_>, allowed: &[String]) -> bool {
    let mut met = all_of(words, allowed);
    while words.next_if_eq(&"OR").is_some() {
        met |= all_of(words, allowed);
    }
    met
}

fn all_of(words: &mut Words<'_>, allowed: &[String]) -> bool {
    let mut met = one(words, allowed);
    while words.next_if_eq(&"AND").is_some() {
        met &= one(words, allowed);
    }
    met
}

fn one(words: &mut Words<'_>, allowed: &[String]) -> bool {
    if words.next_if_eq(&"(").is_some() {
        let met = any_of(words, allowed);
        return words.next() == Some(")") && met;
    }
    // "or later" allows what was asked for.
    let licence = words.next().unwrap_or_default().trim_end_matches('+');
    let licence = match words.next_if_eq(&"WITH") {
        Some(_) => format!("{licence} WITH {}", words.next().unwrap_or_default()),
        None => licence.to_owned(),
    };
    allowed.contains(&licence)
}

#[test]
fn an_expression_is_read_as_it_is_meant() {
    let allowed = [
        "MIT".to_owned(),
        "Zlib".to_owned(),
        "Apache-2.0 WITH LLVM-exception".to_owned(),
    ];
    for met in [
        "MIT",
        "GPL-3.0 OR MIT",
        "(GPL-3.0 OR MIT) AND Zlib",
        "GPL-3.0/MIT",
        "Apache-2.0 WITH LLVM-exception",
    ] {
        assert!(satisfied(met, &allowed), "{met}");
    }
    for unmet in [
        "",
        "GPL-3.0",
        "MIT AND GPL-3.0",
        "(MIT OR Zlib) AND GPL-3.0",
        "Apache-2.0",
        "MIT Zlib",
    ] {
        assert!(!satisfied(unmet, &allowed), "{unmet}");
    }
}

#[test]
fn every_dependency_has_a_licence_that_is_allowed() -> Result<()> {
    let rules: toml::Table = read(".cargo/deny.toml")?.parse()?;
    let allowed = rules
        .get("licenses")
        .and_then(|licences| licences.get("allow"));
    let allowed: Vec<String> = allowed
        .context("no licences are allowed")?
        .clone()
        .try_into()?;
    let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let output = Command::new(cargo)
        // What is built here and what is shipped: other platforms' crates need not be fetched for it.
        .args(["metadata", "--format-version", "1", "--locked"])
        .args(["--filter-platform", "x86_64-unknown-linux-gnu"])
        .args(["--filter-platform", "wasm32-wasip2"])
        .current_dir(stage::root())
        .output()?;
    ensure!(
        output.status.success(),
        "{}",
        String::from_utf8_lossy(&output.stderr)
    );
    let metadata: Value = serde_json::from_slice(&output.stdout)?;
    let packages = metadata["packages"].as_array().context("no packages")?;
    assert!(packages.len() > 100);
    for package in packages {
        let licence = package["license"].as_str().unwrap_or_default();
        assert!(
            satisfied(licence, &allowed),
            "{} {}: {licence}",
            package["name"],
            package["version"]
        );
    }
    Ok(())
}
