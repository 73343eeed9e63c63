//! `cargo chaos`: faults everywhere for a set time, then everything compared with Odoo.

use std::net::SocketAddr;
use std::process::ExitCode;
use std::time::{Duration, Instant};

use anyhow::{Result, ensure};
use chaos::{Leases, Order, Size, run, serve, this_program};
use clap::{Parser, Subcommand};

/// Runs archive, pipeline and chatter under random faults, then compares everything with Odoo. Ends
/// with status 0 only if nothing differs.
#[derive(Debug, Parser)]
#[command(override_usage = "cargo chaos -- [OPTIONS]")]
struct Arguments {
    /// How long there are faults
    #[arg(long, value_name = "N", default_value = "15")]
    minutes: f64,
    /// What the plan follows from; another one each time where it is left out
    #[arg(long, value_name = "N")]
    seed: Option<u64>,
    /// How many attachments Odoo has at the beginning
    #[arg(long, value_name = "N", default_value = "3000")]
    attachments: u64,
    /// How many leads it has then
    #[arg(long, value_name = "N", default_value = "400")]
    leads: u32,
    #[command(subcommand)]
    command: Option<Command>,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Serve the app until standard input ends: one of the processes that are killed.
    #[command(hide = true)]
    Serve {
        /// Where.
        #[arg(long)]
        listen: SocketAddr,
    },
}

#[tokio::main]
async fn main() -> ExitCode {
    let arguments = Arguments::parse();
    let outcome = match arguments.command {
        Some(Command::Serve { listen }) => serve(listen).await.map(|()| true),
        None => chaos(&arguments).await,
    };
    match outcome {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::FAILURE
        }
    }
}

async fn chaos(arguments: &Arguments) -> Result<bool> {
    ensure!(
        (0.1..=1440.0).contains(&arguments.minutes),
        "--minutes: from 0.1 to 1440"
    );
    let order = Order {
        seed: arguments.seed.unwrap_or_else(another_seed),
        length: Duration::from_secs_f64(arguments.minutes * 60.0),
        size: Size {
            attachments: arguments.attachments,
            leads: arguments.leads,
        },
        leases: Leases::InTime,
    };
    let begun = Instant::now();
    let summary = run(&this_program()?, &order, |line| eprintln!("{line}")).await?;
    eprintln!("{} s in all\n", begun.elapsed().as_secs());
    println!("{summary}");
    Ok(summary.good())
}

/// A number that differs from run to run.
fn another_seed() -> u64 {
    let since = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
    since.map_or(1, |since| u64::from(since.subsec_micros()))
}
