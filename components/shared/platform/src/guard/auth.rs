//! Authentication and authorization, before anything of the body is read.

use std::rc::Rc;

use access::{Cache, Caller, Policy, identify, refusal_words};
use fault::Fault;
use http::HeaderName;
use http::header::AUTHORIZATION;
use ledger::{Postgres, PostgresError, Settings};

use super::{Guard, Refusal, Use};
use crate::log::{log, log_standing};
use crate::{Level, SpinClock, SpinHttp, SpinPostgres, SpinVariables};

const APIKEY: HeaderName = HeaderName::from_static("apikey");

thread_local! {
    // Shared by up to 16 concurrent requests of an instance, and by later ones.
    static CACHE: Rc<Cache> = Rc::default();
}

/// Postgres, or the invalid setting that prevents its use: service keys from variables work without Postgres.
struct Asked<'a>(&'a Result<SpinPostgres, Fault>);

impl Postgres for Asked<'_> {
    async fn run(
        &self,
        statement: &'static str,
        argument: Vec<u8>,
    ) -> Result<Vec<Vec<u8>>, PostgresError> {
        match self.0 {
            Ok(postgres) => postgres.run(statement, argument).await,
            Err(fault) => Err(PostgresError::Unset(fault.clone())),
        }
    }
}

/// The missing settings because of which nobody can be authenticated by Postgres; empty if that is not the
/// cause.
async fn missing(postgres: &Result<SpinPostgres, Fault>) -> Vec<&'static str> {
    match postgres {
        Ok(_) => Vec::new(),
        Err(_) => (Settings::missing(&SpinVariables).await).unwrap_or_default(),
    }
}

impl Guard {
    /// Admits callers who may start any work: holders of a service key for everything, and admins with a token.
    pub async fn admit(&self, postgres: &Result<SpinPostgres, Fault>) -> Result<Caller, Refusal> {
        self.admit_to(Use::Work, postgres).await
    }

    /// Admits trusted callers to a path of this use; [`Guard::admit`] does this for work.
    pub async fn admit_to(
        &self,
        r#use: Use,
        postgres: &Result<SpinPostgres, Fault>,
    ) -> Result<Caller, Refusal> {
        self.admit_whom(r#use, Caller::is_trusted, postgres).await
    }

    /// Admits callers who may start work as scheduled. [`Guard::only_as_scheduled`] restricts the jobs' key
    /// to that, once the body is known.
    pub async fn admit_jobs(
        &self,
        postgres: &Result<SpinPostgres, Fault>,
    ) -> Result<Caller, Refusal> {
        self.admit_whom(Use::Work, Caller::may_run_jobs, postgres)
            .await
    }

    /// Admits callers who may read, or anyone if `open`. `None` is an unknown caller, who sees what anyone
    /// may see.
    pub async fn admit_to_look(
        &self,
        open: bool,
        postgres: &Result<SpinPostgres, Fault>,
    ) -> Result<Option<Caller>, Refusal> {
        if !open {
            let caller = self.admit_whom(Use::Look, Caller::may_look, postgres).await;
            return caller.map(Some);
        }
        self.check_method(Use::Look)?;
        // An expired token must not lock its holder out of what anyone may see.
        let caller = self.identify(postgres).await.ok();
        Ok(caller.filter(|caller| caller.may_look()))
    }

    /// Refuses the jobs' key for any request that is not in `odoo_sync.jobs`: that key is in clear text in
    /// the queue of `pg_net`.
    pub async fn only_as_scheduled(
        &self,
        caller: Caller,
        body: &[u8],
        postgres: &SpinPostgres,
    ) -> Result<(), Refusal> {
        if caller.is_trusted() {
            return Ok(());
        }
        let body = if body.trim_ascii().is_empty() {
            b"{}"
        } else {
            body
        };
        let body = serde_json::from_slice(body).unwrap_or_default();
        if ledger::keys::is_scheduled(postgres, self.job, &body).await? {
            Ok(())
        } else {
            Err(Refusal::Forbidden(caller))
        }
    }

    async fn admit_whom(
        &self,
        r#use: Use,
        may: fn(Caller) -> bool,
        postgres: &Result<SpinPostgres, Fault>,
    ) -> Result<Caller, Refusal> {
        self.check_method(r#use)?;
        match self.identify(postgres).await {
            Ok(caller) if may(caller) => Ok(caller),
            Ok(caller) => Err(Refusal::Forbidden(caller)),
            Err(access::Refusal::Unavailable(fault)) => {
                let words = format!("who calls could not be checked: {fault}");
                log(Level::Error, self.job, &words).await;
                let missing = missing(postgres).await;
                Err(Refusal::Unavailable(fault.own_words(), missing))
            }
            Err(refusal) => {
                self.record(&refusal, postgres).await;
                Err(Refusal::Unauthorized(missing(postgres).await))
            }
        }
    }

    async fn identify(
        &self,
        postgres: &Result<SpinPostgres, Fault>,
    ) -> Result<Caller, access::Refusal> {
        let policy = Policy::read(&SpinVariables)
            .await
            .map_err(access::Refusal::Unavailable)?;
        log_standing(self.job, policy.gaps()).await;
        let cache = CACHE.with(Rc::clone);
        let (authorization, apikey) = self.tokens();
        let asked = Asked(postgres);
        identify(
            authorization,
            apikey,
            &policy,
            &cache,
            &asked,
            &SpinHttp,
            &SpinClock,
        )
        .await
    }

    fn tokens(&self) -> (Option<&str>, Option<&str>) {
        (self.header(&AUTHORIZATION), self.header(&APIKEY))
    }

    /// Logs a refused call, at most one a minute.
    async fn record(&self, refusal: &access::Refusal, postgres: &Result<SpinPostgres, Fault>) {
        let cache = CACHE.with(Rc::clone);
        let (authorization, apikey) = self.tokens();
        if let Ok(postgres) = postgres
            && cache.should_record_refusal(&SpinClock)
        {
            let words = refusal_words(refusal, authorization, apikey);
            if let Err(fault) = ledger::keys::log_refusal(postgres, self.job, words).await {
                let words = format!("a refused call could not be logged: {fault}");
                log(Level::Error, self.job, &words).await;
            }
        }
    }
}
