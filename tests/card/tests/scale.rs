//! `/status` costs the same whatever the number of files. Takes minutes, so it is asked for by name:
//!
//! ```sh
//! ROWS=10000000 cargo test -p card-tests --test scale -- --ignored --nocapture
//! ```

#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::missing_panics_doc,
    reason = "a test that meets what it did not expect has failed"
)]

use std::time::{Duration, Instant};

use card_tests::Scene;
use http::StatusCode;
use stage::Stage;

/// How many looks a figure is the median of.
const LOOKS: usize = 101;

async fn median(scene: &Scene) -> Duration {
    let mut looks = Vec::new();
    for look in 0..LOOKS + 20 {
        let started = Instant::now();
        let answer = scene.stage.get("/status").await.unwrap();
        assert_eq!(answer.status, StatusCode::OK, "{}", answer.text());
        // The first ones open connections and fill caches.
        if look >= 20 {
            looks.push(started.elapsed());
        }
    }
    looks.sort();
    looks[LOOKS / 2]
}

/// Fills the catalogue up to so many rows: 90 % moved, 5 % pending, 2 % failed, 1 % dead, 2 % skipped.
async fn fill(scene: &Scene, from: u64, to: u64) {
    let mut at = from;
    while at < to {
        let end = (at + 500_000).min(to);
        let rows = format!(
            "insert into public.odoo_attachments (id, name, file_size, checksum, state, attempts, reason, message, failed_at)
             select n, 'offer ' || n || '.pdf', 180000, md5(n::text),
                    case when n % 100 < 90 then 'moved' when n % 100 < 97 then 'pending' when n % 100 < 98 then 'dead' else 'skipped' end,
                    case when n % 100 between 95 and 97 then 3 else 0 end,
                    case when n % 100 between 95 and 97 then (array['storage_busy', 'source_empty', 'wrong_bytes'])[1 + n % 3] end,
                    case when n % 100 between 95 and 97 then 'some words about it' end,
                    case when n % 100 between 95 and 97 then now() - make_interval(secs => n % 1000000) end
               from generate_series({at} + 1, {end}) n"
        );
        scene.sql(&rows).await.unwrap();
        at = end;
    }
    scene
        .sql("vacuum analyze public.odoo_attachments")
        .await
        .unwrap();
}

#[tokio::test]
#[ignore = "takes minutes: see the top of the file"]
async fn many_files_cost_a_look_no_more_than_few() {
    let rows: u64 = std::env::var("ROWS").map_or(1_000_000, |rows| rows.parse().unwrap());
    let scene = Scene::scheduled(Stage::builder()).await.unwrap();
    scene.batches(60, 92).await.unwrap();
    fill(&scene, 0, 10_000).await;
    let few = median(&scene).await;
    println!("10,000 rows: {few:?}");
    fill(&scene, 10_000, rows).await;
    let many = median(&scene).await;
    println!("{rows} rows: {many:?}");
    assert!(
        many.as_secs_f64() < 1.5 * few.as_secs_f64(),
        "{few:?} became {many:?}"
    );
}
