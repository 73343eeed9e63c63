//! `cargo demo`: the whole program on one machine, from an Odoo to a Storage, by one command.

mod arguments;
mod calling;
mod checking;
mod fault;
mod moving;
mod scene;
mod spelling;
mod summary;
mod syncing;
mod terminal;
mod verification;

use std::process::ExitCode;

use anyhow::Result;
use tokio::signal::unix::{Signal, SignalKind, signal};

use arguments::{Arguments, Plan};
use moving::Ended;
use scene::Scene;
use summary::Summary;
use terminal::Terminal;

#[tokio::main]
async fn main() -> ExitCode {
    let mut terminal = Terminal::of_stdout();
    // Listened for from here on: one that comes between two waits for it is not lost.
    let mut ctrl_c = match signal(SignalKind::interrupt()) {
        Ok(ctrl_c) => ctrl_c,
        Err(error) => return failed(&error.into(), &mut terminal),
    };
    let arguments = match Arguments::of_command_line(std::env::args_os()) {
        Ok(arguments) => arguments,
        Err(help) if help.exit_code() == 0 => {
            // A closed standard output is nobody's fault here.
            let _ = help.print();
            return ExitCode::SUCCESS;
        }
        Err(wrong) => return failed(&arguments::in_one_line(&wrong), &mut terminal),
    };
    let once = arguments.once || arguments.check;
    let outcome = tokio::select! {
        outcome = run(arguments, &mut terminal) => outcome,
        _ = ctrl_c.recv() => {
            terminal.interrupted();
            return ExitCode::from(INTERRUPTED);
        }
    };
    match outcome {
        Ok((scene, good)) => {
            if !once {
                stay(&scene, &mut ctrl_c, &mut terminal).await;
            }
            if good {
                ExitCode::SUCCESS
            } else {
                ExitCode::FAILURE
            }
        }
        Err(error) => failed(&error, &mut terminal),
    }
}

/// As a shell says that Ctrl-C ended a program.
const INTERRUPTED: u8 = 130;

fn failed(error: &anyhow::Error, terminal: &mut Terminal) -> ExitCode {
    terminal.break_off();
    eprintln!("error: {}", fault::in_one_line(error));
    ExitCode::FAILURE
}

/// Moves everything; whether all of it arrived and was verified. Or only looks whether all is set up right.
async fn run(arguments: Arguments, terminal: &mut Terminal) -> Result<(Scene, bool)> {
    let check = arguments.check;
    let plan = Plan::from(arguments, |name| std::env::var(name).ok())?;
    terminal.title("From Odoo to Supabase, on this machine");
    let scene = Scene::set(plan, terminal).await?;
    if check {
        let good = checking::everything(&scene, terminal).await?;
        return Ok((scene, good));
    }
    let ended = moving::everything(&scene, terminal).await?;
    let moved = tell(&scene, &ended, terminal).await?;
    let good = syncing::everything(&scene, terminal).await? && moved;
    Ok((scene, good))
}

/// Everything stays up until Ctrl-C.
async fn stay(scene: &Scene, ctrl_c: &mut Signal, terminal: &mut Terminal) {
    terminal.line("");
    terminal.fact("card", &format!("{}/", scene.url()));
    terminal.fact("database", &format!("psql {}", scene.database.owner_url()));
    terminal.line("\n  Everything stays up, and the jobs go on, until Ctrl-C.");
    ctrl_c.recv().await;
    terminal.interrupted();
}

async fn tell(scene: &Scene, ended: &Ended, terminal: &mut Terminal) -> Result<bool> {
    let summary = Summary::read(scene).await?;
    summary.print(ended, terminal);
    let found = verification::of(scene, &summary).await?;
    Ok(found.print(terminal))
}
