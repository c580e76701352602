//! What a download needs from the machine: proxies, certificates, and time to wait.

use std::{
    fmt,
    sync::{Arc, OnceLock},
    thread,
    time::Duration,
};

use ureq::tls::{Certificate, RootCerts};

use super::proxy::Proxies;
use crate::stage::Host;

/// The way to the network: its proxies, and how to wait.
#[derive(Clone)]
pub struct Network(Arc<Inner>);

struct Inner {
    proxies: Proxies,
    pause: Box<dyn Fn(Duration) + Send + Sync>,
}

impl fmt::Debug for Network {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Network").field(&self.0.proxies).finish()
    }
}

impl Default for Network {
    /// Returns the network as the variables of this process describe it.
    #[expect(clippy::disallowed_methods, reason = "how a file is fetched depends on the machine; its bytes do not")]
    fn default() -> Self {
        Self::with(Proxies::of(&|name| std::env::var(name).ok()), thread::sleep)
    }
}

/// The longest pause before it is asked whether to stop.
const SLICE: Duration = Duration::from_millis(100);

impl Network {
    /// Returns a network with these proxies. `pause` waits.
    pub(super) fn with(proxies: Proxies, pause: impl Fn(Duration) + Send + Sync + 'static) -> Self {
        Self(Arc::new(Inner { proxies, pause: Box::new(pause) }))
    }

    pub(super) fn proxies(&self) -> &Proxies {
        &self.0.proxies
    }

    /// Waits. Returns whether it was not interrupted.
    pub(super) fn wait(&self, time: Duration, host: &dyn Host) -> bool {
        let mut left = time;
        while !left.is_zero() && !host.interrupted() {
            let slice = left.min(SLICE);
            (self.0.pause)(slice);
            left -= slice;
        }
        !host.interrupted()
    }
}

/// Returns the certificates of the authorities that are trusted: those of the platform, or of `SSL_CERT_FILE` and `SSL_CERT_DIR`. If
/// the platform has none, those of Mozilla.
pub(super) fn root_certificates() -> Result<RootCerts, String> {
    static FOUND: OnceLock<Result<RootCerts, String>> = OnceLock::new();
    FOUND.get_or_init(|| chosen(rustls_native_certs::load_native_certs(), named_certificates())).clone()
}

/// Returns the variables that name certificates, with their values.
#[expect(
    clippy::disallowed_methods,
    reason = "whether a server is trusted depends on the machine; what is fetched does not"
)]
fn named_certificates() -> Vec<(&'static str, String)> {
    let named = ["SSL_CERT_FILE", "SSL_CERT_DIR"].map(|name| Some((name, std::env::var(name).ok()?)));
    named.into_iter().flatten().collect()
}

/// Returns what is trusted, given what was found and the variables that say where to look.
fn chosen(
    found: rustls_native_certs::CertificateResult,
    named: Vec<(&'static str, String)>,
) -> Result<RootCerts, String> {
    use rustls_native_certs::ErrorKind;
    // A folder may hold other files, too. A file that was named must be what it is said to be.
    for error in &found.errors {
        let ErrorKind::Io { inner, path } = &error.kind else { continue };
        if let Some((name, value)) =
            named.iter().find(|(name, value)| *name == "SSL_CERT_FILE" && path.as_os_str() == &**value)
        {
            return Err(format!("{name}=`{value}`: {inner}"));
        }
    }
    if !found.certs.is_empty() {
        return Ok(found.certs.iter().map(|der| Certificate::from_der(der).to_owned()).into());
    }
    if named.is_empty() {
        return Ok(RootCerts::WebPki);
    }
    let named: Vec<_> = named.iter().map(|(name, value)| format!("{name}=`{value}`")).collect();
    Err(format!("no certificates in {}", named.join(" and ")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn without_certificates_of_the_platform_there_are_those_of_mozilla() {
        let nothing = rustls_native_certs::CertificateResult::default;
        assert!(matches!(chosen(nothing(), Vec::new()), Ok(RootCerts::WebPki)));
        let error = chosen(nothing(), vec![("SSL_CERT_DIR", "/x".to_owned())]).unwrap_err();
        assert_eq!(error, "no certificates in SSL_CERT_DIR=`/x`");
        let mut one = nothing();
        one.certs.push(vec![1, 2, 3].into());
        let Ok(RootCerts::Specific(certificates)) = chosen(one, Vec::new()) else { panic!("they are specific") };
        assert_eq!(certificates[0].der(), [1, 2, 3]);
        // What is named and cannot be read is no reason to trust others.
        let no = std::path::Path::new("/there/is/no/such/file");
        let mut other = rustls_native_certs::load_certs_from_paths(Some(no), None);
        other.certs.push(vec![1].into());
        let error = chosen(other, vec![("SSL_CERT_FILE", no.display().to_string())]).unwrap_err();
        assert!(error.starts_with("SSL_CERT_FILE=`/there/is/no/such/file`: No such file"), "{error}");
    }
}
