//! API keys: who may ask, and how often.

use std::collections::HashMap;
use std::fmt::Write as _;
use std::fs;
use std::io::Write as _;
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Instant;

use axum::extract::{Request, State};
use axum::http::{HeaderValue, StatusCode, header};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};

use crate::problem::Problem;
use crate::{App, Error};

/// One key, known by the digest of its secret.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Key {
    /// Whose it is.
    pub name: String,
    /// SHA-256 of the secret, hexadecimal. A secret has 256 random bits, so that a plain digest can't be searched.
    pub sha256: String,
    /// Requests a minute; 0 for no limit.
    pub per_minute: u32,
}

/// All keys.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Keys(Vec<Key>);

/// A key that was just made.
#[derive(Debug)]
pub struct NewKey {
    /// The secret, which is kept nowhere.
    pub secret: String,
}

impl Keys {
    /// Reads a key file: a line for each with name, digest and requests a minute.
    ///
    /// # Errors
    /// Names the line that is wrong.
    pub fn read(path: &Path) -> Result<Self, Error> {
        let text =
            fs::read_to_string(path).map_err(|source| Error::File { path: path.to_owned(), source })?;
        let mut keys = Vec::new();
        for (i, line) in text.lines().enumerate() {
            let line = line.trim();
            if line.is_empty() || line.starts_with('#') {
                continue;
            }
            let wrong = |reason| Error::Keys { path: path.to_owned(), line: i + 1, reason };
            let mut fields = line.split_whitespace();
            let (Some(name), Some(sha256)) = (fields.next(), fields.next()) else {
                return Err(wrong("a line is: name, SHA-256 of the key, requests a minute"));
            };
            if sha256.len() != 64 || !sha256.bytes().all(|b| b.is_ascii_hexdigit()) {
                return Err(wrong("the second field is no SHA-256"));
            }
            let per_minute = match fields.next().map(str::parse) {
                None => 0,
                Some(Ok(limit)) => limit,
                Some(Err(_)) => return Err(wrong("the third field is no number of requests")),
            };
            keys.push(Key { name: name.to_owned(), sha256: sha256.to_ascii_lowercase(), per_minute });
        }
        Ok(Self(keys))
    }

    /// Makes a key and appends its digest to a key file.
    ///
    /// # Errors
    /// When the name has spaces or the file cannot be written.
    pub fn add(path: &Path, name: &str, per_minute: u32) -> Result<NewKey, Error> {
        if name.is_empty() || name.starts_with('#') || name.contains(char::is_whitespace) {
            return Err(Error::Keys { path: path.to_owned(), line: 0, reason: "a name has no spaces" });
        }
        let mut secret = String::from("candor_");
        for byte in rand::random::<[u8; 32]>() {
            // Writing to a string does not fail.
            let _ = write!(secret, "{byte:02x}");
        }
        let digest = candor_models::sha256(secret.as_bytes());
        let mut options = fs::OpenOptions::new();
        options.create(true).append(true);
        #[cfg(unix)]
        std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
        options
            .open(path)
            .and_then(|mut file| writeln!(file, "{name} {digest} {per_minute}"))
            .map_err(|source| Error::File { path: path.to_owned(), source })?;
        Ok(NewKey { secret })
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    fn find(&self, secret: &str) -> Option<&Key> {
        let digest = candor_models::sha256(secret.as_bytes());
        // Digests of what was sent are compared: how long that takes tells nothing about the secret.
        self.0.iter().find(|key| key.sha256 == digest)
    }
}

/// Whose request it is; empty without keys.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Owner(pub(crate) String);

/// Requests of the current minute, by name of the key.
#[derive(Default)]
pub(crate) struct Usage(Mutex<HashMap<String, (Instant, u32)>>);

impl Usage {
    /// Counts a request; the seconds to wait when there were too many.
    fn count(&self, key: &Key) -> Result<(), u64> {
        let mut usage = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let (since, count) = usage.entry(key.name.clone()).or_insert_with(|| (Instant::now(), 0));
        if since.elapsed().as_secs() >= 60 {
            (*since, *count) = (Instant::now(), 0);
        }
        if key.per_minute > 0 && *count >= key.per_minute {
            return Err(60_u64.saturating_sub(since.elapsed().as_secs()).max(1));
        }
        *count += 1;
        Ok(())
    }
}

/// Lets a request pass that has a key with something left, or any when there are no keys.
pub(crate) async fn check(State(app): State<Arc<App>>, mut request: Request, next: Next) -> Response {
    let keys = &app.config.keys;
    if keys.is_empty() {
        request.extensions_mut().insert(Owner::default());
        return next.run(request).await;
    }
    let headers = request.headers();
    let bearer = headers
        .get(header::AUTHORIZATION)
        .and_then(|h| h.to_str().ok())
        .and_then(|h| h.strip_prefix("Bearer ").or_else(|| h.strip_prefix("bearer ")));
    let secret = bearer.or_else(|| headers.get("x-api-key").and_then(|h| h.to_str().ok()));
    let Some(key) = secret.and_then(|s| keys.find(s.trim())) else {
        let problem = Problem::new(StatusCode::UNAUTHORIZED, "no valid API key")
            .detail("send it as Authorization: Bearer KEY");
        let mut response = problem.into_response();
        response.headers_mut().insert(header::WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"));
        return response;
    };
    match app.usage.count(key) {
        Ok(()) => {
            request.extensions_mut().insert(Owner(key.name.clone()));
            next.run(request).await
        }
        Err(seconds) => Problem::new(StatusCode::TOO_MANY_REQUESTS, "quota used up")
            .detail(format!("this key has {} requests a minute", key.per_minute))
            .retry_after(seconds)
            .into_response(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_are_kept_as_digests_and_counted() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("keys");
        let made = Keys::add(&path, "lab", 2).unwrap();
        assert!(Keys::add(&path, "two words", 2).is_err());
        let text = fs::read_to_string(&path).unwrap();
        assert!(!text.contains(&made.secret));
        let keys = Keys::read(&path).unwrap();
        let key = keys.find(&made.secret).unwrap();
        assert_eq!((key.name.as_str(), key.per_minute), ("lab", 2));
        assert!(keys.find("candor_00").is_none());
        let usage = Usage::default();
        assert!(usage.count(key).is_ok() && usage.count(key).is_ok());
        assert!(usage.count(key).unwrap_err() >= 1);
        fs::write(&path, "# comment\n\nlab zz\n").unwrap();
        let error = Keys::read(&path).unwrap_err().to_string();
        assert!(error.contains("line 3"), "{error}");
    }
}
