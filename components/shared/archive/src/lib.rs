//! Moves attachments from Odoo to Storage: discovery, planning, pace, transfer.
