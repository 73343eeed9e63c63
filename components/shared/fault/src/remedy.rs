//! The remedy for each kind of failure.

/// What a person can do about failures of this kind; `None` for those that resolve themselves, and for kinds
/// that this version does not know.
pub fn remedy(kind: &str) -> Option<&'static str> {
    Some(match kind {
        "source_unreachable" => "Is Odoo up, and odoo_url right? It is tried again at each tick.",
        "source_busy" => {
            "Odoo asks for a pause: lower odoo_calls_per_second or odoo_parallel_calls."
        }
        "source_protocol" => {
            "odoo_url must be Odoo itself, without a redirect or a login page before it."
        }
        "source_proxy" => {
            "A proxy or firewall before Odoo answers in its place: let this app through to Odoo."
        }
        "source_content" => {
            "Odoo's /web/content fails: let it through the proxy, and look at Odoo's file store."
        }
        "source_refused" => "Odoo's own error: its log says more.",
        "source_login" => {
            "Check odoo_database, odoo_login and odoo_api_key; where the key has run out, make a new one."
        }
        "source_forbidden" | "file_forbidden" => {
            "Give the Odoo user the right to read it: the Settings group reads every attachment."
        }
        "source_empty" => {
            "The file is missing in Odoo's own filestore: restore it there, or let it go."
        }
        "truncated" => "Odoo cuts the file off: look at the limits of the proxy before it.",
        "wrong_bytes" => {
            "The file in Odoo's filestore is not the one that Odoo describes: restore it there."
        }
        "storage_unreachable" => {
            "Is Supabase up, and storage_url right? It is tried again at each tick."
        }
        "storage_busy" => "Storage asks for a pause: lower archive_parallel_uploads.",
        "storage_login" => {
            "Check storage_key: it is the service_role key, or one that begins with sb_secret_."
        }
        "storage_protocol" => {
            "storage_url must be the Supabase project, with storage_path /storage/v1."
        }
        "storage_proxy" => {
            "A proxy or firewall before Supabase answers in its place: let this app through to it."
        }
        "file_blocked" => {
            "A proxy refuses this file: raise its limit for bodies, or its rule; it is tried on."
        }
        "bucket_missing" => {
            "Make the bucket under Storage, or set storage_bucket to one that is there."
        }
        "quota_exceeded" => "Make room in Storage, or raise its quota; nothing is lost meanwhile.",
        "too_large" => "Raise the bucket's file size limit, then retry dead files.",
        "mime_refused" => "Allow the MIME type on the bucket, then retry dead files.",
        "name_refused" | "program" => "This is a fault of the program: please report it.",
        "object_differs" => {
            "The object at this path has other bytes: remove it, then retry dead files."
        }
        "ledger_unreachable" => "Check db_host, db_port and db_sslmode, and that Postgres is up.",
        "ledger_read_only" => "Make room on the database's disk, or end its read-only mode.",
        "ledger_missing" => "Run the files of sql/ on this database, in their order.",
        "ledger_login" => {
            "Check db_user, db_password and db_host; else run the files of sql/ again."
        }
        "ledger_busy" => "Raise the pooler's pool size, or lower max_connections of [outbound_pg].",
        "ledger_tls" => {
            "Check db_sslmode and db_ca, and that db_host is a name of the certificate."
        }
        "setting" => "Mend the variable that the message names, and start the components again.",
        "no_progress" => {
            "Raise archive_batch_seconds, so that a piece of 6 MiB gets through in it."
        }
        "cut_off" => {
            "The components were stopped in mid-work: look at their limits of memory and time."
        }
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Kind, Retry};

    #[test]
    fn what_does_not_mend_itself_has_a_remedy() {
        for kind in Kind::ALL {
            let mends_itself = kind.retry() == Retry::Later;
            assert!(mends_itself || remedy(kind.code()).is_some(), "{kind:?}");
        }
    }

    #[test]
    fn a_remedy_fits_on_a_card() {
        for text in Kind::ALL.iter().filter_map(|kind| remedy(kind.code())) {
            assert!(text.len() <= 100 && text.is_ascii(), "{text}");
        }
    }
}
