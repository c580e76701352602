//! Requests over HTTP, from some byte on.

use std::{io::Read, time::Duration};

/// An answer to be read.
pub(super) struct Answer {
    pub(super) body: Box<dyn Read + Send>,
    /// Which byte of the file it begins with: the one asked for, or 0 if the server does not know ranges.
    pub(super) from: u64,
}

/// Why there is no answer.
#[derive(Debug)]
pub(super) enum HttpError {
    /// Asking this server again is useless.
    Final(String),
    /// It may answer another time.
    Passing(String),
    /// What is already here is not the beginning of the server's file.
    Range,
}

/// How long to wait for a connection, for an answer, and for more bytes of it.
const CONNECT: Duration = Duration::from_secs(15);
const RESPONSE: Duration = Duration::from_secs(30);
const NO_PROGRESS: Duration = Duration::from_secs(30);

/// Returns a client.
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

/// Asks for the bytes of `url` from byte `from` on.
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
