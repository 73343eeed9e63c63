//! What differs between jobs.

use fault::Fault;
use ledger::Postgres;
use odoo::Known;
use outbound::{Clock, Http, Variables};

use crate::{Figures, Report, RequestError, Run};

/// The work of a component.
pub trait Job: Sized + 'static {
    /// The parsed body of a call.
    type Request;
    /// The job's settings.
    type Settings;
    /// What a run did.
    type Figures: Figures;

    /// Message for a run that was given up as crashed before it ended.
    const LEASE_LOST: &'static str;

    /// The job's name in the ledger.
    fn name(&self) -> &'static str;

    /// Reads the body of a call; an error names the key that is wrong.
    fn parse(&self, body: &[u8]) -> Result<Self::Request, RequestError>;

    /// Reads the settings; a fault names the variable.
    fn settings(
        &self,
        variables: &impl Variables,
    ) -> impl Future<Output = Result<Self::Settings, Fault>>;

    /// The plan of a run. It is needed even if the settings are unusable, because only a run gets their fault
    /// into the log.
    fn plan(&self, request: &Self::Request, settings: Option<&Self::Settings>) -> Plan;

    /// Works until nothing is left or the time is up. `known` caches what earlier runs learned of Odoo, and
    /// is updated.
    fn work<H: Http, C: Clock, P: Postgres>(
        &self,
        run: &Run<Self, H, C, P>,
        settings: &Self::Settings,
        known: &mut Known,
        report: &mut Report<Self::Figures>,
    ) -> impl Future<Output = Result<(), Fault>>;
}

/// The plan of a run: what it asks a slot for.
#[derive(Debug, Clone, Copy)]
pub struct Plan {
    /// The run's mode.
    pub mode: &'static str,
    /// Length of its lease in seconds: a run that is silent for longer counts as crashed.
    pub lease_s: u32,
    /// How many runs of this job may work at once.
    pub slots: u32,
}
