//! What a final check adds to a verification: ids that no list of Odoo shows, and storing what was found.

use fault::Fault;
use ledger::Postgres;
use ledger::check::{Finding, keep};
use odoo::attachment::Window;
use odoo::presence;
use outbound::{Clock, Http};

use super::{IDS, MODEL, Position, Verification};

/// How many ids missing from the list one step asks for.
const MOST_GAPS: usize = 5 * presence::BLOCK;

impl<H: Http, C: Clock, P: Postgres> Verification<'_, H, C, P> {
    /// Asks for ids missing from the list of all that the user may see. Returns whether the list is finished.
    pub(super) async fn look_into_gaps(&self, position: &mut Position) -> Result<bool, Fault> {
        let window = Window {
            after_id: position.asked_to,
            ..Window::default()
        };
        let mut ids = self.odoo.visible_attachment_ids(window, IDS).await?;
        let is_last = ids.len() < IDS;
        let last = ids.last().copied().unwrap_or(position.asked_to);
        if position.calls == 0 {
            // No calls are left: count the ids that are not asked for.
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

    /// Stores what was found, if a final check is under way.
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
