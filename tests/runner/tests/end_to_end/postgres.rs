//! `spin:postgres`, with what is good about Spin's and what is not.

use tokio::sync::OnceCell;
use tokio_postgres::Client;
use world::postgres::{Database, Postgres};

use crate::app::{Guest, Setting};

/// A server for all tests of this file; each has a database of its own.
async fn database() -> Database {
    static SERVER: OnceCell<Postgres> = OnceCell::const_new();
    let server = SERVER
        .get_or_init(async || Postgres::start_bare().await.unwrap())
        .await;
    server.bare_database().await.unwrap()
}

/// A guest whose database is this one, and a connection beside it.
async fn guest_and_client() -> (Guest, Client) {
    let database = database().await;
    let setting = Setting {
        allowed: vec![format!(
            "postgres://{}:{}",
            database.host(),
            database.port()
        )],
        variables: vec![("database", database.owner_url())],
        ..Setting::default()
    };
    let client = database.connect().await.unwrap();
    (setting.start().await, client)
}

async fn count(client: &Client, table: &str) -> i64 {
    let row = client
        .query_one(&format!("select count(*) from {table}"), &[])
        .await
        .unwrap();
    row.get(0)
}

#[tokio::test]
async fn statements_are_executed_and_rows_come_back() {
    let (guest, client) = guest_and_client().await;
    guest
        .done("execute", "create table t (id int, name text)")
        .await;
    let inserted = guest
        .done("execute", "insert into t values (1, 'one'), (2, null)")
        .await;
    assert_eq!(inserted, "2");
    assert_eq!(count(&client, "t").await, 2);
    assert_eq!(
        guest
            .done("query", "select id, name from t order by id")
            .await,
        "id,name\n[DbValue::Int32(1), DbValue::Str(\"one\")]\n[DbValue::Int32(2), DbValue::DbNull]"
    );
    // Columns are read off the first row, as in Spin: where there is none, there are none.
    assert_eq!(
        guest.done("query", "select id from t where false").await,
        ""
    );
}

#[tokio::test]
async fn a_transaction_left_open_leaks_into_the_next_request() {
    let (guest, client) = guest_and_client().await;
    guest.done("execute", "create table t (id int)").await;
    guest.done("execute", "begin").await;
    guest.done("execute", "insert into t values (1)").await;
    // The connection was recycled, which ends no transaction.
    let seen = guest.done("query", "select count(*) from t").await;
    assert_eq!(seen, "count\n[DbValue::Int64(1)]");
    assert_eq!(count(&client, "t").await, 0, "not committed");
    guest.done("execute", "commit").await;
    assert_eq!(count(&client, "t").await, 1, "kept by a later request");
}

#[tokio::test]
async fn what_the_project_sends_goes_there_and_back() {
    let (guest, _client) = guest_and_client().await;
    let select = "select $1::bool, $2::int2, $3::int4, $4::int8, $5::float4, $6::float8, $7::text, \
        $8::bytea, $9::date, $10::time, $11::timestamp, \
        $12::timestamptz at time zone 'utc', $13::uuid, $14::jsonb, $15::numeric, \
        $16::int4[], $17::int8[], $18::numeric[], $19::text[], $20::int4";
    let text = guest.done("parameters", select).await;
    let values = text.lines().nth(1).unwrap();
    let expected = [
        "DbValue::Boolean(true)",
        "DbValue::Int16(-2)",
        "DbValue::Int32(-4)",
        "DbValue::Int64(-8)",
        "DbValue::Floating32(0.5)",
        "DbValue::Floating64(0.25)",
        "DbValue::Str(\"text\")",
        "DbValue::Binary([0, 255])",
        "DbValue::Date((2024, 2, 29))",
        "DbValue::Time((23, 59, 58, 123456000))",
        "DbValue::Datetime((2024, 2, 29, 23, 59, 58, 123456000))",
        "DbValue::Datetime((2023, 11, 14, 22, 13, 20, 0))",
        "DbValue::Uuid(\"67e55044-10b1-426f-9247-bb680e5fe0c8\")",
        "DbValue::Jsonb([123, 34, 97, 34, 58, 49, 125])",
        "DbValue::Decimal(\"12.50\")",
        "DbValue::ArrayInt32([Some(1), None])",
        "DbValue::ArrayInt64([Some(1), None])",
        "DbValue::ArrayDecimal([Some(\"1.5\"), None])",
        "DbValue::ArrayStr([Some(\"a,b\"), None])",
        "DbValue::DbNull",
    ];
    assert_eq!(values, format!("[{}]", expected.join(", ")));
}

#[tokio::test]
async fn a_column_with_a_time_zone_fails_the_query_as_it_does_under_spin() {
    let (guest, _client) = guest_and_client().await;
    let error = guest.refused("query", "select now()").await;
    assert!(error.contains("timestamptz"), "{error}");
    guest.done("query", "select now() at time zone 'utc'").await;
}

#[tokio::test]
async fn an_error_of_the_database_has_its_code() {
    let (guest, _client) = guest_and_client().await;
    guest
        .done("execute", "create table t (id int primary key)")
        .await;
    guest.done("execute", "insert into t values (1)").await;
    let error = guest.refused("execute", "insert into t values (1)").await;
    assert!(error.contains("23505"), "{error}");
    let error = guest.refused("query", "select nothing from t").await;
    assert!(error.contains("42703"), "{error}");
}

#[tokio::test]
async fn a_query_that_fails_midway_does_not_pass_for_a_complete_one() {
    let (guest, _client) = guest_and_client().await;
    let error = guest
        .refused(
            "query",
            "select 1 / (1000 - i) from generate_series(1, 2000) i",
        )
        .await;
    assert!(error.contains("22012"), "{error}");
}

#[tokio::test]
async fn many_rows_are_streamed_and_the_rest_of_them_may_be_left() {
    let (guest, _client) = guest_and_client().await;
    let text = guest
        .done(
            "query",
            "select i::int8 as i from generate_series(1, 20000) i",
        )
        .await;
    assert_eq!(text.lines().count(), 20_001);
    assert_eq!(text.lines().last(), Some("[DbValue::Int64(20000)]"));
    let endless = "select repeat('x', 1000) from generate_series(1, 100000)";
    assert_eq!(guest.done("first-row", endless).await, "true");
    guest.done("query", "select 1").await;
}

#[tokio::test]
async fn another_address_is_denied_and_named_with_the_component() {
    let (guest, _client) = guest_and_client().await;
    let error = guest
        .refused("connect?postgres://u:geheim@db.example:5432/d", "")
        .await;
    assert!(
        error.contains("postgres://db.example:5432 is not permitted"),
        "{error}"
    );
    assert!(!error.contains("geheim"), "{error}");
    guest
        .logged(1, "[guest] denied: postgres://db.example:5432")
        .await;
    let error = guest.refused("connect?postgres://u@%2Ftmp/d", "").await;
    assert!(error.contains("Unix sockets"), "{error}");
}

#[tokio::test]
async fn a_mode_that_spin_does_not_know_is_named_and_a_certificate_must_be_one() {
    let (guest, _client) = guest_and_client().await;
    let error = guest
        .refused("connect?postgres://u@127.0.0.1/d?sslmode=verify-full", "")
        .await;
    assert!(error.contains("verify-full"), "{error}");
    let error = guest
        .refused("connect?postgres://u@127.0.0.1/d", "no certificate")
        .await;
    assert!(error.contains("invalid root certificate"), "{error}");
}

#[tokio::test]
async fn a_server_without_tls_is_used_unless_tls_is_required() {
    let database = database().await;
    let setting = Setting {
        allowed: vec![format!(
            "postgres://{}:{}",
            database.host(),
            database.port()
        )],
        ..Setting::default()
    };
    let guest = setting.start().await;
    let url = database.owner_url();
    for mode in ["disable", "prefer"] {
        guest
            .done(&format!("connect?{url}?sslmode={mode}"), "")
            .await;
    }
    let error = guest
        .refused(&format!("connect?{url}?sslmode=require"), "")
        .await;
    assert!(error.contains("TLS"), "{error}");
}

#[tokio::test]
async fn a_synchronous_call_is_refused_by_name() {
    let (guest, _client) = guest_and_client().await;
    let error = guest.refused("synchronous", "").await;
    assert!(error.contains("`open`"), "{error}");
}
