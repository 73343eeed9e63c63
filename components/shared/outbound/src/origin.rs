//! Origins (`scheme://host[:port]`) of servers, and which of them may be used without TLS.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use http::uri::{Authority, Scheme};

/// Why an origin is not usable.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum OriginError {
    /// It is not `scheme://host[:port]`.
    Malformed,
    /// It uses plain http to a host that may be anywhere: keys and files could be read on the way.
    PlainHttp,
}

/// Validates `scheme://host[:port]`, with or without a trailing slash, and returns it without. Plain http is
/// accepted only for a literal loopback or private address and `localhost`, or with `allow_http`: any other
/// name may resolve to anywhere.
pub fn parse_origin(text: &str, allow_http: bool) -> Result<&str, OriginError> {
    let text = text.trim().trim_end_matches('/');
    let (scheme, authority) = text.split_once("://").ok_or(OriginError::Malformed)?;
    let authority: Authority = authority.parse().map_err(|_| OriginError::Malformed)?;
    let host = authority.host();
    let has_odd_port = authority.as_str().len() > host.len() && authority.port_u16().is_none();
    if host.is_empty() || authority.as_str().contains('@') || has_odd_port {
        return Err(OriginError::Malformed);
    }
    match scheme {
        scheme if scheme == Scheme::HTTPS.as_str() => Ok(text),
        scheme if scheme == Scheme::HTTP.as_str() => (allow_http || is_near(host))
            .then_some(text)
            .ok_or(OriginError::PlainHttp),
        _ => Err(OriginError::Malformed),
    }
}

/// Whether a literal host is a loopback or private address.
fn is_near(host: &str) -> bool {
    let host = host.trim_start_matches('[').trim_end_matches(']');
    match host.parse() {
        Ok(IpAddr::V4(address)) => is_near_v4(address),
        Ok(IpAddr::V6(address)) => is_near_v6(address),
        // RFC 6761, 6.3: `localhost` always resolves to loopback.
        Err(_) => host.eq_ignore_ascii_case("localhost"),
    }
}

fn is_near_v4(address: Ipv4Addr) -> bool {
    address.is_loopback() || address.is_private() || address.is_link_local()
}

fn is_near_v6(address: Ipv6Addr) -> bool {
    address.to_ipv4_mapped().map_or_else(
        || address.is_loopback() || address.is_unique_local() || address.is_unicast_link_local(),
        is_near_v4,
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn https_passes_to_anywhere_and_plain_http_only_nearby() {
        for case in include_str!("origins.txt").lines() {
            match case.split_once(' ') {
                Some(("near", near)) => assert_eq!(parse_origin(near, false), Ok(near)),
                Some(("far", far)) => {
                    let refused = parse_origin(far, false);
                    assert_eq!(refused, Err(OriginError::PlainHttp), "{far}");
                    assert_eq!(parse_origin(far, true), Ok(far));
                }
                _ => assert!(case.starts_with('#'), "{case}"),
            }
        }
    }

    #[test]
    fn what_is_no_origin_is_told_apart() {
        for wrong in [
            "",
            "my.odoo.com",
            "ftp://my.odoo.com",
            "HTTP//my.odoo.com",
            "https://",
            "https://my.odoo.com/web",
            "https://my.odoo.com?db=x",
            "https://my.odoo.com#x",
            "https://user@my.odoo.com",
            "http://127.0.0.1@example.com",
            "https://my.odoo.com:",
            "https://my.odoo.com:port",
            "https://my.odoo.com:99999",
            "https://my odoo.com",
            "https://[::1",
        ] {
            assert_eq!(
                parse_origin(wrong, true),
                Err(OriginError::Malformed),
                "{wrong}"
            );
        }
        assert_eq!(
            parse_origin(" https://my.odoo.com/ ", false),
            Ok("https://my.odoo.com")
        );
    }
}
