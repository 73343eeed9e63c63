//! The service key lives in one place, and cannot go stale.

use std::collections::HashSet;
use std::sync::Arc;
use std::time::{Duration, Instant};

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use sha2::{Digest, Sha256};
use tokio::sync::Mutex;
use tokio_postgres::Client;
use world::postgres::Postgres;

use crate::endpoint::{Endpoint, answer};
use crate::project::{Project, query};

/// Accepted keys as the components keep them: read again when one is unknown, at most once a second.
struct AcceptedKeys {
    component: Client,
    hashes: HashSet<Vec<u8>>,
    read_at: Option<Instant>,
}

impl AcceptedKeys {
    async fn accept(&mut self, key: &str) -> bool {
        let hash = Sha256::digest(key.as_bytes()).to_vec();
        if !self.hashes.contains(&hash)
            && self
                .read_at
                .is_none_or(|read_at| read_at.elapsed() > Duration::from_secs(1))
        {
            let rows = self.component.query("select hash from odoo_sync.accepted_keys where expires_at is null or expires_at > now()", &[]).await.unwrap();
            self.hashes = rows.iter().map(|row| row.get(0)).collect();
            self.read_at = Some(Instant::now());
        }
        self.hashes.contains(&hash)
    }
}

#[tokio::test]
async fn a_rotation_under_ticks_loses_no_tick_to_a_401() {
    let project = Project::new().await;
    let component = project.database.connect_as_component().await.unwrap();
    let accepted = Arc::new(Mutex::new(AcceptedKeys {
        component,
        hashes: HashSet::new(),
        read_at: None,
    }));
    let endpoint = Endpoint::answering(move |call| {
        let accepted = Arc::clone(&accepted);
        async move {
            let known = match call.key() {
                Some(key) => accepted.lock().await.accept(key).await,
                None => false,
            };
            if known {
                answer(202, "{}")
            } else {
                answer(401, r#"{"error":"Unauthorized"}"#)
            }
        }
    })
    .await;
    project.schedule(&endpoint.url()).await;

    let mut ticks = 0;
    let mut rotations = 0;
    // When the newest key was known at the latest; none while no call with it has been answered.
    let mut known_at = None;
    let mut every_fifth_second = tokio::time::interval(Duration::from_millis(200));
    while rotations < 3 || ticks < 25 {
        every_fifth_second.tick().await;
        project.tick().await;
        ticks += 1;
        if known_at.is_none() {
            project.is_answered().await;
        }
        // The cache is read again at most once a second: a faster rotation it need not follow.
        let known_at_last = *known_at.get_or_insert_with(Instant::now);
        if known_at_last.elapsed() > Duration::from_millis(1_500) {
            project.sql("select odoo_sync.rotate_key()").await;
            rotations += 1;
            known_at = None;
        }
    }
    project.is_answered().await;
    project.sql("select odoo_sync.collect_answers()").await;

    let statuses = project
        .sql("select distinct status_code from odoo_sync.calls")
        .await;
    assert_eq!(
        statuses,
        ["202"],
        "of {ticks} ticks under {rotations} rotations"
    );
    assert_eq!(endpoint.calls().len(), ticks);
    let keys: HashSet<String> = endpoint
        .calls()
        .iter()
        .map(|call| call.key().unwrap().to_owned())
        .collect();
    assert!(
        keys.len() >= 3,
        "the rotated keys were used: {}",
        keys.len()
    );
}

#[tokio::test]
async fn vault_and_accepted_keys_change_together() {
    let project = Project::new().await;
    let in_step = "select count(*) from odoo_sync.accepted_keys k join vault.decrypted_secrets s on k.hash = sha256(convert_to(s.decrypted_secret, 'UTF8')) where k.expires_at is null and s.name = 'odoo_sync_key'";
    for change in [
        "select odoo_sync.rotate_key()",
        "select odoo_sync.set_key(E' a-service-role-key-that-was-given-by-hand\\n')",
        "select odoo_sync.rotate_key()",
    ] {
        project.sql(change).await;
        assert_eq!(project.sql(in_step).await, ["1"], "after {change}");
        assert_eq!(
            project
                .sql("select count(*) from odoo_sync.accepted_keys where expires_at is null")
                .await,
            ["1"]
        );
    }
    assert_eq!(
        project.sql("select count(*) from vault.secrets").await,
        ["1"]
    );

    // Both or nothing.
    project
        .sql("begin; select odoo_sync.rotate_key(); rollback")
        .await;
    assert_eq!(project.sql(in_step).await, ["1"]);
}

#[tokio::test]
async fn a_replaced_key_is_good_for_ten_minutes() {
    let project = Project::new().await;
    project.sql("select odoo_sync.rotate_key()").await;
    let told = project.sql("select odoo_sync.rotate_key()").await;
    assert!(told[0].contains("is accepted until"), "{told:?}");
    let minutes = "select round(extract(epoch from expires_at - now()) / 60) from odoo_sync.accepted_keys where expires_at is not null";
    assert_eq!(project.sql(minutes).await, ["10"]);
    // A further rotation does not prolong the life of an older key.
    project.sql("update odoo_sync.accepted_keys set expires_at = now() + interval '3 minutes' where expires_at is not null; select odoo_sync.rotate_key()").await;
    assert_eq!(
        project.sql(&format!("{minutes} order by 1")).await,
        ["3", "10"]
    );
}

#[tokio::test]
async fn a_key_given_again_is_good_for_good() {
    let project = Project::new().await;
    project.sql("select odoo_sync.set_key('the-first-of-two-keys-for-the-jobs'); select odoo_sync.set_key('the-second-of-two-keys-for-the-jobs'); select odoo_sync.set_key('the-first-of-two-keys-for-the-jobs')").await;
    let good = "select hash from odoo_sync.accepted_keys where expires_at is null";
    let hash: Vec<u8> = project.owner.query_one(good, &[]).await.unwrap().get(0);
    assert_eq!(
        hash,
        Sha256::digest(b"the-first-of-two-keys-for-the-jobs").to_vec()
    );
}

/// The project's own service key, as somebody may have put it into the vault for other programs.
const FOREIGN: &str = "sb_secret_of-the-project-that-others-read-too";

#[tokio::test]
async fn a_foreign_secret_is_not_adopted_not_sent_and_not_overwritten() {
    let endpoint = Endpoint::with(202, "{}").await;
    let project = Project::new().await;
    project
        .sql(&format!(
            "select vault.create_secret('{FOREIGN}', 'supabase_service_role_key')"
        ))
        .await;
    project.database.apply_sql().await.unwrap();
    let told = project.schedule(&endpoint.url()).await;
    assert!(told.contains("made a key"), "{told}");
    project.sql("select odoo_sync.rotate_key()").await;
    project.tick().await;
    project.becomes("ok").await;
    for call in endpoint.calls() {
        let key = call.key().unwrap();
        assert!(key.starts_with("ots_"), "{key}");
    }
    let foreign = format!(
        "select count(*) from vault.decrypted_secrets where name = 'supabase_service_role_key' and decrypted_secret = '{FOREIGN}'"
    );
    assert_eq!(project.sql(&foreign).await, ["1"]);
    let accepted =
        format!("select count(*) from odoo_sync.accepted_keys where hash = sha256('{FOREIGN}')");
    assert_eq!(project.sql(&accepted).await, ["0"]);
}

/// A token of this role, as Supabase's legacy keys are.
fn jwt(role: &str) -> String {
    let claims = serde_json::json!({ "iss": "supabase", "role": role, "exp": 2_000_000_000 });
    let payload = URL_SAFE_NO_PAD.encode(claims.to_string());
    format!("eyJhbGciOiJIUzI1NiIsInR5cCI6IkpXVCJ9.{payload}.c2lnbmF0dXJlLW9mLXRoZS10b2tlbg")
}

#[tokio::test]
async fn what_is_no_key_is_refused() {
    let project = Project::new().await;
    let broken = format!("{}x", jwt("service_role"));
    for (key, why) in [
        (String::new(), "empty"),
        ("short".to_owned(), "shorter than 32"),
        (
            "ots_with-thirty-one-characters!".to_owned(),
            "shorter than 32",
        ),
        (
            "two words are not a service key at all".to_owned(),
            "spaces",
        ),
        ("schlüssel-mit-umlauten-und-lang-genug".to_owned(), "ASCII"),
        (
            "sb_publishable_0123456789012345678901234".to_owned(),
            "every visitor",
        ),
        (jwt("anon"), "anon"),
        (jwt("authenticated"), "authenticated"),
        (jwt("postgres"), "not for services"),
        (
            "eyJhbGciOiJIUzI1NiJ9.bm8ganNvbg.c2lnbmF0dXJl".to_owned(),
            "not for services",
        ),
        (
            "eyJhbGciOiJIUzI1NiJ9.W10.c2lnbmF0dXJlLW9mLWl0".to_owned(),
            "not for services",
        ),
    ] {
        let set = format!("select odoo_sync.set_key('{key}')");
        let refusal = project.refusal(&set).await;
        assert!(
            refusal.contains("this is no key for a service") && refusal.contains(why),
            "{key}: {refusal}"
        );
        assert_eq!(
            rule(&project, &key).await.as_deref(),
            access::unfit_key(&key),
            "{key}"
        );
    }
    assert!(
        project
            .refusal("select odoo_sync.set_key(null)")
            .await
            .contains("no key")
    );
    assert_eq!(
        project.sql("select count(*) from vault.secrets").await,
        ["0"]
    );

    for key in [
        jwt("service_role"),
        broken,
        FOREIGN.to_owned(),
        "eyJ-no-token-but-long-enough-for-one-key".to_owned(),
        "a.b.c-of-more-than-thirty-two-characters".to_owned(),
    ] {
        assert_eq!(rule(&project, &key).await, None, "{key}");
        assert_eq!(access::unfit_key(&key), None, "{key}");
        project
            .sql(&format!("select odoo_sync.set_key('{key}')"))
            .await;
    }
}

async fn rule(project: &Project, key: &str) -> Option<String> {
    let owner = &project.owner;
    let rule = "select odoo_sync.unfit_key($1)";
    owner.query_one(rule, &[&key]).await.unwrap().get(0)
}

#[tokio::test]
async fn the_jobs_key_runs_the_jobs_and_others_are_made_for_what_they_are_for() {
    let project = Project::new().await;
    project.sql("select odoo_sync.rotate_key()").await;
    let mut made = Vec::new();
    for (label, scope) in [("prometheus", "read"), ("me", "admin")] {
        let key = project
            .sql(&format!("select odoo_sync.new_key('{label}', '{scope}')"))
            .await;
        made.extend(key);
    }
    assert!(
        made.iter().all(|key| access::unfit_key(key).is_none()),
        "{made:?}"
    );
    let keys = "select label || ' ' || scope || ' ' || (expires_at is null) from odoo_sync.accepted_keys order by created_at, label";
    let three = [
        "rotate_key jobs true",
        "prometheus read true",
        "me admin true",
    ];
    assert_eq!(project.sql(keys).await, three);
    // Nowhere but in whose hands they are.
    assert_eq!(
        project.sql("select count(*) from vault.secrets").await,
        ["1"]
    );
    for (n, key) in made.iter().enumerate() {
        let known = format!("select odoo_sync.is_accepted('{key}')");
        assert_eq!(project.sql(&known).await, ["t"], "{n}");
    }
    // A rotation is the jobs' own affair.
    project.sql("select odoo_sync.rotate_key()").await;
    let others =
        "select count(*) from odoo_sync.accepted_keys where expires_at is null and not of_jobs";
    assert_eq!(project.sql(others).await, ["2"]);
    for scope in ["'jobs'", "'everything'", "null"] {
        let refusal = project
            .refusal(&format!("select odoo_sync.new_key('x', {scope})"))
            .await;
        assert!(refusal.contains("a key is for read or admin"), "{refusal}");
    }
}

#[tokio::test]
async fn a_key_that_got_into_wrong_hands_ends_at_once() {
    let project = Project::new().await;
    project.sql("select odoo_sync.rotate_key()").await;
    let old = "select encode(hash, 'hex') from odoo_sync.accepted_keys";
    let old = project.sql(old).await.remove(0);
    let told = project
        .sql("select odoo_sync.rotate_key(now := true)")
        .await;
    assert!(told[0].contains("accepted no more"), "{told:?}");
    let component = project.database.connect_as_component().await.unwrap();
    let good = "select encode(hash, 'hex') from odoo_sync.accepted_keys where expires_at is null or expires_at > now()";
    let good = query(&component, good).await.unwrap();
    assert!(good.len() == 1 && !good.contains(&old), "{good:?}");
}

#[tokio::test]
async fn rotations_at_the_same_time_leave_one_key() {
    let project = Project::new().await;
    let mut clients = Vec::new();
    for _ in 0..8 {
        clients.push(project.database.connect().await.unwrap());
    }
    let rotations: Vec<_> = clients
        .into_iter()
        .map(|client| {
            tokio::spawn(async move { query(&client, "select odoo_sync.rotate_key()").await })
        })
        .collect();
    for rotation in rotations {
        rotation.await.unwrap().unwrap();
    }
    assert_eq!(
        project
            .sql("select count(*) from odoo_sync.accepted_keys where expires_at is null")
            .await,
        ["1"]
    );
    assert_eq!(
        project.sql("select count(*) from vault.secrets").await,
        ["1"]
    );
}

#[tokio::test]
async fn where_the_net_queue_can_be_closed_it_is_and_calls_go_on() {
    let project = Project::new().await;
    let told = project.sql("select odoo_sync.close_net_queue()").await;
    assert!(
        told[0].contains("belongs to supabase_admin"),
        "on hosted Supabase it cannot: {told:?}"
    );

    let superuser = project.database.connect_as_superuser().await.unwrap();
    superuser.batch_execute("alter table net.http_request_queue owner to postgres; alter table net._http_response owner to postgres").await.unwrap();
    let told = project.sql("select odoo_sync.close_net_queue()").await;
    assert!(told[0].starts_with("closed"), "{told:?}");

    let user = project.user(false).await;
    assert!(
        query(&user, "select headers from net.http_request_queue")
            .await
            .unwrap_err()
            .contains("permission denied")
    );
    assert!(
        query(
            &user,
            "update net.http_request_queue set url = 'http://elsewhere.example'"
        )
        .await
        .unwrap_err()
        .contains("permission denied")
    );
    query(&user, "select net.http_post('http://127.0.0.1:9')")
        .await
        .expect("other people's webhooks go on");
}

#[tokio::test]
async fn the_components_password_is_made_and_shown_once_to_the_owner_only() {
    let server = Postgres::start_throw_away().await.unwrap();
    server.main().apply_sql().await.unwrap();
    let project = Project::of(server.main().clone()).await;
    let superuser = project.database.connect_as_superuser().await.unwrap();
    superuser
        .batch_execute("alter role odoo_sync nologin")
        .await
        .unwrap();
    let made = project
        .sql("select odoo_sync.new_password()")
        .await
        .remove(0);
    assert!(made.len() == 64 && made.bytes().all(|byte| byte.is_ascii_hexdigit()));
    let mut components = tokio_postgres::Config::new();
    components
        .host("127.0.0.1")
        .port(project.database.port())
        .user("odoo_sync")
        .dbname("postgres");
    let logs_in = async |password: &str| {
        let mut components = components.clone();
        let connected = components
            .password(password)
            .connect(tokio_postgres::NoTls)
            .await;
        connected.is_ok()
    };
    assert!(logs_in(&made).await);
    assert!(!logs_in("another").await);
    let again = project
        .sql("select odoo_sync.new_password()")
        .await
        .remove(0);
    assert_ne!(made, again);
    assert!(!logs_in(&made).await && logs_in(&again).await);
    let admin = project.user(true).await;
    let refusal = query(&admin, "select odoo_sync.new_password()").await;
    assert!(refusal.unwrap_err().contains("permission denied"));
}
