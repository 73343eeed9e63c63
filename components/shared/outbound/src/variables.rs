//! Variables: read by name when a library needs them; errors name the variable.

use std::collections::BTreeMap;
use std::fmt::Display;
use std::ops::RangeInclusive;
use std::str::FromStr;

use fault::{Fault, Kind};

use crate::{OriginError, Secret, parse_origin};

/// The variables of a component.
pub trait Variables {
    /// The value of a variable, empty if it is not set.
    fn get(&self, name: &str) -> impl Future<Output = Result<String, Fault>>;

    /// The value without surrounding white space, empty if it is not set.
    fn text(&self, name: &str) -> impl Future<Output = Result<String, Fault>> {
        async move { Ok(self.get(name).await?.trim().to_owned()) }
    }

    /// The value as a secret.
    fn secret(&self, name: &str) -> impl Future<Output = Result<Secret, Fault>> {
        async move { Ok(Secret::new(self.get(name).await?)) }
    }

    /// The value, parsed; `what` says in the error what it should be.
    fn value<T: FromStr>(&self, name: &str, what: &str) -> impl Future<Output = Result<T, Fault>> {
        async move {
            let text = self.text(name).await?;
            text.parse().map_err(|_| unusable(name, what))
        }
    }

    /// A number within bounds.
    fn number<T: FromStr + PartialOrd + Display>(
        &self,
        name: &str,
        bounds: RangeInclusive<T>,
    ) -> impl Future<Output = Result<T, Fault>> {
        async move {
            let what = format!("a number from {} to {}", bounds.start(), bounds.end());
            let number = self.value(name, &what).await?;
            if bounds.contains(&number) {
                Ok(number)
            } else {
                Err(unusable(name, &what))
            }
        }
    }

    /// A comma-separated list.
    fn list(&self, name: &str) -> impl Future<Output = Result<Vec<String>, Fault>> {
        async move {
            let text = self.text(name).await?;
            let items = text.split(',').map(str::trim);
            Ok(items
                .filter(|item| !item.is_empty())
                .map(str::to_owned)
                .collect())
        }
    }

    /// An origin, `scheme://host[:port]`; `allowed_outbound_hosts` takes no path either. Plain http is
    /// accepted only for loopback and private addresses, or if `allow_http` is exactly `true`.
    fn origin(&self, name: &str) -> impl Future<Output = Result<String, Fault>> {
        async move {
            let allow_http = self.text("allow_http").await? == "true";
            let words = match parse_origin(&self.text(name).await?, allow_http) {
                Ok(origin) => return Ok(origin.to_owned()),
                Err(OriginError::Malformed) => {
                    "must be scheme://host[:port], such as https://my.example.com, without a path"
                }
                Err(OriginError::PlainHttp) => {
                    "is plain http, so keys and files could be read on the way: give an https address, or set allow_http to true where that network is yours alone"
                }
            };
            Err(Fault::told(Kind::Setting, format!("{name} {words}")))
        }
    }
}

fn unusable(name: &str, what: &str) -> Fault {
    Fault::told(Kind::Setting, format!("{name} must be {what}"))
}

impl<T: Variables> Variables for &T {
    fn get(&self, name: &str) -> impl Future<Output = Result<String, Fault>> {
        (**self).get(name)
    }
}

/// Variables from a map.
impl Variables for BTreeMap<String, String> {
    async fn get(&self, name: &str) -> Result<String, Fault> {
        Ok(BTreeMap::get(self, name).cloned().unwrap_or_default())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use futures::FutureExt;

    fn variables(name: &str, value: &str) -> BTreeMap<String, String> {
        BTreeMap::from([(name.to_owned(), value.to_owned())])
    }

    #[test]
    fn a_number_is_within_its_bounds_or_is_named() {
        let number = |value| {
            let variables = variables("db_port", value);
            let read = variables.number("db_port", 1..=65_535u16);
            read.now_or_never().unwrap()
        };
        assert_eq!(number(" 5432 "), Ok(5432));
        for wrong in ["0", "65536", "-1", "many", ""] {
            let fault = number(wrong).unwrap_err();
            assert_eq!(fault.kind(), Kind::Setting);
            assert_eq!(
                fault.message(),
                "db_port must be a number from 1 to 65535",
                "{wrong}"
            );
        }
    }

    #[test]
    fn a_list_has_no_empty_items() {
        let list = |value| variables("models", value).list("models").now_or_never();
        let items = list(" crm.lead , ,res.partner,").unwrap().unwrap();
        assert_eq!(items, ["crm.lead", "res.partner"]);
        assert!(list("").unwrap().unwrap().is_empty());
    }

    #[test]
    fn plain_http_needs_a_plain_yes() {
        let origin = |allow: &str| {
            let mut variables = variables("odoo_url", "http://odoo.example:8069/");
            variables.insert("allow_http".to_owned(), allow.to_owned());
            variables.origin("odoo_url").now_or_never().unwrap()
        };
        assert_eq!(origin("true").unwrap(), "http://odoo.example:8069");
        for no in ["", "false", "yes", "TRUE"] {
            let fault = origin(no).unwrap_err();
            assert!(
                fault.message().starts_with("odoo_url is plain http"),
                "{no}"
            );
        }
    }
}
