//! Reuse of instances, with Spin's limits: who may get a request, and when an instance ends.

use std::{
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
    time::{Duration, Instant},
};

use tokio::{
    sync::Semaphore,
    time::{Sleep, sleep},
};
use wasmtime::{Store, StoreContextMut, component::GuestTaskId, format_err};
use wasmtime_wasi_http::{
    WasiHttpView,
    handler::{HandlerState, Instance, ShouldAccept, WorkerExpiration, WorkerState, WorkerStatus},
};

use crate::component::{Component, State};

/// Requests in an instance's life.
const MAX_REQUESTS: usize = 128;
/// Requests in an instance at the same time.
const MAX_CONCURRENT_REQUESTS: usize = 16;
/// How long an instance waits for a request before it is dropped.
const MAX_IDLE: Duration = Duration::from_secs(1);
/// Instances of all components at the same time; a request that needs one more is a 500.
pub(crate) const MAX_INSTANCES: usize = 1000;

/// The instances of one component.
pub(crate) struct Instances {
    pub(crate) component: Arc<Component>,
    pub(crate) request_timeout: Option<Duration>,
    pub(crate) slots: Arc<Semaphore>,
}

impl HandlerState for Instances {
    type StoreData = State;
    type WorkerExpiration = Expiration;
    type WorkerState = Limits;

    async fn instantiate(&self) -> wasmtime::Result<Instance<State, Expiration, Limits>> {
        let slot = self
            .slots
            .clone()
            .try_acquire_owned()
            .map_err(|_| format_err!("there are already {MAX_INSTANCES} instances"))?;
        let (store, proxy) = self.component.instantiate(slot).await?;
        Ok(Instance {
            store,
            proxy,
            view: State::http,
            expiration: Expiration {
                request_timeout: self.request_timeout,
                waiting: None,
            },
            state: Limits {
                component: self.component.clone(),
                request_timeout: self.request_timeout,
            },
        })
    }
}

/// Decides which requests an instance takes.
pub(crate) struct Limits {
    component: Arc<Component>,
    request_timeout: Option<Duration>,
}

impl WorkerState for Limits {
    type StoreData = State;
    type RequestData = ();

    fn should_accept_request(&self, concurrent: usize, total: usize) -> ShouldAccept {
        if total >= MAX_REQUESTS {
            ShouldAccept::Never
        } else if concurrent >= MAX_CONCURRENT_REQUESTS {
            ShouldAccept::No
        } else {
            ShouldAccept::Yes
        }
    }

    fn on_request_start(
        &self,
        _: StoreContextMut<'_, State>,
        (): (),
        _: GuestTaskId,
    ) -> Pin<Box<dyn Future<Output = ()> + Send + Sync>> {
        match self.request_timeout {
            Some(limit) => Box::pin(sleep(limit)),
            None => Box::pin(std::future::pending()),
        }
    }

    fn drop(&self, store: Store<State>, result: wasmtime::Result<()>) {
        // What the guest printed last comes before why it ended.
        drop(store);
        if let Err(error) = result {
            self.component.log.line(
                "runner",
                &format!(
                    "an instance of {} failed: {}",
                    self.component.name,
                    error.root_cause()
                ),
            );
        }
    }
}

/// Ends an instance that is idle, or busy for too long.
pub(crate) struct Expiration {
    request_timeout: Option<Duration>,
    /// Until when, and the timer for it.
    waiting: Option<(Instant, Pin<Box<Sleep>>)>,
}

impl WorkerExpiration for Expiration {
    fn poll(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        status: WorkerStatus,
        start: Instant,
    ) -> Poll<()> {
        let limit = match status {
            WorkerStatus::Idle => Some(MAX_IDLE),
            // Work after the response counts from the last response, as in Spin.
            WorkerStatus::Requests | WorkerStatus::PostReturn => self.request_timeout,
        };
        let Some(deadline) = limit.and_then(|limit| start.checked_add(limit)) else {
            self.waiting = None;
            return Poll::Pending;
        };
        if self
            .waiting
            .as_ref()
            .is_none_or(|(until, _)| *until != deadline)
        {
            let timer = tokio::time::sleep_until(deadline.into());
            self.waiting = Some((deadline, Box::pin(timer)));
        }
        match &mut self.waiting {
            Some((_, timer)) => timer.as_mut().poll(cx),
            None => Poll::Pending,
        }
    }
}
