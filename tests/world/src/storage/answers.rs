//! What a Storage answers. Nearly every error is HTTP 400 with the real status as text in the body.

use http::header::{CONTENT_TYPE, HeaderName, HeaderValue};
use http::{Response, StatusCode};
use serde::Serialize;

use crate::serve::{Payload, empty, json};

/// The name of an error that has none of its own.
const UNFORESEEN: &str = "Error";

/// An error as Storage words it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Refusal {
    /// The status of the answer, which is 400 for nearly all.
    http: StatusCode,
    body: Body,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
struct Body {
    status_code: &'static str,
    error: &'static str,
    message: String,
    code: &'static str,
}

impl Refusal {
    fn of(
        status_code: &'static str,
        error: &'static str,
        message: impl Into<String>,
        code: &'static str,
    ) -> Self {
        Self {
            http: StatusCode::BAD_REQUEST,
            body: Body {
                status_code,
                error,
                message: message.into(),
                code,
            },
        }
    }

    fn with_status(mut self, http: StatusCode) -> Self {
        self.http = http;
        self
    }

    pub(crate) fn exists() -> Self {
        Self::of(
            "409",
            "Duplicate",
            "The resource already exists",
            "KeyAlreadyExists",
        )
    }

    pub(crate) fn bucket_exists() -> Self {
        Self::of(
            "409",
            "Duplicate",
            "The resource already exists",
            "BucketAlreadyExists",
        )
    }

    pub(crate) fn bucket_name() -> Self {
        Self::of(
            "400",
            "Invalid Input",
            "Bucket name invalid",
            "InvalidBucketName",
        )
    }

    pub(crate) fn bucket_not_empty() -> Self {
        Self::of(
            "409",
            "ResourceNotEmpty",
            "The bucket you tried to delete is not empty",
            "ResourceNotEmpty",
        )
    }

    pub(crate) fn no_object() -> Self {
        Self::of("404", "not_found", "Object not found", "NoSuchKey")
    }

    pub(crate) fn no_bucket() -> Self {
        Self::of(
            "404",
            "Bucket not found",
            "Bucket not found",
            "NoSuchBucket",
        )
    }

    pub(crate) fn too_large() -> Self {
        Self::of(
            "413",
            "Payload too large",
            "The object exceeded the maximum allowed size",
            "EntityTooLarge",
        )
    }

    pub(crate) fn mime_type(mimetype: &str) -> Self {
        Self::of(
            "415",
            "invalid_mime_type",
            if mimetype.contains('/') {
                format!("mime type {mimetype} is not supported")
            } else {
                "Invalid Content-Type header".to_owned()
            },
            "InvalidMimeType",
        )
    }

    pub(crate) fn key(key: &str) -> Self {
        Self::of(
            "400",
            "InvalidKey",
            format!("Invalid key: {key}"),
            "InvalidKey",
        )
    }

    pub(crate) fn no_authorization() -> Self {
        Self::of(
            "400",
            "Error",
            "headers must have required property 'authorization'",
            "InvalidRequest",
        )
    }

    pub(crate) fn request(message: &str) -> Self {
        Self::of("400", "Error", message, "InvalidRequest")
    }

    pub(crate) fn parameter(name: &str) -> Self {
        let message = format!("Invalid Parameter {name}");
        Self::of("400", "InvalidParameter", message, "InvalidParameter")
    }

    pub(crate) fn token(message: &str) -> Self {
        Self::of("403", "Unauthorized", message, "AccessDenied")
    }

    pub(crate) fn no_content() -> Self {
        let message = "No content provided";
        Self::of("400", "InvalidRequest", message, "InvalidRequest")
    }

    pub(crate) fn row_level_security() -> Self {
        Self::token("new row violates row-level security policy")
    }

    /// An address that was signed for another object.
    pub(crate) fn foreign_signature() -> Self {
        let message = "Invalid signature";
        Self::of("400", "InvalidSignature", message, "InvalidSignature")
    }

    pub(crate) fn signature(message: &str) -> Self {
        Self::of("400", "InvalidJWT", message, "InvalidJWT")
    }

    /// A body that is sent as JSON and is none.
    pub(crate) fn not_json() -> Self {
        Self::of(
            "400",
            "FastifyError",
            "Body is not valid JSON but content-type is set to 'application/json'",
            "InvalidRequest",
        )
    }

    pub(crate) fn range() -> Self {
        Self::of(
            "416",
            "invalid_range",
            "invalid range provided",
            "InvalidRange",
        )
        .with_status(StatusCode::RANGE_NOT_SATISFIABLE)
    }

    pub(crate) fn internal() -> Self {
        Self::of("500", "Internal", "Internal Server Error", "InternalError")
            .with_status(StatusCode::INTERNAL_SERVER_ERROR)
    }

    /// The database did not take it.
    pub(crate) fn database() -> Self {
        let message = "database error, code: 53300";
        Self::of("500", "DatabaseError", message, "DatabaseError")
            .with_status(StatusCode::INTERNAL_SERVER_ERROR)
    }

    /// S3's word for what is not there.
    pub(crate) fn no_parts() -> Self {
        Self::of("404", "NotFound", "NotFound", "S3Error")
    }

    /// An error that Storage has no words for.
    fn unforeseen(message: &str) -> Self {
        Self::of("500", UNFORESEEN, message, "InternalError")
            .with_status(StatusCode::INTERNAL_SERVER_ERROR)
    }

    /// The quota is used up; see [`super::QuotaSignal`].
    pub(crate) fn quota(signal: super::QuotaSignal) -> Self {
        match signal {
            super::QuotaSignal::EntityTooLarge => {
                Self::of("413", "Payload too large", "bucket quota exceeded", "EntityTooLarge")
            }
            super::QuotaSignal::Restricted => Self::of(
                "402",
                "Payment Required",
                "Service for this project is restricted due to the following violations: exceed_storage_size_quota.",
                "PaymentRequired",
            )
            .with_status(StatusCode::PAYMENT_REQUIRED),
            super::QuotaSignal::DiskFull => Self::unforeseen("ENOSPC: no space left on device, write"),
        }
    }

    /// As the resumable endpoint says it: the real status, in plain text.
    pub(crate) fn plain(&self) -> Response<Payload> {
        let status = self
            .body
            .status_code
            .parse::<u16>()
            .ok()
            .and_then(|status| StatusCode::from_u16(status).ok());
        let status = status.unwrap_or(self.http);
        let message = &self.body.message;
        if self.body.error == UNFORESEEN && status == StatusCode::INTERNAL_SERVER_ERROR {
            return wrong(message);
        }
        text(status, message.clone())
    }

    /// The same before there were codes.
    pub(crate) fn without_code(&self) -> Response<Payload> {
        let Body {
            status_code,
            error,
            message,
            ..
        } = &self.body;
        let body =
            serde_json::json!({ "statusCode": status_code, "error": error, "message": message });
        written(self.http, &body)
    }

    /// As the other endpoints say it.
    pub(crate) fn answer(&self) -> Response<Payload> {
        written(self.http, &self.body)
    }
}

/// A JSON answer as JavaScript writes it.
pub(crate) fn written(status: StatusCode, body: &impl Serialize) -> Response<Payload> {
    // Plain values cannot fail to be written.
    json(status, serde_json::to_vec(body).unwrap_or_default())
}

/// An address that leads nowhere, though what it begins with is known.
pub(crate) fn no_route_within(method: &http::Method, path: &str) -> Response<Payload> {
    Refusal::of(
        "404",
        "Not Found",
        format!("Route {method}:{path} not found"),
        "InvalidRequest",
    )
    .with_status(StatusCode::NOT_FOUND)
    .answer()
}

/// An address that is no UTF-8.
pub(crate) fn bad_url(path: &str) -> Response<Payload> {
    let message = format!("'{path}' is not a valid url component");
    written(
        StatusCode::BAD_REQUEST,
        &serde_json::json!({
            "error": "Bad Request", "code": "FST_ERR_BAD_URL", "message": message, "statusCode": 400,
        }),
    )
}

/// An address that leads nowhere.
pub(crate) fn no_route(method: &http::Method, path: &str) -> Response<Payload> {
    #[derive(Serialize)]
    #[serde(rename_all = "camelCase")]
    struct NoRoute {
        message: String,
        error: &'static str,
        status_code: u16,
    }
    let message = format!("Route {method}:{path} not found");
    written(
        StatusCode::NOT_FOUND,
        &NoRoute {
            message,
            error: "Not Found",
            status_code: 404,
        },
    )
}

/// The gateway in front of a hosted Storage refuses a missing or wrong `apikey`.
pub(crate) fn gateway(message: &'static str, hint: &'static str) -> Response<Payload> {
    #[derive(Serialize)]
    struct Gateway {
        message: &'static str,
        hint: &'static str,
    }
    written(StatusCode::UNAUTHORIZED, &Gateway { message, hint })
}

/// What the resumable protocol has no words for either.
pub(crate) fn wrong(message: &str) -> Response<Payload> {
    let message = format!("Something went wrong with that request\n{message}");
    plain(StatusCode::INTERNAL_SERVER_ERROR, &message)
}

/// A plain answer of the resumable protocol itself, which ends its line.
pub(crate) fn plain(status: StatusCode, message: &str) -> Response<Payload> {
    text(status, format!("{message}\n"))
}

fn text(status: StatusCode, message: String) -> Response<Payload> {
    let mut response = empty(status);
    *response.body_mut() = Payload::bytes(message);
    set(&mut response, CONTENT_TYPE, "text/plain;charset=UTF-8");
    set(
        &mut response,
        HeaderName::from_static("tus-resumable"),
        "1.0.0",
    );
    response
}

pub(crate) fn set(response: &mut Response<Payload>, name: HeaderName, value: &str) {
    if let Ok(value) = HeaderValue::from_str(value) {
        response.headers_mut().insert(name, value);
    }
}
