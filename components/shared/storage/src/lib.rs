//! The destination of bytes: Supabase Storage.
//!
//! **The guarantee.** [`Storage::store`] and [`Storage::finish`] return `Ok` only when the Storage has
//! said that it has the object, whole. Objects are named by their content ([`object_path`]), so storing
//! twice is harmless, and an object that is already there with the right size is as good as stored.
//! An upload that breaks off leaves no object (seen on storage-api 1.11).

mod answer;
mod object;
mod resumable;
mod settings;

pub use object::{Info, Storage, Stored, object_path};
pub use resumable::{CHUNK_BYTES, Resumable};
pub use settings::Settings;
