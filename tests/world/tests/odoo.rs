//! The simulated Odoo answers as the real one was seen to.
#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::panic,
    reason = "tests"
)]

mod client;

use client::{call, log_in, result, rpc, send};
use http::StatusCode;
use serde_json::{Value, json};
use sha1::{Digest, Sha1};
use world::odoo::{
    Attachments, Damage, EdgeCase, EdgeCaseMix, NewAttachment, Odoo, Options, Sizes,
    TRACEBACK_MARKER, User,
};

async fn odoo(version: u8, attachments: Attachments) -> Odoo {
    Odoo::start(Options {
        version,
        attachments,
        ..Options::default()
    })
    .await
    .unwrap()
}

/// The two attachments of the recording.
async fn recorded() -> Odoo {
    let odoo = odoo(18, Attachments::default()).await;
    let attachment = |id, name: &str, mimetype: &str, content: &'static [u8]| NewAttachment {
        id: Some(id),
        name: Some(name.to_owned()),
        content: Some(content.into()),
        mimetype: Some(mimetype.to_owned()),
        res_model: Some("crm.lead".to_owned()),
        res_id: Some(50),
        write_date: Some("2026-11-21 20:21:22.319".to_owned()),
        ..NewAttachment::default()
    };
    odoo.attachments().insert(attachment(
        1842,
        "contract ä/1.pdf",
        "application/pdf",
        b"%PDF-1.4 sample",
    ));
    odoo.attachments()
        .insert(attachment(1843, "empty.txt", "text/plain", b""));
    odoo
}

fn sha1(bytes: &[u8]) -> String {
    use std::fmt::Write as _;
    Sha1::digest(bytes)
        .iter()
        .fold(String::new(), |mut text, byte| {
            let _ = write!(text, "{byte:02x}");
            text
        })
}

fn ids(rows: &Value) -> Vec<i64> {
    rows.as_array()
        .unwrap()
        .iter()
        .map(|row| row["id"].as_i64().or_else(|| row.as_i64()).unwrap())
        .collect()
}

#[tokio::test]
async fn version_is_spelt_as_recorded() {
    for version in [17, 18] {
        let odoo = odoo(version, Attachments::default()).await;
        let answer = rpc(&odoo.url(), "common", "version", json!([])).await;
        assert_eq!(answer.header("content-length"), "163");
        assert_eq!(
            answer.header("content-type"),
            "application/json; charset=utf-8"
        );
        assert_eq!(answer.header("x-content-type-options"), "nosniff");
        let recorded = json!({"jsonrpc": "2.0", "id": 1, "result": {
            "server_version": format!("{version}.0"), "server_version_info": [version, 0, 0, "final", 0, ""],
            "server_serie": format!("{version}.0"), "protocol_version": 1}});
        assert_eq!(answer.json(), recorded);
    }
}

#[tokio::test]
async fn passwords_and_keys_authenticate_and_a_wrong_one_is_false() {
    let odoo = odoo(18, Attachments::default()).await;
    let authenticate = async |database: &str, password: &str| {
        rpc(
            &odoo.url(),
            "common",
            "authenticate",
            json!([database, "admin", password, {}]),
        )
        .await
    };
    assert_eq!(
        authenticate("odoo", "admin").await.text(),
        r#"{"jsonrpc": "2.0", "id": 1, "result": 2}"#
    );
    assert_eq!(
        authenticate("odoo", "admin-api-key").await.json()["result"],
        2
    );
    assert_eq!(
        authenticate("odoo", "wrong").await.text(),
        r#"{"jsonrpc": "2.0", "id": 1, "result": false}"#
    );
    let unknown = authenticate("nodb", "admin").await;
    assert_eq!(unknown.status, StatusCode::OK);
    let data = &unknown.json()["error"]["data"];
    assert_eq!(data["name"], "psycopg2.OperationalError");
    assert_eq!(
        data["message"],
        "connection to server at \"127.0.0.1\", port 5432 failed: FATAL:  database \"nodb\" does not exist\n"
    );
}

#[tokio::test]
async fn two_factors_leave_only_the_key() {
    let user = User {
        two_factor: true,
        ..User::administrator()
    };
    let odoo = Odoo::start(Options {
        users: vec![user],
        attachments: Attachments::of(1),
        ..Options::default()
    })
    .await
    .unwrap();
    let authenticate = async |password: &str| {
        rpc(
            &odoo.url(),
            "common",
            "authenticate",
            json!(["odoo", "admin", password, {}]),
        )
        .await
    };
    assert_eq!(authenticate("admin").await.json()["result"], false);
    assert_eq!(authenticate("admin-api-key").await.json()["result"], 2);
    // The right password is not refused, but what it opens is nobody's.
    assert_eq!(log_in(&odoo.url(), "admin", "wrong").await, None);
    let cookie = log_in(&odoo.url(), "admin", "admin").await.unwrap();
    let with_it = async |method, path: &str| {
        let headers = [
            ("cookie", cookie.as_str()),
            ("content-type", "application/json"),
        ];
        send(method, &format!("{}{path}", odoo.url()), &headers, "{}")
            .await
            .unwrap()
    };
    let content = with_it("GET", "/web/content/1").await;
    assert_eq!(content.status, StatusCode::NOT_FOUND);
    let info = with_it("POST", "/web/session/get_session_info")
        .await
        .json();
    assert_eq!(
        info["error"]["data"]["name"],
        "odoo.http.SessionExpiredException"
    );
}

#[tokio::test]
async fn before_16_there_are_no_ranges_and_a_proxys_etags_are_its_own() {
    for (version, x_sendfile, status, is_sha1) in [
        (15, false, StatusCode::OK, true),
        (16, false, StatusCode::PARTIAL_CONTENT, true),
        (16, true, StatusCode::PARTIAL_CONTENT, false),
    ] {
        let odoo = Odoo::start(Options {
            version,
            x_sendfile,
            attachments: Attachments::of(1),
            ..Options::default()
        })
        .await
        .unwrap();
        let cookie = log_in(&odoo.url(), "admin", "admin").await.unwrap();
        let headers = [("cookie", cookie.as_str()), ("range", "bytes=2-")];
        let url = format!("{}/web/content/1", odoo.url());
        let answer = send("GET", &url, &headers, "").await.unwrap();
        assert_eq!(answer.status, status, "{version}");
        let checksum = odoo.attachments().get(1).unwrap().checksum.unwrap();
        let etag = answer.header("etag");
        assert_eq!(etag.trim_matches('"') == checksum, is_sha1, "{etag}");
        assert_eq!(etag.starts_with('"'), version >= 16, "{etag}");
    }
}

#[tokio::test]
async fn failures_have_status_200_and_a_name_to_branch_on() {
    let odoo = odoo(18, Attachments::default()).await;
    let execute = async |args: Value| rpc(&odoo.url(), "object", "execute_kw", args).await;
    let cases = [
        (
            json!(["odoo", 2, "wrong", "crm.lead", "read", [[50]], {"fields": ["id"]}]),
            "odoo.exceptions.AccessDenied",
            "Access Denied",
        ),
        (
            json!(["odoo", 2, "admin", "crm.lead", "read", [[50]], {"fields": ["nosuch"]}]),
            "builtins.ValueError",
            "Invalid field 'nosuch' on model 'crm.lead'",
        ),
        (
            json!(["odoo", 2, "admin", "no.model", "read", [[1]], {}]),
            "odoo.exceptions.UserError",
            "Object no.model doesn't exist",
        ),
        (
            json!(["odoo", 2, "admin", "crm.lead", "nosuch", [[1]], {}]),
            "builtins.AttributeError",
            "The method 'nosuch' does not exist on the model 'crm.lead'",
        ),
    ];
    for (args, name, message) in cases {
        let answer = execute(args).await;
        assert_eq!(answer.status, StatusCode::OK);
        let error = &answer.json()["error"];
        assert_eq!(
            (error["code"].as_i64(), error["message"].as_str()),
            (Some(200), Some("Odoo Server Error"))
        );
        assert_eq!(
            (
                error["data"]["name"].as_str(),
                error["data"]["message"].as_str()
            ),
            (Some(name), Some(message))
        );
        assert_eq!(error["data"]["arguments"], json!([message]));
        assert!(
            error["data"]["debug"]
                .as_str()
                .unwrap()
                .contains(TRACEBACK_MARKER)
        );
    }
    let missing = call(
        &odoo.url(),
        "crm.lead",
        "read",
        json!([[99_999_999]]),
        json!({"fields": ["name"]}),
    )
    .await;
    assert_eq!(
        missing.text(),
        r#"{"jsonrpc": "2.0", "id": 1, "result": []}"#
    );
    let url = format!("{}/jsonrpc", odoo.url());
    let malformed = send(
        "POST",
        &url,
        &[("content-type", "application/json")],
        "{not json",
    )
    .await
    .unwrap();
    assert_eq!(
        (malformed.status, malformed.text().as_str()),
        (StatusCode::BAD_REQUEST, "Invalid JSON data")
    );
    assert_eq!(malformed.header("content-type"), "text/html; charset=utf-8");
}

#[tokio::test]
async fn datas_come_as_recorded_byte_for_byte() {
    let odoo = recorded().await;
    let fields = json!([
        "name",
        "type",
        "mimetype",
        "file_size",
        "checksum",
        "res_model",
        "res_field",
        "res_id",
        "datas",
        "write_date",
        "company_id"
    ]);
    let answer = call(
        &odoo.url(),
        "ir.attachment",
        "read",
        json!([[1842, 1843]]),
        json!({"fields": fields}),
    )
    .await;
    assert_eq!(
        answer.text(),
        r#"{"jsonrpc": "2.0", "id": 1, "result": [{"id": 1842, "name": "contract ä/1.pdf", "type": "binary", "mimetype": "application/pdf", "file_size": 15, "checksum": "0d10d65a3cbca6a252daf0510f07e278dbe86fd2", "res_model": "crm.lead", "res_field": false, "res_id": 50, "datas": "JVBERi0xLjQgc2FtcGxl", "write_date": "2026-11-21 20:21:22", "company_id": [1, "YourCompany"]}, {"id": 1843, "name": "empty.txt", "type": "binary", "mimetype": "text/plain", "file_size": 0, "checksum": false, "res_model": "crm.lead", "res_field": false, "res_id": 50, "datas": "", "write_date": "2026-11-21 20:21:22", "company_id": [1, "YourCompany"]}]}"#
    );
    assert_eq!(answer.header("content-length"), "624");
    let bin_size = json!({"fields": ["datas"], "context": {"bin_size": true}});
    let answer = call(
        &odoo.url(),
        "ir.attachment",
        "read",
        json!([[1842]]),
        bin_size,
    )
    .await;
    assert_eq!(
        answer.text(),
        r#"{"jsonrpc": "2.0", "id": 1, "result": [{"id": 1842, "datas": "15.00 bytes"}]}"#
    );
    let raw = call(
        &odoo.url(),
        "ir.attachment",
        "read",
        json!([[1842]]),
        json!({"fields": ["raw"]}),
    )
    .await;
    assert_eq!(raw.json()["result"][0]["raw"], "%PDF-1.4 sample");
}

#[tokio::test]
async fn contents_come_with_a_session_in_whole_in_ranges_and_not_again() {
    let odoo = recorded().await;
    let url = format!("{}/web/content/1842", odoo.url());
    assert_eq!(
        send("GET", &url, &[], "").await.unwrap().status,
        StatusCode::NOT_FOUND
    );
    let cookie = log_in(&odoo.url(), "admin", "admin").await.unwrap();
    assert!(cookie.len() > "session_id=".len() + 40);
    let get = async |url: &str, name: &str, value: &str| {
        send("GET", url, &[("cookie", &cookie), (name, value)], "")
            .await
            .unwrap()
    };
    let whole = get(&url, "accept", "*/*").await;
    assert_eq!(
        (whole.status, whole.text().as_str()),
        (StatusCode::OK, "%PDF-1.4 sample")
    );
    let disposition =
        "inline; filename=\"contract a/1.pdf\"; filename*=UTF-8''contract%20%C3%A4%2F1.pdf";
    let etag = "\"0d10d65a3cbca6a252daf0510f07e278dbe86fd2\"";
    let headers = [
        ("content-disposition", disposition),
        ("content-type", "application/pdf"),
        ("content-length", "15"),
        ("cache-control", "no-cache, private"),
        ("etag", etag),
        ("content-security-policy", "default-src 'none'"),
    ];
    for (name, value) in headers {
        assert_eq!(whole.header(name), value, "{name}");
    }
    let range = get(&url, "range", "bytes=2-5").await;
    assert_eq!(
        (range.status, range.text().as_str()),
        (StatusCode::PARTIAL_CONTENT, "DF-1")
    );
    assert_eq!(range.header("content-range"), "bytes 2-5/15");
    assert_eq!(
        get(&url, "range", "bytes=15-").await.status,
        StatusCode::RANGE_NOT_SATISFIABLE
    );
    assert_eq!(
        get(&url, "if-none-match", etag).await.status,
        StatusCode::NOT_MODIFIED
    );
    let empty = get(&format!("{}/web/content/1843", odoo.url()), "accept", "*/*").await;
    assert_eq!(
        (
            empty.status,
            empty.header("content-length"),
            empty.header("etag")
        ),
        (StatusCode::OK, "0", "")
    );
    assert_eq!(
        empty.header("content-disposition"),
        "inline; filename=empty.txt"
    );
    assert_eq!(empty.header("content-type"), "text/plain; charset=utf-8");
    let missing = get(
        &format!("{}/web/content/99999999", odoo.url()),
        "accept",
        "*/*",
    )
    .await;
    assert_eq!(missing.status, StatusCode::NOT_FOUND);
    odoo.end_sessions();
    assert_eq!(
        get(&url, "accept", "*/*").await.status,
        StatusCode::NOT_FOUND
    );
}

#[tokio::test]
async fn a_key_opens_no_session_and_no_content() {
    let odoo = recorded().await;
    assert_eq!(log_in(&odoo.url(), "admin", "admin-api-key").await, None);
    let url = format!("{}/web/content/1842", odoo.url());
    let bearer = send(
        "GET",
        &url,
        &[("authorization", "Bearer admin-api-key")],
        "",
    )
    .await
    .unwrap();
    assert_eq!(bearer.status, StatusCode::NOT_FOUND);
}

#[tokio::test]
async fn ten_failed_logins_cost_everybody_a_cooldown() {
    let odoo = odoo(18, Attachments::default()).await;
    for _ in 0..10 {
        assert_eq!(log_in(&odoo.url(), "admin", "bad").await, None);
    }
    assert_eq!(log_in(&odoo.url(), "admin", "admin").await, None);
    assert_eq!(log_in(&odoo.url(), "demo", "demo").await, None);
}

#[tokio::test]
async fn an_access_token_streams_without_a_session_and_writes_to_the_row() {
    let odoo = recorded().await;
    let before = odoo.attachments().get(1842).unwrap().write_date;
    let tokens = result(
        &odoo.url(),
        "ir.attachment",
        "generate_access_token",
        json!([[1842]]),
        json!({}),
    )
    .await;
    let url = format!(
        "{}/web/content/1842?access_token={}",
        odoo.url(),
        tokens[0].as_str().unwrap()
    );
    assert_eq!(
        send("GET", &url, &[], "").await.unwrap().text(),
        "%PDF-1.4 sample"
    );
    assert_ne!(odoo.attachments().get(1842).unwrap().write_date, before);
}

#[tokio::test]
async fn lost_damaged_linked_and_clouded_files_behave_as_seen() {
    let attachments = Attachments::of(10)
        .sized(Sizes::Fixed(1000))
        .with(1, EdgeCase::LostFile)
        .with(2, EdgeCase::WrongBytes)
        .with(3, EdgeCase::TruncatedBytes)
        .with(4, EdgeCase::Url)
        .with(5, EdgeCase::CloudStorage)
        .with(7, EdgeCase::SameContentAs(6))
        .with(8, EdgeCase::HiddenRecord);
    let odoo = odoo(18, attachments).await;
    let cookie = log_in(&odoo.url(), "admin", "admin").await.unwrap();
    let content = async |id: i64| {
        let url = format!("{}/web/content/{id}", odoo.url());
        send("GET", &url, &[("cookie", &cookie)], "").await.unwrap()
    };
    let rows = json!([[1, 2, 3, 4, 5, 6, 7]]);
    let fields = json!({"fields": ["type", "file_size", "checksum", "datas", "url"]});
    let rows = result(&odoo.url(), "ir.attachment", "read", rows, fields).await;
    assert_eq!(
        (rows[0]["datas"].as_str(), rows[0]["file_size"].as_i64()),
        (Some(""), Some(1000))
    );
    assert_eq!(rows[0]["checksum"].as_str().unwrap().len(), 40);
    assert_eq!(content(1).await.status, StatusCode::INTERNAL_SERVER_ERROR);
    let wrong = content(2).await;
    assert_eq!(wrong.body.len(), 1000);
    assert_ne!(sha1(&wrong.body), rows[1]["checksum"].as_str().unwrap());
    assert_eq!(content(3).await.body.len(), 500);
    assert_eq!(
        (rows[3]["type"].as_str(), &rows[3]["checksum"]),
        (Some("url"), &json!(false))
    );
    let link = content(4).await;
    assert_eq!(
        (link.status, link.header("location")),
        (
            StatusCode::MOVED_PERMANENTLY,
            rows[3]["url"].as_str().unwrap()
        )
    );
    assert_eq!(rows[4]["type"], "cloud_storage");
    assert_eq!(rows[5]["checksum"], rows[6]["checksum"]);
    assert_eq!(
        sha1(&content(6).await.body),
        rows[5]["checksum"].as_str().unwrap()
    );
    assert_eq!(content(8).await.status, StatusCode::NOT_FOUND);
    let hidden = call(
        &odoo.url(),
        "ir.attachment",
        "read",
        json!([[8]]),
        json!({"fields": ["name"]}),
    )
    .await;
    assert_eq!(
        hidden.json()["error"]["data"]["name"],
        "odoo.exceptions.AccessError"
    );
    odoo.attachments().damage(1, None);
    assert_eq!(
        sha1(&content(1).await.body),
        rows[0]["checksum"].as_str().unwrap()
    );
    odoo.attachments().damage(9, Some(Damage::Lost));
    assert_eq!(content(9).await.status, StatusCode::INTERNAL_SERVER_ERROR);
}

#[tokio::test]
async fn files_of_fields_hide_unless_the_domain_names_res_field_or_id() {
    let odoo = odoo(
        18,
        Attachments {
            noise: true,
            ..Attachments::of(180)
        },
    )
    .await;
    let counts = odoo.attachments().counts();
    let count = async |domain: Value| {
        result(
            &odoo.url(),
            "ir.attachment",
            "search_count",
            json!([domain]),
            json!({}),
        )
        .await
        .as_u64()
        .unwrap()
    };
    assert!(counts.of_fields > 0 && counts.web_assets > 0 && counts.hidden > 0);
    let visible = counts.rows - counts.hidden;
    assert_eq!(count(json!([["id", ">", 0]])).await, visible);
    assert_eq!(count(json!([])).await, visible - counts.of_fields);
    assert_eq!(
        count(json!([["res_field", "!=", false]])).await,
        counts.of_fields
    );
    assert_eq!(
        count(json!([["id", ">", 0], ["res_field", "=", false]])).await,
        visible - counts.of_fields
    );
}

#[tokio::test]
async fn paging_by_id_is_exact_and_by_offset_repeats_rows_on_18() {
    let odoo = odoo(
        18,
        Attachments {
            noise: true,
            ..Attachments::of(2_000)
        },
    )
    .await;
    let counts = odoo.attachments().counts();
    let domain = json!([["res_field", "in", [false, "image_128"]]]);
    let mut by_offset = Vec::new();
    loop {
        let page = json!({"offset": by_offset.len(), "limit": 100, "order": "id"});
        let page = ids(&result(
            &odoo.url(),
            "ir.attachment",
            "search",
            json!([domain]),
            page,
        )
        .await);
        if page.is_empty() {
            break;
        }
        by_offset.extend(page);
    }
    let mut by_id: Vec<i64> = Vec::new();
    loop {
        let last = by_id.last().copied().unwrap_or_default();
        let page = json!({"limit": 100, "order": "id"});
        let domain = json!([["id", ">", last]]);
        let page = ids(&result(
            &odoo.url(),
            "ir.attachment",
            "search",
            json!([domain]),
            page,
        )
        .await);
        if page.is_empty() {
            break;
        }
        by_id.extend(page);
    }
    assert_eq!(by_id.len() as u64, counts.rows - counts.hidden);
    by_offset.sort_unstable();
    let returned = by_offset.len();
    by_offset.dedup();
    assert!(
        returned > by_offset.len(),
        "{returned} returned, all distinct"
    );
}

#[tokio::test]
async fn checksums_of_a_thousand_rows_are_quick_and_true() {
    let odoo = odoo(18, Attachments::of(10_000_000)).await;
    let page = json!({"fields": ["name", "file_size", "checksum"], "limit": 1000, "order": "id"});
    let domain = json!([
        ["id", ">", 7_654_321],
        ["res_field", "=", false],
        ["type", "=", "binary"]
    ]);
    let rows = result(
        &odoo.url(),
        "ir.attachment",
        "search_read",
        json!([domain]),
        page,
    )
    .await;
    assert_eq!(ids(&rows).len(), 1000);
    for row in rows.as_array().unwrap().iter().step_by(100) {
        let content = odoo
            .attachments()
            .content(row["id"].as_i64().unwrap())
            .unwrap();
        assert_eq!(row["file_size"].as_u64().unwrap(), content.len() as u64);
        assert_eq!(row["checksum"].as_str().unwrap(), sha1(&content));
    }
}

#[tokio::test]
async fn microseconds_hide_behind_seconds() {
    let odoo = recorded().await;
    let find = async |operator: &str| {
        let domain = json!([
            ["write_date", operator, "2026-11-21 20:21:22"],
            ["id", ">", 0]
        ]);
        ids(&result(
            &odoo.url(),
            "ir.attachment",
            "search",
            json!([domain]),
            json!({"order": "id"}),
        )
        .await)
    };
    assert_eq!(find(">").await, [1842, 1843]);
    assert_eq!(find("=").await, [0; 0]);
    let lead = odoo
        .records("crm.lead")
        .insert(json!({"name": "A", "write_date": "2026-11-21 20:21:16.319000"}));
    let domain = json!([["write_date", ">", "2026-11-21 20:21:16"]]);
    let rows = result(
        &odoo.url(),
        "crm.lead",
        "search_read",
        json!([domain]),
        json!({"fields": ["write_date"]}),
    )
    .await;
    assert_eq!(
        rows,
        json!([{"id": lead, "write_date": "2026-11-21 20:21:16"}])
    );
}

#[tokio::test]
async fn a_row_can_commit_late_with_an_older_id_and_date() {
    let odoo = odoo(18, Attachments::of(20)).await;
    let before = odoo.attachments().get(7).unwrap();
    let uncommitted = odoo.attachments().take_out(7).unwrap();
    assert_eq!(odoo.attachments().get(7), None);
    odoo.attachments().insert(NewAttachment::default());
    odoo.attachments().put_back(uncommitted);
    assert_eq!(odoo.attachments().get(7), Some(before));
    odoo.attachments().delete([3, 4]);
    let all = result(
        &odoo.url(),
        "ir.attachment",
        "search",
        json!([[["id", "<", 9]]]),
        json!({"order": "id"}),
    )
    .await;
    assert_eq!(ids(&all), [1, 2, 5, 6, 7, 8]);
}

#[tokio::test]
async fn changed_content_has_another_checksum_and_a_new_date() {
    let odoo = odoo(18, Attachments::of(5)).await;
    let before = odoo.attachments().get(3).unwrap();
    odoo.attachments().change_content(3);
    let after = odoo.attachments().get(3).unwrap();
    assert_ne!(before.checksum, after.checksum);
    let since = json!([[["write_date", ">", before.write_date], ["id", "=", 3]]]);
    assert_eq!(
        ids(&result(&odoo.url(), "ir.attachment", "search", since, json!({})).await),
        [3]
    );
}

#[tokio::test]
async fn each_version_knows_its_own_doors() {
    for version in [14, 16, 17, 18, 19] {
        let odoo = odoo(version, Attachments::default()).await;
        let json2 = format!("{}/json/2/crm.lead/search_read", odoo.url());
        let answer = send(
            "POST",
            &json2,
            &[
                ("authorization", "bearer admin-api-key"),
                ("content-type", "application/json"),
            ],
            r#"{"domain": []}"#,
        )
        .await
        .unwrap();
        let web_version = send("GET", &format!("{}/web/version", odoo.url()), &[], "")
            .await
            .unwrap();
        match version {
            19 => {
                assert_eq!(
                    (answer.status, answer.text().as_str()),
                    (StatusCode::OK, "[]")
                );
                assert_eq!(web_version.json()["version"], "19.0");
            }
            18 => {
                assert_eq!(answer.status, StatusCode::SEE_OTHER);
                assert!(
                    answer
                        .header("location")
                        .starts_with("/web/login?redirect=")
                );
                assert_eq!(web_version.status, StatusCode::NOT_FOUND);
            }
            _ => {
                assert_eq!(answer.status, StatusCode::NOT_FOUND);
                // 14 takes it for JSON-RPC.
                let kind = if version == 14 {
                    "application/json"
                } else {
                    "text/html"
                };
                assert!(answer.header("content-type").starts_with(kind), "{version}");
                assert_eq!(web_version.status, StatusCode::NOT_FOUND);
            }
        }
    }
    assert!(
        Odoo::start(Options {
            version: 13,
            ..Options::default()
        })
        .await
        .is_err()
    );
}

#[tokio::test]
#[expect(clippy::too_many_lines, reason = "one table")]
async fn json_2_has_real_statuses() {
    let odoo = odoo(19, Attachments::of(3).sized(Sizes::Fixed(10))).await;
    let post = async |path: &str, key: &str, body: &str| {
        let url = format!("{}/json/2/{path}", odoo.url());
        let key = format!("bearer {key}");
        send(
            "POST",
            &url,
            &[
                ("authorization", &key),
                ("content-type", "application/json"),
            ],
            body.to_owned(),
        )
        .await
        .unwrap()
    };
    let ok = post(
        "ir.attachment/read",
        "admin-api-key",
        r#"{"ids": [1], "fields": ["file_size", "datas"]}"#,
    )
    .await;
    assert_eq!(
        (ok.status, ok.json()[0]["file_size"].as_i64()),
        (StatusCode::OK, Some(10))
    );
    assert_eq!(
        post("res.users/context_get", "demo-api-key", "{}")
            .await
            .json()["uid"],
        6
    );
    let cases = [
        (
            "ir.attachment/read",
            "wrong",
            "{}",
            401,
            "werkzeug.exceptions.Unauthorized",
        ),
        (
            "ir.attachment/read",
            "admin",
            "{}",
            401,
            "werkzeug.exceptions.Unauthorized",
        ),
        (
            "ir.attachment/read",
            "admin-api-key",
            "{nope",
            400,
            "werkzeug.exceptions.BadRequest",
        ),
        (
            "no.model/read",
            "admin-api-key",
            r#"{"ids": [1]}"#,
            404,
            "werkzeug.exceptions.NotFound",
        ),
        (
            "ir.attachment/nosuch",
            "admin-api-key",
            "{}",
            404,
            "werkzeug.exceptions.NotFound",
        ),
        (
            "ir.attachment/search",
            "admin-api-key",
            "{}",
            422,
            "werkzeug.exceptions.UnprocessableEntity",
        ),
        (
            "ir.attachment/search",
            "admin-api-key",
            r#"{"nosuch": 1}"#,
            422,
            "werkzeug.exceptions.UnprocessableEntity",
        ),
        (
            "ir.attachment/read",
            "admin-api-key",
            r#"{"ids": [1], "fields": ["nosuch"]}"#,
            500,
            "builtins.ValueError",
        ),
        (
            "mail.message/search_read",
            "demo-api-key",
            r#"{"fields": ["tracking_value_ids"]}"#,
            403,
            "odoo.exceptions.AccessError",
        ),
    ];
    for (path, key, body, status, name) in cases {
        let answer = post(path, key, body).await;
        assert_eq!(answer.status.as_u16(), status, "{path} {body}");
        assert_eq!(answer.json()["name"], name, "{path} {body}");
        assert!(
            answer.json()["debug"]
                .as_str()
                .unwrap()
                .contains(TRACEBACK_MARKER)
        );
    }
}

#[tokio::test]
async fn field_names_are_those_of_the_version() {
    let fields = async |version: u8, model: &str| {
        let odoo = odoo(version, Attachments::default()).await;
        result(
            &odoo.url(),
            model,
            "fields_get",
            json!([]),
            json!({"attributes": ["type"]}),
        )
        .await
    };
    let has = |fields: &Value, name: &str| fields.get(name).is_some();
    let (lead14, lead16, lead17) = (
        fields(14, "crm.lead").await,
        fields(16, "crm.lead").await,
        fields(17, "crm.lead").await,
    );
    let (lead18, lead19) = (fields(18, "crm.lead").await, fields(19, "crm.lead").await);
    assert!(
        has(&lead14, "lost_reason")
            && !has(&lead14, "lost_reason_id")
            && has(&lead14, "expected_revenue")
    );
    assert!(
        !has(&lead16, "lost_reason")
            && has(&lead16, "lost_reason_id")
            && has(&lead16, "date_action_last")
    );
    assert!(
        has(&lead17, "date_automation_last")
            && has(&lead17, "kanban_state")
            && !has(&lead17, "date_action_last")
    );
    assert!(!has(&lead18, "kanban_state") && has(&lead18, "mobile") && !has(&lead18, "won_status"));
    assert!(!has(&lead19, "mobile") && !has(&lead19, "title") && has(&lead19, "won_status"));
    assert!(
        has(&fields(18, "crm.stage").await, "team_id")
            && has(&fields(19, "crm.stage").await, "team_ids")
    );
    assert!(has(&fields(14, "mail.tracking.value").await, "field_desc"));
    assert!(has(&fields(17, "mail.tracking.value").await, "field_info"));
    assert_eq!(lead18["name"], json!({"type": "char"}));
}

#[tokio::test]
async fn a_salesman_sees_fewer_fields_and_fewer_records() {
    let odoo = odoo(18, Attachments::default()).await;
    let messages = odoo.records("mail.message");
    let ids_all = messages.insert_many((0..5).map(|_| json!({"model": "crm.lead", "res_id": 1})));
    messages.hide_from_salesmen([ids_all[1], ids_all[3]]);
    let as_salesman = async |method: &str, args: Value, named: Value| {
        let args = json!(["odoo", 6, "demo", "mail.message", method, args, named]);
        rpc(&odoo.url(), "object", "execute_kw", args).await.json()
    };
    let domain = json!([[["model", "=", "crm.lead"]]]);
    assert_eq!(
        as_salesman("search_count", domain.clone(), json!({})).await["result"],
        3
    );
    assert!(
        as_salesman("fields_get", json!([]), json!({})).await["result"]
            .get("tracking_value_ids")
            .is_none()
    );
    let asked = as_salesman(
        "search_read",
        domain,
        json!({"fields": ["tracking_value_ids"], "limit": 1}),
    )
    .await;
    assert_eq!(
        asked["error"]["data"]["name"],
        "odoo.exceptions.AccessError"
    );
    assert_eq!(
        asked["error"]["data"]["message"],
        "You do not have enough rights to access the fields \"tracking_value_ids\" on Message (mail.message). Please contact your system administrator.\n\nOperation: read\nUser: 6\nFields:\n- tracking_value_ids (allowed for groups 'Administration / Settings')"
    );
    let tracking = json!([
        "odoo",
        6,
        "demo",
        "mail.tracking.value",
        "search_read",
        [[]],
        {}
    ]);
    let tracking = rpc(&odoo.url(), "object", "execute_kw", tracking)
        .await
        .json();
    assert_eq!(
        tracking["error"]["data"]["name"],
        "odoo.exceptions.AccessError"
    );
}

#[tokio::test]
async fn a_lead_reads_as_recorded() {
    let odoo = odoo(18, Attachments::default()).await;
    odoo.records("crm.stage")
        .insert(json!({"id": 3, "name": "Proposition"}));
    odoo.records("crm.team")
        .insert(json!({"id": 1, "name": "Sales"}));
    odoo.records("crm.lead").insert(json!({
        "id": 50, "name": "Sample opportunity", "type": "opportunity", "stage_id": 3, "user_id": 2, "team_id": 1,
        "expected_revenue": 1250.5, "probability": 96.15, "priority": "0", "email_from": "buyer@example.com",
        "create_date": "2026-11-21 20:21:22", "write_date": "2026-11-21 20:21:22.75",
    }));
    let fields = json!([
        "name",
        "active",
        "type",
        "stage_id",
        "partner_id",
        "user_id",
        "team_id",
        "expected_revenue",
        "probability",
        "priority",
        "tag_ids",
        "lost_reason_id",
        "date_deadline",
        "date_closed",
        "email_from",
        "create_date",
        "write_date"
    ]);
    let answer = call(
        &odoo.url(),
        "crm.lead",
        "read",
        json!([[50]]),
        json!({"fields": fields}),
    )
    .await;
    assert_eq!(
        answer.text(),
        r#"{"jsonrpc": "2.0", "id": 1, "result": [{"id": 50, "name": "Sample opportunity", "active": true, "type": "opportunity", "stage_id": [3, "Proposition"], "partner_id": false, "user_id": [2, "Mitchell Admin"], "team_id": [1, "Sales"], "expected_revenue": 1250.5, "probability": 96.15, "priority": "0", "tag_ids": [], "lost_reason_id": false, "date_deadline": false, "date_closed": false, "email_from": "buyer@example.com", "create_date": "2026-11-21 20:21:22", "write_date": "2026-11-21 20:21:22"}]}"#
    );
    assert_eq!(answer.header("content-length"), "495");
}

#[tokio::test]
async fn archived_leads_hide_and_domains_mean_what_they_say() {
    let odoo = odoo(18, Attachments::default()).await;
    let leads = odoo.records("crm.lead");
    leads.insert_many([
        json!({"id": 1, "name": "Alpha", "expected_revenue": 10, "stage_id": 1, "tag_ids": [1, 2]}),
        json!({"id": 2, "name": "beta_x", "expected_revenue": 20.5, "active": false}),
        json!({"id": 3, "name": "Gamma", "stage_id": 2, "email_from": "a@example.com", "tag_ids": [2]}),
    ]);
    let find = async |domain: Value, named: Value| {
        let mut named = named;
        named["context"] = json!({"active_test": false});
        if named.get("order").is_none() {
            named["order"] = json!("id");
        }
        ids(&result(&odoo.url(), "crm.lead", "search", json!([domain]), named).await)
    };
    let visible = result(&odoo.url(), "crm.lead", "search", json!([[]]), json!({})).await;
    assert_eq!(ids(&visible), [3, 1]);
    let cases = [
        (json!([]), vec![1, 2, 3]),
        (json!([["active", "=", false]]), vec![2]),
        (json!([["name", "ilike", "ALPHA"]]), vec![1]),
        (json!([["name", "like", "alpha"]]), vec![]),
        (json!([["name", "=like", "%a"]]), vec![1, 3]),
        (json!([["name", "=ilike", "B_ta\\_%"]]), vec![2]),
        (json!([["name", "not ilike", "a_p"]]), vec![2, 3]),
        (json!(["|", ["id", "=", 1], ["id", "=", 3]]), vec![1, 3]),
        (json!(["!", ["id", "in", [1, 3]]]), vec![2]),
        (
            json!([
                "&",
                ["id", ">", 1],
                "|",
                ["stage_id", "=", 2],
                ["active", "=", false]
            ]),
            vec![2, 3],
        ),
        (json!([["id", "not in", [2]], ["id", "<=", 2]]), vec![1]),
        (json!([["stage_id", "=", false]]), vec![2]),
        (json!([["stage_id", "!=", 1]]), vec![2, 3]),
        (json!([["email_from", "!=", false]]), vec![3]),
        (json!([["expected_revenue", ">=", 10]]), vec![1, 2]),
        (json!([["expected_revenue", "<", 10.5]]), vec![1, 3]),
        (json!([["tag_ids", "in", [1]]]), vec![1]),
        (json!([["tag_ids", "=", 2]]), vec![1, 3]),
    ];
    for (domain, found) in cases {
        assert_eq!(find(domain.clone(), json!({})).await, found, "{domain}");
    }
    assert_eq!(
        find(json!([]), json!({"order": "expected_revenue desc, id"})).await,
        [2, 1, 3]
    );
    assert_eq!(
        find(
            json!([]),
            json!({"order": "id desc", "limit": 1, "offset": 1})
        )
        .await,
        [2]
    );
    let unknown = call(
        &odoo.url(),
        "crm.lead",
        "search",
        json!([[["nosuch", "=", 1]]]),
        json!({}),
    )
    .await;
    assert_eq!(
        unknown.json()["error"]["data"]["name"],
        "builtins.ValueError"
    );
    leads.add_field("x_origin", "char", None);
    leads.update(1, &json!({"x_origin": "fair"}));
    assert_eq!(
        find(json!([["x_origin", "=", "fair"]]), json!({})).await,
        [1]
    );
    leads.delete([3]);
    assert_eq!(find(json!([]), json!({})).await, [1, 2]);
}

#[tokio::test]
async fn quiet_changes_leave_the_write_date() {
    let odoo = odoo(18, Attachments::default()).await;
    let tags = odoo.records("crm.tag");
    let tag = tags.insert(json!({"name": "Old", "write_date": "2026-01-01 00:00:00"}));
    tags.update_quietly(tag, &json!({"name": "New"}));
    let read = tags.get(tag).unwrap();
    assert_eq!(
        (read["name"].as_str(), read["write_date"].as_str()),
        (Some("New"), Some("2026-01-01 00:00:00"))
    );
    tags.update(tag, &json!({"name": "Newer"}));
    assert_ne!(tags.get(tag).unwrap()["write_date"], "2026-01-01 00:00:00");
}

#[tokio::test]
async fn a_filled_pipeline_hangs_together() {
    for version in [14, 17, 19] {
        let odoo = odoo(version, Attachments::default()).await;
        odoo.fill_pipeline(60);
        assert_eq!(odoo.records("crm.lead").count(), 60);
        let lead = odoo.records("crm.lead").get(1).unwrap();
        assert!(
            lead["stage_id"][1].is_string() && lead["partner_id"][1].is_string(),
            "{lead}"
        );
        let with_changes = json!([[["tracking_value_ids", "!=", false]]]);
        let messages = result(
            &odoo.url(),
            "mail.message",
            "search",
            with_changes,
            json!({}),
        )
        .await;
        assert_eq!(
            ids(&messages).len(),
            odoo.records("mail.tracking.value").count()
        );
        let note = json!([[["module", "=", "mail"], ["name", "=", "mt_note"]]]);
        let note = result(
            &odoo.url(),
            "ir.model.data",
            "search_read",
            note,
            json!({"fields": ["res_id"]}),
        )
        .await;
        assert_eq!(note[0]["res_id"], 2);
    }
}

#[tokio::test]
async fn real_life_has_traps_and_a_census_that_knows_them() {
    let odoo = odoo(
        18,
        Attachments {
            edge_case_mix: EdgeCaseMix::all(),
            ..Attachments::realistic(2_000)
        },
    )
    .await;
    let counts = odoo.attachments().counts();
    assert_eq!(
        counts.rows - counts.hidden - counts.of_fields - counts.web_assets,
        2_000
    );
    assert!(counts.urls > 0 && counts.cloud > 0 && counts.empty > 0 && counts.damaged > 0);
    assert_eq!(
        counts.movable,
        2_000 - counts.urls - counts.cloud - counts.empty - counts.damaged
    );
    assert!(counts.movable_contents < counts.movable);
    let megabytes = counts.movable_bytes / 1_000_000;
    assert!((90..=150).contains(&megabytes), "{megabytes} MB");
}

#[tokio::test]
async fn arguments_are_taken_by_the_names_of_each_version_and_by_position_everywhere() {
    for version in 14..=19 {
        let odoo = odoo(version, Attachments::default()).await;
        let lead = odoo.records("crm.lead").insert(json!({"name": "A lead"}));
        let url = odoo.url();
        for (model, method, named, refused) in [
            ("crm.tag", "search", json!({"domain": []}), version <= 15),
            ("crm.tag", "search", json!({"args": []}), version >= 16),
            ("crm.lead", "search", json!({"domain": []}), version <= 16),
            ("crm.lead", "search", json!({"args": []}), version >= 16),
            (
                "crm.tag",
                "search_count",
                json!({"domain": []}),
                version <= 15,
            ),
            (
                "crm.tag",
                "search_read",
                json!({"domain": [], "load": null}),
                version <= 14,
            ),
            (
                "crm.tag",
                "search",
                json!({"domain": [], "count": false}),
                version != 16,
            ),
        ] {
            let answer = call(&url, model, method, json!([]), named.clone()).await;
            let said = &answer.json()["error"]["data"];
            if refused {
                assert_eq!(said["name"], "builtins.TypeError", "{version} {named}");
                let said = said["message"].as_str().unwrap();
                assert!(said.contains("unexpected keyword argument"), "{said}");
            } else {
                assert!(said.is_null(), "{version} {method} {named} {said}");
            }
        }
        let context = json!({"context": {"active_test": false}});
        let all = json!([[], ["name"], 0, 10, "id"]);
        let read = result(&url, "crm.lead", "search_read", all, context.clone()).await;
        assert_eq!(ids(&read), [lead]);
        let all = json!([[], 0, null, "id"]);
        assert_eq!(
            result(&url, "crm.lead", "search", all, context).await,
            json!([lead])
        );
    }
}

#[tokio::test]
async fn what_a_user_without_settings_is_refused_a_search_lists_up_to_16() {
    for version in 14..=18 {
        let odoo = odoo(version, Attachments::default()).await;
        let insert = |model: &str, res_id, field: Option<&str>| {
            odoo.attachments().insert(NewAttachment {
                res_model: Some(model.to_owned()),
                res_id: Some(res_id),
                res_field: field.map(str::to_owned),
                ..NewAttachment::default()
            })
        };
        let of_lead = insert("crm.lead", 7, None);
        let scss = insert("res.company", 0, None);
        let flag = insert("res.lang", 1, Some("flag_image"));
        let ask = async |method: &str, args: Value| {
            let args = json!(["odoo", 6, "demo", "ir.attachment", method, args, {}]);
            rpc(&odoo.url(), "object", "execute_kw", args).await.json()
        };
        let by_id = json!([["id", ">", 0]]);
        let found = ask("search", json!([by_id, 0, null, "id"])).await["result"].clone();
        let all = if version >= 17 {
            json!([of_lead, flag])
        } else {
            json!([of_lead, scss, flag])
        };
        assert_eq!(found, all, "{version}");
        for (domain, refused) in [
            (json!([["id", "=", of_lead]]), false),
            (json!([["id", "=", scss]]), (15..=16).contains(&version)),
            (json!([["id", "=", flag]]), version <= 16),
        ] {
            let answer = ask("search_read", json!([domain, ["name"]])).await;
            let name = &answer["error"]["data"]["name"];
            assert_eq!(
                name == "odoo.exceptions.AccessError",
                refused,
                "{version} {domain}"
            );
        }
    }
}

#[tokio::test]
async fn anybody_may_ask_for_external_ids_but_not_for_their_table() {
    for (version, open) in [(14, true), (16, false), (18, false)] {
        let odoo = odoo(version, Attachments::default()).await;
        let ask = async |model: &str, method: &str, args: Value| {
            let args = json!(["odoo", 6, "demo", model, method, args, {}]);
            rpc(&odoo.url(), "object", "execute_kw", args).await.json()
        };
        let table = ask("ir.model.data", "search_read", json!([[], ["name"]])).await;
        assert_eq!(table["error"].is_null(), open, "{version}");
        let asked = ask("mail.message.subtype", "get_external_id", json!([[2, 99]])).await;
        assert_eq!(asked["result"], json!({"2": "mail.mt_note", "99": ""}));
        let fields = json!([[], ["internal"], 0, null, "id"]);
        let internal = ask("mail.message.subtype", "search_read", fields).await;
        assert_eq!(internal["result"][1], json!({"id": 2, "internal": true}));
    }
}

#[tokio::test]
async fn a_field_and_a_record_can_fail_every_reading_and_a_value_be_no_json() {
    let odoo = odoo(19, Attachments::default()).await;
    let leads = odoo.records("crm.lead");
    leads.add_field("x_partners", "many2many", Some("hr.employee"));
    leads.add_field("x_budget", "float", None);
    let ids = leads.insert_many((1..=3).map(|n| json!({"name": format!("Lead {n}")})));
    let read = async |fields: Value| {
        call(
            &odoo.url(),
            "crm.lead",
            "read",
            json!([ids, fields]),
            json!({}),
        )
        .await
    };
    leads.fail_field(
        "x_partners",
        "Failed to read field crm.lead.x_partners\nNo rights.",
    );
    let said = read(json!(["name", "x_partners"])).await.json();
    assert_eq!(said["error"]["data"]["name"], "odoo.exceptions.AccessError");
    assert!(read(json!(["name"])).await.json()["result"].is_array());
    leads.update(ids[1], &json!({"x_budget": {"$raw": "NaN"}}));
    let text = read(json!(["x_budget"])).await.text();
    assert!(text.contains("\"x_budget\": NaN}"), "{text}");
    leads.fail([ids[1]], true);
    let said = read(json!(["name"])).await.json();
    assert_eq!(said["error"]["data"]["name"], "builtins.KeyError");
    leads.fail([ids[1]], false);
    assert!(read(json!(["name"])).await.json()["result"].is_array());
}

/// Searches go by indexes; what they find is what going through all would find.
#[tokio::test]
async fn what_a_search_finds_by_an_index_is_what_there_is_now() {
    let odoo = odoo(18, Attachments::default()).await;
    let (leads, changes) = (
        odoo.records("crm.lead"),
        odoo.records("mail.tracking.value"),
    );
    let dated = |day: i64| json!({"write_date": format!("2024-03-{:02} 08:00:00", day % 28 + 1)});
    // More than are looked up one by one.
    let first = leads.insert_many((0..3_000).map(dated))[0];
    leads.delete([first + 27, first + 1]);
    leads.update(first + 2, &json!({"write_date": "2024-03-28 08:00:00"}));
    leads.insert(json!({"id": first + 55, "write_date": "2024-03-01 08:00:00"}));
    let messages = odoo
        .records("mail.message")
        .insert_many((0..3).map(|_| json!({})));
    let said = changes.insert_many(messages.iter().map(|id| json!({"mail_message_id": id})));
    changes.update(said[0], &json!({"mail_message_id": messages[2]}));
    changes.delete([said[1]]);
    let found = async |model: &str, domain: Value, order: &str| {
        let named = json!({"order": order, "context": {"active_test": false}});
        ids(&result(&odoo.url(), model, "search", json!([domain]), named).await)
    };
    let last_day = json!([["write_date", ">=", "2024-03-28 08:00:00"]]);
    let wanted: Vec<i64> = (0..3_000)
        .filter(|nth| (nth % 28 == 27 || *nth == 2) && ![27, 55].contains(nth))
        .map(|nth| first + nth)
        .collect();
    assert_eq!(found("crm.lead", last_day.clone(), "id").await, wanted);
    assert_eq!(
        found("crm.lead", last_day.clone(), "write_date desc").await,
        wanted
    );
    let since_then = json!([["id", ">=", first]]);
    let newest = found("crm.lead", since_then, "write_date desc").await;
    assert_eq!(
        (newest.len(), &newest[..wanted.len()]),
        (2_998, wanted.as_slice())
    );
    let two = json!([["id", "in", [first + 3, first + 1, first]]]);
    assert_eq!(found("crm.lead", two, "id desc").await, [first + 3, first]);
    let of = |messages: &[i64]| json!([["mail_message_id", "in", messages]]);
    assert_eq!(
        found("mail.tracking.value", of(&messages[..2]), "id").await,
        Vec::<i64>::new()
    );
    assert_eq!(
        found("mail.tracking.value", of(&messages), "id").await,
        [said[0], said[2]]
    );
}
