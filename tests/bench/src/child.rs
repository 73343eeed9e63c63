//! Processes of this very program.

use std::process::Stdio;

use anyhow::{Context, Result, bail};
use serde::Serialize;
use serde::de::DeserializeOwned;
use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader};
use tokio::process::{Child, ChildStdout, Command};

/// A process that was told what to do on its standard input, and answers in lines of JSON. It ends
/// when this is dropped.
pub struct Process {
    child: Child,
    answers: BufReader<ChildStdout>,
}

impl Process {
    /// Starts this program with a hidden command.
    pub async fn start(command: &str, order: &impl Serialize) -> Result<Self> {
        let mut child = Command::new(std::env::current_exe()?)
            .arg(command)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .kill_on_drop(true)
            .spawn()
            .with_context(|| format!("`{command}` could not be started"))?;
        let mut stdin = child.stdin.take().context("no standard input")?;
        let mut order = serde_json::to_vec(order)?;
        order.push(b'\n');
        stdin.write_all(&order).await?;
        // Held open: a child that reads on sees by its end that this process is gone.
        child.stdin = Some(stdin);
        let answers = BufReader::new(child.stdout.take().context("no standard output")?);
        Ok(Self { child, answers })
    }

    /// Its next answer.
    pub async fn answer<T: DeserializeOwned>(&mut self) -> Result<T> {
        let mut line = String::new();
        if self.answers.read_line(&mut line).await? == 0 {
            let status = self.child.wait().await?;
            bail!("a process of the benchmark ended early ({status}); what it said is above");
        }
        serde_json::from_str(&line).with_context(|| format!("not an answer: {line}"))
    }
}

/// The order that this process was started with. From now on it ends when whoever started it does.
pub fn order<T: DeserializeOwned>() -> Result<T> {
    let mut line = String::new();
    std::io::stdin().read_line(&mut line)?;
    std::thread::spawn(|| {
        // Nothing more comes: this returns when the other end is gone, however it ended.
        let _ = std::io::copy(&mut std::io::stdin(), &mut std::io::sink());
        std::process::exit(1);
    });
    serde_json::from_str(&line).context("this command is started by the benchmark itself")
}

/// Answers whoever started this process.
pub fn tell(answer: &impl Serialize) -> Result<()> {
    println!("{}", serde_json::to_string(answer)?);
    Ok(())
}
