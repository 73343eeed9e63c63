//! The plan, carried out.

use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use http::Method;
use stage::{Caller, SERVICE_KEY};
use tokio::task::JoinSet;
use world::faults::{FaultId, Faults};

use crate::changes::Changes;
use crate::plan::{Action, Event, Job, Way};
use crate::scene::Scene;
use crate::strike::Side;
use crate::tally::Tally;

/// A fault of a request that is set, and for how long it waits for one at most.
struct Armed {
    side: Side,
    id: FaultId,
    name: String,
    since: Instant,
}

/// A fault that found no request by then is lifted.
const FORGOTTEN: Duration = Duration::from_secs(20);

/// The plan, being carried out.
pub struct Execution<'a> {
    scene: &'a mut Scene,
    /// What is changed in Odoo.
    pub changes: Changes,
    /// Faults that struck, by their names.
    pub faults: Tally,
    /// Calls, by what came of them.
    pub ticks: Tally,
    armed: Vec<Armed>,
    calls: JoinSet<String>,
}

impl<'a> Execution<'a> {
    /// Nothing has happened yet.
    pub fn begin(scene: &'a mut Scene) -> Self {
        Self {
            changes: Changes::begin(&scene.odoo),
            scene,
            faults: Tally::default(),
            ticks: Tally::default(),
            armed: Vec::new(),
            calls: JoinSet::new(),
        }
    }

    /// Does everything at its moment; `told` hears of it now and then.
    pub async fn run(
        &mut self,
        plan: &[Event],
        mut told: impl FnMut(&Self, Duration),
    ) -> Result<()> {
        let begun = Instant::now();
        for event in plan {
            tokio::time::sleep_until((begun + event.at).into()).await;
            self.collect();
            self.execute(event.action)
                .await
                .with_context(|| format!("at {:?}: {:?}", event.at, event.action))?;
            told(self, event.at);
        }
        Ok(())
    }

    /// Ends all trouble: servers are up, faults are lifted, apps run, transactions are committed.
    pub async fn heal(&mut self) -> Result<()> {
        self.collect();
        self.scene.odoo.faults().clear();
        self.scene.storage.faults().clear();
        self.scene.odoo.restart().await?;
        self.scene.storage.restart().await?;
        self.scene.storage.set_quota(None);
        self.scene.start_postgres().await?;
        for app in &mut self.scene.apps {
            app.up().await?;
        }
        self.changes.commit(&self.scene.odoo, Duration::ZERO);
        self.changes.mend(&self.scene.odoo);
        while let Some(call) = self.calls.join_next().await {
            self.ticks.add(call?, 1);
        }
        Ok(())
    }

    fn faults_of(scene: &Scene, side: Side) -> &Faults {
        match side {
            Side::Odoo => scene.odoo.faults(),
            Side::Storage => scene.storage.faults(),
        }
    }

    /// Counts the faults that struck, and the calls that ended.
    fn collect(&mut self) {
        let scene = &*self.scene;
        let faults = &mut self.faults;
        self.armed.retain(|armed| {
            let of_side = Self::faults_of(scene, armed.side);
            let struck = of_side.struck(armed.id);
            faults.add(armed.name.clone(), struck);
            let over = struck > 0 || armed.since.elapsed() > FORGOTTEN;
            if over {
                of_side.remove(armed.id);
            }
            !over
        });
        while let Some(call) = self.calls.try_join_next() {
            self.ticks
                .add(call.unwrap_or_else(|error| error.to_string()), 1);
        }
    }

    async fn execute(&mut self, action: Action) -> Result<()> {
        match action {
            Action::Strike(place, effect, nth) => {
                let fault = place.requests.trigger().nth(nth).does(effect.what());
                self.armed.push(Armed {
                    side: place.side,
                    id: Self::faults_of(self.scene, place.side).add(fault),
                    name: format!("{}: {}", place.side.name(), effect.name()),
                    since: Instant::now(),
                });
            }
            Action::Outage(side, true) => {
                match side {
                    Side::Odoo => self.scene.odoo.stop().await,
                    Side::Storage => self.scene.storage.stop().await,
                }
                self.faults.add(format!("{}: refused", side.name()), 1);
            }
            Action::Outage(Side::Odoo, false) => self.scene.odoo.restart().await?,
            Action::Outage(Side::Storage, false) => self.scene.storage.restart().await?,
            Action::Full(true) => {
                // What is there stays; nothing more fits in.
                self.scene
                    .storage
                    .set_quota(Some(self.scene.storage.used_bytes()));
                self.faults.add("Storage: quota used up", 1);
            }
            Action::Full(false) => self.scene.storage.set_quota(None),
            Action::RestartPostgres => {
                if self.scene.restart_postgres().await? {
                    self.faults.add("Postgres: restarted", 1);
                }
            }
            Action::CrashPostgres(true) => {
                if self.scene.crash_postgres().await? {
                    self.faults
                        .add("Postgres: crashed, unlogged tables emptied", 1);
                }
            }
            Action::CrashPostgres(false) => self.scene.start_postgres().await?,
            Action::CutConnections => self.cut_connections().await?,
            Action::Silence => {
                self.scene.wire.silence();
                self.faults.add("Postgres: all connections fall silent", 1);
            }
            Action::EndApp(which, signal) => {
                if let Some(app) = self.scene.apps.get_mut(which)
                    && app.is_up()
                {
                    app.down(signal).await?;
                    self.faults.add(format!("app: {}", signal.name()), 1);
                }
            }
            Action::StartApp(which) => {
                if let Some(app) = self.scene.apps.get_mut(which) {
                    app.up().await?;
                }
            }
            Action::Tick(job, Way::Net) => {
                // The clock of a database that is away does not tick.
                if self.scene.supabase.tick(job.cron()).await.is_ok() {
                    self.ticks.add("by pg_net", 1);
                }
            }
            Action::Tick(job, Way::Waiting(app)) => self.tick(job, app, false),
            Action::Tick(job, Way::Async(app)) => self.tick(job, app, true),
            Action::Change(change, number) => self.changes.make(&self.scene.odoo, change, number),
            Action::TimePasses => self.scene.time_passes().await?,
            Action::LeasesPass => {
                self.scene.leases_pass().await?;
                self.faults.add("ledger: all leases pass at once", 1);
            }
        }
        Ok(())
    }

    fn tick(&mut self, job: Job, app: usize, respond_async: bool) {
        if let Some(app) = self.scene.apps.get(app) {
            let caller = app.caller();
            self.calls.spawn(call(caller, job, respond_async));
        }
    }

    async fn cut_connections(&mut self) -> Result<()> {
        let Ok(superuser) = self.scene.database.connect_as_superuser().await else {
            return Ok(());
        };
        let cut = superuser
            .query_one(
                "select count(*) from (select pg_terminate_backend(pid) from pg_stat_activity
                  where usename = 'odoo_sync' and datname = current_database()) cut",
                &[],
            )
            .await;
        if let Ok(cut) = cut {
            let cut: i64 = cut.try_get(0)?;
            self.faults
                .add("Postgres: connection cut", u64::try_from(cut)?);
        }
        Ok(())
    }
}

/// Calls a component; what came of it, in a word.
async fn call(caller: Caller, job: Job, respond_async: bool) -> String {
    let authorization = format!("Bearer {SERVICE_KEY}");
    let mut headers = vec![("authorization", authorization.as_str())];
    if respond_async {
        headers.push(("prefer", "respond-async"));
    }
    let body = match job {
        // As its job in production.
        Job::Chatter => r#"{"mode": "missing"}"#,
        Job::Archive | Job::Crm => "{}",
    };
    match caller.send(Method::POST, job.path(), &headers, body).await {
        Err(_) => "no answer".to_owned(),
        Ok(answer) => match answer
            .json()
            .get("status")
            .and_then(|status| status.as_str())
        {
            Some(status) => status.to_owned(),
            None => format!("{}", answer.status),
        },
    }
}
