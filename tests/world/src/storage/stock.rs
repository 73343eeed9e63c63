//! What is stored: buckets, objects, and how much room is left.

use std::collections::{BTreeMap, HashMap};

use chrono::{DateTime, SecondsFormat};
use serde::Serialize;
use serde_json::{Value, json};
use uuid::Uuid;

use super::answers::Refusal;
use super::intake::{Kept, Taken};
use crate::serve::unpredictable;

/// A bucket and its rules.
#[derive(Debug, Clone, Serialize, PartialEq, Eq)]
pub struct Bucket {
    /// Its id, which is its name too.
    pub name: String,
    /// Whether anyone may read.
    pub public: bool,
    /// The largest object in bytes.
    pub file_size_limit: Option<u64>,
    /// Which types it takes, such as `image/*`.
    pub allowed_mime_types: Option<Vec<String>>,
}

impl Bucket {
    /// A private bucket that takes everything.
    pub fn private(name: &str) -> Self {
        Self {
            name: name.to_owned(),
            public: false,
            file_size_limit: None,
            allowed_mime_types: None,
        }
    }

    pub(crate) fn takes(&self, mimetype: &str) -> bool {
        let bare = mimetype.split(';').next().unwrap_or_default().trim();
        self.allowed_mime_types.as_ref().is_none_or(|allowed| {
            allowed.iter().any(|pattern| {
                pattern == bare
                    || pattern
                        .strip_suffix('*')
                        .is_some_and(|family| bare.starts_with(family))
            })
        })
    }
}

/// An object as it is stored, for a look from outside.
#[derive(Debug, Clone, Serialize, PartialEq, Eq)]
pub struct Stored {
    /// The bucket.
    pub bucket: String,
    /// The name in the bucket.
    pub name: String,
    /// The size in bytes.
    pub size: u64,
    /// The SHA-1 of the bytes, in hexadecimal.
    pub sha1: String,
    /// The type that was given.
    pub mimetype: String,
    /// The etag with its quotes.
    pub etag: String,
    /// What was given along as its own description.
    pub metadata: Value,
}

#[derive(Debug, Clone)]
pub(crate) struct Object {
    pub id: Uuid,
    pub version: Uuid,
    pub len: u64,
    pub sha1: [u8; 20],
    pub etag: String,
    pub kept: Kept,
    pub mimetype: String,
    pub cache_control: String,
    /// What the user gave along; nothing for a resumable upload that names none.
    pub metadata: Value,
    pub created_us: i64,
    pub updated_us: i64,
}

/// An object in a listing, or a folder, which is as old as the first object in it.
pub(crate) struct Entry<'a> {
    pub name: String,
    pub created_us: i64,
    pub updated_us: i64,
    pub object: Option<&'a Object>,
}

impl Entry<'_> {
    /// What it is sorted as among others: a folder as a name with a slash at its end.
    pub(crate) fn sorted_as(&self) -> String {
        let end = if self.object.is_none() { "/" } else { "" };
        format!("{}{end}", self.name)
    }
}

/// What comes with an object's bytes.
#[derive(Debug, Clone)]
pub(crate) struct Label {
    pub bucket: String,
    pub name: String,
    pub version: Uuid,
    pub mimetype: String,
    pub cache_control: String,
    pub metadata: Value,
}

pub(crate) struct Stock {
    pub buckets: BTreeMap<String, (Bucket, i64)>,
    objects: HashMap<String, BTreeMap<String, Object>>,
    pub used_bytes: u64,
    pub quota_bytes: Option<u64>,
}

impl Stock {
    pub(crate) fn new(buckets: Vec<Bucket>, quota_bytes: Option<u64>) -> Self {
        let now = crate::odoo::now_us();
        let buckets = buckets
            .into_iter()
            .map(|bucket| (bucket.name.clone(), (bucket, now)))
            .collect();
        Self {
            buckets,
            objects: HashMap::new(),
            used_bytes: 0,
            quota_bytes,
        }
    }

    pub(crate) fn bucket(&self, name: &str) -> Result<&Bucket, Refusal> {
        self.buckets
            .get(name)
            .map(|(bucket, _)| bucket)
            .ok_or_else(Refusal::no_bucket)
    }

    pub(crate) fn object(&self, bucket: &str, name: &str) -> Option<&Object> {
        self.objects.get(bucket)?.get(name)
    }

    /// The same, to be changed.
    pub(crate) fn object_mut(&mut self, bucket: &str, name: &str) -> Option<&mut Object> {
        self.objects.get_mut(bucket)?.get_mut(name)
    }

    /// Whether so many more bytes are within the quota.
    pub(crate) fn has_room(&self, bytes: u64) -> bool {
        self.quota_bytes
            .is_none_or(|quota| self.used_bytes.saturating_add(bytes) <= quota)
    }

    /// Stores an object, in place of one of the same name; returns its id.
    pub(crate) fn put(&mut self, label: Label, taken: Taken) -> Uuid {
        let now = crate::odoo::now_us();
        let objects = self.objects.entry(label.bucket).or_default();
        let old = objects.get(&label.name);
        let (id, created_us) = old.map_or((uuid(), now), |old| (old.id, old.created_us));
        if let Some(old) = old {
            self.used_bytes -= old.len;
            old.kept.discard();
        }
        self.used_bytes += taken.len;
        let object = Object {
            id,
            version: label.version,
            len: taken.len,
            sha1: taken.sha1,
            etag: taken.etag,
            kept: taken.kept,
            mimetype: label.mimetype,
            cache_control: label.cache_control,
            metadata: label.metadata,
            created_us,
            updated_us: now,
        };
        objects.insert(label.name, object);
        id
    }

    pub(crate) fn remove(&mut self, bucket: &str, name: &str) -> Option<Object> {
        let removed = self.objects.get_mut(bucket)?.remove(name)?;
        self.used_bytes -= removed.len;
        removed.kept.discard();
        Some(removed)
    }

    /// Whether a bucket holds any object.
    pub(crate) fn holds_anything(&self, bucket: &str) -> bool {
        self.objects
            .get(bucket)
            .is_some_and(|objects| !objects.is_empty())
    }

    /// Takes all objects out of a bucket.
    pub(crate) fn empty(&mut self, bucket: &str) {
        for object in self
            .objects
            .remove(bucket)
            .into_iter()
            .flat_map(BTreeMap::into_values)
        {
            self.used_bytes -= object.len;
            object.kept.discard();
        }
    }

    /// All objects whose names begin so, in the order of their names; or, below that beginning, folders in their place.
    pub(crate) fn entries(&self, bucket: &str, prefix: &str, delimited: bool) -> Vec<Entry<'_>> {
        let mut entries: Vec<Entry<'_>> = Vec::new();
        for (name, object) in self.objects.get(bucket).into_iter().flatten() {
            let Some(inside) = name.strip_prefix(prefix) else {
                continue;
            };
            let folder = inside.split_once('/').filter(|_| delimited);
            let mut entry = Entry {
                name: name.clone(),
                created_us: object.created_us,
                updated_us: object.updated_us,
                object: Some(object),
            };
            if let Some((folder, _)) = folder {
                entry.name = format!("{prefix}{folder}");
                entry.updated_us = entry.created_us;
                entry.object = None;
            }
            match entries.last_mut() {
                Some(last)
                    if folder.is_some() && last.object.is_none() && last.name == entry.name =>
                {
                    last.created_us = last.created_us.min(entry.created_us);
                    last.updated_us = last.created_us;
                }
                _ => entries.push(entry),
            }
        }
        entries
    }

    pub(crate) fn all(&self) -> impl Iterator<Item = (&str, &str, &Object)> {
        self.objects.iter().flat_map(|(bucket, objects)| {
            objects
                .iter()
                .map(move |(name, object)| (bucket.as_str(), name.as_str(), object))
        })
    }

    /// One folder: its objects and, without an id, its folders.
    pub(crate) fn list(
        &self,
        bucket: &str,
        folder: &str,
        search: &str,
        descending: bool,
        page: (usize, usize),
    ) -> Vec<Value> {
        let Some(objects) = self.objects.get(bucket) else {
            return Vec::new();
        };
        let folder = match folder.trim_matches('/') {
            "" => String::new(),
            folder => format!("{folder}/"),
        };
        let from = format!("{folder}{search}");
        let mut entries = Vec::new();
        let mut at = from.clone();
        while let Some((name, object)) = objects.range(at.clone()..).next() {
            let Some(inside) = name
                .starts_with(&from)
                .then(|| name.strip_prefix(&folder))
                .flatten()
            else {
                break;
            };
            if let Some((subfolder, _)) = inside.split_once('/') {
                entries.push((subfolder.to_owned(), None));
                // `0` comes right after `/`: the next name outside the folder.
                at = format!("{folder}{subfolder}0");
            } else {
                entries.push((inside.to_owned(), Some(object)));
                at = format!("{name}\0");
            }
        }
        // In the order of whole names: `a.b` before `a/`, which is listed as `a`.
        if descending {
            entries.reverse();
        }
        let (offset, limit) = page;
        let page = entries.into_iter().skip(offset).take(limit);
        page.map(|(name, object)| {
            object.map_or_else(|| folder_entry(&name), |object| object.entry(&name))
        })
        .collect()
    }
}

fn folder_entry(name: &str) -> Value {
    json!({
        "name": name, "id": null, "updated_at": null, "created_at": null, "last_accessed_at": null, "metadata": null,
    })
}

impl Object {
    /// The object as a listing shows it.
    pub(crate) fn entry(&self, name: &str) -> Value {
        let (created, updated) = (iso(self.created_us), iso(self.updated_us));
        json!({
            "name": name, "id": self.id, "updated_at": updated, "created_at": created, "last_accessed_at": created,
            "metadata": {
                "eTag": self.etag, "size": self.len, "mimetype": self.mimetype, "cacheControl": self.cache_control,
                "lastModified": updated, "contentLength": self.len, "httpStatusCode": 200,
            },
        })
    }
}

/// A new random id.
pub(crate) fn uuid() -> Uuid {
    let random = u128::from(unpredictable()) << 64 | u128::from(unpredictable());
    uuid::Builder::from_random_bytes(random.to_be_bytes()).into_uuid()
}

/// A date as JavaScript writes it.
pub(crate) fn iso(us: i64) -> String {
    DateTime::from_timestamp_micros(us)
        .map(|at| at.to_rfc3339_opts(SecondsFormat::Millis, true))
        .unwrap_or_default()
}
