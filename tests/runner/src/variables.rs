//! Application variables, the templates over them, and what each component sees: `spin:variables`.

use std::{collections::BTreeMap, sync::Arc};

use anyhow::{Context as _, Result, bail, ensure};
use wasmtime::component::{Accessor, HasData};

use crate::{
    bindings::variables::{Error, Host, HostWithStore},
    manifest::{Manifest, check_variable_name},
};

/// The resolved values of the application's variables. They have secrets among them: no `Debug`.
pub(crate) struct Variables(BTreeMap<String, String>);

impl Variables {
    /// Takes for each variable the first of: the value `given` with the start, that of
    /// `environment` (`SPIN_VARIABLE_<NAME>`), the manifest's default.
    pub(crate) fn resolve(
        manifest: &Manifest,
        given: &BTreeMap<String, String>,
        environment: impl Fn(&str) -> Option<String>,
    ) -> Result<Self> {
        for name in given.keys() {
            check_variable_name(name)?;
            ensure!(
                manifest.variables.contains_key(name),
                "the manifest has no variable {name:?}; declare it under [variables]"
            );
        }
        let mut values = BTreeMap::new();
        let mut missing = Vec::new();
        for (name, variable) in &manifest.variables {
            let from_environment =
                || environment(&format!("SPIN_VARIABLE_{}", name.to_ascii_uppercase()));
            let value = given.get(name).cloned();
            match value
                .or_else(from_environment)
                .or_else(|| variable.default.clone())
            {
                Some(value) => {
                    values.insert(name.clone(), value);
                }
                None => missing.push(format!(
                    "{name} (SPIN_VARIABLE_{})",
                    name.to_ascii_uppercase()
                )),
            }
        }
        ensure!(
            missing.is_empty(),
            "required variables have no value: {}; set them in the environment or with --variable name=value",
            missing.join(", ")
        );
        Ok(Self(values))
    }

    /// Fills in a template: `postgres://{{ db_host }}:{{ db_port }}`.
    pub(crate) fn fill(&self, template: &str) -> Result<String> {
        let mut filled = String::new();
        let mut rest = template;
        while let Some((literal, expression)) = rest.split_once("{{") {
            let Some((name, after)) = expression.split_once("}}") else {
                bail!("unmatched '{{{{' in the template {template:?}");
            };
            let name = name.trim();
            filled.push_str(literal);
            filled.push_str(self.0.get(name).with_context(|| {
                format!("the template {template:?} names the unknown variable {name:?}")
            })?);
            rest = after;
        }
        filled.push_str(rest);
        Ok(filled)
    }

    /// What a component may read: the variables of its own table in the manifest, filled in.
    pub(crate) fn of_component(
        &self,
        templates: &BTreeMap<String, String>,
    ) -> Result<BTreeMap<String, String>> {
        templates
            .iter()
            .map(|(name, template)| {
                let value = self
                    .fill(template)
                    .with_context(|| format!("variable {name:?}"))?;
                Ok((name.clone(), value))
            })
            .collect()
    }
}

/// The variables of one component, as it gets them.
#[derive(Clone)]
pub(crate) struct ComponentVariables {
    component: Arc<str>,
    values: Arc<BTreeMap<String, String>>,
}

impl ComponentVariables {
    pub(crate) fn new(component: Arc<str>, values: BTreeMap<String, String>) -> Self {
        Self {
            component,
            values: Arc::new(values),
        }
    }

    fn get(&self, name: &str) -> Result<String, Error> {
        check_variable_name(name).map_err(|error| Error::InvalidName(error.to_string()))?;
        self.values.get(name).cloned().ok_or_else(|| {
            Error::Undefined(format!("no variable for {:?}.{name:?}", self.component))
        })
    }
}

/// Names [`ComponentVariables`] for the linker.
pub(crate) struct HasVariables;

impl HasData for HasVariables {
    type Data<'a> = &'a mut ComponentVariables;
}

impl Host for ComponentVariables {}

impl<T: Send> HostWithStore<T> for HasVariables {
    async fn get(
        accessor: &Accessor<T, Self>,
        name: String,
    ) -> wasmtime::Result<Result<String, Error>> {
        Ok(accessor.with(|mut store| store.get().get(&name)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn manifest() -> Manifest {
        toml::from_str(
            r#"
            [variables]
            host = { default = "default.example" }
            port = { default = "5432" }
            key = { required = true }
            other = { required = true }
            "#,
        )
        .unwrap()
    }

    fn given(pairs: &[(&str, &str)]) -> BTreeMap<String, String> {
        pairs
            .iter()
            .map(|(name, value)| ((*name).to_owned(), (*value).to_owned()))
            .collect()
    }

    #[test]
    fn what_is_given_beats_the_environment_which_beats_the_default() {
        let environment = |name: &str| match name {
            "SPIN_VARIABLE_HOST" => Some("environment.example".to_owned()),
            "SPIN_VARIABLE_KEY" => Some("environment-key".to_owned()),
            _ => None,
        };
        let variables = Variables::resolve(
            &manifest(),
            &given(&[("key", "given-key"), ("other", "")]),
            environment,
        )
        .unwrap();
        assert_eq!(
            variables
                .fill("{{host}}:{{ port }}/{{ key }}{{ other }}")
                .unwrap(),
            "environment.example:5432/given-key"
        );
    }

    #[test]
    fn all_missing_required_variables_are_named_at_once() {
        let error = Variables::resolve(&manifest(), &given(&[]), |_| None)
            .err()
            .unwrap()
            .to_string();
        assert!(error.contains("SPIN_VARIABLE_KEY"), "{error}");
        assert!(error.contains("SPIN_VARIABLE_OTHER"), "{error}");
        assert!(!error.contains("SPIN_VARIABLE_HOST"), "{error}");
    }

    #[test]
    fn a_variable_the_manifest_does_not_have_is_refused() {
        let error = Variables::resolve(&manifest(), &given(&[("kye", "x")]), |_| None)
            .err()
            .unwrap()
            .to_string();
        assert!(error.contains("\"kye\""), "{error}");
    }

    #[test]
    fn a_component_sees_its_own_table_filled_in() {
        let variables =
            Variables::resolve(&manifest(), &given(&[("key", "k"), ("other", "o")]), |_| {
                None
            })
            .unwrap();
        let seen = variables
            .of_component(&given(&[
                ("address", "{{ host }}:{{ port }}"),
                ("plain", "text"),
            ]))
            .unwrap();
        assert_eq!(
            seen,
            given(&[("address", "default.example:5432"), ("plain", "text")])
        );
    }

    #[test]
    fn a_template_with_an_unknown_name_or_an_open_brace_is_an_error() {
        let variables =
            Variables::resolve(&manifest(), &given(&[("key", "k"), ("other", "o")]), |_| {
                None
            })
            .unwrap();
        let error = variables.fill("{{ nothing }}").unwrap_err().to_string();
        assert!(error.contains("\"nothing\""), "{error}");
        assert!(variables.fill("{{ host").is_err());
    }
}
