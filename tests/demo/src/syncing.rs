//! Copies the records: a full pass of each component that does so, and its comparison of both sides.

use std::time::{Duration, Instant};

use anyhow::{Result, bail};
use serde::Deserialize;
use serde_json::Value;
use tokio_postgres::Client;

use crate::calling::{Call, LOOK, Stop};
use crate::scene::Scene;
use crate::spelling::{number, time};
use crate::terminal::{Terminal, Tone};

/// What is copied, by which component, and the job whose run is complete.
const SYNCS: [(&str, &str, &str); 2] = [
    ("pipeline", "crm-sync", "odoo-crm-sync-nightly"),
    ("chatter", "chatter-sync", "odoo-chatter-sync-hourly"),
];
/// So many runs in a row may be stopped by something that passes.
const STOPPED_IN_A_ROW: usize = 3;
/// How many entities are named; the others are counted.
const NAMED: usize = 3;

/// How a component's complete runs stand: one row.
#[derive(Debug, Deserialize)]
struct State {
    running: bool,
    ended: u64,
    succeeded: bool,
    unfinished: Vec<String>,
    /// What stopped the runs since the last that was not stopped.
    stopped_by: Vec<Stop>,
    /// The latest comparison of each entity.
    compared: Vec<Comparison>,
}

/// Odoo and Postgres compared.
#[derive(Debug, Deserialize)]
struct Comparison {
    entity: String,
    source: Option<u64>,
    destination: Option<u64>,
    verdict: String,
}

impl State {
    async fn read(owner: &Client, component: &str) -> Result<Self> {
        const STATEMENT: &str = "
            with runs as (
              select r.* from odoo_sync.runs r where r.job = $1 and r.mode <> 'incremental'
            ), ended as (
              select r.* from runs r where r.outcome <> 'running' order by r.started_at desc limit 1
            ), compared as (
              select distinct on (v.entity) v.entity, v.source_count, v.destination_count, v.verdict
                from public.sync_validation_log v join odoo_sync.runs r on r.id = v.run_id
               where r.job = $1 order by v.entity, v.created_at desc
            )
            select jsonb_build_object(
              'running', exists (select from odoo_sync.runs r where r.job = $1 and r.outcome = 'running'),
              'ended', (select count(*) from runs where outcome <> 'running'),
              'succeeded', coalesce((select outcome = 'success' from ended), false),
              'unfinished', coalesce((select counts->'unfinished' from ended), '[]'),
              'stopped_by', (select coalesce(jsonb_agg(r.fault order by r.started_at desc), '[]') from runs r
                where r.outcome = 'error' and r.started_at > coalesce((select max(s.started_at) from runs s where s.outcome = 'success'), '-infinity')),
              'compared', (select coalesce(jsonb_agg(jsonb_build_object('entity', entity, 'source', source_count,
                'destination', destination_count, 'verdict', verdict) order by destination_count desc, entity), '[]') from compared))";
        let row = owner.query_one(STATEMENT, &[&component]).await?;
        Ok(serde_json::from_value(row.try_get::<_, Value>(0)?)?)
    }

    fn all_done(&self) -> bool {
        self.succeeded && !self.running && self.unfinished.is_empty()
    }
}

/// Copies everything there is; whether both sides are the same.
pub async fn everything(scene: &Scene, terminal: &mut Terminal) -> Result<bool> {
    let mut good = true;
    for (name, component, job) in SYNCS {
        terminal.doing(name, "copying and comparing");
        let began = Instant::now();
        let compared = complete_run(&scene.owner, component, job).await?;
        good &= tell(name, &compared, began.elapsed(), terminal);
    }
    Ok(good && leads_agree(scene, terminal).await?)
}

/// The comparison above is the component's own; the simulated Odoo can be counted from here.
async fn leads_agree(scene: &Scene, terminal: &mut Terminal) -> Result<bool> {
    let Some(odoo) = &scene.odoo else {
        return Ok(true);
    };
    let here: i64 = scene
        .owner
        .query_one(
            "select count(*) from public.odoo_leads where deleted_at is null",
            &[],
        )
        .await?
        .try_get(0)?;
    let there = odoo.records("crm.lead").count();
    let agree = usize::try_from(here).is_ok_and(|here| here == there);
    if !agree {
        terminal.told(
            Tone::Bad,
            "pipeline",
            &format!("* {there} leads in Odoo, {here} here"),
        );
    }
    Ok(agree)
}

async fn complete_run(owner: &Client, component: &str, job: &str) -> Result<Vec<Comparison>> {
    let mut called: Option<Call> = None;
    loop {
        let state = State::read(owner, component).await?;
        if let Some(last) = state.stopped_by.first()
            && (!last.passes() || state.stopped_by.len() >= STOPPED_IN_A_ROW)
        {
            bail!("{component}: {}", last.in_words());
        }
        if state.all_done() {
            return Ok(state.compared);
        }
        if let Some(call) = &called {
            call.check_answer(owner).await?;
        }
        let awaited = called
            .as_ref()
            .is_some_and(|call| call.is_awaited(state.ended));
        if !state.running && !awaited {
            called = Some(Call::make(owner, job, state.ended).await?);
        }
        tokio::time::sleep(LOOK).await;
    }
}

fn tell(name: &str, compared: &[Comparison], took: Duration, terminal: &mut Terminal) -> bool {
    let unlike: Vec<_> = compared
        .iter()
        .filter(|found| found.verdict != "same")
        .collect();
    for found in &unlike {
        let count = |count: Option<u64>| count.map_or("?".to_owned(), number);
        let words = format!(
            "* {}: {} in Odoo, {} here ({})",
            found.entity,
            count(found.source),
            count(found.destination),
            found.verdict
        );
        terminal.told(Tone::Bad, name, &words);
    }
    if unlike.is_empty() {
        let of = |found: &Comparison| found.destination.unwrap_or_default();
        let mut words: Vec<String> = compared
            .iter()
            .take(NAMED)
            .map(|found| format!("{} {}", number(of(found)), found.entity.replace('_', " ")))
            .collect();
        let rest: u64 = compared.iter().skip(NAMED).map(of).sum();
        if rest > 0 {
            words.push(format!("{} others", number(rest)));
        }
        terminal.told(
            Tone::Good,
            name,
            &format!("{} in {}: = as in Odoo", words.join(", "), time(took)),
        );
    }
    unlike.is_empty()
}
