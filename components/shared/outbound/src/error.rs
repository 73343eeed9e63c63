//! Transport errors: a request without a complete response.

use std::fmt;

/// A request without a response, or a body that broke off. The caller decides who is to blame.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum TransportError {
    /// The connection was refused.
    Refused,
    /// The name does not resolve.
    NoSuchHost,
    /// The host is not in the component's `allowed_outbound_hosts`.
    NotAllowed,
    /// TLS failed.
    Tls,
    /// The connection, the response or its next byte took too long.
    Timeout,
    /// The connection broke.
    Reset,
    /// The body is longer than the caller accepts.
    TooLong {
        /// The limit, in bytes.
        max_bytes: usize,
    },
    /// The response is compressed with this method, although the request asked for none.
    Encoded(String),
    /// Anything else, with the host's message.
    Other(String),
}

impl TransportError {
    /// Whether no connection was made, so that every other request would fail in the same way.
    pub fn is_unreachable(&self) -> bool {
        matches!(
            self,
            Self::Refused | Self::NoSuchHost | Self::NotAllowed | Self::Tls
        )
    }
}

impl fmt::Display for TransportError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Refused => f.write_str("connection refused"),
            Self::NoSuchHost => f.write_str("no such host"),
            Self::NotAllowed => f.write_str("not in allowed_outbound_hosts"),
            Self::Tls => f.write_str("TLS failed"),
            Self::Timeout => f.write_str("no answer in time"),
            Self::Reset => f.write_str("the connection broke off"),
            Self::TooLong { max_bytes } => write!(f, "an answer of more than {max_bytes} bytes"),
            Self::Encoded(by) => write!(
                f,
                "the answer came compressed ({by}), though that was not asked for: have the proxy in between leave out compression"
            ),
            Self::Other(words) => f.write_str(words),
        }
    }
}

impl std::error::Error for TransportError {}
