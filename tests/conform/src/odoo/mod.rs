//! An Odoo, simulated or real, and who asks it.

mod made;
mod simulated;

use std::cell::RefCell;
use std::collections::BTreeMap;

use anyhow::{Context, Result, bail};
use serde_json::{Value, json};

use crate::client::{Answer, Client};
use crate::conversation::{Came, Target, ask};
use crate::fixtures::Fixtures;
use crate::report::Report;
use crate::table::{Caller, Step};
use crate::{Server, exchanges, way};

pub use made::Options;
pub(crate) use made::fresh_prefix;

/// A name with all accents that have a plain letter, and with letters that have none.
const ACCENTED: &str = "ÀÁÂÃÄÅÇÈÉÊËÌÍÎÏÑÒÓÔÕÖÙÚÛÜÝ àáâãäåçèéêëìíîïñòóôõöùúûüýÿ œßøł日.txt";

/// Files of names without an extension: what the table calls them, their name and type.
const BARE_NAMES: [(&str, &str, &str); 5] = [
    ("bare_name", "conform bare", "application/pdf"),
    ("bare_text", "conform bare", "text/plain"),
    ("dotted_name", "conform v1. a b", "application/pdf"),
    ("name_with_dot", "conform.", "application/pdf"),
    ("long_extension", "conform.abcde", "application/pdf"),
];

/// Who may ask, and how it proves itself.
#[derive(Debug, Clone, Default)]
pub(crate) struct Account {
    pub login: String,
    pub uid: i64,
    /// Opens web sessions, and serves RPC where there is no key.
    pub password: Option<String>,
    /// Serves RPC and JSON-2.
    pub key: Option<String>,
}

impl Account {
    /// What RPC is told.
    fn secret(&self) -> &str {
        self.key
            .as_deref()
            .or(self.password.as_deref())
            .unwrap_or_default()
    }
}

/// A server and the accounts that are known there.
pub(crate) struct Odoo {
    client: Client,
    pub url: String,
    pub database: String,
    pub version: u8,
    pub accounts: BTreeMap<Caller, Account>,
    cookies: RefCell<BTreeMap<Caller, String>>,
}

impl Odoo {
    pub(crate) fn new(url: &str, database: &str) -> Result<Self> {
        Ok(Self {
            client: Client::new()?,
            url: url.trim_end_matches('/').to_owned(),
            database: database.to_owned(),
            version: 0,
            accounts: BTreeMap::new(),
            cookies: RefCell::default(),
        })
    }

    /// A request of JSON-RPC.
    async fn rpc(
        &self,
        service: &str,
        method: &str,
        args: Value,
        step: &Step,
    ) -> Result<Result<Answer, String>> {
        let params = json!({"service": service, "method": method, "args": args});
        let body = json!({"jsonrpc": "2.0", "method": "call", "id": 1, "params": params});
        let step = Step {
            json: Some(body),
            headers: step.headers.clone(),
            ..Step::default()
        };
        let json = [("content-type", "application/json".to_owned())];
        self.client
            .send(ask(&self.url, "POST /jsonrpc", &step, &json)?)
            .await
    }

    /// The result of a call, for the fixtures; an error where there is none.
    pub(crate) async fn call(
        &self,
        caller: Caller,
        model: &str,
        method: &str,
        positional: Value,
        named: Value,
    ) -> Result<Value> {
        let account = self
            .accounts
            .get(&caller)
            .with_context(|| format!("no {}", caller.name()))?;
        let args = json!([
            self.database,
            account.uid,
            account.secret(),
            model,
            method,
            positional,
            named
        ]);
        self.result("object", "execute_kw", args)
            .await
            .with_context(|| format!("{model}.{method}"))
    }

    async fn result(&self, service: &str, method: &str, args: Value) -> Result<Value> {
        let answer = self
            .rpc(service, method, args, &Step::default())
            .await?
            .map_err(anyhow::Error::msg)?;
        let body = answer
            .json()
            .with_context(|| format!("HTTP {} is no JSON", answer.status))?;
        if let Some(error) = body.get("error") {
            let text = |name: &str| {
                error
                    .pointer(name)
                    .and_then(Value::as_str)
                    .unwrap_or_default()
                    .to_owned()
            };
            bail!("{}: {}", text("/data/name"), text("/data/message"));
        }
        Ok(body.get("result").cloned().unwrap_or_default())
    }

    /// The cookie of this caller's web session. The inner error: none opens, and why.
    async fn cookie(&self, caller: Caller) -> Result<Result<String, String>> {
        if let Some(cookie) = self.cookies.borrow().get(&caller) {
            return Ok(Ok(cookie.clone()));
        }
        let Some(account) = self.accounts.get(&caller) else {
            return Ok(Err(format!("no {}", caller.name())));
        };
        let Some(password) = &account.password else {
            return Ok(Err(format!("no password of the {}", caller.name())));
        };
        let step = Step {
            json: Some(json!({"jsonrpc": "2.0", "params": {
                "db": self.database, "login": account.login, "password": password}})),
            ..Step::default()
        };
        let json = [("content-type", "application/json".to_owned())];
        let answer = self
            .client
            .send(ask(
                &self.url,
                "POST /web/session/authenticate",
                &step,
                &json,
            )?)
            .await?;
        let cookie = answer
            .ok()
            .filter(|answer| {
                answer
                    .json()
                    .is_some_and(|body| body.pointer("/result/uid").is_some_and(Value::is_i64))
            })
            .and_then(|answer| answer.header("set-cookie"))
            .and_then(|cookie| cookie.split(';').next().map(str::to_owned));
        let Some(cookie) = cookie else {
            return Ok(Err(format!(
                "no web session opens for the {}",
                caller.name()
            )));
        };
        self.cookies.borrow_mut().insert(caller, cookie.clone());
        Ok(Ok(cookie))
    }

    /// What exchanges say of the server and of who asks.
    fn describe(&self, fixtures: &mut Fixtures) {
        fixtures.set("url", self.url.clone());
        fixtures.set("database", self.database.clone());
        fixtures.set("version", self.version);
        for caller in [
            Caller::Administrator,
            Caller::Settings,
            Caller::SalesAdministrator,
            Caller::Salesman,
        ] {
            let name = caller.name();
            let Some(account) = self.accounts.get(&caller) else {
                fixtures.lack(name, "no such user is known here");
                continue;
            };
            fixtures.set(name, name);
            fixtures.set(&format!("{name}.login"), account.login.clone());
            fixtures.set(&format!("{name}.uid"), account.uid);
            fixtures.set(&format!("{name}.secret"), account.secret());
            for (what, secret) in [("password", &account.password), ("key", &account.key)] {
                let field = format!("{name}.{what}");
                match secret {
                    Some(secret) => fixtures.set(&field, secret.clone()),
                    None => fixtures.lack(&field, "it was not given"),
                }
            }
        }
    }
}

impl Target for Odoo {
    async fn ask(&self, caller: Caller, step: &Step) -> Result<Result<Came, String>> {
        let dropped = |answer: Result<Answer, String>, came: fn(Answer) -> Came| {
            answer.map_or_else(Came::Dropped, came)
        };
        let part = |parts: &[Value], at: usize| parts.get(at).cloned();
        if let Some(parts) = &step.service {
            let text = |at| {
                part(parts, at)
                    .and_then(|part| part.as_str().map(str::to_owned))
                    .unwrap_or_default()
            };
            let args = part(parts, 2).unwrap_or_else(|| json!([]));
            let answer = self.rpc(&text(0), &text(1), args, step).await?;
            return Ok(Ok(dropped(answer, Came::Rpc)));
        }
        if let Some(parts) = &step.rpc {
            let Some(account) = self.accounts.get(&caller) else {
                return Ok(Err(format!("no {} is known here", caller.name())));
            };
            let mut args = vec![
                json!(self.database),
                json!(account.uid),
                json!(account.secret()),
            ];
            args.extend(parts.iter().cloned());
            let answer = self
                .rpc("object", "execute_kw", Value::Array(args), step)
                .await?;
            return Ok(Ok(dropped(answer, Came::Rpc)));
        }
        if let Some(parts) = &step.json2 {
            let (Some(Value::String(model)), Some(Value::String(method))) =
                (parts.first(), parts.get(1))
            else {
                bail!("json2 wants a model and a method");
            };
            let mut usual = vec![
                ("content-type", "application/json".to_owned()),
                ("x-odoo-database", self.database.clone()),
            ];
            if caller != Caller::Nobody {
                let Some(key) = self
                    .accounts
                    .get(&caller)
                    .and_then(|account| account.key.as_ref())
                else {
                    return Ok(Err(format!("no API key of the {}", caller.name())));
                };
                usual.push(("authorization", format!("bearer {key}")));
            }
            let step = Step {
                json: part(parts, 2),
                ..step.clone()
            };
            let line = format!("POST /json/2/{model}/{method}");
            let answer = self
                .client
                .send(ask(&self.url, &line, &step, &usual)?)
                .await?;
            return Ok(Ok(dropped(answer, Came::Json2)));
        }
        let line = step.http.as_deref().context("a step asks for nothing")?;
        let mut usual = Vec::new();
        if step.json.is_some() {
            usual.push(("content-type", "application/json".to_owned()));
        }
        if caller != Caller::Nobody {
            match self.cookie(caller).await? {
                Ok(cookie) => usual.push(("cookie", cookie)),
                Err(why) => return Ok(Err(why)),
            }
        }
        let answer = self
            .client
            .send(ask(&self.url, line, step, &usual)?)
            .await?;
        Ok(Ok(dropped(answer, Came::Http)))
    }
}

/// Runs the table against a simulated Odoo of this version.
pub async fn against_simulated(version: u8) -> Result<Report> {
    against_simulated_way(version, None).await
}

/// Runs the table against a simulated Odoo of this version, or the exchanges of one way alone against one that has it.
pub async fn against_simulated_way(version: u8, name: Option<&str>) -> Result<Report> {
    let (_running, odoo, mut fixtures) = simulated::furnished(version, name).await?;
    odoo.describe(&mut fixtures);
    let mut report = Report::default();
    run(&odoo, &fixtures, false, name, &mut report).await?;
    Ok(report)
}

/// Runs the table against a real Odoo.
pub async fn against_real(options: Options) -> Result<Report> {
    let read_only = options.read_only;
    let mut made = made::Made::begin(options).await?;
    let mut fixtures = Fixtures::default();
    let mut report = Report::default();
    let outcome = made.furnish(&mut fixtures).await;
    if outcome.is_ok() {
        made.odoo.describe(&mut fixtures);
    }
    let outcome = match outcome {
        Ok(()) => run(&made.odoo, &fixtures, read_only, None, &mut report).await,
        Err(error) => Err(error),
    };
    report.left_behind = made.remove().await;
    outcome.map(|()| report)
}

async fn run(
    odoo: &Odoo,
    fixtures: &Fixtures,
    read_only: bool,
    alone: Option<&str>,
    report: &mut Report,
) -> Result<()> {
    let mut table = exchanges(Server::Odoo)?;
    way::keep(&mut table, alone, |way| fixtures.get(way).is_some());
    table.retain(|exchange| exchange.versions.has(odoo.version));
    crate::conversation::run(odoo, &table, fixtures, read_only, report).await
}
