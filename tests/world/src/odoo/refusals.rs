//! What an account may not do, in the words of each version.

use super::failure::Failure;
use super::methods::{ATTACHMENTS, COMPANIES, Call};

impl Call<'_> {
    /// Whether the account may read this model at all.
    pub(super) fn may_read(&self) -> Result<(), Failure> {
        let (title, group) = match (self.model, self.company.version) {
            ("mail.tracking.value", ..=18) => ("Mail Tracking Value", "Administration/Settings"),
            ("mail.tracking.value", _) => ("Mail Tracking Value", "Role / Administrator"),
            // Open to everybody on 14 (seen); closed on 16 to 19.
            ("ir.model.data", 15..=18) => ("Model Data", "Administration/Access Rights"),
            ("ir.model.data", 19..) => ("Model Data", "Access Rights"),
            (model, _) if self.table.closed => (model, "Access Rights"),
            _ => return Ok(()),
        };
        if self.user.is_administrator() && !self.table.closed {
            return Ok(());
        }
        Err(Failure::access_error(format!(
            "You are not allowed to access '{title}' ({}) records.\n\nThis operation is allowed for the following \
             groups:\n\t- {group}\n\nContact your administrator to request access if necessary.",
            self.model
        )))
    }

    /// A field that the account may not read.
    pub(super) fn forbidden_field(&self, field: &str) -> Failure {
        let (model, uid) = (self.model, self.user.uid);
        let title = match model {
            "mail.message" => "Message",
            "res.partner" => "Contact",
            "res.users" => "User",
            other => other,
        };
        let fields = format!("Fields:\n- {field} (allowed for groups 'Administration / Settings')");
        Failure::access_error(match self.company.version {
            ..=17 => format!(
                "The requested operation can not be completed due to security restrictions.\n\nDocument type: {title} \
                 ({model})\nOperation: read\nUser: {uid}\n{fields}"
            ),
            18 => format!(
                "You do not have enough rights to access the fields \"{field}\" on {title} ({model}). Please contact \
                 your system administrator.\n\nOperation: read\nUser: {uid}\n{fields}"
            ),
            _ => format!(
                "You do not have enough rights to access the field \"{field}\" on {title} ({model}). Please contact \
                 your system administrator.\n\nOperation: read\nUser: {uid}\nGroups: allowed for groups \
                 'Role / Administrator'"
            ),
        })
    }

    /// A record that may not be read.
    pub(super) fn forbidden_record(&self, id: i64) -> Failure {
        let (model, uid, version) = (self.model, self.user.uid, self.company.version);
        // An attachment is as secret as what it hangs on, which 16 names instead.
        let title = match (model, version) {
            (ATTACHMENTS, 17..) => "Attachment (ir.attachment)",
            (COMPANIES, _) => "Companies (res.company)",
            (_, 19..) => "Lead (crm.lead)",
            _ => "Lead/Opportunity (crm.lead)",
        };
        let message = "The requested operation cannot be completed due to security restrictions. Please contact your \
                       system administrator.\n\n(Document type: Message, Operation: read)";
        Failure::access_error(match (model, version) {
            ("mail.message", 19..) => format!("{message}\n\nRecords: {id}, User: {uid}"),
            ("mail.message", 18) => format!("{message}\n\nRecords: [{id}], User: {uid}"),
            ("mail.message", _) => format!("{message} - (Records: [{id}], User: {uid})"),
            (_, 17..) => format!(
                "Uh-oh! Looks like you have stumbled upon some top-secret records.\n\nSorry, {} (id={uid}) doesn't \
                 have 'read' access to:\n- {title}\n\nIf you really, really need access, perhaps you can win \
                 over your friendly administrator with a batch of freshly baked cookies.",
                self.user.name
            ),
            (_, ..=14) => self.in_words_of_14(id),
            (COMPANIES, _) => "Due to security restrictions, you are not allowed to access 'Companies' (res.company) records.\n\n\
                  Contact your administrator to request access if necessary."
                .to_owned(),
            _ => "Due to security restrictions, you are not allowed to access 'Lead/Opportunity' (crm.lead) records.\n\n\
                  Contact your administrator to request access if necessary."
                .to_owned(),
        })
    }

    /// A file of what may be read and not be written to, such as a stage.
    pub(super) fn no_writing(&self, ids: &[i64]) -> Failure {
        if self.company.version >= 19 {
            let ids: Vec<String> = ids.iter().map(i64::to_string).collect();
            let comma = if ids.len() == 1 { "," } else { "" };
            return Failure::access_error(format!(
                "Sorry, you are not allowed to access this document. Please contact your system administrator.\n\n\
                 (Operation: write)\n\nRecords: ir.attachment({}{comma}), User: {}",
                ids.join(", "),
                self.user.uid
            ));
        }
        Failure::access_error(
            "You are not allowed to modify 'CRM Stages' (crm.stage) records.\n\nThis operation is allowed for the following \
             groups:\n\t- Sales/Administrator\n\nContact your administrator to request access if necessary.",
        )
    }

    /// 14 names the record, the user and the rule, which 16 tells in debug mode only.
    fn in_words_of_14(&self, id: i64) -> String {
        let (model, id) = match self.model {
            ATTACHMENTS => {
                let row = self.company.attachments.table().row(id);
                let held =
                    row.map(|row| (row.res_model.unwrap_or_default().into_owned(), row.res_id));
                held.unwrap_or_default()
            }
            model => (model.to_owned(), id),
        };
        let (title, rule) = match model.as_str() {
            COMPANIES => ("Companies", "company rule employee"),
            _ => ("Lead/Opportunity", "Personal Leads"),
        };
        let named = self.tables.get(&model).and_then(|table| {
            table.read(id, &["display_name".to_owned()], self.tables, true, false)
        });
        let name = named.and_then(|named| Some(named.first()?.1.as_str()?.to_owned()));
        format!(
            "Due to security restrictions, you are not allowed to access '{title}' ({model}) records.\n\n\
             Records: {} (id={id})\nUser: {} (id={})\n\n\
             This restriction is due to the following rules:\n- {rule}\n\n\
             Contact your administrator to request access if necessary.",
            name.unwrap_or_default(),
            self.user.name,
            self.user.uid
        )
    }
}
