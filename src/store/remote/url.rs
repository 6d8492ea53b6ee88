//! Addresses of shared caches.

use std::fmt;
use std::path::PathBuf;

use url::Url;

/// How an address is written.
const WRITTEN: &str =
    "write `s3://bucket/prefix`, `gs://bucket/prefix`, `az://container/prefix` or `file:///path`";
/// Where secrets belong.
const ENVIRONMENT: &str =
    "credentials come from the environment alone (AWS_*, GOOGLE_*, AZURE_*); if this one was real, change it";

/// The address of a shared cache. It holds no credentials.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RemoteUrl {
    url: Url,
    kind: Kind,
}

/// Who serves it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Kind {
    /// Amazon S3 and all that speak like it.
    S3,
    /// Google Cloud Storage.
    Google,
    /// Azure Blob Storage.
    Azure,
    /// A folder.
    Folder(PathBuf),
}

/// Why a text is no address of a shared cache. Never holds the text, which may hold a password.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub struct UrlFlaw {
    /// What is wrong.
    pub message: String,
    /// What to write instead.
    pub help: &'static str,
}

impl RemoteUrl {
    /// Reads an address.
    ///
    /// # Errors
    /// It is none, or holds credentials.
    pub fn parse(text: &str) -> Result<Self, UrlFlaw> {
        let flaw = |message: &str, help| UrlFlaw { message: message.to_owned(), help };
        let Ok(url) = Url::parse(text.trim()) else {
            return Err(flaw("the address of the shared cache is no URL", WRITTEN));
        };
        if !url.username().is_empty() || url.password().is_some() {
            return Err(flaw(
                "the address of the shared cache must not hold a user or a password",
                ENVIRONMENT,
            ));
        }
        if url.query().is_some() || url.fragment().is_some() {
            return Err(flaw("the address of the shared cache must not hold a `?` or a `#`", ENVIRONMENT));
        }
        if url.port().is_some() {
            let help = "name the server by AWS_ENDPOINT_URL in the environment";
            return Err(flaw("the address of the shared cache names a bucket, and no port", help));
        }
        let has_host = url.host_str().is_some_and(|host| !host.is_empty());
        let kind = match url.scheme() {
            "s3" if has_host => Kind::S3,
            "gs" if has_host => Kind::Google,
            "az" if has_host => Kind::Azure,
            "s3" | "gs" | "az" => {
                return Err(flaw("the address of the shared cache names no bucket", WRITTEN));
            }
            "file" if !has_host => match url.to_file_path() {
                Ok(path) => Kind::Folder(path),
                Err(()) => return Err(flaw("the address of the shared cache is no path", WRITTEN)),
            },
            "file" => {
                let help = "write `file:///path`, with three slashes and the whole path";
                return Err(flaw("the address of the shared cache names a machine, and no path", help));
            }
            other => {
                let message = format!("`{other}:` is no kind of shared cache");
                return Err(UrlFlaw { message, help: WRITTEN });
            }
        };
        Ok(Self { url, kind })
    }

    pub(super) fn kind(&self) -> &Kind {
        &self.kind
    }

    /// Where in the bucket it lies.
    pub(super) fn prefix(&self) -> &str {
        match self.kind {
            Kind::Folder(_) => "",
            Kind::S3 | Kind::Google | Kind::Azure => self.url.path(),
        }
    }

    /// The bucket alone.
    pub(super) fn bucket(&self) -> &str {
        self.url.host_str().unwrap_or_default()
    }
}

impl fmt::Display for RemoteUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.url.as_str().trim_end_matches('/'))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_of_the_four_kinds_are_read_and_told_without_a_slash_at_the_end() {
        let cases = [
            ("s3://lab-cache/pruning", "s3://lab-cache/pruning", "/pruning"),
            ("s3://lab-cache", "s3://lab-cache", ""),
            ("gs://lab/a/b/", "gs://lab/a/b", "/a/b/"),
            ("az://container/x", "az://container/x", "/x"),
            ("file:///mnt/lab cache", "file:///mnt/lab%20cache", ""),
        ];
        for (text, told, prefix) in cases {
            let url = RemoteUrl::parse(text).unwrap();
            assert_eq!((url.to_string().as_str(), url.prefix()), (told, prefix));
        }
        let Kind::Folder(path) = RemoteUrl::parse("file:///mnt/lab cache").unwrap().kind else { panic!() };
        assert_eq!(path, PathBuf::from("/mnt/lab cache"));
    }

    #[test]
    fn anything_else_is_refused_without_repeating_it() {
        let texts = [
            "cache",
            "",
            "/mnt/cache",
            "https://example.org/x",
            "memory:///",
            "s3:///x",
            "s3a://b",
            "file://host/x",
            "s3://key:s3cr3t@bucket/x",
            "s3://s3cr3t@bucket",
            "az://c/x?sig=s3cr3t",
            "s3://b/#s3cr3t",
            "s3://b:90/x",
        ];
        for text in texts {
            let flaw = RemoteUrl::parse(text).unwrap_err();
            assert!(!format!("{flaw:?}").contains("s3cr3t"), "{flaw:?}");
            assert!(!flaw.help.is_empty());
        }
    }
}
