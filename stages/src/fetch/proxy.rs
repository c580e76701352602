//! Which proxy a request goes through, by the variables that curl reads, and how it goes through it.

use std::net::ToSocketAddrs;

use ureq::{
    config::Config,
    http::Uri,
    unversioned::{
        resolver::{ResolvedSocketAddrs, Resolver},
        transport::{Buffers, ConnectionDetails, Connector, NextTimeout, Transport},
    },
};
use url::{Host, Url};

/// The proxies, by the variables that name them.
#[derive(Debug, Clone, Default)]
pub(super) struct Proxies {
    http: Option<Named>,
    https: Option<Named>,
    all: Option<Named>,
    /// The hosts that are asked directly.
    none: Vec<String>,
}

/// The value of a variable.
#[derive(Debug, Clone)]
struct Named {
    variable: &'static str,
    value: String,
}

/// A proxy that speaks HTTP.
#[derive(Debug, Clone)]
pub(super) struct Proxy {
    /// Its address, without a password.
    pub(super) name: String,
    pub(super) url: Url,
}

impl Proxies {
    /// Returns the proxies that the variables name. The lower case wins, as in curl.
    pub(super) fn of(variable: &dyn Fn(&str) -> Option<String>) -> Self {
        let first = |names: &[&'static str]| {
            names.iter().find_map(|name| {
                let value = variable(name).map(|value| value.trim().to_owned()).filter(|value| !value.is_empty())?;
                Some(Named { variable: name, value })
            })
        };
        // The server of a CGI program sets HTTP_PROXY to what a client says.
        let in_cgi = variable("REQUEST_METHOD").is_some();
        let none = first(&["no_proxy", "NO_PROXY"]).map(|named| named.value).unwrap_or_default();
        Self {
            http: first(if in_cgi { &["http_proxy"] } else { &["http_proxy", "HTTP_PROXY"] }),
            https: first(&["https_proxy", "HTTPS_PROXY"]),
            all: first(&["all_proxy", "ALL_PROXY"]),
            none: none
                .split([',', ' '])
                .map(|host| host.trim_start_matches('.').to_ascii_lowercase())
                .filter(|host| !host.is_empty())
                .collect(),
        }
    }

    /// Returns the proxy for `url`, if it is not asked directly.
    ///
    /// # Errors
    /// If a variable names one that cannot be used.
    pub(super) fn of_url(&self, url: &Url) -> Result<Option<Proxy>, String> {
        let own = if url.scheme() == "https" { &self.https } else { &self.http };
        let Some(Named { variable, value }) = own.as_ref().or(self.all.as_ref()) else { return Ok(None) };
        if self.is_direct(url) {
            return Ok(None);
        }
        let whole = if value.contains("://") { value.clone() } else { format!("http://{value}") };
        let refused = |why: &str| format!("{variable}=`{}`: {why}", without_password(value));
        let url = Url::parse(&whole).map_err(|error| refused(&error.to_string()))?;
        match url.scheme() {
            "http" | "https" if url.has_host() => {}
            "http" | "https" => return Err(refused("it names no host")),
            scheme if scheme.starts_with("socks") => {
                return Err(refused(
                    "SOCKS proxies are not supported: name a proxy that speaks HTTP, or list the host in NO_PROXY",
                ));
            }
            _ => return Err(refused("expected the address of a proxy: http://host:port")),
        }
        let name = without_password(url.as_str()).trim_end_matches('/').to_owned();
        Ok(Some(Proxy { name, url }))
    }

    fn is_direct(&self, url: &Url) -> bool {
        let host = url.host_str().unwrap_or_default().trim_matches(['[', ']']).to_ascii_lowercase();
        let port = url.port_or_known_default().map(|port| format!(":{port}")).unwrap_or_default();
        self.none.iter().any(|none| {
            let name = none.strip_suffix(&port).unwrap_or(none).trim_matches(['[', ']']);
            let inside = || host.strip_suffix(name).is_some_and(|before| before.ends_with('.'));
            // A part of an address is no domain.
            name == "*" || host == name || (matches!(url.host(), Some(Host::Domain(_))) && inside())
        })
    }
}

/// Returns an address without its user and password.
fn without_password(text: &str) -> String {
    let (scheme, rest) = text.split_once("://").map_or(("", text), |(scheme, rest)| (scheme, rest));
    let rest = rest.rsplit_once('@').map_or(rest, |(_, host)| host);
    if scheme.is_empty() { rest.to_owned() } else { format!("{scheme}://{rest}") }
}

/// Gives the addresses of the proxy instead of those of the host that is asked.
#[derive(Debug)]
pub(super) struct ProxyResolver(pub(super) Proxy);

impl Resolver for ProxyResolver {
    #[expect(clippy::disallowed_methods, reason = "a fetch may use the network, and checks what it gets by digest")]
    fn resolve(&self, _: &Uri, _: &Config, _: NextTimeout) -> Result<ResolvedSocketAddrs, ureq::Error> {
        let host = self.0.url.host_str().unwrap_or_default().trim_matches(['[', ']']);
        let port = self.0.url.port_or_known_default().unwrap_or(80);
        let found = (host, port).to_socket_addrs().map_err(|_| ureq::Error::HostNotFound)?;
        let mut addresses = self.empty();
        found.take(16).for_each(|address| addresses.push(address));
        if addresses.is_empty() { Err(ureq::Error::HostNotFound) } else { Ok(addresses) }
    }
}

/// Asks a proxy for a whole address: `GET http://host/path`. For `http` no proxy needs to allow CONNECT.
#[derive(Debug)]
pub(super) struct WholeAddress;

impl<In: Transport> Connector<In> for WholeAddress {
    type Out = Rewritten<In>;

    fn connect(&self, details: &ConnectionDetails<'_>, inner: Option<In>) -> Result<Option<Self::Out>, ureq::Error> {
        let authority = details.uri.authority().map(|authority| authority.as_str()).unwrap_or_default();
        let host = authority.rsplit_once('@').map_or(authority, |(_, host)| host);
        Ok(inner.map(|inner| Rewritten { inner, before: Some(format!("http://{host}")) }))
    }
}

/// A connection whose first line gets a host before its path.
#[derive(Debug)]
pub(super) struct Rewritten<In> {
    inner: In,
    /// What is still to be inserted.
    before: Option<String>,
}

impl<In: Transport> Transport for Rewritten<In> {
    fn buffers(&mut self) -> &mut dyn Buffers {
        self.inner.buffers()
    }

    fn transmit_output(&mut self, amount: usize, timeout: NextTimeout) -> Result<(), ureq::Error> {
        let Some(before) = self.before.take() else { return self.inner.transmit_output(amount, timeout) };
        let output = self.inner.buffers().output();
        let longer = amount + before.len();
        let path = output[..amount].iter().position(|byte| *byte == b' ').map(|space| space + 1);
        let Some(path) = path.filter(|path| output.get(*path) == Some(&b'/') && longer <= output.len()) else {
            return Err(ureq::Error::Io(std::io::Error::other("the request is too long for a proxy")));
        };
        output.copy_within(path..amount, path + before.len());
        output[path..path + before.len()].copy_from_slice(before.as_bytes());
        self.inner.transmit_output(longer, timeout)
    }

    fn await_input(&mut self, timeout: NextTimeout) -> Result<bool, ureq::Error> {
        self.inner.await_input(timeout)
    }

    fn is_open(&mut self) -> bool {
        false
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(variables: &[(&str, &str)], url: &str, expected: Result<Option<&str>, &str>) {
        let variable =
            |name: &str| variables.iter().find(|(known, _)| *known == name).map(|(_, value)| (*value).to_owned());
        let found = Proxies::of(&variable).of_url(&Url::parse(url).unwrap());
        let found = found.map(|proxy| proxy.map(|proxy| proxy.name));
        assert_eq!(found, expected.map(|name| name.map(str::to_owned)).map_err(str::to_owned), "{variables:?} {url}");
    }

    #[test]
    fn each_scheme_has_its_proxy_and_lower_case_wins() {
        let variables = [("http_proxy", "http://a:1"), ("HTTP_PROXY", "http://b:2"), ("HTTPS_PROXY", "c:3")];
        check(&variables, "http://x/y", Ok(Some("http://a:1")));
        check(&variables, "https://x/y", Ok(Some("http://c:3")));
        check(&variables[1..], "http://x/y", Ok(Some("http://b:2")));
        check(&[("HTTP_PROXY", "http://b:2"), ("REQUEST_METHOD", "GET")], "http://x/y", Ok(None));
        check(&[("ALL_PROXY", "http://d:4"), ("https_proxy", "")], "https://x/y", Ok(Some("http://d:4")));
        check(&[], "https://x/y", Ok(None));
    }

    #[test]
    fn hosts_in_no_proxy_are_asked_directly() {
        let direct = |none: &str, url: &str| {
            let proxy = check_direct(none, url);
            assert!(proxy, "{none} {url}");
        };
        let through = |none: &str, url: &str| assert!(!check_direct(none, url), "{none} {url}");
        direct("*", "http://x/");
        direct("example.org", "http://example.org/");
        direct(".example.org, other", "http://data.EXAMPLE.org:8080/");
        direct("example.org:8080", "http://example.org:8080/");
        direct("127.0.0.1", "http://127.0.0.1:99/");
        direct("[::1]", "http://[::1]/");
        through("example.org:80", "http://example.org:8080/");
        through("ample.org", "http://example.org/");
        through("0.0.1", "http://127.0.0.1/");
        through("", "http://x/");
    }

    fn check_direct(none: &str, url: &str) -> bool {
        let variable = |name: &str| match name {
            "http_proxy" => Some("http://proxy:1".to_owned()),
            "no_proxy" => Some(none.to_owned()),
            _ => None,
        };
        Proxies::of(&variable).of_url(&Url::parse(url).unwrap()).unwrap().is_none()
    }

    #[test]
    fn a_proxy_that_cannot_be_used_is_refused_without_its_password() {
        let socks = "ALL_PROXY=`socks5://h:1`: SOCKS proxies are not supported: name a proxy that speaks HTTP, or list the \
                     host in NO_PROXY";
        check(&[("ALL_PROXY", "socks5://me:secret@h:1")], "http://x/", Err(socks));
        let other = "http_proxy=`ftp://h`: expected the address of a proxy: http://host:port";
        check(&[("http_proxy", "ftp://h")], "http://x/", Err(other));
        check(&[("http_proxy", "http://me:secret@h:1")], "http://x/", Ok(Some("http://h:1")));
    }
}
