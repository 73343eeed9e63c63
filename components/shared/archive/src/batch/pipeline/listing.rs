//! Reads Odoo's list: discovery first; when it rests, the sweep for deleted attachments.

use std::time::Duration;

use fault::Fault;
use futures::FutureExt;
use ledger::Postgres;
use ledger::attachments::Catalogued;
use outbound::{Clock, Http};

use super::{Context, Event, Tasks};
use crate::discovery::Discovery;
use crate::sweep::Sweep;

pub(super) struct Listing {
    /// `None` while a step is under way, or if not requested.
    pub(super) discovery: Option<Discovery>,
    /// `None` while a step is under way, if not requested, or if this batch may not continue it.
    pub(super) sweep: Option<Sweep>,
    pub(super) under_way: bool,
    /// The listing failed although Odoo is reachable: files already known are moved all the same.
    pub(super) fault: Option<Fault>,
    pub(super) found: Catalogued,
    /// The monotonic clock and the Unix time when the batch began.
    began: (Duration, i64),
}

impl Listing {
    pub(super) fn new(readings: Option<(Discovery, Sweep)>, now: Duration, now_s: i64) -> Self {
        let (discovery, sweep) = readings.unzip();
        Self {
            discovery,
            sweep,
            under_way: false,
            fault: None,
            found: Catalogued::default(),
            began: (now, now_s),
        }
    }

    pub(super) fn begin<'a, H: Http, C: Clock, P: Postgres>(
        &mut self,
        context: &'a Context<'a, H, C, P>,
        tasks: &mut Tasks<'a>,
        now: Duration,
    ) {
        if self.under_way || self.fault.is_some() {
            return;
        }
        let now_s = self.unix_seconds(now);
        let Context {
            odoo,
            postgres,
            run_id,
            settings,
            ..
        } = *context;
        if let Some(mut reading) = self.discovery.take_if(|reading| reading.due(now_s)) {
            self.under_way = true;
            tasks.push(
                async move {
                    let result = reading.step(odoo, postgres, run_id, settings, now_s).await;
                    Event::Discovered(reading, result)
                }
                .boxed_local(),
            );
        } else if let Some(mut sweep) = self.sweep.take_if(|sweep| sweep.due(now_s)) {
            self.under_way = true;
            tasks.push(
                async move {
                    let result = sweep.step(odoo, postgres, run_id, settings, now_s).await;
                    Event::Swept(sweep, result)
                }
                .boxed_local(),
            );
        }
    }

    /// The Unix time, computed, as asking for it costs a host call per turn.
    fn unix_seconds(&self, now: Duration) -> i64 {
        let (then, then_s) = self.began;
        let since_s = now.saturating_sub(then).as_secs();
        then_s.saturating_add_unsigned(since_s)
    }
}
