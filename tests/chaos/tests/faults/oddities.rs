//! What is odd in Odoo itself: one file, one record, one field, one page. Everything else arrives, and the odd one is told.

use anyhow::{Result, ensure};
use chaos::{Job, UNSELECTED};
use serde_json::json;
use world::odoo::{Damage, EdgeCase, NewAttachment, Odoo};

use crate::bench::{Bench, Work};
use crate::table::{Row, hold};

/// An oddity, and how it is mended, if it has to be.
struct Oddity {
    place: &'static str,
    fault: &'static str,
    make: fn(&Odoo),
    mend: Option<fn(&Odoo)>,
    /// What is true before it is mended.
    holds: Option<&'static str>,
}

const fn oddity(
    place: &'static str,
    fault: &'static str,
    make: fn(&Odoo),
    mend: Option<fn(&Odoo)>,
) -> Oddity {
    Oddity {
        place,
        fault,
        make,
        mend,
        holds: None,
    }
}

impl Oddity {
    const fn seen_by(mut self, holds: &'static str) -> Self {
        self.holds = Some(holds);
        self
    }
}

fn newest(odoo: &Odoo) -> i64 {
    odoo.attachments().ids().last().copied().unwrap_or_default()
}

/// So long that a page of a thousand is longer than is taken.
const LONG_NAME: usize = 9_000;

const FILES: [Oddity; 5] = [
    oddity(
        "contents of small files",
        "one is lost from the filestore",
        |odoo| odoo.attachments().damage(newest(odoo), Some(Damage::Lost)),
        Some(|odoo| odoo.attachments().damage(newest(odoo), None)),
    ),
    oddity(
        "contents of small files",
        "all are lost from the filestore",
        |odoo| {
            for id in odoo.attachments().ids() {
                odoo.attachments().damage(id, Some(Damage::Lost));
            }
        },
        Some(|odoo| {
            for id in odoo.attachments().ids() {
                odoo.attachments().damage(id, None);
            }
        }),
    ),
    oddity(
        "upload",
        "its type is multipart/form-data, and so is its content",
        |odoo| {
            let part = "--xyz\r\nContent-Disposition: form-data; name=\"file\"; filename=\"a\"\r\n\r\nhello\r\n--xyz--\r\n";
            odoo.attachments().insert(NewAttachment {
                content: Some(part.as_bytes().into()),
                mimetype: Some("multipart/form-data; boundary=xyz".to_owned()),
                ..NewAttachment::default()
            });
        },
        None,
    ),
    oddity(
        "upload",
        "its type is no media type",
        |odoo| {
            odoo.attachments().insert(NewAttachment {
                size: Some(700),
                mimetype: Some("not a/mime type; x=\"y\"".to_owned()),
                ..NewAttachment::default()
            });
        },
        None,
    ),
    oddity(
        "list of attachments",
        "a page that is longer than is taken",
        |odoo| {
            for nth in 0..1_000 {
                odoo.attachments().insert(NewAttachment {
                    name: Some(format!("{nth} {}", "n".repeat(LONG_NAME))),
                    // So that none of them takes time to be moved.
                    edge_cases: vec![EdgeCase::Url],
                    ..NewAttachment::default()
                });
            }
        },
        None,
    ),
];

const LEADS: [Oddity; 5] = [
    oddity(
        "leads",
        "a number that is NaN",
        |odoo| {
            let leads = odoo.records("crm.lead");
            leads.add_field("x_budget", "float", None);
            leads.update(2, &json!({"x_budget": {"$raw": "NaN"}}));
        },
        Some(|odoo| {
            odoo.records("crm.lead")
                .update(2, &json!({"x_budget": 1.5}));
        }),
    ),
    oddity(
        "leads",
        "a field that makes every reading fail",
        |odoo| {
            let leads = odoo.records("crm.lead");
            leads.add_field("x_closed", "many2many", Some("res.partner"));
            leads.fail_field("x_closed", "No rights on hr.employee.");
        },
        Some(|odoo| odoo.records("crm.lead").mend_field("x_closed")),
    ),
    oddity(
        "leads",
        "a text of 6 MB",
        |odoo| {
            let leads = odoo.records("crm.lead");
            leads.add_field("x_story", "html", None);
            leads.update(3, &json!({"x_story": "x".repeat(6_000_000)}));
        },
        Some(|odoo| {
            odoo.records("crm.lead")
                .update(3, &json!({"x_story": "<p>x</p>"}));
        }),
    ),
    oddity(
        "leads",
        "one that cannot be read",
        |odoo| odoo.records("crm.lead").fail([4], true),
        Some(|odoo| odoo.records("crm.lead").fail([4], false)),
    ),
    oddity(
        "leads",
        "half of a surrogate pair in a name",
        |odoo| {
            let name = json!({"name": {"$raw": r#""Half \ud83d""#}});
            odoo.records("crm.lead").update(5, &name);
        },
        Some(|odoo| {
            let name = json!({"name": "Whole"});
            odoo.records("crm.lead").update(5, &name);
        }),
    )
    .seen_by("select name = 'Half \u{fffd}' from public.odoo_leads where id = 5"),
];

const MESSAGES: [Oddity; 4] = [
    oddity(
        "messages",
        "a text of 6 MB",
        |odoo| {
            let long = "y".repeat(6_000_000);
            odoo.records("mail.message")
                .update(2, &json!({ "body": long }));
        },
        Some(|odoo| {
            let short = json!({"body": "<p>y</p>"});
            odoo.records("mail.message").update(2, &short);
        }),
    ),
    oddity(
        "messages",
        "one that cannot be read",
        |odoo| odoo.records("mail.message").fail([3], true),
        Some(|odoo| odoo.records("mail.message").fail([3], false)),
    ),
    oddity(
        "messages",
        "half of a surrogate pair in a text",
        |odoo| {
            let half = json!({"body": {"$raw": r#""<p>half \ud83d</p>""#}});
            odoo.records("mail.message").update(4, &half);
        },
        Some(|odoo| {
            let whole = json!({"body": "<p>whole</p>"});
            odoo.records("mail.message").update(4, &whole);
        }),
    )
    .seen_by("select body_text = 'half \u{fffd}' from public.odoo_messages where id = 4"),
    oddity(
        "attachments of messages",
        "one that is not selected",
        |odoo| {
            let file = odoo.attachments().insert(NewAttachment {
                content: Some("not selected".into()),
                mimetype: Some(UNSELECTED.to_owned()),
                ..NewAttachment::default()
            });
            odoo.records("mail.message")
                .update(2, &json!({"attachment_ids": [file]}));
        },
        None,
    )
    .seen_by(
        "select state = 'skipped' and reason = 'not_selected' from public.odoo_attachments order by id desc limit 1",
    ),
];

async fn each(job: Job, oddities: &[Oddity]) -> Result<Vec<Row>> {
    let mut rows = Vec::new();
    for odd in oddities {
        let bench = Bench::with(job, 18, 120).await?;
        bench.work(Work::Small)?;
        (odd.make)(&bench.stage.odoo);
        let logged = bench.log_rows().await?;
        let answer = bench.call(bench.stage.caller()).await;
        let place = format!("{}, {}", job.name(), odd.place);
        rows.push(bench.tell((&place, odd.fault), answer, logged).await?);
        bench.nobody_holds_anything().await?;
        if job != Job::Archive {
            // What is mended behind a pass that was cut off is for the next one.
            bench.drain(bench.stage.caller()).await?;
        }
        if let Some(holds) = odd.holds {
            // Also when all that is known of was moved.
            bench.stage.post("/archive-batch", "{}").await?;
            let seen: Option<bool> = bench.stage.owner.query_one(holds, &[]).await?.try_get(0)?;
            ensure!(seen == Some(true), "{place}, {}: {holds}", odd.fault);
        }
        if let Some(mend) = odd.mend {
            mend(&bench.stage.odoo);
        }
        bench.done(bench.stage.caller()).await?;
    }
    Ok(rows)
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_odd_in_odoo() -> Result<()> {
    let (files, leads, messages) = tokio::try_join!(
        each(Job::Archive, &FILES),
        each(Job::Crm, &LEADS),
        each(Job::Chatter, &MESSAGES),
    )?;
    hold(
        "What is odd in Odoo itself",
        &[files, leads, messages].concat(),
    )
}
