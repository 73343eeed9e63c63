//! `cargo demo`: the whole program on one machine, from an Odoo to a Storage, by one command.

mod arguments;
mod fault;
mod moving;
mod scene;
mod spelling;
mod summary;
mod terminal;
mod verification;

use std::process::ExitCode;

use anyhow::Result;
use clap::Parser;

use arguments::{Arguments, Plan};
use moving::Ended;
use scene::Scene;
use summary::Summary;
use terminal::Terminal;

#[tokio::main]
async fn main() -> ExitCode {
    let mut terminal = Terminal::of_stdout();
    let outcome = match Arguments::try_parse() {
        Ok(arguments) => tokio::select! {
            outcome = run(arguments, &mut terminal) => outcome,
            _ = tokio::signal::ctrl_c() => {
                terminal.interrupted();
                return ExitCode::from(130);
            }
        },
        Err(help) if help.exit_code() == 0 => {
            // A closed standard output is nobody's fault here.
            let _ = help.print();
            return ExitCode::SUCCESS;
        }
        Err(wrong) => Err(arguments::in_one_line(&wrong)),
    };
    match outcome {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            terminal.break_off();
            eprintln!("error: {}", fault::in_one_line(&error));
            ExitCode::FAILURE
        }
    }
}

/// Whether all of it arrived and was verified.
async fn run(arguments: Arguments, terminal: &mut Terminal) -> Result<bool> {
    let once = arguments.once;
    let plan = Plan::from(arguments, |name| std::env::var(name).ok())?;
    terminal.title("From Odoo to Supabase, on this machine");
    let scene = Scene::set(plan, terminal).await?;
    let ended = moving::everything(&scene, terminal).await?;
    let good = tell(&scene, &ended, terminal).await?;
    if !once {
        terminal.line("");
        terminal.fact("card", &format!("{}/", scene.url()));
        terminal.fact("database", &format!("psql {}", scene.database.owner_url()));
        terminal.line("");
        terminal.line("  Everything stays up, and the jobs go on, until Ctrl-C.");
        // Ctrl-C ends this whole function from outside.
        std::future::pending::<()>().await;
    }
    Ok(good)
}

async fn tell(scene: &Scene, ended: &Ended, terminal: &mut Terminal) -> Result<bool> {
    let summary = Summary::read(scene).await?;
    summary.print(ended, terminal);
    let found = verification::of(scene, &summary).await?;
    Ok(found.print(terminal))
}
