//! What real databases hold to surprise whoever moves them: each surprise that the facts know.

use std::time::{SystemTime, UNIX_EPOCH};

use anyhow::Result;
use serde_json::json;
use world::faults::Fault;
use world::odoo::{self, Attachments, EdgeCase, NewAttachment, User};

use crate::scene::{
    all_is_well, attempted, errors, finish, in_state, log_rows, odoo_with, odoo_without_password,
    reading_rest_passes, row, set, small, stopped_tick, tick, user,
};

#[tokio::test]
async fn image_variants_and_web_assets_stay_in_odoo_however_many_pages_there_are() -> Result<()> {
    // More than two pages, since paging by id switches off the filter that Odoo adds by itself.
    let attachments = Attachments {
        noise: true,
        ..small(2_100)
    };
    let stage = set(odoo_with(attachments)).start().await?;
    finish(&stage, 3).await?;
    let counts = stage.odoo.attachments().counts();
    assert!(
        counts.of_fields > 100 && counts.web_assets > 20 && counts.hidden == 2,
        "{counts:?}"
    );
    assert_eq!(in_state(&stage, "moved").await?, 2_100);
    assert_eq!(
        stage
            .count("select count(*) from public.odoo_attachments")
            .await?,
        2_100
    );
    all_is_well(&stage).await
}

#[tokio::test]
async fn what_has_no_content_is_catalogued_as_skipped_with_its_reason() -> Result<()> {
    let attachments = small(10)
        .with(1, EdgeCase::EmptyFile)
        .with(2, EdgeCase::Url)
        .with(3, EdgeCase::CloudStorage)
        .with(4, EdgeCase::Size(30_001));
    let stage = set(odoo_with(attachments))
        .variable("archive_max_file_bytes", 30_000)
        .start()
        .await?;
    let report = tick(&stage).await?;
    assert_eq!(
        (&report["migrated"], &report["skipped"]),
        (&json!(6), &json!(4))
    );
    for (id, reason) in [
        (1, "empty"),
        (2, "url"),
        (3, "cloud_storage"),
        (4, "over_size_limit"),
    ] {
        let row = row(&stage, id).await?;
        assert_eq!(
            (&row["state"], &row["reason"]),
            (&json!("skipped"), &json!(reason))
        );
    }
    all_is_well(&stage).await
}

#[tokio::test]
async fn a_lost_file_is_never_called_moved_and_is_told_from_an_empty_one() -> Result<()> {
    let attachments = small(50)
        .with(17, EdgeCase::LostFile)
        .with(18, EdgeCase::EmptyFile);
    let stage = set(odoo_with(attachments)).start().await?;
    let report = tick(&stage).await?;
    assert_eq!(
        (&report["migrated"], &report["failed"]),
        (&json!(48), &json!(1)),
        "{report}"
    );
    assert_eq!(errors(&report), ["File 17: Attachment not found or empty"]);
    assert_eq!(
        errors(&log_rows(&stage).await?[0]),
        ["File 17: Attachment not found or empty"]
    );
    let lost = row(&stage, 17).await?;
    assert_eq!(
        (
            &lost["state"],
            &lost["attempts"],
            &lost["reason"],
            &lost["blame"]
        ),
        (
            &json!("pending"),
            &json!(1),
            &json!("source_empty"),
            &json!("source")
        )
    );
    assert_eq!(row(&stage, 18).await?["state"], "skipped");
    all_is_well(&stage).await
}

#[tokio::test]
async fn wrong_and_truncated_bytes_never_become_an_object() -> Result<()> {
    // By both ways: 1 to 3 come many to a call, the others are streamed.
    let attachments = small(40)
        .with(1, EdgeCase::WrongBytes)
        .with(2, EdgeCase::TruncatedBytes)
        .with(4, EdgeCase::Size(900_000))
        .with(4, EdgeCase::WrongBytes)
        .with(5, EdgeCase::Size(900_000))
        .with(5, EdgeCase::TruncatedBytes)
        .with(6, EdgeCase::Size(14_000_000))
        .with(6, EdgeCase::WrongBytes)
        .with(7, EdgeCase::Size(14_000_000))
        .with(7, EdgeCase::TruncatedBytes);
    let stage = set(odoo_with(attachments)).start().await?;
    let report = tick(&stage).await?;
    assert_eq!(
        (&report["migrated"], &report["failed"]),
        (&json!(34), &json!(6)),
        "{report}"
    );
    for (id, reason) in [
        (1, "wrong_bytes"),
        (2, "truncated"),
        (4, "wrong_bytes"),
        (5, "truncated"),
        (6, "wrong_bytes"),
        (7, "truncated"),
    ] {
        let row = row(&stage, id).await?;
        assert_eq!(
            (&row["state"], &row["reason"]),
            (&json!("pending"), &json!(reason)),
            "{row}"
        );
    }
    assert_eq!(stage.storage.verify_all().objects, 34);
    all_is_well(&stage).await?;
    // Repaired in Odoo, they arrive.
    for id in [1, 2, 4, 5, 6, 7] {
        stage.odoo.attachments().damage(id, None);
    }
    finish(&stage, 3).await?;
    assert_eq!(in_state(&stage, "moved").await?, 40);
    all_is_well(&stage).await
}

#[tokio::test]
async fn a_transfer_that_is_damaged_on_its_way_is_caught_and_done_again() -> Result<()> {
    let stage = set(odoo_with(small(60).with(60, EdgeCase::Size(900_000))))
        .start()
        .await?;
    let faults = stage.odoo.faults();
    faults.add(Fault::on_call("ir.attachment", "read").nth(1).wrong_bytes());
    faults.add(
        Fault::on_call("ir.attachment", "read")
            .nth(2)
            .truncate(5_000),
    );
    faults.add(Fault::on("/web/content").nth(1).truncate(5_000));
    finish(&stage, 4).await?;
    assert_eq!(in_state(&stage, "moved").await?, 60);
    all_is_well(&stage).await
}

#[tokio::test]
async fn a_file_that_became_forbidden_fails_alone() -> Result<()> {
    let stage = set(odoo_with(small(60))).start().await?;
    crate::scene::tick_with(&stage, r#"{"mode":"discover"}"#).await?;
    stage.odoo.attachments().hide(33, true);
    let report = tick(&stage).await?;
    assert_eq!(
        (&report["migrated"], &report["failed"]),
        (&json!(59), &json!(1)),
        "{report}"
    );
    let row = row(&stage, 33).await?;
    assert_eq!(
        (&row["reason"], &row["blame"]),
        (&json!("file_forbidden"), &json!("configuration"))
    );
    all_is_well(&stage).await
}

#[tokio::test]
async fn a_file_that_was_deleted_meanwhile_fails_alone() -> Result<()> {
    let stage = set(odoo_with(small(60))).start().await?;
    crate::scene::tick_with(&stage, r#"{"mode":"discover"}"#).await?;
    stage.odoo.attachments().delete([33]);
    let report = tick(&stage).await?;
    assert_eq!(
        (&report["migrated"], &report["failed"]),
        (&json!(59), &json!(1)),
        "{report}"
    );
    assert_eq!(errors(&report), ["File 33: Attachment not found or empty"]);
    all_is_well(&stage).await
}

#[tokio::test]
async fn a_row_that_was_committed_late_is_found_though_its_id_was_passed() -> Result<()> {
    let stage = set(odoo_with(small(20))).start().await?;
    // Begun before, committed after: a smaller id and an older date than what was read meanwhile.
    let attachments = stage.odoo.attachments();
    attachments.insert(NewAttachment {
        id: Some(21),
        ..NewAttachment::default()
    });
    attachments.insert(NewAttachment {
        id: Some(22),
        ..NewAttachment::default()
    });
    let late = attachments.take_out(21).unwrap();
    assert_eq!(tick(&stage).await?["migrated"], 21);
    attachments.put_back(late);
    reading_rest_passes(&stage).await?;
    assert_eq!(tick(&stage).await?["migrated"], 1);
    assert_eq!(row(&stage, 21).await?["state"], "moved");
    all_is_well(&stage).await
}

#[tokio::test]
async fn every_version_from_14_to_19_is_spoken_to_in_its_protocol() -> Result<()> {
    for version in 14..=19 {
        let options = odoo::Options {
            version,
            ..odoo_with(small(30).with(30, EdgeCase::Size(900_000)))
        };
        let stage = set(options).start().await?;
        stage.odoo.counters().record(true);
        let report = tick(&stage).await?;
        assert_eq!(report["migrated"], 30, "{version}: {report}");
        let json_2 = stage
            .odoo
            .counters()
            .take_log()
            .iter()
            .any(|entry| entry.path.starts_with("/json/2/"));
        assert_eq!(json_2, version >= 19, "{version}");
        all_is_well(&stage).await?;
    }
    Ok(())
}

#[tokio::test]
async fn a_key_without_a_password_and_a_password_without_a_key_do() -> Result<()> {
    for version in [17, 18, 19] {
        for user in [
            User {
                password: None,
                ..user()
            },
            User {
                api_key: None,
                ..user()
            },
        ] {
            let options = odoo::Options {
                version,
                users: vec![user],
                // One that would be streamed, and one that would go up in pieces.
                ..odoo_with(
                    small(30)
                        .with(29, EdgeCase::Size(900_000))
                        .with(30, EdgeCase::Size(8_000_000)),
                )
            };
            let stage = set(options).start().await?;
            let report = tick(&stage).await?;
            assert_eq!(report["migrated"], 30, "{version}: {report}");
            all_is_well(&stage).await?;
        }
    }
    Ok(())
}

/// Files that a web session would stream: five whole, five in pieces.
fn some_large() -> Attachments {
    (21..=25).fold(small(30), |files, id| {
        files
            .with(id, EdgeCase::Size(900_000))
            .with(id + 5, EdgeCase::Size(8_000_000))
    })
}

/// What Odoo answers at `/web/session/authenticate` instead of a session.
fn answered_at_login(exception: &str, message: &str) -> Fault {
    let data = json!({"name": exception, "message": message, "arguments": [message], "debug": ""});
    let error = json!({"code": 200, "message": "Odoo Server Error", "data": data});
    let body = json!({"jsonrpc": "2.0", "id": null, "error": error}).to_string();
    Fault::on("/web/session/authenticate").answer(
        200,
        &[("content-type", "application/json")],
        &body,
    )
}

#[tokio::test]
async fn a_password_that_opens_no_session_leaves_the_way_by_rpc() -> Result<()> {
    let html = |status| {
        let page = "<html>Forbidden</html>";
        Fault::on("/web/session").answer(status, &[("content-type", "text/html")], page)
    };
    let of_user = |user: User| odoo::Options {
        users: vec![user],
        ..odoo_with(some_large())
    };
    // A second factor: the key works for RPC, the password for nothing, though it is right.
    let second_factor = User {
        two_factor: true,
        ..user()
    };
    let json_2 = odoo::Options {
        version: 19,
        ..of_user(user())
    };
    for (options, variable, fault, logins, words) in [
        (
            of_user(second_factor),
            ("odoo_login", "admin"),
            None,
            1,
            "two-factor",
        ),
        (
            of_user(user()),
            ("odoo_password", "of-another-5f0e"),
            None,
            1,
            "check odoo_password",
        ),
        (
            of_user(user()),
            ("odoo_login", "admin"),
            Some(answered_at_login(
                "odoo.exceptions.AccessError",
                "Database not found.",
            )),
            1,
            "Database not found.",
        ),
        (
            of_user(user()),
            ("odoo_login", "admin"),
            Some(html(403)),
            1,
            "HTTP 403",
        ),
        (
            of_user(user()),
            ("odoo_login", "admin"),
            Some(html(404)),
            1,
            "HTTP 404",
        ),
        // JSON-2 needs neither of the two, where one host has one database.
        (
            json_2.clone(),
            ("odoo_database", ""),
            None,
            0,
            "odoo_database",
        ),
        (json_2, ("odoo_login", ""), None, 0, "odoo_login"),
    ] {
        let stage = set(options)
            .variable(variable.0, variable.1)
            .start()
            .await?;
        let faults = stage.odoo.faults();
        if let Some(fault) = fault {
            faults.add(fault);
        }
        // So long that whoever wants a session asks for one before the first is refused.
        faults.add(Fault::on("/web/session/authenticate").delay_ms(500));
        let report = tick(&stage).await?;
        assert_eq!(report["migrated"], 30, "{words}: {report}");
        let tried = stage.odoo.counters().of("POST /web/session/authenticate");
        assert_eq!(tried.calls, logins, "{words}: failures lock the user out");
        let sent = stage.storage.counters().of("PATCH /upload/resumable");
        assert_eq!(sent.max_in_flight, 1, "what is cut off is read again");
        assert!(
            errors(&report).iter().any(|line| line.contains(words)),
            "{words}: {report}"
        );
        assert_eq!(attempted(&stage).await?, 0);
        all_is_well(&stage).await?;
    }
    Ok(())
}

#[tokio::test]
async fn a_login_that_odoo_has_no_time_for_is_tried_again_and_says_nothing_of_the_password()
-> Result<()> {
    for (busy, words) in [
        (
            answered_at_login(
                "odoo.exceptions.AccessDenied",
                "Too many login failures, please wait a bit before trying again.",
            ),
            "too many",
        ),
        (Fault::on("/web/session/authenticate").status(503), "busy"),
    ] {
        let stage = set(odoo_with(small(3).with(3, EdgeCase::Size(8_000_000))))
            .variable("archive_batch_seconds", 2)
            .variable("archive_max_rpc_bytes", 1_000_000)
            .start()
            .await?;
        crate::scene::tick_with(&stage, r#"{"mode":"discover"}"#).await?;
        let busy = stage.odoo.faults().add(busy);
        let answer = stage.post(crate::scene::PATH, "{}").await?;
        assert!(answer.text().contains(words), "{}", answer.text());
        let waiting = row(&stage, 3).await?;
        assert_eq!(
            (&waiting["state"], &waiting["attempts"]),
            (&json!("pending"), &json!(0)),
            "{waiting}"
        );
        stage.odoo.faults().remove(busy);
        finish(&stage, 3).await?;
        assert_eq!(in_state(&stage, "moved").await?, 3);
        all_is_well(&stage).await?;
    }
    Ok(())
}

#[tokio::test]
async fn a_file_that_a_proxy_sends_under_an_etag_of_its_own_arrives() -> Result<()> {
    let options = odoo::Options {
        x_sendfile: true,
        ..odoo_with(some_large())
    };
    let stage = set(options).start().await?;
    let report = tick(&stage).await?;
    assert_eq!(
        (&report["migrated"], errors(&report)),
        (&json!(30), vec![]),
        "{report}"
    );
    all_is_well(&stage).await
}

#[tokio::test]
async fn an_attachment_without_dates_holds_nothing_up() -> Result<()> {
    let stage = set(odoo_with(small(30).with(7, EdgeCase::Undated)))
        .start()
        .await?;
    assert_eq!(tick(&stage).await?["migrated"], 30);
    reading_rest_passes(&stage).await?;
    stage.odoo.attachments().change_content(9);
    let report = tick(&stage).await?;
    assert_eq!(report["migrated"], 1, "{report}");
    crate::scene::all_is_well_but_for_the_log(&stage).await
}

#[tokio::test]
async fn where_no_session_opens_an_access_token_leads_to_a_file_and_else_rpc() -> Result<()> {
    let made = "ir.attachment/write";
    for password in [None, Some("of-another-5f0e")] {
        // The last two hang on a record that may be read, but not written to: no token can be made.
        let files = (8..=9).fold(some_large(), |files, id| files.with(id, EdgeCase::ReadOnly));
        let files = files
            .with(8, EdgeCase::Size(900_000))
            .with(9, EdgeCase::Size(8_000_000))
            .with(10, EdgeCase::Size(9_500_000))
            .with(11, EdgeCase::Size(9_500_000))
            .with(11, EdgeCase::ReadOnly);
        let options = odoo_without_password(files);
        let stage = set(options)
            .variable("odoo_password", password.unwrap_or_default())
            .variable("odoo_access_tokens", true)
            .variable("archive_max_rpc_bytes", 9_000_000)
            .start()
            .await?;
        let report = tick(&stage).await?;
        assert_eq!(
            (&report["migrated"], &report["skipped"], &report["failed"]),
            (&json!(29), &json!(1), &json!(0)),
            "{report}"
        );
        assert!(stage.odoo.counters().of(made).calls >= 14);
        assert_eq!(row(&stage, 10).await?["state"], "moved");
        assert_eq!(row(&stage, 11).await?["reason"], "needs_password");
        assert_eq!(attempted(&stage).await?, 0);
        all_is_well(&stage).await?;
    }
    Ok(())
}

/// Whoever has a token may read the file, and it stands in the logs of proxies.
#[tokio::test]
async fn an_access_token_that_we_wrote_is_cleared_and_one_that_people_share_by_is_not() -> Result<()>
{
    let files = small(4)
        .with(2, EdgeCase::Size(900_000))
        .with(3, EdgeCase::Size(8_000_000));
    let stage = set(odoo_without_password(files))
        .variable("odoo_access_tokens", true)
        .start()
        .await?;
    let odoo = stage.odoo.attachments();
    let shared = odoo.access_token(3);
    let now = SystemTime::now().duration_since(UNIX_EPOCH)?.as_secs();
    let age = |seconds: u64| format!("ots-{:x}-0a0b0c", now - seconds);
    assert_eq!(tick(&stage).await?["migrated"], 4);
    assert_eq!((odoo.token_of(2), odoo.token_of(3)), (None, shared.clone()));
    // Batches that are cut off leave some: what is old is cleared by one that comes later.
    for (id, left) in [(1, age(3 * 3600)), (4, age(60))] {
        odoo.write_token(&[id], Some(&left))
            .expect("it may be written to");
    }
    odoo.insert(NewAttachment {
        edge_cases: vec![EdgeCase::Size(910_000)],
        ..NewAttachment::default()
    });
    reading_rest_passes(&stage).await?;
    assert_eq!(tick(&stage).await?["migrated"], 1);
    assert_eq!((odoo.token_of(1), odoo.token_of(3)), (None, shared));
    assert!(odoo.token_of(4).is_some(), "somebody may be using it");
    all_is_well(&stage).await
}

#[tokio::test]
async fn an_access_token_of_a_batch_that_a_fault_stops_is_cleared() -> Result<()> {
    let files = small(2).with(2, EdgeCase::Size(900_000));
    let stage = set(odoo_without_password(files))
        .variable("odoo_access_tokens", true)
        .start()
        .await?;
    let lost = Fault::on("/web/content").reset_at(1_000);
    let lost = stage.odoo.faults().add(lost);
    tick(&stage).await?;
    assert!(stage.odoo.counters().of("ir.attachment/write").calls >= 2);
    assert_eq!(stage.odoo.attachments().token_of(2), None);
    stage.odoo.faults().remove(lost);
    finish(&stage, 3).await?;
    assert_eq!(stage.odoo.attachments().token_of(2), None);
    all_is_well(&stage).await
}

#[tokio::test]
async fn what_waits_for_a_password_is_told_once() -> Result<()> {
    let options = odoo_without_password(small(10).with(10, EdgeCase::Size(8_000_000)));
    let stage = set(options)
        .variable("archive_max_rpc_bytes", 7_000_000)
        .start()
        .await?;
    assert_eq!(tick(&stage).await?["skipped"], 1);
    // It is among the newest rows, which every reading of changes reads again.
    for _ in 0..2 {
        reading_rest_passes(&stage).await?;
        assert_eq!(tick(&stage).await?["skipped"], 0);
    }
    assert_eq!(log_rows(&stage).await?.len(), 1);
    // Another content is another file.
    stage.odoo.attachments().change_content(10);
    reading_rest_passes(&stage).await?;
    assert_eq!(tick(&stage).await?["skipped"], 1);
    assert_eq!(row(&stage, 10).await?["reason"], "needs_password");
    all_is_well(&stage).await
}

#[tokio::test]
async fn a_model_too_long_for_an_index_keeps_no_page_from_being_read() -> Result<()> {
    let stage = set(odoo_with(small(3))).start().await?;
    // Nothing that could be compressed.
    let mut random = 7_u32;
    let model: String = std::iter::repeat_with(|| {
        random = random.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        char::from_u32(0x4e00 + (random >> 16) % 0x5000).unwrap_or('x')
    })
    .take(6_000)
    .collect();
    let id = stage.odoo.attachments().insert(NewAttachment {
        res_model: Some(model.clone()),
        ..NewAttachment::default()
    });
    let report = tick(&stage).await?;
    assert_eq!(report["migrated"], 4, "{report}");
    let kept = row(&stage, id).await?["res_model"].clone();
    let kept = kept.as_str().unwrap_or_default();
    assert!(!kept.is_empty() && model.starts_with(kept), "{kept}");
    // What was cut is no change.
    let before = row(&stage, id).await?;
    reading_rest_passes(&stage).await?;
    tick(&stage).await?;
    assert_eq!(row(&stage, id).await?, before);
    all_is_well(&stage).await
}

#[tokio::test]
async fn a_file_too_large_for_rpc_is_skipped_where_only_a_key_is_at_hand() -> Result<()> {
    let options = odoo_without_password(small(10).with(10, EdgeCase::Size(8_000_000)));
    let stage = set(options)
        .variable("archive_max_rpc_bytes", 7_000_000)
        .start()
        .await?;
    let report = tick(&stage).await?;
    assert_eq!(
        (&report["migrated"], &report["skipped"]),
        (&json!(9), &json!(1)),
        "{report}"
    );
    let row = row(&stage, 10).await?;
    assert_eq!(
        (&row["state"], &row["reason"]),
        (&json!("skipped"), &json!("needs_password"))
    );
    assert_eq!(stage.odoo.counters().of("ir.attachment/write").calls, 0);
    all_is_well(&stage).await?;
    // An access token writes to Odoo: only where a variable allows it.
    let options = odoo_without_password(small(10).with(10, EdgeCase::Size(8_000_000)));
    let stage = set(options)
        .variable("archive_max_rpc_bytes", 7_000_000)
        .variable("odoo_access_tokens", true)
        .start()
        .await?;
    assert_eq!(tick(&stage).await?["migrated"], 10);
    all_is_well(&stage).await
}

#[tokio::test]
async fn a_web_session_that_ends_is_opened_again() -> Result<()> {
    let stage = set(odoo_with(small(4).with(4, EdgeCase::Size(900_000))))
        .start()
        .await?;
    assert_eq!(tick(&stage).await?["migrated"], 4);
    for edge_case in [EdgeCase::Size(910_000), EdgeCase::Size(13_000_000)] {
        stage.odoo.end_sessions();
        stage.odoo.attachments().insert(NewAttachment {
            edge_cases: vec![edge_case],
            ..NewAttachment::default()
        });
        let report = tick(&stage).await?;
        assert_eq!(
            (&report["migrated"], &report["failed"]),
            (&json!(1), &json!(0)),
            "{report}"
        );
    }
    // A redirect to the login page says the same.
    stage.odoo.end_sessions();
    let faults = stage.odoo.faults();
    faults.add(Fault::on("/web/content").nth(1).redirect_to_login());
    let edge_cases = vec![EdgeCase::Size(920_000)];
    stage.odoo.attachments().insert(NewAttachment {
        edge_cases,
        ..NewAttachment::default()
    });
    assert_eq!(tick(&stage).await?["migrated"], 1);
    all_is_well(&stage).await
}

#[tokio::test]
async fn html_a_redirect_to_the_login_page_and_json_without_a_file_stop_the_batch() -> Result<()> {
    let json = |said: &str| {
        Fault::on_call("ir.attachment", "read").answer(
            200,
            &[("content-type", "application/json")],
            said,
        )
    };
    let html = |at: world::faults::Trigger| {
        at.answer(
            200,
            &[("content-type", "text/html")],
            "<html>maintenance</html>",
        )
    };
    for (call, fault) in [
        ("read", json("{}")),
        (
            "read",
            json(r#"{"error": {"code": 200, "message": "Odoo Server Error"}}"#),
        ),
        ("read", html(Fault::on_call("ir.attachment", "read"))),
        (
            "read",
            Fault::on_call("ir.attachment", "read").redirect_to_login(),
        ),
        (
            "search_read",
            html(Fault::on_call("ir.attachment", "search_read")),
        ),
        (
            "search_read",
            Fault::on_call("ir.attachment", "search_read").redirect_to_login(),
        ),
        ("any", html(Fault::on("/jsonrpc"))),
        ("any", Fault::on("/jsonrpc").redirect_to_login()),
    ] {
        let stage = set(odoo_with(small(30))).start().await?;
        if call == "read" {
            crate::scene::tick_with(&stage, r#"{"mode":"discover"}"#).await?;
        }
        stage.odoo.faults().add(fault);
        let report = stopped_tick(&stage).await?;
        assert_eq!(report["fault"]["kind"], "source_protocol", "{report}");
        assert_eq!(
            (attempted(&stage).await?, in_state(&stage, "moved").await?),
            (0, 0)
        );
        let rows = log_rows(&stage).await?;
        assert_eq!(rows.last().unwrap()["status"], "error");
        assert!(
            stage.odoo.counters().of("GET /web/login").calls == 0,
            "a redirect was followed"
        );
        stage.odoo.faults().clear();
        finish(&stage, 2).await?;
        assert_eq!(in_state(&stage, "moved").await?, 30);
        all_is_well(&stage).await?;
    }
    Ok(())
}

#[tokio::test]
async fn a_file_that_breaks_the_worker_does_not_hold_up_the_others() -> Result<()> {
    for breaks in [
        Fault::on_id(7).html_500(),
        Fault::on_id(7).refuse(),
        Fault::on_id(7).answer(
            502,
            &[("content-type", "text/html")],
            "<html>Bad Gateway</html>",
        ),
    ] {
        let told = format!("{breaks:?}");
        let stage = set(odoo_with(small(60))).start().await?;
        stage.odoo.faults().add(breaks);
        let mut ticks = 0;
        while in_state(&stage, "moved").await? < 59 {
            crate::scene::waits_pass(&stage).await?;
            stage.post(crate::scene::PATH, "{}").await?;
            ticks += 1;
            assert!(ticks < 4, "{told}: {:#?}", log_rows(&stage).await?);
        }
        all_is_well(&stage).await?;
        // It uses up its attempts, and is put aside for people to see.
        for _ in 0..10 {
            crate::scene::waits_pass(&stage).await?;
            stage.post(crate::scene::PATH, "{}").await?;
        }
        assert_eq!(
            row(&stage, 7).await?["state"],
            "dead",
            "{told}: {}",
            row(&stage, 7).await?
        );
        all_is_well(&stage).await?;
    }
    Ok(())
}

#[tokio::test]
async fn a_name_that_is_no_mime_type_stops_no_upload() -> Result<()> {
    let stage = set(odoo_with(small(2))).start().await?;
    for mimetype in ["", "pdf", "text/html\r\nx-evil: 1", "größe/ß"] {
        stage.odoo.attachments().insert(NewAttachment {
            mimetype: Some(mimetype.to_owned()),
            ..NewAttachment::default()
        });
    }
    assert_eq!(tick(&stage).await?["migrated"], 6);
    all_is_well(&stage).await
}
