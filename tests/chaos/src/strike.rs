//! Faults of single requests: at which place, and what happens there.

use world::faults::{Fault, Trigger, What};

/// Whose requests.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Side {
    /// The source.
    Odoo,
    /// The destination of bytes.
    Storage,
}

impl Side {
    /// Its name, as people read it.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Odoo => "Odoo",
            Self::Storage => "Storage",
        }
    }
}

/// Which requests.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Requests {
    /// Those of a path, by a method or by any.
    Path(&'static str, Option<&'static str>),
    /// Calls of a model's method.
    Call(&'static str, &'static str),
}

impl Requests {
    /// A fault of these requests, in the making.
    pub fn trigger(self) -> Trigger {
        match self {
            Self::Path(path, None) => Fault::on(path),
            Self::Path(path, Some(method)) => Fault::on(path).method(method),
            Self::Call(model, method) => Fault::on_call(model, method),
        }
    }
}

/// What happens to a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Effect {
    /// The connection is dropped before anything is done.
    ResetBefore,
    /// A TCP reset in the middle of the answer.
    ResetIn,
    /// All is done, and the connection dropped before the answer.
    ResetAfter,
    /// The connection is dropped in the middle of the request's body.
    CutUpload,
    /// The answer stops in its middle, and the connection stays open.
    Stall,
    /// The answer comes later than anybody waits.
    Late,
    /// 429 with `Retry-After`.
    TooMany,
    /// 503.
    Unavailable,
    /// 544, Storage's own word for too much.
    DatabaseTimeout,
    /// 500 with a page of HTML, as from a worker that died.
    Html500,
    /// The answer ends cleanly, in its middle.
    Truncated,
    /// One byte of the content is another.
    WrongBytes,
    /// A redirect to the login page.
    Login,
    /// 403 with HTML, as from a firewall.
    Forbidden,
    /// 404 with HTML, as from a proxy that knows no such path.
    NotFound,
    /// 413 with HTML, as from a proxy whose limit for bodies is low.
    TooLarge,
    /// 502 with HTML, as from a proxy behind which nobody listens.
    BadGateway,
    /// 522 with HTML, as from a CDN that cannot reach the other side.
    Unreached,
    /// An answer that came compressed, though nobody asked for that.
    Compressed,
    /// 402, as from the gateway of a project whose egress is used up.
    Unpaid,
    /// 423, as from a Storage where another holds the object.
    Locked,
    /// The same of an upload in pieces, in plain text as its protocol has it.
    UploadLocked,
    /// The page of an Odoo 19 that has no such database.
    NoDatabase,
}

impl Effect {
    /// Its name, as people read it.
    pub const fn name(self) -> &'static str {
        match self {
            Self::ResetBefore => "reset before the answer",
            Self::ResetIn => "reset in the answer",
            Self::ResetAfter => "reset after it was done",
            Self::CutUpload => "reset in the request",
            Self::Stall => "answer stalls",
            Self::Late => "slow beyond the timeout",
            Self::TooMany => "429",
            Self::Unavailable => "503",
            Self::DatabaseTimeout => "544",
            Self::Html500 => "500 with HTML",
            Self::Truncated => "truncated",
            Self::WrongBytes => "wrong bytes",
            Self::Login => "redirect to the login",
            Self::Forbidden => "403 with HTML",
            Self::NotFound => "404 with HTML",
            Self::TooLarge => "413 with HTML",
            Self::BadGateway => "502 with HTML",
            Self::Unreached => "522 with HTML",
            Self::Compressed => "compressed",
            Self::Unpaid => "402: the egress is used up",
            Self::Locked | Self::UploadLocked => "423: another holds its lock",
            Self::NoDatabase => "404 with HTML: no such database",
        }
    }

    /// As the simulated servers know it.
    pub fn what(self) -> What {
        let answer = |status, headers: &[(&str, &str)]| What::Answer {
            status,
            headers: headers
                .iter()
                .map(|(name, value)| ((*name).to_owned(), (*value).to_owned()))
                .collect(),
            body: String::new(),
        };
        match self {
            Self::ResetBefore => What::Refuse,
            Self::ResetIn => What::ResetAt(30),
            Self::ResetAfter => What::LoseAnswer,
            Self::CutUpload => What::CutUploadAt(500),
            Self::Stall => What::StallAt(30),
            Self::Late => What::DelayMs(65_000),
            Self::TooMany => answer(429, &[("retry-after", "1")]),
            Self::Unavailable => answer(503, &[]),
            Self::DatabaseTimeout => answer(544, &[]),
            Self::Html500 => What::Html500,
            Self::Truncated => What::Truncate(30),
            Self::WrongBytes => What::WrongBytes,
            Self::Login => What::RedirectToLogin,
            Self::Forbidden => by_proxy(403),
            Self::NotFound => by_proxy(404),
            Self::TooLarge => by_proxy(413),
            Self::BadGateway => by_proxy(502),
            Self::Unreached => by_proxy(522),
            Self::Compressed => What::Answer {
                status: 200,
                headers: [
                    ("content-type", "application/json"),
                    ("content-encoding", "gzip"),
                ]
                .map(|(name, value)| (name.to_owned(), value.to_owned()))
                .to_vec(),
                body: "not to be read".to_owned(),
            },
            Self::Unpaid => typed(
                402,
                "application/json",
                r#"{"message":"Service for this project is restricted due to the following violations: exceed_egress_quota."}"#,
            ),
            Self::Locked => typed(
                423,
                "application/json",
                r#"{"statusCode":"423","error":"ResourceLocked","message":"The resource is locked","code":"ResourceLocked"}"#,
            ),
            Self::UploadLocked => What::Answer {
                status: 423,
                headers: [
                    ("content-type", "text/plain;charset=UTF-8"),
                    ("tus-resumable", "1.0.0"),
                ]
                .map(|(name, value)| (name.to_owned(), value.to_owned()))
                .to_vec(),
                body: "The resource is locked".to_owned(),
            },
            Self::NoDatabase => typed(
                404,
                "text/html; charset=utf-8",
                "<!doctype html>\n<html lang=en>\n<title>404 Not Found</title>\n<h1>Not Found</h1>\n<p>No database is selected and the requested URL was not found in the server-wide controllers.</p>\n",
            ),
        }
    }

    /// Whether somebody has to wait until it is over.
    pub const fn takes_long(self) -> bool {
        matches!(self, Self::Stall | Self::Late)
    }
}

/// An answer of this type.
fn typed(status: u16, content_type: &str, body: &str) -> What {
    What::Answer {
        status,
        headers: vec![("content-type".to_owned(), content_type.to_owned())],
        body: body.to_owned(),
    }
}

/// What a proxy says in the other side's place.
fn by_proxy(status: u16) -> What {
    What::Answer {
        status,
        headers: [("content-type", "text/html"), ("server", "nginx")]
            .map(|(name, value)| (name.to_owned(), value.to_owned()))
            .to_vec(),
        body: format!("<html><head><title>{status}</title></head></html>"),
    }
}

/// Where a request may be struck, and how.
#[derive(Debug, Clone, Copy)]
pub struct Place {
    /// Whose request.
    pub side: Side,
    /// What it is for.
    pub name: &'static str,
    /// Which requests.
    pub requests: Requests,
    /// What may happen there.
    pub effects: &'static [Effect],
}

/// What may happen to any call of Odoo. Wrong bytes are not among it: in a list nothing tells them
/// from others, TLS and TCP apart.
const CALL: &[Effect] = &[
    Effect::ResetBefore,
    Effect::ResetIn,
    Effect::ResetAfter,
    Effect::TooMany,
    Effect::Unavailable,
    Effect::Html500,
    Effect::Truncated,
    Effect::Login,
    Effect::Forbidden,
    Effect::NotFound,
    Effect::BadGateway,
    Effect::Unreached,
    Effect::Compressed,
    Effect::Stall,
    Effect::Late,
];

/// What may happen to content.
const CONTENT: &[Effect] = &[
    Effect::ResetBefore,
    Effect::ResetIn,
    Effect::ResetAfter,
    Effect::TooMany,
    Effect::Html500,
    Effect::Truncated,
    Effect::WrongBytes,
    Effect::Login,
    Effect::Forbidden,
    Effect::NotFound,
    Effect::BadGateway,
    Effect::Unreached,
    Effect::Compressed,
    Effect::Stall,
    Effect::Late,
];

/// What may happen to an upload.
const UPLOAD: &[Effect] = &of_upload(Effect::Locked);

/// The same in pieces.
const PIECES: &[Effect] = &of_upload(Effect::UploadLocked);

const fn of_upload(locked: Effect) -> [Effect; 17] {
    [
        Effect::ResetBefore,
        Effect::ResetIn,
        Effect::ResetAfter,
        Effect::CutUpload,
        Effect::TooMany,
        Effect::Unavailable,
        Effect::DatabaseTimeout,
        Effect::Html500,
        Effect::Truncated,
        Effect::Forbidden,
        Effect::TooLarge,
        Effect::BadGateway,
        Effect::Unreached,
        Effect::Compressed,
        Effect::Unpaid,
        locked,
        Effect::Late,
    ]
}

/// What may happen to a question to Storage.
const QUESTION: &[Effect] = &[
    Effect::ResetBefore,
    Effect::ResetAfter,
    Effect::TooMany,
    Effect::DatabaseTimeout,
    Effect::Html500,
    Effect::Truncated,
    Effect::Forbidden,
    Effect::NotFound,
    Effect::BadGateway,
    Effect::Unreached,
    Effect::Compressed,
    Effect::Unpaid,
];

const fn odoo(name: &'static str, requests: Requests, effects: &'static [Effect]) -> Place {
    Place {
        side: Side::Odoo,
        name,
        requests,
        effects,
    }
}

const fn storage(name: &'static str, requests: Requests, effects: &'static [Effect]) -> Place {
    Place {
        side: Side::Storage,
        name,
        requests,
        effects,
    }
}

/// Everywhere. What is asked often is here more than once.
pub const PLACES: &[Place] = &[
    odoo(
        "list of attachments",
        Requests::Call("ir.attachment", "search_read"),
        CALL,
    ),
    odoo("contents", Requests::Call("ir.attachment", "read"), CONTENT),
    odoo("contents", Requests::Call("ir.attachment", "read"), CONTENT),
    odoo(
        "stream of a large file",
        Requests::Path("/web/content", None),
        CONTENT,
    ),
    odoo(
        "login",
        Requests::Path("/web/session/authenticate", None),
        CALL,
    ),
    odoo("any call", Requests::Path("/jsonrpc", None), CALL),
    odoo("leads", Requests::Call("crm.lead", "search_read"), CALL),
    odoo("stages", Requests::Call("crm.stage", "search_read"), CALL),
    odoo(
        "partners",
        Requests::Call("res.partner", "search_read"),
        CALL,
    ),
    odoo("fields", Requests::Call("crm.lead", "fields_get"), CALL),
    odoo(
        "messages",
        Requests::Call("mail.message", "search_read"),
        CALL,
    ),
    odoo(
        "field changes",
        Requests::Call("mail.tracking.value", "search_read"),
        CALL,
    ),
    storage(
        "upload",
        Requests::Path("/object/odoo-archive", Some("POST")),
        UPLOAD,
    ),
    storage(
        "upload",
        Requests::Path("/object/odoo-archive", Some("POST")),
        UPLOAD,
    ),
    storage(
        "upload",
        Requests::Path("/object/odoo-archive", Some("POST")),
        UPLOAD,
    ),
    storage(
        "upload in pieces",
        Requests::Path("/upload/resumable", None),
        PIECES,
    ),
    storage(
        "whether an object is there",
        Requests::Path("/object/info", None),
        QUESTION,
    ),
    storage("bucket", Requests::Path("/bucket/", None), QUESTION),
];
