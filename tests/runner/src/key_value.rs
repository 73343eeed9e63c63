//! `spin:key-value`: the app's default store, in memory. Its components share it, and it ends with the app.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use wasmtime::component::{Accessor, FutureReader, HasData, Resource, ResourceTable, StreamReader};

use crate::bindings::key_value::{Error, Host, HostStore, HostStoreWithStore};

/// The label of the one store there is.
const DEFAULT: &str = "default";

/// The default store. Clones share it.
#[derive(Clone, Default)]
pub(crate) struct KeyValue(Arc<Mutex<BTreeMap<String, Vec<u8>>>>);

impl KeyValue {
    fn entries(&self) -> MutexGuard<'_, BTreeMap<String, Vec<u8>>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The resource `store`.
pub struct Store;

/// The view of an instance's state that the calls work on.
pub(crate) struct KeyValueView<'a> {
    pub(crate) table: &'a mut ResourceTable,
    /// Nothing where the manifest gives the component no store.
    pub(crate) store: Option<&'a KeyValue>,
}

/// Names [`KeyValueView`] for the linker.
pub(crate) struct HasKeyValue;

impl HasData for HasKeyValue {
    type Data<'a> = KeyValueView<'a>;
}

type Outcome<T> = wasmtime::Result<Result<T, Error>>;

impl Host for KeyValueView<'_> {}

impl HostStore for KeyValueView<'_> {
    fn drop(&mut self, store: Resource<Store>) -> wasmtime::Result<()> {
        self.table.delete(store)?;
        Ok(())
    }
}

/// The entries of a store that was opened.
fn opened<T>(accessor: &Accessor<T, HasKeyValue>) -> Result<KeyValue, Error> {
    accessor.with(|mut view| view.get().store.cloned().ok_or(Error::AccessDenied))
}

impl<T: Send> HostStoreWithStore<T> for HasKeyValue {
    async fn open(accessor: &Accessor<T, Self>, label: String) -> Outcome<Resource<Store>> {
        if label != DEFAULT {
            return Ok(Err(Error::NoSuchStore));
        }
        if let Err(error) = opened(accessor) {
            return Ok(Err(error));
        }
        let store = accessor.with(|mut view| view.get().table.push(Store))?;
        Ok(Ok(store))
    }

    async fn get(
        accessor: &Accessor<T, Self>,
        _: Resource<Store>,
        key: String,
    ) -> Outcome<Option<Vec<u8>>> {
        Ok(opened(accessor).map(|store| store.entries().get(&key).cloned()))
    }

    async fn set(
        accessor: &Accessor<T, Self>,
        _: Resource<Store>,
        key: String,
        value: Vec<u8>,
    ) -> Outcome<()> {
        Ok(opened(accessor).map(|store| {
            store.entries().insert(key, value);
        }))
    }

    async fn delete(accessor: &Accessor<T, Self>, _: Resource<Store>, key: String) -> Outcome<()> {
        Ok(opened(accessor).map(|store| {
            store.entries().remove(&key);
        }))
    }

    async fn exists(
        accessor: &Accessor<T, Self>,
        _: Resource<Store>,
        key: String,
    ) -> Outcome<bool> {
        Ok(opened(accessor).map(|store| store.entries().contains_key(&key)))
    }

    async fn get_keys(
        _: &Accessor<T, Self>,
        _: Resource<Store>,
    ) -> wasmtime::Result<(StreamReader<String>, FutureReader<Result<(), Error>>)> {
        Err(wasmtime::format_err!(
            "this runner does not list the keys of a store"
        ))
    }
}
