//! `POST /archive-batch` (`/functions/v1/archive-odoo-files`): one batch of the archive.

use archive::{Batch, Beginning, Environment, Report, Request, begin};
use fault::Blame;
use platform::{
    Answer, Job, SpinClock, SpinHttp, SpinPostgres, Variables, archive_settings, serve,
};
use spin_sdk::http_service;
use uuid::Uuid;

struct Archive;

impl Job for Archive {
    const NAME: &'static str = archive::JOB;
    const VARIABLES: &'static [&'static str] = &[
        "odoo_url",
        "odoo_database",
        "odoo_login",
        "odoo_api_key",
        "odoo_password",
        "odoo_protocol",
        "odoo_calls_per_second",
        "odoo_parallel_calls",
        "odoo_access_tokens",
        "storage_path",
        "storage_key",
        "storage_bucket",
        "archive_batch_seconds",
        "archive_lease_seconds",
        "archive_parallel_runs",
        "archive_parallel_uploads",
        "archive_max_file_bytes",
        "archive_max_rpc_bytes",
        "archive_domain",
        "archive_models",
        "archive_fields",
        "archive_mimetypes",
        "archive_companies",
        "archive_max_deleted_share",
    ];
    type Request = Request;
    type Begun = Box<Batch<SpinHttp, SpinClock, SpinPostgres>>;
    type Report = Report;

    fn parse(body: &[u8]) -> Result<Request, String> {
        Request::parse(body).map_err(|error| error.to_string())
    }

    async fn begin(
        postgres: SpinPostgres,
        variables: &Variables,
        request: Request,
        run_id: Uuid,
    ) -> Result<Self::Begun, Report> {
        let environment = Environment {
            http: SpinHttp,
            clock: SpinClock,
            postgres,
        };
        match begin(environment, archive_settings(variables), request, run_id).await {
            Beginning::Begun(batch) => Ok(batch),
            Beginning::Not(report) => Err(*report),
        }
    }

    async fn work(batch: Self::Begun, known: &mut odoo::Known) -> Report {
        batch.work(known).await
    }

    fn stopped(report: &Report) -> Option<Blame> {
        report.blame
    }

    fn line(report: &Report) -> String {
        let stopped = report
            .fault
            .as_ref()
            .and_then(|fault| fault.get("message"))
            .map_or_else(String::new, |message| format!(", stopped: {message}"));
        format!(
            "migrated {} failed {} skipped {} in {} s{stopped}",
            report.migrated, report.failed, report.skipped, report.elapsed_s,
        )
    }
}

#[http_service]
async fn handle(request: spin_sdk::http::Request) -> Answer {
    serve::<Archive>(request).await
}
