//! What real databases hold to surprise whoever moves them.

use std::borrow::Cow;

use super::row::{Damage, Holder, Kind, Row};

/// A surprise at one attachment. Each was seen on real software.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum EdgeCase {
    /// A size of a picture that belongs to a field of a record (`res_field = image_128`).
    ImageVariant,
    /// A web asset attached to a view (`res_model = ir.ui.view`).
    ViewAsset,
    /// A bundle of web assets (`url = /web/assets/…`).
    AssetBundle,
    /// The row is there, the file is gone: `datas: ""` without an error, 500 from `/web/content`.
    LostFile,
    /// No bytes: `datas: ""`, `checksum: false`, size 0.
    EmptyFile,
    /// A link (`type = url`).
    Url,
    /// In the company's own bucket (`type = cloud_storage`; a link before 18).
    CloudStorage,
    /// The same bytes as another row.
    SameContentAs(i64),
    /// A name that is not fit for a path, a header, a log or a page.
    OddName(OddName),
    /// Other bytes than the checksum says, as many.
    WrongBytes,
    /// Half the bytes.
    TruncatedBytes,
    /// Attached to a record that even an administrator may not see.
    HiddenRecord,
    /// Attached to a record that was deleted by SQL.
    RecordGone,
    /// Attached to a record of a model that was uninstalled.
    ModelGone,
    /// Inserted by SQL, without `checksum` and `file_size`.
    Unchecked,
    /// Attached to the lead of another, which a salesman may not see.
    OfAnother,
    /// Readable without a session.
    Public,
    /// Inserted by SQL, without `create_date` and `write_date`.
    Undated,
    /// Attached to a record that may be read, but not written to.
    ReadOnly,
    /// Of exactly this many bytes.
    Size(u64),
}

/// Names as people and attackers give them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum OddName {
    /// Umlauts, accents, another script, an emoji.
    Unicode,
    /// Slashes, as in a path.
    Slashes,
    /// `#`, `?`, `%`, `&`: what an address would choke on.
    AddressSigns,
    /// 200 characters.
    Long,
    /// HTML with a handler.
    Html,
    /// Spaces at both ends, a quote, a tab.
    Blanks,
}

impl OddName {
    /// All of them.
    pub const ALL: [Self; 6] = [
        Self::Unicode,
        Self::Slashes,
        Self::AddressSigns,
        Self::Long,
        Self::Html,
        Self::Blanks,
    ];

    fn name(self, id: i64) -> String {
        match self {
            Self::Unicode => format!("Größe – договор № {id} 見積書 🚚.pdf"),
            Self::Slashes => format!("../2024/contract ä/{id}.pdf"),
            Self::AddressSigns => format!("50% #{id}? a&b=c;d+e.pdf"),
            Self::Long => format!(
                "{}{id:010}.pdf",
                "long name "
                    .repeat(19)
                    .chars()
                    .take(186)
                    .collect::<String>()
            ),
            Self::Html => format!("<img src=x onerror=alert({id})>.pdf"),
            Self::Blanks => format!(" \"quoted\"\t{id} .pdf "),
        }
    }
}

/// Edge cases strewn over all attachments.
#[derive(Debug, Clone, Default)]
pub struct EdgeCaseMix {
    /// One in so many attachments has one; 0 is none.
    pub one_in: u64,
    /// Which ones, in turn.
    pub edge_cases: Vec<EdgeCase>,
}

impl EdgeCaseMix {
    /// None.
    pub fn none() -> Self {
        Self::default()
    }

    /// What is skipped with a reason, or moved in spite of its looks, but never fails.
    pub fn harmless() -> Self {
        let mut edge_cases = vec![
            EdgeCase::EmptyFile,
            EdgeCase::Url,
            EdgeCase::CloudStorage,
            EdgeCase::Public,
        ];
        edge_cases.extend(OddName::ALL.map(EdgeCase::OddName));
        Self {
            one_in: 40,
            edge_cases,
        }
    }

    /// Everything, also what can never be moved.
    pub fn all() -> Self {
        let mut all = Self::harmless();
        all.edge_cases.extend([
            EdgeCase::LostFile,
            EdgeCase::WrongBytes,
            EdgeCase::TruncatedBytes,
        ]);
        all
    }
}

impl EdgeCase {
    /// Springs the edge case on a row. `like` is the row whose content it shares, where it does.
    pub(crate) fn spring(&self, row: &mut Row, version: u8, like: Option<&Row>) {
        match self {
            Self::ImageVariant => {
                row.res_model = Some(Cow::Borrowed("res.partner"));
                row.res_field = Some(Cow::Borrowed("image_128"));
                row.name = Some("image_128".to_owned());
                row.mimetype = Some(Cow::Borrowed("image/png"));
                row.len = row.len.min(20_000);
            }
            Self::ViewAsset => {
                row.res_model = Some(Cow::Borrowed("ir.ui.view"));
                row.name = Some(format!("web_editor.summernote.{}.scss", row.id));
                row.mimetype = Some(Cow::Borrowed("text/scss"));
                row.url = Some(format!("/web/static/src/scss/{}.scss", row.id));
                row.public = true;
                row.len = row.len.min(20_000);
            }
            Self::AssetBundle => {
                row.res_model = Some(Cow::Borrowed("ir.ui.view"));
                row.res_id = 0;
                row.name = Some("web.assets_frontend.min.css".to_owned());
                row.mimetype = Some(Cow::Borrowed("text/css"));
                row.url = Some(format!(
                    "/web/assets/{:07x}/web.assets_frontend.min.css",
                    row.id
                ));
                row.public = true;
                row.len = row.len.min(200_000);
            }
            Self::LostFile => {
                row.len = row.len.max(1);
                row.damage = Some(Damage::Lost);
            }
            Self::EmptyFile => {
                row.len = 0;
                row.name = Some("empty.txt".to_owned());
                row.mimetype = Some(Cow::Borrowed("text/plain"));
            }
            Self::Url => {
                row.kind = Kind::Url;
                row.url = Some(format!("https://files.example.com/{}", row.id));
            }
            Self::CloudStorage => {
                row.kind = if version >= 18 {
                    Kind::CloudStorage
                } else {
                    Kind::Url
                };
                row.url = Some(format!("https://bucket.example.com/cloud/{}", row.id));
            }
            Self::SameContentAs(_) => {
                if let Some(like) = like {
                    row.seed = like.seed;
                    row.len = like.len;
                    row.given.clone_from(&like.given);
                }
            }
            Self::OddName(odd) => row.name = Some(odd.name(row.id)),
            Self::WrongBytes => {
                row.len = row.len.max(1);
                row.damage = Some(Damage::WrongBytes);
            }
            Self::TruncatedBytes => {
                row.len = row.len.max(2);
                row.damage = Some(Damage::Truncated);
            }
            Self::HiddenRecord => {
                row.hidden = true;
                row.res_model = Some(Cow::Borrowed("mail.channel"));
            }
            Self::RecordGone => row.holder = Holder::Deleted,
            Self::ModelGone => {
                row.holder = Holder::ModelGone;
                row.res_model = Some(Cow::Borrowed("gone.model"));
            }
            Self::Unchecked => row.unchecked = true,
            Self::OfAnother => row.of_another = true,
            Self::Public => row.public = true,
            Self::Undated => row.undated = true,
            Self::ReadOnly => row.read_only = true,
            Self::Size(len) => {
                row.len = *len;
            }
        }
    }
}
