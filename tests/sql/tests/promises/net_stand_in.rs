//! The stand-in for `pg_net` behaves as the real one was seen to.

use std::time::{Duration, Instant};

use world::postgres::Postgres;

use crate::endpoint::{Endpoint, answer, nobody};
use crate::project::{ARCHIVE, Project, eventually, query};

async fn answered(project: &Project, request: &str) -> String {
    eventually(|| async {
        let rows = project
            .sql(&format!("select concat_ws('|', status_code, timed_out, error_msg) from net._http_response where id = {request}"))
            .await;
        rows.first().cloned().ok_or_else(|| "no answer".to_owned())
    })
    .await
    .unwrap()
}

#[tokio::test]
async fn one_slow_call_holds_back_its_batch_and_all_behind_it() {
    let slow = Endpoint::silent().await;
    let quick = Endpoint::with(200, "{}").await;
    let project = Project::new().await;
    let started = Instant::now();
    let first = project
        .sql(&format!(
            "select net.http_post('{}', timeout_milliseconds := 1200)",
            slow.url()
        ))
        .await
        .remove(0);
    eventually(|| async {
        if slow.calls().is_empty() {
            Err("not sent".to_owned())
        } else {
            Ok(())
        }
    })
    .await
    .unwrap();
    let second = project
        .sql(&format!("select net.http_get('{}')", quick.url()))
        .await
        .remove(0);
    assert_eq!(answered(&project, &second).await, "200|f");
    assert!(
        started.elapsed() >= Duration::from_millis(1_200),
        "it had to wait for the slow one"
    );
    let first = answered(&project, &first).await;
    assert!(
        first.starts_with("t|Timeout of 1200 ms reached. Total time: "),
        "{first}"
    );
}

#[tokio::test]
async fn failures_read_as_libcurl_words_them() {
    let project = Project::new().await;
    let dropping = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let dropped = format!("http://{}", dropping.local_addr().unwrap());
    tokio::spawn(async move {
        while let Ok((stream, _)) = dropping.accept().await {
            // All of it: a connection that is closed with something unread is reset.
            let mut request = [0; 4096];
            let _ = stream.readable().await;
            let _ = stream.try_read(&mut request);
            drop(stream);
        }
    });
    let plain = Endpoint::with(200, "{}").await;
    for (url, expected) in [
        (nobody().await, "f|Couldn't connect to server"),
        (
            "http://nowhere.invalid".to_owned(),
            "f|Couldn't resolve host name",
        ),
        (plain.url().replace("http", "https"), "f|SSL connect error"),
        (dropped, "f|Server returned nothing (no headers, no data)"),
    ] {
        let request = project
            .sql(&format!("select net.http_get('{url}')"))
            .await
            .remove(0);
        assert_eq!(answered(&project, &request).await, expected, "{url}");
    }
}

#[tokio::test]
async fn a_header_that_is_null_leaves_without_a_word_and_a_redirect_makes_a_get() {
    let target = Endpoint::with(200, "{}").await;
    let url = target.url();
    let redirecting = Endpoint::answering(move |_| {
        let mut moved = answer(302, "");
        moved.headers_mut().insert("location", url.parse().unwrap());
        async move { moved }
    })
    .await;
    let project = Project::new().await;
    let request = project
        .sql(&format!("select net.http_post('{}', headers := jsonb_build_object('Authorization', 'Bearer ' || null, 'X-Other', 'kept'))", redirecting.url()))
        .await
        .remove(0);
    assert_eq!(answered(&project, &request).await, "200|f");
    let sent = &redirecting.calls()[0];
    assert_eq!(
        (
            sent.method.as_str(),
            sent.header("authorization"),
            sent.header("x-other")
        ),
        ("POST", None, Some("kept"))
    );
    assert_eq!(
        (
            target.calls()[0].method.as_str(),
            target.calls()[0].body.as_str()
        ),
        ("GET", "")
    );
    assert!(
        project
            .refusal(
                "select net.http_post('http://a', headers := '{\"Content-Type\": \"text/plain\"}')"
            )
            .await
            .contains("Content-Type")
    );
}

#[tokio::test]
async fn a_crash_empties_the_queue_and_the_lost_call_is_told() {
    let server = Postgres::start_throw_away().await.unwrap();
    let endpoint = Endpoint::with(202, "{}").await;
    let database = server.database().await.unwrap();
    let project = Project::of(database.clone()).await;
    project.schedule(&endpoint.url()).await;
    for _ in 0..2 {
        project.tick().await;
        project.is_answered().await;
    }
    project.supabase.stop_net_worker().await.unwrap();
    project.tick().await;
    server.crash().await.unwrap();
    server.start_again().await.unwrap();

    let project = Project::of(database).await;
    assert_eq!(
        project
            .sql("select count(*) from net.http_request_queue")
            .await,
        ["0"]
    );
    project.sql("update odoo_sync.calls set called_at = called_at - interval '90 seconds'; update odoo_sync.jobs set scheduled_at = scheduled_at - interval '90 seconds'").await;
    assert_eq!(project.health().await.state, "lost");

    // pg_net's numbers begin anew: the next answer must not be taken for the lost call's.
    project.tick().await;
    project.is_answered().await;
    project.becomes("ok").await;
    project.tick().await;
    project.is_answered().await;
    project.sql("select odoo_sync.collect_answers()").await;
    assert_eq!(
        project.sql(&format!("select coalesce(status_code::text, error) from odoo_sync.calls where job = '{ARCHIVE}' order by id offset 2")).await,
        ["lost in a crash of Postgres", "202", "202"]
    );
}

/// Jobs of the same minute call at once, and the one with the lower number may be the last to say so.
#[tokio::test]
async fn calls_of_one_moment_are_not_taken_for_lost_in_a_crash() {
    let project = Project::calling(&nobody().await).await;
    project.supabase.stop_net_worker().await.unwrap();
    let callers = (0..4).map(|_| async {
        let caller = project.database.connect().await.unwrap();
        for _ in 0..50 {
            query(&caller, &format!("select odoo_sync.call('{ARCHIVE}')"))
                .await
                .unwrap();
        }
    });
    futures::future::join_all(callers).await;
    assert_eq!(
        project
            .sql("select concat_ws(' ', count(*), count(error)) from odoo_sync.calls")
            .await,
        ["200 0"]
    );
}
