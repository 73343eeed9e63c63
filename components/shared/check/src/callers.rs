//! Checks authentication: service keys and user tokens.

use access::Policy;
use ledger::setup::Line;
use outbound::{Http, Variables};

use crate::words::{failed, ok, warning, wrong};

pub(crate) const KEYS: &str = "service keys";
pub(crate) const TOKENS: &str = "user tokens";

pub(crate) async fn look(variables: &impl Variables, http: &impl Http) -> Vec<Line> {
    let policy = match Policy::read(variables).await {
        Ok(policy) => policy,
        Err(fault) => return vec![failed(KEYS, &fault), failed(TOKENS, &fault)],
    };
    vec![keys(&policy), tokens(&policy, http).await]
}

fn keys(policy: &Policy) -> Line {
    match policy.key_gaps().first() {
        None => ok(
            KEYS,
            "Every key of service_keys is fit to be one; those in Postgres are taken too.",
        ),
        Some(gap) => wrong(
            KEYS,
            format!("{gap}."),
            "Take it out of service_keys; select odoo_sync.new_key('me', 'admin') makes one that is.",
        ),
    }
}

async fn tokens(policy: &Policy, http: &impl Http) -> Line {
    const REMEDY: &str = "Set jwt_secret to the project's JWT secret, or give the project signing keys in the dashboard under Settings, JWT Keys; until then the card opens with a service key alone.";
    if let Some(gap) = policy.token_gaps().first() {
        return warning(TOKENS, format!("{gap}."), REMEDY);
    }
    let issuer = policy.expected_issuer().map_or_else(
        || "of any issuer".to_owned(),
        |issuer| format!("issued by {issuer}"),
    );
    let by_secret = if policy.has_secret() {
        "the secret"
    } else {
        ""
    };
    match policy.count_keys(http).await {
        Some(Err(fault)) => failed(TOKENS, &fault),
        Some(Ok(0)) | None if by_secret.is_empty() => warning(
            TOKENS,
            "None is accepted: the project shows no key to verify one with, and jwt_secret is not set.",
            REMEDY,
        ),
        Some(Ok(0)) | None => ok(
            TOKENS,
            format!("Those signed with {by_secret} are accepted, {issuer}."),
        ),
        Some(Ok(count)) => {
            let and = if by_secret.is_empty() {
                ""
            } else {
                " or with the secret"
            };
            ok(
                TOKENS,
                format!("Those signed with one of {count} keys{and} are accepted, {issuer}."),
            )
        }
    }
}
