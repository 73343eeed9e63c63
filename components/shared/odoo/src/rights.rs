//! What the user cannot see for lack of a company or a group. No list shows this: hidden records are left out.

use std::collections::{BTreeMap, BTreeSet};

use fault::{Fault, Kind};
use outbound::{Clock, Http};
use serde_json::{Map, json};

use crate::Odoo;
use crate::answer::broken;
use crate::records::{Model, Record};
use crate::salvage::{id_of, is_of_content};

/// A group by its external id and name, and what is hidden without it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Group {
    id: &'static str,
    name: &'static str,
    costs: &'static str,
}

/// The groups that decide what can be copied.
const GROUPS: [Group; 4] = [
    Group {
        id: "base.group_user",
        name: "Internal User",
        costs: "nearly nothing can be read, as by a customer in the portal",
    },
    Group {
        id: "sales_team.group_sale_salesman_all_leads",
        name: "Sales / User: All Documents",
        costs: "leads of other salespeople are hidden, with their messages and files",
    },
    Group {
        id: "base.group_system",
        name: "Administration / Settings",
        costs: "changes of fields in the chatter cannot be read, nor fields that are only for this group, nor files that hang on no record and were made by others",
    },
    MANAGER,
];

/// Its members see all companies, including those not allowed to them.
const MANAGER: Group = Group {
    id: "base.group_erp_manager",
    name: "Administration / Access Rights",
    costs: "companies that are not allowed can be counted, and not named",
};

/// How many ids after the last known company are asked for.
const BEYOND: i64 = 64;

/// The highest company id looked for, and the most calls for that: companies are few.
const MOST_COMPANIES: i64 = 10_000;
const MOST_CALLS: u32 = 200;

/// Which rights the user lacks.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Rights {
    /// The companies allowed to the user.
    pub allowed: BTreeSet<i64>,
    /// Other existing companies, with their names if readable.
    pub not_allowed: BTreeMap<i64, Option<String>>,
    /// The groups that the user is not in.
    pub lacking: Vec<Group>,
    /// What could not be found out, and why.
    pub unknown: Vec<String>,
}

impl Rights {
    /// What is lacking and what that costs, one line each.
    pub fn in_words(&self) -> Vec<String> {
        let companies = self.not_allowed.iter().map(|(id, name)| {
            let name = name.as_ref().map(|name| format!(" ({name})"));
            format!(
                "company {id}{} exists and is not allowed to the Odoo user: its leads, contacts, messages and files are hidden",
                name.unwrap_or_default()
            )
        });
        let groups = self.lacking.iter().map(|group| {
            format!(
                "the Odoo user lacks the group {} ({}): {}",
                group.name, group.id, group.costs
            )
        });
        let unknown = self.unknown.iter().cloned();
        companies.chain(groups).chain(unknown).collect()
    }

    /// Passes an answer on; a refusal is noted as unknown.
    fn known<T>(&mut self, what: &str, answer: Result<T, Fault>) -> Result<Option<T>, Fault> {
        match answer {
            Ok(known) => Ok(Some(known)),
            Err(fault) if is_of_content(&fault) => {
                self.unknown.push(format!(
                    "{what} could not be found out: {}",
                    fault.message()
                ));
                Ok(None)
            }
            Err(fault) => Err(fault),
        }
    }
}

impl<H: Http, C: Clock> Odoo<H, C> {
    /// Finds out which companies and groups the user lacks. Takes some ten calls, and more for each hidden company.
    pub async fn rights(&self) -> Result<Rights, Fault> {
        let mut rights = Rights::default();
        let uid = self.user_id().await.and_then(|uid| uid.ok_or_else(broken));
        let Some(uid) = rights.known("who the Odoo user is", uid)? else {
            return Ok(rights);
        };
        let mut sees_all_companies = false;
        for group in GROUPS {
            let what = format!("whether the Odoo user has the group {}", group.id);
            let has = rights.known(&what, self.has_group(uid, group.id).await)?;
            sees_all_companies |= group == MANAGER && has == Some(true);
            if has == Some(false) {
                rights.lacking.push(group);
            }
        }
        let what = "which companies are allowed to the Odoo user";
        if let Some(allowed) = rights.known(what, self.allowed_companies(uid).await)? {
            rights.allowed = allowed;
            let all = self.other_companies(sees_all_companies, &mut rights).await;
            rights.known("which companies there are", all)?;
        }
        Ok(rights)
    }

    /// From 18 on this is called on the user; before, on the model, and about the caller.
    async fn has_group(&self, uid: i64, group: &str) -> Result<bool, Fault> {
        let mut named = Map::new();
        named.insert("group_ext_id".into(), json!(group));
        let called = self
            .call("res.users", "has_group", Some(&[uid]), named.clone())
            .await;
        match called {
            Err(fault) if fault.kind() == Kind::SourceRefused => {
                self.call("res.users", "has_group", None, named).await
            }
            called => called,
        }
    }

    async fn allowed_companies(&self, uid: i64) -> Result<BTreeSet<i64>, Fault> {
        let mut named = Map::new();
        named.insert("fields".into(), json!(["company_ids"]));
        let users: Vec<Record> = self.call("res.users", "read", Some(&[uid]), named).await?;
        let ids = users.first().and_then(|user| user.get("company_ids"));
        let ids = ids.and_then(serde_json::Value::as_array);
        let ids = ids.ok_or_else(broken)?;
        Ok(ids.iter().filter_map(serde_json::Value::as_i64).collect())
    }

    /// Finds companies that are not allowed. A user who manages rights sees them in the list; for others, gaps in the
    /// ids reveal them.
    async fn other_companies(&self, listed: bool, rights: &mut Rights) -> Result<(), Fault> {
        let companies = Model {
            name: "res.company",
            domain: &[],
            language: "",
            undated: None,
            links: &[],
        };
        let most = usize::try_from(MOST_COMPANIES).unwrap_or_default();
        let mut named = companies.call(Vec::new(), Some(most));
        named.insert("fields".into(), json!(["name"]));
        let found: Vec<Record> = self
            .call(companies.name, "search_read", None, named)
            .await?;
        let mut seen = rights.allowed.clone();
        for company in &found {
            let name = company.get("name").and_then(serde_json::Value::as_str);
            if let Some(id) = id_of(company)
                && seen.insert(id)
            {
                rights.not_allowed.insert(id, name.map(str::to_owned));
            }
        }
        if listed {
            return Ok(());
        }
        let (mut asked, mut calls) = (0, MOST_CALLS);
        loop {
            let last = seen.last().copied().unwrap_or_default().min(MOST_COMPANIES);
            let gaps: Vec<i64> = (asked + 1..=last + BEYOND)
                .filter(|id| !seen.contains(id))
                .collect();
            let found = self.presence(companies.name, &gaps, &mut calls).await?;
            if !found.unasked.is_empty() {
                rights.unknown.push(format!(
                    "whether there are companies with {} other numbers was not asked",
                    found.unasked.len()
                ));
            }
            let beyond = found.hidden.last().is_some_and(|id| *id > last);
            asked = last + BEYOND;
            seen.extend(&found.hidden);
            let hidden = found.hidden.into_iter().map(|id| (id, None));
            rights.not_allowed.extend(hidden);
            if !beyond || asked >= MOST_COMPANIES {
                return Ok(());
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_thing_that_is_lacking_is_a_line_with_what_it_costs() {
        let rights = Rights {
            allowed: [1].into(),
            not_allowed: [(2, None), (3, Some("Chicago".to_owned()))].into(),
            lacking: vec![MANAGER],
            unknown: vec!["who knows".to_owned()],
        };
        let words = rights.in_words();
        assert_eq!(words.len(), 4, "{words:?}");
        for (line, begins) in words.iter().zip([
            "company 2 exists and is not allowed",
            "company 3 (Chicago) exists",
            "the Odoo user lacks the group Administration / Access Rights (base.group_erp_manager): companies",
            "who knows",
        ]) {
            assert!(line.starts_with(begins), "{line}");
        }
        assert_eq!(Rights::default().in_words(), Vec::<String>::new());
    }
}
