//! What a final check keeps of a verification, and what it asks beyond it: what no list of Odoo's shows.

use fault::Fault;
use ledger::Postgres;
use ledger::check::{Finding, keep};
use odoo::attachment::Window;
use odoo::presence;
use outbound::{Clock, Http};

use super::{IDS, MODEL, Position, Verification};

/// How many ids that a list skips are asked for in one step.
const MOST_GAPS: usize = 5 * presence::BLOCK;

impl<H: Http, C: Clock, P: Postgres> Verification<'_, H, C, P> {
    /// Goes on with asking for the ids that the list of all that the user may see skips; whether that came to its end.
    pub(super) async fn look_into_gaps(&self, position: &mut Position) -> Result<bool, Fault> {
        let window = Window {
            after_id: position.asked_to,
            ..Window::default()
        };
        let mut ids = self.odoo.visible_attachment_ids(window, IDS).await?;
        let is_last = ids.len() < IDS;
        let last = ids.last().copied().unwrap_or(position.asked_to);
        if position.calls == 0 {
            // Nothing more is asked for; how much that would be is told.
            let skipped = (last - position.asked_to).unsigned_abs();
            position.verified.ids_not_asked_for += skipped.saturating_sub(ids.len() as u64);
            position.visible += ids.len() as u64;
            position.asked_to = last;
            return Ok(is_last);
        }
        let (skipped, end) = presence::gaps(position.asked_to, &ids, is_last, MOST_GAPS);
        let found = self
            .odoo
            .presence(MODEL, &skipped, &mut position.calls)
            .await?;
        ids.retain(|id| *id <= end);
        position.visible += ids.len() as u64;
        position.asked_to = end;
        let verified = &mut position.verified;
        verified.hidden += found.hidden.len() as u64;
        verified.ids_not_asked_for += found.unasked.len() as u64;
        let beyond = found
            .hidden
            .iter()
            .chain(&found.readable)
            .any(|id| *id > last);
        let findings = found.hidden.into_iter().map(|id| {
            let said = format!("{MODEL} {id} exists, and the Odoo user may not read it");
            Finding::new("hidden", id, said)
        });
        verified.findings.extend(findings);
        Ok(is_last && !beyond && end >= last && skipped.len() < MOST_GAPS)
    }

    /// Keeps what was found for the final check, if it is done for one.
    pub(super) async fn tell(&self, position: &mut Position) -> Result<(), Fault> {
        let Some(check) = self.check else {
            position.verified.findings.clear();
            return Ok(());
        };
        let mut findings = std::mem::take(&mut position.verified.findings);
        let verified = &position.verified;
        let complete = verified.complete;
        if complete {
            findings.extend(verified.of_the_whole(self.settings.max_deleted_share));
        }
        let outside = complete.then(|| position.visible.saturating_sub(verified.listed));
        let evidence = verified.evidence(outside);
        let anew = !std::mem::replace(&mut position.told, true);
        let done = complete && !position.begins_anew();
        keep(
            self.postgres,
            self.run_id,
            check,
            "attachments",
            (&evidence, done),
            (&findings, anew),
        )
        .await
    }
}
