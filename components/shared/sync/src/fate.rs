//! What becomes of a field that no column takes: it goes into `custom`, or it is left out for a reason that is told.

use odoo::records::FieldInfo;
use serde::Serialize;

use crate::Kind;

/// Fields that people made in Odoo begin so: nothing of them is taken for technical.
const OWN: &str = "x_";

/// What is worth nothing without Odoo, or stands elsewhere. Kept short: docs/limits.md has the same list.
const TECHNICAL: &[&str] = &[
    // Moves whenever its user looks at the calendar.
    "calendar_last_notif_ack",
    // What people follow and star in Odoo's own chat.
    "channel_ids",
    "starred_message_ids",
    "starred_partner_ids",
    // The contacts of `notifications`.
    "notified_partner_ids",
];

/// Parts of the names of what lets its reader in somewhere.
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
    /// Odoo computes it at each reading: one of them can cost more than all the rest.
    NotStored,
    /// It lists the records that point here, which is kept with these.
    OneToMany,
    /// A file: the archive takes it where `archive_fields` has its name.
    File,
    /// It lets its reader in somewhere.
    Secret,
    /// It is worth nothing without Odoo, or stands elsewhere.
    Technical,
    /// Its type is not known here, or its name is that of a column that is made here.
    Type,
}

impl Reason {
    /// Whether it leaves out something of a record that stands nowhere else in Postgres.
    pub(crate) fn loses(self, field: &str) -> bool {
        !matches!(self, Self::NotStored | Self::OneToMany) || field.starts_with(OWN)
    }

    /// For people.
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

/// Whether a field goes into `custom`.
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
