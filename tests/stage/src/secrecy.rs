//! Nothing that a stage shows holds a secret of it: no answer, no line of the log (a panic's message is
//! one), no row. Every stage is watched, whatever its test is about.

use std::fmt::Write as _;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use anyhow::{Context, Result};
use base64::Engine;
use base64::engine::general_purpose::{STANDARD_NO_PAD, URL_SAFE_NO_PAD};
use futures::TryStreamExt;
use memchr::memmem;
use runner::Captured;
use world::postgres::Database;

use crate::Variables;

/// The app's variables that are secrets.
const VARIABLES: [&str; 6] = [
    "odoo_api_key",
    "odoo_password",
    "storage_key",
    "db_password",
    "service_keys",
    "jwt_secret",
];

/// Shorter texts are no secrets, but words that stand anywhere.
const LEAST_BYTES: usize = 10;

/// Rows are looked at by so many bytes or a little more.
const LOOK_BYTES: usize = 1024 * 1024;

/// Looks at what a stage shows. Clones look for the same secrets.
#[derive(Clone, Default)]
pub struct Watch(Arc<Mutex<Seen>>);

#[derive(Default)]
struct Seen {
    secrets: Vec<Secret>,
    leaks: Vec<String>,
}

struct Secret {
    name: String,
    value: String,
    forms: Vec<(&'static str, Vec<u8>)>,
}

impl Watch {
    fn seen(&self) -> MutexGuard<'_, Seen> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Looks for this secret from now on.
    pub fn learn(&self, name: &str, value: &str) {
        let mut seen = self.seen();
        if value.len() < LEAST_BYTES || seen.secrets.iter().any(|known| known.value == value) {
            return;
        }
        seen.secrets.push(Secret {
            name: name.to_owned(),
            value: value.to_owned(),
            forms: forms(value),
        });
    }

    pub(crate) fn learn_variables(&self, variables: &Variables) {
        for name in VARIABLES {
            for value in variables
                .get(name)
                .into_iter()
                .flat_map(|all| all.split(','))
            {
                self.learn(name, value.trim());
            }
        }
    }

    /// Looks at something that was shown, and remembers what it tells.
    pub fn look(&self, place: &str, shown: &[u8]) {
        let mut seen = self.seen();
        let Seen { secrets, leaks } = &mut *seen;
        for secret in secrets {
            for (form, bytes) in &secret.forms {
                if let Some(at) = memmem::find(shown, bytes) {
                    let from = at.saturating_sub(100);
                    let around = shown
                        .get(from..shown.len().min(at + 200))
                        .unwrap_or_default();
                    leaks.push(format!(
                        "{place} tells {} ({form}): …{}…",
                        secret.name,
                        String::from_utf8_lossy(around)
                    ));
                    break;
                }
            }
        }
    }

    /// What was told so far.
    pub fn leaks(&self) -> Vec<String> {
        self.seen().leaks.clone()
    }
}

/// How a secret may be spelt. In base64 it looks different at each of three places, and its ends
/// depend on what stands beside it.
fn forms(secret: &str) -> Vec<(&'static str, Vec<u8>)> {
    let mut forms = vec![("as it is", secret.as_bytes().to_vec())];
    let quoted = serde_json::Value::from(secret).to_string();
    forms.push(("in JSON", quoted.trim_matches('"').as_bytes().to_vec()));
    let mut percent = String::new();
    let mut hex = String::new();
    for byte in secret.bytes() {
        if byte.is_ascii_alphanumeric() || b"-_.~".contains(&byte) {
            percent.push(char::from(byte));
        } else {
            let _ = write!(percent, "%{byte:02X}");
        }
        let _ = write!(hex, "{byte:02x}");
    }
    forms.push(("in an address", percent.into_bytes()));
    forms.push(("in hex", hex.into_bytes()));
    for before in 0..3 {
        let placed = [vec![0; before].as_slice(), secret.as_bytes()].concat();
        // Six bits a character: those that share a byte with a neighbour are left out.
        let begin = (before * 8).div_ceil(6);
        let end = placed.len() * 8 / 6;
        for (form, engine) in [
            ("in base64", &STANDARD_NO_PAD),
            ("in base64url", &URL_SAFE_NO_PAD),
        ] {
            let encoded = engine.encode(&placed);
            let sure = encoded.get(begin..end).unwrap_or_default();
            forms.push((form, sure.as_bytes().to_vec()));
        }
    }
    forms.sort_by(|one, other| one.1.cmp(&other.1));
    forms.dedup_by(|one, other| one.1 == other.1);
    forms.retain(|(_, bytes)| bytes.len() >= LEAST_BYTES);
    forms
}

/// Looks at a stage's log and database when the stage ends, and fails the test whose stage told
/// anything.
pub(crate) struct Secrecy {
    pub(crate) watch: Watch,
    pub(crate) log: Captured,
    pub(crate) database: Database,
}

impl Secrecy {
    /// Everything that was told.
    pub(crate) async fn leaks(&self) -> Result<Vec<String>> {
        let rows = rows(&self.database, &self.watch).await;
        for line in self.log.lines() {
            self.watch.look("the log", line.as_bytes());
        }
        rows.map(|()| self.watch.leaks())
    }
}

impl Drop for Secrecy {
    fn drop(&mut self) {
        if std::thread::panicking() {
            return;
        }
        // A thread of its own: the runtime of the test may be ending, or busy with this very drop.
        let looked = std::thread::scope(|scope| {
            let looking = scope.spawn(|| -> Result<Vec<String>> {
                tokio::runtime::Builder::new_current_thread()
                    .enable_all()
                    .build()?
                    .block_on(self.leaks())
            });
            looking.join()
        });
        let leaks = match looked {
            Ok(Ok(leaks)) => leaks,
            Ok(Err(problem)) => {
                // As after a test that stopped Postgres.
                println!("rows were not looked at: {problem:#}");
                self.watch.leaks()
            }
            Err(_) => vec!["looking for secrets broke off".to_owned()],
        };
        assert!(leaks.is_empty(), "a secret was told:\n{}", leaks.join("\n"));
    }
}

/// Looks at every row of the project's tables. The vault, which is the one place for secrets, is not
/// among them; what lies there is looked for too.
async fn rows(database: &Database, watch: &Watch) -> Result<()> {
    let client = database.connect_as_superuser().await?;
    let kept = "select coalesce(name, 'unnamed'), decrypted_secret from vault.decrypted_secrets
                 where decrypted_secret is not null";
    // The surroundings may lack a vault.
    for row in client.query(kept, &[]).await.unwrap_or_default() {
        let (name, secret): (String, String) = (row.try_get(0)?, row.try_get(1)?);
        watch.learn(&format!("{name} of the vault"), &secret);
    }
    let tables = "select format('%I.%I', n.nspname, c.relname)
                    from pg_class c join pg_namespace n on n.oid = c.relnamespace
                   where n.nspname in ('public', 'odoo_sync') and c.relkind in ('r', 'm')";
    for row in client.query(tables, &[]).await? {
        let table: String = row.try_get(0)?;
        let copy = format!("copy (select t::text from {table} t) to stdout");
        let copied = client
            .copy_out(&copy)
            .await
            .context("rows could not be read")?;
        let mut copied = std::pin::pin!(copied);
        // Whole rows at a time, since a secret lies within one; a table may be larger than memory.
        let mut text = Vec::new();
        while let Some(row) = copied.try_next().await? {
            text.extend_from_slice(&row);
            if text.len() >= LOOK_BYTES {
                watch.look(&table, &text);
                text.clear();
            }
        }
        watch.look(&table, &text);
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECRET: &str = "p\"ss/w\\rd+ä 7d1f";

    fn told(shown: &str) -> bool {
        let watch = Watch::default();
        watch.learn("a password", SECRET);
        watch.look("a place", shown.as_bytes());
        !watch.leaks().is_empty()
    }

    #[test]
    fn a_secret_is_found_in_whatever_spelling() {
        assert!(told(&format!("password={SECRET} host=db")));
        assert!(told(&serde_json::json!({ "error": SECRET }).to_string()));
        assert!(told("?key=p%22ss%2Fw%5Crd%2B%C3%A4%207d1f&x=1"));
        assert!(told("\\x702273732f775c72642bc3a42037643166"));
        for before in ["", "a", "ab", "abc", "user:"] {
            for after in ["", "x", "xy", "xyz"] {
                let text = format!("{before}{SECRET}{after}");
                assert!(told(&STANDARD_NO_PAD.encode(&text)), "{text}");
                assert!(told(&URL_SAFE_NO_PAD.encode(&text)), "{text}");
            }
        }
    }

    #[test]
    fn what_is_no_secret_is_not_found() {
        assert!(!told("the password is wrong: check odoo_password"));
        let watch = Watch::default();
        watch.learn("a word", "admin");
        watch.look("a place", b"Mitchell Admin, admin");
        assert!(watch.leaks().is_empty());
    }
}
