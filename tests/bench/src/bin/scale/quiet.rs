//! What the hourly tick of the chatter costs when there is nothing new, or one message, whatever the number of messages.
//!
//! Each number has a stage of its own, on which both sides have the same messages, with a field change to each tenth. Then
//! all are called in turn, as `pg_cron` does, so that a busy machine is busy for all.

use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use serde_json::{Value, json};
use stage::Stage;

const PATH: &str = "/chatter-sync";
/// As its job has it.
const BODY: &str = r#"{"mode": "missing"}"#;
/// How many ticks a figure is the median of, and how many come before the first that counts.
const TICKS: usize = 15;
const WARMING: usize = 2;

struct Quiet {
    messages: i64,
    stage: Stage,
    nothing: Vec<Cost>,
    one_new: Vec<Cost>,
}

/// What a tick cost.
#[derive(Clone, Copy)]
struct Cost {
    time: Duration,
    /// What the simulated Odoo took of it for its answers.
    in_odoo: Duration,
    odoo_calls: u64,
}

/// A table in Markdown: medians.
pub async fn measure(sizes: &[u64]) -> Result<()> {
    let mut all = Vec::new();
    for &messages in sizes {
        let started = Instant::now();
        all.push(Quiet::of(i64::try_from(messages)?).await?);
        let filled_s = started.elapsed().as_secs_f64();
        eprintln!("{messages} messages: filled in {filled_s:.0} s");
    }
    for round in 0..WARMING + TICKS {
        for quiet in &mut all {
            let nothing = quiet.tick(0).await?;
            let one_new = quiet.say_and_tick().await?;
            if round >= WARMING {
                quiet.nothing.push(nothing);
                quiet.one_new.push(one_new);
            }
        }
    }
    println!(
        "\n| an hourly tick of the chatter | nothing new, ms | of that in Odoo | Odoo calls | one new message, ms | of that in Odoo | Odoo calls |"
    );
    println!("| --- | ---: | ---: | ---: | ---: | ---: | ---: |");
    for quiet in &mut all {
        let (nothing, one_new) = (median(&mut quiet.nothing)?, median(&mut quiet.one_new)?);
        println!(
            "| {} messages |{}{}",
            quiet.messages,
            nothing.cells(),
            one_new.cells()
        );
    }
    Ok(())
}

impl Cost {
    fn cells(self) -> String {
        let ms = |time: Duration| time.as_secs_f64() * 1000.0;
        let (all, in_odoo) = (ms(self.time), ms(self.in_odoo));
        format!(" {all:.0} | {in_odoo:.1} | {} |", self.odoo_calls)
    }
}

fn median(costs: &mut [Cost]) -> Result<Cost> {
    costs.sort_by_key(|cost| cost.time);
    costs.get(costs.len() / 2).copied().context("no ticks")
}

impl Quiet {
    async fn of(messages: i64) -> Result<Self> {
        let stage = Stage::builder().start().await?;
        // What the components have to know of themselves before they find nothing new.
        stage.odoo.fill_pipeline(5);
        until_done(&stage).await?;
        fill(&stage, messages).await?;
        Ok(Self {
            messages,
            stage,
            nothing: Vec::new(),
            one_new: Vec::new(),
        })
    }

    /// A tick that has to write so many rows.
    async fn tick(&self, written: u64) -> Result<Cost> {
        let counters = self.stage.odoo.counters();
        counters.record(true);
        let started = Instant::now();
        let answer = self.stage.post(PATH, BODY).await?;
        let time = started.elapsed();
        counters.record(false);
        let in_odoo = counters.take_log().iter().map(|call| call.took_us).sum();
        let report = answer.json();
        let figure = |place: &str| {
            report
                .pointer(place)
                .and_then(Value::as_u64)
                .unwrap_or_default()
        };
        let inserted = figure("/entities/messages/inserted");
        ensure!(
            report.get("status") == Some(&json!("success"))
                && inserted == written
                && figure("/entities/messages/deleted") + figure("/entities/messages/updated") == 0,
            "{report:#}"
        );
        Ok(Cost {
            time,
            in_odoo: Duration::from_micros(in_odoo),
            odoo_calls: figure("/odoo_calls"),
        })
    }

    async fn say_and_tick(&self) -> Result<Cost> {
        self.stage.odoo.records("mail.message").insert(json!({
            "model": "crm.lead", "res_id": 1, "message_type": "comment", "body": "<p>New</p>",
        }));
        self.tick(1).await
    }
}

/// Copies all there is.
async fn until_done(stage: &Stage) -> Result<()> {
    loop {
        let report = stage.post(PATH, BODY).await?.json();
        ensure!(
            report.get("status") == Some(&json!("success")),
            "{report:#}"
        );
        if report.get("unfinished") == Some(&json!([])) {
            return Ok(());
        }
    }
}

/// The same messages on both sides, from long ago, and a field change to each tenth.
async fn fill(stage: &Stage, count: i64) -> Result<()> {
    const DATE: &str = "2024-03-01 08:00:00";
    let messages = stage.odoo.records("mail.message");
    let first = messages.ids().last().copied().unwrap_or_default() + 1;
    messages.insert_many((first..first + count).map(|id| {
        json!({
            "id": id, "model": "crm.lead", "res_id": 1, "message_type": "comment",
            "create_date": DATE, "write_date": DATE,
        })
    }));
    let changes = stage.odoo.records("mail.tracking.value");
    let first_change = changes.ids().last().copied().unwrap_or_default() + 1;
    changes.insert_many((0..count / 10).map(|number| {
        json!({
            "id": first_change + number, "mail_message_id": first + number * 10,
            "create_date": DATE, "write_date": DATE,
        })
    }));
    let last = first + count - 1;
    stage
        .owner
        .batch_execute(&format!(
            "set synchronous_commit = off;
             insert into public.odoo_messages (id, model, res_id, message_type, kind, body_text, create_date, write_date, row_hash)
             select n, 'crm.lead', 1, 'comment', 'note', 'said long ago', '{DATE}+00', '{DATE}+00', md5(n::text)
               from generate_series({first}, {last}) n;
             insert into public.odoo_field_changes (id, message_id, field, label, create_date, write_date, row_hash)
             select {first_change} + n, {first} + n * 10, 'stage_id', 'Stage', '{DATE}+00', '{DATE}+00', md5(n::text)
               from generate_series(0, {count} / 10 - 1) n;
             truncate odoo_sync.wanted_changes;
             set synchronous_commit = on"
        ))
        .await?;
    for table in ["odoo_messages", "odoo_field_changes"] {
        let vacuum = format!("vacuum analyze public.{table}");
        stage.owner.batch_execute(&vacuum).await?;
    }
    Ok(())
}
