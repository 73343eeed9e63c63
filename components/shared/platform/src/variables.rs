//! Spin's variables.

use fault::{Fault, Kind};
use outbound::Variables;
use spin_sdk::variables;

/// The variables that the manifest gives to this component.
#[derive(Debug, Clone, Copy, Default)]
pub struct SpinVariables;

impl Variables for SpinVariables {
    async fn get(&self, name: &str) -> Result<String, Fault> {
        // Do not pass on the provider's message: it may contain the provider's address and more.
        variables::get(name).await.map_err(|_| {
            Fault::told(
                Kind::Setting,
                format!("the variable {name} could not be read"),
            )
        })
    }
}
