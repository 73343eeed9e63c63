//! The simulated Storage answers as the real one was seen to.
#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "tests")]

mod client;

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use client::{Answer, send};
use http::StatusCode;
use serde_json::{Value, json};
use world::faults::Fault;
use world::storage::{Bucket, Etags, KeepBytes, Options, QuotaSignal, Storage};

const KEY: &str = "Bearer service-role-key";
const PDF: &[u8] = b"%PDF-1.4 sample";
const PART: usize = 6 * 1024 * 1024;

fn options() -> Options {
    let exch = Bucket {
        file_size_limit: Some(20_000_000),
        ..Bucket::private("exch")
    };
    Options {
        prefix: String::new(),
        buckets: vec![exch],
        ..Options::default()
    }
}

async fn storage() -> Storage {
    Storage::start(options()).await.unwrap()
}

async fn ask(
    storage: &Storage,
    method: &str,
    path: &str,
    headers: &[(&str, &str)],
    body: impl Into<bytes::Bytes>,
) -> Answer {
    let mut all = vec![("authorization", KEY)];
    all.extend_from_slice(headers);
    send(method, &format!("{}{path}", storage.url()), &all, body)
        .await
        .unwrap()
}

async fn store(storage: &Storage, path: &str, body: &'static [u8]) -> Answer {
    ask(
        storage,
        "POST",
        path,
        &[("content-type", "application/pdf")],
        body,
    )
    .await
}

fn refused(answer: &Answer, body: &str) {
    assert_eq!(
        (answer.status, answer.text().as_str()),
        (StatusCode::BAD_REQUEST, body)
    );
}

#[tokio::test]
async fn objects_are_stored_once_as_recorded() {
    let storage = storage().await;
    let path = "/object/exch/0d/0d10d65a";
    let stored = store(&storage, path, PDF).await;
    assert_eq!(
        (stored.status, stored.header("content-length")),
        (StatusCode::OK, "70")
    );
    assert!(
        stored
            .text()
            .starts_with(r#"{"Key":"exch/0d/0d10d65a","Id":""#)
    );
    let again = store(&storage, path, PDF).await;
    refused(
        &again,
        r#"{"statusCode":"409","error":"Duplicate","message":"The resource already exists","code":"KeyAlreadyExists"}"#,
    );
    assert_eq!(
        ask(&storage, "POST", path, &[("x-upsert", "TRUE")], PDF)
            .await
            .status,
        StatusCode::BAD_REQUEST
    );
    let upsert = ask(
        &storage,
        "POST",
        path,
        &[("x-upsert", "true"), ("content-type", "application/pdf")],
        PDF,
    )
    .await;
    assert_eq!(upsert.json(), stored.json());

    let info = ask(&storage, "GET", "/object/info/exch/0d/0d10d65a", &[], "").await;
    assert_eq!(info.header("etag"), "\"e1a7df8eb3d8ad3a9336fc23c1350ff0\"");
    let keys = [
        "id",
        "name",
        "version",
        "bucket_id",
        "size",
        "content_type",
        "cache_control",
        "etag",
        "metadata",
        "last_modified",
        "created_at",
    ];
    let positions: Vec<_> = keys
        .iter()
        .map(|key| info.text().find(&format!("\"{key}\":")).unwrap())
        .collect();
    assert!(positions.is_sorted(), "{}", info.text());
    assert_eq!(info.header("content-length"), "347");
    assert_eq!(
        (info.json()["size"].as_u64(), info.json()["name"].as_str()),
        (Some(15), Some("0d/0d10d65a"))
    );

    let head = ask(&storage, "HEAD", path, &[], "").await;
    let headers = [
        ("accept-ranges", "bytes"),
        ("content-type", "application/pdf"),
        ("x-robots-tag", "none"),
        ("content-length", "15"),
        ("cache-control", "no-cache"),
        ("etag", "\"e1a7df8eb3d8ad3a9336fc23c1350ff0\""),
    ];
    for (name, value) in headers {
        assert_eq!(head.header(name), value, "{name}");
    }
    assert_eq!(ask(&storage, "GET", path, &[], "").await.body, PDF);
    assert_eq!(
        ask(&storage, "GET", path, &[("range", "bytes=2-5")], "")
            .await
            .text(),
        "DF-1"
    );
    let outside = ask(&storage, "GET", path, &[("range", "bytes=99-")], "").await;
    assert_eq!(
        (outside.status.as_u16(), outside.json()["code"].as_str()),
        (416, Some("InvalidRange"))
    );
    let missing = r#"{"statusCode":"404","error":"not_found","message":"Object not found","code":"NoSuchKey"}"#;
    for (method, path) in [
        ("GET", "/object/exch/nosuch"),
        ("GET", "/object/info/exch/nosuch"),
        ("DELETE", "/object/exch/nosuch"),
    ] {
        refused(&ask(&storage, method, path, &[], "").await, missing);
    }
    let head = ask(&storage, "HEAD", "/object/exch/nosuch", &[], "").await;
    assert_eq!((head.status, head.body.len()), (StatusCode::BAD_REQUEST, 0));
}

#[tokio::test]
async fn buckets_are_made_and_shown_as_recorded() {
    let storage = storage().await;
    let bucket = ask(&storage, "GET", "/bucket/exch", &[], "").await;
    assert_eq!(bucket.header("content-length"), "186");
    assert!(bucket.text().starts_with(r#"{"id":"exch","name":"exch","owner":"","public":false,"file_size_limit":20000000,"allowed_mime_types":null,"created_at":""#));
    let made = ask(
        &storage,
        "POST",
        "/bucket",
        &[],
        r#"{"name":"new","id":"new","public":false}"#,
    )
    .await;
    assert_eq!(made.text(), r#"{"name":"new"}"#);
    let again = ask(&storage, "POST", "/bucket", &[], r#"{"name":"new"}"#).await;
    assert_eq!(again.json()["statusCode"], "409");
    let missing = r#"{"statusCode":"404","error":"Bucket not found","message":"Bucket not found","code":"NoSuchBucket"}"#;
    refused(
        &ask(&storage, "GET", "/bucket/nosuch", &[], "").await,
        missing,
    );
    refused(&store(&storage, "/object/nosuch/a", PDF).await, missing);
    let listed = ask(
        &storage,
        "POST",
        "/object/list/nosuch",
        &[],
        r#"{"prefix":""}"#,
    )
    .await;
    assert_eq!(
        (listed.status, listed.text().as_str()),
        (StatusCode::OK, "[]")
    );
}

#[tokio::test]
async fn strangers_are_told_what_is_wrong_with_their_token() {
    let storage = storage().await;
    store(&storage, "/object/exch/a", PDF).await;
    let url = |path: &str| format!("{}{path}", storage.url());
    let none = send("POST", &url("/object/exch/b"), &[], PDF)
        .await
        .unwrap();
    refused(
        &none,
        r#"{"statusCode":"400","error":"Error","message":"headers must have required property 'authorization'","code":"InvalidRequest"}"#,
    );
    let private = send("GET", &url("/object/exch/a"), &[], "").await.unwrap();
    assert_eq!(private.json()["code"], "NoSuchBucket");
    let claims = |exp: i64| {
        let claims =
            base64::prelude::BASE64_URL_SAFE_NO_PAD.encode(json!({"exp": exp}).to_string());
        format!("Bearer eyJhbGciOiJIUzI1NiJ9.{claims}.cc")
    };
    let cases = [
        ("Bearer garbage".to_owned(), "Invalid Compact JWS"),
        (claims(1), "\"exp\" claim timestamp check failed"),
        (claims(99_999_999_999), "signature verification failed"),
        (
            "Bearer anon-key".to_owned(),
            "new row violates row-level security policy",
        ),
    ];
    for (token, message) in cases {
        let answer = send(
            "POST",
            &url("/object/exch/b"),
            &[("authorization", &token)],
            PDF,
        )
        .await
        .unwrap();
        assert_eq!(answer.status, StatusCode::BAD_REQUEST);
        let body = answer.json();
        assert_eq!(
            (&body["statusCode"], &body["message"], &body["code"]),
            (&json!("403"), &json!(message), &json!("AccessDenied"))
        );
    }
}

#[tokio::test]
async fn a_hosted_storage_wants_a_key_for_its_gateway_too() {
    let hosted = Options {
        requires_apikey: true,
        ..Options::default()
    };
    let storage = Storage::start(hosted).await.unwrap();
    let url = format!("{}/storage/v1/bucket/odoo-archive", storage.url());
    let get = async |headers: &[(&str, &str)]| {
        send("GET", &url, headers, "")
            .await
            .unwrap()
            .status
            .as_u16()
    };
    assert_eq!(get(&[("authorization", KEY)]).await, 401);
    assert_eq!(
        get(&[("authorization", KEY), ("apikey", "wrong")]).await,
        401
    );
    assert_eq!(
        get(&[("authorization", KEY), ("apikey", "service-role-key")]).await,
        200
    );
}

#[tokio::test]
async fn limits_hold_for_announced_sizes_and_types_only() {
    let mut options = options();
    options.buckets[0].file_size_limit = Some(10);
    options.buckets[0].allowed_mime_types =
        Some(vec!["application/pdf".to_owned(), "text/*".to_owned()]);
    let storage = Storage::start(options).await.unwrap();
    let too_large = r#"{"statusCode":"413","error":"Payload too large","message":"The object exceeded the maximum allowed size","code":"EntityTooLarge"}"#;
    refused(&store(&storage, "/object/exch/a", PDF).await, too_large);
    let picture = ask(
        &storage,
        "POST",
        "/object/exch/a",
        &[("content-type", "image/jpeg")],
        "x",
    )
    .await;
    refused(
        &picture,
        r#"{"statusCode":"415","error":"invalid_mime_type","message":"mime type image/jpeg is not supported","code":"InvalidMimeType"}"#,
    );
    assert_eq!(
        ask(
            &storage,
            "POST",
            "/object/exch/t",
            &[("content-type", "text/plain;charset=UTF-8")],
            "x"
        )
        .await
        .status,
        StatusCode::OK
    );
    let odd = store(&storage, "/object/exch/u/caf%C3%A9.pdf", b"x").await;
    refused(
        &odd,
        r#"{"statusCode":"400","error":"InvalidKey","message":"Invalid key: u/café.pdf","code":"InvalidKey"}"#,
    );
    assert!(
        chunked(&storage, "/object/exch/slipped", PDF)
            .await
            .starts_with("HTTP/1.1 200")
    );
    assert_eq!(
        storage.objects().iter().map(|object| object.size).max(),
        Some(15)
    );
}

/// Uploads without a Content-Length.
async fn chunked(storage: &Storage, path: &str, body: &[u8]) -> String {
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    let mut stream = tokio::net::TcpStream::connect(storage.url().trim_start_matches("http://"))
        .await
        .unwrap();
    let head = format!(
        "POST {path} HTTP/1.1\r\nhost: s\r\nauthorization: {KEY}\r\ncontent-type: application/pdf\r\nconnection: close\r\ntransfer-encoding: chunked\r\n\r\n{:x}\r\n",
        body.len()
    );
    stream.write_all(head.as_bytes()).await.unwrap();
    stream.write_all(body).await.unwrap();
    stream.write_all(b"\r\n0\r\n\r\n").await.unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await.unwrap();
    answer
}

#[tokio::test]
async fn a_quota_runs_out_and_comes_back() {
    for (signal, status, code) in [
        (QuotaSignal::EntityTooLarge, 400, "EntityTooLarge"),
        (QuotaSignal::Restricted, 402, "PaymentRequired"),
        (QuotaSignal::DiskFull, 500, "InternalError"),
    ] {
        let storage = Storage::start(Options {
            quota_bytes: Some(20),
            quota_signal: signal,
            ..options()
        })
        .await
        .unwrap();
        assert_eq!(
            store(&storage, "/object/exch/a", PDF).await.status,
            StatusCode::OK
        );
        let full = store(&storage, "/object/exch/b", PDF).await;
        assert_eq!(
            (full.status.as_u16(), full.json()["code"].as_str()),
            (status, Some(code))
        );
        storage.set_quota(Some(30));
        assert_eq!(
            store(&storage, "/object/exch/b", PDF).await.status,
            StatusCode::OK
        );
        assert_eq!(storage.used_bytes(), 30);
    }
}

#[tokio::test]
async fn listings_show_a_folder_at_a_time() {
    let storage = storage().await;
    for name in ["0d/0d10d65a", "0d/0d2", "0d/sub/x", "ab/abc", "top"] {
        store(&storage, &format!("/object/exch/{name}"), PDF).await;
    }
    let list = async |body: Value| {
        ask(&storage, "POST", "/object/list/exch", &[], body.to_string())
            .await
            .json()
    };
    let names = |listed: &Value| -> Vec<String> {
        listed
            .as_array()
            .unwrap()
            .iter()
            .map(|entry| entry["name"].as_str().unwrap().to_owned())
            .collect()
    };
    let sorted = json!({"column": "name", "order": "asc"});
    let folder = list(json!({"prefix": "0d", "limit": 1, "offset": 0, "sortBy": sorted})).await;
    assert_eq!(names(&folder), ["0d10d65a"]);
    let metadata = &folder[0]["metadata"];
    assert_eq!(
        (metadata["size"].as_u64(), metadata["eTag"].as_str()),
        (Some(15), Some("\"e1a7df8eb3d8ad3a9336fc23c1350ff0\""))
    );
    assert_eq!(
        names(&list(json!({"prefix": "0d/", "offset": 1})).await),
        ["0d2", "sub"]
    );
    let root = list(json!({"prefix": ""})).await;
    assert_eq!(names(&root), ["0d", "ab", "top"]);
    assert_eq!(
        (&root[0]["id"], root[2]["id"].is_string()),
        (&Value::Null, true)
    );
    let deleted = ask(
        &storage,
        "DELETE",
        "/object/exch",
        &[],
        r#"{"prefixes": ["0d/0d10d65a", "nosuch"]}"#,
    )
    .await;
    assert_eq!(names(&deleted.json()), ["0d/0d10d65a"]);
    assert_eq!(deleted.header("content-length"), "512");
    let nothing = ask(
        &storage,
        "DELETE",
        "/object/exch",
        &[],
        r#"{"prefixes": ["nosuch"]}"#,
    )
    .await;
    assert_eq!(
        (nothing.status, nothing.text().as_str()),
        (StatusCode::OK, "[]")
    );
}

#[tokio::test]
async fn signed_addresses_open_without_a_key_until_they_expire() {
    let storage = storage().await;
    store(&storage, "/object/exch/a/b", PDF).await;
    let sign = async |seconds: i64| {
        let body = json!({"expiresIn": seconds}).to_string();
        ask(&storage, "POST", "/object/sign/exch/a/b", &[], body)
            .await
            .json()["signedURL"]
            .as_str()
            .unwrap()
            .to_owned()
    };
    let get = async |address: String| {
        send("GET", &format!("{}{address}", storage.url()), &[], "")
            .await
            .unwrap()
    };
    let address = sign(60).await;
    assert!(address.starts_with("/object/sign/exch/a/b?token="));
    let named = get(format!("{address}&download=contract%20%C3%A4.pdf")).await;
    assert_eq!(named.body, PDF);
    assert_eq!(
        named.header("content-disposition"),
        "attachment; filename=contract%20%C3%A4.pdf; filename*=UTF-8''contract%20%C3%A4.pdf"
    );
    let short = sign(1).await;
    while get(short.clone()).await.status == StatusCode::OK {
        tokio::task::yield_now().await;
    }
    assert_eq!(get(short).await.json()["code"], "InvalidJWT");
    assert_eq!(
        get("/object/sign/exch/a/b?token=forged".to_owned())
            .await
            .json()["code"],
        "InvalidJWT"
    );
}

#[tokio::test]
async fn an_upload_cut_off_midway_leaves_no_object() {
    let storage = storage().await;
    storage
        .faults()
        .add(Fault::on("/object/exch").times(1).cut_upload_at(100_000));
    let body = vec![7; 300_000];
    let url = format!("{}/object/exch/cut", storage.url());
    assert!(
        send("POST", &url, &[("authorization", KEY)], body.clone())
            .await
            .is_err()
    );
    assert!(storage.objects().is_empty());
    storage
        .faults()
        .add(Fault::on("/object/exch").times(1).lose_answer());
    assert!(
        send("POST", &url, &[("authorization", KEY)], body)
            .await
            .is_err()
    );
    assert_eq!(
        storage.objects().len(),
        1,
        "the answer was lost, not the object"
    );
}

#[tokio::test]
async fn a_refusal_reaches_a_client_that_is_still_sending() {
    let storage = storage().await;
    storage.faults().add(
        Fault::on("/object/exch")
            .method("POST")
            .times(1)
            .retry_after(503, 1),
    );
    let busy = ask(
        &storage,
        "POST",
        "/object/exch/big",
        &[],
        vec![1; 5_000_000],
    )
    .await;
    assert_eq!(
        (busy.status.as_u16(), busy.header("retry-after")),
        (503, "1")
    );
    let too_large = ask(
        &storage,
        "POST",
        "/object/exch/big",
        &[],
        vec![1; 20_000_001],
    )
    .await;
    assert_eq!(too_large.json()["code"], "EntityTooLarge");
}

#[tokio::test]
async fn names_that_are_hashes_are_verified() {
    let storage = storage().await;
    store(
        &storage,
        "/object/exch/0d/0d10d65a3cbca6a252daf0510f07e278dbe86fd2",
        PDF,
    )
    .await;
    assert!(storage.verify_all().misnamed.is_empty());
    storage
        .put(
            "exch",
            "0d/0d10d65a3cbca6a252daf0510f07e278dbe86fd2",
            "application/pdf",
            "other bytes",
        )
        .unwrap();
    storage.put("exch", "stranger", "text/plain", "x").unwrap();
    let found = storage.verify_all();
    assert_eq!((found.objects, found.misnamed.len()), (2, 2));
}

const CREATE: [(&str, &str); 4] = [
    ("tus-resumable", "1.0.0"),
    ("upload-length", "7000064"),
    (
        "upload-metadata",
        "bucketName ZXhjaA==,objectName dHUvdHVzLW9iamVjdA==,contentType YXBwbGljYXRpb24vb2N0ZXQtc3RyZWFt,cacheControl MzYwMA==",
    ),
    ("x-upsert", "true"),
];

async fn patch(storage: &Storage, location: &str, offset: usize, body: &[u8]) -> Answer {
    let offset = offset.to_string();
    let headers = [
        ("authorization", KEY),
        ("tus-resumable", "1.0.0"),
        ("upload-offset", &offset),
        ("content-type", "application/offset+octet-stream"),
    ];
    let path = location.split_once("/upload/").unwrap().1;
    send(
        "PATCH",
        &format!("{}{}/upload/{path}", storage.url(), ""),
        &headers,
        body.to_vec(),
    )
    .await
    .unwrap()
}

#[tokio::test]
async fn resumable_uploads_go_as_recorded() {
    let dir = std::env::temp_dir().join(format!("world-storage-{}", std::process::id()));
    std::fs::create_dir_all(&dir).unwrap();
    let storage = Storage::start(Options {
        keep_bytes: KeepBytes::Dir(dir.clone()),
        ..options()
    })
    .await
    .unwrap();
    let bytes: Vec<u8> = (0..7_000_064_u32)
        .map(|at| at.to_le_bytes()[0] ^ at.to_le_bytes()[1])
        .collect();
    let unversioned = ask(&storage, "POST", "/upload/resumable", &CREATE[1..], "").await;
    assert_eq!(
        (unversioned.status.as_u16(), unversioned.text().trim()),
        (412, "Tus-Resumable Required")
    );
    let created = ask(&storage, "POST", "/upload/resumable", &CREATE, "").await;
    assert_eq!(
        (created.status.as_u16(), created.header("tus-resumable")),
        (201, "1.0.0")
    );
    let location = created.header("location").to_owned();
    assert!(location.starts_with(&format!(
        "{}/upload/resumable/ZXhjaC90dS90dXMtb2JqZWN0L",
        storage.url()
    )));
    let head = async || {
        send(
            "HEAD",
            &location,
            &[("authorization", KEY), ("tus-resumable", "1.0.0")],
            "",
        )
        .await
        .unwrap()
    };

    let first = patch(&storage, &location, 0, &bytes[..PART]).await;
    assert_eq!(
        (first.status.as_u16(), first.header("upload-offset")),
        (204, "6291456")
    );
    let at = head().await;
    assert_eq!(
        (
            at.status.as_u16(),
            at.header("upload-offset"),
            at.header("upload-length")
        ),
        (200, "6291456", "7000064")
    );
    assert!(
        at.header("upload-metadata")
            .ends_with("cacheControl bWF4LWFnZT0zNjAw")
    );
    let wrong = patch(&storage, &location, 5, &bytes[PART..]).await;
    assert_eq!(
        (wrong.status.as_u16(), wrong.text().as_str()),
        (409, "Upload-Offset conflict\n")
    );
    assert!(storage.objects().is_empty());
    assert_eq!(storage.open_uploads().await, 1);
    let last = patch(&storage, &location, PART, &bytes[PART..]).await;
    assert_eq!(
        (
            last.status.as_u16(),
            last.header("tus-complete"),
            last.header("upload-offset")
        ),
        (204, "1", "7000064")
    );
    assert_eq!(head().await.header("upload-offset"), "7000064");

    let info = ask(&storage, "GET", "/object/info/exch/tu/tus-object", &[], "")
        .await
        .json();
    assert_eq!(
        (&info["size"], &info["metadata"], &info["cache_control"]),
        (&json!(7_000_064), &Value::Null, &json!("max-age=3600"))
    );
    assert_eq!(
        ask(&storage, "GET", "/object/exch/tu/tus-object", &[], "")
            .await
            .body,
        bytes
    );
    let exists = ask(&storage, "POST", "/upload/resumable", &CREATE[..3], "").await;
    assert_eq!(exists.status.as_u16(), 409);
    let path = location.split_once("/upload/").unwrap().1.to_owned();
    storage.expire_uploads();
    let version = [("tus-resumable", "1.0.0")];
    let gone = ask(&storage, "HEAD", &format!("/upload/{path}"), &version, "").await;
    assert_eq!(gone.status.as_u16(), 404);
    std::fs::remove_dir_all(dir).unwrap();
}

#[tokio::test]
async fn resumable_uploads_refuse_with_real_statuses() {
    let storage = storage().await;
    let metadata = format!(
        "bucketName {},objectName {}",
        BASE64_STANDARD.encode("exch"),
        BASE64_STANDARD.encode("a")
    );
    let create = async |length: &str, metadata: &str| {
        let headers = [
            ("tus-resumable", "1.0.0"),
            ("upload-length", length),
            ("upload-metadata", metadata),
        ];
        ask(&storage, "POST", "/upload/resumable", &headers, "").await
    };
    assert_eq!(create("20000001", &metadata).await.status.as_u16(), 413);
    let nowhere = metadata.replace(
        &BASE64_STANDARD.encode("exch"),
        &BASE64_STANDARD.encode("nosuch"),
    );
    assert_eq!(create("10", &nowhere).await.status.as_u16(), 404);
    let location = create("10000000", &metadata)
        .await
        .header("location")
        .to_owned();
    assert_eq!(
        patch(&storage, &location, 0, &[0; 1000])
            .await
            .status
            .as_u16(),
        400,
        "a chunk is 6 MiB"
    );
    let id = BASE64_STANDARD.encode("exch/nosuch/21682b20-1407-4879-adbd-1715af6a7895");
    let unknown = format!("{}/upload/resumable/{id}", storage.url());
    assert_eq!(
        patch(&storage, &unknown, 0, b"x").await.status.as_u16(),
        404
    );
}

#[tokio::test]
async fn a_chunk_cut_off_is_kept_or_forgotten_as_told() {
    for (keeps, offset) in [(true, "100000"), (false, "0")] {
        let options = Options {
            keeps_partial_chunks: keeps,
            etags: Etags::Multipart,
            ..options()
        };
        let storage = Storage::start(options).await.unwrap();
        let bytes = vec![9; 7_000_064];
        let location = ask(&storage, "POST", "/upload/resumable", &CREATE, "")
            .await
            .header("location")
            .to_owned();
        storage.faults().add(
            Fault::on("/upload/resumable")
                .method("PATCH")
                .times(1)
                .cut_upload_at(100_000),
        );
        let headers = [
            ("authorization", KEY),
            ("tus-resumable", "1.0.0"),
            ("upload-offset", "0"),
            ("content-type", "application/offset+octet-stream"),
        ];
        assert!(
            send("PATCH", &location, &headers, bytes[..PART].to_vec())
                .await
                .is_err()
        );
        let at = send("HEAD", &location, &headers[..2], "").await.unwrap();
        assert_eq!(at.header("upload-offset"), offset);
        let from: usize = offset.parse().unwrap();
        assert_eq!(
            patch(
                &storage,
                &location,
                from,
                &bytes[from..from + PART.min(bytes.len() - from)]
            )
            .await
            .status
            .as_u16(),
            204
        );
        let from = from + PART.min(bytes.len() - from);
        if from < bytes.len() {
            assert_eq!(
                patch(&storage, &location, from, &bytes[from..])
                    .await
                    .status
                    .as_u16(),
                204
            );
        }
        let object = &storage.objects()[0];
        assert_eq!(object.size, 7_000_064);
        assert!(object.etag.ends_with("-2\""), "{}", object.etag);
    }
}
