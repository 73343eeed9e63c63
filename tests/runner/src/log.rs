//! Where the lines go that components print and that the runner has to say.

use std::{
    io::Write,
    pin::Pin,
    sync::{Arc, Mutex, PoisonError},
    task::{Context, Poll},
};

use bytes::Bytes;
use tokio::io::AsyncWrite;
use wasmtime_wasi::{
    async_trait,
    cli::{IsTerminal, StdoutStream},
    p2::{OutputStream, Pollable, StreamError},
};

/// The sink of all lines: `[archive-batch] moved 3 files`.
#[derive(Clone, Debug, Default)]
pub enum Log {
    /// To the standard error of this process.
    #[default]
    Stderr,
    /// Kept in memory, for a test to read.
    Capture(Captured),
    /// Nowhere.
    Discard,
}

/// Lines kept in memory. Clones share them.
#[derive(Clone, Debug, Default)]
pub struct Captured(Arc<Mutex<Vec<String>>>);

impl Captured {
    /// All lines so far, each with its source in front: `[archive-batch] moved 3 files`.
    pub fn lines(&self) -> Vec<String> {
        self.0
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .clone()
    }
}

impl Log {
    /// Writes one line. `source` is a component's name, or that of what serves it.
    pub fn line(&self, source: &str, text: &str) {
        match self {
            Self::Stderr => {
                // A closed standard error is nobody's fault here.
                let _ = writeln!(std::io::stderr().lock(), "[{source}] {text}");
            }
            Self::Capture(Captured(lines)) => lines
                .lock()
                .unwrap_or_else(PoisonError::into_inner)
                .push(format!("[{source}] {text}")),
            Self::Discard => {}
        }
    }

    /// A standard output (or error) for one instance of `component`.
    pub(crate) fn output_of(&self, component: &Arc<str>) -> Output {
        Output(Arc::new(Mutex::new(Line {
            log: self.clone(),
            component: component.clone(),
            unfinished: Vec::new(),
        })))
    }
}

/// The bytes printed since the last line break.
struct Line {
    log: Log,
    component: Arc<str>,
    unfinished: Vec<u8>,
}

impl Line {
    fn write(&mut self, bytes: &[u8]) {
        let mut pieces = bytes.split(|byte| *byte == b'\n');
        if let Some(first) = pieces.next() {
            self.unfinished.extend_from_slice(first);
        }
        for piece in pieces {
            self.finish();
            self.unfinished.extend_from_slice(piece);
        }
    }

    fn finish(&mut self) {
        self.log.line(
            &self.component,
            &String::from_utf8_lossy(&std::mem::take(&mut self.unfinished)),
        );
    }
}

impl Drop for Line {
    fn drop(&mut self) {
        if !self.unfinished.is_empty() {
            self.finish();
        }
    }
}

/// Splits what one instance prints into lines. Never blocks and never fails, so that a panic's
/// message is logged before its trap takes the instance away.
#[derive(Clone)]
pub(crate) struct Output(Arc<Mutex<Line>>);

impl Output {
    fn print(&self, bytes: &[u8]) {
        self.0
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .write(bytes);
    }
}

impl IsTerminal for Output {
    fn is_terminal(&self) -> bool {
        false
    }
}

impl StdoutStream for Output {
    fn async_stream(&self) -> Box<dyn AsyncWrite + Send + Sync> {
        Box::new(self.clone())
    }

    fn p2_stream(&self) -> Box<dyn OutputStream> {
        Box::new(self.clone())
    }
}

impl AsyncWrite for Output {
    fn poll_write(
        self: Pin<&mut Self>,
        _: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<std::io::Result<usize>> {
        self.print(bytes);
        Poll::Ready(Ok(bytes.len()))
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<std::io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<std::io::Result<()>> {
        Poll::Ready(Ok(()))
    }
}

#[async_trait]
impl Pollable for Output {
    async fn ready(&mut self) {}
}

#[async_trait]
impl OutputStream for Output {
    fn write(&mut self, bytes: Bytes) -> Result<(), StreamError> {
        self.print(&bytes);
        Ok(())
    }

    fn flush(&mut self) -> Result<(), StreamError> {
        Ok(())
    }

    fn check_write(&mut self) -> Result<usize, StreamError> {
        Ok(64 * 1024)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_carries_its_component_and_is_whole_however_it_was_written() {
        let captured = Captured::default();
        let output = Log::Capture(captured.clone()).output_of(&"archive-batch".into());
        output.print(b"mov");
        output.print(b"ed 3\nskipped 1\n\nunfini");
        assert_eq!(
            captured.lines(),
            [
                "[archive-batch] moved 3",
                "[archive-batch] skipped 1",
                "[archive-batch] "
            ]
        );
        output.print(b"shed");
        drop(output);
        assert_eq!(
            captured.lines().last().map(String::as_str),
            Some("[archive-batch] unfinished")
        );
    }
}
