//! Building the components, as `spin build` does.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::OnceLock;

use anyhow::{Context, Result, bail};

const TARGET: &str = "wasm32-wasip2";

const COMPONENTS: [&str; 4] = ["archive-batch", "crm-sync", "chatter-sync", "status-api"];

/// The project's folder.
pub fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .ancestors()
        .nth(2)
        .unwrap_or(Path::new("."))
        .to_owned()
}

/// Builds the components, once in the life of this process. The target is added where it is missing:
/// automatic installation is switched off on some machines.
pub fn build_components() -> Result<()> {
    static BUILT: OnceLock<Result<(), String>> = OnceLock::new();
    BUILT
        .get_or_init(|| build().map_err(|error| format!("{error:#}")))
        .clone()
        .map_err(anyhow::Error::msg)
}

fn build() -> Result<()> {
    ensure_target()?;
    let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let mut command = Command::new(cargo);
    command
        .current_dir(root())
        .args(["build", "--quiet", "--locked", "--release"])
        .args(["--target", TARGET])
        .args(COMPONENTS.iter().flat_map(|name| ["--package", name]))
        // What cargo sets for the test that runs this must not reach the build that it starts.
        .env_remove("RUSTFLAGS")
        .env_remove("CARGO_ENCODED_RUSTFLAGS")
        .stdin(Stdio::null());
    let status = command.status().context("cargo could not be started")?;
    if !status.success() {
        bail!("the components do not build: cargo build --release --target {TARGET}");
    }
    Ok(())
}

fn ensure_target() -> Result<()> {
    let listed = Command::new("rustup")
        .args(["target", "list", "--installed"])
        .stderr(Stdio::null())
        .output();
    let Ok(listed) = listed else {
        // A toolchain without rustup has the target, or the build says that it is missing.
        return Ok(());
    };
    if String::from_utf8_lossy(&listed.stdout)
        .lines()
        .any(|line| line.trim() == TARGET)
    {
        return Ok(());
    }
    let status = Command::new("rustup")
        .args(["target", "add", TARGET])
        .stdin(Stdio::null())
        .status()
        .context("rustup could not be started")?;
    if !status.success() {
        bail!("the target {TARGET} is missing: run `rustup target add {TARGET}`");
    }
    Ok(())
}
