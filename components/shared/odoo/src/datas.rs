//! Contents by RPC: many small files in one call, or one large file as a stream.

use std::collections::VecDeque;

use bytes::Bytes;
use fault::{Fault, Kind};
use futures::StreamExt;
use futures::stream::{self, LocalBoxStream};
use outbound::{ByteStream, Clock, Http};
use serde_json::{Map, json};

use crate::limiter::Permit;
use crate::{DatasDecoder, DatasError, Event, Odoo, Protocol, Settings, answer};

/// One file's content.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct File {
    /// The attachment's id.
    pub id: i64,
    /// Its bytes. Also empty if Odoo has lost the file: `datas` is then `""`, without any error (seen on 18), so
    /// always check length and SHA-1.
    pub content: Bytes,
}

/// The files in the answer to one call, as they arrive.
pub struct Datas {
    body: ByteStream,
    decoder: DatasDecoder,
    current: Vec<u8>,
    complete: VecDeque<File>,
    bytes_left: usize,
    ended: bool,
    settings: Settings,
    _permit: Permit,
}

impl<H: Http, C: Clock> Odoo<H, C> {
    /// Asks for the contents of these attachments, at most `max_bytes` in all. The answer leaves out files that do
    /// not exist or may not be read.
    pub async fn datas(&self, ids: &[i64], max_bytes: usize) -> Result<Datas, Fault> {
        let mut named = Map::new();
        named.insert("fields".into(), json!(["datas"]));
        let (response, permit) = self
            .send("ir.attachment", "read", Some(ids), named, None)
            .await?;
        answer::head(&response).map_err(|fault| self.met(fault))?;
        if self.connect().await? == Protocol::Json2 && !response.status.is_success() {
            return Err(self.met(answer::json2_error(response).await));
        }
        Ok(Datas {
            body: response.body,
            decoder: DatasDecoder::new(),
            current: Vec::new(),
            complete: VecDeque::new(),
            bytes_left: max_bytes,
            ended: false,
            settings: self.settings.clone(),
            _permit: permit,
        })
    }

    /// Streams the content of one attachment that is too large to be held.
    pub async fn datas_stream(
        &self,
        id: i64,
    ) -> Result<LocalBoxStream<'static, Result<Bytes, Fault>>, Fault> {
        let datas = self.datas(&[id], usize::MAX).await?;
        Ok(
            stream::try_unfold(datas, async |mut datas: Datas| match datas.more().await {
                Ok(true) => {
                    let chunk = Bytes::from(std::mem::take(&mut datas.current));
                    Ok(Some((chunk, datas)))
                }
                Ok(false) => Ok(None),
                Err(fault) => Err(fault),
            })
            .boxed_local(),
        )
    }
}

impl Datas {
    /// The next file, or `None` after the last.
    pub async fn next(&mut self) -> Result<Option<File>, Fault> {
        loop {
            if let Some(file) = self.complete.pop_front() {
                return Ok(Some(file));
            }
            if self.ended {
                return Ok(None);
            }
            self.read().await?;
        }
    }

    /// Reads until bytes of the current record are available. Returns whether there are any.
    async fn more(&mut self) -> Result<bool, Fault> {
        while self.current.is_empty() {
            if let Some(file) = self.complete.pop_front() {
                if file.content.is_empty() {
                    continue;
                }
                self.current = file.content.into();
                return Ok(true);
            }
            if self.ended {
                return Ok(false);
            }
            self.read().await?;
        }
        Ok(true)
    }

    /// Reads one chunk of the answer.
    async fn read(&mut self) -> Result<(), Fault> {
        let Some(chunk) = self.body.next().await else {
            self.ended = true;
            self.decoder.finish().map_err(fault)?;
            return match self.decoder.error() {
                Some((name, message)) => {
                    let fault = answer::named_error(name, message);
                    Err(self.settings.hide_secrets_in(fault))
                }
                None if self.decoder.has_list() => Ok(()),
                None => Err(answer::broken()),
            };
        };
        let chunk = chunk.map_err(answer::transport)?;
        let Self {
            decoder,
            current,
            complete,
            bytes_left,
            ..
        } = self;
        let mut over = false;
        decoder
            .push(&chunk, &mut |event| match event {
                Event::Bytes(bytes) => match bytes_left.checked_sub(bytes.len()) {
                    Some(left) => {
                        *bytes_left = left;
                        current.extend_from_slice(bytes);
                    }
                    None => over = true,
                },
                Event::Record { id, .. } => {
                    // The file may wait for its permit: free the spare capacity.
                    current.shrink_to_fit();
                    complete.push_back(File {
                        id,
                        content: std::mem::take(current).into(),
                    });
                }
            })
            .map_err(fault)?;
        if over {
            return Err(Fault::new(
                Kind::WrongBytes,
                "Odoo sends more bytes than it says the file has",
            ));
        }
        Ok(())
    }
}

fn fault(error: DatasError) -> Fault {
    match error {
        DatasError::Truncated => Fault::new(Kind::Truncated, "Odoo's answer ended too early"),
        DatasError::Base64 => Fault::new(Kind::WrongBytes, "Odoo's content is not base64"),
        DatasError::Shape | DatasError::TooLong => answer::broken(),
    }
}
