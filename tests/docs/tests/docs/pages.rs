//! The recipes for pages, run in Chromium as they stand, with the real supabase-js: reading the tables, the search, and
//! the card with the token of its session, in a page, in React and in a frame.

use acceptance::card::{Browser, Chromium};
use acceptance::skipped;
use anyhow::{Context, Result};
use docs_tests::{Block, Document};
use serde_json::{Value, json};
use stage::{JWT_SECRET, Stage};

use crate::gateway::{Gateway, PASSWORD, PUBLISHABLE_KEY, installed};
use crate::queries::moved;
use crate::running::SYNC;

const SUPABASE_JS: &str = "@supabase/supabase-js/dist/umd/supabase.js";
const OF_REACT: [&str; 3] = [
    "react/umd/react.production.min.js",
    "react-dom/umd/react-dom.production.min.js",
    "@babel/standalone/babel.min.js",
];

/// What is there to look with: a browser, and these scripts. What is missing is said.
async fn chromium(test: &str, scripts: &[&str]) -> Result<Option<Chromium>> {
    if let Some(missing) = scripts.iter().find(|file| !installed(file).is_file()) {
        skipped(
            test,
            &format!("{missing} is not installed by npm in target/npm, as .ci/run does"),
        );
        return Ok(None);
    }
    let chromium = Chromium::start().await?;
    if chromium.is_none() {
        skipped(
            test,
            "there is no chromium with its chromedriver on the PATH",
        );
    }
    Ok(chromium)
}

/// A page with a client of supabase-js, as a recipe finds it.
fn page(scripts: &[&str], body: &str) -> String {
    let scripts: Vec<String> = scripts
        .iter()
        .map(|file| format!("<script src='/npm/{file}'></script>"))
        .collect();
    let scripts = scripts.concat();
    format!(
        "<!doctype html><title>Admin</title><script src='/npm/{SUPABASE_JS}'></script>{scripts}\
         <script>window.supabase = window.supabase.createClient(location.origin, '{PUBLISHABLE_KEY}')</script>{body}"
    )
}

/// A company that has moved, behind a gateway whose pages may ask the app and frame its card.
async fn company() -> Result<(Gateway, Stage)> {
    let gateway = Gateway::start().await?;
    let builder = Stage::builder()
        .variable("allowed_origins", gateway.origin())
        .variable("frame_ancestors", gateway.origin())
        .variable("jwt_secret", JWT_SECRET);
    let stage = moved(builder).await?;
    gateway.reads(&stage.database);
    for (email, admin) in [("admin@example.com", true), ("other@example.com", false)] {
        gateway.knows(email, &crate::queries::new_user(&stage, admin).await?);
    }
    Ok((gateway, stage))
}

async fn sign_in(browser: &Browser, email: &str) -> Result<()> {
    let signed_in = browser
        .run(&format!(
            "const {{ error }} = await supabase.auth.signInWithPassword({{ email: '{email}', password: '{PASSWORD}' }});
             return error"
        ))
        .await?;
    assert_eq!(signed_in, Value::Null);
    Ok(())
}

/// The recipes that read by supabase-js, and what an admin is to get of each.
const READ: [(&str, &str); 3] = [
    (
        "from(\"odoo_attachments\")",
        "select id, name, mimetype, file_size, object_path from public.odoo_attachments
          where res_model = 'crm.lead' and res_id = 42 and state = 'moved' and deleted_at is null order by create_date",
    ),
    (
        "from(\"odoo_pipeline\")",
        "select name, company, salesperson, stage, expected_revenue, tags from public.odoo_pipeline where status = 'open'
          order by expected_revenue desc nulls last limit 20",
    ),
    (
        "rpc(\"search_odoo_chatter\"",
        "select * from public.search_odoo_chatter('offer')",
    ),
];

/// What a recipe has in its `data`, when it is run in the page.
async fn data_of(browser: &Browser, block: &Block) -> Result<Value> {
    let (_, named) = block.text.split_once("const { data").context("no data")?;
    let (named, _) = named.split_once('}').context("no data")?;
    let name = named.trim_start_matches(':').trim();
    let name = if name.is_empty() { "data" } else { name };
    browser.run(&format!("{}\nreturn {name}", block.text)).await
}

#[tokio::test]
async fn the_recipes_of_supabase_js_read_in_a_page_what_an_admin_may_and_nobody_else() -> Result<()>
{
    let Some(chromium) = chromium("the recipes of supabase-js", &[SUPABASE_JS]).await? else {
        return Ok(());
    };
    let (gateway, stage) = company().await?;
    let address = gateway.page("/", page(&[], ""));
    let document = Document::open("docs/queries.md")?;
    // Signing is `signed`'s.
    let recipes: Vec<&Block> = document
        .blocks()
        .map(|(_, block)| block)
        .filter(|block| block.language == "js" && !block.text.contains("createSignedUrl"))
        .collect();
    assert_eq!(recipes.len(), READ.len());
    for who in [Some("admin@example.com"), Some("other@example.com"), None] {
        let browser = chromium.open().await?;
        browser.go(&address).await?;
        if let Some(email) = who {
            sign_in(&browser, email).await?;
        }
        for (recipe, (sign, rows)) in recipes.iter().zip(READ) {
            assert!(recipe.text.contains(sign), "{}", recipe.text);
            let data = data_of(&browser, recipe).await?;
            let expected = match who {
                Some("admin@example.com") => {
                    let rows = format!("select jsonb_agg(t) from ({rows}) t");
                    let rows = stage.value(&rows).await?;
                    assert!(
                        rows.as_array().is_some_and(|rows| !rows.is_empty()),
                        "{sign}"
                    );
                    rows
                }
                Some(_) => json!([]),
                None => Value::Null,
            };
            assert_eq!(plain(data), plain(expected), "{who:?}: {sign}");
        }
    }
    Ok(())
}

/// A value whose numbers are of one type: a browser writes 30000.0 as 30000.
fn plain(value: Value) -> Value {
    match value {
        Value::Number(number) => json!(number.as_f64()),
        Value::Array(values) => values.into_iter().map(plain).collect(),
        Value::Object(fields) => fields
            .into_iter()
            .map(|(name, value)| (name, plain(value)))
            .collect(),
        other => other,
    }
}

/// A block of `docs/card.md`, with the app's address in it.
fn of_card(stage: &Stage, section: &str) -> Result<String> {
    let document = Document::open("docs/card.md")?;
    let (_, block) = document
        .blocks()
        .find(|(found, _)| found.title == section)
        .with_context(|| format!("docs/card.md has no block under {section}"))?;
    assert!(block.text.contains(SYNC), "{section}");
    Ok(block.text.replace(SYNC, &stage.url()))
}

const SHOWS: &str = "root && /^[1-9]\\d* \\/ \\d+ migrated$/.test($('migrated').textContent)";
const SHOWS_NOTHING: &str = "root && $('state').textContent === 'No access'";

/// The card in a page as it stands there shows an admin how things are, once he has signed in, and others nothing.
async fn shows_the_admin(browser: &Browser, page: &str, frame: Option<&str>) -> Result<()> {
    for (email, shows) in [
        ("other@example.com", SHOWS_NOTHING),
        ("admin@example.com", SHOWS),
    ] {
        browser.go(page).await?;
        sign_in(browser, email).await?;
        // The session is kept by the page's storage.
        browser.go(page).await?;
        if let Some(frame) = frame {
            browser.enter_frame(frame).await?;
        }
        browser
            .until(shows)
            .await
            .with_context(|| format!("{email} at {page}"))?;
    }
    Ok(())
}

#[tokio::test]
async fn the_card_takes_the_token_of_supabase_js_in_a_page_in_react_and_in_a_frame() -> Result<()> {
    let scripts = [&[SUPABASE_JS][..], &OF_REACT].concat();
    let Some(chromium) = chromium("the card with supabase-js", &scripts).await? else {
        return Ok(());
    };
    let (gateway, stage) = company().await?;
    let browser = chromium.open().await?;

    let framed = gateway.page("/framed", page(&[], &of_card(&stage, "In a frame")?));
    shows_the_admin(&browser, &framed, Some("migration")).await?;

    let component = json!(of_card(&stage, "In React")?);
    let script = format!(
        "<div id=root></div><script>
           const {{ code }} = Babel.transform({component}, {{ presets: ['react'], plugins: ['transform-modules-commonjs'] }});
           const exports = {{}};
           new Function('require', 'exports', code)(() => React, exports);
           ReactDOM.createRoot(document.querySelector('#root')).render(React.createElement(exports.MigrationStatus, {{ supabase }}));
         </script>"
    );
    let in_react = gateway.page("/react", page(&OF_REACT, &script));
    shows_the_admin(&browser, &in_react, None).await?;

    let script = "<script>document.querySelector('odoo-migration-status').getToken =
        async () => (await supabase.auth.getSession()).data.session?.access_token;</script>";
    let in_page = of_card(&stage, "In a page")? + script;
    let in_page = gateway.page("/page", page(&[], &in_page));
    shows_the_admin(&browser, &in_page, None).await
}
