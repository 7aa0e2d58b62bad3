//! What people thought of verdicts, kept in SQLite and given back as a manifest for `candor eval`.

use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};

use axum::extract::State;
use axum::extract::rejection::JsonRejection;
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::{Extension, Json};
use candor::Label;
use rusqlite::{Connection, params};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::keys::Owner;
use crate::problem::Problem;
use crate::{App, Error};

/// Characters of a name or a note, at most.
const TEXT: usize = 4000;

/// An opinion about a verdict.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Review {
    /// SHA-256 of the file, hexadecimal. A file has one review for each key; a later one takes its place.
    #[schema(pattern = "^[0-9a-fA-F]{64}$")]
    sha256: String,
    /// What the file was called.
    #[schema(max_length = 4000)]
    name: String,
    /// The label of the verdict.
    #[schema(value_type = crate::openapi::Label)]
    label: Label,
    opinion: Opinion,
    /// Anything else.
    #[serde(default)]
    #[schema(max_length = 4000)]
    note: String,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Opinion {
    /// The label is right.
    Agree,
    /// It is wrong.
    Disagree,
    /// Hard to say.
    Unsure,
}

impl Review {
    /// What the reviewer holds to be true, as a label of a manifest.
    fn truth(&self) -> Option<&'static str> {
        let machine = match self.label {
            Label::AiGenerated | Label::Suspected => true,
            Label::NoSign => false,
            Label::Inconclusive | Label::Error => return None,
        };
        match (machine, self.opinion) {
            (_, Opinion::Unsure) => None,
            (true, Opinion::Agree) | (false, Opinion::Disagree) => Some("ai"),
            (true, Opinion::Disagree) | (false, Opinion::Agree) => Some("real"),
        }
    }
}

pub(crate) struct Reviews(Mutex<Connection>);

impl Reviews {
    pub(crate) fn open(path: Option<&Path>) -> Result<Self, Error> {
        let connection = match path {
            Some(path) => Connection::open(path)?,
            None => Connection::open_in_memory()?,
        };
        connection.execute_batch(
            "CREATE TABLE IF NOT EXISTS reviews (owner TEXT NOT NULL, sha256 TEXT NOT NULL, name TEXT NOT NULL, \
             label TEXT NOT NULL, opinion TEXT NOT NULL, note TEXT NOT NULL, at TEXT NOT NULL DEFAULT CURRENT_TIMESTAMP, \
             PRIMARY KEY (owner, sha256)) STRICT",
        )?;
        Ok(Self(Mutex::new(connection)))
    }

    fn add(&self, owner: &str, review: &Review) -> rusqlite::Result<()> {
        let connection = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let opinion = match review.opinion {
            Opinion::Agree => "agree",
            Opinion::Disagree => "disagree",
            Opinion::Unsure => "unsure",
        };
        connection.execute(
            "INSERT OR REPLACE INTO reviews (owner, sha256, name, label, opinion, note) VALUES (?1, ?2, ?3, ?4, ?5, ?6)",
            params![owner, review.sha256, review.name, review.label.as_str(), opinion, review.note],
        )?;
        Ok(())
    }

    fn all(&self, owner: &str) -> rusqlite::Result<Vec<Review>> {
        let connection = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let mut query = connection.prepare(
            "SELECT sha256, name, label, opinion, note FROM reviews WHERE owner = ?1 ORDER BY at, sha256",
        )?;
        let rows = query.query_map([owner], |row| {
            let label: String = row.get(2)?;
            let opinion: String = row.get(3)?;
            Ok(Review {
                sha256: row.get(0)?,
                name: row.get(1)?,
                label: Label::ALL.into_iter().find(|l| l.as_str() == label).unwrap_or(Label::Error),
                opinion: match opinion.as_str() {
                    "agree" => Opinion::Agree,
                    "disagree" => Opinion::Disagree,
                    _ => Opinion::Unsure,
                },
                note: row.get(4)?,
            })
        })?;
        rows.collect()
    }
}

/// Say what you think of a verdict
#[utoipa::path(
    post, path = "/v1/reviews", tag = "reviews", request_body = Review,
    responses(
        (status = 204, description = "Noted"),
        (status = 400, description = "It is no review", body = Problem, content_type = "application/problem+json"),
    )
)]
pub(crate) async fn add(
    State(app): State<Arc<App>>,
    Extension(owner): Extension<Owner>,
    review: Result<Json<Review>, JsonRejection>,
) -> Result<StatusCode, Problem> {
    let Json(review) = review.map_err(|e| Problem::bad(e.body_text()))?;
    let digest = review.sha256.len() == 64 && review.sha256.bytes().all(|b| b.is_ascii_hexdigit());
    if !digest || review.name.chars().count() > TEXT || review.note.chars().count() > TEXT {
        return Err(Problem::bad(format!(
            "sha256 has 64 hexadecimal digits, name and note at most {TEXT} characters"
        )));
    }
    let done = tokio::task::spawn_blocking(move || app.reviews.add(&owner.0, &review)).await;
    match done {
        Ok(Ok(())) => Ok(StatusCode::NO_CONTENT),
        _ => Err(Problem::internal()),
    }
}

/// Your reviews
#[utoipa::path(get, path = "/v1/reviews", tag = "reviews", responses((status = 200, description = "In the order of time", body = [Review])))]
pub(crate) async fn list(
    State(app): State<Arc<App>>,
    Extension(owner): Extension<Owner>,
) -> Result<Json<Vec<Review>>, Problem> {
    Ok(Json(all(app, owner).await?))
}

async fn all(app: Arc<App>, owner: Owner) -> Result<Vec<Review>, Problem> {
    match tokio::task::spawn_blocking(move || app.reviews.all(&owner.0)).await {
        Ok(Ok(reviews)) => Ok(reviews),
        _ => Err(Problem::internal()),
    }
}

/// Your reviews as a manifest for `candor eval`
///
/// CSV with path, label (real or ai), group, sha256 and note: those whose truth the review tells. Put the files where
/// `path` says.
#[utoipa::path(
    get, path = "/v1/reviews.csv", tag = "reviews",
    responses((status = 200, description = "The manifest", body = String, content_type = "text/csv"))
)]
pub(crate) async fn export(
    State(app): State<Arc<App>>,
    Extension(owner): Extension<Owner>,
) -> Result<Response, Problem> {
    let reviews = all(app, owner).await?;
    let csv = manifest(&reviews).map_err(|_| Problem::internal())?;
    let headers = [
        (header::CONTENT_TYPE, "text/csv; charset=utf-8"),
        (header::CONTENT_DISPOSITION, "attachment; filename=\"reviews.csv\""),
    ];
    Ok((headers, csv).into_response())
}

fn manifest(reviews: &[Review]) -> Result<Vec<u8>, csv::Error> {
    let mut out = csv::Writer::from_writer(Vec::new());
    out.write_record(["path", "label", "group", "sha256", "note"])?;
    for review in reviews {
        if let Some(truth) = review.truth() {
            // A spreadsheet would run what begins like a formula.
            let safe = |text: &str| {
                let text = candor::visible::line(text);
                if text.starts_with(['=', '+', '-', '@']) { format!("'{text}") } else { text }
            };
            out.write_record([&safe(&review.name), truth, "reviewed", &review.sha256, &safe(&review.note)])?;
        }
    }
    out.into_inner().map_err(|e| e.into_error().into())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_latest_review_of_a_file_counts_and_becomes_a_row() {
        let reviews = Reviews::open(None).unwrap();
        let review = |name: &str, label, opinion| Review {
            sha256: candor_models::sha256(name.as_bytes()),
            name: name.to_owned(),
            label,
            opinion,
            note: String::new(),
        };
        reviews.add("me", &review("a.jpg", Label::Suspected, Opinion::Agree)).unwrap();
        reviews.add("me", &review("a.jpg", Label::Suspected, Opinion::Disagree)).unwrap();
        reviews.add("me", &review("=b.jpg", Label::NoSign, Opinion::Disagree)).unwrap();
        reviews.add("me", &review("c.jpg", Label::Inconclusive, Opinion::Agree)).unwrap();
        reviews.add("you", &review("d.jpg", Label::NoSign, Opinion::Agree)).unwrap();
        let mine = reviews.all("me").unwrap();
        assert_eq!(mine.len(), 3);
        let csv = String::from_utf8(manifest(&mine).unwrap()).unwrap();
        let rows: Vec<&str> = csv.lines().map(|l| l.split(",reviewed").next().unwrap()).collect();
        let mut rows = rows;
        rows.sort_unstable();
        assert_eq!(rows, ["'=b.jpg,ai", "a.jpg,real", "path,label,group,sha256,note"]);
    }
}
