//! Faults of requests to Odoo and to Storage, each for as long as it lasts: at every request of
//! its place, until it is mended.

use anyhow::{Context, Result};
use chaos::{Effect, Job, Requests};
use world::faults::{Fault, Faults, What};

use crate::bench::{Bench, Work};
use crate::postgres::connections_that_fall_silent;
use crate::table::{Row, hold};

/// A place, and the work that leads there.
type Place = (&'static str, Requests, Work);

const CALLS: [Effect; 7] = [
    Effect::ResetBefore,
    Effect::ResetIn,
    Effect::ResetAfter,
    Effect::TooMany,
    Effect::Html500,
    Effect::Truncated,
    Effect::Login,
];

const UPLOADS: [Effect; 8] = [
    Effect::ResetBefore,
    Effect::CutUpload,
    Effect::ResetIn,
    Effect::ResetAfter,
    Effect::TooMany,
    Effect::DatabaseTimeout,
    Effect::Html500,
    Effect::Truncated,
];

const QUESTIONS: [Effect; 6] = [
    Effect::ResetBefore,
    Effect::ResetAfter,
    Effect::TooMany,
    Effect::DatabaseTimeout,
    Effect::Html500,
    Effect::Truncated,
];

/// What stands before Odoo, or before Storage, answers in its place.
const PROXY: [Effect; 5] = [
    Effect::Forbidden,
    Effect::NotFound,
    Effect::BadGateway,
    Effect::Unreached,
    Effect::Compressed,
];

/// The same where the kinds of a refusal make no difference.
const BEFORE_ALL: [Effect; 2] = [Effect::Forbidden, Effect::Unreached];

/// The effect, asking for no pause.
fn what(effect: Effect) -> What {
    match effect {
        Effect::TooMany => busy(429, "0"),
        Effect::DatabaseTimeout => busy(544, "0"),
        other => other.what(),
    }
}

fn busy(status: u16, retry_after_s: &str) -> What {
    What::Answer {
        status,
        headers: vec![("retry-after".to_owned(), retry_after_s.to_owned())],
        body: String::new(),
    }
}

/// A pause that is longer than the batch has time: nothing is tried often enough to stop it.
async fn long_pause(bench: &Bench, faults: &Faults, (place, requests, work): Place) -> Result<Row> {
    bench.work(work)?;
    let set = faults.add(requests.trigger().does(busy(429, "60")));
    bench
        .under((place, "429, for longer than there is time"), faults, set)
        .await
}

/// Each of these effects at each of these places of the side that has these faults.
async fn each(
    bench: &Bench,
    faults: &Faults,
    places: &[Place],
    effects: &[Effect],
) -> Result<Vec<Row>> {
    let mut rows = Vec::new();
    for &(place, requests, work) in places {
        for effect in effects {
            bench.work(work)?;
            let set = faults.add(requests.trigger().does(what(*effect)));
            rows.push(bench.under((place, effect.name()), faults, set).await?);
        }
    }
    Ok(rows)
}

async fn of_odoo(bench: &Bench, places: &[Place], effects: &[Effect]) -> Result<Vec<Row>> {
    each(bench, bench.stage.odoo.faults(), places, effects).await
}

async fn of_storage(bench: &Bench, places: &[Place], effects: &[Effect]) -> Result<Vec<Row>> {
    each(bench, bench.stage.storage.faults(), places, effects).await
}

/// Nothing listens.
async fn odoo_refuses(bench: &Bench) -> Result<Row> {
    bench.work(Work::Small)?;
    bench.stage.odoo.stop().await;
    let logged = bench.log_rows().await?;
    let answer = bench.call(bench.stage.caller()).await;
    let row = bench
        .tell(("any request", "refused"), answer, logged)
        .await?;
    bench.stage.odoo.restart().await?;
    bench.nobody_holds_anything().await?;
    bench.done(bench.stage.caller()).await?;
    Ok(row)
}

/// The database was renamed, or the setting names another.
async fn no_database(job: Job) -> Result<Row> {
    let bench = Bench::with(job, 19, 3).await?;
    let requests = Requests::Path("/json/2", None);
    let place = ("any request, Odoo 19", requests, Work::Small);
    let rows = of_odoo(&bench, &[place], &[Effect::NoDatabase]).await?;
    rows.into_iter().next().context("no row")
}

#[tokio::test(flavor = "multi_thread")]
async fn archive_and_odoo() -> Result<()> {
    let bench = Bench::set(Job::Archive).await?;
    let mut rows = vec![odoo_refuses(&bench).await?];
    let list = (
        "list of attachments",
        Requests::Call("ir.attachment", "search_read"),
        Work::Small,
    );
    let contents = (
        "contents of small files",
        Requests::Call("ir.attachment", "read"),
        Work::Small,
    );
    let stream = (
        "stream of a larger file",
        Requests::Path("/web/content", None),
        Work::Stream,
    );
    let login = (
        "login for a stream",
        Requests::Path("/web/session/authenticate", None),
        Work::Stream,
    );
    rows.extend(of_odoo(&bench, &[list, contents, stream], &CALLS).await?);
    rows.extend(of_odoo(&bench, &[stream], &PROXY).await?);
    rows.extend(of_odoo(&bench, &[list, contents, login], &BEFORE_ALL).await?);
    rows.extend(of_odoo(&bench, &[contents, stream], &[Effect::WrongBytes]).await?);
    rows.extend(
        of_odoo(
            &bench,
            &[login],
            &[Effect::ResetBefore, Effect::Html500, Effect::TooMany],
        )
        .await?,
    );
    rows.push(long_pause(&bench, bench.stage.odoo.faults(), contents).await?);
    rows.push(no_database(Job::Archive).await?);
    hold("archive-batch and Odoo", &rows)
}

#[tokio::test(flavor = "multi_thread")]
async fn archive_and_storage() -> Result<()> {
    let bench = Bench::set(Job::Archive).await?;
    let mut rows = Vec::new();
    bench.work(Work::Small)?;
    bench.stage.storage.stop().await;
    let logged = bench.log_rows().await?;
    let answer = bench.call(bench.stage.caller()).await;
    rows.push(
        bench
            .tell(("any request", "refused"), answer, logged)
            .await?,
    );
    bench.stage.storage.restart().await?;
    bench.nobody_holds_anything().await?;
    bench.done(bench.stage.caller()).await?;

    let upload = (
        "upload",
        Requests::Path("/object/odoo-archive", Some("POST")),
        Work::Small,
    );
    let begin = (
        "upload in pieces, its beginning",
        Requests::Path("/upload/resumable", Some("POST")),
        Work::Pieces,
    );
    let piece = (
        "upload in pieces, a piece",
        Requests::Path("/upload/resumable", Some("PATCH")),
        Work::Pieces,
    );
    let info = (
        "whether an object is there",
        Requests::Path("/object/info", None),
        Work::Stored,
    );
    let bucket = ("the bucket", Requests::Path("/bucket/", None), Work::Small);
    rows.extend(of_storage(&bench, &[upload, piece], &UPLOADS).await?);
    rows.extend(of_storage(&bench, &[begin, info, bucket], &QUESTIONS).await?);
    rows.extend(of_storage(&bench, &[upload, piece], &PROXY).await?);
    rows.extend(of_storage(&bench, &[begin, info, bucket], &BEFORE_ALL).await?);
    rows.extend(of_storage(&bench, &[upload, piece], &[Effect::TooLarge]).await?);
    rows.extend(of_storage(&bench, &[upload, piece, info, bucket], &[Effect::Unpaid]).await?);
    rows.extend(of_storage(&bench, &[upload], &[Effect::Locked]).await?);
    // The address of an upload, and not the one where it is begun: what is asked of it as well as its pieces.
    let address = (
        "upload in pieces, once it is begun",
        Requests::Path("/upload/resumable/", None),
        Work::Pieces,
    );
    rows.extend(of_storage(&bench, &[address], &[Effect::UploadLocked]).await?);
    for effect in [
        Effect::Forbidden,
        Effect::NotFound,
        Effect::TooLarge,
        Effect::BadGateway,
    ] {
        rows.push(at_one_path(&bench, effect).await?);
    }

    for (place, work) in [("upload", Work::Small), ("upload in pieces", Work::Pieces)] {
        bench.work(work)?;
        let storage = &bench.stage.storage;
        storage.set_quota(Some(storage.used_bytes()));
        let logged = bench.log_rows().await?;
        let answer = bench.call(bench.stage.caller()).await;
        rows.push(bench.tell((place, "quota used up"), answer, logged).await?);
        bench.nobody_holds_anything().await?;
        storage.set_quota(None);
        bench.done(bench.stage.caller()).await?;
    }
    rows.push(long_pause(&bench, bench.stage.storage.faults(), upload).await?);
    hold("archive-batch and Storage", &rows)
}

/// What stands before Storage refuses one object, whatever else passes.
async fn at_one_path(bench: &Bench, effect: Effect) -> Result<Row> {
    bench.work(Work::Small)?;
    let attachments = bench.stage.odoo.attachments();
    let newest = attachments.ids().last().and_then(|id| attachments.get(*id));
    let sha1 = newest.and_then(|file| file.checksum).context("no file")?;
    let path = format!("{}/{sha1}", sha1.get(..2).unwrap_or_default());
    let faults = bench.stage.storage.faults();
    let set = faults.add(Fault::on(&path).method("POST").does(effect.what()));
    bench
        .under(("upload to one path", effect.name()), faults, set)
        .await
}

/// A component that copies records: at each of these calls, by model and method.
async fn records(job: Job, section: &str, places: [(&'static str, Requests); 3]) -> Result<()> {
    let bench = Bench::set(job).await?;
    let mut rows = vec![odoo_refuses(&bench).await?];
    let places = places.map(|(place, requests)| (place, requests, Work::Small));
    rows.extend(of_odoo(&bench, &places, &CALLS).await?);
    let [_, page, _] = places;
    rows.extend(of_odoo(&bench, &[page], &PROXY).await?);
    rows.push(no_database(job).await?);
    hold(section, &rows)
}

#[tokio::test(flavor = "multi_thread")]
async fn crm_and_odoo() -> Result<()> {
    let places = [
        ("fields of leads", Requests::Call("crm.lead", "fields_get")),
        ("leads", Requests::Call("crm.lead", "search_read")),
        ("customers", Requests::Call("res.partner", "search_read")),
    ];
    records(Job::Crm, "crm-sync and Odoo", places).await
}

#[tokio::test(flavor = "multi_thread")]
async fn chatter_and_odoo() -> Result<()> {
    let changes = Requests::Call("mail.tracking.value", "search_read");
    let attachments = Requests::Call("ir.attachment", "search_read");
    let places = [
        ("messages", Requests::Call("mail.message", "search_read")),
        ("field changes", changes),
        ("attachments of messages", attachments),
    ];
    records(Job::Chatter, "chatter-sync and Odoo", places).await
}

/// Each on a stage of its own, all at once: they only wait.
#[tokio::test(flavor = "multi_thread")]
async fn answers_that_do_not_come() -> Result<()> {
    tokio::try_join!(of_either_side(), connections_that_fall_silent())?;
    Ok(())
}

async fn of_either_side() -> Result<()> {
    let archive = |place, requests: Requests, work| slow(Job::Archive, place, requests, work, true);
    let rows = tokio::try_join!(
        archive(
            "archive-batch, contents",
            Requests::Call("ir.attachment", "read"),
            Work::Small
        ),
        archive(
            "archive-batch, stream",
            Requests::Path("/web/content", None),
            Work::Stream
        ),
        slow(
            Job::Archive,
            "archive-batch, upload",
            Requests::Path("/object/odoo-archive", Some("POST")),
            Work::Small,
            false
        ),
        slow(
            Job::Archive,
            "archive-batch, a piece",
            Requests::Path("/upload/resumable", Some("PATCH")),
            Work::Pieces,
            false
        ),
        slow(
            Job::Crm,
            "crm-sync, leads",
            Requests::Call("crm.lead", "search_read"),
            Work::Small,
            true
        ),
        slow(
            Job::Chatter,
            "chatter-sync, messages",
            Requests::Call("mail.message", "search_read"),
            Work::Small,
            true
        ),
    )?;
    let (contents, stream, upload, piece, leads, messages) = rows;
    hold(
        "Answers that do not come",
        &[contents, stream, upload, piece, leads, messages],
    )
}

/// An answer of Odoo stops in its middle; one of Storage never begins.
async fn slow(
    job: Job,
    place: &'static str,
    requests: Requests,
    work: Work,
    of_odoo: bool,
) -> Result<Row> {
    let bench = Bench::set(job).await?;
    bench.work(work)?;
    let (faults, what) = if of_odoo {
        (bench.stage.odoo.faults(), What::StallAt(30))
    } else {
        (bench.stage.storage.faults(), What::DelayMs(65_000))
    };
    let set = faults.add(requests.trigger().does(what));
    bench
        .under((place, "slow beyond the timeout"), faults, set)
        .await
        .context(place)
}

#[tokio::test(flavor = "multi_thread")]
async fn clocks_that_differ() -> Result<()> {
    let mut rows = Vec::new();
    // Odoo's clock is ahead while something is written, and is then set right.
    for (job, ahead_s) in [(Job::Archive, 3_600), (Job::Crm, 2), (Job::Chatter, 2)] {
        let bench = Bench::set(job).await?;
        let ahead = chrono::Utc::now() + chrono::TimeDelta::seconds(ahead_s);
        let dated = ahead.format("%Y-%m-%d %H:%M:%S%.6f").to_string();
        let odoo = &bench.stage.odoo;
        match job {
            Job::Archive => {
                let id = odoo.attachments().insert(world::odoo::NewAttachment {
                    write_date: Some(dated),
                    ..world::odoo::NewAttachment::default()
                });
                reading_rest_passes(&bench).await?;
                bench.done(bench.stage.caller()).await?;
                reading_rest_passes(&bench).await?;
                bench.done(bench.stage.caller()).await?;
                // What changes afterwards has an earlier date.
                odoo.attachments().change_content(id - 1);
                reading_rest_passes(&bench).await?;
            }
            Job::Crm => odoo.records("crm.lead").update(
                1,
                &serde_json::json!({"name": "Ahead", "write_date": dated}),
            ),
            Job::Chatter => odoo.records("mail.message").update(
                1,
                &serde_json::json!({"body": "<p>Ahead</p>", "write_date": dated}),
            ),
        }
        let logged = bench.log_rows().await?;
        let answer = bench.call(bench.stage.caller()).await;
        let place = format!("{}, what is written meanwhile", job.name());
        let row = bench
            .tell(
                (place.as_str(), "Odoo's clock is ahead, and set right again"),
                answer,
                logged,
            )
            .await?;
        rows.push(row);
        if job != Job::Archive {
            bench.work(Work::Small)?;
            // It comes when its date does.
            while chrono::Utc::now() < ahead + chrono::TimeDelta::seconds(1) {
                tokio::time::sleep(std::time::Duration::from_millis(50)).await;
            }
        }
        bench.done(bench.stage.caller()).await.context(place)?;
    }
    hold("Clocks", &rows)
}

async fn reading_rest_passes(bench: &Bench) -> Result<()> {
    let pass = "update odoo_sync.cursors set position = position || '{\"changes_ended\": 0}' where name = 'archive-batch:discovery'";
    Ok(bench.stage.owner.batch_execute(pass).await?)
}
