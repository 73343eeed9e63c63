//! Decides about a field without a column: it goes into `custom`, or is left out for a stated reason.

use odoo::records::FieldInfo;
use serde::Serialize;

use crate::Kind;

/// The prefix of fields that users created in Odoo: none of these is taken for technical.
const OWN: &str = "x_";

/// Fields that are useless without Odoo, or copied elsewhere. Kept short: docs/limits.md has the same list.
const TECHNICAL: &[&str] = &[
    // Changes whenever its user looks at the calendar.
    "calendar_last_notif_ack",
    // What users follow and star in Odoo's own chat.
    "channel_ids",
    "starred_message_ids",
    "starred_partner_ids",
    // The same contacts as in `notifications`.
    "notified_partner_ids",
];

/// Parts of the names of fields that hold credentials.
const SECRET: &[&str] = &[
    "token",
    "password",
    "secret",
    "api_key",
    "access_key",
    "private_key",
];

/// Why a field is not copied.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Reason {
    /// Odoo computes it on each read: one such field can cost more than all others.
    NotStored,
    /// It lists records that point here, and the link is copied with these.
    OneToMany,
    /// A file, which the archive moves if `archive_fields` names it.
    File,
    /// It gives access to something.
    Secret,
    /// It is useless without Odoo, or copied elsewhere.
    Technical,
    /// Its type is unknown, or its name is taken by a column that is made here.
    Type,
}

impl Reason {
    /// Whether leaving the field out loses something that is nowhere else in Postgres.
    pub(crate) fn loses(self, field: &str) -> bool {
        !matches!(self, Self::NotStored | Self::OneToMany) || field.starts_with(OWN)
    }

    /// The reason in words.
    pub(crate) const fn words(self) -> &'static str {
        match self {
            Self::NotStored => "computed at each reading",
            Self::OneToMany => "kept with the records that it lists",
            Self::File => "a file: the archive takes it where archive_fields has its name",
            Self::Secret => "a secret",
            Self::Technical => "worth nothing without Odoo, or copied elsewhere",
            Self::Type => "of a type that is not copied here",
        }
    }
}

/// The kind of a field that goes into `custom`, or the reason to leave it out.
pub(crate) fn of(name: &str, info: &FieldInfo) -> Result<Kind, Reason> {
    if !info.store {
        return Err(Reason::NotStored);
    }
    if matches!(info.kind.as_str(), "binary" | "image") {
        return Err(Reason::File);
    }
    let kind = Kind::of_type(&info.kind).ok_or(Reason::Type)?;
    if name.starts_with(OWN) {
        return Ok(kind);
    }
    if info.kind == "one2many" {
        return Err(Reason::OneToMany);
    }
    if SECRET.iter().any(|part| name.contains(part)) {
        return Err(Reason::Secret);
    }
    if TECHNICAL.contains(&name) {
        return Err(Reason::Technical);
    }
    Ok(kind)
}
