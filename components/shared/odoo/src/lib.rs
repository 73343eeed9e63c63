//! The source: Odoo's protocols, paging and typed records.
