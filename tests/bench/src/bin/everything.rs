//! How fast every record is read, beside a plain loop: `search_read` page after page, each written by `copy`.
//!
//! ```sh
//! cargo everything                               # 50,000 leads, 100,000 contacts, 200,000 records of other models, 20 ms
//! cargo everything -- 5000 10000 20000 20        # leads, contacts, records, ms
//! cargo everything -- 5000 10000 20000 20 idle   # the same with an Odoo that costs next to nothing
//! ```
//!
//! The simulated Odoo works at each request, one after the other, as long as a real Odoo 18 was seen to ([`ODOO_SERVICE_TIME`]); it
//! is the same for both.
//!
//! The loop asks for the same fields of the same records and puts each page into a table of one `jsonb` column. It keeps no
//! cursor, no names and no dictionary, and is lost when it is cut off; a run of ours compares both sides afterwards, which is in its time.
//! Both begin with empty tables, in turn.

use std::fmt::Write as _;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use bytes::Bytes;
use futures::SinkExt;
use http::Request;
use http::header::CONTENT_TYPE;
use http_body_util::{BodyExt, Full};
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::TokioExecutor;
use serde_json::{Value, json};
use stage::Stage;
use world::odoo::{Odoo, Options};
use world::serve::ServiceTime;

/// A real Odoo 18 (one process, a Postgres beside it, 2026-12-01, on two cores of a shared AMD EPYC; 5,000 leads of 3 KB with
/// as many contacts, activities, followers and order lines) took 15 ms for one record and, for 1,000 of them with all the
/// fields that are copied, at least: leads 360 ms (65 fields), contacts 323 (73), orders 273 (43), their lines 247 (45),
/// activities 133 (23), followers 76 (5), states 76 (8); for a list of 5,000 with their dates 64 to 70. The cheapest value
/// that was seen counts for all of them, so that the real one is slower than this.
const ODOO_SERVICE_TIME: ServiceTime = ServiceTime {
    per_call: Duration::from_millis(15),
    per_record: Duration::ZERO,
    per_row: Duration::from_micros(5),
    per_value: Duration::from_nanos(4_200),
    per_request: Duration::ZERO,
};

const PAGE: usize = 1000;
const ROUNDS: u32 = 3;
/// What a stage gives its administrator.
const KEY: &str = "stage-odoo-key-d93a15";

/// What the records are, beside leads and contacts: their shares.
const OTHERS: [(&str, u32); 4] = [
    ("mail.followers", 10),
    ("mail.activity", 2),
    ("sale.order", 3),
    ("sale.order.line", 5),
];

struct Arguments {
    leads: u32,
    partners: u32,
    records: u32,
    latency_ms: u64,
    service_time: ServiceTime,
}

impl Arguments {
    fn read() -> Result<Self> {
        let mut given = std::env::args().skip(1);
        let mut number = |default: u32| -> Result<u32> {
            let Some(number) = given.next() else {
                return Ok(default);
            };
            number
                .parse()
                .with_context(|| format!("{number} is no number"))
        };
        let (leads, partners, records) = (number(50_000)?, number(100_000)?, number(200_000)?);
        let latency_ms = number(20)?.into();
        let service_time = match given.next().as_deref() {
            None => ODOO_SERVICE_TIME,
            Some("idle") => ServiceTime::default(),
            Some(other) => anyhow::bail!("{other}: only idle can follow"),
        };
        Ok(Self {
            leads,
            partners,
            records,
            latency_ms,
            service_time,
        })
    }
}

#[tokio::main]
async fn main() -> Result<()> {
    let arguments = Arguments::read()?;
    let all = arguments.leads + arguments.partners + arguments.records;
    let mut ratios = Vec::new();
    for round in 1..=ROUNDS {
        let plain = plain(&arguments).await?;
        let ours = ours(&arguments).await?;
        let ratio = plain.as_secs_f64() / ours.0.as_secs_f64();
        println!(
            "round {round}: {all} records; plain loop {:.1} s, crm-sync {:.1} s with {} Odoo calls and {} MiB at most: {ratio:.2} of the loop's speed",
            plain.as_secs_f64(),
            ours.0.as_secs_f64(),
            ours.1,
            ours.2 / 1024 / 1024
        );
        ratios.push(ratio);
    }
    ratios.sort_by(f64::total_cmp);
    let median = ratios.get(ratios.len() / 2).copied().unwrap_or_default();
    println!("median: {median:.2}");
    Ok(())
}

async fn filled(arguments: &Arguments) -> Result<Stage> {
    let stage = Stage::builder()
        .odoo(Options::default())
        .variable("crm_batch_seconds", "3600")
        .start()
        .await?;
    stage.odoo.install_sales();
    fill(&stage.odoo, arguments);
    stage.odoo.set_latency_ms(arguments.latency_ms);
    stage.odoo.set_service_time(arguments.service_time);
    Ok(stage)
}

fn fill(odoo: &Odoo, arguments: &Arguments) {
    let note = "<p>A note of <b>some</b> length, as people write it.</p>".repeat(4);
    odoo.records("res.partner").insert_many((1000..1000 + arguments.partners).map(|id| {
        json!({"id": id, "name": format!("Contact {id}"), "email": format!("contact{id}@example.com"), "phone": format!("+32 2 {id:07}"),
            "street": "Rue du Bac 1", "zip": "1000", "city": "Brussels", "country_id": 901, "comment": note})
    }));
    odoo.records("crm.lead").insert_many((1..=arguments.leads).map(|id| {
        json!({"id": id, "name": format!("Lead {id}"), "stage_id": 1 + id % 4, "partner_id": 1000 + id % arguments.partners.max(1), "description": note,
            "email_from": format!("buyer{id}@example.com"), "expected_revenue": 1250.5, "country_id": 901, "tag_ids": [1, 2]})
    }));
    let shares: u32 = OTHERS.iter().map(|(_, share)| share).sum();
    for (model, share) in OTHERS {
        odoo.records(model).insert_many((1..=arguments.records * share / shares).map(|id| {
            let lead = 1 + id % arguments.leads.max(1);
            json!({"id": id, "name": format!("{model} {id}"), "res_model": "crm.lead", "res_id": lead, "partner_id": 1000 + id % 1000,
                "summary": "Call back", "note": note, "date_deadline": "2026-12-24", "user_id": 2, "amount_total": 1250.5,
                "order_id": 1 + id / 2, "price_unit": 10.5, "subtype_ids": [1, 2], "opportunity_id": lead})
        }));
    }
}

/// The first run of the compiled component; how many calls it made, and its memory at most.
async fn ours(arguments: &Arguments) -> Result<(Duration, u64, u64)> {
    let stage = filled(arguments).await?;
    let only = OTHERS.map(|(model, _)| model);
    let only: Vec<&str> = ["leads", "partners"].into_iter().chain(only).collect();
    let body = json!({ "entities": only }).to_string();
    stage.odoo.counters().reset();
    let started = Instant::now();
    let answer = stage.post("/crm-sync", &body).await?;
    let taken = started.elapsed();
    ensure!(answer.status == 200, "{} {}", answer.status, answer.text());
    let report = answer.json();
    let inserted = report.get("inserted").and_then(Value::as_u64);
    let all = u64::from(arguments.leads + arguments.partners + arguments.records);
    ensure!(
        inserted >= Some(all),
        "{inserted:?} of {all} records: {report:#}"
    );
    let calls = stage.odoo.counters().total().calls;
    let memory = stage.peak_memory_bytes("crm-sync").unwrap_or_default();
    Ok((taken, calls, memory))
}

/// The loop.
async fn plain(arguments: &Arguments) -> Result<Duration> {
    let stage = filled(arguments).await?;
    stage
        .owner
        .batch_execute("create table public.plain (model text, id bigint, data jsonb, primary key (model, id))")
        .await?;
    let mut connector = HttpConnector::new();
    connector.set_nodelay(true);
    let client: Client<_, Full<Bytes>> = Client::builder(TokioExecutor::new()).build(connector);
    let url = format!("{}/jsonrpc", stage.odoo.url());
    let started = Instant::now();
    let models = OTHERS.map(|(model, _)| model);
    for model in ["crm.lead", "res.partner"].into_iter().chain(models) {
        let stored = stage.odoo.records(model).stored_fields();
        let fields = stored.into_iter().filter(|(_, type_name, _)| {
            !matches!(type_name.as_str(), "one2many" | "binary" | "image")
        });
        let fields: Vec<String> = fields
            .map(|(name, _, _)| name)
            .chain(["display_name".to_owned()])
            .collect();
        let mut after = 0;
        loop {
            let named = json!({"fields": fields, "order": "id", "limit": PAGE, "context": {"active_test": false}});
            let arguments = json!([
                "odoo",
                2,
                KEY,
                model,
                "search_read",
                [[["id", ">", after]]],
                named
            ]);
            let call = json!({"jsonrpc": "2.0", "method": "call", "params": {"service": "object", "method": "execute_kw", "args": arguments}});
            let request = Request::post(&url)
                .header(CONTENT_TYPE, "application/json")
                .body(Full::from(call.to_string()))?;
            let answer = client.request(request).await?.into_body().collect().await?;
            let mut answer: Value = serde_json::from_slice(&answer.to_bytes())?;
            let records = answer.get_mut("result").map(Value::take);
            let Some(Value::Array(records)) = records else {
                anyhow::bail!("{answer}");
            };
            let mut text = String::new();
            for record in &records {
                after = record.get("id").and_then(Value::as_i64).context("an id")?;
                let data = record.to_string().replace('\\', "\\\\");
                writeln!(text, "{model}\t{after}\t{data}")?;
            }
            let sink = stage.owner.copy_in("copy public.plain from stdin").await?;
            let mut sink = Box::pin(sink);
            sink.send(Bytes::from(text)).await?;
            sink.close().await?;
            if records.len() < PAGE {
                break;
            }
        }
    }
    let taken = started.elapsed();
    let all = i64::from(arguments.leads + arguments.partners + arguments.records);
    let copied = stage.count("select count(*) from public.plain").await?;
    ensure!(copied >= all, "{copied} of {all}");
    Ok(taken)
}
