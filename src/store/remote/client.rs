//! Requests to an object store that block, end in time, and stop when asked to.

use std::fmt;
use std::future::Future;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::pin;
use std::sync::Arc;
use std::time::{Duration, Instant};

use futures_util::stream::{BoxStream, StreamExt, TryStreamExt};
use object_store::aws::{AmazonS3Builder, AmazonS3ConfigKey};
use object_store::azure::{AzureConfigKey, MicrosoftAzureBuilder};
use object_store::gcp::{GoogleCloudStorageBuilder, GoogleConfigKey};
use object_store::local::LocalFileSystem;
use object_store::path::Path;
use object_store::{
    BackoffConfig, ClientOptions, Error, ObjectStore, ObjectStoreExt, PutMode, PutOptions, PutPayload,
    RetryConfig, WriteMultipart,
};
use tokio::runtime::Runtime;
use tokio::time::timeout;

use super::environment;
use super::fault::{Fault, is_absent, without_secrets};
use super::url::{Kind, RemoteUrl};

/// How often a wait looks whether it is to stop.
const POLL: Duration = Duration::from_millis(50);
/// How long a connection may take to come about, if an answer may take longer.
const CONNECT: Duration = Duration::from_secs(5);
/// How often a request that failed on the way is sent again.
const RETRIES: usize = 3;
/// The first pause before that, and the longest.
const PAUSES: (Duration, Duration) = (Duration::from_millis(100), Duration::from_secs(2));
/// The slowest transfer that is waited for, in bytes a second.
const PACE: u64 = 64 << 10;
/// Larger files are sent in parts of this size, so many at a time.
const PART: usize = 8 << 20;
const PARTS: usize = 4;

/// Whether to stop.
pub type Stop<'a> = &'a (dyn Fn() -> bool + Sync);

/// An object store, and the one asynchronous runtime.
pub struct Client {
    /// Taken out when it ends.
    runtime: Option<Runtime>,
    store: Arc<dyn ObjectStore>,
    prefix: Path,
    patience: Duration,
}

impl fmt::Debug for Client {
    /// Without the store, which holds credentials.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Client").field("prefix", &self.prefix).finish_non_exhaustive()
    }
}

impl Drop for Client {
    fn drop(&mut self) {
        // A request that hangs must not keep the program from ending.
        if let Some(runtime) = self.runtime.take() {
            runtime.shutdown_background();
        }
    }
}

impl Client {
    /// The store at `url`, with the credentials of the environment.
    ///
    /// # Errors
    /// What the environment lacks, in words.
    pub fn new(url: &RemoteUrl, patience: Duration) -> Result<Self, String> {
        // Without one of its own, the HTTP client takes the process's. A second call changes nothing.
        let _ = rustls::crypto::ring::default_provider().install_default();
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(2)
            .thread_name("shared cache")
            .enable_all()
            .build()
            .map_err(|error| error.to_string())?;
        let options =
            ClientOptions::new().with_connect_timeout(CONNECT.min(patience)).with_timeout_disabled();
        let retry = RetryConfig {
            backoff: BackoffConfig { init_backoff: PAUSES.0, max_backoff: PAUSES.1, base: 2.0 },
            max_retries: RETRIES,
            retry_timeout: patience,
        };
        let built = match url.kind() {
            Kind::S3 => {
                let known = |name: &str| name.parse::<AmazonS3ConfigKey>().ok();
                let settings =
                    environment::settings("AWS_", |name| known(name).is_some(), std::env::vars_os())?;
                let is_plain = |(name, value): &(String, String)| {
                    name.contains("endpoint_url") && is_plain(value)
                        || name == "aws_endpoint" && is_plain(value)
                };
                if settings.iter().any(is_plain) && !allows_http() {
                    return Err(
                        "AWS_ENDPOINT_URL is plain HTTP, which only AWS_ALLOW_HTTP=true allows".to_owned()
                    );
                }
                let mut builder = AmazonS3Builder::new();
                for (name, value) in settings {
                    if let Some(key) = known(&name) {
                        builder = builder.with_config(key, value);
                    }
                }
                let builder = builder.with_bucket_name(url.bucket()).with_retry(retry);
                // `AWS_ALLOW_HTTP` is one of the options of the client, which are replaced here.
                let options = options.with_allow_http(allows_http());
                builder
                    .with_client_options(options)
                    .build()
                    .map(|store| Arc::new(store) as Arc<dyn ObjectStore>)
            }
            Kind::Google => {
                let known = |name: &str| name.parse::<GoogleConfigKey>().ok();
                let settings =
                    environment::settings("GOOGLE_", |name| known(name).is_some(), std::env::vars_os())?;
                let mut builder = GoogleCloudStorageBuilder::new();
                for (name, value) in settings {
                    if let Some(key) = known(&name) {
                        builder = builder.with_config(key, value);
                    }
                }
                builder
                    .with_bucket_name(url.bucket())
                    .with_retry(retry)
                    .with_client_options(options)
                    .build()
                    .map(|store| Arc::new(store) as _)
            }
            Kind::Azure => {
                let known = |name: &str| name.parse::<AzureConfigKey>().ok();
                let settings =
                    environment::settings("AZURE_", |name| known(name).is_some(), std::env::vars_os())?;
                let mut builder = MicrosoftAzureBuilder::new();
                for (name, value) in settings {
                    if let Some(key) = known(&name) {
                        builder = builder.with_config(key, value);
                    }
                }
                builder
                    .with_container_name(url.bucket())
                    .with_retry(retry)
                    .with_client_options(options)
                    .build()
                    .map(|store| Arc::new(store) as _)
            }
            Kind::Folder(path) => {
                if !path.is_dir() {
                    return Err("there is no such folder; make it, or mount it".to_owned());
                }
                LocalFileSystem::new_with_prefix(path).map(|store| Arc::new(store.with_fsync(true)) as _)
            }
        };
        let store = built.map_err(|error| without_secrets(&error.to_string()))?;
        let prefix = Path::from_url_path(url.prefix()).map_err(|error| error.to_string())?;
        Ok(Self { runtime: Some(runtime), store, prefix, patience })
    }

    /// The size of a file; `None` if there is none.
    pub fn size(&self, name: &str, stop: Stop<'_>) -> Result<Option<u64>, Fault> {
        let path = self.path(name);
        let found = self.wait(self.patience, stop, self.store.head(&path))?;
        Ok(found.map(|meta| meta.size))
    }

    /// Begins to read a file; `None` if there is none.
    pub fn get(&self, name: &str, stop: Stop<'_>) -> Result<Option<Body<'_>>, Fault> {
        let path = self.path(name);
        let Some(found) = self.wait(self.patience, stop, self.store.get(&path))? else { return Ok(None) };
        let bytes = found.meta.size;
        let stream = found.into_stream().map_ok(Vec::from).boxed();
        Ok(Some(Body { client: self, bytes, stream, until: Instant::now() + self.allowance(bytes) }))
    }

    /// Puts a small file where there is none; `false` if there is one.
    pub fn create(&self, name: &str, content: Vec<u8>, stop: Stop<'_>) -> Result<bool, Fault> {
        let (path, limit) = (self.path(name), self.allowance(content.len() as u64));
        let options = PutOptions { mode: PutMode::Create, ..PutOptions::default() };
        let put = self.store.put_opts(&path, PutPayload::from(content), options);
        let put = async { there_is_one(put.await) };
        // Without a bucket there is nothing to put into.
        self.wait(limit, stop, put)?.ok_or_else(no_bucket)
    }

    /// Puts a file, in place of what is there.
    pub fn put(
        &self,
        name: &str,
        content: Vec<u8>,
        stop: Stop<'_>,
        moved: &(dyn Fn(u64) + Sync),
    ) -> Result<(), Fault> {
        let (path, bytes) = (self.path(name), content.len() as u64);
        let limit = self.allowance(bytes);
        if content.len() <= 2 * PART {
            let put = self.store.put(&path, PutPayload::from(content));
            self.wait(limit, stop, put)?.ok_or_else(no_bucket)?;
            moved(bytes);
            return Ok(());
        }
        let put = async {
            let upload = self.store.put_multipart(&path).await?;
            let mut writer = WriteMultipart::new_with_chunk_size(upload, PART);
            for part in content.chunks(PART) {
                writer.wait_for_capacity(PARTS).await?;
                writer.write(part);
                moved(part.len() as u64);
            }
            writer.finish().await.map(drop)
        };
        self.wait(limit, stop, put)?.ok_or_else(no_bucket)
    }

    /// The files under a folder, by their paths within it.
    pub fn list(&self, folder: &str, stop: Stop<'_>) -> Result<Vec<String>, Fault> {
        let path = self.path(folder);
        let mut stream = self.store.list(Some(&path));
        let mut names = Vec::new();
        while let Some(Some(meta)) = self.wait(self.patience, stop, stream.try_next())? {
            let parts: Option<Vec<String>> = meta
                .location
                .prefix_match(&path)
                .map(|parts| parts.map(|part| part.as_ref().to_owned()).collect());
            names.extend(parts.map(|parts| parts.join("/")));
        }
        Ok(names)
    }

    fn path(&self, name: &str) -> Path {
        name.split('/').fold(self.prefix.clone(), |path, part| path.join(part))
    }

    /// How long a transfer of so many bytes may take.
    fn allowance(&self, bytes: u64) -> Duration {
        self.patience + Duration::from_secs(bytes / PACE)
    }

    /// Waits for a request; `None` where it finds nothing.
    fn wait<T>(
        &self,
        limit: Duration,
        stop: Stop<'_>,
        work: impl Future<Output = Result<T, Error>>,
    ) -> Result<Option<T>, Fault> {
        let Some(runtime) = &self.runtime else { return Err(Fault::Stopped) };
        let until = Instant::now() + limit;
        let waited = async {
            let mut work = pin!(work);
            loop {
                match timeout(POLL, work.as_mut()).await {
                    Ok(Ok(value)) => return Ok(Some(value)),
                    Ok(Err(error)) if is_absent(&error) => return Ok(None),
                    Ok(Err(error)) => return Err(error.into()),
                    Err(_) if stop() => return Err(Fault::Stopped),
                    Err(_) if Instant::now() >= until => return Err(Fault::late(limit)),
                    Err(_) => {}
                }
            }
        };
        // A run never ends for a shared cache, and a panic of the client must not be an exception.
        let done = catch_unwind(AssertUnwindSafe(|| runtime.block_on(waited)));
        done.unwrap_or_else(|_| Err(Fault::Failed("the client of the object store failed".to_owned())))
    }
}

/// A file that is being read.
pub struct Body<'c> {
    client: &'c Client,
    /// Its size, as the store says.
    pub bytes: u64,
    stream: BoxStream<'static, Result<Vec<u8>, Error>>,
    until: Instant,
}

impl Body<'_> {
    /// The next part of it; `None` at its end.
    pub fn next(&mut self, stop: Stop<'_>) -> Result<Option<Vec<u8>>, Fault> {
        let left = self.until.saturating_duration_since(Instant::now());
        if left.is_zero() {
            return Err(Fault::Failed("it comes too slowly".to_owned()));
        }
        let limit = self.client.patience.min(left);
        Ok(self.client.wait(limit, stop, self.stream.try_next())?.flatten())
    }
}

/// Whether a conditional put has made something new.
fn there_is_one<T>(put: Result<T, Error>) -> Result<bool, Error> {
    match put {
        Ok(_) => Ok(true),
        Err(Error::AlreadyExists { .. } | Error::Precondition { .. }) => Ok(false),
        Err(error) => Err(error),
    }
}

fn no_bucket() -> Fault {
    Fault::Failed("there is no such bucket or folder".to_owned())
}

fn is_plain(endpoint: &str) -> bool {
    endpoint.to_ascii_lowercase().starts_with("http://")
}

fn allows_http() -> bool {
    std::env::var("AWS_ALLOW_HTTP")
        .is_ok_and(|value| matches!(value.to_ascii_lowercase().as_str(), "1" | "true" | "yes" | "on"))
}
