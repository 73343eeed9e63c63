//! The destination of bytes: Supabase Storage.
//!
//! **The guarantee.** What Storage has counts, not what was sent: an object is confirmed when its size
//! and, where its etag is one, its MD5 are those of the content ([`Info::holds`]). [`Storage::finish`]
//! does that; after [`Storage::store`] it is still to be done unless that says so, since its answer says
//! nothing of what was stored, and a listing tells it of many objects at once. Objects are named by
//! their content ([`content::ObjectPath`]), so storing twice is harmless. An upload that breaks off leaves no
//! object (seen on storage-api 1.11).

mod answer;
mod info;
mod object;
mod resumable;
mod settings;
mod setup;

pub use info::{Fingerprint, Info};
pub use object::{Label, Storage, Stored};
pub use resumable::{CHUNK_BYTES, Resumable};
pub use settings::{Settings, Told};
pub use setup::Bucket;
