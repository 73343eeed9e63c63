//! The table: what is asked, as whom, and what has to come back.

use std::collections::{BTreeMap, BTreeSet};

use anyhow::{Context, Result, ensure};
use serde::Deserialize;
use serde_json::Value;

use crate::Server;

/// One exchange: a promise of a server, in words and as data.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Exchange {
    /// What holds, in words; no two exchanges have the same name.
    pub name: String,
    /// The versions of Odoo for which it holds: `14`, `16-18`, `14,16-`; every one if it is not said.
    #[serde(default)]
    pub versions: Versions,
    /// Who asks, unless a step says otherwise.
    #[serde(default, rename = "as")]
    pub caller: Caller,
    /// Whether it changes anything on the server.
    #[serde(default)]
    pub writes: bool,
    /// What it needs beside the fixtures that its text names; `simulated` is the simulated server.
    #[serde(default)]
    pub needs: Vec<String>,
    /// Where it was seen.
    pub source: String,
    /// What is asked, one after the other; the rest is not asked once one of them comes back otherwise.
    pub steps: Vec<Value>,
}

/// Who asks.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Caller {
    /// Odoo's administrator; the project's owner.
    #[default]
    Administrator,
    /// A user with the group *Administration / Settings*, without the administrator's others.
    Settings,
    /// A user with *Sales: Administrator*, without *Settings*.
    SalesAdministrator,
    /// A user who sees the documents of his own.
    Salesman,
    /// Who holds the public key of a project.
    Anonymous,
    /// A user of the project.
    Authenticated,
    /// The project's service role.
    ServiceRole,
    /// Nobody who is known.
    Nobody,
}

impl Caller {
    /// All of them.
    pub const ALL: [Self; 8] = [
        Self::Administrator,
        Self::Settings,
        Self::SalesAdministrator,
        Self::Salesman,
        Self::Anonymous,
        Self::Authenticated,
        Self::ServiceRole,
        Self::Nobody,
    ];

    /// The name as the table has it.
    pub fn name(self) -> &'static str {
        match self {
            Self::Administrator => "administrator",
            Self::Settings => "settings",
            Self::SalesAdministrator => "sales_administrator",
            Self::Salesman => "salesman",
            Self::Anonymous => "anonymous",
            Self::Authenticated => "authenticated",
            Self::ServiceRole => "service_role",
            Self::Nobody => "nobody",
        }
    }
}

/// One request and its answer. Which fields make the request is the server's matter.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Step {
    /// Who asks, if it is not whom the exchange says.
    #[serde(rename = "as")]
    pub caller: Option<Caller>,
    /// `[model, method, positional, named]`, by JSON-RPC's `execute_kw`.
    pub rpc: Option<Vec<Value>>,
    /// `[service, method, arguments]`, by JSON-RPC.
    pub service: Option<Vec<Value>>,
    /// `[model, method, named]`, by JSON-2.
    pub json2: Option<Vec<Value>>,
    /// `GET /path`.
    pub http: Option<String>,
    /// One statement.
    pub sql: Option<String>,
    /// One statement, prepared at the pooler while nobody is there, and run while another is in a transaction.
    pub prepared: Option<String>,
    /// The job of this name runs: at a stand-in now, at a real `pg_cron` at the next full minute. What came of it is a row.
    pub tick: Option<String>,
    /// Whether a schedule is due at a moment: `t`, `f`, or `none` if it is no schedule.
    pub due: Option<[String; 2]>,
    /// A stand-in's clock strikes this moment.
    pub strike: Option<String>,
    /// A stand-in's worker of `pg_net` is made to stop, or to start.
    pub worker: Option<WorkerAction>,
    /// The statement goes through the pooler, on a connection of its own: what of its address is another one.
    pub pooler: Option<Login>,
    /// Headers of the request; an empty one is not sent, whoever would set it.
    pub headers: BTreeMap<String, String>,
    /// The body as JSON.
    pub json: Option<Value>,
    /// The body as text.
    pub text: Option<String>,
    /// The body as so many bytes that follow from their number.
    pub bytes: Option<usize>,
    /// The body as base64.
    pub base64: Option<String>,
    /// Whether the body goes in chunks, without its length.
    pub chunked: bool,
    /// After so many bytes of the body the connection ends.
    pub cut: Option<usize>,
    /// How often it is asked, each time with another `${turn}`.
    pub times: Option<u64>,
    /// How often it is asked at the same time: one answer at least is as expected, and each of the rest is that too, or
    /// one of `others`.
    pub together: Option<usize>,
    /// What the rest of the answers may be, where it is asked at the same time.
    pub others: Vec<Expect>,
    /// For so many seconds to ask again, until what is expected comes.
    pub until: u64,
    /// What has to come back.
    pub expect: Expect,
    /// What is kept of the answer under a name, for later steps: `header NAME` or a path into its JSON; of a text
    /// what comes ` after ` a mark.
    pub keep: BTreeMap<String, String>,
}

/// What becomes of a background worker.
#[derive(Debug, Clone, Copy, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum WorkerAction {
    /// It ends, in the middle of what it does.
    Stop,
    /// It begins.
    Start,
}

/// How a connection to the pooler is asked for, where it is not as its address says.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Login {
    /// The user.
    pub user: Option<String>,
    /// The password.
    pub password: Option<String>,
    /// The database.
    pub database: Option<String>,
    /// Options of the session, such as `-c geqo=off`.
    pub options: Option<String>,
    /// So many other connections are open meanwhile.
    pub beside: usize,
    /// So many of them are in a transaction.
    pub in_transaction: usize,
}

/// What has to come back. Texts are patterns: `*` stands for anything.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Expect {
    /// The HTTP status; 200 if it is not said.
    pub status: Option<Value>,
    /// The content type.
    #[serde(rename = "type")]
    pub content_type: Option<String>,
    /// Headers; `$absent` must not be there.
    pub headers: BTreeMap<String, String>,
    /// The result of a call.
    pub result: Option<Value>,
    /// The exception's name; the SQLSTATE.
    pub error: Option<String>,
    /// The error's message.
    pub message: Option<String>,
    /// The error's hint.
    pub hint: Option<String>,
    /// The error's code in JSON-RPC.
    pub code: Option<Value>,
    /// The body as JSON.
    pub json: Option<Value>,
    /// The body as text.
    pub body: Option<String>,
    /// The SHA-1 of the body.
    pub sha1: Option<String>,
    /// The length of the body.
    pub length: Option<Value>,
    /// The rows of a statement.
    pub rows: Option<Value>,
    /// Whether the connection ends without an answer.
    pub dropped: bool,
}

/// A set of versions of Odoo.
#[derive(Debug, Clone, Deserialize)]
#[serde(try_from = "String")]
pub struct Versions(BTreeSet<u8>);

impl Default for Versions {
    fn default() -> Self {
        Self(Self::ALL.collect())
    }
}

impl Versions {
    /// The versions that are simulated.
    pub const ALL: std::ops::RangeInclusive<u8> = 14..=19;

    /// Whether this version is among them.
    pub fn has(&self, version: u8) -> bool {
        self.0.contains(&version)
    }
}

impl TryFrom<String> for Versions {
    type Error = anyhow::Error;

    fn try_from(text: String) -> Result<Self> {
        let mut all = BTreeSet::new();
        for part in text.split(',') {
            let (from, to) = part.split_once('-').unwrap_or((part, part));
            let number = |text: &str, otherwise: u8| match text.trim() {
                "" => Ok(otherwise),
                text => text.parse().with_context(|| format!("no version: {text}")),
            };
            let (from, to) = (
                number(from, *Self::ALL.start())?,
                number(to, *Self::ALL.end())?,
            );
            ensure!(from <= to, "no versions: {part}");
            all.extend(from..=to);
        }
        Ok(Self(all))
    }
}

/// The whole table of a server, in its order. An error says what is wrong with it.
pub fn exchanges(server: Server) -> Result<Vec<Exchange>> {
    #[derive(Deserialize)]
    struct File {
        exchange: Vec<Value>,
    }
    let files: &[(&str, &str)] = match server {
        Server::Odoo => &[("odoo.toml", include_str!("../exchanges/odoo.toml"))],
        Server::Storage => &[("storage.toml", include_str!("../exchanges/storage.toml"))],
        Server::Postgres => &[("postgres.toml", include_str!("../exchanges/postgres.toml"))],
    };
    let mut all = Vec::new();
    for (file, text) in files {
        let File { exchange } = toml::from_str(text).with_context(|| (*file).to_owned())?;
        for entry in exchange {
            let name = entry.get("name").map(Value::to_string).unwrap_or_default();
            let exchange = read(entry).with_context(|| format!("{file}: {name}"))?;
            all.push(exchange);
        }
    }
    Ok(all)
}

/// An exchange of one request has the request's fields beside its own.
fn read(mut entry: Value) -> Result<Exchange> {
    const OWN: [&str; 7] = [
        "name", "versions", "as", "writes", "needs", "source", "steps",
    ];
    if let Value::Object(fields) = &mut entry
        && !fields.contains_key("steps")
    {
        let names: Vec<String> = fields
            .keys()
            .filter(|name| !OWN.contains(&name.as_str()))
            .cloned()
            .collect();
        let step: serde_json::Map<String, Value> = names
            .into_iter()
            .filter_map(|name| fields.remove(&name).map(|value| (name, value)))
            .collect();
        fields.insert("steps".to_owned(), Value::Array(vec![Value::Object(step)]));
    }
    let exchange: Exchange = serde_json::from_value(entry)?;
    for step in &exchange.steps {
        serde_json::from_value::<Step>(step.clone())?;
    }
    Ok(exchange)
}
