//! Why a connection to Postgres fails: recognises what the driver, the server or Supabase's pooler says, and
//! tells a person what to do.
//!
//! Spin passes on messages without a SQLSTATE (seen on 4.1), so failures are recognised by their text: that
//! of Postgres, of Supavisor (with and without its codes, such as `ENOTFOUND`), `PgBouncer`, OpenSSL and
//! rustls.

use fault::{Fault, Kind};

/// A known reason why a connection fails.
struct KnownCause {
    /// Any of these in the message, in lower case, identifies it.
    signs: &'static [&'static str],
    kind: Kind,
    /// What this program says about it.
    own: &'static str,
}

const fn obstacle(signs: &'static [&'static str], kind: Kind, own: &'static str) -> KnownCause {
    KnownCause { signs, kind, own }
}

/// The first entry with a matching sign wins.
const OBSTACLES: &[KnownCause] = &[
    obstacle(
        &["too many authentication failures", "operation: auth_error"],
        Kind::LedgerLogin,
        "the pooler takes no logins for some minutes, since too many were refused: check db_user and db_password; it opens again by itself",
    ),
    obstacle(
        &["circuit breaker", "ecircuitbreaker"],
        Kind::LedgerUnreachable,
        "the pooler cannot reach the database and takes no connections for a while: look whether the project is up",
    ),
    obstacle(
        &[
            "tenant or user not found",
            "tenant/user",
            "enotfound",
            "no tenant identifier",
            "enoidentifier",
            "users matched for",
        ],
        Kind::LedgerLogin,
        "the pooler knows no such project or user: db_user must end in the project's reference, db_host be that project's own pooler (aws-0 or aws-1), and the project not be paused",
    ),
    obstacle(
        &[
            "password missing",
            "no password supplied",
            "unsupported secret format",
            "unsupported or invalid secret format",
            "returned wrong format",
        ],
        Kind::LedgerLogin,
        "db_password is empty, or the role has no password, as after a restore: alter role odoo_sync with password '…', and set db_password to it",
    ),
    obstacle(
        &[
            "password authentication failed",
            "ewrongpassword",
            "ejitunauthorized",
        ],
        Kind::LedgerLogin,
        "Postgres refused the login: check db_user and db_password",
    ),
    obstacle(
        &[
            "user not found in the database",
            "is not permitted to log in",
        ],
        Kind::LedgerLogin,
        "the role of db_user is not there, or may not log in: run the files of sql/, then alter role odoo_sync with login password '…'",
    ),
    obstacle(
        &["allow_list", "eaddrnotallowed"],
        Kind::LedgerLogin,
        "the project's network restrictions keep this machine out: add its address under Database, Settings, Network restrictions",
    ),
    obstacle(
        &["tenant is banned", "ebanned"],
        Kind::LedgerLogin,
        "Supabase has barred the project: its dashboard says why",
    ),
    obstacle(
        &[
            "no encryption",
            "ssl off",
            "ssl connection is required",
            "esslrequired",
        ],
        Kind::LedgerTls,
        "the server takes encrypted connections only: set db_sslmode to require",
    ),
    obstacle(
        &["no pg_hba.conf entry", "pg_hba.conf rejects"],
        Kind::LedgerLogin,
        "the server's pg_hba.conf does not let this machine in as db_user",
    ),
    obstacle(
        &[
            "max clients reached",
            "max client connections reached",
            "max proxy connections reached",
            "emaxconn",
            "unable to check out connection",
            "pool checkout failed",
            "max pools count reached",
            "emaxpoolsreached",
            "max_client_conn",
        ],
        Kind::LedgerBusy,
        "the pooler has no connection free: raise the pool size under Database, Settings, or lower max_connections of [outbound_pg] in the runtime config",
    ),
    obstacle(
        &["query_wait_timeout"],
        Kind::LedgerBusy,
        "the pooler got no connection to the database in time: raise its pool size, lower max_connections of [outbound_pg] in the runtime config, or look whether the database is up",
    ),
    obstacle(
        &[
            "too many clients already",
            "remaining connection slots",
            "too many connections",
        ],
        Kind::LedgerBusy,
        "Postgres has no connection free: close what holds them, raise its limit, or lower max_connections of [outbound_pg] in the runtime config",
    ),
    obstacle(
        &[
            "the database system is",
            "not yet accepting connections",
            "terminating connection due to administrator",
        ],
        Kind::LedgerUnreachable,
        "Postgres is starting, or is being stopped: work goes on by itself when it is up",
    ),
    obstacle(
        &["is not currently accepting connections"],
        Kind::LedgerLogin,
        "the database of db_name takes no connections",
    ),
    obstacle(
        &["does not exist", "no such database"],
        Kind::LedgerLogin,
        "the database of db_name, or the role of db_user, does not exist",
    ),
    obstacle(
        &["server does not support tls"],
        Kind::LedgerTls,
        "the server speaks no TLS: switch it on there; db_sslmode disable sends the password and the data in the clear",
    ),
    obstacle(
        &[
            "hostname mismatch",
            "ip address mismatch",
            "not valid for name",
            "notvalidforname",
        ],
        Kind::LedgerTls,
        "the server's certificate is another name's: db_host must be a name that is in it",
    ),
    obstacle(
        &[
            "has expired",
            "certificate expired",
            "not yet valid",
            "notvalidyet",
        ],
        Kind::LedgerTls,
        "the server's certificate has run out, or the clock of this machine is wrong",
    ),
    obstacle(
        &[
            "unable to get local issuer",
            "unable to verify the first",
            "self-signed certificate",
            "self signed certificate",
            "unknownissuer",
            "badsignature",
            "not trusted",
            "untrusted",
        ],
        Kind::LedgerTls,
        "the server's certificate is signed by an authority that is not known here: set db_ca to the one that Supabase gives under Database, Settings, SSL",
    ),
    obstacle(
        &["invalid root certificate"],
        Kind::LedgerTls,
        "db_ca is no certificate: give the whole text of the file from Database, Settings, SSL, with its BEGIN and END lines and its line breaks",
    ),
    obstacle(
        &["tls handshake"],
        Kind::LedgerTls,
        "TLS with Postgres failed: check db_host, db_port, db_sslmode and db_ca",
    ),
    obstacle(
        &["is not permitted"],
        Kind::Setting,
        "the app may not connect to db_host: allowed_outbound_hosts of spin.toml must have it",
    ),
    obstacle(
        &["invalid connection string"],
        Kind::Setting,
        "db_host, db_name, db_user or db_password has something that is not understood",
    ),
    obstacle(
        &[
            "failed to lookup",
            "name or service not known",
            "nodename nor servname",
            "name resolution",
        ],
        Kind::LedgerUnreachable,
        "db_host is a name that nobody knows: check its spelling; a project's own host has IPv6 only, its pooler both",
    ),
    obstacle(
        &[
            "network is unreachable",
            "no route to host",
            "host unreachable",
        ],
        Kind::LedgerUnreachable,
        "there is no way to db_host: a project's own host has IPv6 only; the session pooler has IPv4 too",
    ),
    obstacle(
        &["connection refused"],
        Kind::LedgerUnreachable,
        "nobody listens at db_host and db_port: check both, and that the server is up",
    ),
    obstacle(
        &["timed out", "timeout"],
        Kind::LedgerUnreachable,
        "db_host gave no answer in time: is a firewall in between, or the project paused",
    ),
    obstacle(
        &[
            "connection closed",
            "kind: closed",
            "error communicating with the server",
            "kind: io",
            "connection reset",
            "broken pipe",
            "unexpected eof",
        ],
        Kind::LedgerUnreachable,
        "the connection was closed before it was open: the pooler does so for a role without a password, as after a restore (alter role odoo_sync with password '…'), and for a server that is just starting",
    ),
];

/// The fault for the message of a failed connection.
pub fn fault(words: &str) -> Fault {
    let chain = words.split("Stack backtrace").next().unwrap_or_default();
    let said = said(chain);
    // The innermost cause says most, so try it before the whole chain.
    match known(&said).or_else(|| known(chain)) {
        Some(obstacle) => Fault::quoting(obstacle.kind, obstacle.own, &said),
        None => Fault::quoting(
            Kind::LedgerUnreachable,
            "no connection to Postgres: check db_host, db_port and db_sslmode, and that the server is up",
            &said,
        ),
    }
}

/// The fault for a server's answer to a statement, if its text is known: a pooler answers a statement with
/// the same texts that refuse a connection.
pub(crate) fn of_answer(message: &str) -> Option<Fault> {
    let obstacle = known(message)?;
    Some(Fault::quoting(obstacle.kind, obstacle.own, message))
}

/// Whether it is worth trying this password again a moment later: right after a password change the pooler
/// still knows the old one.
pub fn is_wrong_password(fault: &Fault) -> bool {
    fault
        .own_words()
        .is_some_and(|own| own == "Postgres refused the login: check db_user and db_password")
}

fn known(words: &str) -> Option<&'static KnownCause> {
    let words = words.to_lowercase();
    OBSTACLES
        .iter()
        .find(|obstacle| obstacle.signs.iter().any(|sign| words.contains(sign)))
}

/// The innermost message of a chain of causes, as `anyhow` prints it. OpenSSL's innermost cause only repeats
/// the beginning of the one above, which has the reason: then the one above.
fn said(chain: &str) -> String {
    let (top, causes) = chain.split_once("Caused by:").unwrap_or((chain, ""));
    let mut said: Vec<String> = vec![top.trim().to_owned()];
    let mut lines = causes
        .lines()
        .map(str::trim)
        .filter(|line| !line.is_empty());
    // A single cause has no number.
    said.extend(
        lines
            .next()
            .map(|first| cause(first).unwrap_or(first).to_owned()),
    );
    for line in lines {
        match (cause(line), said.last_mut()) {
            (None, Some(last)) => {
                last.push(' ');
                last.push_str(line);
            }
            (next, _) => said.push(next.unwrap_or(line).to_owned()),
        }
    }
    let mut said = said.into_iter().rev();
    let last = said.next().unwrap_or_default();
    let said = said
        .next()
        .filter(|above| above.starts_with(&last))
        .unwrap_or(last);
    // Keep OpenSSL's reason; drop the place in its source.
    match said.rsplit_once(": (") {
        Some((place, reason)) if place.contains("certificate verify failed") => {
            format!(
                "certificate verify failed: {}",
                reason.trim_end_matches(')')
            )
        }
        _ => said,
    }
}

/// The text of a numbered cause.
fn cause(line: &str) -> Option<&str> {
    let (number, cause) = line.split_once(": ")?;
    number.parse::<u32>().ok().map(|_| cause)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A message with one cause, as Spin 4.1 passes it on (made with its client's own code: tokio-postgres
    /// 0.7.18, deadpool-postgres 0.14.1 and native-tls 0.2.18 with OpenSSL 3.0).
    fn handed_over(top: &str, cause: &str) -> String {
        format!(
            "Error occurred while creating a new object: {top}\n\nCaused by:\n    0: {top}\n    1: {cause}\n\nStack backtrace:\n   0: tls handshake::password"
        )
    }

    #[test]
    fn each_obstacle_is_told_in_words_of_its_own_and_then_in_those_that_were_said() {
        const VERIFY: &str = "error:0A000086:SSL routines:tls_post_process_server_certificate:certificate verify failed:../ssl/statem/statem_clnt.c:1889:";
        let refused = |words: &str| handed_over("db error", &format!("FATAL: {words}"));
        let tls = |words: &str| handed_over("error performing TLS handshake", words);
        let verify = |reason: &str| {
            format!(
                "Error occurred while creating a new object: error performing TLS handshake\n\nCaused by:\n    0: error performing TLS handshake\n    1: {VERIFY} ({reason})\n    2: {VERIFY}"
            )
        };
        let cases = [
            (refused("Tenant or user not found"), "ledger_login", "knows no such project", "Tenant or user not found"),
            (refused("(ENOTFOUND) tenant/user odoo_sync.abc not found"), "ledger_login", "knows no such project", "odoo_sync.abc"),
            (refused("(EMAXCONNSESSION) max clients reached in session mode - max clients are limited to pool_size: 15"), "ledger_busy", "raise the pool size", "pool_size: 15"),
            (refused("(ECIRCUITBREAKER) circuit breaker open for operation: auth_error, blocked until: 1790000000, too many authentication failures, new connections are temporarily blocked"), "ledger_login", "takes no logins for some minutes", "1790000000"),
            (refused("(ECIRCUITBREAKER) circuit breaker open for operation: db_connection, blocked until: 1"), "ledger_unreachable", "cannot reach the database", "db_connection"),
            (refused("(EADDRNOTALLOWED) address not in tenant allow_list: {1, 2, 3, 4}"), "ledger_login", "Network restrictions", "{1, 2, 3, 4}"),
            (refused("(EAUTHQUERY) user not found in the database"), "ledger_login", "run the files of sql/", "EAUTHQUERY"),
            (refused("(ESSLREQUIRED) SSL connection is required for user: x"), "ledger_tls", "set db_sslmode to require", "ESSLREQUIRED"),
            (refused("(ECHECKOUTTIMEOUT) unable to check out connection from the pool after 60000ms in session mode"), "ledger_busy", "raise the pool size", "60000ms"),
            (refused("no more connections allowed (max_client_conn)"), "ledger_busy", "raise the pool size", "max_client_conn"),
            (refused("query_wait_timeout"), "ledger_busy", "got no connection to the database in time", "query_wait"),
            (refused("no such database: nono"), "ledger_login", "the database of db_name", "nono"),
            (refused("password authentication failed for user \"odoo_sync\""), "ledger_login", "check db_user and db_password", "odoo_sync"),
            (handed_over("invalid configuration", "password missing"), "ledger_login", "db_password is empty", "password missing"),
            (refused("role \"odoo_sync\" is not permitted to log in"), "ledger_login", "with login password", "not permitted"),
            (refused("database \"nono\" does not exist"), "ledger_login", "the database of db_name", "nono"),
            (refused("sorry, too many clients already"), "ledger_busy", "no connection free", "sorry"),
            (refused("remaining connection slots are reserved for roles with the SUPERUSER attribute"), "ledger_busy", "no connection free", "SUPERUSER"),
            (refused("the database system is starting up"), "ledger_unreachable", "is starting", "starting up"),
            (refused("the database system is not yet accepting connections"), "ledger_unreachable", "is starting", "not yet"),
            (refused("no pg_hba.conf entry for host \"127.0.0.1\", user \"x\", database \"y\", no encryption"), "ledger_tls", "set db_sslmode to require", "127.0.0.1"),
            (refused("no pg_hba.conf entry for host \"127.0.0.1\", user \"x\", database \"y\", SSL encryption"), "ledger_login", "pg_hba.conf does not", "127.0.0.1"),
            (verify("unable to get local issuer certificate"), "ledger_tls", "set db_ca", "(certificate verify failed: unable to get local issuer certificate)"),
            (verify("self-signed certificate in certificate chain"), "ledger_tls", "set db_ca", "self-signed"),
            (verify("IP address mismatch"), "ledger_tls", "db_host must be a name that is in it", "IP address mismatch"),
            (verify("hostname mismatch"), "ledger_tls", "db_host must be a name that is in it", "hostname mismatch"),
            (verify("certificate has expired"), "ledger_tls", "has run out", "has expired"),
            (tls("invalid peer certificate: UnknownIssuer"), "ledger_tls", "set db_ca", "UnknownIssuer"),
            (tls("invalid peer certificate: certificate not valid for name \"localhost\"; certificate is only valid for DnsName(\"db.example.com\")"), "ledger_tls", "db_host must be a name that is in it", "db.example.com"),
            (tls("server does not support TLS"), "ledger_tls", "speaks no TLS", "does not support"),
            (tls("unexpected end of handshake"), "ledger_tls", "TLS with Postgres failed", "unexpected end"),
            ("invalid root certificate: invalid root certificate".to_owned(), "ledger_tls", "db_ca is no certificate", "invalid root"),
            ("address postgres://db:5432 is not permitted".to_owned(), "setting", "allowed_outbound_hosts", "postgres://db:5432"),
            ("too many connections".to_owned(), "ledger_busy", "no connection free", "too many"),
            (handed_over("error connecting to server", "failed to lookup address information: Name or service not known"), "ledger_unreachable", "a name that nobody knows", "Name or service"),
            (handed_over("error connecting to server", "Connection refused (os error 111)"), "ledger_unreachable", "nobody listens", "os error 111"),
            (handed_over("error connecting to server", "Network is unreachable (os error 101)"), "ledger_unreachable", "IPv6", "os error 101"),
            ("Error occurred while creating a new object: connection closed\n\nCaused by:\n    connection closed".to_owned(), "ledger_unreachable", "a role without a password", "connection closed"),
            (handed_over("error communicating with the server", "Connection reset by peer (os error 104)"), "ledger_unreachable", "a role without a password", "reset by peer"),
            ("Error occurred while creating a new object: timeout waiting for server".to_owned(), "ledger_unreachable", "no answer in time", "timeout waiting"),
            (refused("something of the year 2031"), "ledger_unreachable", "no connection to Postgres: check", "something of the year 2031"),
        ];
        for (words, kind, own, said) in cases {
            let fault = fault(&words);
            let told = fault.message();
            assert_eq!(fault.kind().code(), kind, "{words}\n{told}");
            assert!(told.contains(own), "{words}\n{told}");
            let (_, quoted) = told.split_once(" (").unwrap_or_default();
            assert!(told.contains(said), "{words}\n{told}");
            assert!(
                !quoted.contains("Caused by") && !quoted.contains("backtrace"),
                "{told}"
            );
        }
    }

    #[test]
    fn own_words_leave_room_for_what_was_said() {
        for obstacle in OBSTACLES {
            assert!(obstacle.own.len() <= 200, "{}", obstacle.own);
            let lower = obstacle
                .signs
                .iter()
                .all(|sign| *sign == sign.to_lowercase());
            assert!(lower, "{:?}", obstacle.signs);
        }
    }

    #[test]
    fn a_login_that_was_refused_for_its_password_is_told_from_others() {
        assert!(is_wrong_password(&fault(
            "FATAL: password authentication failed for user \"x\""
        )));
        assert!(!is_wrong_password(&fault(
            "FATAL: Tenant or user not found"
        )));
    }
}
