//! Cut off anywhere, the next run goes on.

use anyhow::{Result, ensure};
use serde_json::json;
use world::faults::Fault;

use crate::scene::*;

/// As many as a company of some years has.
const MANY: i64 = 200_000;
/// A run is cut off at its fourth call, or less than so many after it.
const CALLS: u64 = 60;

/// Numbers that look random, the same in every run.
struct Dice(u64);

impl Dice {
    fn throw(&mut self, sides: u64) -> u64 {
        self.0 = self
            .0
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) % sides
    }
}

/// A message a minute: what lies in the overlap is read again by every run.
fn written(id: i64) -> String {
    let (day, minute) = (id / 1440, id % 1440);
    format!(
        "2026-{:02}-{:02} {:02}:{:02}:00",
        1 + day / 28,
        1 + day % 28,
        minute / 60,
        minute % 60
    )
}

#[tokio::test(flavor = "multi_thread")]
async fn two_hundred_thousand_messages_arrive_though_runs_are_cut_off_at_random() -> Result<()> {
    let mut stage = chatter(18, 0).await?;
    messages(&stage).insert_many((1..=MANY).map(|id| {
        json!({
            "id": id, "model": "crm.lead", "res_id": 1 + id % 5000, "message_type": "comment", "subtype_id": 1 + id % 2,
            "body": format!("<p>Message <b>{id}</b></p>"), "author_id": 3, "write_date": written(id),
        })
    }));
    let mut dice = Dice(7);
    let mut runs = 0;
    loop {
        runs += 1;
        ensure!(runs < 2000, "it does not come to an end");
        stage.odoo.faults().clear();
        let fault = Fault::on_call("mail.message", "search_read").from_nth(4 + dice.throw(CALLS));
        // So early that no page is small enough to come through.
        stage.odoo.faults().add(match dice.throw(4) {
            0 => fault.refuse(),
            1 => fault.truncate(40),
            2 => fault.html_500(),
            _ => fault.reset_at(40),
        });
        // Now and then it is the process that ends in mid-run.
        if dice.throw(8) == 0 {
            let (post, cut) = (stage.post(PATH, r#"{"mode": "missing"}"#), dice.throw(700));
            let cut = tokio::time::sleep(std::time::Duration::from_millis(cut));
            tokio::select! { _ = post => {}, () = cut => {} }
            stage.restart_app().await?;
            leases_pass(&stage).await?;
            continue;
        }
        let report = stage.post(PATH, r#"{"mode": "missing"}"#).await?.json();
        if report["status"] == "success" && report["unfinished"] == json!([]) {
            break;
        }
    }
    stage.odoo.faults().clear();
    let report = hourly(&stage).await?;
    assert_eq!(changed(&report), [0, 0, 0], "{report:#}");
    println!("{MANY} messages in {runs} runs");
    assert_eq!(validation(&stage, "messages").await?["verdict"], "same");
    assert_same(&stage).await
}
