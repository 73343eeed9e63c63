//! Reads whole objects back and checks their SHA-1.

use std::collections::{BTreeMap, HashMap};

use futures::{StreamExt, stream};
use ledger::Postgres;
use ledger::objects::Moved;
use outbound::{Clock, Http};
use sha1::{Digest, Sha1};

use super::{READ_AT_ONCE, Sign, Verification};

impl<H: Http, C: Clock, P: Postgres> Verification<'_, H, C, P> {
    /// Whether the bytes of these objects have the SHA-1 in their names.
    pub(super) async fn read(&self, files: &BTreeMap<&str, &Moved>) -> HashMap<String, Sign> {
        let reading = files.values().map(|file| async {
            let sign = self.read_object(file).await;
            (file.checksum.clone(), sign)
        });
        stream::iter(reading)
            .buffer_unordered(READ_AT_ONCE)
            .collect()
            .await
    }

    async fn read_object(&self, file: &Moved) -> Sign {
        let mut chunks = match self.storage.read(&file.object_path).await {
            Ok(Some(chunks)) => chunks,
            Ok(None) => return Sign::MissingAtDestination,
            Err(_) => return Sign::Error,
        };
        let mut sha1 = Sha1::new();
        while let Some(chunk) = chunks.next().await {
            let Ok(chunk) = chunk else {
                return Sign::Error;
            };
            sha1.update(chunk);
        }
        if crate::transfer::hex(&sha1.finalize()) == file.checksum {
            Sign::Same
        } else {
            Sign::Differs
        }
    }
}

#[cfg(test)]
mod tests {
    use std::cell::{Cell, RefCell};
    use std::future::poll_fn;
    use std::pin::pin;
    use std::rc::Rc;
    use std::task::Poll;

    use bytes::Bytes;
    use futures::FutureExt;
    use http::header::CONTENT_TYPE;
    use http::{HeaderMap, HeaderValue, StatusCode};
    use ledger::PostgresError;
    use outbound::{Request as HttpRequest, Response, Secret, TransportError};
    use serde_json::json;

    use std::time::Duration;

    use fault::{Fault, Kind};
    use ledger::runs::RunId;
    use odoo::Odoo;
    use serde_json::Value;
    use storage::Storage;

    use super::super::Verified;
    use super::*;
    use crate::request::Part;
    use crate::{Request, Settings};

    /// Postgres, Odoo, Storage and the clock for one object that takes a quarter of an hour to read.
    struct World {
        sha1: String,
        now: Rc<Cell<Duration>>,
        beats: RefCell<Vec<Duration>>,
        alive: bool,
    }

    /// Yields once to other futures.
    async fn turn() {
        let mut had = false;
        poll_fn(|context| {
            context.waker().wake_by_ref();
            if std::mem::replace(&mut had, true) {
                Poll::Ready(())
            } else {
                Poll::Pending
            }
        })
        .await;
    }

    const CHUNKS: u64 = 30;
    const CHUNK_TIME: Duration = Duration::from_secs(30);

    impl World {
        fn new(alive: bool) -> Self {
            let bytes = vec![7; usize::try_from(CHUNKS).unwrap()];
            Self {
                sha1: crate::transfer::hex(&Sha1::digest(&bytes)),
                now: Rc::default(),
                beats: RefCell::default(),
                alive,
            }
        }

        fn row(&self) -> Value {
            json!({
                "id": 1, "type": "binary", "checksum": self.sha1, "file_size": CHUNKS, "etag": null,
                "object_path": content::ObjectPath::of(&self.sha1.parse().unwrap()), "deleted": false, "lost": false,
            })
        }
    }

    impl Clock for World {
        fn now(&self) -> Duration {
            self.now.get()
        }
        fn unix_seconds(&self) -> i64 {
            0
        }
        async fn sleep(&self, time: Duration) {
            let until = self.now.get() + time;
            while self.now.get() < until {
                turn().await;
            }
        }
        fn chance(&self) -> f64 {
            0.5
        }
    }

    impl Postgres for World {
        async fn run(
            &self,
            statement: &'static str,
            argument: Vec<u8>,
        ) -> Result<Vec<Vec<u8>>, PostgresError> {
            if statement.contains("leased_until") {
                self.beats.borrow_mut().push(self.now.get());
                return Ok(vec![json!(self.alive).to_string().into_bytes()]);
            }
            if statement.contains("pg_stat_activity") {
                return Ok(vec![
                    json!("2026-11-29T12:00:00+00:00").to_string().into_bytes(),
                ]);
            }
            let argument: Value = serde_json::from_slice(&argument).unwrap();
            // Only the first page by folders has a row; the query for the rest has none.
            let first = argument["after_id"] == 0;
            Ok(first
                .then(|| self.row().to_string().into())
                .into_iter()
                .collect())
        }
    }

    impl Http for World {
        async fn send(&self, request: HttpRequest) -> Result<Response, TransportError> {
            let listed = json!({ "name": self.sha1, "metadata": { "size": CHUNKS } });
            let chunks = if request.url.ends_with("/jsonrpc") {
                let Some(call) = &request.body else {
                    return Err(TransportError::Reset);
                };
                let call = String::from_utf8_lossy(call);
                let result = if call.contains("\"authenticate\"") {
                    json!(2)
                } else if call.contains("\"search\"") {
                    json!([1])
                } else {
                    json!([self.row()])
                };
                vec![json!({ "result": result }).to_string().into()]
            } else if request.url.contains("/list/") {
                vec![json!([listed]).to_string().into()]
            } else {
                vec![Bytes::from_static(&[7]); usize::try_from(CHUNKS).unwrap()]
            };
            let is_object = chunks.len() > 1;
            let now = self.now.clone();
            let body = stream::iter(chunks).then(move |chunk| {
                let now = now.clone();
                async move {
                    if is_object {
                        now.set(now.get() + CHUNK_TIME);
                        turn().await;
                    }
                    Ok(chunk)
                }
            });
            let json = HeaderValue::from_static("application/json");
            Ok(Response {
                status: StatusCode::OK,
                headers: HeaderMap::from_iter([(CONTENT_TYPE, json)]),
                body: body.boxed_local(),
            })
        }
    }

    fn verify(world: &World) -> Result<Verified, Fault> {
        let settings = Settings {
            odoo: odoo::Settings {
                url: "http://odoo".into(),
                database: "odoo".into(),
                login: "admin".into(),
                password: Secret::new("of-the-admin"),
                ..odoo::Settings::default()
            },
            storage: storage::Settings {
                url: "http://storage".into(),
                key: Secret::new("of-the-storage"),
                bucket: "files".into(),
                ..storage::Settings::default()
            },
            ..Settings::default()
        };
        let folder = u16::from_str_radix(&world.sha1[..2], 16).unwrap();
        let verification = Verification {
            odoo: &Odoo::new(world, world, settings.odoo.clone(), odoo::Known::default())?,
            storage: &Storage::new(world, settings.storage.clone())?,
            postgres: world,
            clock: &world,
            settings: &settings,
            run_id: RunId::default(),
            request: &Request {
                read_data: Some(Part { part: 1, parts: 1 }),
                ..Request::default()
            },
            until: settings.batch,
            check: None,
        };
        let position = json!({ "next_folder": folder, "began": "2026-11-29T11:00:00Z" });
        let mut run = pin!(verification.run(Some(&position)));
        loop {
            if let Some(done) = run.as_mut().now_or_never() {
                return done;
            }
        }
    }

    #[test]
    fn an_object_that_reads_longer_than_the_lease_is_read_to_its_end_under_it() {
        let world = World::new(true);
        let verified = verify(&world).unwrap();
        assert_eq!((verified.read, verified.count(Sign::Same)), (1, 1));
        assert!(world.now.get() > Duration::from_secs(Settings::default().lease_s.into()) * 2);
        let beats = world.beats.take();
        let longest = beats
            .iter()
            .zip(std::iter::once(&Duration::ZERO).chain(&beats))
            .map(|(beat, before)| beat.saturating_sub(*before))
            .max();
        assert!(longest < Some(Duration::from_mins(2)), "{beats:?}");
    }

    #[test]
    fn a_verification_that_was_given_up_reads_no_further() {
        let world = World::new(false);
        assert_eq!(
            verify(&world).map_err(|fault| fault.kind()),
            Err(Kind::OutOfTime)
        );
        assert!(world.now.get() < CHUNK_TIME * 4);
    }
}
