//! One component on a stage of its own, with little work at a time: a fault, what is told of it, and
//! what must hold when it is over.

use anyhow::{Context, Result, ensure};
use chaos::{Job, Sides, UNSELECTED, WITNESS};
use serde_json::{Value, json};
use stage::{Answer, Caller, SERVICE_KEY, Stage};
use world::faults::{FaultId, Faults};
use world::odoo::{Attachments, NewAttachment, Options, Sizes, User};

use crate::table::Row;

/// What there is to do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Work {
    /// Two small files; a few records.
    Small,
    /// A file that is streamed by itself, in a web session.
    Stream,
    /// A file that goes in pieces.
    Pieces,
    /// A small file whose object is there already.
    Stored,
}

/// A component on its stage.
pub struct Bench {
    pub stage: Stage,
    pub job: Job,
    turn: std::cell::Cell<u64>,
}

/// The app's user of Odoo.
pub fn user() -> User {
    User {
        password: Some("chaos-odoo-password-77c1".to_owned()),
        api_key: Some("chaos-odoo-key-0b9e".to_owned()),
        ..User::administrator()
    }
}

/// So many calls have to be enough once a fault is over, on a machine that is busy.
const CALLS: usize = 30;

impl Bench {
    /// A stage where everything there was is done.
    pub async fn set(job: Job) -> Result<Self> {
        // What has just failed is not kept from being tried again by a busy machine's pace.
        Self::with(job, 18, 3).await
    }

    /// The same with this version of Odoo, and calls that may take so long. Where that is long, one call does all there
    /// is to do, however slow the machine.
    pub async fn with(job: Job, version: u8, seconds: u32) -> Result<Self> {
        let odoo = Options {
            version,
            attachments: Attachments::of(4).sized(Sizes::Between(500, 5_000)),
            users: vec![user()],
            ..Options::default()
        };
        let selected = json!([["mimetype", "!=", UNSELECTED]]);
        let mut builder = Stage::builder()
            .odoo(odoo)
            .user(user())
            .variable("archive_domain", selected);
        for job in ["archive", "crm", "chatter"] {
            builder = builder.variable(&format!("{job}_batch_seconds"), seconds);
        }
        let stage = builder.start().await?;
        if job != Job::Archive {
            stage.odoo.fill_pipeline(12);
        }
        stage.owner.batch_execute(WITNESS).await?;
        let bench = Self {
            stage,
            job,
            turn: std::cell::Cell::new(0),
        };
        bench.drain(bench.stage.caller()).await?;
        bench.holds().await?;
        Ok(bench)
    }

    /// Puts work there.
    pub fn work(&self, work: Work) -> Result<()> {
        let turn = self.turn.get() + 1;
        self.turn.set(turn);
        let odoo = &self.stage.odoo;
        match self.job {
            Job::Archive => {
                let sizes: &[u64] = match work {
                    Work::Small => &[900, 2_000],
                    Work::Stream => &[900_000],
                    Work::Pieces => &[13_000_000],
                    Work::Stored => &[3_000],
                };
                for size in sizes {
                    let id = odoo.attachments().insert(NewAttachment {
                        size: Some(*size),
                        ..NewAttachment::default()
                    });
                    if work == Work::Stored {
                        self.store(id)?;
                    }
                }
                if work == Work::Stream {
                    odoo.end_sessions();
                }
            }
            Job::Crm => {
                let name = json!({"name": format!("Turn {turn}")});
                odoo.records("crm.stage").update(1, &name);
                let leads = odoo.records("crm.lead");
                leads.update(1, &name);
                let customer = odoo.records("res.partner").insert(name);
                leads.insert(json!({"name": "New", "stage_id": 1, "partner_id": customer}));
            }
            Job::Chatter => {
                let file = odoo.attachments().insert(NewAttachment::default());
                let messages = odoo.records("mail.message");
                let message = messages.insert(json!({
                    "model": "crm.lead", "res_id": 1, "message_type": "comment", "subtype_id": 2,
                    "body": format!("<p>Turn {turn}</p>"), "author_id": 3, "attachment_ids": [file],
                    "date": "2026-11-21 20:21:22",
                }));
                odoo.records("mail.tracking.value").insert(json!({
                    "mail_message_id": message, "old_value_integer": 1, "old_value_char": "New",
                    "new_value_integer": 3, "new_value_char": "Won", "field_id": [3521, "Stage (Lead/Opportunity)"],
                }));
            }
        }
        Ok(())
    }

    /// Puts a file's object in place, as if another had moved the same content.
    fn store(&self, id: i64) -> Result<()> {
        let attachments = self.stage.odoo.attachments();
        let sha1 = attachments
            .get(id)
            .and_then(|attachment| attachment.checksum)
            .context("no checksum")?;
        let path = format!("{}/{sha1}", sha1.get(..2).unwrap_or_default());
        let content = attachments.content(id).context("no content")?;
        self.stage
            .storage
            .put("odoo-archive", &path, "text/plain", content)
    }

    /// What the component is asked for: everything, and a comparison.
    fn body(&self) -> &'static str {
        match self.job {
            Job::Archive => "{}",
            Job::Crm | Job::Chatter => r#"{"mode": "full"}"#,
        }
    }

    /// Calls the component.
    pub async fn call(&self, caller: &Caller) -> Result<Answer> {
        caller.post(self.job.path(), SERVICE_KEY, self.body()).await
    }

    /// Sets faults, calls, and takes down what is told; then all is mended, and has to be done.
    pub async fn under(
        &self,
        (place, fault): (&str, &str),
        faults: &Faults,
        set: FaultId,
    ) -> Result<Row> {
        let logged = self.log_rows().await?;
        let answer = self.call(self.stage.caller()).await;
        ensure!(
            faults.struck(set) > 0,
            "{place}, {fault}: no request was struck"
        );
        let row = self.tell((place, fault), answer, logged).await;
        faults.clear();
        let row = row.with_context(|| format!("{place}, {fault}"))?;
        self.nobody_holds_anything()
            .await
            .with_context(|| format!("{place}, {fault}: {row:?}"))?;
        self.done(self.stage.caller())
            .await
            .with_context(|| format!("{place}, {fault}: {row:?}"))?;
        Ok(row)
    }

    /// What is told of a call.
    pub async fn tell(
        &self,
        (place, fault): (&str, &str),
        answer: Result<Answer>,
        logged: i64,
    ) -> Result<Row> {
        let told = match answer {
            Err(_) => "no answer".to_owned(),
            Ok(answer) => self.told(&answer, logged).await?,
        };
        Ok(Row {
            place: place.to_owned(),
            fault: fault.to_owned(),
            status: self.status(&told).await?,
            told,
        })
    }

    async fn told(&self, answer: &Answer, logged: i64) -> Result<String> {
        let report = answer.json();
        let kind = report.pointer("/fault/kind").and_then(Value::as_str);
        let rows = self.log_rows().await? - logged;
        let newest = self
            .stage
            .value("select coalesce((select to_jsonb(l) from public.migration_logs l order by l.created_at desc, l.id limit 1), 'null')")
            .await?;
        match (report.get("status").and_then(Value::as_str), kind) {
            (Some("success"), _) => {
                ensure!(answer.status == 200, "{} {report:#}", answer.status);
                let reasons = self
                    .stage
                    .value("select coalesce(to_jsonb(string_agg(distinct '`' || reason || '`', ', ')), 'null') from public.odoo_attachments where attempts > 0 and state in ('pending', 'dead')")
                    .await?;
                let said = report.pointer("/errors/0").and_then(Value::as_str);
                Ok(match reasons.as_str() {
                    None if said.is_some() => {
                        ensure!(
                            rows == 1 && newest.get("errors") == report.get("errors"),
                            "{rows} rows of the log tell of it: {newest:#}\n{report:#}"
                        );
                        let said = without_numbers(said.unwrap_or_default());
                        format!("success; a row: {said}")
                    }
                    None => "success: it was made up for".to_owned(),
                    Some(reasons) => {
                        ensure!(rows == 1, "{rows} rows of the log tell of it: {newest:#}");
                        format!("success; the file fails by {reasons}, and is tried again")
                    }
                })
            }
            (Some("error"), Some(kind)) => {
                ensure!(
                    answer.status.is_server_error(),
                    "{} {report:#}",
                    answer.status
                );
                if rows == 0 {
                    return Ok(format!("`{kind}`, {}; no row", answer.status.as_u16()));
                }
                if rows == 1 && newest.get("status") == Some(&json!("success")) {
                    let status = answer.status.as_u16();
                    return Ok(format!(
                        "`{kind}`, {status}; a row of success, since all was done"
                    ));
                }
                ensure!(
                    rows == 1
                        && newest.get("status") == Some(&json!("error"))
                        && newest.get("errors") == report.get("errors"),
                    "{rows} rows of the log tell of it, the last: {newest:#}\n{report:#}"
                );
                Ok(format!("`{kind}`, {}; a row", answer.status.as_u16()))
            }
            _ => Ok(format!("{} {}", answer.status.as_u16(), answer.text())),
        }
    }

    /// What `/status` says of the component; it has to be what the call was told.
    async fn status(&self, told: &str) -> Result<String> {
        let answer = self.stage.get("/status").await?;
        ensure!(answer.status == 200, "/status: {}", answer.text());
        let document = answer.json();
        let text = |pointer: &str| {
            document
                .pointer(pointer)
                .and_then(Value::as_str)
                .unwrap_or("-")
                .to_owned()
        };
        let (state, kind) = match self.job {
            Job::Archive => (text("/archive/phase"), text("/archive/fault/kind")),
            Job::Crm => (
                text("/syncs/crm/last_run/outcome"),
                text("/syncs/crm/last_run/fault/kind"),
            ),
            Job::Chatter => (
                text("/syncs/chatter/last_run/outcome"),
                text("/syncs/chatter/last_run/fault/kind"),
            ),
        };
        if told.ends_with("; a row") {
            ensure!(
                told.contains(&format!("`{kind}`")),
                "/status says {state}, {kind}; the call was told {told}"
            );
        }
        Ok(if kind == "-" {
            state
        } else {
            format!("{state}: `{kind}`")
        })
    }

    /// How many rows the log has.
    pub async fn log_rows(&self) -> Result<i64> {
        self.stage
            .count("select count(*) from public.migration_logs")
            .await
    }

    /// Nothing is held, and no run is under way.
    pub async fn nobody_holds_anything(&self) -> Result<()> {
        let held = self
            .stage
            .count(
                "select (select count(*) from public.odoo_attachments where lease_id is not null)
                      + (select count(*) from odoo_sync.runs where outcome = 'running')",
            )
            .await?;
        ensure!(
            held == 0,
            "{held} leases are held, though the call has ended"
        );
        Ok(())
    }

    /// Calls until all is done, and compares everything.
    pub async fn done(&self, caller: &Caller) -> Result<()> {
        self.drain(caller).await?;
        self.holds().await
    }

    /// Leases pass, those of runs and those of files.
    pub async fn leases_pass(&self) -> Result<()> {
        let pass = "update odoo_sync.runs set leased_until = now() - interval '1 second' where outcome = 'running';
             update public.odoo_attachments set leased_until = now() - interval '1 second', next_attempt_at = now()
              where lease_id is not null";
        Ok(self.stage.owner.batch_execute(pass).await?)
    }

    /// Calls until nothing is left to do.
    pub async fn drain(&self, caller: &Caller) -> Result<()> {
        let mut last = String::new();
        // What is asked for once is gone on with; asked for again, it would begin anew.
        let mut body = self.body();
        for _ in 0..CALLS {
            self.stage
                .owner
                .batch_execute(
                    "update public.odoo_attachments set next_attempt_at = now()
                      where state = 'pending' and lease_id is null and next_attempt_at > now()",
                )
                .await?;
            let answer = caller.post(self.job.path(), SERVICE_KEY, body).await?;
            let report = answer.json();
            last = answer.text();
            let nothing_left = match self.job {
                Job::Archive => report.get("remaining") == Some(&json!(0)),
                Job::Crm | Job::Chatter => report.get("unfinished") == Some(&json!([])),
            };
            if report.get("status") == Some(&json!("success")) {
                if nothing_left {
                    return Ok(());
                }
                body = "{}";
            }
        }
        anyhow::bail!("{CALLS} calls were not enough: {last}")
    }

    /// Every object and row is as in Odoo, every count exact, nothing held.
    async fn holds(&self) -> Result<()> {
        let sides = Sides {
            owner: &self.stage.owner,
            odoo: &self.stage.odoo,
            storage: &self.stage.storage,
            jobs: &[self.job],
        };
        let found = sides.compare(None).await?;
        ensure!(found.differences.is_empty(), "{:#?}", found.differences);
        Ok(())
    }
}

/// A text with N for each number: how many were under way is up to the machine.
fn without_numbers(text: &str) -> String {
    let mut plain = String::new();
    for sign in text.chars() {
        let sign = if sign.is_ascii_digit() { 'N' } else { sign };
        if sign != 'N' || !plain.ends_with('N') {
            plain.push(sign);
        }
    }
    plain
}
