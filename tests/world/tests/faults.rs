//! Faults strike where and when they were told to.
#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "tests")]

mod client;

use std::time::Duration;

use client::{call, log_in, rpc, send};
use http::StatusCode;
use serde_json::json;
use world::faults::Fault;
use world::odoo::{Attachments, EdgeCase, Odoo, Options, Sizes};

async fn odoo() -> (Odoo, String) {
    let attachments = Attachments::of(5)
        .sized(Sizes::Fixed(300_000))
        .with(5, EdgeCase::Size(1 << 30));
    let odoo = Odoo::start(Options {
        attachments,
        ..Options::default()
    })
    .await
    .unwrap();
    let cookie = log_in(&odoo.url(), "admin", "admin").await.unwrap();
    (odoo, cookie)
}

#[tokio::test]
async fn the_third_answer_alone_is_truncated() {
    let (odoo, cookie) = odoo().await;
    let fault = odoo
        .faults()
        .add(Fault::on("/web/content").nth(3).truncate(1000));
    let mut lengths = Vec::new();
    for _ in 0..4 {
        let url = format!("{}/web/content/1", odoo.url());
        let answer = send("GET", &url, &[("cookie", &cookie)], "").await.unwrap();
        lengths.push((
            answer.header("content-length").to_owned(),
            answer.body.len(),
        ));
    }
    let whole = ("300000".to_owned(), 300_000);
    assert_eq!(
        lengths,
        [
            whole.clone(),
            whole.clone(),
            ("1000".to_owned(), 1000),
            whole
        ]
    );
    assert_eq!(odoo.faults().struck(fault), 1);
}

#[tokio::test]
async fn connections_break_before_within_and_after_the_work() {
    let (odoo, cookie) = odoo().await;
    let url = format!("{}/web/content/1", odoo.url());
    let get = async || send("GET", &url, &[("cookie", &cookie)], "").await;
    odoo.faults().add(Fault::on_id(1).nth(1).refuse());
    assert!(get().await.is_err());
    odoo.faults().add(Fault::on_id(1).nth(1).reset_at(100_000));
    assert!(get().await.is_err());
    odoo.faults().clear();
    assert_eq!(get().await.unwrap().body.len(), 300_000);
    odoo.faults().add(
        Fault::on_call("ir.attachment", "generate_access_token")
            .times(1)
            .lose_answer(),
    );
    let before = odoo.attachments().get(2).unwrap();
    let token = async || {
        let named = json!([
            "odoo",
            2,
            "admin",
            "ir.attachment",
            "generate_access_token",
            [[2]],
            {}
        ]);
        let body = json!({"id": 1, "params": {"service": "object", "method": "execute_kw", "args": named}}).to_string();
        let json = [("content-type", "application/json")];
        send("POST", &format!("{}/jsonrpc", odoo.url()), &json, body).await
    };
    assert!(token().await.is_err());
    assert_ne!(
        odoo.attachments().get(2).unwrap(),
        before,
        "the work was done"
    );
    assert!(token().await.is_ok());
}

#[tokio::test]
async fn wrong_bytes_keep_the_length() {
    let (odoo, cookie) = odoo().await;
    odoo.faults()
        .add(Fault::on("/web/content").id(2).wrong_bytes());
    for (id, same) in [(1, true), (2, false)] {
        let url = format!("{}/web/content/{id}", odoo.url());
        let answer = send("GET", &url, &[("cookie", &cookie)], "").await.unwrap();
        assert_eq!(answer.body.len(), 300_000);
        assert_eq!(
            answer.body == odoo.attachments().content(id).unwrap(),
            same,
            "{id}"
        );
    }
}

#[tokio::test]
async fn a_stalled_answer_never_ends() {
    let (odoo, cookie) = odoo().await;
    odoo.faults().add(Fault::on("/web/content").stall_at(10));
    let url = format!("{}/web/content/1", odoo.url());
    let headers = [("cookie", cookie.as_str())];
    let answer = send("GET", &url, &headers, "");
    assert!(
        tokio::time::timeout(Duration::from_millis(200), answer)
            .await
            .is_err()
    );
}

#[tokio::test]
async fn what_is_held_goes_on_when_the_fault_is_lifted() {
    let (odoo, cookie) = odoo().await;
    let url = format!("{}/web/content/1", odoo.url());
    let headers = [("cookie", cookie.as_str())];
    let held = odoo.faults().add(Fault::on("/web/content").hold());
    let asking = send("GET", &url, &headers, "");
    let lifting = async {
        while odoo.faults().struck(held) == 0 {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        let answered = odoo.counters().of("GET /web/content").bytes_out;
        odoo.faults().remove(held);
        answered
    };
    let (answer, answered) = tokio::join!(asking, lifting);
    assert_eq!(answered, 0, "it was not held");
    assert_eq!(answer.unwrap().status, StatusCode::OK);
}

#[tokio::test]
async fn answers_can_be_replaced() {
    let (odoo, _) = odoo().await;
    let version = async || rpc(&odoo.url(), "common", "version", json!([])).await;
    odoo.faults()
        .add(Fault::on("/jsonrpc").times(1).retry_after(429, 7));
    let busy = version().await;
    assert_eq!(
        (busy.status, busy.header("retry-after")),
        (StatusCode::TOO_MANY_REQUESTS, "7")
    );
    odoo.faults().add(Fault::on("/jsonrpc").times(1).html_500());
    let crashed = version().await;
    assert_eq!(
        (crashed.status, crashed.header("content-type")),
        (
            StatusCode::INTERNAL_SERVER_ERROR,
            "text/html; charset=utf-8"
        )
    );
    odoo.faults()
        .add(Fault::on("/jsonrpc").times(1).redirect_to_login());
    let stranger = version().await;
    assert_eq!(
        (stranger.status, stranger.header("location")),
        (StatusCode::SEE_OTHER, "/web/login?redirect=%2Fjsonrpc%3F")
    );
    odoo.faults().add(
        Fault::on("/jsonrpc")
            .times(1)
            .answer(544, &[("x-a", "b")], "overloaded"),
    );
    let overloaded = version().await;
    assert_eq!(
        (overloaded.status.as_u16(), overloaded.text().as_str()),
        (544, "overloaded")
    );
    assert_eq!(version().await.status, StatusCode::OK);
}

#[tokio::test]
async fn faults_counters_and_latency_can_be_set_from_outside_the_process() {
    let (odoo, cookie) = odoo().await;
    let control = async |method: &str, path: &str, body: &str| {
        send(
            method,
            &format!("{}/_world/{path}", odoo.url()),
            &[],
            body.to_owned(),
        )
        .await
        .unwrap()
    };
    let fault = r#"{"path": "/web/content", "what": {"truncate": 10}}"#;
    assert_eq!(control("POST", "faults", fault).await.json()["id"], 1);
    let url = format!("{}/web/content/1", odoo.url());
    assert_eq!(
        send("GET", &url, &[("cookie", &cookie)], "")
            .await
            .unwrap()
            .body
            .len(),
        10
    );
    assert_eq!(control("GET", "faults", "").await.json()[0]["struck"], 1);
    let counters = control("GET", "counters", "").await.json();
    let content = &counters["endpoints"]["GET /web/content"];
    assert_eq!(
        (
            &content["calls"],
            &content["bytes_out"],
            &content["in_flight"]
        ),
        (&json!(1), &json!(10), &json!(0))
    );
    assert_eq!(
        control("POST", "faults", r#"{"what": "nonsense"}"#)
            .await
            .status,
        StatusCode::UNPROCESSABLE_ENTITY
    );
    assert_eq!(
        control("GET", "nothing", "").await.status,
        StatusCode::NOT_FOUND
    );
    assert_eq!(
        control("PUT", "latency", r#"{"ms": 0}"#).await.status,
        StatusCode::OK
    );
    assert_eq!(
        control("POST", "records/crm.lead", r#"{"name": "A"}"#)
            .await
            .json()["id"],
        1
    );
    assert_eq!(odoo.records("crm.lead").count(), 1);
    let lost = control(
        "PUT",
        "attachments/damage",
        r#"{"id": 2, "damage": "lost"}"#,
    )
    .await;
    assert_eq!(lost.status, StatusCode::OK);
    assert_eq!(odoo.attachments().content(2), None);
}

#[tokio::test]
async fn an_outage_ends_with_the_same_address_and_records() {
    let (odoo, cookie) = odoo().await;
    odoo.stop().await;
    assert!(
        tokio::net::TcpStream::connect(odoo.url().trim_start_matches("http://"))
            .await
            .is_err()
    );
    odoo.restart().await.unwrap();
    let url = format!("{}/web/content/1", odoo.url());
    assert_eq!(
        send("GET", &url, &[("cookie", &cookie)], "")
            .await
            .unwrap()
            .body
            .len(),
        300_000
    );
}

#[tokio::test]
async fn the_log_tells_calls_and_how_many_ids() {
    let (odoo, _) = odoo().await;
    odoo.counters().record(true);
    call(
        &odoo.url(),
        "ir.attachment",
        "read",
        json!([[1, 2, 3]]),
        json!({"fields": ["name"]}),
    )
    .await;
    let log = odoo.counters().take_log();
    assert_eq!(
        (log[0].call.as_deref(), log[0].ids, log[0].status),
        (Some("ir.attachment/read"), 3, 200)
    );
    assert_eq!(odoo.counters().of("ir.attachment/read").calls, 1);
}

#[tokio::test]
async fn a_gibibyte_streams_and_its_checksum_is_known() {
    let (odoo, cookie) = odoo().await;
    let known = odoo.attachments().get(5).unwrap();
    assert_eq!(known.file_size, 1 << 30);
    let url = format!("{}/web/content/5", odoo.url());
    let head = send("HEAD", &url, &[("cookie", &cookie)], "")
        .await
        .unwrap();
    assert_eq!(
        (head.header("content-length"), head.body.len()),
        ("1073741824", 0)
    );
    let tail = send(
        "GET",
        &url,
        &[("cookie", &cookie), ("range", "bytes=-100")],
        "",
    )
    .await
    .unwrap();
    assert_eq!(
        (tail.status, tail.body.len()),
        (StatusCode::PARTIAL_CONTENT, 100)
    );
}

#[tokio::test]
async fn a_host_with_a_limit_answers_429() {
    let limit = Some(world::odoo::Limit {
        calls_per_second: 2,
        parallel_calls: 1,
    });
    let odoo = Odoo::start(Options {
        limit,
        ..Options::default()
    })
    .await
    .unwrap();
    let ask = async || rpc(&odoo.url(), "common", "version", json!([])).await;
    assert_eq!(ask().await.status, StatusCode::OK);
    assert_eq!(ask().await.status, StatusCode::OK);
    // A machine that takes its time may get a third call into the next second.
    let mut more = 0;
    while ask().await.status != StatusCode::TOO_MANY_REQUESTS {
        more += 1;
        assert!(more < 100, "the host refuses nothing");
    }
}
