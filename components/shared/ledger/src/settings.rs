//! Settings of the connection to Postgres.

use fault::{Fault, Kind};
use outbound::{Secret, Variables};

/// Settings of the connection to Postgres.
#[derive(Debug, Clone)]
pub struct Settings {
    host: String,
    port: u16,
    name: String,
    user: String,
    /// The role's password.
    pub password: Secret,
    sslmode: &'static str,
    /// Certificate (PEM) of the authority that signed the server's certificate.
    pub certificate_authority: Option<String>,
}

impl Settings {
    /// The required variables that are not set.
    pub async fn missing(variables: &impl Variables) -> Result<Vec<&'static str>, Fault> {
        let mut missing = Vec::new();
        if !is_a_host(&variables.text("db_host").await?) {
            missing.push("db_host");
        }
        if variables.secret("db_password").await?.is_empty() {
            missing.push("db_password");
        }
        Ok(missing)
    }

    /// Reads the variables `db_*`.
    pub async fn read(variables: &impl Variables) -> Result<Self, Fault> {
        let host = variables.text("db_host").await?;
        if !is_a_host(&host) {
            return Err(Fault::new(
                Kind::Setting,
                "db_host is not set: give the host of your database's session pooler, such as aws-0-eu-central-1.pooler.supabase.com",
            ));
        }
        let sslmode = variables.text("db_sslmode").await?;
        let sslmode = ["disable", "prefer", "require"]
            .into_iter()
            .find(|known| *known == sslmode)
            // Spin rejects verify-ca and verify-full (seen on 4.1).
            .ok_or(Fault::new(
                Kind::Setting,
                "db_sslmode must be disable, prefer or require",
            ))?;
        let authority = variables.text("db_ca").await?;
        Ok(Self {
            host,
            port: variables.number("db_port", 1..=u16::MAX).await?,
            name: variables.text("db_name").await?,
            user: variables.text("db_user").await?,
            password: variables.secret("db_password").await?,
            sslmode,
            certificate_authority: (!authority.is_empty()).then_some(authority),
        })
    }

    /// The connection string. It must be the same text each time, because Spin keeps a pool per string.
    /// Keepalives give up a dead connection after 25 s, also while it is idle in the pool.
    pub fn address(&self) -> Secret {
        let quote = |text: &str| format!("'{}'", text.replace('\\', "\\\\").replace('\'', "\\'"));
        let mut address = format!(
            "host={} port={} dbname={} user={} sslmode={} connect_timeout=10 keepalives_idle=10 keepalives_interval=5 keepalives_retries=3 tcp_user_timeout=25 application_name=odoo-to-supabase",
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

/// Hosts under `.invalid` are placeholders and count as not set.
fn is_a_host(host: &str) -> bool {
    !(host.is_empty() || host.ends_with(".invalid"))
}
