//! What can go wrong on the way, before there is an answer.

use std::fmt;

/// A request that got no answer, or a body that broke off. Whose fault that is, the caller knows.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum TransportError {
    /// Nobody listens there.
    Refused,
    /// The name does not resolve.
    NoSuchHost,
    /// The host is not in the component's `allowed_outbound_hosts`.
    NotAllowed,
    /// TLS failed.
    Tls,
    /// No connection, no answer or no further byte in time.
    Timeout,
    /// The connection broke off.
    Reset,
    /// More bytes than the caller takes.
    TooLong {
        /// The limit, in bytes.
        max_bytes: usize,
    },
    /// An answer that somebody compressed, though none asked for that: by which method.
    Encoded(String),
    /// Anything else, in the host's words.
    Other(String),
}

impl TransportError {
    /// Whether the connection was never made, so that every other call would meet it too.
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
