//! Bodies, methods, headers and paths that make no sense.

use std::time::Duration;

use anyhow::{Result, ensure};
use futures::future::try_join_all;
use http::Method;
use stage::SERVICE_KEY;

use crate::raw;
use crate::scene::{POSTS, all_still_serve, is_refusal, key, nothing_was_done, post, set};

const MAX_BODY_BYTES: usize = 64 * 1024;

#[tokio::test]
async fn a_body_that_is_no_request_is_refused_and_does_nothing() -> Result<()> {
    let stage = set().start().await?;
    let deep = |open: &str, close: &str| format!("{}{}", open.repeat(20_000), close.repeat(20_000));
    let bodies: [Vec<u8>; 18] = [
        b"{".to_vec(),
        b"[]".to_vec(),
        b"[null,null]".to_vec(),
        b"null".to_vec(),
        b"\"migrate\"".to_vec(),
        b"mode=migrate&ids=1".to_vec(),
        b"<?xml version=\"1.0\"?><!DOCTYPE a [<!ENTITY b SYSTEM \"file:///etc/passwd\">]><a>&b;</a>".to_vec(),
        b"\x1f\x8b\x08\x00\x00\x00\x00\x00".to_vec(),
        b"{\"mode\":\"\xff\xfe\"}".to_vec(),
        b"\xef\xbb\xbf{}".to_vec(),
        b"{\"mode\":\"migrate\"} {}".to_vec(),
        b"{\"mode\":\"\\ud800\"}".to_vec(),
        b"{\"ids\":[1e999],\"job\":1e999}".to_vec(),
        b"{\"ids\":[NaN],\"job\":NaN}".to_vec(),
        b"{\"x\":01}".to_vec(),
        deep("[", "]").into_bytes(),
        deep("{\"a\":", "}").into_bytes(),
        vec![0; 1000],
    ];
    for path in POSTS {
        for body in &bodies {
            let shown = String::from_utf8_lossy(body.get(..40).unwrap_or(body)).into_owned();
            let answer = post(&stage, path, body.clone()).await?;
            is_refusal(&answer, &format!("{path} {shown}"))?;
        }
    }
    nothing_was_done(&stage).await?;
    all_still_serve(&stage).await
}

#[tokio::test]
async fn a_value_of_the_wrong_type_or_size_is_refused_and_does_nothing() -> Result<()> {
    let stage = set().start().await?;
    let many = format!("{{\"ids\":{:?}}}", (1..=1001).collect::<Vec<u32>>());
    for (path, body) in [
        ("/archive-batch", r#"{"mode":{"a":1}}"#),
        ("/archive-batch", r#"{"ids":[9223372036854775808]}"#),
        ("/archive-batch", r#"{"ids":[1.5]}"#),
        ("/archive-batch", r#"{"ids":{"0":1}}"#),
        (
            "/archive-batch",
            r#"{"read_data":"1/99999999999999999999"}"#,
        ),
        ("/archive-batch", r#"{"read_data":"257/257"}"#),
        ("/archive-batch", r#"{"after_id":-1}"#),
        ("/archive-batch", &many),
        ("/actions/retry", &many),
        ("/actions/retry", r#"{"ids":[-1]}"#),
        ("/actions/retry", r#"{"job":["archive-batch"]}"#),
        ("/crm-sync", r#"{"entities":["pg_authid"]}"#),
        ("/crm-sync", r#"{"entities":"leads"}"#),
        ("/crm-sync", r#"{"mode":"full","confirm_deletes":1}"#),
        ("/chatter-sync", r#"{"entities":[["messages"]]}"#),
    ] {
        let answer = post(&stage, path, body.to_owned()).await?;
        is_refusal(
            &answer,
            &format!("{path} {}", body.get(..60).unwrap_or(body)),
        )?;
    }
    nothing_was_done(&stage).await?;
    all_still_serve(&stage).await
}

#[tokio::test]
async fn a_body_over_64_kib_is_refused_however_it_comes() -> Result<()> {
    let stage = set().start().await?;
    for path in POSTS {
        for length in [MAX_BODY_BYTES + 1, 300_000] {
            let answer = post(&stage, path, vec![b' '; length]).await?;
            ensure!(answer.status == 413, "{path} {length}: {}", answer.status);
            is_refusal(&answer, path)?;
        }
        // Without a Content-Length.
        let head = format!(
            "POST {path} HTTP/1.1\r\nhost: app\r\nauthorization: Bearer {SERVICE_KEY}\r\ntransfer-encoding: chunked\r\n\r\n"
        );
        let chunk = format!("2000\r\n{}\r\n", " ".repeat(0x2000));
        let answer = raw::send(
            &stage,
            format!("{head}{}0\r\n\r\n", chunk.repeat(9)).as_bytes(),
        )
        .await?;
        ensure!(answer.status == 413, "{path}: {answer:?}");
        // One that says how long it will be is not waited for: that would end as a 408.
        let head = head.replace("transfer-encoding: chunked", "content-length: 10000000000");
        let answer = raw::send(&stage, head.as_bytes()).await?;
        ensure!(answer.status == 413, "{path}: {answer:?}");
    }
    nothing_was_done(&stage).await?;
    let answer = post(&stage, "/archive-batch", vec![b' '; MAX_BODY_BYTES]).await?;
    ensure!(
        answer.status == 200,
        "one of 64 KiB is taken: {}",
        answer.text()
    );
    all_still_serve(&stage).await
}

#[tokio::test]
async fn a_body_that_never_ends_is_cut_off_and_one_of_a_stranger_is_not_read() -> Result<()> {
    let stage = set().start().await?;
    let head = |path: &str, headers: &str| {
        format!("POST {path} HTTP/1.1\r\nhost: app\r\n{headers}\r\n\r\n").into_bytes()
    };
    let slow = POSTS.iter().flat_map(|path| {
        let key = format!("authorization: Bearer {SERVICE_KEY}");
        [
            (
                head(path, &format!("{key}\r\ncontent-length: 1000")),
                &b" "[..],
            ),
            (
                head(path, &format!("{key}\r\ntransfer-encoding: chunked")),
                b"1\r\n \r\n",
            ),
            (head(path, &format!("{key}\r\ncontent-length: 1000")), b""),
        ]
    });
    let stage_ = &stage;
    let each = slow.map(|(head, more)| async move {
        let answer = raw::drip(stage_, &head, more, Duration::from_secs(1)).await?;
        ensure!(
            answer.status == 408 && answer.json()["error"].is_string(),
            "{answer:?}"
        );
        Ok(())
    });
    // Were a stranger's body read, its end would be waited for, and this be a 408 too.
    let strangers = POSTS.iter().map(|path| async move {
        let head = head(
            path,
            "authorization: Bearer a-stranger\r\ncontent-length: 1000",
        );
        let answer = raw::drip(stage_, &head, b" ", Duration::from_secs(1)).await?;
        ensure!(answer.status == 401, "{answer:?}");
        Ok(())
    });
    let (all, others) = tokio::join!(try_join_all(each), try_join_all(strangers));
    all?;
    others?;
    nothing_was_done(&stage).await?;
    all_still_serve(&stage).await
}

#[tokio::test]
async fn a_body_that_breaks_off_does_nothing() -> Result<()> {
    let stage = set().start().await?;
    for path in POSTS {
        let head = format!(
            "POST {path} HTTP/1.1\r\nhost: app\r\nauthorization: Bearer {SERVICE_KEY}\r\ncontent-length: 1000\r\n\r\n{{}}"
        );
        let address = stage.url();
        let mut stream =
            tokio::net::TcpStream::connect(address.trim_start_matches("http://")).await?;
        tokio::io::AsyncWriteExt::write_all(&mut stream, head.as_bytes()).await?;
        drop(stream);
    }
    // Those after them are served, one after the other.
    for path in POSTS {
        is_refusal(&post(&stage, path, "{").await?, path)?;
    }
    nothing_was_done(&stage).await?;
    all_still_serve(&stage).await
}

#[tokio::test]
async fn methods_that_a_path_is_not_for_are_refused() -> Result<()> {
    let stage = set().start().await?;
    let (name, value) = key();
    let headers = [(name, value.as_str())];
    let to_look = ["/status", "/metrics", "/status/files/1", "/"];
    for (paths, wrong, allowed) in [
        (POSTS.as_slice(), "GET", "POST, OPTIONS"),
        (&to_look, "POST", "GET, HEAD, OPTIONS"),
    ] {
        for path in paths {
            for method in [wrong, "PUT", "PATCH", "DELETE", "TRACE", "BREW", "PROPFIND"] {
                let answer = stage
                    .caller()
                    .send(method.parse()?, path, &headers, "{}")
                    .await?;
                ensure!(answer.status == 405, "{method} {path}: {}", answer.status);
                is_refusal(&answer, path)?;
                ensure!(answer.header("allow") == allowed, "{method} {path}");
            }
        }
    }
    nothing_was_done(&stage).await?;
    all_still_serve(&stage).await
}

#[tokio::test]
async fn headers_that_are_odd_or_huge_get_nobody_in() -> Result<()> {
    let stage = set().start().await?;
    let long = "x".repeat(60_000);
    let many = "x-more: y\r\n".repeat(90);
    for headers in [
        format!("authorization: Bearer {long}"),
        format!("apikey: {long}"),
        format!("authorization: Bearer a-stranger\r\nx-long: {long}\r\n{many}x-last: 1"),
        "authorization: Bearer \u{fc}\u{df}".to_owned(),
        "authorization:".to_owned(),
        "authorization: Bearer".to_owned(),
        "authorization: Basic YWRtaW46YWRtaW4=".to_owned(),
        format!("authorization: bearer a-stranger\r\nauthorization: Bearer {SERVICE_KEY}-"),
        "authorization: Bearer a.b.c\r\nprefer: respond-async, respond-async\r\nprefer: ,,;="
            .to_owned(),
        format!("authorization: Bearer {}", ".".repeat(8_000)),
        "content-type: multipart/form-data; boundary=x\r\ncontent-encoding: gzip".to_owned(),
    ] {
        let request = format!(
            "POST /archive-batch HTTP/1.1\r\nhost: app\r\n{headers}\r\ncontent-length: 2\r\n\r\n{{}}"
        );
        let answer = raw::send(&stage, request.as_bytes()).await?;
        let shown = headers.get(..60).unwrap_or(&headers);
        ensure!(
            answer.status == 401 && answer.json()["error"] == "Unauthorized",
            "{shown}: {answer:?}"
        );
    }
    // What is too much for the server is refused by the server itself.
    let too_many = "x-more: y\r\n".repeat(20_000);
    let request = format!(
        "POST /archive-batch HTTP/1.1\r\nhost: app\r\n{too_many}content-length: 2\r\n\r\n{{}}"
    );
    let answer = raw::send(&stage, request.as_bytes()).await?;
    ensure!((400..500).contains(&answer.status), "{answer:?}");
    nothing_was_done(&stage).await?;
    all_still_serve(&stage).await
}

#[tokio::test]
async fn paths_that_lead_nowhere_are_refused() -> Result<()> {
    let stage = set().start().await?;
    let (name, value) = key();
    let headers = [(name, value.as_str())];
    let long = format!("/status/files/{}", "9".repeat(30_000));
    for path in [
        "/status/files/",
        "/status/files/0",
        "/status/files/-1",
        "/status/files/1.5",
        "/status/files/1e3",
        "/status/files/0x1",
        "/status/files/9223372036854775808",
        "/status/files/1/2",
        "/status/files/%00",
        "/status/files/%31",
        "/status/files/1%27%20or%20true--",
        "/status/files/../../etc/passwd",
        "/status/files/\u{661}",
        "/status/files/1?id=2",
        "/status/",
        "/STATUS",
        "//status",
        "/card/",
        "/card/../spin.toml",
        "/card/%2e%2e/%2e%2e/spin.toml",
        "/card/card.js.map",
        "/actions/",
        "/actions/drop",
        "/.env",
        "/archive-batch/../status",
        &long,
    ] {
        let path = path.replace('\u{661}', "%D9%A1");
        let answer = stage
            .caller()
            .send(Method::GET, &path, &headers, "")
            .await?;
        let shown = path.get(..60).unwrap_or(&path);
        is_refusal(&answer, shown)?;
        let stranger = stage.caller().send(Method::GET, &path, &[], "").await?;
        is_refusal(&stranger, shown)?;
        if path.starts_with("/status/files/") {
            ensure!(stranger.status == 401, "{shown}: {}", stranger.status);
        }
    }
    nothing_was_done(&stage).await?;
    all_still_serve(&stage).await
}
