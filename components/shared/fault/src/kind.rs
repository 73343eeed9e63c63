//! The kinds of failure, and what follows from each.

use serde::{Deserialize, Serialize};

use crate::Retry;

/// Whose fault a failure is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Blame {
    /// Odoo, or the way to it.
    Source,
    /// Supabase (Storage or Postgres), or the way to it.
    Destination,
    /// A setting, a key or a right that a person has to give.
    Configuration,
    /// This program.
    Program,
}

/// How far a failure reaches.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Reach {
    /// This file only: the others go on, and the file has used one attempt.
    File,
    /// Every file would meet it: the batch stops, and no file has used an attempt.
    Batch,
}

macro_rules! kinds {
    ($($(#[$doc:meta])* $name:ident = $code:literal, $blame:ident, $reach:ident, $retry:ident;)*) => {
        /// The kinds of failure. New ones may come.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
        #[non_exhaustive]
        pub enum Kind { $($(#[$doc])* $name,)* }

        impl Kind {
            /// All kinds.
            pub const ALL: &'static [Kind] = &[$(Kind::$name,)*];

            /// The name under which it is stored and shown, such as `wrong_bytes`.
            pub const fn code(self) -> &'static str {
                match self { $(Kind::$name => $code,)* }
            }

            /// Whose fault it is.
            pub const fn blame(self) -> Blame {
                match self { $(Kind::$name => Blame::$blame,)* }
            }

            /// Whether it would meet every file.
            pub const fn reach(self) -> Reach {
                match self { $(Kind::$name => Reach::$reach,)* }
            }

            /// Whether trying again can help.
            pub const fn retry(self) -> Retry {
                match self { $(Kind::$name => Retry::$retry,)* }
            }
        }
    };
}

kinds! {
    /// No connection to Odoo: refused, no such host, TLS.
    SourceUnreachable = "source_unreachable", Source, Batch, Later;
    /// Odoo asks for a pause: 429, 503, a lock.
    SourceBusy = "source_busy", Source, Batch, Later;
    /// Odoo did not answer in time, or dropped the connection.
    SourceTimeout = "source_timeout", Source, File, Later;
    /// Odoo answered something that is no answer: HTML, a redirect, broken JSON.
    SourceProtocol = "source_protocol", Source, Batch, Later;
    /// A proxy before Odoo answered in its place.
    SourceProxy = "source_proxy", Source, Batch, Later;
    /// Odoo streams no content (`/web/content`), whichever is asked for.
    SourceContent = "source_content", Source, Batch, Later;
    /// Odoo's own error for this call.
    SourceRefused = "source_refused", Source, File, Later;
    /// Wrong login, key or database.
    SourceLogin = "source_login", Configuration, Batch, Manual;
    /// The Odoo user lacks a right.
    SourceForbidden = "source_forbidden", Configuration, Batch, Manual;
    /// The record or its content is not there.
    SourceEmpty = "source_empty", Source, File, Later;
    /// This one file may not be read by the Odoo user.
    FileForbidden = "file_forbidden", Configuration, File, Later;
    /// Odoo gave fewer bytes than it says the file has.
    Truncated = "truncated", Source, File, Later;
    /// The bytes do not have the SHA-1 that Odoo says.
    WrongBytes = "wrong_bytes", Source, File, Later;

    /// No connection to Storage.
    StorageUnreachable = "storage_unreachable", Destination, Batch, Later;
    /// Storage asks for a pause: 429, 503, 544.
    StorageBusy = "storage_busy", Destination, File, Later;
    /// Storage did not answer in time, or dropped the connection.
    StorageTimeout = "storage_timeout", Destination, File, Later;
    /// Storage's own fault (500), for this object.
    StorageFailed = "storage_failed", Destination, File, Later;
    /// Storage answered something that is no answer.
    StorageProtocol = "storage_protocol", Destination, Batch, Later;
    /// A proxy before Storage answered in its place.
    StorageProxy = "storage_proxy", Destination, Batch, Later;
    /// A proxy before Storage lets this one object not pass: its size, its path, what is in it.
    FileBlocked = "file_blocked", Configuration, File, Waits;
    /// The key is wrong or expired, or lacks the right.
    StorageLogin = "storage_login", Configuration, Batch, Manual;
    /// The bucket does not exist.
    BucketMissing = "bucket_missing", Configuration, Batch, Manual;
    /// No room is left.
    QuotaExceeded = "quota_exceeded", Destination, Batch, Later;
    /// The object is larger than the bucket allows.
    TooLarge = "too_large", Configuration, File, Never;
    /// The bucket does not allow this MIME type.
    MimeRefused = "mime_refused", Configuration, File, Never;
    /// Storage refuses the object's name.
    NameRefused = "name_refused", Program, File, Never;
    /// An object of this name is there with another size.
    ObjectDiffers = "object_differs", Destination, File, Later;

    /// No connection to Postgres.
    LedgerUnreachable = "ledger_unreachable", Destination, Batch, Later;
    /// Postgres, or the pooler before it, has no connection free.
    LedgerBusy = "ledger_busy", Destination, Batch, Later;
    /// The connection to Postgres could not be encrypted as it was asked for.
    LedgerTls = "ledger_tls", Configuration, Batch, Manual;
    /// Postgres takes no writes: it is read-only, or its disk is full.
    LedgerReadOnly = "ledger_read_only", Destination, Batch, Later;
    /// The tables of `sql/` are missing or of another version.
    LedgerMissing = "ledger_missing", Configuration, Batch, Manual;
    /// Postgres, or the pooler before it, does not let this program in, or a right is missing.
    LedgerLogin = "ledger_login", Configuration, Batch, Manual;
    /// Postgres refused or cut off a statement.
    LedgerFailed = "ledger_failed", Destination, Batch, Later;

    /// A setting is missing or unusable.
    Setting = "setting", Configuration, Batch, Manual;
    /// Out of time: the tick's own budget, nobody's failure.
    OutOfTime = "out_of_time", Program, Batch, Later;
    /// A large file got no further in most of a batch.
    NoProgress = "no_progress", Configuration, File, Later;
    /// The process ended in mid-work, again and again with this file.
    CutOff = "cut_off", Program, File, Later;
    /// Something this program should have known better.
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
