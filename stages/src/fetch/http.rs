//! HTTP requests for a file from a given byte on.

use std::{io::Read, time::Duration};

/// An answer.
pub(super) struct Answer {
    pub(super) body: Box<dyn Read + Send>,
    /// The index of its first byte in the file: the one asked for, or 0 if the server does not support ranges.
    pub(super) from: u64,
}

/// Why there is no usable answer.
#[derive(Debug)]
pub(super) enum HttpError {
    /// Another request would fail too.
    Final(String),
    /// Another request may succeed.
    Passing(String),
    /// The server has no such range, so the bytes that are already here are not the beginning of its file.
    Range,
}

/// How long to wait for a connection.
const CONNECT: Duration = Duration::from_secs(15);
/// How long to wait for an answer.
const RESPONSE: Duration = Duration::from_secs(30);
/// How long to wait for more bytes of an answer.
const NO_PROGRESS: Duration = Duration::from_secs(30);

/// Returns an HTTP client.
pub(super) fn agent() -> ureq::Agent {
    ureq::Agent::config_builder()
        .timeout_connect(Some(CONNECT))
        .timeout_recv_response(Some(RESPONSE))
        .timeout_per_read(Some(NO_PROGRESS))
        .http_status_as_error(false)
        .user_agent(concat!("pipe/", env!("CARGO_PKG_VERSION")))
        .build()
        .into()
}

/// Requests the bytes of `url` from byte `from` on.
pub(super) fn get(agent: &ureq::Agent, url: &str, from: u64) -> Result<Answer, HttpError> {
    let mut request = agent.get(url);
    if from > 0 {
        request = request.header("Range", format!("bytes={from}-"));
    }
    let response = request.call().map_err(|error| match error {
        ureq::Error::BadUri(_) | ureq::Error::TooManyRedirects | ureq::Error::RequireHttpsOnly(_) => {
            HttpError::Final(error.to_string())
        }
        _ => HttpError::Passing(error.to_string()),
    })?;
    let status = response.status();
    let starts_at = || {
        let range = response.headers().get("content-range")?.to_str().ok()?;
        range.strip_prefix("bytes ")?.split('-').next()?.trim().parse::<u64>().ok()
    };
    let from = match status.as_u16() {
        200 => 0,
        206 if starts_at() == Some(from) => from,
        206 | 416 => return Err(HttpError::Range),
        408 | 425 | 429 | 500..=599 => return Err(HttpError::Passing(format!("the server answers {status}"))),
        _ => return Err(HttpError::Final(format!("the server answers {status}"))),
    };
    Ok(Answer { body: Box::new(response.into_body().into_reader()), from })
}
