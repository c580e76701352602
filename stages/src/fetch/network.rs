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

/// Returns the variables that name certificates.
#[expect(
    clippy::disallowed_methods,
    reason = "whether a server is trusted depends on the machine; what is fetched does not"
)]
fn named_certificates() -> Vec<String> {
    let named = ["SSL_CERT_FILE", "SSL_CERT_DIR"].map(|name| Some(format!("{name}=`{}`", std::env::var(name).ok()?)));
    named.into_iter().flatten().collect()
}

/// Returns what is trusted, given what was found and the variables that say where to look.
fn chosen(found: rustls_native_certs::CertificateResult, named: Vec<String>) -> Result<RootCerts, String> {
    if !found.certs.is_empty() {
        return Ok(found.certs.iter().map(|der| Certificate::from_der(der).to_owned()).into());
    }
    if named.is_empty() {
        return Ok(RootCerts::WebPki);
    }
    let why = found.errors.first().map(|error| format!(": {error}")).unwrap_or_default();
    Err(format!("{} has no certificates{why}", named.join(" or ")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn without_certificates_of_the_platform_there_are_those_of_mozilla() {
        let nothing = rustls_native_certs::CertificateResult::default;
        assert!(matches!(chosen(nothing(), Vec::new()), Ok(RootCerts::WebPki)));
        let error = chosen(nothing(), vec!["SSL_CERT_FILE=`/x`".to_owned()]).unwrap_err();
        assert_eq!(error, "SSL_CERT_FILE=`/x` has no certificates");
        let mut one = nothing();
        one.certs.push(vec![1, 2, 3].into());
        let Ok(RootCerts::Specific(certificates)) = chosen(one, Vec::new()) else { panic!("they are specific") };
        assert_eq!(certificates[0].der(), [1, 2, 3]);
    }
}
