//! What will happen, and when: all of it follows from the seed.
//!
//! The moments, the places, the effects and the changes are the same in every run of a seed. How far
//! the program has come at such a moment is up to the machine, so two runs of a seed are alike, and
//! not the same to the byte.

use std::time::Duration;

use crate::app::Signal;
use crate::dice::Dice;
use crate::strike::{Effect, PLACES, Place, Side};

/// Something that happens.
#[derive(Debug, Clone, Copy)]
pub enum Action {
    /// A request at this place is struck: the n-th from now.
    Strike(&'static Place, Effect, u64),
    /// A server goes away, or comes back.
    Outage(Side, bool),
    /// Storage is full, or has room again.
    Full(bool),
    /// Postgres is restarted, as its operator would.
    RestartPostgres,
    /// Postgres ends without a word; unlogged tables are empty afterwards. Or it is started again.
    CrashPostgres(bool),
    /// All connections of the components are cut.
    CutConnections,
    /// Of all connections of the components nothing more comes, and nobody says that they are over.
    Silence,
    /// An app ends, or is started again.
    EndApp(usize, Signal),
    /// An app is started again.
    StartApp(usize),
    /// A component is called.
    Tick(Job, Way),
    /// Something changes in Odoo: what, and a number to choose by.
    Change(Change, u64),
    /// What waits for its time has waited long enough: a file's next attempt, the next reading of
    /// changes, the next sweep.
    TimePasses,
    /// All leases pass, also of those who are still at work.
    LeasesPass,
}

/// A component that works.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Job {
    /// `archive-batch`.
    Archive,
    /// `crm-sync`.
    Crm,
    /// `chatter-sync`.
    Chatter,
}

impl Job {
    /// All of them.
    pub const ALL: [Self; 3] = [Self::Archive, Self::Crm, Self::Chatter];

    /// Its name in the ledger.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Archive => "archive-batch",
            Self::Crm => "crm-sync",
            Self::Chatter => "chatter-sync",
        }
    }

    /// Where it is called.
    pub const fn path(self) -> &'static str {
        match self {
            Self::Archive => "/archive-batch",
            Self::Crm => "/crm-sync",
            Self::Chatter => "/chatter-sync",
        }
    }

    /// The job of `pg_cron` that calls it.
    pub const fn cron(self) -> &'static str {
        match self {
            Self::Archive => "archive-odoo-files-batch",
            Self::Crm => "odoo-crm-sync-incremental",
            Self::Chatter => "odoo-chatter-sync-hourly",
        }
    }
}

/// How a component is called.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Way {
    /// At this app, waiting for what comes of it.
    Waiting(usize),
    /// At this app, which answers at once.
    Async(usize),
    /// As in production: by the command of `pg_cron` and by `pg_net`.
    Net,
}

/// What changes in Odoo.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Change {
    /// New attachments.
    AddFiles,
    /// A new attachment that is committed late.
    AddLate,
    /// A new attachment, dated by a clock that is wrong.
    AddDatedWrong,
    /// Other content.
    RewriteFile,
    /// Another date only.
    TouchFile,
    /// A file is gone.
    DeleteFile,
    /// A new lead.
    AddLead,
    /// A lead changes.
    MoveLead,
    /// A lead changes by a transaction that began minutes ago.
    MoveLeadLate,
    /// A lead changes without another date.
    ScoreLead,
    /// A lead is gone.
    DeleteLead,
    /// A customer changes.
    EditPartner,
    /// Something is said.
    Say,
    /// What was said is edited.
    Edit,
    /// What was said is gone.
    Unsay,
    /// A new attachment that says it is a form, and is one.
    AddForm,
    /// A file is lost from the filestore, until all is healed.
    LoseFile,
    /// A lead has a number that is none, until all is healed.
    NoNumber,
    /// A lead has a text that is too long, until all is healed.
    TooLong,
    /// A lead cannot be read, until all is healed.
    Unreadable,
    /// A message cannot be read, until all is healed.
    UnreadableMessage,
    /// A lead has half of a surrogate pair in its name, until all is healed.
    HalfLetter,
    /// Something is said with a file that is not selected.
    SayUnselected,
}

const CHANGES: [Change; 26] = [
    Change::AddFiles,
    Change::AddFiles,
    Change::AddFiles,
    Change::AddFiles,
    Change::AddLate,
    Change::AddDatedWrong,
    Change::RewriteFile,
    Change::TouchFile,
    Change::DeleteFile,
    Change::AddLead,
    Change::MoveLead,
    Change::MoveLeadLate,
    Change::ScoreLead,
    Change::DeleteLead,
    Change::EditPartner,
    Change::Say,
    Change::Edit,
    Change::Unsay,
    Change::AddForm,
    Change::LoseFile,
    Change::NoNumber,
    Change::TooLong,
    Change::Unreadable,
    Change::UnreadableMessage,
    Change::HalfLetter,
    Change::SayUnselected,
];

/// A action and its moment.
#[derive(Debug, Clone, Copy)]
pub struct Event {
    /// When, from the beginning.
    pub at: Duration,
    /// What.
    pub action: Action,
}

/// Below this a run has no time for what takes a minute to be over.
const LONG: Duration = Duration::from_mins(2);

/// How many apps there are.
pub const APPS: usize = 2;

/// Everything that happens within `length`, in its order.
pub fn plan(seed: u64, length: Duration) -> Vec<Event> {
    let mut dice = Dice::new(seed);
    let mut events = Vec::new();
    let long = length >= LONG;
    often(&mut dice, length, (100, 400), |dice, at| {
        let job = match dice.throw(5) {
            0 => Job::Crm,
            1 => Job::Chatter,
            _ => Job::Archive,
        };
        let app = usize::try_from(dice.throw(APPS as u64)).unwrap_or_default();
        let way = match dice.throw(5) {
            0 => Way::Async(app),
            1 => Way::Net,
            _ => Way::Waiting(app),
        };
        events.push(Event {
            at,
            action: Action::Tick(job, way),
        });
    });
    often(&mut dice, length, (100, 300), |dice, at| {
        if let Some(action) = strike(dice, long) {
            events.push(Event { at, action });
        }
    });
    often(&mut dice, length, (50, 350), |dice, at| {
        if let Some(change) = dice.one_of(&CHANGES) {
            events.push(Event {
                at,
                action: Action::Change(*change, dice.throw(u64::MAX)),
            });
        }
    });
    let calm = if long { (3_000, 9_000) } else { (1_500, 3_500) };
    often(&mut dice, length, calm, |dice, at| {
        upheaval(dice, at, long, &mut events);
    });
    if !long {
        // There is no time to wait for the leases of who was killed.
        often(&mut dice, length, (1_500, 3_000), |_, at| {
            events.push(Event {
                at,
                action: Action::LeasesPass,
            });
        });
    }
    let rest = if long {
        (8_000, 15_000)
    } else {
        (1_500, 3_000)
    };
    often(&mut dice, length, rest, |_, at| {
        events.push(Event {
            at,
            action: Action::TimePasses,
        });
    });
    events.sort_by_key(|event| event.at);
    events
}

/// Does something now and then, with so many milliseconds between.
fn often(
    dice: &mut Dice,
    length: Duration,
    (least_ms, most_ms): (u64, u64),
    mut action: impl FnMut(&mut Dice, Duration),
) {
    let mut at = Duration::ZERO;
    loop {
        at += Duration::from_millis(dice.within(least_ms, most_ms));
        if at >= length {
            return;
        }
        action(dice, at);
    }
}

fn strike(dice: &mut Dice, long: bool) -> Option<Action> {
    let place = dice.one_of(PLACES)?;
    let effect = *dice.one_of(place.effects)?;
    let nth = dice.within(1, if long { 4 } else { 2 });
    // What takes long holds everything up: seldom, and only where there is time.
    let rare = effect.takes_long() && (!long || dice.throw(12) > 0);
    (!rare).then_some(Action::Strike(place, effect, nth))
}

fn upheaval(dice: &mut Dice, at: Duration, long: bool, events: &mut Vec<Event>) {
    let mut push = |at, action| events.push(Event { at, action });
    let away = Duration::from_millis(if long {
        dice.within(300, 8_000)
    } else {
        dice.within(200, 800)
    });
    let back = at + away;
    let app = usize::try_from(dice.throw(APPS as u64)).unwrap_or_default();
    match dice.throw(12) {
        0 => {
            push(at, Action::Outage(Side::Odoo, true));
            push(back, Action::Outage(Side::Odoo, false));
        }
        1 => {
            push(at, Action::Outage(Side::Storage, true));
            push(back, Action::Outage(Side::Storage, false));
        }
        2 => {
            push(at, Action::Full(true));
            push(back, Action::Full(false));
        }
        3 | 4 => push(at, Action::RestartPostgres),
        5 => {
            push(at, Action::CrashPostgres(true));
            push(back, Action::CrashPostgres(false));
        }
        6 | 7 => push(at, Action::CutConnections),
        8 | 9 => {
            push(at, Action::EndApp(app, Signal::Kill));
            push(back, Action::StartApp(app));
        }
        // It takes half a minute until that is known: seldom, and only where there is time.
        10 if long && dice.throw(4) == 0 => push(at, Action::Silence),
        _ => {
            push(at, Action::EndApp(app, Signal::Term));
            push(back, Action::StartApp(app));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_seed_is_a_plan_and_another_seed_another() {
        let told = |seed| format!("{:?}", plan(seed, Duration::from_mins(1)));
        assert_eq!(told(7), told(7));
        assert_ne!(told(7), told(8));
    }

    /// A run can be run again, by its seed: whoever draws something else says so in README.md.
    #[test]
    fn the_plan_of_a_seed_is_the_same_as_it_was() {
        assert_eq!(plan(20_261_122, Duration::from_mins(15)).len(), 12_532);
    }

    #[test]
    fn all_that_can_happen_happens_within_a_quarter_of_an_hour() {
        let told = format!("{:?}", plan(7, Duration::from_mins(15)));
        for change in CHANGES {
            assert!(told.contains(&format!("{change:?}")), "{change:?}");
        }
        for place in PLACES {
            for effect in place.effects {
                let strike = format!("name: \"{}\"", place.name);
                assert!(
                    told.contains(&strike) && told.contains(&format!("{effect:?}")),
                    "{place:?} {effect:?}"
                );
            }
        }
        for upheaval in [
            "Outage(Odoo",
            "Outage(Storage",
            "Full",
            "RestartPostgres",
            "CrashPostgres",
            "CutConnections",
            "Silence",
            "Kill",
            "Term",
        ] {
            assert!(told.contains(upheaval), "{upheaval}");
        }
    }
}
