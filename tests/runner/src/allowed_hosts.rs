//! `allowed_outbound_hosts`: where a component may connect to.
//!
//! Names are compared literally, as in Spin: `localhost` is not `127.0.0.1`.

use std::{
    net::{IpAddr, Ipv4Addr, Ipv6Addr},
    ops::Range,
};

use anyhow::{Context as _, Result, bail, ensure};

use crate::variables::Variables;

/// The entries of one component.
#[derive(Debug, Default)]
pub(crate) struct AllowedHosts(Vec<Entry>);

/// `<scheme>://<host>[:<port>]`, each of which may be `*`.
#[derive(Debug, PartialEq)]
struct Entry {
    /// Nothing: any.
    scheme: Option<String>,
    host: Hosts,
    ports: Ports,
}

#[derive(Debug, PartialEq)]
enum Hosts {
    Any,
    /// With the dot in front: `.example.com`, which does not allow `example.com` itself.
    Below(String),
    One(Host),
}

#[derive(Debug, PartialEq)]
enum Host {
    Name(String),
    Address(IpAddr),
}

#[derive(Debug, PartialEq)]
enum Ports {
    Any,
    One(u16),
    /// Without its end, as in Spin.
    Within(Range<u16>),
}

impl AllowedHosts {
    /// Parses the manifest's entries after filling in their templates.
    pub(crate) fn parse(entries: &[String], variables: &Variables) -> Result<Self> {
        let mut allowed = Vec::new();
        for entry in entries {
            let filled = variables
                .fill(entry)
                .with_context(|| format!("allowed_outbound_hosts {entry:?}"))?;
            // An empty variable means: no such endpoint.
            if entry.contains("{{") && ["", "http://", "https://"].contains(&filled.as_str()) {
                continue;
            }
            // A value with a user in it has a password too, which is not for an error's text.
            let shown = if filled.contains('@') { entry } else { &filled };
            allowed.push(
                Entry::parse(&filled)
                    .with_context(|| format!("allowed_outbound_hosts {shown:?}"))?,
            );
        }
        Ok(Self(allowed))
    }

    /// May the component connect to `host`? A missing port is the scheme's usual one.
    pub(crate) fn allow(&self, scheme: &str, host: &str, port: Option<u16>) -> bool {
        let Some(port) = port.or_else(|| usual_port(scheme)) else {
            return false;
        };
        let Ok(host) = Host::parse(host) else {
            return false;
        };
        self.0.iter().any(|entry| {
            entry
                .scheme
                .as_deref()
                .is_none_or(|allowed| allowed == scheme)
                && entry.host.include(&host)
                && entry.ports.include(port)
        })
    }
}

impl Entry {
    fn parse(entry: &str) -> Result<Self> {
        let (scheme, rest) = entry
            .trim()
            .split_once("://")
            .context("write <scheme>://<host>[:<port>], each of which may be '*'")?;
        let rest = rest.strip_suffix('/').unwrap_or(rest);
        ensure!(!rest.contains('@'), "a user or a password is not supported");
        ensure!(!rest.contains('/'), "a path or a network is not supported");
        ensure!(
            scheme == "*" || (!scheme.is_empty() && scheme.chars().all(char::is_alphabetic)),
            "the scheme may only have letters"
        );
        // A colon within brackets belongs to an IPv6 address.
        let (host, port) = match rest.rsplit_once(':') {
            Some((host, port)) if !port.contains(']') => (host, port),
            _ => (rest, ""),
        };
        let ports = match port {
            "" => Ports::One(usual_port(scheme).with_context(|| {
                format!("the scheme {scheme:?} has no usual port, so one must be given")
            })?),
            "*" => Ports::Any,
            port => match port.split_once("..") {
                Some((start, end)) => Ports::Within(parse_port(start)?..parse_port(end)?),
                None => Ports::One(parse_port(port)?),
            },
        };
        Ok(Self {
            scheme: (scheme != "*").then(|| scheme.to_owned()),
            host: Hosts::parse(host.trim())?,
            ports,
        })
    }
}

fn parse_port(port: &str) -> Result<u16> {
    port.parse()
        .with_context(|| format!("{port:?} is not a port"))
}

impl Hosts {
    fn parse(host: &str) -> Result<Self> {
        if host == "*" {
            return Ok(Self::Any);
        }
        if host == "self" || host == "self.alt" || host.ends_with(".spin.internal") {
            bail!("this runner has no requests of an app to itself");
        }
        if let Some(domain) = host.strip_prefix("*.") {
            return match Host::parse(domain)? {
                Host::Name(name) => Ok(Self::Below(format!(".{name}"))),
                Host::Address(_) => bail!("only a name can follow '*.'"),
            };
        }
        Host::parse(host).map(Self::One)
    }

    fn include(&self, host: &Host) -> bool {
        match (self, host) {
            (Self::Any, _) => true,
            (Self::Below(suffix), Host::Name(name)) => name.ends_with(suffix),
            (Self::Below(_), Host::Address(_)) => false,
            (Self::One(allowed), host) => allowed == host,
        }
    }
}

impl Host {
    fn parse(host: &str) -> Result<Self> {
        if let Some(inner) = host.strip_prefix('[') {
            let address = inner
                .strip_suffix(']')
                .and_then(|inner| inner.parse::<Ipv6Addr>().ok())
                .with_context(|| format!("{host:?} is not an IPv6 address"))?;
            return Ok(Self::Address(address.into()));
        }
        if let Ok(address) = host.parse::<Ipv4Addr>() {
            return Ok(Self::Address(address.into()));
        }
        ensure!(!host.is_empty(), "the host is missing");
        ensure!(
            host.chars()
                .all(|c| c.is_alphanumeric() || matches!(c, '.' | '-' | '_')),
            "{host:?} is not a host name"
        );
        Ok(Self::Name(host.to_lowercase()))
    }
}

impl Ports {
    fn include(&self, port: u16) -> bool {
        match self {
            Self::Any => true,
            Self::One(allowed) => *allowed == port,
            Self::Within(allowed) => allowed.contains(&port),
        }
    }
}

fn usual_port(scheme: &str) -> Option<u16> {
    match scheme {
        "http" => Some(80),
        "https" => Some(443),
        "postgres" => Some(5432),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;
    use crate::manifest::Manifest;

    fn variables(pairs: &[(&str, &str)]) -> Variables {
        let declared: Vec<_> = pairs
            .iter()
            .map(|(name, value)| format!("{name} = {{ default = {value:?} }}"))
            .collect();
        let manifest: Manifest =
            toml::from_str(&format!("[variables]\n{}", declared.join("\n"))).unwrap();
        Variables::resolve(&manifest, &BTreeMap::new(), |_| None).unwrap()
    }

    fn allowed(entries: &[&str]) -> Result<AllowedHosts> {
        let entries: Vec<String> = entries.iter().map(|entry| (*entry).to_owned()).collect();
        AllowedHosts::parse(&entries, &variables(&[]))
    }

    #[test]
    fn names_are_compared_literally_and_without_regard_to_case() {
        let hosts = allowed(&["http://Localhost:8069/"]).unwrap();
        assert!(hosts.allow("http", "localhost", Some(8069)));
        assert!(!hosts.allow("http", "127.0.0.1", Some(8069)));
        assert!(!hosts.allow("https", "localhost", Some(8069)));
        assert!(!hosts.allow("http", "localhost", None));
    }

    #[test]
    fn a_missing_port_is_the_usual_one() {
        let hosts = allowed(&["https://odoo.example", "postgres://db.example"]).unwrap();
        assert!(hosts.allow("https", "odoo.example", None));
        assert!(hosts.allow("https", "odoo.example", Some(443)));
        assert!(hosts.allow("postgres", "db.example", Some(5432)));
        assert!(!hosts.allow("https", "odoo.example", Some(8443)));
        assert!(allowed(&["*://odoo.example"]).is_err(), "no usual port");
    }

    #[test]
    fn wildcards_stand_for_schemes_subdomains_ports_and_everything() {
        let below = allowed(&["https://*.example.com"]).unwrap();
        assert!(below.allow("https", "a.b.example.com", None));
        assert!(!below.allow("https", "example.com", None));
        assert!(!below.allow("https", "myexample.com", None));
        let range = allowed(&["http://[::1]:8000..8002"]).unwrap();
        assert!(range.allow("http", "[::1]", Some(8001)));
        assert!(!range.allow("http", "[::1]", Some(8002)));
        let all = allowed(&["*://*:*"]).unwrap();
        assert!(all.allow("http", "127.0.0.1", Some(1)));
        assert!(all.allow("postgres", "x", None));
        assert!(!allowed(&[]).unwrap().allow("http", "x", None));
    }

    #[test]
    fn templates_are_filled_in_and_an_empty_endpoint_allows_nothing() {
        let hosts = AllowedHosts::parse(
            &[
                "{{ url }}".into(),
                "https://{{ none }}".into(),
                "postgres://{{ host }}:{{ port }}".into(),
            ],
            &variables(&[
                ("url", "http://odoo.example:8069"),
                ("none", ""),
                ("host", "db"),
                ("port", "5433"),
            ]),
        )
        .unwrap();
        assert_eq!(hosts.0.len(), 2);
        assert!(hosts.allow("http", "odoo.example", Some(8069)));
        assert!(hosts.allow("postgres", "db", Some(5433)));
    }

    #[test]
    fn an_error_shows_no_password() {
        let error = AllowedHosts::parse(
            &["{{ url }}".into()],
            &variables(&[("url", "https://user:geheim@odoo.example")]),
        );
        let error = format!("{:#}", error.unwrap_err());
        assert!(!error.contains("geheim"), "{error}");
        assert!(error.contains("{{ url }}"), "{error}");
    }

    #[test]
    fn what_is_malformed_or_unsupported_is_refused_with_the_entry() {
        for entry in [
            "",
            "*",
            "example.com",
            "http://example.com/path",
            "http://10.0.0.0/8",
            "http://example.com:port",
            "http://self",
            "http://other.spin.internal",
            "http://*.127.0.0.1",
            "http://[::1",
            "http://",
            "ht tp://x",
            "http://a b",
        ] {
            let error = format!("{:#}", allowed(&[entry]).unwrap_err());
            assert!(error.contains(&format!("{entry:?}")), "{entry:?}: {error}");
        }
    }
}
