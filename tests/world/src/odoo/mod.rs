//! A simulated Odoo, 14 to 19.
//!
//! ```no_run
//! # async fn example() -> anyhow::Result<()> {
//! use world::faults::Fault;
//! use world::odoo::{Attachments, Odoo, Options, EdgeCase};
//!
//! let attachments = Attachments::realistic(2_000).with(17, EdgeCase::LostFile);
//! let odoo = Odoo::start(Options { version: 18, attachments, ..Options::default() }).await?;
//! odoo.records("crm.lead").insert(serde_json::json!({"name": "A lead", "stage_id": 1}));
//! odoo.faults().add(Fault::on("/web/content").nth(3).truncate(1000));
//! println!("{}", odoo.url());
//! # Ok(()) }
//! ```

mod attachments;
mod domain;
mod failure;
mod fields;
mod fixtures;
mod json2;
mod like;
mod methods;
mod order;
mod pipeline;
mod records;
mod refusals;
mod relations;
mod rpc;
mod site;
mod spelling;
mod web;

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use http::Response;
use http::header::{HeaderValue, X_CONTENT_TYPE_OPTIONS};
use serde_json::{Value, json};

pub use attachments::{
    Attachment, Attachments, Counts, Damage, EdgeCase, EdgeCaseMix, Handle, Kind, NewAttachment,
    OddName, Sizes, Uncommitted,
};
pub use failure::TRACEBACK_MARKER;
pub use records::Records;

pub(crate) use attachments::hex;
pub(crate) use spelling::{http_date, now_us};
pub(crate) use web::{parse_range, percent_encode};

use crate::faults::Faults;
use crate::serve::{Counters, Payload, Server, ServiceTime};
use failure::Failure;
use records::Store;
use web::Sessions;

/// What the simulated Odoo is like.
#[derive(Debug, Clone)]
pub struct Options {
    /// 14 to 19.
    pub version: u8,
    /// The port on loopback; a free one where `None`.
    pub port: Option<u16>,
    /// The database's name.
    pub database: String,
    /// The accounts.
    pub users: Vec<User>,
    /// The attachments.
    pub attachments: Attachments,
    /// How long every answer takes at least, in milliseconds.
    pub latency_ms: u64,
    /// What a host such as Odoo Online allows; more is a 429.
    pub limit: Option<Limit>,
    /// How long an account waits after five failed logins.
    pub login_cooldown: Duration,
    /// Whether an nginx in front sends the files itself, as `--x-sendfile` lets it (from 16 on): their `ETag` is
    /// then its own, of time and length.
    pub x_sendfile: bool,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            version: 18,
            port: None,
            database: "odoo".to_owned(),
            users: vec![User::administrator(), User::salesman()],
            attachments: Attachments::default(),
            latency_ms: 0,
            limit: None,
            login_cooldown: Duration::from_mins(1),
            x_sendfile: false,
        }
    }
}

/// What a host allows.
#[derive(Debug, Clone, Copy)]
pub struct Limit {
    /// RPC calls in any one second.
    pub calls_per_second: u32,
    /// RPC calls at the same time.
    pub parallel_calls: u32,
}

/// What an account may see.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Role {
    /// Has the group *Administration / Settings*.
    Administrator,
    /// Sees fewer fields, but all leads.
    SalesAdministrator,
    /// Sees fewer fields and fewer records.
    Salesman,
}

/// An account.
#[derive(Debug, Clone)]
pub struct User {
    /// The id of its `res.users`.
    pub uid: i64,
    /// Its login.
    pub login: String,
    /// Its name.
    pub name: String,
    /// Its password; opens web sessions, and works for RPC unless two factors are asked for.
    pub password: Option<String>,
    /// Its API key; works for RPC, never for a web session.
    pub api_key: Option<String>,
    /// What it may see.
    pub role: Role,
    /// Whether two factors are asked for: then the password alone opens nothing, though it is not refused.
    pub two_factor: bool,
}

impl User {
    /// `admin`, password `admin`, key `admin-api-key`, uid 2.
    pub fn administrator() -> Self {
        Self {
            uid: 2,
            login: "admin".to_owned(),
            name: "Mitchell Admin".to_owned(),
            password: Some("admin".to_owned()),
            api_key: Some("admin-api-key".to_owned()),
            role: Role::Administrator,
            two_factor: false,
        }
    }

    /// `demo`, password `demo`, key `demo-api-key`, uid 6.
    pub fn salesman() -> Self {
        Self {
            uid: 6,
            login: "demo".to_owned(),
            name: "Marc Demo".to_owned(),
            password: Some("demo".to_owned()),
            api_key: Some("demo-api-key".to_owned()),
            role: Role::Salesman,
            two_factor: false,
        }
    }

    /// `sales`, password `sales`, key `sales-api-key`, uid 8.
    pub fn sales_administrator() -> Self {
        Self {
            uid: 8,
            login: "sales".to_owned(),
            name: "Sam Sales".to_owned(),
            password: Some("sales".to_owned()),
            api_key: Some("sales-api-key".to_owned()),
            role: Role::SalesAdministrator,
            two_factor: false,
        }
    }

    pub(crate) fn is_administrator(&self) -> bool {
        self.role == Role::Administrator
    }

    /// Whether it is in a group, by the external id of that.
    pub(crate) fn has_group(&self, group: &str) -> bool {
        match group {
            "base.group_user" | "sales_team.group_sale_salesman" => true,
            "sales_team.group_sale_salesman_all_leads" | "sales_team.group_sale_manager" => {
                self.sees_all_leads()
            }
            "base.group_system" | "base.group_erp_manager" => self.is_administrator(),
            _ => false,
        }
    }

    /// Whether it sees the leads of others too.
    pub(crate) fn sees_all_leads(&self) -> bool {
        self.role != Role::Salesman
    }

    /// Whether RPC takes this password or key.
    fn accepts(&self, given: &str) -> bool {
        self.api_key.as_deref() == Some(given)
            || (!self.two_factor && self.password.as_deref() == Some(given))
    }
}

/// What one database holds.
#[derive(Debug)]
pub(crate) struct Company {
    version: u8,
    database: String,
    users: Vec<User>,
    attachments: Handle,
    store: Store,
    sessions: Sessions,
    login_cooldown: Duration,
    x_sendfile: bool,
    whole_chatters: AtomicU64,
}

impl Company {
    fn serie(&self) -> String {
        format!("{}.0", self.version)
    }

    fn version_info(&self) -> Value {
        json!({
            "server_version": self.serie(), "server_version_info": [self.version, 0, 0, "final", 0, ""],
            "server_serie": self.serie(), "protocol_version": 1,
        })
    }

    fn check_database(&self, database: &str) -> Result<(), Failure> {
        if database == self.database {
            return Ok(());
        }
        Err(Failure::new(
            "psycopg2.OperationalError",
            format!(
                "connection to server at \"127.0.0.1\", port 5432 failed: FATAL:  database \"{database}\" does not \
                 exist\n"
            ),
        ))
    }
}

/// A running simulated Odoo. Dropping it ends it.
pub struct Odoo {
    server: Server<site::Site>,
}

impl Odoo {
    /// Starts it on loopback, in the current tokio runtime.
    pub async fn start(options: Options) -> anyhow::Result<Self> {
        anyhow::ensure!(
            (14..=19).contains(&options.version),
            "there is no simulated Odoo {}",
            options.version
        );
        let store = Store::new(fields::of_version(options.version));
        store.uninstall(is_of_sales);
        fixtures::furnish(&store, &options.users);
        let company = Company {
            version: options.version,
            database: options.database,
            users: options.users,
            attachments: Handle::new(options.attachments, options.version),
            store,
            sessions: Sessions::default(),
            login_cooldown: options.login_cooldown,
            x_sendfile: options.x_sendfile,
            whole_chatters: AtomicU64::new(0),
        };
        let site = site::Site::new(company, options.limit);
        Ok(Self {
            server: Server::start(site, options.port, options.latency_ms).await?,
        })
    }

    /// `http://127.0.0.1:<port>`.
    pub fn url(&self) -> String {
        self.server.url()
    }

    fn version(&self) -> u8 {
        self.server.site().company.version
    }

    /// The faults, to be set and lifted at any time.
    pub fn faults(&self) -> &Faults {
        self.server.faults()
    }

    /// What was asked so far.
    pub fn counters(&self) -> &Counters {
        self.server.counters()
    }

    /// The attachments, to be changed at any time.
    pub fn attachments(&self) -> &Handle {
        &self.server.site().company.attachments
    }

    /// The records of a model, to be filled and changed at any time. A model that is not simulated has none.
    pub fn records(&self, model: &str) -> Records {
        self.server.site().company.store.records(model)
    }

    /// Installs the app *Sales*, which a fresh database does not have.
    pub fn install_sales(&self) {
        let mut schema = fields::of_version(self.version());
        schema.retain(|model, _| is_of_sales(model));
        self.server.site().company.store.install(schema);
    }

    /// Uninstalls it, with all that it has.
    pub fn uninstall_sales(&self) {
        self.server.site().company.store.uninstall(is_of_sales);
    }

    /// How many calls went through the whole chatter, since their domain looks beyond a many2one to messages: what the
    /// user may not see of them Odoo leaves out one by one (`_search` of `mail.message`, 14 to 19).
    pub fn whole_chatters(&self) -> u64 {
        let company = &self.server.site().company;
        company.whole_chatters.load(Ordering::Relaxed)
    }

    /// Sets how long every answer takes at least.
    pub fn set_latency_ms(&self, ms: u64) {
        self.server.set_latency_ms(ms);
    }

    /// Sets how long it works at each request, one after the other.
    pub fn set_service_time(&self, service_time: ServiceTime) {
        self.server.set_service_time(service_time);
    }

    /// Ends all web sessions, as an expiry would.
    pub fn end_sessions(&self) {
        self.server.site().company.sessions.end_all();
    }

    /// Ends the server and its connections at once, as an outage; what it holds is kept.
    pub async fn stop(&self) {
        self.server.stop().await;
    }

    /// Ends the outage: the same port, the same records, the same faults.
    pub async fn restart(&self) -> anyhow::Result<()> {
        Ok(self.server.restart().await?)
    }
}

fn is_of_sales(model: &str) -> bool {
    model.starts_with("sale.")
}

fn nosniff(response: &mut Response<Payload>) {
    response
        .headers_mut()
        .insert(X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
}
