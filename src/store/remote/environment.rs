//! What the environment says of an object store, checked before the client sees it.
//!
//! The client takes any text for an address or a header and panics or hangs over some of them. So each
//! variable is looked at first: an empty one counts as unset, and one that cannot be what its name says is
//! named, without its value, which may be a secret.

use std::ffi::OsString;
use std::path::Path;

use url::Url;

/// The longest value: a key or a token has some kilobytes.
const LONGEST: usize = 64 << 10;
/// The largest file with credentials.
const FILE: u64 = 1 << 20;

/// The variables that begin with `prefix` and are known to `is_known`, in small letters, without blanks at
/// their ends.
///
/// # Errors
/// A value that cannot be meant, in words.
pub fn settings(
    prefix: &str,
    is_known: impl Fn(&str) -> bool,
    all: impl Iterator<Item = (OsString, OsString)>,
) -> Result<Vec<(String, String)>, String> {
    let mut found = Vec::new();
    for (name, value) in all {
        let Some(name) = name.to_str().filter(|name| name.starts_with(prefix)) else { continue };
        let key = name.to_ascii_lowercase();
        if !is_known(&key) {
            continue;
        }
        let value = value.to_str().ok_or_else(|| format!("{name} is not valid UTF-8"))?.trim();
        if !value.is_empty() {
            check(name, value)?;
            found.push((key, value.to_owned()));
        }
    }
    found.sort();
    Ok(found)
}

fn check(name: &str, value: &str) -> Result<(), String> {
    if value.len() > LONGEST {
        return Err(format!("{name} is longer than {LONGEST} bytes"));
    }
    // Keys are often stored with line breaks; in a header or an address there can be none.
    let is_key = name.ends_with("_KEY") && value.starts_with('{');
    if !is_key && value.chars().any(char::is_control) {
        return Err(format!("{name} holds a line break or another control character"));
    }
    if is_address(name) {
        let url = Url::parse(value).ok().filter(|url| matches!(url.scheme(), "http" | "https"));
        if url.and_then(|url| url.host_str().map(str::len)).unwrap_or(0) == 0 {
            return Err(format!("{name} is not an address: write `https://HOST` or `http://HOST:PORT`"));
        }
    } else if is_file(name) {
        let found = Path::new(value)
            .metadata()
            .map_err(|error| format!("the file of {name} cannot be used: {error}"))?;
        if !found.is_file() || found.len() > FILE {
            return Err(format!("{name} does not name a file with credentials"));
        }
    } else if !is_key && !value.is_ascii() {
        return Err(format!("{name} contains characters that are not ASCII"));
    }
    Ok(())
}

fn is_address(name: &str) -> bool {
    ["ENDPOINT", "_URL", "FULL_URI", "AUTHORITY_HOST"].iter().any(|part| name.contains(part))
        && !name.ends_with("_STYLE_REQUEST")
}

fn is_file(name: &str) -> bool {
    ["_FILE", "_CREDENTIALS", "SERVICE_ACCOUNT", "SERVICE_ACCOUNT_PATH"].iter().any(|end| name.ends_with(end))
}

#[cfg(test)]
mod tests {
    use std::os::unix::ffi::OsStringExt;

    use super::*;

    fn of(name: &str, value: impl Into<OsString>) -> Result<Vec<(String, String)>, String> {
        settings("AWS_", |_| true, [(OsString::from(name), value.into())].into_iter())
    }

    #[test]
    fn what_cannot_be_meant_is_named_without_its_value() {
        let endpoint = "AWS_ENDPOINT_URL";
        for odd in [
            "localhost:9000",
            "s3.example.org",
            "ftp://x",
            "http://",
            "https:",
            "://",
            "http://a b",
            "\u{e9}",
        ] {
            let words = of(endpoint, odd).unwrap_err();
            assert!(words.contains(endpoint) && words.contains("is not an address"), "{odd}: {words}");
        }
        for (name, odd) in [
            ("AWS_SECRET_ACCESS_KEY", "s3cr3t\nmore"),
            ("AWS_SESSION_TOKEN", "s3cr3t\u{7f}"),
            ("AWS_ACCESS_KEY_ID", "s3cr3t\u{e9}"),
            ("AWS_REGION", &"s3cr3t".repeat(20_000)),
            ("AWS_WEB_IDENTITY_TOKEN_FILE", "/s3cr3t/nowhere"),
            ("AWS_WEB_IDENTITY_TOKEN_FILE", "/"),
        ] {
            let words = of(name, odd).unwrap_err();
            assert!(words.contains(name) && !words.contains("s3cr3t"), "{words}");
        }
        let words = of("AWS_REGION", OsString::from_vec(vec![0xff, b's'])).unwrap_err();
        assert_eq!(words, "AWS_REGION is not valid UTF-8");
    }

    #[test]
    fn an_empty_variable_is_none_and_others_stand() {
        assert_eq!(of("AWS_ENDPOINT_URL", "").unwrap(), []);
        assert_eq!(of("AWS_REGION", "  ").unwrap(), []);
        assert_eq!(of("GOOGLE_BUCKET", "x").unwrap(), []);
        let stands = |name: &str, value: &str| {
            of(name, value).unwrap() == [(name.to_lowercase(), value.trim().to_owned())]
        };
        assert!(stands("AWS_ENDPOINT_URL", " http://127.0.0.1:9000 "));
        assert!(stands("AWS_SECRET_ACCESS_KEY", "abc/+=="));
        assert!(stands("AWS_VIRTUAL_HOSTED_STYLE_REQUEST", "true"));
    }
}
