//! What went wrong with a request, in words of our own.
//!
//! An object store's error may repeat the address with its signature, or the server's answer with parts of the request. So
//! nothing of it is told but the number of the status, the server's own one-word code, and how a connection failed.

use std::error::Error as _;
use std::io;
use std::time::Duration;

use object_store::Error;
use object_store::client::{HttpError, HttpErrorKind};

/// The longest code of a server that is repeated.
const CODE: usize = 48;

/// Why a request came to nothing.
#[derive(Debug, PartialEq, Eq)]
pub enum Fault {
    /// It was asked to stop.
    Stopped,
    /// In words.
    Failed(String),
}

impl Fault {
    /// No answer within the time that it was given.
    pub fn late(limit: Duration) -> Self {
        Self::Failed(format!("no answer within {} s", limit.as_secs_f64().ceil()))
    }
}

/// Whether the error says that one thing is not there, and not that there is no bucket at all.
pub fn is_absent(error: &Error) -> bool {
    matches!(error, Error::NotFound { .. }) && code(&error.to_string()) != Some("NoSuchBucket")
}

impl From<Error> for Fault {
    fn from(error: Error) -> Self {
        Self::Failed(words(&error))
    }
}

fn words(error: &Error) -> String {
    let text = error.to_string();
    let (status, code) = (status(&text), code(&text));
    let with = |words: &str| match (status, code) {
        (Some(status), Some(code)) => format!("{words} ({status} {code})"),
        (Some(status), None) => format!("{words} ({status})"),
        (None, Some(code)) => format!("{words} ({code})"),
        (None, None) => words.to_owned(),
    };
    match error {
        Error::PermissionDenied { .. } | Error::Unauthenticated { .. } => return with("access is denied"),
        Error::NotFound { .. } => return with("there is no such bucket or folder"),
        Error::NotImplemented { .. } | Error::NotSupported { .. } => {
            return with("it does not know how to put a file only where there is none");
        }
        Error::AlreadyExists { .. } | Error::Precondition { .. } => return with("it is there already"),
        _ => {}
    }
    match status {
        Some(429 | 503) => return with("it has too much to do"),
        Some(501) => return with("it does not know how to put a file only where there is none"),
        Some(300..400) => return with("it sends us elsewhere; is the region right?"),
        Some(_) => return with("it answered with an error"),
        None => {}
    }
    connection(error).unwrap_or_else(|| with("the request failed"))
}

/// How the connection or the file failed, by the first cause that says it.
fn connection(error: &Error) -> Option<String> {
    let mut cause = error.source();
    let mut found = None;
    while let Some(inner) = cause {
        if let Some(inner) = inner.downcast_ref::<io::Error>() {
            // The kind alone: the text of an `io::Error` may be somebody else's.
            let words =
                if inner.kind() == io::ErrorKind::Other { None } else { Some(inner.kind().to_string()) };
            if words.is_some() {
                return words;
            }
        }
        if let Some(inner) = inner.downcast_ref::<HttpError>() {
            let words = match inner.kind() {
                HttpErrorKind::Connect => "it cannot be reached",
                HttpErrorKind::Timeout => "it does not answer",
                HttpErrorKind::Interrupted | HttpErrorKind::Decode => "the connection broke off",
                _ => "the request failed",
            };
            found = Some(words.to_owned());
        }
        cause = inner.source();
    }
    found
}

/// The number of the status in an error's text.
fn status(text: &str) -> Option<u16> {
    let after = text.split("status code: ").nth(1)?;
    after.get(..3)?.parse().ok()
}

/// The code of S3, Google and Azure: one word without a meaning beyond itself.
fn code(text: &str) -> Option<&str> {
    let code = text.split_once("<Code>")?.1.split_once("</Code>")?.0;
    (code.len() <= CODE && code.bytes().all(|byte| byte.is_ascii_alphabetic())).then_some(code)
}

/// Takes what the environment holds of secrets out of a text.
pub fn without_secrets(text: &str) -> String {
    let secret = |name: &str| {
        let name = name.to_ascii_uppercase();
        let ours = ["AWS_", "GOOGLE_", "AZURE_"].iter().any(|start| name.starts_with(start));
        ours && ["KEY", "SECRET", "TOKEN", "PASSWORD", "SAS", "ACCOUNT", "CREDENTIALS"]
            .iter()
            .any(|part| name.contains(part))
    };
    let values = std::env::vars_os().filter_map(|(name, value)| {
        let (name, value) = (name.into_string().ok()?, value.into_string().ok()?);
        (secret(&name) && value.len() >= 4).then_some(value)
    });
    values.fold(text.to_owned(), |text, value| text.replace(&value, "***"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(text: &str) -> Error {
        Error::Generic { store: "S3", source: text.to_owned().into() }
    }

    #[test]
    fn of_a_server_s_answer_nothing_is_told_but_its_status_and_code() {
        let body = "<Error><Code>SignatureDoesNotMatch</Code><AWSAccessKeyId>AKIAS3CR3T</AWSAccessKeyId>\
                    <StringToSign>AWS4-HMAC-SHA256 s3cr3t</StringToSign></Error>";
        let text =
            format!("Error performing PUT https://x/y?sig=s3cr3t - status code: 400 Bad Request: {body}");
        assert_eq!(words(&of(&text)), "it answered with an error (400 SignatureDoesNotMatch)");
        let denied = Error::PermissionDenied {
            path: "p".into(),
            source: text.replace("400 Bad Request", "403 Forbidden").into(),
        };
        assert_eq!(words(&denied), "access is denied (403 SignatureDoesNotMatch)");
        assert_eq!(words(&of("status code: 503 Slow: <Code>s3cr3t 1</Code>")), "it has too much to do (503)");
        assert_eq!(words(&of("?sig=s3cr3t")), "the request failed");
    }

    #[test]
    fn a_missing_bucket_is_not_a_missing_file() {
        let of = |body: &str| Error::NotFound {
            path: "p".into(),
            source: format!("status code: 404 Not Found: {body}").into(),
        };
        assert!(is_absent(&of("<Code>NoSuchKey</Code>")) && is_absent(&of("")));
        assert!(!is_absent(&of("<Code>NoSuchBucket</Code>")));
    }
}
