//! What went wrong, in one line, in the words of the command line.

/// What the components call their variables, and what a caller of the demo set them by.
const NAMES: [(&str, &str); 9] = [
    ("odoo_api_key", "ODOO_API_KEY"),
    ("odoo_password", "ODOO_PASSWORD"),
    ("odoo_url", "--odoo-url"),
    ("odoo_database", "--odoo-database"),
    ("odoo_login", "--odoo-login"),
    ("storage_key", "STORAGE_KEY"),
    ("storage_url", "--storage-url"),
    ("storage_path", "--storage-path"),
    ("storage_bucket", "--storage-bucket"),
];

/// A component's message, with the names that the caller knows.
pub fn in_the_callers_names(message: &str) -> String {
    NAMES
        .iter()
        .fold(message.to_owned(), |message, (theirs, ours)| {
            message.replace(theirs, ours)
        })
}

/// An error and its causes in one line.
pub fn in_one_line(error: &anyhow::Error) -> String {
    let told = format!("{error:#}");
    told.split_whitespace().collect::<Vec<_>>().join(" ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_message_is_one_line_in_the_callers_names() {
        assert_eq!(
            in_the_callers_names("check odoo_login and odoo_api_key or odoo_password"),
            "check --odoo-login and ODOO_API_KEY or ODOO_PASSWORD"
        );
        let error = anyhow::anyhow!("one\n  two").context("three");
        assert_eq!(in_one_line(&error), "three: one two");
    }
}
