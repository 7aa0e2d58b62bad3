//! Files that are elsewhere: object stores (`s3://`, `gs://`, `az://`) and the web (`http(s)://`).
//!
//! Object stores take their keys and addresses from the environment, as their own tools do (`AWS_ACCESS_KEY_ID`,
//! `AWS_ENDPOINT_URL`, `GOOGLE_APPLICATION_CREDENTIALS`, `AZURE_STORAGE_ACCOUNT_NAME` and so on).

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use anyhow::{Context, bail};
use candor::ErrorCode;
use futures_util::StreamExt;
use object_store::{ObjectStore, ObjectStoreExt, ObjectStoreScheme, parse_url_opts, path::Path};
use reqwest::Url;

/// Time for one file to arrive.
const TIMEOUT: Duration = Duration::from_mins(5);

/// What one address names, when it was listed.
pub(crate) struct Listed {
    pub(crate) uri: String,
    pub(crate) size: u64,
    /// Nanoseconds since 1970; 0 when it isn't told.
    pub(crate) modified: i64,
}

/// Why a file did not come, and whether it may come later.
#[derive(Debug)]
pub(crate) struct Missing {
    pub(crate) code: ErrorCode,
    pub(crate) message: String,
    pub(crate) transient: bool,
}

impl Missing {
    pub(crate) fn new(code: ErrorCode, message: impl std::fmt::Display, transient: bool) -> Self {
        Self { code, message: message.to_string(), transient }
    }
}

/// Whether a name is an address and no path.
pub(crate) fn is_remote(name: &str) -> bool {
    ["s3://", "gs://", "az://", "http://", "https://"].iter().any(|scheme| name.starts_with(scheme))
}

/// Opens what is elsewhere. Connections are kept.
pub(crate) struct Remote {
    stores: Mutex<HashMap<String, Arc<dyn ObjectStore>>>,
    web: reqwest::Client,
    max_bytes: u64,
}

impl Remote {
    pub(crate) fn new(max_bytes: u64) -> anyhow::Result<Self> {
        // Twice is no harm: the second is refused and the first stays.
        let _ = rustls::crypto::ring::default_provider().install_default();
        let web =
            reqwest::Client::builder().timeout(TIMEOUT).build().context("cannot prepare for the web")?;
        Ok(Self { stores: Mutex::default(), web, max_bytes })
    }

    fn store(&self, url: &Url) -> anyhow::Result<(Arc<dyn ObjectStore>, Path)> {
        let (_, path) = ObjectStoreScheme::parse(url).with_context(|| format!("{url} names no object"))?;
        let key = format!("{}://{}", url.scheme(), url.host_str().unwrap_or_default());
        let mut stores = self.stores.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(store) = stores.get(&key) {
            return Ok((Arc::clone(store), path));
        }
        let (store, _) =
            parse_url_opts(url, std::env::vars()).with_context(|| format!("cannot open {url}"))?;
        let store: Arc<dyn ObjectStore> = Arc::from(store);
        stores.insert(key, Arc::clone(&store));
        Ok((store, path))
    }

    /// What an address names: an object, or everything below a prefix.
    pub(crate) async fn list(&self, uri: &str, mut found: impl FnMut(Listed) -> bool) -> anyhow::Result<()> {
        let url = Url::parse(uri).with_context(|| format!("{uri} is no address"))?;
        if matches!(url.scheme(), "http" | "https") {
            found(Listed { uri: uri.to_owned(), size: 0, modified: 0 });
            return Ok(());
        }
        let (store, path) = self.store(&url)?;
        let root = format!("{}://{}", url.scheme(), url.host_str().unwrap_or_default());
        let listed = |meta: object_store::ObjectMeta| Listed {
            uri: format!("{root}/{}", meta.location),
            size: meta.size,
            modified: meta.last_modified.timestamp_nanos_opt().unwrap_or_default(),
        };
        if !uri.ends_with('/') && path.parts().next().is_some() {
            match store.head(&path).await {
                Ok(meta) => {
                    found(listed(meta));
                    return Ok(());
                }
                Err(object_store::Error::NotFound { .. }) => {}
                Err(error) => return Err(error).with_context(|| format!("cannot read {uri}")),
            }
        }
        let prefix = path.parts().next().is_some().then_some(&path);
        let mut all = store.list(prefix);
        let mut count = 0;
        while let Some(meta) = all.next().await {
            count += 1;
            if !found(listed(meta.with_context(|| format!("cannot list {uri}"))?)) {
                return Ok(());
            }
        }
        if count == 0 {
            bail!("there is nothing at {uri}");
        }
        Ok(())
    }

    /// The bytes of one object.
    pub(crate) async fn fetch(&self, uri: &str) -> Result<Vec<u8>, Missing> {
        let done = tokio::time::timeout(TIMEOUT, self.read(uri)).await;
        done.map_err(|_| Missing::new(ErrorCode::Read, "it did not arrive in time", true))?
    }

    async fn read(&self, uri: &str) -> Result<Vec<u8>, Missing> {
        let url = Url::parse(uri)
            .map_err(|e| Missing::new(ErrorCode::NotFound, format!("no address: {e}"), false))?;
        let too_large = || {
            let message = format!("the file is larger than the limit of {} bytes", self.max_bytes);
            Missing::new(ErrorCode::TooLarge, message, false)
        };
        let mut bytes = Vec::new();
        let mut add = |piece: &[u8]| {
            if (bytes.len() + piece.len()) as u64 > self.max_bytes {
                return Err(too_large());
            }
            bytes.extend_from_slice(piece);
            Ok(())
        };
        if matches!(url.scheme(), "http" | "https") {
            let broken = |e: reqwest::Error| Missing::new(ErrorCode::Read, e.without_url(), true);
            let mut answer = self.web.get(url).send().await.map_err(broken)?;
            let status = answer.status();
            if !status.is_success() {
                let code = match status.as_u16() {
                    404 | 410 => ErrorCode::NotFound,
                    401 | 403 => ErrorCode::PermissionDenied,
                    _ => ErrorCode::Read,
                };
                let later = status.is_server_error() || status.as_u16() == 429;
                return Err(Missing::new(code, format!("the server answers {status}"), later));
            }
            while let Some(piece) = answer.chunk().await.map_err(broken)? {
                add(&piece)?;
            }
        } else {
            let (store, path) =
                self.store(&url).map_err(|e| Missing::new(ErrorCode::Read, format!("{e:#}"), false))?;
            let broken = |e: object_store::Error| {
                let (code, later) = match &e {
                    object_store::Error::NotFound { .. } => (ErrorCode::NotFound, false),
                    object_store::Error::PermissionDenied { .. }
                    | object_store::Error::Unauthenticated { .. } => (ErrorCode::PermissionDenied, false),
                    _ => (ErrorCode::Read, true),
                };
                Missing::new(code, e, later)
            };
            let mut pieces = store.get(&path).await.map_err(broken)?.into_stream();
            while let Some(piece) = pieces.next().await {
                add(&piece.map_err(broken)?)?;
            }
        }
        Ok(bytes)
    }
}

/// [`Remote`] for callers that wait.
pub(crate) struct Elsewhere {
    runtime: tokio::runtime::Runtime,
    remote: Arc<Remote>,
}

impl Elsewhere {
    /// The one of this process, made when it is first needed.
    pub(crate) fn get() -> anyhow::Result<&'static Self> {
        static ONLY: std::sync::OnceLock<Result<Elsewhere, String>> = std::sync::OnceLock::new();
        let made = ONLY.get_or_init(|| {
            let make = || -> anyhow::Result<Elsewhere> {
                let runtime =
                    tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build()?;
                Ok(Elsewhere { runtime, remote: Arc::new(Remote::new(candor::MAX_FILE_BYTES)?) })
            };
            make().map_err(|error| format!("{error:#}"))
        });
        made.as_ref().map_err(|error| anyhow::anyhow!("{error}"))
    }

    /// What an address names, as it comes.
    pub(crate) fn list(&self, uri: &str) -> impl Iterator<Item = anyhow::Result<Listed>> + use<> {
        let (sender, receiver) = std::sync::mpsc::sync_channel(1000);
        let (remote, uri) = (Arc::clone(&self.remote), uri.to_owned());
        self.runtime.spawn(async move {
            let found = |listed| tokio::task::block_in_place(|| sender.send(Ok(listed)).is_ok());
            if let Err(error) = remote.list(&uri, found).await {
                let _ = tokio::task::block_in_place(|| sender.send(Err(error)));
            }
        });
        receiver.into_iter()
    }

    /// The bytes of one object.
    pub(crate) fn fetch(&self, uri: &str) -> Result<Vec<u8>, Missing> {
        self.runtime.block_on(self.remote.fetch(uri))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_are_told_from_paths() {
        for name in ["s3://bucket/key", "https://example.org/a.jpg", "az://container/x"] {
            assert!(is_remote(name));
        }
        for name in ["s3:/x", "C:\\x", "folder/http://x", "file.jpg"] {
            assert!(!is_remote(name));
        }
    }
}
