//! The files of a request: its body, or the parts of a form.

use std::sync::Arc;

use axum::extract::{FromRequest, Multipart, Request};
use axum::http::{StatusCode, header};

use crate::App;
use crate::problem::Problem;

/// Files of one form, at most.
const FILES: usize = 64;
/// Bytes of an unwanted body that are read, at most.
const DRAINED: usize = 1 << 20;
/// Bytes of a name, at most.
const NAME: usize = 1024;

/// A file as it came.
#[derive(Debug)]
pub struct Upload {
    /// What the client calls it; shortened to 1,024 bytes, not checked otherwise.
    pub name: String,
    /// Its content.
    pub bytes: Vec<u8>,
}

/// What a request holds.
pub(crate) enum Uploads {
    /// Its body is a file.
    One(Upload),
    /// It is a form with files.
    Form(Vec<Upload>),
}

/// Reads a body that is not wanted, if it is short and quick: a client that is still sending would otherwise see a broken
/// connection in place of the answer.
pub(crate) async fn drain(request: Request) {
    let body = axum::body::to_bytes(request.into_body(), DRAINED);
    let _ = tokio::time::timeout(std::time::Duration::from_secs(2), body).await;
}

/// Reads the files of a request within the limits of size and time.
pub(crate) async fn read(app: &Arc<App>, request: Request, name: Option<String>) -> Result<Uploads, Problem> {
    let slow =
        Problem::new(StatusCode::REQUEST_TIMEOUT, "too slow").detail("the request did not arrive in time");
    tokio::time::timeout(app.config.read_timeout, collect(app, request, name)).await.map_err(|_| slow)?
}

async fn collect(app: &Arc<App>, request: Request, name: Option<String>) -> Result<Uploads, Problem> {
    let limit = app.config.max_body;
    let kind = request.headers().get(header::CONTENT_TYPE).and_then(|h| h.to_str().ok()).unwrap_or_default();
    if !kind.trim_start().to_ascii_lowercase().starts_with("multipart/form-data") {
        let declared =
            request.headers().get(header::CONTENT_LENGTH).and_then(|h| h.to_str().ok()?.parse::<u64>().ok());
        if declared.is_some_and(|length| length > limit as u64) {
            return Err(Problem::too_large(limit));
        }
        let bytes = axum::body::to_bytes(request.into_body(), limit).await.map_err(|error| {
            if std::error::Error::source(&error).is_some_and(|s| s.to_string().contains("length limit")) {
                Problem::too_large(limit)
            } else {
                Problem::bad("the body broke off")
            }
        })?;
        let name = shortened(name.unwrap_or_else(|| "upload".to_owned()));
        return Ok(Uploads::One(Upload { name, bytes: bytes.into() }));
    }
    let mut form = Multipart::from_request(request, &())
        .await
        .map_err(|error| Problem::bad(format!("no readable form: {}", error.body_text())))?;
    let mut uploads = Vec::new();
    let wrong = |error: axum::extract::multipart::MultipartError| {
        if error.status() == StatusCode::PAYLOAD_TOO_LARGE {
            Problem::too_large(limit)
        } else {
            Problem::bad(format!("no readable form: {}", error.body_text()))
        }
    };
    while let Some(field) = form.next_field().await.map_err(wrong)? {
        if uploads.len() == FILES {
            return Err(Problem::bad(format!("a form holds at most {FILES} files")));
        }
        let name = field.file_name().or(field.name()).unwrap_or("upload").to_owned();
        let bytes = field.bytes().await.map_err(wrong)?;
        uploads.push(Upload { name: shortened(name), bytes: bytes.into() });
    }
    if uploads.is_empty() {
        return Err(Problem::bad("the form holds no file"));
    }
    Ok(Uploads::Form(uploads))
}

fn shortened(mut name: String) -> String {
    let mut end = NAME.min(name.len());
    while !name.is_char_boundary(end) {
        end -= 1;
    }
    name.truncate(end);
    name
}
