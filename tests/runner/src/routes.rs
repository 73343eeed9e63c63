//! Which component answers a path, and what Spin tells it about that in request headers.
//!
//! Matching is left to `routefinder`, as in Spin, so that its quirks are the same here: exact before
//! wildcard, the longest prefix first, a slash at the end ignored.

use std::{net::SocketAddr, str::FromStr as _};

use anyhow::{Result, anyhow};
use http::{HeaderMap, HeaderName, HeaderValue, Uri, header::HOST};
use routefinder::RouteSpec;

use crate::manifest::Trigger;

/// Maps paths to components.
#[derive(Debug)]
pub(crate) struct Routes {
    router: routefinder::Router<Route>,
    listed: Vec<Route>,
}

/// A route as the manifest has it.
#[derive(Clone, Debug)]
pub(crate) struct Route {
    pub(crate) pattern: String,
    pub(crate) component: String,
}

impl Routes {
    /// Builds the routes; also the duplicates, which are never reached: of two triggers with the
    /// same route the later one wins.
    pub(crate) fn build(triggers: &[Trigger]) -> Result<(Self, Vec<Route>)> {
        let mut listed: Vec<Route> = Vec::new();
        let mut replaced = Vec::new();
        for trigger in triggers {
            let route = Route {
                pattern: trigger.route.clone(),
                component: trigger.component.clone(),
            };
            match listed.iter_mut().find(|r| r.pattern == route.pattern) {
                Some(earlier) => replaced.push(std::mem::replace(earlier, route)),
                None => listed.push(route),
            }
        }
        let mut router = routefinder::Router::new();
        for route in &listed {
            let based = route.based();
            let spec = match based.strip_suffix("/...") {
                Some(prefix) => format!("{prefix}/*"),
                None => based,
            };
            let spec = RouteSpec::from_str(&spec)
                .map_err(|error| anyhow!("the route {:?}: {error}", route.pattern))?;
            router
                .add(spec, route.clone())
                .map_err(|error| anyhow!("the route {:?}: {error}", route.pattern))?;
        }
        Ok((Self { router, listed }, replaced))
    }

    /// In the manifest's order.
    pub(crate) fn listed(&self) -> &[Route] {
        &self.listed
    }

    pub(crate) fn find(&self, path: &str) -> Option<Match> {
        let found = self.router.best_match(path)?;
        let captures = found.captures();
        let rest = captures.wildcard().map(|rest| {
            // Spin keeps the slash at the end, which routefinder cuts off.
            match (rest.is_empty(), path.ends_with('/')) {
                (true, false) => String::new(),
                (true, true) => "/".to_owned(),
                (false, false) => format!("/{rest}"),
                (false, true) => format!("/{rest}/"),
            }
        });
        Some(Match {
            route: found.handler().clone(),
            rest: rest.unwrap_or_default(),
            named: captures
                .iter()
                .map(|(name, value)| (name.to_owned(), value.to_owned()))
                .collect(),
        })
    }
}

impl Route {
    /// The route with a slash in front and none at the end.
    fn based(&self) -> String {
        let trimmed = self.pattern.strip_suffix('/').unwrap_or(&self.pattern);
        if trimmed.is_empty() || trimmed.starts_with('/') {
            trimmed.to_owned()
        } else {
            format!("/{trimmed}")
        }
    }

    /// As `spin up` lists it: `/files (wildcard)`.
    pub(crate) fn display(&self) -> String {
        let based = self.based();
        match based.strip_suffix("/...") {
            Some(prefix) => format!("{prefix} (wildcard)"),
            None => based,
        }
    }
}

/// A path and the route it took.
#[derive(Debug)]
pub(crate) struct Match {
    pub(crate) route: Route,
    /// What a `/...` stood for.
    rest: String,
    /// What each `:name` stood for.
    named: Vec<(String, String)>,
}

impl Match {
    /// Adds Spin's headers to those of a request for `uri`. What a client sent under these names stays,
    /// and comes first: no component may trust them.
    pub(crate) fn add_headers(&self, headers: &mut HeaderMap, uri: &Uri, client: SocketAddr) {
        let host = headers
            .get(HOST)
            .and_then(|host| host.to_str().ok())
            .unwrap_or("localhost");
        let path_and_query = uri.path_and_query().map_or("/", |both| both.as_str());
        let full_url = format!("http://{host}{path_and_query}");
        let raw = &self.route.pattern;
        let fixed = [
            ("spin-path-info", self.rest.clone()),
            ("spin-full-url", full_url),
            ("spin-matched-route", self.route.based()),
            ("spin-base-path", "/".to_owned()),
            ("spin-raw-component-route", raw.clone()),
            (
                "spin-component-route",
                raw.strip_suffix("/...").unwrap_or(raw).to_owned(),
            ),
            ("spin-client-addr", client.to_string()),
        ];
        let fixed = fixed
            .into_iter()
            .map(|(name, value)| (name.to_owned(), value));
        let named = self.named.iter().map(|(name, value)| {
            let name = name.to_ascii_lowercase().replace('_', "-");
            (format!("spin-path-match-{name}"), value.clone())
        });
        for (name, value) in fixed.chain(named) {
            // Like Spin: a name or value that HTTP cannot carry is left out.
            if let (Ok(name), Ok(value)) =
                (HeaderName::from_str(&name), HeaderValue::from_str(&value))
            {
                headers.append(name, value);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn routes(pairs: &[(&str, &str)]) -> Routes {
        Routes::build(&triggers(pairs)).unwrap().0
    }

    fn triggers(pairs: &[(&str, &str)]) -> Vec<Trigger> {
        pairs
            .iter()
            .map(|(route, component)| {
                toml::from_str(&format!("route = {route:?}\ncomponent = {component:?}")).unwrap()
            })
            .collect()
    }

    fn component(routes: &Routes, path: &str) -> Option<String> {
        routes.find(path).map(|found| found.route.component)
    }

    #[test]
    fn exact_beats_named_beats_wildcard_and_the_longest_prefix_wins() {
        let routes = routes(&[
            ("/...", "all"),
            ("/one/...", "one"),
            ("/one/two/...", "two"),
            ("/one/:name", "named"),
            ("/one/exact", "exact"),
        ]);
        for (path, expected) in [
            ("/", "all"),
            ("/other/path", "all"),
            ("/one/exact", "exact"),
            ("/one/exact/", "exact"),
            ("/one/else", "named"),
            ("/one/else/deeper", "one"),
            ("/one/two/three", "two"),
        ] {
            assert_eq!(
                component(&routes, path).as_deref(),
                Some(expected),
                "{path}"
            );
        }
    }

    #[test]
    fn without_a_catch_all_a_path_may_lead_nowhere() {
        let routes = routes(&[("/one", "one"), ("/", "root")]);
        assert_eq!(component(&routes, "/one").as_deref(), Some("one"));
        assert_eq!(component(&routes, "/").as_deref(), Some("root"));
        assert_eq!(component(&routes, "/onetwo"), None);
        assert_eq!(component(&routes, "/one/two"), None);
    }

    #[test]
    fn of_two_same_routes_the_later_wins_and_the_earlier_is_reported() {
        let (routes, replaced) =
            Routes::build(&triggers(&[("/a", "first"), ("/a", "second")])).unwrap();
        assert_eq!(component(&routes, "/a").as_deref(), Some("second"));
        assert_eq!(replaced[0].component, "first");
    }

    #[test]
    fn a_component_is_told_where_it_was_found() {
        let routes = routes(&[("/files/:user_id/...", "files")]);
        let mut headers = HeaderMap::new();
        headers.insert(HOST, HeaderValue::from_static("files.example:3000"));
        let uri = Uri::from_static("/files/42/a/b/?c=d");
        routes.find(uri.path()).unwrap().add_headers(
            &mut headers,
            &uri,
            "127.0.0.1:5000".parse().unwrap(),
        );
        for (name, value) in [
            (
                "spin-full-url",
                "http://files.example:3000/files/42/a/b/?c=d",
            ),
            ("spin-path-info", "/a/b/"),
            ("spin-matched-route", "/files/:user_id/..."),
            ("spin-raw-component-route", "/files/:user_id/..."),
            ("spin-component-route", "/files/:user_id"),
            ("spin-base-path", "/"),
            ("spin-client-addr", "127.0.0.1:5000"),
            ("spin-path-match-user-id", "42"),
        ] {
            assert_eq!(headers.get(name).unwrap(), value, "{name}");
        }
    }

    #[test]
    fn what_a_client_sends_under_the_same_names_comes_first_as_in_spin() {
        let routes = routes(&[("/...", "all")]);
        let mut headers = HeaderMap::new();
        headers.insert("spin-client-addr", HeaderValue::from_static("forged"));
        let client = "127.0.0.1:5000".parse().unwrap();
        let found = routes.find("/").unwrap();
        found.add_headers(&mut headers, &Uri::from_static("/"), client);
        let values: Vec<_> = headers.get_all("spin-client-addr").iter().collect();
        assert_eq!(values, ["forged", "127.0.0.1:5000"]);
    }
}
