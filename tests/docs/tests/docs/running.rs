//! Running what stands in a block.

use std::collections::BTreeMap;
use std::process::Stdio;

use anyhow::{Context, Result, ensure};
use docs_tests::Block;
use tokio::process::Command;
use tokio_postgres::{Client, SimpleQueryMessage};

/// The address that stands in the documents for that of the components.
pub const SYNC: &str = "https://sync.example.com";

/// What a shell block finds in its environment.
pub type Environment = BTreeMap<&'static str, String>;

/// Runs a shell block as it stands, from the project's folder; returns what it printed.
pub async fn sh(block: &Block, environment: &Environment) -> Result<String> {
    let output = Command::new("bash")
        .args(["-euo", "pipefail", "-c", &block.text])
        .current_dir(stage::root())
        .envs(environment)
        .stdin(Stdio::null())
        .kill_on_drop(true)
        .output()
        .await
        .context("bash could not be started")?;
    ensure!(
        output.status.success(),
        "{}{}",
        block.text,
        String::from_utf8_lossy(&output.stderr)
    );
    Ok(String::from_utf8(output.stdout)?)
}

/// Runs a block of SQL as it stands, but for the address; returns the rows of each statement.
pub async fn sql(client: &Client, text: &str, sync_url: &str) -> Result<Vec<Vec<Row>>> {
    let text = text.replace(SYNC, sync_url);
    let messages = client.simple_query(&text).await.map_err(|error| {
        let said = error.as_db_error().map(|error| error.message().to_owned());
        anyhow::anyhow!("{}: {text}", said.unwrap_or_else(|| error.to_string()))
    })?;
    let mut statements = Vec::new();
    let mut rows = Vec::new();
    for message in messages {
        match message {
            SimpleQueryMessage::Row(row) => rows.push(Row(row
                .columns()
                .iter()
                .enumerate()
                .map(|(number, column)| {
                    let value = row.get(number).unwrap_or_default();
                    (column.name().to_owned(), value.to_owned())
                })
                .collect())),
            SimpleQueryMessage::CommandComplete(_) => statements.push(std::mem::take(&mut rows)),
            _ => {}
        }
    }
    Ok(statements)
}

/// A row as text by column; null is empty.
#[derive(Debug, Default, Clone, PartialEq, Eq)]
pub struct Row(Vec<(String, String)>);

impl Row {
    /// A column's value; empty if there is none of that name.
    pub fn get(&self, column: &str) -> &str {
        let found = self.0.iter().find(|(name, _)| name == column);
        found.map_or("", |(_, value)| value.as_str())
    }
}
