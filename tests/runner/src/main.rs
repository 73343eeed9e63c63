//! `runner up`: what `spin up` does, as far as this project needs it.

use std::{net::SocketAddr, path::PathBuf, process::ExitCode, time::Duration};

use anyhow::{Context as _, Result};
use clap::{Parser, Subcommand};
use runner::{Log, Options};

/// Runs a spin.toml where no Spin CLI is at hand. A development tool: small, and not for production.
#[derive(Parser)]
#[command(version)]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Serve the app until Ctrl-C.
    Up(Up),
}

#[derive(clap::Args)]
struct Up {
    /// The manifest.
    #[arg(short, long, default_value = "spin.toml")]
    from: PathBuf,
    /// Where to listen; port 0 takes a free one.
    #[arg(long, default_value = "127.0.0.1:3000")]
    listen: SocketAddr,
    /// The value of an application variable; may be repeated. It comes before `SPIN_VARIABLE_*`.
    #[arg(long = "variable", value_name = "NAME=VALUE", value_parser = variable)]
    variables: Vec<(String, String)>,
    /// The most linear memory of an instance.
    #[arg(long)]
    memory_limit_mib: Option<usize>,
    /// How long a request may take, in seconds.
    #[arg(long)]
    request_timeout_s: Option<u64>,
    /// The most connections to Postgres at once, over all components.
    #[arg(long)]
    max_connections: Option<usize>,
}

fn variable(text: &str) -> Result<(String, String), String> {
    let (name, value) = text.split_once('=').ok_or("write NAME=VALUE")?;
    Ok((name.trim().to_owned(), value.to_owned()))
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> ExitCode {
    let Command::Up(up) = Arguments::parse().command;
    match serve(up).await {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("Error: {error:#}");
            ExitCode::FAILURE
        }
    }
}

async fn serve(up: Up) -> Result<()> {
    let app = runner::start(Options {
        manifest: up.from,
        listen: up.listen,
        variables: up.variables.into_iter().collect(),
        memory_limit_mib: up.memory_limit_mib,
        request_timeout: up.request_timeout_s.map(Duration::from_secs),
        max_connections: up.max_connections,
        log: Log::Stderr,
    })
    .await?;
    println!("Serving http://{}", app.address());
    println!("Available Routes:");
    for route in app.routes() {
        println!("  {route}");
    }
    // SIGTERM has its usual effect. Either way work in flight is dropped at once, as by Spin.
    tokio::signal::ctrl_c()
        .await
        .context("cannot wait for Ctrl-C")
}
