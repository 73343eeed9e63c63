//! What the README tells people to type is what CI runs, or at least what the program understands.

use std::path::PathBuf;
use std::process::Command;

use anyhow::{Context, Result};

fn read(name: &str) -> Result<String> {
    let path: PathBuf = stage::root().join(name);
    std::fs::read_to_string(&path).with_context(|| path.display().to_string())
}

/// The lines of the README's shell blocks that run cargo.
fn commands(readme: &str) -> Vec<&str> {
    let mut inside = false;
    let mut found = Vec::new();
    for line in readme.lines() {
        match line {
            "```sh" => inside = true,
            "```" => inside = false,
            line if inside && line.starts_with("cargo ") => found.push(line),
            _ => {}
        }
    }
    found
}

#[test]
fn each_command_of_the_readme_is_run_by_ci_or_understood() -> Result<()> {
    let (readme, ci) = (read("README.md")?, read(".ci/run")?);
    let commands = commands(&readme);
    assert!(commands.contains(&"cargo test") && commands.contains(&"cargo demo"));
    for command in commands {
        match command.strip_prefix("cargo demo -- ") {
            // Of a company's own servers only the spelling can be tried: without a key nothing begins.
            Some(flags) if flags.contains("https://") => {
                let output = Command::new(env!("CARGO_BIN_EXE_demo"))
                    .args(flags.split_whitespace())
                    .env_remove("ODOO_API_KEY")
                    .env_remove("ODOO_PASSWORD")
                    .output()?;
                let said = String::from_utf8(output.stderr)?;
                assert!(
                    said.contains("ODOO_API_KEY is not set"),
                    "{command}: {said}"
                );
            }
            _ => assert!(
                ci.lines()
                    .any(|line| line == command || line.starts_with(&format!("{command} "))),
                "`{command}` is not run by .ci/run"
            ),
        }
    }
    Ok(())
}

#[test]
fn ci_ends_with_the_test_runners_words() -> Result<()> {
    let ci = read(".ci/run")?;
    assert_eq!(ci.lines().last(), Some("cargo test"));
    assert!(read(".github/workflows/ci.yml")?.contains("- run: .ci/run\n"));
    Ok(())
}
