//! One attachment: what its columns are, generated or given.

use std::borrow::Cow;

use super::super::domain::{Cell, Row as Comparable};
use super::content::Content;
use crate::serve::{Source, scramble};

/// Where the content is, as the column `type` says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// In Odoo's own store.
    Binary,
    /// Nowhere: the row is a link.
    Url,
    /// In a bucket of the company's own (from 18).
    CloudStorage,
}

impl Kind {
    pub(crate) fn as_str(self) -> &'static str {
        match self {
            Self::Binary => "binary",
            Self::Url => "url",
            Self::CloudStorage => "cloud_storage",
        }
    }
}

/// What became of the record that an attachment hangs on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Holder {
    /// It is there, or there never was one.
    There,
    /// It was deleted by SQL.
    Deleted,
    /// Its model was uninstalled.
    ModelGone,
}

/// What is wrong with the stored file.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Damage {
    /// The row is there, the file is not.
    Lost,
    /// As many bytes, but others.
    WrongBytes,
    /// Only the first half.
    Truncated,
    /// Nothing, though the file is there.
    Zeroed,
}

/// A row of ir.attachment. What is `None` follows from the id.
#[derive(Debug, Clone)]
#[expect(clippy::struct_excessive_bools, reason = "each may be so, or not")]
pub(crate) struct Row {
    pub id: i64,
    /// Tells one content from another; rows that share it share their bytes.
    pub seed: u64,
    pub len: u64,
    pub given: Option<bytes::Bytes>,
    pub damage: Option<Damage>,
    pub kind: Kind,
    pub res_model: Option<Cow<'static, str>>,
    pub res_id: i64,
    pub res_field: Option<Cow<'static, str>>,
    pub company: Option<i64>,
    pub public: bool,
    /// Its record is beyond everybody's rights, an administrator's too.
    pub hidden: bool,
    pub name: Option<String>,
    pub mimetype: Option<Cow<'static, str>>,
    pub url: Option<String>,
    pub access_token: Option<String>,
    pub create_us: i64,
    pub write_us: i64,
    pub holder: Holder,
    /// Whether its columns of checksum and size are empty, though it has bytes.
    pub unchecked: bool,
    /// Whether its columns of dates are empty.
    pub undated: bool,
    /// Whether its record may be read, but not written to.
    pub read_only: bool,
    /// Whether its record is one that a salesman does not see.
    pub of_another: bool,
}

/// What people attach, and how it is called.
const MIMETYPES: [(&str, &str, &str); 8] = [
    ("application/pdf", "Quotation", "pdf"),
    ("application/pdf", "Contract", "pdf"),
    ("image/jpeg", "photo", "jpg"),
    ("image/png", "Screenshot", "png"),
    (
        "application/vnd.openxmlformats-officedocument.wordprocessingml.document",
        "Offer",
        "docx",
    ),
    (
        "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet",
        "Calculation",
        "xlsx",
    ),
    ("text/plain", "notes", "txt"),
    ("application/octet-stream", "drawing", "dwg"),
];

impl Row {
    fn habit(&self) -> (&'static str, &'static str, &'static str) {
        let chosen = usize::try_from(scramble(self.seed ^ 0x6d69_6d65) % MIMETYPES.len() as u64)
            .unwrap_or_default();
        MIMETYPES
            .get(chosen)
            .copied()
            .unwrap_or(("application/octet-stream", "file", "bin"))
    }

    pub(crate) fn name(&self) -> Cow<'_, str> {
        if let Some(name) = &self.name {
            return Cow::Borrowed(name);
        }
        let (_, stem, extension) = self.habit();
        Cow::Owned(format!("{stem} {:05}.{extension}", self.id))
    }

    pub(crate) fn mimetype(&self) -> &str {
        match (&self.mimetype, self.kind) {
            (Some(mimetype), _) => mimetype,
            (None, Kind::Binary) => self.habit().0,
            (None, _) => "application/octet-stream",
        }
    }

    /// How many bytes Odoo believes the file to have.
    pub(crate) fn file_size(&self) -> u64 {
        if self.unchecked { 0 } else { self.size() }
    }

    /// How many bytes were stored.
    fn size(&self) -> u64 {
        match (&self.given, self.kind) {
            (Some(bytes), _) => bytes.len() as u64,
            (None, Kind::Binary) => self.len,
            (None, _) => 0,
        }
    }

    /// What Odoo believes the file to hold.
    fn believed(&self) -> Content {
        match &self.given {
            Some(bytes) => Content::Given(bytes.clone()),
            None => Content::Generated {
                seed: self.seed,
                len: self.size(),
            },
        }
    }

    /// The SHA-1 column: none for an empty file or none at all.
    pub(crate) fn checksum(&self) -> Option<String> {
        (self.file_size() > 0).then(|| hex(&self.believed().sha1()))
    }

    /// What is really in the store; `None`: the file is lost, or was never there.
    pub(crate) fn stored(&self) -> Option<Content> {
        if self.kind != Kind::Binary {
            return None;
        }
        let believed = self.believed();
        match self.damage {
            None => Some(believed),
            Some(Damage::Lost) => None,
            Some(Damage::Truncated) => Some(Content::Stump {
                len: believed.len() / 2,
                of: Box::new(believed),
            }),
            Some(Damage::Zeroed) => Some(Content::Given(bytes::Bytes::new())),
            Some(Damage::WrongBytes) => Some(Content::Generated {
                seed: !self.seed,
                len: believed.len(),
            }),
        }
    }

    /// The bytes as the field `raw` has them: none where there never were any, and none left where they are lost.
    pub(crate) fn raw(&self) -> Option<Vec<u8>> {
        if self.size() == 0 {
            return None;
        }
        let stored = self.stored();
        Some(
            stored
                .and_then(|stored| stored.read_all(0, stored.len()).ok())
                .unwrap_or_default(),
        )
    }

    /// Where the file lies in Odoo's content-addressed store.
    pub(crate) fn store_fname(&self) -> Option<String> {
        let checksum = self.checksum()?;
        Some(format!("{}/{checksum}", checksum.get(..2)?))
    }
}

/// Lower-case hexadecimal.
pub(crate) fn hex(bytes: &[u8]) -> String {
    use std::fmt::Write as _;
    bytes
        .iter()
        .fold(String::with_capacity(bytes.len() * 2), |mut text, byte| {
            let _ = write!(text, "{byte:02x}");
            text
        })
}

fn text<'a>(text: Option<impl Into<Cow<'a, str>>>) -> Cell<'a> {
    text.map_or(Cell::Null, |text| Cell::Text(text.into()))
}

pub(crate) fn company_name(company: i64) -> Cow<'static, str> {
    match company {
        1 => Cow::Borrowed("YourCompany"),
        other => Cow::Owned(format!("Company {other}")),
    }
}

impl Comparable for Row {
    fn cell(&self, field: &str) -> Cell<'_> {
        match field {
            "id" => Cell::Int(self.id),
            "res_field" => text(self.res_field.as_deref()),
            "res_model" => text(self.res_model.as_deref()),
            "res_id" => Cell::Int(self.res_id),
            "type" => Cell::Text(Cow::Borrowed(self.kind.as_str())),
            "file_size" => Cell::Int(i64::try_from(self.file_size()).unwrap_or(i64::MAX)),
            "write_date" | "create_date" if self.undated => Cell::Null,
            "write_date" => Cell::Time(self.write_us),
            "create_date" => Cell::Time(self.create_us),
            "mimetype" => Cell::Text(Cow::Borrowed(self.mimetype())),
            "name" | "display_name" => Cell::Text(self.name()),
            "checksum" => text(self.checksum()),
            "store_fname" => text(self.store_fname()),
            "url" => text(self.url.as_deref()),
            "public" => Cell::Bool(self.public),
            "access_token" => text(self.access_token.as_deref()),
            "company_id" => self
                .company
                .map_or(Cell::Null, |id| Cell::Link(id, company_name(id))),
            "create_uid" | "write_uid" => Cell::Link(2, Cow::Borrowed("Mitchell Admin")),
            _ => Cell::Null,
        }
    }
}
