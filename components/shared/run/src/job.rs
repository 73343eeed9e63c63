//! What is particular to a job.

use fault::Fault;
use ledger::Postgres;
use odoo::Known;
use outbound::{Clock, Http, Variables};

use crate::{Figures, Report, RequestError, Run};

/// What a component does when it is called.
pub trait Job: Sized + 'static {
    /// What a caller asks for.
    type Request;
    /// How to do it.
    type Settings;
    /// What a run did.
    type Figures: Figures;

    /// What a run is told that was given up as crashed before it ended.
    const LEASE_LOST: &'static str;

    /// Its name in the ledger.
    fn name(&self) -> &'static str;

    /// Reads the body of a call; an error names the key that is wrong.
    fn parse(&self, body: &[u8]) -> Result<Self::Request, RequestError>;

    /// Reads the settings; a fault names the variable.
    fn settings(
        &self,
        variables: &impl Variables,
    ) -> impl Future<Output = Result<Self::Settings, Fault>>;

    /// What a run needs to begin, also where the settings are unusable: that is how their fault gets into the log.
    fn plan(&self, request: &Self::Request, settings: Option<&Self::Settings>) -> Plan;

    /// Works until nothing is left or the time is up. `known` is what an earlier run learned of Odoo; it is
    /// brought up to date.
    fn work<H: Http, C: Clock, P: Postgres>(
        &self,
        run: &Run<Self, H, C, P>,
        settings: &Self::Settings,
        known: &mut Known,
        report: &mut Report<Self::Figures>,
    ) -> impl Future<Output = Result<(), Fault>>;
}

/// What a run needs to begin.
#[derive(Debug, Clone, Copy)]
pub struct Plan {
    /// What it is asked to do.
    pub mode: &'static str,
    /// For how long it may be silent before it counts as crashed, in seconds.
    pub lease_s: u32,
    /// How many runs of this job may work at once.
    pub slots: u32,
}
