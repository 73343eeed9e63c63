//! What is said where Postgres cannot be got into: to a caller who is known, in full; to one who is not, in the
//! program's own words; and that a password that was just changed is no fault.

use std::ffi::OsStr;
use std::io::ErrorKind;
use std::net::Ipv4Addr;
use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use anyhow::{Context, Result, ensure};
use futures::future::try_join_all;
use serde_json::Value;
use stage::{Caller, Host, SERVICE_KEY, Stage};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio_rustls::TlsAcceptor;
use tokio_rustls::rustls::ServerConfig;
use tokio_rustls::rustls::crypto::ring;
use tokio_rustls::rustls::pki_types::pem::PemObject;
use tokio_rustls::rustls::pki_types::{CertificateDer, PrivateKeyDer};

use crate::scene::{PATH, odoo_with, set, small};

/// How a server, or a pooler, meets those who log in.
#[derive(Clone)]
enum LoginBehaviour {
    /// With an error.
    Error(&'static str, &'static str),
    /// By closing without a word.
    Closed,
    /// With a certificate.
    Tls(Arc<ServerConfig>),
}

/// A server that lets nobody in, or only those after the first so many.
struct Gate {
    port: u16,
    logins: Arc<AtomicUsize>,
}

impl Gate {
    async fn that(meets: LoginBehaviour) -> Result<Self> {
        Self::before(0, usize::MAX, meets).await
    }

    /// Lets all after the first so many through to the Postgres at `port`.
    async fn before(port: u16, refused: usize, meets: LoginBehaviour) -> Result<Self> {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await?;
        let gate = Self {
            port: listener.local_addr()?.port(),
            logins: Arc::default(),
        };
        let logins = Arc::clone(&gate.logins);
        tokio::spawn(async move {
            while let Ok((connection, _)) = listener.accept().await {
                let (logins, meets) = (Arc::clone(&logins), meets.clone());
                tokio::spawn(async move {
                    // Whoever is refused hears of it; how it goes on from there is not ours.
                    drop(meet(connection, port, refused, &logins, meets).await);
                });
            }
        });
        Ok(gate)
    }

    fn logins(&self) -> usize {
        self.logins.load(Ordering::SeqCst)
    }
}

async fn meet(
    mut client: TcpStream,
    port: u16,
    refused: usize,
    logins: &AtomicUsize,
    meets: LoginBehaviour,
) -> Result<()> {
    const SSL_REQUEST: [u8; 4] = 80_877_103_u32.to_be_bytes();
    let mut startup = message(&mut client).await?;
    if startup.get(4..8) == Some(&SSL_REQUEST) {
        if let LoginBehaviour::Tls(config) = meets {
            client.write_all(b"S").await?;
            TlsAcceptor::from(config).accept(client).await?;
            return Ok(());
        }
        client.write_all(b"N").await?;
        startup = message(&mut client).await?;
    }
    if logins.fetch_add(1, Ordering::SeqCst) >= refused {
        let mut server = TcpStream::connect((Ipv4Addr::LOCALHOST, port)).await?;
        server.write_all(&startup).await?;
        tokio::io::copy_bidirectional(&mut client, &mut server).await?;
        return Ok(());
    }
    if let LoginBehaviour::Error(code, words) = meets {
        let fields = format!("SFATAL\0VFATAL\0C{code}\0M{words}\0\0");
        client.write_u8(b'E').await?;
        client.write_u32(u32::try_from(fields.len() + 4)?).await?;
        client.write_all(fields.as_bytes()).await?;
    }
    Ok(())
}

/// A message before the first one that has a type: its length, and the rest.
async fn message(client: &mut TcpStream) -> Result<Vec<u8>> {
    let length = client.read_u32().await?;
    let rest = usize::try_from(length)?
        .checked_sub(4)
        .context("too short")?;
    let mut message = length.to_be_bytes().to_vec();
    message.resize(4 + rest, 0);
    let body = message.get_mut(4..).context("too short")?;
    client.read_exact(body).await?;
    Ok(message)
}

/// A certificate for `name`, signed by itself, and a server that shows it; `None` where there is no openssl to
/// make one.
fn certificate(name: &str) -> Result<Option<(String, LoginBehaviour)>> {
    let folder = tempfile::tempdir()?;
    let [config, key, pem] = ["config", "key", "pem"].map(|file| folder.path().join(file));
    std::fs::write(
        &config,
        format!(
            "[req]\ndistinguished_name = name\nx509_extensions = more\nprompt = no\n[name]\nCN = {}\n[more]\nsubjectAltName = {name}\n",
            // No two authorities have the same name.
            folder.path().file_name().unwrap_or_default().display()
        ),
    )?;
    let made = Command::new("openssl")
        .args([
            "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2",
        ])
        .args([OsStr::new("-config"), config.as_os_str()])
        .args([OsStr::new("-keyout"), key.as_os_str()])
        .args([OsStr::new("-out"), pem.as_os_str()])
        .output();
    let made = match made {
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(None),
        made => made?,
    };
    ensure!(
        made.status.success(),
        "{}",
        String::from_utf8_lossy(&made.stderr)
    );
    let config = ServerConfig::builder_with_provider(Arc::new(ring::default_provider()))
        .with_safe_default_protocol_versions()?
        .with_no_client_auth()
        .with_single_cert(
            vec![CertificateDer::from_pem_file(&pem)?],
            PrivateKeyDer::from_pem_file(&key)?,
        )?;
    Ok(Some((
        std::fs::read_to_string(pem)?,
        LoginBehaviour::Tls(Arc::new(config)),
    )))
}

async fn at(stage: &Stage, gate: &Gate, sslmode: &str, authority: &str) -> Result<(Host, Caller)> {
    let port = gate.port.to_string();
    let variables = [
        ("db_host", "127.0.0.1"),
        ("db_port", port.as_str()),
        ("db_sslmode", sslmode),
        ("db_ca", authority),
    ];
    stage.replica(&variables).await
}

/// A text of a document; empty if there is none.
fn text_at<'a>(document: &'a Value, place: &str) -> &'a str {
    document
        .pointer(place)
        .and_then(Value::as_str)
        .unwrap_or_default()
}

/// What two callers are told: one whose key is among the variables, and one whose key only Postgres knows.
async fn tells(caller: &Caller, kind: &str, own: &str, said: &str) -> Result<()> {
    // A message has 300 characters at most.
    let said = said.get(..60).unwrap_or(said);
    let answer = caller.post(PATH, SERVICE_KEY, "{}").await?;
    let report = answer.json();
    let told = text_at(&report, "/fault/message");
    ensure!(
        text_at(&report, "/fault/kind") == kind && told.contains(own) && told.contains(said),
        "{kind}, {own:?}, {said:?}: {report}"
    );
    for path in ["/status", "/metrics"] {
        let answer = caller
            .get(path, Some("a-key-that-only-postgres-knows-of"))
            .await?;
        let told = answer.text();
        ensure!(
            answer.status == 503 && told.contains(own) && !told.contains(said),
            "{path}: {} {told}",
            answer.status
        );
    }
    Ok(())
}

#[tokio::test]
async fn what_a_pooler_says_is_told_with_what_to_do() -> Result<()> {
    let stage = set(odoo_with(small(1))).start().await?;
    for (code, words, kind, own) in [
        (
            "XX000",
            "Tenant or user not found",
            "ledger_login",
            "must end in the project's reference",
        ),
        (
            "XX000",
            "(ENOTFOUND) tenant/user odoo_sync.abc not found",
            "ledger_login",
            "the project not be paused",
        ),
        (
            "XX000",
            "(EMAXCONNSESSION) max clients reached in session mode - max clients are limited to pool_size: 15",
            "ledger_busy",
            "raise the pool size",
        ),
        (
            "XX000",
            "(ECIRCUITBREAKER) circuit breaker open for operation: auth_error, blocked until: 1796000000, too many authentication failures, new connections are temporarily blocked",
            "ledger_login",
            "too many were refused",
        ),
        (
            "XX000",
            "(EADDRNOTALLOWED) address not in tenant allow_list: {192, 0, 2, 1}",
            "ledger_login",
            "Network restrictions",
        ),
        (
            "28P01",
            "password authentication failed for user \"odoo_sync\"",
            "ledger_login",
            "check db_user and db_password",
        ),
        (
            "3D000",
            "database \"nowhere\" does not exist",
            "ledger_login",
            "the database of db_name",
        ),
        (
            "53300",
            "sorry, too many clients already",
            "ledger_busy",
            "no connection free",
        ),
        (
            "57P03",
            "the database system is starting up",
            "ledger_unreachable",
            "goes on by itself",
        ),
        (
            "28000",
            "no pg_hba.conf entry for host \"192.0.2.1\", user \"x\", database \"y\", no encryption",
            "ledger_tls",
            "set db_sslmode to require",
        ),
        (
            "XX000",
            "a word of the year 2031",
            "ledger_unreachable",
            "no connection to Postgres: check",
        ),
    ] {
        let gate = Gate::that(LoginBehaviour::Error(code, words)).await?;
        let (_host, caller) = at(&stage, &gate, "disable", "").await?;
        tells(&caller, kind, own, words).await?;
    }
    let gate = Gate::that(LoginBehaviour::Closed).await?;
    let (_host, caller) = at(&stage, &gate, "disable", "").await?;
    let without_password = "a role without a password";
    tells(
        &caller,
        "ledger_unreachable",
        without_password,
        "(connection closed",
    )
    .await
}

#[tokio::test]
async fn what_is_wrong_with_the_encryption_is_told_with_what_to_do() -> Result<()> {
    let stage = set(odoo_with(small(1))).start().await?;
    let (Some((own, meets)), Some((other, _)), Some((foreign, of_another_name))) = (
        certificate("IP:127.0.0.1")?,
        certificate("IP:127.0.0.1")?,
        certificate("DNS:db.example.com")?,
    ) else {
        eprintln!("skipped: certificates that are not trusted, since there is no openssl");
        return Ok(());
    };
    let plain = LoginBehaviour::Error("XX000", "never seen");
    for (meets, authority, own, said) in [
        (meets.clone(), "", "set db_ca", "UnknownIssuer"),
        (meets.clone(), other.as_str(), "set db_ca", "UnknownIssuer"),
        (
            of_another_name,
            foreign.as_str(),
            "must be a name that is in it",
            "db.example.com",
        ),
        (
            plain,
            own.as_str(),
            "the server speaks no TLS",
            "does not support TLS",
        ),
        (
            meets.clone(),
            "-----BEGIN CERTIFICATE-----\nnonsense",
            "db_ca is no certificate",
            "invalid root certificate",
        ),
        (
            meets,
            "no PEM at all",
            "db_ca is no certificate",
            "invalid root certificate",
        ),
    ] {
        let gate = Gate::that(meets).await?;
        let (_host, caller) = at(&stage, &gate, "require", authority).await?;
        tells(&caller, "ledger_tls", own, said).await?;
    }
    Ok(())
}

const WRONG_PASSWORD: LoginBehaviour = LoginBehaviour::Error(
    "28P01",
    "password authentication failed for user \"odoo_sync\"",
);

#[tokio::test]
async fn a_wrong_password_is_tried_a_few_times_a_minute_however_many_instances_start() -> Result<()>
{
    let stage = set(odoo_with(small(1))).start().await?;
    let gate = Gate::that(WRONG_PASSWORD).await?;
    let (_host, caller) = at(&stage, &gate, "disable", "").await?;
    let call = async |path: &str| {
        let answer = caller
            .post(path, "a-key-that-only-postgres-knows-of", "{}")
            .await?;
        let told = answer.text();
        ensure!(
            answer.status == 503 && told.contains("check db_user and db_password"),
            "{path}: {} {told}",
            answer.status
        );
        Ok(())
    };
    // Each of these is a component, and so an instance, of its own.
    for path in [PATH, "/crm-sync", "/chatter-sync", "/actions/pause"] {
        call(path).await?;
    }
    try_join_all((0..20).map(|_| call("/actions/pause"))).await?;
    assert_eq!(gate.logins(), 2, "one, and one more right after it");
    Ok(())
}

#[tokio::test]
async fn a_password_that_a_pooler_does_not_know_yet_is_tried_once_more() -> Result<()> {
    let stage = set(odoo_with(small(3))).start().await?;
    let gate = Gate::before(stage.database.port(), 1, WRONG_PASSWORD).await?;
    let (_host, caller) = at(&stage, &gate, "disable", "").await?;
    // Only Postgres knows this key: nothing is done before it was asked.
    let key = "select to_jsonb(odoo_sync.new_key('tests', 'admin'))";
    let key = stage.value(key).await?;
    let key = key.as_str().context("no key")?;
    let answer = caller.post(PATH, key, "{}").await?;
    assert_eq!(answer.json()["migrated"], 3, "{}", answer.text());
    Ok(())
}
