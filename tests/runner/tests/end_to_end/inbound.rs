//! What a component gets, and what becomes of what it does.

use std::time::Duration;

use http::StatusCode;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

use crate::app::{Guest, Setting};

const MIB: u64 = 1024 * 1024;

#[tokio::test]
async fn a_request_reaches_its_component_with_spins_headers() {
    let guest = Setting::default().start().await;
    let (_, text) = guest.at("/people/ada/headers?x=1", "").await;
    let address = guest.app.address();
    for line in [
        &format!("uri: http://{address}/people/ada/headers?x=1"),
        &format!("spin-full-url: http://{address}/people/ada/headers?x=1"),
        "spin-path-info: /headers",
        "spin-matched-route: /people/:name/...",
        "spin-component-route: /people/:name",
        "spin-path-match-name: ada",
    ] {
        assert!(text.lines().any(|found| found == line), "{line} in {text}");
    }
    assert!(text.contains("spin-client-addr: 127.0.0.1:"), "{text}");
}

#[tokio::test]
async fn what_a_client_sends_under_spins_names_comes_before_what_spin_says() {
    let guest = Setting::default().start().await;
    let text = raw(&guest, "Host: x\r\nSpin-Client-Addr: forged\r\n").await;
    let told: Vec<_> = text
        .lines()
        .filter(|line| line.starts_with("spin-client-addr: "))
        .collect();
    assert_eq!(told.first(), Some(&"spin-client-addr: forged"), "{text}");
    assert_eq!(told.len(), 2, "{text}");
}

#[tokio::test]
async fn a_request_for_no_host_or_two_gets_no_answer_and_one_that_is_no_text_a_bare_500() {
    let guest = Setting::default().start().await;
    assert_eq!(raw(&guest, "").await, "");
    let absolute = "GET http://x/do/headers HTTP/1.1\r\nConnection: close\r\n";
    assert_eq!(raw_from(&guest, absolute, b"Host: y\r\n").await, "");
    let text = raw_from(&guest, absolute, b"Host: x\r\n").await;
    assert!(text.contains("uri: http://x/do/headers"), "{text}");
    let text = raw(&guest, "Host: x\r\nName: J\u{fc}rgen\r\n").await;
    assert!(text.starts_with("HTTP/1.1 200 "), "{text}");
    let text = raw_bytes(&guest, b"Host: x\r\nName: J\xfcrgen\r\n").await;
    assert!(text.starts_with("HTTP/1.1 500 "), "{text}");
}

/// What comes back for a request with these headers.
async fn raw(guest: &Guest, headers: &str) -> String {
    raw_bytes(guest, headers.as_bytes()).await
}

async fn raw_bytes(guest: &Guest, headers: &[u8]) -> String {
    let start = "GET /do/headers HTTP/1.1\r\nConnection: close\r\n";
    raw_from(guest, start, headers).await
}

async fn raw_from(guest: &Guest, start: &str, headers: &[u8]) -> String {
    let mut stream = TcpStream::connect(guest.app.address()).await.unwrap();
    let request = [start.as_bytes(), headers, b"\r\n"].concat();
    stream.write_all(&request).await.unwrap();
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer).await.unwrap();
    String::from_utf8_lossy(&answer).into_owned()
}

#[tokio::test]
async fn a_path_without_a_route_is_not_found_and_health_is_answered() {
    let guest = Setting::default().start().await;
    assert_eq!(guest.at("/elsewhere", "").await.0, StatusCode::NOT_FOUND);
    let healthy = guest.at("/.well-known/spin/health", "").await;
    assert_eq!(healthy, (StatusCode::OK, "OK".to_owned()));
}

#[tokio::test]
async fn a_component_reads_its_own_variables_and_environment_and_no_others() {
    let setting = Setting {
        variables: vec![("greeting", "good morning".to_owned())],
        ..Setting::default()
    };
    let guest = setting.start().await;
    assert_eq!(
        guest.done("variable?salute", "").await,
        "good morning, world"
    );
    assert_eq!(guest.done("environment?COLOUR", "").await, "blue");
    guest.refused("environment?PATH", "").await;
    let undefined = guest.refused("variable?greeting", "").await;
    assert!(undefined.contains("Undefined"), "{undefined}");
    let invalid = guest.refused("variable?Salute", "").await;
    assert!(invalid.contains("InvalidName"), "{invalid}");
}

#[tokio::test]
async fn what_a_component_prints_is_logged_with_its_name() {
    let guest = Setting::default().start().await;
    guest.done("print?words", "").await;
    let lines = guest.log.lines();
    assert_eq!(lines, ["[guest] out: words", "[guest] err: words"]);
}

#[tokio::test]
async fn a_panic_fails_every_request_of_its_instance_and_not_the_next() {
    let guest = Setting::default().start().await;
    let sleeping = async |number: usize| {
        // One after the other, so that all are in the first one's instance.
        guest.logged(number, "sleeping").await;
        guest.ask("sleep?600000", "").await.0
    };
    let panicking = async {
        guest.logged(3, "sleeping").await;
        guest.ask("panic", "").await.0
    };
    let (a, b, c, panicked) = tokio::join!(sleeping(0), sleeping(1), sleeping(2), panicking);
    assert_eq!([a, b, c, panicked], [StatusCode::INTERNAL_SERVER_ERROR; 4]);
    guest.logged(1, "on purpose").await;
    guest.logged(1, "an instance of guest failed").await;
    guest.done("print?alive", "").await;
}

#[tokio::test]
async fn work_after_the_response_is_done() {
    let guest = Setting::default().start().await;
    assert_eq!(guest.done("later?work", "").await, "at once");
    guest.logged(1, "[guest] later: work").await;
}

#[tokio::test]
async fn a_client_that_goes_away_does_not_stop_the_guest() {
    let guest = Setting::default().start().await;
    let request = guest.ask("sleep?300", "");
    tokio::select! {
        // On a slow machine both may be so by the time that anybody looks.
        biased;
        () = guest.logged(1, "sleeping") => {}
        _ = request => panic!("answered too early"),
    }
    guest.logged(1, "slept").await;
}

#[tokio::test]
async fn stopping_drops_what_is_in_flight_at_once() {
    let guest = Setting::default().start().await;
    let address = guest.app.address();
    let mut stream = tokio::net::TcpStream::connect(address).await.unwrap();
    let request = b"GET /do/sleep?600000 HTTP/1.1\r\nhost: x\r\n\r\n";
    tokio::io::AsyncWriteExt::write_all(&mut stream, request)
        .await
        .unwrap();
    guest.logged(1, "sleeping").await;
    guest.app.stop().await;
    let mut answer = Vec::new();
    // Closed or reset, but not answered.
    let _ = tokio::io::AsyncReadExt::read_to_end(&mut stream, &mut answer).await;
    assert!(answer.is_empty());
    assert!(tokio::net::TcpStream::connect(address).await.is_err());
}

#[tokio::test]
async fn an_instance_gets_no_more_memory_than_the_limit_and_the_peak_is_known() {
    let setting = Setting {
        memory_limit_mib: Some(32),
        ..Setting::default()
    };
    let guest = setting.start().await;
    guest.done("grow?8", "").await;
    let peak = guest.app.peak_memory_bytes("guest").unwrap();
    assert!((8 * MIB..32 * MIB).contains(&peak), "{peak}");
    let (status, _) = guest.ask("grow?64", "").await;
    assert_eq!(status, StatusCode::INTERNAL_SERVER_ERROR);
    let peak = guest.app.peak_memory_bytes("guest").unwrap();
    assert!(peak <= 32 * MIB, "{peak}");
    assert_eq!(guest.app.peak_memory_bytes("nobody"), None);
}

#[tokio::test]
async fn a_request_beyond_its_time_is_a_500() {
    let setting = Setting {
        // Long enough for the call that comes after it, also on a slow machine.
        request_timeout: Some(Duration::from_secs(3)),
        ..Setting::default()
    };
    let guest = setting.start().await;
    let (status, _) = guest.ask("sleep?600000", "").await;
    assert_eq!(status, StatusCode::INTERNAL_SERVER_ERROR);
    guest.logged(1, "timed out").await;
    guest.done("print?alive", "").await;
}

#[tokio::test]
async fn an_instance_has_sixteen_requests_at_once_and_then_another_comes() {
    let guest = Setting::default().start().await;
    let sleeping = async |number: usize| {
        guest.logged(number, "sleeping").await;
        guest.ask("sleep?600000", "").await.0
    };
    let seventeenth = async {
        guest.logged(16, "sleeping").await;
        guest.done("grow?1", "").await
    };
    tokio::select! {
        _ = futures::future::join_all((0..16).map(sleeping)) => panic!("woken"),
        count = seventeenth => assert_eq!(count, "1", "of an instance of its own"),
    }
}

#[tokio::test]
async fn an_instance_is_used_again_for_128_requests_and_no_more() {
    let guest = Setting::default().start().await;
    // `grow` answers how often its instance was asked to.
    let mut most = 0;
    for _ in 0..140 {
        let count: usize = guest.done("grow?0", "").await.parse().unwrap();
        most = most.max(count);
    }
    // Fewer only where the machine stalled for the second after which an instance is dropped.
    assert!((2..=128).contains(&most), "{most}");
}
