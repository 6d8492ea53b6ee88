//! One request for a file, or for the rest of it.

use std::io::{self, Read};
use std::time::Duration;

use ureq::http::header::{CONTENT_LENGTH, CONTENT_RANGE, ETAG, IF_RANGE, LAST_MODIFIED, RANGE, RETRY_AFTER};
use ureq::http::{HeaderName, Response};
use ureq::{Agent, Body, Error, Timeout};

use crate::shown::without_passwords;

/// How long to wait, and how often to try.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Patience {
    /// Tries in a row without a new byte before a source is given up.
    pub tries: u32,
    /// The pause after the first failed try; each further one is twice as long.
    pub pause: Duration,
    /// The longest pause, also where the server asks for one.
    pub longest_pause: Duration,
    /// For a name to resolve, a connection to stand and an answer to begin, each.
    pub connect: Duration,
    /// For the next bytes to arrive.
    pub stall: Duration,
}

impl Default for Patience {
    fn default() -> Self {
        Self {
            tries: 6,
            pause: Duration::from_secs(1),
            longest_pause: Duration::from_secs(60),
            connect: Duration::from_secs(20),
            stall: Duration::from_secs(30),
        }
    }
}

/// Whether the variables HTTPS_PROXY, HTTP_PROXY, ALL_PROXY and NO_PROXY count.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Proxies {
    /// They do.
    #[default]
    FromEnvironment,
    /// They do not.
    Never,
}

/// A file's version: its tag, or when it changed.
pub(super) type Version = String;

/// What a server answered.
pub(super) struct Answer {
    pub(super) status: u16,
    /// Bytes of the body.
    pub(super) length: Option<u64>,
    /// The first byte of a part, and the bytes of the whole.
    pub(super) range: Option<(u64, Option<u64>)>,
    pub(super) version: Option<Version>,
    pub(super) retry_after: Option<Duration>,
    pub(super) body: Box<dyn Read>,
}

/// Why there is no answer, or no more of it.
pub(super) enum Failure {
    /// It would be the same next time.
    Lasting(String),
    /// There is no connection; at the start nobody waits for one.
    Unconnected(String),
    /// The next try may do better.
    Passing(String),
}

/// Asks for files.
pub(super) struct Client(Agent);

impl Client {
    pub(super) fn new(patience: &Patience, proxies: Proxies) -> Self {
        let config = Agent::config_builder()
            .timeout_resolve(Some(patience.connect))
            .timeout_connect(Some(patience.connect))
            .timeout_recv_response(Some(patience.connect))
            .timeout_per_read(Some(patience.stall))
            .http_status_as_error(false)
            .accept_encoding("identity")
            .user_agent(concat!("runner/", env!("CARGO_PKG_VERSION")));
        let config = match proxies {
            Proxies::FromEnvironment => config,
            Proxies::Never => config.proxy(None),
        };
        Self(config.build().new_agent())
    }

    /// Asks for the bytes from `at` on, if the file still has this version.
    pub(super) fn get(&self, url: &str, at: u64, version: Option<&Version>) -> Result<Answer, Failure> {
        let mut request = self.0.get(url);
        if at > 0 {
            request = request.header(RANGE, format!("bytes={at}-"));
            if let Some(version) = version {
                request = request.header(IF_RANGE, version);
            }
        }
        let response = request.call().map_err(|error| failure(&error))?;
        Ok(Answer {
            status: response.status().as_u16(),
            length: text(&response, CONTENT_LENGTH).and_then(|length| length.parse().ok()),
            range: text(&response, CONTENT_RANGE).and_then(range),
            version: version_of(&response),
            retry_after: text(&response, RETRY_AFTER).and_then(|s| s.parse().ok()).map(Duration::from_secs),
            body: Box::new(response.into_body().into_reader()),
        })
    }
}

fn text(response: &Response<Body>, name: HeaderName) -> Option<&str> {
    response.headers().get(name)?.to_str().ok()
}

/// A strong tag, or a date: what If-Range takes.
fn version_of(response: &Response<Body>) -> Option<Version> {
    let strong = text(response, ETAG).filter(|tag| !tag.starts_with("W/"));
    strong.or_else(|| text(response, LAST_MODIFIED)).map(str::to_owned)
}

/// `bytes 7-9/10` or `bytes 7-9/*`.
fn range(text: &str) -> Option<(u64, Option<u64>)> {
    let (first, rest) = text.trim().strip_prefix("bytes ")?.split_once('-')?;
    let (_, whole) = rest.split_once('/')?;
    Some((first.trim().parse().ok()?, whole.trim().parse().ok()))
}

fn failure(error: &Error) -> Failure {
    // A proxy's address may hold a password.
    let words = without_passwords(&error.to_string());
    match error {
        Error::HostNotFound => Failure::Unconnected("no such host is known".to_owned()),
        Error::ConnectionFailed | Error::ConnectProxyFailed(_) => Failure::Unconnected(words),
        Error::Timeout(Timeout::Resolve) => {
            Failure::Unconnected("the name did not resolve in time".to_owned())
        }
        Error::Timeout(Timeout::Connect) => Failure::Unconnected("no connection stood in time".to_owned()),
        Error::Timeout(_) => Failure::Passing("the server did not answer in time".to_owned()),
        Error::Io(error) => broken(error),
        Error::Protocol(_) | Error::BodyStalled => Failure::Passing(words),
        _ => Failure::Lasting(words),
    }
}

/// What an error while bytes are awaited means.
pub(super) fn broken(error: &io::Error) -> Failure {
    if let Some(inner) = error.get_ref().and_then(|inner| inner.downcast_ref::<Error>()) {
        return match inner {
            Error::Timeout(_) => Failure::Passing("no byte came for too long".to_owned()),
            inner => failure(inner),
        };
    }
    if names_no_host(error) {
        return Failure::Unconnected(without_passwords(&error.to_string()));
    }
    match error.kind() {
        io::ErrorKind::ConnectionRefused
        | io::ErrorKind::HostUnreachable
        | io::ErrorKind::NetworkUnreachable
        | io::ErrorKind::NetworkDown
        | io::ErrorKind::AddrNotAvailable => Failure::Unconnected(without_passwords(&error.to_string())),
        // What rustls finds wrong with a certificate.
        io::ErrorKind::InvalidData => Failure::Lasting(without_passwords(&error.to_string())),
        _ => Failure::Passing(without_passwords(&error.to_string())),
    }
}

/// Whether a name did not resolve, for which the standard library has no kind of its own: only words, or the numbers
/// of Windows.
fn names_no_host(error: &io::Error) -> bool {
    const WINDOWS: [i32; 3] = [11_001, 11_002, 11_004];
    error.to_string().starts_with("failed to lookup address")
        || (cfg!(windows) && error.raw_os_error().is_some_and(|code| WINDOWS.contains(&code)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_that_does_not_resolve_is_known_by_the_words_of_the_standard_library() {
        // RFC 6761 keeps `.invalid` from ever resolving.
        let error = std::net::ToSocketAddrs::to_socket_addrs("no-such-host.invalid:80").unwrap_err();
        assert!(names_no_host(&error), "{error}");
        assert!(!names_no_host(&io::ErrorKind::ConnectionReset.into()));
    }

    #[test]
    fn ranges_are_read_with_and_without_the_whole_size() {
        assert_eq!(range("bytes 7-9/10"), Some((7, Some(10))));
        assert_eq!(range("bytes 7-9/*"), Some((7, None)));
        for wrong in ["", "bytes", "bytes */10", "bytes -9/10", "items 7-9/10", "bytes 7-9"] {
            assert_eq!(range(wrong), None, "{wrong}");
        }
    }
}
