//! The whole program under random faults: archive, pipeline and chatter, called by two apps at once on
//! one Postgres, while requests, servers, processes and Odoo's data are tampered with. Then the world
//! is healed, what is left is drained, and every object and every row is compared with Odoo.
//!
//! ```no_run
//! # async fn example() -> anyhow::Result<()> {
//! use std::time::Duration;
//! use chaos::{Leases, Order, Size, run, this_program};
//!
//! let order = Order {
//!     seed: 7,
//!     length: Duration::from_mins(15),
//!     size: Size { attachments: 3000, leads: 400 },
//!     leases: Leases::InTime,
//! };
//! let summary = run(&this_program()?, &order, |line| println!("{line}")).await?;
//! assert!(summary.good());
//! # Ok(()) }
//! ```

mod app;
mod changes;
mod comparison;
mod dice;
mod drain;
mod execution;
mod plan;
mod scene;
mod strike;
mod summary;
mod tally;

use std::path::Path;
use std::time::{Duration, Instant};

use anyhow::Result;

pub use app::{App, Signal, serve};
pub use changes::UNSELECTED;
pub use comparison::{Comparison, Sides, WITNESS};
pub use drain::Leases;
pub use plan::{Action, Event, Job, plan};
pub use scene::{Size, this_program};
pub use strike::{Effect, Requests};
pub use summary::Summary;
pub use tally::Tally;

use execution::Execution;
use scene::Scene;

/// What to do.
#[derive(Debug, Clone)]
pub struct Order {
    /// What everything follows from.
    pub seed: u64,
    /// How long there is trouble.
    pub length: Duration,
    /// How large everything is.
    pub size: Size,
    /// How the leases of what was cut off pass, once it is over.
    pub leases: Leases,
}

/// How often it is told how far it is.
const TELL_EVERY: Duration = Duration::from_secs(15);

/// Does it; `told` hears how far it is. `program` is the `chaos` binary.
pub async fn run(program: &Path, order: &Order, told: impl Fn(&str)) -> Result<Summary> {
    let plan = plan::plan(order.seed, order.length);
    let mut scene = Scene::set(program, &order.size).await?;
    told(&format!("seed {}, {} events", order.seed, plan.len()));
    let (faults, ticks, changes, contents) = {
        let mut execution = Execution::begin(&mut scene);
        let mut next = TELL_EVERY;
        execution
            .run(&plan, |so_far, at| {
                if at >= next {
                    next += TELL_EVERY;
                    told(&format!(
                        "{:>5} s  {:>5} faults  {:>5} calls ended  {:>5} changes",
                        at.as_secs(),
                        so_far.faults.total(),
                        so_far.ticks.total(),
                        so_far.changes.made,
                    ));
                }
            })
            .await?;
        told("healing");
        execution.heal().await?;
        (
            execution.faults,
            execution.ticks,
            execution.changes.made,
            execution.changes.contents,
        )
    };
    let healed = Instant::now();
    drain::drain(&scene, order.leases).await?;
    let drained = healed.elapsed();
    told("comparing");
    let owner = scene.owner().await?;
    let sides = Sides {
        owner: &owner,
        odoo: &scene.odoo,
        storage: &scene.storage,
        jobs: &Job::ALL,
    };
    let mut comparison = sides.compare(Some(&contents)).await?;
    if comparison.read != comparison.files {
        let (read, files) = (comparison.read, comparison.files);
        comparison.differs(format!("the bytes of {read} of {files} files were read"));
    }
    for app in &scene.apps {
        comparison::what_people_see(&app.caller(), &mut comparison).await?;
        comparison::panics_and_secrets(&app.lines(), &mut comparison);
    }
    let batches = scene
        .value(
            "select coalesce(jsonb_object_agg(k, n), '{}') from (
               select job || ' ' || outcome as k, count(*) as n from odoo_sync.runs group by 1) r",
        )
        .await?;
    Ok(Summary {
        seed: order.seed,
        length: order.length,
        drained,
        faults,
        ticks,
        changes,
        runs: batches,
        comparison,
    })
}
