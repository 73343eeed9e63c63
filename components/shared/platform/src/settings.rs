//! Settings from Spin's variables; a setting that is unusable is named.

use std::collections::HashMap;
use std::str::FromStr;
use std::time::Duration;

use access::Policy;
use chrono::TimeDelta;
use fault::{Fault, Kind};
use odoo::attachment::Selection;
use outbound::{OriginError, Secret, parse_origin};
use spin_sdk::variables;

/// The variables of this component, read once a request.
pub struct Variables(HashMap<&'static str, String>);

impl Variables {
    /// Reads these.
    pub async fn read(names: impl IntoIterator<Item = &'static str>) -> Result<Self, Fault> {
        let mut values = HashMap::new();
        for name in names {
            let value = variables::get(name).await.map_err(|_| {
                // The provider's words may hold its address and more.
                Fault::told(
                    Kind::Setting,
                    format!("the variable {name} could not be read"),
                )
            })?;
            values.insert(name, value.trim().to_owned());
        }
        Ok(Self(values))
    }

    /// A text, empty if it is not set.
    pub fn text(&self, name: &str) -> &str {
        self.0.get(name).map_or("", String::as_str)
    }

    /// A secret.
    pub fn secret(&self, name: &str) -> Secret {
        Secret::new(self.text(name))
    }

    /// A number, a truth value, or anything else that can be read from text.
    pub fn value<T: FromStr>(&self, name: &str, what: &str) -> Result<T, Fault> {
        self.text(name)
            .parse()
            .map_err(|_| Fault::told(Kind::Setting, format!("{name} must be {what}")))
    }

    /// A number within bounds.
    pub fn number<T>(&self, name: &str, bounds: std::ops::RangeInclusive<T>) -> Result<T, Fault>
    where
        T: FromStr + PartialOrd + std::fmt::Display,
    {
        let what = format!("a number from {} to {}", bounds.start(), bounds.end());
        let number = self.value(name, &what)?;
        if bounds.contains(&number) {
            Ok(number)
        } else {
            Err(Fault::told(Kind::Setting, format!("{name} must be {what}")))
        }
    }

    /// A comma separated list.
    pub fn list(&self, name: &str) -> Vec<String> {
        self.text(name)
            .split(',')
            .map(str::trim)
            .filter(|item| !item.is_empty())
            .map(str::to_owned)
            .collect()
    }
}

/// How to reach Postgres.
#[derive(Debug, Clone)]
pub struct DatabaseSettings {
    host: String,
    port: u16,
    name: String,
    user: String,
    password: Secret,
    sslmode: &'static str,
    /// PEM of the certificate authority that signed the server's certificate.
    pub certificate_authority: Option<String>,
}

impl DatabaseSettings {
    /// From the variables `db_*`.
    pub fn from(variables: &Variables) -> Result<Self, Fault> {
        let host = variables.text("db_host");
        if host.is_empty() || host.ends_with(".invalid") {
            return Err(Fault::new(
                Kind::Setting,
                "db_host is not set: give the host of your database's session pooler, such as aws-0-eu-central-1.pooler.supabase.com",
            ));
        }
        let sslmode = ["disable", "prefer", "require"]
            .into_iter()
            .find(|known| *known == variables.text("db_sslmode"))
            // verify-ca and verify-full are refused by Spin (seen on 4.1).
            .ok_or(Fault::new(
                Kind::Setting,
                "db_sslmode must be disable, prefer or require",
            ))?;
        let authority = variables.text("db_ca");
        Ok(Self {
            host: host.to_owned(),
            port: variables.number("db_port", 1..=u16::MAX)?,
            name: variables.text("db_name").to_owned(),
            user: variables.text("db_user").to_owned(),
            password: variables.secret("db_password"),
            sslmode,
            certificate_authority: (!authority.is_empty()).then(|| authority.to_owned()),
        })
    }

    /// The address as the driver takes it. It has to be the same text each time: Spin keeps a pool
    /// for each.
    pub(crate) fn address(&self) -> Secret {
        let quote = |text: &str| format!("'{}'", text.replace('\\', "\\\\").replace('\'', "\\'"));
        let mut address = format!(
            "host={} port={} dbname={} user={} sslmode={} connect_timeout=10 application_name=odoo-to-supabase",
            quote(&self.host),
            self.port,
            quote(&self.name),
            quote(&self.user),
            self.sslmode,
        );
        if !self.password.is_empty() {
            address.push_str(" password=");
            address.push_str(&quote(self.password.reveal()));
        }
        Secret::new(address)
    }
}

/// Who may call, from the variables.
pub fn access_policy(variables: &Variables) -> Policy {
    // The key set is not read over plain http, since who can change it on the way signs as anybody.
    let project = origin(variables, "storage_url").unwrap_or_default();
    Policy::new()
        .service_keys(&variables.secret("service_keys"))
        .jwt_secret(variables.secret("jwt_secret"))
        .jwks(&project, variables.text("jwks_path"))
        .audience(variables.text("jwt_audience"))
        .issuer(variables.text("jwt_issuer"), &project)
        .clients(variables.list("jwt_clients"))
        // Anything but a plain no asks for it: a typing error opens nothing.
        .second_factor(!matches!(variables.text("jwt_require_aal2"), "" | "false"))
}

/// How to reach Odoo, from the variables `odoo_*`.
pub fn odoo_settings(variables: &Variables) -> Result<odoo::Settings, Fault> {
    Ok(odoo::Settings {
        url: origin(variables, "odoo_url")?,
        database: variables.text("odoo_database").to_owned(),
        login: variables.text("odoo_login").to_owned(),
        api_key: variables.secret("odoo_api_key"),
        password: variables.secret("odoo_password"),
        protocol: variables.value("odoo_protocol", "auto, json-2 or json-rpc")?,
        calls_per_second: variables.number("odoo_calls_per_second", 0.0..=1000.0)?,
        parallel_calls: variables.number("odoo_parallel_calls", 1..=32)?,
        may_write_access_tokens: variables.value("odoo_access_tokens", "true or false")?,
    })
}

/// Which Storage, from the variables `storage_*`.
pub fn storage_settings(variables: &Variables) -> Result<storage::Settings, Fault> {
    let settings = storage::Settings {
        url: origin(variables, "storage_url")?,
        path: variables.text("storage_path").to_owned(),
        key: variables.secret("storage_key"),
        bucket: variables.text("storage_bucket").to_owned(),
    };
    settings.check()?;
    Ok(settings)
}

/// A lease lasts at least so much longer than a batch, in seconds: what is under way when its time is
/// up may still end.
const LEASE_BEYOND_BATCH_S: u32 = 15;

/// How to archive, from the variables `odoo_*`, `storage_*` and `archive_*`.
pub fn archive_settings(variables: &Variables) -> Result<archive::Settings, Fault> {
    let batch_s: u32 = variables.number("archive_batch_seconds", 1..=3600)?;
    let lease_s: u32 = variables.number("archive_lease_seconds", 5..=86_400)?;
    Ok(archive::Settings {
        odoo: odoo_settings(variables)?,
        storage: storage_settings(variables)?,
        batch: Duration::from_secs(batch_s.into()),
        // A lease that ended within a batch would let the batch overtake itself.
        lease_s: lease_s.max(batch_s + LEASE_BEYOND_BATCH_S),
        parallel_runs: variables.number("archive_parallel_runs", 1..=64)?,
        parallel_uploads: variables.number("archive_parallel_uploads", 1..=256)?,
        max_file_bytes: variables.number("archive_max_file_bytes", 1..=u64::MAX / 2)?,
        max_rpc_bytes: variables.number("archive_max_rpc_bytes", 1..=u64::MAX / 2)?,
        max_deleted_share: variables.number("archive_max_deleted_share", 0.0..=1.0)?,
        selection: selection(variables)?,
    })
}

/// Which attachments are the archive's, from its variables.
fn selection(variables: &Variables) -> Result<Selection, Fault> {
    let domain: Vec<serde_json::Value> =
        serde_json::from_str(match variables.text("archive_domain") {
            "" => "[]",
            domain => domain,
        })
        .map_err(|error| {
            Fault::told(
                Kind::Setting,
                format!("archive_domain must be an Odoo domain in JSON: {error}"),
            )
        })?;
    let companies = variables
        .list("archive_companies")
        .iter()
        .map(|id| id.parse())
        .collect::<Result<_, _>>()
        .map_err(|_| {
            Fault::new(
                Kind::Setting,
                "archive_companies must be ids, comma separated",
            )
        })?;
    Ok(Selection {
        models: variables.list("archive_models"),
        fields: variables.list("archive_fields"),
        mimetypes: variables.list("archive_mimetypes"),
        companies,
        domain,
    })
}

/// How to copy the pipeline, from the variables `odoo_*` and `crm_*`.
pub fn crm_settings(variables: &Variables) -> Result<sync::Settings, Fault> {
    Ok(sync::Settings {
        odoo: odoo_settings(variables)?,
        batch: Duration::from_secs(variables.number("crm_batch_seconds", 1..=3600)?),
        overlap: TimeDelta::minutes(variables.number("crm_overlap_minutes", 1..=1440)?),
        language: variables.text("crm_language").to_owned(),
        ..sync::Settings::default()
    })
}

/// How to copy the chatter, from the variables `odoo_*`, `chatter_*` and the archive's limit and selection.
pub fn chatter_settings(variables: &Variables) -> Result<sync::Settings, Fault> {
    let models = variables.list("chatter_models");
    if models.is_empty() {
        return Err(Fault::new(
            Kind::Setting,
            "chatter_models must name a model at least, such as crm.lead",
        ));
    }
    Ok(sync::Settings {
        odoo: odoo_settings(variables)?,
        batch: Duration::from_secs(variables.number("chatter_batch_seconds", 1..=3600)?),
        overlap: TimeDelta::minutes(variables.number("chatter_overlap_minutes", 1..=1440)?),
        language: variables.text("chatter_language").to_owned(),
        models,
        max_file_bytes: variables.number("archive_max_file_bytes", 1..=u64::MAX / 2)?,
        selection: selection(variables)?,
    })
}

/// `scheme://host[:port]`, as `allowed_outbound_hosts` needs it: it takes no path.
fn origin(variables: &Variables, name: &str) -> Result<String, Fault> {
    // Anything but a plain yes keeps it closed.
    let allow_http = variables.text("allow_http") == "true";
    let words = match parse_origin(variables.text(name), allow_http) {
        Ok(origin) => return Ok(origin.to_owned()),
        Err(OriginError::Malformed) => {
            "must be scheme://host[:port], such as https://my.example.com, without a path"
        }
        Err(OriginError::PlainHttp) => {
            "is plain http, so keys and files could be read on the way: give an https address, or set allow_http to true where that network is yours alone"
        }
    };
    Err(Fault::told(Kind::Setting, format!("{name} {words}")))
}
