//! The recipe for signed downloads, run in Node as it stands: with supabase-js where it is installed, and else with
//! a stand-in that signs as it does.

use std::path::{Path, PathBuf};
use std::process::Stdio;

use anyhow::{Context, Result, ensure};
use docs_tests::Document;
use serde_json::{Value, json};
use stage::Stage;
use tokio::process::Command;
use world::odoo::{self, Attachments, EdgeCase, NewAttachment, OddName, Sizes};

/// Where `npm install --prefix target/npm @supabase/supabase-js@2` puts it.
const SUPABASE_JS: &str = "target/npm/node_modules/@supabase/supabase-js/dist/index.mjs";

/// The part of supabase-js that the recipe uses.
const STAND_IN: &str = r"
const createClient = (url, key) => ({ storage: { from: (bucket) => ({
  async createSignedUrl(path, expiresIn) {
    const answer = await fetch(`${url}/storage/v1/object/sign/${bucket}/${path}`, {
      method: 'POST', headers: { apikey: key, 'Content-Type': 'application/json' }, body: JSON.stringify({ expiresIn }),
    });
    return { data: { signedUrl: `${url}/storage/v1${(await answer.json()).signedURL}` } };
  },
}) } });";

/// Runs the recipe for each file; the `Content-Disposition` and the type that each download came with.
async fn names_of_downloads(stage: &Stage, files: &Value, client: &str) -> Result<Vec<String>> {
    let queries = Document::open("docs/queries.md")?;
    let mut blocks = queries.blocks();
    let (_, recipe) = blocks
        .find(|(_, block)| block.language == "js" && block.text.contains("createSignedUrl"))
        .context("docs/queries.md signs nothing")?;
    // Before version 22 Node has no WebSocket, without which supabase-js begins nothing.
    let script = format!(
        "{client}
const supabase = createClient({url}, 'service-role-key', {{ auth: {{ persistSession: false }}, realtime: {{ transport: class {{}} }} }});
for (const file of {files}) {{
  {}
  const answer = await fetch(address);
  console.log(answer.status, answer.headers.get('content-disposition'), answer.headers.get('content-type'));
}}",
        recipe.text,
        url = json!(stage.storage.url()),
    );
    let output = Command::new("node")
        .args(["--input-type=module", "--eval", &script])
        .stdin(Stdio::null())
        .kill_on_drop(true)
        .output()
        .await?;
    ensure!(
        output.status.success(),
        "{}",
        String::from_utf8_lossy(&output.stderr)
    );
    let told = String::from_utf8(output.stdout)?;
    Ok(told.lines().map(str::to_owned).collect())
}

#[tokio::test]
async fn a_signed_download_has_the_name_that_the_file_has_in_odoo() -> Result<()> {
    if std::process::Command::new("node")
        .arg("--version")
        .output()
        .is_err()
    {
        eprintln!("skipped: the recipe for signed downloads, since there is no node");
        return Ok(());
    }
    let odd = (1..).zip(OddName::ALL);
    let attachments = odd.fold(
        Attachments::of(8).sized(Sizes::Between(100, 2_000)),
        |files, (id, name)| files.with(id, EdgeCase::OddName(name)),
    );
    let odoo = odoo::Options {
        attachments,
        ..odoo::Options::default()
    };
    let stage = Stage::builder().odoo(odoo).start().await?;
    // What a browser would run if it were shown.
    for (name, mimetype) in [
        ("offer.html", "text/html; charset=utf-8"),
        ("logo.svg", "image/svg+xml"),
    ] {
        stage.odoo.attachments().insert(NewAttachment {
            name: Some(name.to_owned()),
            mimetype: Some(mimetype.to_owned()),
            content: Some(format!("<script>alert('{name}')</script>").into()),
            ..NewAttachment::default()
        });
    }
    let answer = stage.post("/archive-batch", "{}").await?;
    assert_eq!(answer.json()["migrated"], 10, "{}", answer.text());
    let files = stage
        .value("select jsonb_agg(jsonb_build_object('name', name, 'object_path', object_path, 'mimetype', mimetype) order by id) from public.odoo_attachments")
        .await?;
    let mut clients = vec![STAND_IN.to_owned()];
    let installed: PathBuf = stage::root().join(SUPABASE_JS);
    if Path::new(&installed).exists() {
        clients.push(format!(
            "import {{ createClient }} from {};",
            json!(installed)
        ));
    } else {
        eprintln!(
            "skipped: supabase-js itself; npm install --prefix target/npm @supabase/supabase-js@2 brings it"
        );
    }
    for client in clients {
        let told = names_of_downloads(&stage, &files, &client).await?;
        let expected: Vec<String> = files
            .as_array()
            .into_iter()
            .flatten()
            .filter_map(|file| Some((file["name"].as_str()?, file["mimetype"].as_str()?)))
            .map(|(name, mimetype)| {
                let runs = matches!(name.rsplit('.').next(), Some("html" | "svg"));
                let shown = if runs {
                    "application/octet-stream"
                } else {
                    mimetype
                };
                let name = encoded(name);
                format!("200 attachment; filename={name}; filename*=UTF-8''{name} {shown}")
            })
            .collect();
        assert_eq!(told, expected, "{client}");
    }
    Ok(())
}

/// As RFC 8187 has it.
fn encoded(name: &str) -> String {
    name.bytes()
        .map(|byte| match byte {
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'.' | b'_' | b'~' => {
                char::from(byte).to_string()
            }
            byte => format!("%{byte:02X}"),
        })
        .collect()
}
