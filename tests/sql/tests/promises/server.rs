//! The throw-away server itself.

use std::io::{BufRead, BufReader};
use std::net::TcpStream;
use std::process::{Command, Stdio};

use world::postgres::Postgres;

use crate::project::eventually;

const THIS_TEST: &str = "server::a_server_is_gone_however_its_process_ends";
const AS_CHILD: &str = "START_A_SERVER_AND_BE_KILLED";

#[tokio::test]
async fn a_server_is_gone_however_its_process_ends() {
    if std::env::var_os(AS_CHILD).is_some() {
        let server = Postgres::start_throw_away().await.unwrap();
        println!("\nlistens at {}", server.main().port());
        std::future::pending::<()>().await;
    }
    let mut child = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", THIS_TEST, "--nocapture"])
        .env(AS_CHILD, "1")
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
    let port: u16 = lines
        .find_map(|line| line.unwrap().strip_prefix("listens at ")?.parse().ok())
        .unwrap();
    TcpStream::connect(("127.0.0.1", port)).expect("it listens");

    child.kill().unwrap();
    child.wait().unwrap();
    eventually(|| async {
        match TcpStream::connect(("127.0.0.1", port)) {
            Ok(_) => Err("it still listens".to_owned()),
            Err(_) => Ok(()),
        }
    })
    .await
    .unwrap();
}

#[tokio::test]
async fn what_was_committed_survives_a_crash() {
    let server = Postgres::start_throw_away().await.unwrap();
    server.main().apply_sql().await.unwrap();
    let client = server.main().connect().await.unwrap();
    client
        .batch_execute("insert into public.migration_logs (migrated) values (7)")
        .await
        .unwrap();
    server.crash().await.unwrap();
    assert!(client.batch_execute("select").await.is_err());
    server.start_again().await.unwrap();
    let client = server.main().connect().await.unwrap();
    let count: i64 = client
        .query_one("select count(*) from public.migration_logs", &[])
        .await
        .unwrap()
        .get(0);
    assert_eq!(count, 1);
}
