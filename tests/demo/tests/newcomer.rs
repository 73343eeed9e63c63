//! What somebody meets who runs the demo for the first time: it works, or one line says what to do.

use std::process::{Output, Stdio};
use std::time::Duration;

use anyhow::{Context, Result, bail};
use tokio::io::{AsyncBufReadExt, BufReader};
use tokio::process::{Child, Command};
use world::odoo::{Attachments, Odoo};
use world::storage::Storage;

/// Nothing here takes that long, unless it hangs.
const LIMIT: Duration = Duration::from_mins(10);

/// The demo, with nothing in its environment that a person did not put there.
fn demo(arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_demo"));
    command
        .args(arguments)
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .kill_on_drop(true);
    for name in [
        "ODOO_API_KEY",
        "ODOO_PASSWORD",
        "STORAGE_KEY",
        "DATABASE_URL",
    ] {
        command.env_remove(name);
    }
    command
}

async fn output(mut command: Command) -> Result<Output> {
    let running = command.spawn()?.wait_with_output();
    Ok(tokio::time::timeout(LIMIT, running)
        .await
        .context("it hangs")??)
}

/// The one line that it ends with.
async fn complaint(command: Command) -> Result<String> {
    let output = output(command).await?;
    let said = String::from_utf8(output.stderr)?;
    assert!(!output.status.success(), "it should have failed");
    assert_eq!(said.lines().count(), 1, "one line, but: {said}");
    assert!(said.starts_with("error: "), "{said}");
    for rubbish in ["panicked", "RUST_BACKTRACE", "Error {", "Some("] {
        assert!(!said.contains(rubbish), "{said}");
    }
    Ok(said)
}

async fn odoo() -> Result<Odoo> {
    Odoo::start(world::odoo::Options {
        attachments: Attachments::of(20),
        ..Default::default()
    })
    .await
}

#[tokio::test]
async fn all_files_arrive_and_are_verified() -> Result<()> {
    let output = output(demo(&["--once", "--attachments", "200", "--leads", "40"])).await?;
    let told = String::from_utf8(output.stdout)?;
    assert!(
        output.status.success(),
        "{told}{}",
        String::from_utf8_lossy(&output.stderr)
    );
    assert_eq!(output.stderr, b"");
    assert!(told.contains("for 200 of Odoo's 200 attachments"), "{told}");
    assert!(told.contains("hashed again in Storage: = all"), "{told}");
    assert!(told.contains("with its row in migration_logs"), "{told}");
    assert!(
        told.contains("40 leads") && told.contains(" messages"),
        "{told}"
    );
    assert_eq!(told.matches("= as in Odoo").count(), 2, "{told}");
    assert!(!told.contains('\u{1b}'), "no colours for a file: {told}");
    assert!(
        told.lines().all(|line| line.chars().count() <= 80),
        "too wide: {told}"
    );
    Ok(())
}

/// The README's line, with the addresses of servers that are there.
#[tokio::test]
async fn the_readmes_line_moves_a_real_odoo_to_a_real_storage() -> Result<()> {
    let odoo = odoo().await?;
    let storage = Storage::start(world::storage::Options::default()).await?;
    let readme = include_str!("../../../README.md");
    let line = readme
        .lines()
        .find_map(|line| line.strip_prefix("cargo demo -- --once --odoo-url "))
        .context("the README has no such line")?;
    let line = format!("--once --odoo-url {line}")
        .replace("https://my.odoo.com", &odoo.url())
        .replace("--odoo-database my ", "--odoo-database odoo ")
        .replace("me@example.com", "admin")
        .replace("https://abcd.supabase.co", &storage.url());
    assert!(!line.contains("https:"), "{line}");
    let mut command = demo(&line.split_whitespace().collect::<Vec<_>>());
    command
        .env("ODOO_API_KEY", "admin-api-key")
        .env("STORAGE_KEY", "service-role-key");
    let output = output(command).await?;
    let told = String::from_utf8_lossy(&output.stdout);
    assert!(
        output.status.success(),
        "{told}{}",
        String::from_utf8_lossy(&output.stderr)
    );
    assert!(told.contains(" 20 files, "), "{told}");
    assert!(!storage.objects().is_empty());
    assert!(
        !told.contains("admin-api-key") && !told.contains("service-role-key"),
        "{told}"
    );
    Ok(())
}

#[tokio::test]
async fn a_look_first_says_what_is_right_and_moves_nothing() -> Result<()> {
    let (odoo, storage) = (
        odoo().await?,
        Storage::start(world::storage::Options::default()).await?,
    );
    let look = |odoo_url: String, storage_url: String| {
        let mut command = demo(&[
            "--check",
            "--odoo-url",
            &odoo_url,
            "--odoo-database",
            "odoo",
            "--odoo-login",
            "admin",
            "--storage-url",
            &storage_url,
        ]);
        command
            .env("ODOO_API_KEY", "admin-api-key")
            .env("STORAGE_KEY", "service-role-key");
        output(command)
    };
    let right = look(odoo.url(), storage.url()).await?;
    let told = String::from_utf8(right.stdout)?;
    assert!(right.status.success(), "{told}");
    for line in ["✓ Odoo ", "✓ bucket ", "✓ address ", "! jobs "] {
        assert!(told.contains(line), "{line}: {told}");
    }
    assert!(!told.contains('✗'), "{told}");
    assert_eq!(storage.objects(), Vec::new());
    storage.remove_bucket("odoo-archive");
    let wrong = look(odoo.url(), storage.url()).await?;
    let told = String::from_utf8(wrong.stdout)?;
    assert!(!wrong.status.success(), "{told}");
    assert!(
        told.contains("✗ bucket") && told.contains("--storage-bucket"),
        "{told}"
    );
    Ok(())
}

#[tokio::test]
async fn every_version_of_odoo_can_be_shown() -> Result<()> {
    for version in ["17", "19"] {
        let output = output(demo(&[
            "--once",
            "--attachments",
            "60",
            "--odoo-version",
            version,
        ]))
        .await?;
        let told = String::from_utf8_lossy(&output.stdout);
        assert!(
            output.status.success(),
            "{told}{}",
            String::from_utf8_lossy(&output.stderr)
        );
        assert!(told.contains("for 60 of Odoo's 60 attachments"), "{told}");
    }
    Ok(())
}

#[tokio::test]
async fn without_once_it_stays_open_until_ctrl_c() -> Result<()> {
    let mut child = demo(&["--attachments", "20"]).spawn()?;
    let card = tokio::time::timeout(LIMIT, card(&mut child))
        .await
        .context("it hangs")??;
    let address = card
        .trim_start_matches("http://")
        .trim_end_matches('/')
        .parse()?;
    let answer = stage::Caller::new(address).get("/healthz", None).await?;
    assert_eq!(answer.status, 200);
    let id = child.id().context("it ended by itself")?;
    let told = std::process::Command::new("kill")
        .args(["-INT", &id.to_string()])
        .status()?;
    assert!(told.success());
    let ended = tokio::time::timeout(LIMIT, child.wait())
        .await
        .context("Ctrl-C does not end it")??;
    assert!(ended.success(), "all was moved: {ended}");
    Ok(())
}

async fn card(child: &mut Child) -> Result<String> {
    let mut lines = BufReader::new(child.stdout.take().context("no output")?).lines();
    let mut told = Vec::new();
    while let Some(line) = lines.next_line().await? {
        if let Some(("card", address)) = line.trim().split_once(char::is_whitespace) {
            let address = address.trim().to_owned();
            // Its last words must find somebody who listens.
            tokio::spawn(async move { while let Ok(Some(_)) = lines.next_line().await {} });
            return Ok(address);
        }
        told.push(line);
    }
    bail!("no card: {}", told.join("\n"))
}

#[tokio::test]
async fn an_unreachable_odoo_is_named() -> Result<()> {
    let arguments = [
        "--once",
        "--odoo-url",
        "http://127.0.0.1:1",
        "--odoo-database",
        "odoo",
        "--odoo-login",
        "me",
    ];
    let mut command = demo(&arguments);
    command.env("ODOO_API_KEY", "key");
    let said = complaint(command).await?;
    assert!(
        said.contains("refused the connection") && said.contains("--odoo-url"),
        "{said}"
    );
    Ok(())
}

#[tokio::test]
async fn a_wrong_password_is_named_and_not_shown() -> Result<()> {
    let odoo = odoo().await?;
    let url = odoo.url();
    let arguments = [
        "--once",
        "--odoo-url",
        &url,
        "--odoo-database",
        "odoo",
        "--odoo-login",
        "admin",
    ];
    let mut command = demo(&arguments);
    command.env("ODOO_PASSWORD", "not-the-password");
    let said = complaint(command).await?;
    assert!(
        said.contains("ODOO_PASSWORD") && said.contains("--odoo-login"),
        "{said}"
    );
    assert!(!said.contains("not-the-password"), "{said}");
    Ok(())
}

#[tokio::test]
async fn a_wrong_database_is_named() -> Result<()> {
    let odoo = odoo().await?;
    let url = odoo.url();
    let mut command = demo(&[
        "--once",
        "--odoo-url",
        &url,
        "--odoo-database",
        "nope",
        "--odoo-login",
        "admin",
    ]);
    command.env("ODOO_PASSWORD", "admin");
    let said = complaint(command).await?;
    assert!(said.contains("--odoo-database"), "{said}");
    Ok(())
}

#[tokio::test]
async fn a_missing_bucket_is_named() -> Result<()> {
    let storage = Storage::start(world::storage::Options::default()).await?;
    let url = storage.url();
    let arguments = [
        "--once",
        "--attachments",
        "20",
        "--storage-url",
        &url,
        "--storage-bucket",
        "nowhere",
    ];
    let mut command = demo(&arguments);
    command.env("STORAGE_KEY", "service-role-key");
    let said = complaint(command).await?;
    assert!(
        said.contains("no bucket \"nowhere\"") && said.contains("create it"),
        "{said}"
    );
    Ok(())
}

#[tokio::test]
async fn a_wrong_key_is_named_and_not_shown() -> Result<()> {
    let storage = Storage::start(world::storage::Options::default()).await?;
    let url = storage.url();
    let mut command = demo(&["--once", "--attachments", "20", "--storage-url", &url]);
    command.env("STORAGE_KEY", "not-the-key");
    let said = complaint(command).await?;
    assert!(
        said.contains("refused the key") && said.contains("STORAGE_KEY"),
        "{said}"
    );
    assert!(!said.contains("not-the-key"), "{said}");
    Ok(())
}

#[tokio::test]
async fn an_unreachable_storage_is_named() -> Result<()> {
    let mut command = demo(&[
        "--once",
        "--attachments",
        "20",
        "--storage-url",
        "http://127.0.0.1:1",
    ]);
    command.env("STORAGE_KEY", "key");
    let said = complaint(command).await?;
    assert!(said.contains("--storage-url"), "{said}");
    Ok(())
}

#[tokio::test]
async fn a_missing_variable_is_named() -> Result<()> {
    let said = complaint(demo(&["--once", "--odoo-url", "https://my.odoo.com"])).await?;
    assert!(said.contains("ODOO_API_KEY is not set"), "{said}");
    let said = complaint(demo(&[
        "--once",
        "--storage-url",
        "https://abcd.supabase.co",
    ]))
    .await?;
    assert!(said.contains("STORAGE_KEY is not set"), "{said}");
    Ok(())
}

#[tokio::test]
async fn a_postgres_that_is_not_there_is_named() -> Result<()> {
    for address in [
        "postgres://me:secret@127.0.0.1:1/db",
        "not an address with a secret",
    ] {
        let mut command = demo(&["--once", "--attachments", "20"]);
        command.env("DATABASE_URL", address);
        let said = complaint(command).await?;
        assert!(said.contains("DATABASE_URL"), "{said}");
        assert!(!said.contains("secret"), "{said}");
    }
    Ok(())
}

#[tokio::test]
async fn a_spin_that_is_too_old_is_named_and_passed_over() -> Result<()> {
    let folder = tempfile::tempdir()?;
    let spin = folder.path().join("spin");
    std::fs::write(&spin, "#!/bin/sh\necho 'spin 3.6.2 (abcdef0 2026-01-01)'\n")?;
    let runnable = std::os::unix::fs::PermissionsExt::from_mode(0o755);
    std::fs::set_permissions(&spin, runnable)?;
    let path = std::env::var("PATH").unwrap_or_default();
    let mut command = demo(&["--once", "--attachments", "20"]);
    command.env("PATH", format!("{}:{path}", folder.path().display()));
    let output = output(command).await?;
    let told = String::from_utf8_lossy(&output.stdout);
    assert!(
        output.status.success(),
        "{told}{}",
        String::from_utf8_lossy(&output.stderr)
    );
    assert!(
        told.contains("spin 3.6.2") && told.contains("4.1"),
        "{told}"
    );
    Ok(())
}
