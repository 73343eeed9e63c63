//! The kinds of failure, and the consequences of each.

use serde::{Deserialize, Serialize};

use crate::Retry;

/// Who is to blame for a failure.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Blame {
    /// Odoo, or the connection to it.
    Source,
    /// Supabase (Storage or Postgres), or the connection to it.
    Destination,
    /// A setting, a key or a right that a person has to provide.
    Configuration,
    /// This program.
    Program,
}

/// The scope of a failure.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Reach {
    /// This file only: the others go on, and the file has used one attempt.
    File,
    /// Every file would fail in the same way: the batch stops, and no file has used an attempt.
    Batch,
}

macro_rules! kinds {
    ($($(#[$doc:meta])* $name:ident = $code:literal, $blame:ident, $reach:ident, $retry:ident;)*) => {
        /// The kinds of failure. The list may grow.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
        #[non_exhaustive]
        pub enum Kind { $($(#[$doc])* $name,)* }

        impl Kind {
            /// All kinds.
            pub const ALL: &'static [Kind] = &[$(Kind::$name,)*];

            /// The code under which it is stored and shown, such as `wrong_bytes`.
            pub const fn code(self) -> &'static str {
                match self { $(Kind::$name => $code,)* }
            }

            /// Who is to blame.
            pub const fn blame(self) -> Blame {
                match self { $(Kind::$name => Blame::$blame,)* }
            }

            /// Whether it affects this file only, or the whole batch.
            pub const fn reach(self) -> Reach {
                match self { $(Kind::$name => Reach::$reach,)* }
            }

            /// Whether a retry can help.
            pub const fn retry(self) -> Retry {
                match self { $(Kind::$name => Retry::$retry,)* }
            }
        }
    };
}

kinds! {
    /// No connection to Odoo: refused, no such host, TLS.
    SourceUnreachable = "source_unreachable", Source, Batch, Later;
    /// Odoo asks to slow down: 429, 503, a lock.
    SourceBusy = "source_busy", Source, Batch, Later;
    /// Odoo did not answer in time, or dropped the connection.
    SourceTimeout = "source_timeout", Source, File, Later;
    /// Odoo's response is not a valid answer: HTML, a redirect, broken JSON.
    SourceProtocol = "source_protocol", Source, Batch, Later;
    /// A proxy in front of Odoo answered instead of Odoo.
    SourceProxy = "source_proxy", Source, Batch, Later;
    /// Odoo serves no content by `/web/content`, whichever file is asked for.
    SourceContent = "source_content", Source, Batch, Later;
    /// Odoo reported an error for this call.
    SourceRefused = "source_refused", Source, File, Later;
    /// Wrong login, key or database.
    SourceLogin = "source_login", Configuration, Batch, Manual;
    /// The Odoo user lacks a right.
    SourceForbidden = "source_forbidden", Configuration, Batch, Manual;
    /// The record or its content does not exist.
    SourceEmpty = "source_empty", Source, File, Later;
    /// The Odoo user may not read this one file.
    FileForbidden = "file_forbidden", Configuration, File, Later;
    /// Odoo sent fewer bytes than the file should have.
    Truncated = "truncated", Source, File, Later;
    /// The bytes do not have the SHA-1 that Odoo gives.
    WrongBytes = "wrong_bytes", Source, File, Later;

    /// No connection to Storage.
    StorageUnreachable = "storage_unreachable", Destination, Batch, Later;
    /// Storage asks to slow down: 429, 503, 544.
    StorageBusy = "storage_busy", Destination, File, Later;
    /// Storage did not answer in time, or dropped the connection.
    StorageTimeout = "storage_timeout", Destination, File, Later;
    /// Storage failed (500) for this object.
    StorageFailed = "storage_failed", Destination, File, Later;
    /// Storage's response is not a valid answer.
    StorageProtocol = "storage_protocol", Destination, Batch, Later;
    /// A proxy in front of Storage answered instead of Storage.
    StorageProxy = "storage_proxy", Destination, Batch, Later;
    /// A proxy in front of Storage blocks this one object: its size, its path, or its content.
    FileBlocked = "file_blocked", Configuration, File, Waits;
    /// Storage's key is wrong, expired, or lacks the right.
    StorageLogin = "storage_login", Configuration, Batch, Manual;
    /// The bucket does not exist.
    BucketMissing = "bucket_missing", Configuration, Batch, Manual;
    /// Storage has no room left.
    QuotaExceeded = "quota_exceeded", Destination, Batch, Later;
    /// The object is larger than the bucket allows.
    TooLarge = "too_large", Configuration, File, Never;
    /// The bucket does not allow this MIME type.
    MimeRefused = "mime_refused", Configuration, File, Never;
    /// Storage refuses the object's name.
    NameRefused = "name_refused", Program, File, Never;
    /// Storage has an object of this name with another size.
    ObjectDiffers = "object_differs", Destination, File, Later;

    /// No connection to Postgres.
    LedgerUnreachable = "ledger_unreachable", Destination, Batch, Later;
    /// Postgres, or the pooler in front of it, has no free connection.
    LedgerBusy = "ledger_busy", Destination, Batch, Later;
    /// The connection to Postgres could not be encrypted as required.
    LedgerTls = "ledger_tls", Configuration, Batch, Manual;
    /// Postgres accepts no writes: it is read-only, or its disk is full.
    LedgerReadOnly = "ledger_read_only", Destination, Batch, Later;
    /// The tables of `sql/` are missing or too old.
    LedgerMissing = "ledger_missing", Configuration, Batch, Manual;
    /// Postgres, or the pooler in front of it, refuses the login, or a right is missing.
    LedgerLogin = "ledger_login", Configuration, Batch, Manual;
    /// Postgres refused or aborted a statement.
    LedgerFailed = "ledger_failed", Destination, Batch, Later;

    /// A setting is missing or unusable.
    Setting = "setting", Configuration, Batch, Manual;
    /// The tick's time is used up, which is nobody's failure.
    OutOfTime = "out_of_time", Program, Batch, Later;
    /// A large file made no progress for most of a batch.
    NoProgress = "no_progress", Configuration, File, Later;
    /// The process ended while it worked on this file, several times.
    CutOff = "cut_off", Program, File, Later;
    /// An error in this program.
    Program = "program", Program, File, Later;
}

impl Serialize for Kind {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.code())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::HashSet;

    #[test]
    fn every_kind_has_a_code_of_its_own() {
        let codes: HashSet<_> = Kind::ALL.iter().map(|k| k.code()).collect();
        assert_eq!(codes.len(), Kind::ALL.len());
    }

    #[test]
    fn what_a_person_must_mend_never_costs_a_file_an_attempt() {
        for kind in Kind::ALL {
            if kind.retry() == Retry::Manual {
                assert_eq!(kind.reach(), Reach::Batch, "{kind:?}");
                assert_eq!(kind.blame(), Blame::Configuration, "{kind:?}");
            }
        }
    }
}
