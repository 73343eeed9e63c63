//! What can be wrong, one thing at a time.

use serde_json::{Value, json};
use stage::SERVICE_KEY;
use world::faults::Fault;
use world::storage::Bucket;

use crate::scene::LEGACY;

/// Something that is wrong, and how it is made so.
#[derive(Debug)]
pub enum Cause {
    /// Variables of the app.
    Variables(Vec<(&'static str, String)>),
    /// A change in the database, and its end; `OWNER` stands for the project's owner.
    Sql(&'static str, &'static str),
    /// An Odoo in trouble.
    Odoo(Fault),
    /// A Storage in trouble.
    Storage(Fault),
    /// Another bucket of this name.
    Bucket(Bucket),
    /// The API key ends in so many days.
    KeyEnds(i32),
    /// A record more in Odoo, of this model.
    Record(&'static str, Value),
}

/// A cause, the line that tells of it, and what that says.
pub struct Case {
    pub line: &'static str,
    pub state: &'static str,
    pub words: &'static str,
    pub cause: Cause,
}

fn variable(name: &'static str, value: impl Into<String>) -> Cause {
    Cause::Variables(vec![(name, value.into())])
}

fn failed(line: &'static str, words: &'static str, cause: Cause) -> Case {
    Case {
        line,
        state: "failed",
        words,
        cause,
    }
}

fn warning(line: &'static str, words: &'static str, cause: Cause) -> Case {
    Case {
        state: "warning",
        ..failed(line, words, cause)
    }
}

/// A certificate authority that ended.
const AUTHORITY: &str = "-----BEGIN CERTIFICATE-----
MIIBfjCCASOgAwIBAgIUXvMonHpxPKRuG/wPTDbZbevqb+0wCgYIKoZIzj0EAwIw
FDESMBAGA1UEAwwJYXV0aG9yaXR5MB4XDTI2MTEzMDE5Mjg0MVoXDTI2MTIwMTE5
Mjg0MVowFDESMBAGA1UEAwwJYXV0aG9yaXR5MFkwEwYHKoZIzj0CAQYIKoZIzj0D
AQcDQgAEnXIkrT4Q5JF0pmMvK33nuYCPV6zCz/Yjg+A4WJ8mSiQLhwBynaaEM5yj
Ku/cIbH6prqQVQjuyowwq30MrLS1LKNTMFEwHQYDVR0OBBYEFIQMJHUJDoLdDm7h
Pjui68Zy2+W3MB8GA1UdIwQYMBaAFIQMJHUJDoLdDm7hPjui68Zy2+W3MA8GA1Ud
EwEB/wQFMAMBAf8wCgYIKoZIzj0EAwIDSQAwRgIhAKW4OtRKadUfDODRjamzS4yY
ZTowGWK67CSA+e4eFrRHAiEAh2nRudz8wo+GnGOSH+gAn36msmspzUcvZ4PahFfb
3gs=
-----END CERTIFICATE-----
";

const HTML: (&str, &str) = ("content-type", "text/html");

pub fn causes() -> Vec<Case> {
    let mut causes = of_odoo();
    causes.extend(of_the_storage());
    causes.extend(of_postgres());
    causes.extend(of_callers());
    causes
}

fn of_odoo() -> Vec<Case> {
    let another = (
        r#"update odoo_sync.identities set identity = '{"2": "2001-01-01T00:00:00Z"}', words = 'the old one' where side = 'odoo'"#,
        "delete from odoo_sync.identities where side = 'odoo'",
    );
    vec![
        failed(
            "settings of Odoo",
            "odoo_url is not set",
            variable("odoo_url", "https://odoo.invalid"),
        ),
        failed(
            "settings of Odoo",
            "odoo_parallel_calls must be a number from 1 to 32",
            variable("odoo_parallel_calls", "many"),
        ),
        failed(
            "Odoo",
            "Odoo refused the connection: check odoo_url",
            variable("odoo_url", "http://127.0.0.1:1"),
        ),
        failed(
            "Odoo",
            "where JSON was due: is odoo_url an Odoo?",
            Cause::Odoo(Fault::on_any().answer(200, &[HTML], "<html>")),
        ),
        failed(
            "login to Odoo",
            "Odoo refused the login: check odoo_login",
            variable("odoo_api_key", "of-somebody-else"),
        ),
        failed(
            "login to Odoo",
            "Odoo does not know this database",
            variable("odoo_database", "another"),
        ),
        warning(
            "API key of Odoo",
            "set odoo_api_key to it",
            Cause::KeyEnds(5),
        ),
        warning(
            "API key of Odoo",
            "When it ends cannot be read",
            Cause::Odoo(Fault::on_call("res.users.apikeys", "search_read").html_500()),
        ),
        failed(
            "web session of Odoo",
            "Odoo refused the password for a web session",
            variable("odoo_password", "of-somebody-else"),
        ),
        failed(
            "database of Odoo",
            "these tables belong to the old one",
            Cause::Sql(another.0, another.1),
        ),
        warning(
            "rights in Odoo",
            "(Chicago) exists and is not allowed to the Odoo user",
            Cause::Record("res.company", json!({"name": "Chicago", "partner_id": 1})),
        ),
        warning(
            "rights in Odoo",
            "lacks the group Administration / Settings (base.group_system): changes of fields in the chatter cannot be read",
            Cause::Variables(vec![
                ("odoo_login", "demo".to_owned()),
                ("odoo_api_key", "demo-api-key".to_owned()),
                ("odoo_password", "demo".to_owned()),
            ]),
        ),
    ]
}

fn of_the_storage() -> Vec<Case> {
    let bucket = || Bucket::private("odoo-archive");
    vec![
        failed(
            "settings of Storage",
            "storage_bucket is not set",
            variable("storage_bucket", ""),
        ),
        failed(
            "Storage",
            "Storage refused the connection: check storage_url",
            variable("storage_url", "http://127.0.0.1:1"),
        ),
        failed(
            "Storage",
            "check storage_url and storage_path",
            variable("storage_path", "/elsewhere"),
        ),
        failed(
            "key of Storage",
            "Storage refused the key: check storage_key",
            variable("storage_key", "of-somebody-else"),
        ),
        warning(
            "key of Storage",
            "Supabase retires at the end of 2026",
            variable("storage_key", LEGACY),
        ),
        failed(
            "bucket",
            "Storage has no bucket",
            variable("storage_bucket", "another"),
        ),
        failed(
            "bucket",
            "is public",
            Cause::Bucket(Bucket {
                public: true,
                ..bucket()
            }),
        ),
        failed(
            "bucket",
            "these tables belong to the old one",
            Cause::Sql(
                "update odoo_sync.identities set identity = '{}', words = 'the old one' where side = 'storage'",
                "delete from odoo_sync.identities where side = 'storage'",
            ),
        ),
        failed(
            "size limit",
            "10 bytes are taken, by the bucket; file ",
            Cause::Bucket(Bucket {
                file_size_limit: Some(10),
                ..bucket()
            }),
        ),
        failed(
            "MIME types",
            "The bucket refuses ",
            Cause::Bucket(Bucket {
                allowed_mime_types: Some(vec!["font/woff".to_owned()]),
                ..bucket()
            }),
        ),
        warning(
            "MIME types",
            "takes 1 types",
            Cause::Bucket(Bucket {
                allowed_mime_types: Some(vec!["*".to_owned()]),
                ..bucket()
            }),
        ),
        failed(
            "uploads",
            "let requests to storage_url through",
            Cause::Storage(Fault::on("~upload-check").answer(403, &[HTML], "<html>")),
        ),
        failed(
            "uploads",
            "storage_upload_url, 127.0.0.1:1",
            variable("storage_upload_url", "http://127.0.0.1:1"),
        ),
        failed(
            "signed addresses",
            "let requests to storage_url through",
            Cause::Storage(
                Fault::on("/object/sign/")
                    .method("GET")
                    .answer(403, &[HTML], "<html>"),
            ),
        ),
    ]
}

#[expect(clippy::too_many_lines, reason = "one table")]
fn of_postgres() -> Vec<Case> {
    vec![
        failed(
            "settings of Postgres",
            "db_host is not set",
            variable("db_host", "postgres.invalid"),
        ),
        failed(
            "Postgres",
            "nobody listens at db_host and db_port",
            variable("db_port", "1"),
        ),
        warning(
            "Postgres",
            "The certificate in db_ca is good until 2026-12-01 only.",
            variable("db_ca", AUTHORITY),
        ),
        failed(
            "role in Postgres",
            "lacks rights: insert on public.migration_logs",
            Cause::Sql(
                "revoke insert on public.migration_logs from odoo_sync",
                "grant insert on public.migration_logs to odoo_sync",
            ),
        ),
        failed(
            "tables",
            "run all files of its sql/",
            Cause::Sql(
                "update odoo_sync.schema_versions set version = version - 100",
                "update odoo_sync.schema_versions set version = version + 100",
            ),
        ),
        failed(
            "settings of the jobs",
            "crm_batch_seconds must be a number",
            variable("crm_batch_seconds", "0"),
        ),
        failed(
            "settings of the jobs",
            "chatter_models must name a model",
            variable("chatter_models", ""),
        ),
        warning(
            "clocks",
            "set it by NTP",
            Cause::Odoo(Fault::on("/web/version").times(1).answer(
                200,
                &[
                    ("content-type", "application/json"),
                    ("date", "Mon, 30 Nov 2020 10:00:00 GMT"),
                ],
                r#"{"version": "18.0"}"#,
            )),
        ),
        failed(
            "pg_cron",
            "nothing runs",
            Cause::Sql(
                "alter schema cron rename to gone",
                "alter schema gone rename to cron",
            ),
        ),
        failed(
            "pg_net",
            "Switch on pg_net",
            Cause::Sql(
                "alter table net._http_response rename to gone",
                "alter table net.gone rename to _http_response",
            ),
        ),
        failed(
            "key of the jobs",
            "holds no secret odoo_sync_key",
            Cause::Sql(
                "delete from vault.secrets where name = 'odoo_sync_key'",
                "select odoo_sync.rotate_key()",
            ),
        ),
        failed(
            "key of the jobs",
            "not among the accepted",
            Cause::Sql(
                "delete from odoo_sync.accepted_keys where of_jobs",
                "select odoo_sync.rotate_key()",
            ),
        ),
        warning(
            "key of the jobs",
            "may do more than run them",
            Cause::Sql(
                "update odoo_sync.accepted_keys set scope = 'admin' where of_jobs",
                "update odoo_sync.accepted_keys set scope = 'jobs' where of_jobs",
            ),
        ),
        failed(
            "address",
            "The connection to http://127.0.0.1:1/check was refused",
            Cause::Sql(
                r#"update odoo_sync.settings set value = '"http://127.0.0.1:1"' where name = 'base_url'"#,
                "update odoo_sync.settings s set value = to_jsonb(k.url) from kept k where s.name = 'base_url'",
            ),
        ),
        failed(
            "address",
            "It is not known where the components are",
            Cause::Sql(
                "update odoo_sync.settings set value = 'null' where name = 'base_url'",
                "update odoo_sync.settings s set value = to_jsonb(k.url) from kept k where s.name = 'base_url'",
            ),
        ),
        failed(
            "jobs",
            "odoo-sync-purge",
            Cause::Sql(
                "update cron.job set jobname = 'gone' where jobname = 'odoo-sync-purge'",
                "update cron.job set jobname = 'odoo-sync-purge' where jobname = 'gone'",
            ),
        ),
        warning(
            "jobs",
            "odoo_sync.resume",
            Cause::Sql(
                "update odoo_sync.jobs set paused_at = now() where name = 'odoo-crm-sync-nightly'",
                "update odoo_sync.jobs set paused_at = null",
            ),
        ),
    ]
}

fn of_callers() -> Vec<Case> {
    let keys = format!("{SERVICE_KEY},ots_1");
    vec![
        failed(
            "service keys",
            "shorter than 32 characters",
            variable("service_keys", keys),
        ),
        warning(
            "user tokens",
            "jwt_secret is shorter than 32 bytes",
            variable("jwt_secret", "a-short-secret"),
        ),
        warning(
            "user tokens",
            "no user token is accepted",
            variable("jwt_secret", ""),
        ),
        warning(
            "admins",
            "No user is an admin",
            Cause::Sql(
                "update public.user_roles set role = 'user'",
                "update public.user_roles set role = 'admin'",
            ),
        ),
    ]
}
