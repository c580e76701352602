//! Requests of a browser, and who may ask.

use std::io::{self, Read};

/// The longest head of a request.
const LONGEST: usize = 16 << 10;

/// A request, as far as it matters here.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Request {
    pub(super) method: String,
    /// The path without the query, such as `/events`.
    pub(super) path: String,
    /// The fields of the query, decoded.
    pub(super) query: Vec<(String, String)>,
    host: String,
    cookies: String,
}

impl Request {
    /// Reads the head of a request. Returns `None` if it is none, or too long.
    pub(super) fn read(stream: &mut impl Read) -> io::Result<Option<Self>> {
        let (mut head, mut piece) = (Vec::new(), [0; 2048]);
        loop {
            let n = stream.read(&mut piece)?;
            head.extend_from_slice(&piece[..n]);
            if head.windows(4).any(|end| end == b"\r\n\r\n") {
                return Ok(Self::parse(&head));
            }
            if n == 0 || head.len() > LONGEST {
                return Ok(None);
            }
        }
    }

    fn parse(head: &[u8]) -> Option<Self> {
        let mut headers = [httparse::EMPTY_HEADER; 64];
        let mut request = httparse::Request::new(&mut headers);
        request.parse(head).ok().filter(httparse::Status::is_complete)?;
        let (method, target) = (request.method?.to_owned(), request.path?.to_owned());
        let header = |name: &str| {
            let found = request.headers.iter().find(|header| header.name.eq_ignore_ascii_case(name));
            found.map(|header| String::from_utf8_lossy(header.value).into_owned()).unwrap_or_default()
        };
        let (path, query) = target.split_once('?').unwrap_or((&target, ""));
        let query = url::form_urlencoded::parse(query.as_bytes()).into_owned().collect();
        Some(Self { method, path: path.to_owned(), query, host: header("host"), cookies: header("cookie") })
    }

    /// Returns a field of the query.
    pub(super) fn field(&self, name: &str) -> Option<&str> {
        self.query.iter().find(|(known, _)| known == name).map(|(_, value)| value.as_str())
    }

    /// Returns whether it was sent to this machine by name. A page of another site can send requests here by giving its own name this
    /// address, and then has that name.
    pub(super) fn is_to_this_machine(&self, port: u16) -> bool {
        ["127.0.0.1", "localhost"].iter().any(|name| self.host == format!("{name}:{port}"))
    }

    /// Returns whether it has the token of this server, as a cookie or in its address.
    pub(super) fn has_token(&self, token: &str) -> bool {
        let cookie = self.cookies.split(';').filter_map(|cookie| cookie.trim().split_once('='));
        let mut given = cookie.filter(|(name, _)| *name == COOKIE).map(|(_, value)| value).chain(self.field("token"));
        given.any(|given| is_same(given.as_bytes(), token.as_bytes()))
    }
}

/// The name of the cookie with the token.
pub(super) const COOKIE: &str = "pipe_ui";

/// Compares in a time that does not depend on where the difference is.
fn is_same(a: &[u8], b: &[u8]) -> bool {
    a.len() == b.len() && a.iter().zip(b).fold(0, |differ, (a, b)| differ | (a ^ b)) == 0
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(head: &str) -> Option<Request> {
        Request::read(&mut head.as_bytes()).unwrap()
    }

    #[test]
    fn requests_are_read_and_checked() {
        let request =
            read("GET /logs?node=search%2Ftrain%2F003&token=abc HTTP/1.1\r\nHost: 127.0.0.1:80\r\n\r\n").unwrap();
        assert_eq!((request.method.as_str(), request.path.as_str()), ("GET", "/logs"));
        assert_eq!(request.field("node"), Some("search/train/003"));
        assert!(request.is_to_this_machine(80) && !request.is_to_this_machine(81));
        assert!(request.has_token("abc") && !request.has_token("abd") && !request.has_token("ab"));
        let request = read("GET / HTTP/1.1\r\nhost: evil.example:80\r\nCookie: a=b; pipe_ui=abc\r\n\r\n").unwrap();
        assert!(request.has_token("abc") && !request.has_token("b") && !request.is_to_this_machine(80));
        assert!(
            !read("GET / HTTP/1.1\r\nHost: localhost:80\r\n\r\n").unwrap().has_token(""),
            "no token is no empty token"
        );
    }

    #[test]
    fn what_is_no_request_is_refused() {
        assert_eq!(read("hello\r\n\r\n"), None);
        assert_eq!(read("GET / HTTP/1.1\r\nHost"), None);
        assert_eq!(read(&"x".repeat(100_000)), None);
    }
}
