//! Bytes on their way in: hashed and counted as they come, kept as far as is wanted.

use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;
use std::path::PathBuf;
use std::sync::Arc;

use bytes::Bytes;
use md5::Md5;
use sha1::{Digest, Sha1};

use super::{Etags, KeepBytes};
use crate::serve::Source;

/// The size of a part of a resumable upload.
pub(crate) const PART_BYTES: u64 = 6 * 1024 * 1024;

/// An object that is not complete yet.
#[derive(Clone)]
pub(crate) struct Intake {
    len: u64,
    sha1: Sha1,
    md5: Md5,
    /// Of a multipart upload: the MD5 of each full part.
    parts: Option<Vec<u8>>,
    keeping: Keeping,
}

#[derive(Clone)]
enum Keeping {
    Not,
    Memory { bytes: Vec<u8>, max: u64 },
    File { file: Arc<File>, path: PathBuf },
}

/// The bytes of a complete object, where they were kept.
#[derive(Debug, Clone)]
pub(crate) enum Kept {
    Not,
    Memory(Bytes),
    File {
        file: Arc<File>,
        path: PathBuf,
        len: u64,
    },
}

/// What is known of a complete object's bytes.
pub(crate) struct Taken {
    pub len: u64,
    pub sha1: [u8; 20],
    pub etag: String,
    pub kept: Kept,
}

impl Intake {
    pub(crate) fn new(
        keep: &KeepBytes,
        etags: Etags,
        in_parts: bool,
        name: &str,
    ) -> io::Result<Self> {
        let keeping = match keep {
            KeepBytes::None => Keeping::Not,
            KeepBytes::Memory { max_object_bytes } => Keeping::Memory {
                bytes: Vec::new(),
                max: *max_object_bytes,
            },
            KeepBytes::Dir(dir) => {
                let path = dir.join(name);
                let file = File::options()
                    .read(true)
                    .write(true)
                    .create(true)
                    .truncate(true)
                    .open(&path)?;
                Keeping::File {
                    file: Arc::new(file),
                    path,
                }
            }
        };
        let parts = (in_parts && etags == Etags::Multipart).then(Vec::new);
        Ok(Self {
            len: 0,
            sha1: Sha1::new(),
            md5: Md5::new(),
            parts,
            keeping,
        })
    }

    pub(crate) fn len(&self) -> u64 {
        self.len
    }

    pub(crate) fn take(&mut self, mut piece: &[u8]) -> io::Result<()> {
        self.sha1.update(piece);
        match &mut self.keeping {
            Keeping::Memory { bytes, max } if self.len + piece.len() as u64 <= *max => {
                bytes.extend_from_slice(piece);
            }
            Keeping::Memory { .. } => self.keeping = Keeping::Not,
            Keeping::File { file, .. } => file.write_all_at(piece, self.len)?,
            Keeping::Not => {}
        }
        let Some(parts) = &mut self.parts else {
            self.md5.update(piece);
            self.len += piece.len() as u64;
            return Ok(());
        };
        while !piece.is_empty() {
            let room = usize::try_from(PART_BYTES - self.len % PART_BYTES).unwrap_or(usize::MAX);
            let (part, rest) = piece.split_at(room.min(piece.len()));
            self.md5.update(part);
            self.len += part.len() as u64;
            if self.len.is_multiple_of(PART_BYTES) {
                parts.extend_from_slice(&self.md5.finalize_reset());
            }
            piece = rest;
        }
        Ok(())
    }

    pub(crate) fn finish(self) -> Taken {
        use crate::odoo::hex;
        let etag = match self.parts {
            None => format!("\"{}\"", hex(&self.md5.finalize())),
            Some(mut parts) => {
                if !self.len.is_multiple_of(PART_BYTES) {
                    parts.extend_from_slice(&self.md5.finalize());
                }
                format!("\"{}-{}\"", hex(&Md5::digest(&parts)), parts.len() / 16)
            }
        };
        let kept = match self.keeping {
            Keeping::Not => Kept::Not,
            Keeping::Memory { bytes, .. } => Kept::Memory(bytes.into()),
            Keeping::File { file, path } => Kept::File {
                file,
                path,
                len: self.len,
            },
        };
        Taken {
            len: self.len,
            sha1: self.sha1.finalize().into(),
            etag,
            kept,
        }
    }
}

impl Kept {
    pub(crate) fn source(&self) -> Option<Arc<dyn Source>> {
        match self {
            Self::Not => None,
            Self::Memory(bytes) => Some(Arc::new(bytes.clone())),
            Self::File { file, len, .. } => Some(Arc::new(Spooled {
                file: file.clone(),
                len: *len,
            })),
        }
    }

    /// Frees what the bytes took up.
    pub(crate) fn discard(&self) {
        if let Self::File { path, .. } = self {
            let _ = std::fs::remove_file(path);
        }
    }
}

/// An object's bytes in a file.
struct Spooled {
    file: Arc<File>,
    len: u64,
}

impl Source for Spooled {
    fn len(&self) -> u64 {
        self.len
    }

    fn read(&self, at: u64, max: u64) -> io::Result<Bytes> {
        let wanted = usize::try_from(max.min(self.len.saturating_sub(at)).min(256 * 1024))
            .unwrap_or_default();
        let mut piece = vec![0; wanted];
        let read = self.file.read_at(&mut piece, at)?;
        piece.truncate(read);
        Ok(piece.into())
    }
}
