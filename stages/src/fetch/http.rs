//! HTTP requests for a file from a given byte on.

use std::{
    io::{self, Read},
    time::{Duration, SystemTime},
};

use ureq::{
    http::{HeaderMap, header},
    tls::TlsConfig,
    unversioned::transport::{Connector, TcpConnector},
};
use url::Url;

use super::{
    network::{self, Network},
    proxy::{Proxy, ProxyResolver, WholeAddress},
};

/// An answer.
pub(super) struct Answer {
    pub(super) body: Box<dyn Read + Send>,
    /// The index of its first byte in the file: the one asked for, or 0 if the server does not support ranges.
    pub(super) from: u64,
    /// The length of the whole file, if the server says it.
    pub(super) total: Option<u64>,
    /// Whether an end that comes early is an error of the body. Otherwise the answer ends when the connection does.
    pub(super) is_framed: bool,
    /// Whether the server compressed the file for this answer.
    pub(super) is_compressed: bool,
    /// What distinguishes this file from a later one at the same address.
    pub(super) validator: Option<String>,
}

/// Why there is no usable answer.
#[derive(Debug)]
pub(super) enum HttpError {
    /// Another request would fail too.
    Final(String),
    /// Another request may succeed.
    Passing(String),
    /// Another request may succeed after a while: as long as the server says, if it does.
    Busy(String, Option<Duration>),
    /// The server has no such range, so the bytes that are already here are not the beginning of its file.
    Range,
}

/// How long to wait for a connection.
const CONNECT: Duration = Duration::from_secs(15);
/// How long to wait for an answer.
const RESPONSE: Duration = Duration::from_secs(30);
/// How long to wait for more bytes of an answer.
const NO_PROGRESS: Duration = Duration::from_secs(30);
/// The most redirections from one address to another.
const REDIRECTS: usize = 10;

/// Requests the bytes of `url` from byte `from` on. If the file is another one than `validator` says, the answer is from 0 on.
pub(super) fn get(network: &Network, url: &Url, from: u64, validator: Option<&str>) -> Result<Answer, HttpError> {
    let mut url = url.clone();
    for _ in 0..=REDIRECTS {
        let response = ask(network, &url, from, validator)?;
        let status = response.status();
        let headers = response.headers();
        if matches!(status.as_u16(), 301 | 302 | 303 | 307 | 308)
            && let Some(place) = text(headers, header::LOCATION)
        {
            let next =
                url.join(place).map_err(|error| HttpError::Final(format!("it redirects to `{place}`: {error}")))?;
            if !matches!(next.scheme(), "http" | "https") {
                return Err(HttpError::Final(format!("it redirects to `{next}`")));
            }
            url = next;
            continue;
        }
        let range = text(headers, header::CONTENT_RANGE).and_then(|range| range.strip_prefix("bytes "));
        let starts_at = range.and_then(|range| range.split('-').next()?.trim().parse::<u64>().ok());
        let (from, total) = match status.as_u16() {
            200 => (0, text(headers, header::CONTENT_LENGTH).and_then(|length| length.trim().parse().ok())),
            206 if starts_at == Some(from) => (from, range.and_then(|range| range.rsplit('/').next()?.parse().ok())),
            206 | 416 => return Err(HttpError::Range),
            429 | 502..=504 => {
                let message = format!("the server answers {status}");
                return Err(HttpError::Busy(message, retry_after(headers)));
            }
            408 | 425 | 500..=599 => return Err(HttpError::Passing(format!("the server answers {status}"))),
            _ => return Err(HttpError::Final(format!("the server answers {status}"))),
        };
        let is_chunked = text(headers, header::TRANSFER_ENCODING).is_some_and(|coding| coding.contains("chunked"));
        let coding = text(headers, header::CONTENT_ENCODING).map(str::to_ascii_lowercase);
        let validator = text(headers, header::ETAG).filter(|tag| !tag.starts_with("W/"));
        let validator = validator.or_else(|| text(headers, header::LAST_MODIFIED)).map(str::to_owned);
        return Ok(Answer {
            from,
            total,
            is_framed: is_chunked || text(headers, header::CONTENT_LENGTH).is_some(),
            is_compressed: matches!(coding.as_deref(), Some("gzip" | "x-gzip")),
            validator,
            body: Box::new(response.into_body().into_reader()),
        });
    }
    Err(HttpError::Final(format!("more than {REDIRECTS} redirections")))
}

fn text(headers: &HeaderMap, name: header::HeaderName) -> Option<&str> {
    headers.get(name)?.to_str().ok()
}

/// Returns how long the server asks to wait: a number of seconds, or a date.
#[expect(clippy::disallowed_methods, reason = "a server may name a time, and waiting changes no byte")]
fn retry_after(headers: &HeaderMap) -> Option<Duration> {
    let value = text(headers, header::RETRY_AFTER)?.trim();
    if let Ok(seconds) = value.parse() {
        return Some(Duration::from_secs(seconds));
    }
    let until = httpdate::parse_http_date(value).ok()?;
    // By the server's own clock, if it says what that shows.
    let now = text(headers, header::DATE).and_then(|date| httpdate::parse_http_date(date).ok());
    Some(until.duration_since(now.unwrap_or_else(SystemTime::now)).unwrap_or_default())
}

type Response = ureq::http::Response<ureq::Body>;

/// Makes one request, through a proxy if there is one for it.
fn ask(network: &Network, url: &Url, from: u64, validator: Option<&str>) -> Result<Response, HttpError> {
    let proxy = network.proxies().of_url(url).map_err(HttpError::Final)?;
    let mut config = ureq::Agent::config_builder()
        .timeout_connect(Some(CONNECT))
        .timeout_recv_response(Some(RESPONSE))
        .timeout_per_read(Some(NO_PROGRESS))
        .http_status_as_error(false)
        .max_redirects(0)
        .max_redirects_will_error(false)
        .proxy(None)
        .user_agent(concat!("pipe/", env!("CARGO_PKG_VERSION")));
    if url.scheme() == "https" {
        let certificates = network::root_certificates().map_err(HttpError::Final)?;
        config = config.tls_config(TlsConfig::builder().root_certs(certificates).build());
    }
    let asks_for_whole = |proxy: &Proxy| url.scheme() == "http" && proxy.url.scheme() == "http";
    let agent = match &proxy {
        Some(proxy) if asks_for_whole(proxy) => {
            let connector = ().chain(TcpConnector::default()).chain(WholeAddress);
            ureq::Agent::with_parts(config.build(), connector, ProxyResolver(proxy.clone()))
        }
        Some(proxy) => {
            let invalid = |error: ureq::Error| HttpError::Final(format!("proxy {}: {error}", proxy.name));
            config.proxy(Some(ureq::Proxy::new(proxy.url.as_str()).map_err(invalid)?)).build().into()
        }
        None => config.build().into(),
    };
    let mut request = agent.get(url.as_str()).header("Accept-Encoding", "identity");
    if from > 0 {
        request = request.header("Range", format!("bytes={from}-"));
        if let Some(validator) = validator {
            request = request.header("If-Range", validator);
        }
    }
    if let Some(proxy) = proxy.as_ref().filter(|proxy| asks_for_whole(proxy))
        && !proxy.url.username().is_empty()
    {
        let decoded = |text: &str| percent_decoded(text);
        let user = decoded(proxy.url.username());
        let password = decoded(proxy.url.password().unwrap_or_default());
        request =
            request.header("Proxy-Authorization", format!("Basic {}", base64(&[&user[..], b":", &password].concat())));
    }
    request.call().map_err(|error| failed(error, proxy.as_ref()))
}

/// Returns why a request has no answer.
fn failed(error: ureq::Error, proxy: Option<&Proxy>) -> HttpError {
    let named = |text: String| match proxy {
        Some(proxy) => format!("proxy {}: {text}", proxy.name),
        None => text,
    };
    match error {
        ureq::Error::BadUri(_) | ureq::Error::TooManyRedirects | ureq::Error::RequireHttpsOnly(_) => {
            HttpError::Final(error.to_string())
        }
        ureq::Error::Io(error) => io_failed(&error, &named),
        ureq::Error::HostNotFound if proxy.is_some() => HttpError::Passing(named("there is no such host".to_owned())),
        ureq::Error::HostNotFound => HttpError::Passing("there is no such host".to_owned()),
        ureq::Error::Timeout(ureq::Timeout::Connect) => HttpError::Passing(named("it does not answer".to_owned())),
        ureq::Error::ConnectProxyFailed(why) => HttpError::Passing(named(why)),
        ureq::Error::Timeout(_) => HttpError::Busy(error.to_string(), None),
        error => {
            let text = error.to_string();
            if is_untrusted(&text) { HttpError::Final(untrusted(&text)) } else { HttpError::Passing(text) }
        }
    }
}

fn io_failed(error: &io::Error, named: &dyn Fn(String) -> String) -> HttpError {
    let text = error.to_string();
    match error.kind() {
        _ if is_untrusted(&text) => HttpError::Final(untrusted(&text)),
        io::ErrorKind::ConnectionRefused => HttpError::Passing(named("connection refused".to_owned())),
        _ if is_broken(error) => HttpError::Busy(named(text), None),
        _ => HttpError::Passing(named(text)),
    }
}

/// Returns whether an error says that the other side ended the connection.
pub(super) fn is_broken(error: &io::Error) -> bool {
    use io::ErrorKind::{BrokenPipe, ConnectionAborted, ConnectionReset, UnexpectedEof};
    matches!(error.kind(), ConnectionReset | ConnectionAborted | BrokenPipe | UnexpectedEof)
}

fn is_untrusted(text: &str) -> bool {
    text.contains("invalid peer certificate")
}

fn untrusted(text: &str) -> String {
    let why = text.rsplit("invalid peer certificate: ").next().unwrap_or_default();
    format!("the certificate of the server is not trusted ({why}): SSL_CERT_FILE names a file of certificates to trust")
}

fn percent_decoded(text: &str) -> Vec<u8> {
    let mut bytes = Vec::new();
    let mut rest = text.as_bytes();
    while let [first, after @ ..] = rest {
        let code = after.get(..2).and_then(|digits| u8::from_str_radix(std::str::from_utf8(digits).ok()?, 16).ok());
        match code.filter(|_| *first == b'%') {
            Some(byte) => {
                bytes.push(byte);
                rest = &after[2..];
            }
            None => {
                bytes.push(*first);
                rest = after;
            }
        }
    }
    bytes
}

fn base64(bytes: &[u8]) -> String {
    const DIGITS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let mut text = String::new();
    for chunk in bytes.chunks(3) {
        let bits = chunk.iter().fold(0_u32, |bits, byte| bits << 8 | u32::from(*byte)) << (8 * (3 - chunk.len()));
        for at in 0..4 {
            let digit = DIGITS[(bits >> (18 - 6 * at) & 63) as usize];
            text.push(if at <= chunk.len() { char::from(digit) } else { '=' });
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_server_names_seconds_or_a_date() {
        let check = |pairs: &[(header::HeaderName, &str)], expected: Option<u64>| {
            let headers = pairs.iter().map(|(name, value)| (name.clone(), value.parse().unwrap())).collect();
            assert_eq!(retry_after(&headers), expected.map(Duration::from_secs), "{pairs:?}");
        };
        let (after, date) = (header::RETRY_AFTER, header::DATE);
        check(&[(after.clone(), "120")], Some(120));
        let at = |time: &'static str| (date.clone(), time);
        let until = (after.clone(), "Wed, 21 Oct 2015 07:28:30 GMT");
        check(&[until.clone(), at("Wed, 21 Oct 2015 07:28:00 GMT")], Some(30));
        check(&[until.clone(), at("Wed, 21 Oct 2015 07:29:00 GMT")], Some(0));
        check(&[until], Some(0));
        check(&[(after, "soon")], None);
        check(&[], None);
    }

    #[test]
    fn a_password_is_encoded_as_the_standard_says() {
        assert_eq!(base64(b"Aladdin:open sesame"), "QWxhZGRpbjpvcGVuIHNlc2FtZQ==");
        assert_eq!([base64(b""), base64(b"f"), base64(b"fo"), base64(b"foo")], ["", "Zg==", "Zm8=", "Zm9v"]);
        assert_eq!(percent_decoded("a%40b%zz%"), b"a@b%zz%");
    }
}
