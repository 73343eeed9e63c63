//! The client of Supabase Storage, where the bytes go.
//!
//! **The guarantee.** What counts is what Storage has, not what was sent: an object is confirmed if its size
//! and, where the etag is an MD5, its MD5 equal those of the content ([`Info::holds`]). [`Storage::finish`]
//! checks this. After [`Storage::store`] the caller still has to, unless the result is [`Stored::Confirmed`],
//! because the response says nothing about the stored bytes; one listing checks many objects at once. Objects
//! are named by their content ([`content::ObjectPath`]), so storing twice is harmless. An upload that breaks
//! off leaves no object (seen on storage-api 1.11).

mod answer;
mod info;
mod object;
mod resumable;
mod settings;
mod setup;

pub use info::{Fingerprint, Info};
pub use object::{Label, Storage, Stored};
pub use resumable::{CHUNK_BYTES, Resumable};
pub use settings::{Settings, Summary};
pub use setup::Bucket;
