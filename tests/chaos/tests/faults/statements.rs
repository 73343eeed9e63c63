//! The statements by which each component's work becomes durable.

use chaos::Job;

/// A statement: its name, and what only its argument holds.
pub type Statement = (&'static str, &'static str);

const BEGIN: Statement = ("take a slot", "\"slots\":");
const END: Statement = ("end and log the run", "\"counts\":{");
const CATALOGUE: Statement = ("catalogue a page", "\"found\":[");

/// All of a component, in their order.
pub fn of(job: Job) -> &'static [Statement] {
    match job {
        Job::Archive => &[
            BEGIN,
            CATALOGUE,
            ("claim files", "\"limit\":"),
            ("record what became of files", "\"settled\":["),
            END,
        ],
        Job::Crm => &[
            BEGIN,
            ("write leads", "\"table\":\"public.odoo_leads\""),
            ("write customers", "\"table\":\"public.odoo_partners\""),
            ("conclude a comparison", "\"validation\":{"),
            END,
        ],
        Job::Chatter => &[
            BEGIN,
            ("write messages", "\"table\":\"public.odoo_messages\""),
            (
                "write field changes",
                "\"table\":\"public.odoo_field_changes\"",
            ),
            CATALOGUE,
            ("conclude a comparison", "\"validation\":{"),
            END,
        ],
    }
}
