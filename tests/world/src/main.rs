//! The simulated Odoo and Storage, for use by hand: `cargo run -p world -- --help`.

use std::path::PathBuf;

use anyhow::{Context, bail};
use world::odoo::{Attachments, EdgeCaseMix, Odoo};
use world::storage::{KeepBytes, Storage};

const HELP: &str = "\
A simulated Odoo and a simulated Supabase Storage, on loopback, until Ctrl-C.

  --odoo-version N     14 to 19 (18)
  --odoo-port N        (8069)
  --storage-port N     (5000)
  --attachments N      how many there are (2000)
  --leads N            how many leads there are (0)
  --edge-cases KIND         none, harmless or all (harmless)
  --latency-ms N       how long each answer takes at least (0)
  --keep-dir DIR       keep the objects' bytes here; otherwise only small ones, in memory

Both take orders under /_world/: GET counters, faults, log; POST and DELETE faults; PUT latency.
  curl -X POST localhost:8069/_world/faults -d '{\"path\": \"/web/content\", \"nth\": 3, \"what\": {\"truncate\": 1000}}'
";

struct Settings {
    odoo: world::odoo::Options,
    storage: world::storage::Options,
    leads: u32,
}

fn settings(mut arguments: impl Iterator<Item = String>) -> anyhow::Result<Option<Settings>> {
    let mut odoo = world::odoo::Options {
        port: Some(8069),
        ..Default::default()
    };
    let mut storage = world::storage::Options {
        port: Some(5000),
        ..Default::default()
    };
    let mut leads = 0;
    odoo.attachments = Attachments::realistic(2_000);
    while let Some(argument) = arguments.next() {
        if argument == "--help" {
            return Ok(None);
        }
        let value = arguments
            .next()
            .with_context(|| format!("{argument} wants a value; see --help"))?;
        let number = || {
            value
                .parse::<u64>()
                .with_context(|| format!("{argument} wants a number, not {value}"))
        };
        let port = || {
            value
                .parse::<u16>()
                .with_context(|| format!("{argument} wants a port, not {value}"))
        };
        match argument.as_str() {
            "--odoo-version" => odoo.version = u8::try_from(number()?)?,
            "--odoo-port" => odoo.port = Some(port()?),
            "--storage-port" => storage.port = Some(port()?),
            "--attachments" => odoo.attachments.count = number()?,
            "--leads" => leads = u32::try_from(number()?)?,
            "--edge-cases" => {
                odoo.attachments.edge_case_mix = match value.as_str() {
                    "none" => EdgeCaseMix::none(),
                    "harmless" => EdgeCaseMix::harmless(),
                    "all" => EdgeCaseMix::all(),
                    other => bail!("--edge-cases is none, harmless or all, not {other}"),
                }
            }
            "--latency-ms" => (odoo.latency_ms, storage.latency_ms) = (number()?, number()?),
            "--keep-dir" => storage.keep_bytes = KeepBytes::Dir(PathBuf::from(value)),
            other => bail!("{other} is not known; see --help"),
        }
    }
    Ok(Some(Settings {
        odoo,
        storage,
        leads,
    }))
}

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    let Some(settings) = settings(std::env::args().skip(1))? else {
        print!("{HELP}");
        return Ok(());
    };
    let (version, database) = (settings.odoo.version, settings.odoo.database.clone());
    let odoo = Odoo::start(settings.odoo)
        .await
        .context("the Odoo did not start; is its port taken?")?;
    odoo.fill_pipeline(settings.leads);
    let prefix = settings.storage.prefix.clone();
    let storage = Storage::start(settings.storage)
        .await
        .context("Storage did not start; is its port taken?")?;
    println!(
        "Odoo {version}  {}  database {database}, admin/admin, key admin-api-key",
        odoo.url()
    );
    println!(
        "Storage  {}{prefix}  bucket odoo-archive, key service-role-key",
        storage.url()
    );
    tokio::signal::ctrl_c().await?;
    Ok(())
}
