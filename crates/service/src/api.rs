//! Scanning, labelling, models, health.

use std::sync::Arc;

use axum::Json;
use axum::extract::{Query, Request, State};
use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use candor::MarkError;
use candor_provenance::Error as LabelError;
use candor_provenance::write::{Label, LabelKind, Options, label as write_label};
use candor_report::{Item, Language, Report};
use serde::{Deserialize, Serialize};
use serde_json::json;
use utoipa::{IntoParams, ToSchema};

use crate::App;
use crate::multipart::{Upload, Uploads, drain, read};
use crate::problem::Problem;

/// What a scan is asked for.
#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(crate) struct ScanQuery {
    /// What the verdict calls a file that is sent as the body; its extension is compared with the content
    name: Option<String>,
    /// `html` adds a view of the item for the page
    view: Option<View>,
    /// Language of that view
    lang: Option<Lang>,
}

/// Form of an answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, ToSchema)]
#[serde(rename_all = "lowercase")]
pub(crate) enum View {
    /// The verdict and its view.
    Html,
}

/// Language of a view.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, ToSchema)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Lang {
    /// English.
    En,
    /// Simplified Chinese.
    Zh,
}

/// Verdicts of a form, in its order.
#[derive(Serialize)]
struct Results {
    results: Vec<candor::Verdict>,
}

/// A verdict and its view.
#[derive(Serialize)]
struct Viewed {
    verdict: candor::Verdict,
    html: String,
}

/// Judge files
///
/// The body is one file, or a form (multipart/form-data) with up to 64. One file gives its verdict, a form a list of them in
/// its order. A file that cannot be read is no error of the request: its verdict says so. Nothing is kept.
#[utoipa::path(
    post, path = "/v1/scan", tag = "scan", params(ScanQuery),
    request_body(content(([u8] = "application/octet-stream"), (crate::openapi::Form = "multipart/form-data"))),
    responses(
        (status = 200, description = "The verdict; with a form, an object with the list `results`; with `view=html`, an \
         object with `verdict` and `html`", body = crate::openapi::Judged),
        (status = 400, description = "The request cannot be read", body = Problem, content_type = "application/problem+json"),
        (status = 401, description = "No valid API key", body = Problem, content_type = "application/problem+json"),
        (status = 408, description = "The request arrived too slowly", body = Problem, content_type = "application/problem+json"),
        (status = 413, description = "The request is too large", body = Problem, content_type = "application/problem+json"),
        (status = 429, description = "The quota of the key is used up", body = Problem, content_type = "application/problem+json"),
        (status = 503, description = "Too many files wait", body = Problem, content_type = "application/problem+json"),
        (status = 504, description = "No verdict in time", body = Problem, content_type = "application/problem+json"),
    )
)]
pub(crate) async fn scan(
    State(app): State<Arc<App>>,
    query: Result<Query<ScanQuery>, axum::extract::rejection::QueryRejection>,
    request: Request,
) -> Result<Response, Problem> {
    let Query(query) = query.map_err(|e| Problem::bad(e.body_text()))?;
    let place = match app.place() {
        Ok(place) => place,
        Err(busy) => {
            drain(request).await;
            return Err(busy);
        }
    };
    let uploads = read(&app, request, query.name).await?;
    let answer = match uploads {
        Uploads::One(Upload { name, bytes }) => {
            let show = query.view == Some(View::Html);
            let (verdict, exhibit) = app.scan(name, bytes, show).await?;
            if show {
                let language = match query.lang {
                    Some(Lang::Zh) => Language::Chinese,
                    _ => Language::English,
                };
                let item = Item { verdict: verdict.clone(), exhibit };
                let report = Report { items: vec![item], cards: app.cards.clone(), language };
                Json(Viewed { html: report.fragment(), verdict }).into_response()
            } else {
                Json(verdict).into_response()
            }
        }
        Uploads::Form(uploads) => {
            let mut results = Vec::with_capacity(uploads.len());
            for Upload { name, bytes } in uploads {
                results.push(app.scan(name, bytes, false).await?.0);
            }
            Json(Results { results }).into_response()
        }
    };
    drop(place);
    Ok(answer)
}

/// What a label states.
#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(crate) struct LabelQuery {
    /// 1 generated, 2 possibly generated, 3 suspected
    #[param(minimum = 1, maximum = 3)]
    label: u8,
    /// Name or code of the service that made the content
    producer: Option<String>,
    /// Its number of the content
    produce_id: Option<String>,
    /// Name or code of the service that spreads the content
    propagator: Option<String>,
    /// Its number of the content
    propagate_id: Option<String>,
    /// Put the label in the place of an existing one
    #[serde(default)]
    replace: bool,
    /// Mark JPEG, PNG, WebP and texts for people, too, in this language
    visible: Option<Lang>,
}

/// Write China's AIGC label into a file
///
/// The answer is the file with the label; content and other metadata stay as they are. Warnings stand in the header
/// `candor-warning`.
#[utoipa::path(
    post, path = "/v1/label", tag = "label", params(LabelQuery),
    request_body(content = [u8], content_type = "application/octet-stream"),
    responses(
        (status = 200, description = "The file with its label", body = [u8], content_type = "application/octet-stream"),
        (status = 400, description = "The label or the request is wrong", body = Problem, content_type = "application/problem+json"),
        (status = 409, description = "The file has a label", body = Problem, content_type = "application/problem+json"),
        (status = 413, description = "The request is too large", body = Problem, content_type = "application/problem+json"),
        (status = 422, description = "The file cannot hold a label", body = Problem, content_type = "application/problem+json"),
    )
)]
pub(crate) async fn label(
    State(app): State<Arc<App>>,
    query: Result<Query<LabelQuery>, axum::extract::rejection::QueryRejection>,
    request: Request,
) -> Result<Response, Problem> {
    let Query(query) = query.map_err(|e| Problem::bad(e.body_text()))?;
    let kind = match query.label {
        1 => LabelKind::Generated,
        2 => LabelKind::Possible,
        3 => LabelKind::Suspected,
        _ => return Err(Problem::bad("the label is 1, 2 or 3")),
    };
    let _place = app.place()?;
    let bytes = match read(&app, request, None).await? {
        Uploads::One(upload) => upload.bytes,
        Uploads::Form(mut uploads) if uploads.len() == 1 => {
            uploads.pop().map(|u| u.bytes).unwrap_or_default()
        }
        Uploads::Form(_) => return Err(Problem::bad("one file at a time is labelled")),
    };
    let label = Label {
        kind,
        content_producer: query.producer.unwrap_or_default(),
        produce_id: query.produce_id.unwrap_or_default(),
        reserved_code1: String::new(),
        content_propagator: query.propagator.unwrap_or_default(),
        propagate_id: query.propagate_id.unwrap_or_default(),
        reserved_code2: String::new(),
    };
    let options = Options { replace: query.replace };
    let wording = query.visible.map(|language| match language {
        Lang::En => candor::Wording::English,
        Lang::Zh => candor::Wording::Chinese,
    });
    let work = move || -> Result<_, MarkError> {
        let marked = wording.map(|wording| candor::mark(&bytes, kind, wording)).transpose()?;
        Ok(write_label(marked.as_deref().unwrap_or(&bytes), &label, options)?)
    };
    let done = tokio::task::spawn_blocking(work).await.map_err(|_| Problem::internal())?;
    let labelled = done.map_err(|error| match error {
        MarkError::Container(LabelError::AlreadyLabelled) => {
            Problem::new(StatusCode::CONFLICT, "already labelled").detail(error.to_string())
        }
        MarkError::Container(LabelError::Label(_)) => Problem::bad(error.to_string()),
        _ => Problem::new(StatusCode::UNPROCESSABLE_ENTITY, "not labelled").detail(error.to_string()),
    })?;
    let mut headers = HeaderMap::new();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/octet-stream"));
    headers.insert(header::CONTENT_DISPOSITION, HeaderValue::from_static("attachment"));
    for warning in labelled.warnings {
        if let Ok(value) = HeaderValue::from_str(&warning.message) {
            headers.append("candor-warning", value);
        }
    }
    Ok((headers, labelled.bytes).into_response())
}

/// A model in use.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct ModelInfo {
    /// For instance `image/best`.
    id: String,
    /// SHA-256 of the weights.
    sha256: String,
    /// What it is.
    summary: Option<String>,
    /// SPDX expression.
    licence: Option<String>,
}

/// The models in use
#[utoipa::path(get, path = "/v1/models", tag = "models", responses((status = 200, description = "All of them", body = [ModelInfo])))]
pub(crate) async fn models(State(app): State<Arc<App>>) -> Json<Vec<ModelInfo>> {
    let info = |model: &candor::Model| {
        let card = app.cards.iter().find(|c| c.id == model.id.id);
        ModelInfo {
            id: model.id.id.clone(),
            sha256: model.id.sha256.clone(),
            summary: card.map(|c| c.summary.clone()),
            licence: card.map(|c| c.licence.clone()),
        }
    };
    Json(app.scanner.registry().models().iter().map(info).collect())
}

/// Whether the process lives
#[utoipa::path(get, path = "/healthz", tag = "health", responses((status = 200, description = "It does")))]
pub(crate) async fn health(State(app): State<Arc<App>>) -> Json<serde_json::Value> {
    Json(
        json!({ "status": "ok", "version": env!("CARGO_PKG_VERSION"), "uptime_s": app.started.elapsed().as_secs() }),
    )
}

/// Whether one more file would be taken
#[utoipa::path(
    get, path = "/readyz", tag = "health",
    responses(
        (status = 200, description = "It would"),
        (status = 503, description = "Too many wait", body = Problem, content_type = "application/problem+json"),
    )
)]
pub(crate) async fn ready(State(app): State<Arc<App>>) -> Result<Json<serde_json::Value>, Problem> {
    let _place = app.place()?;
    Ok(Json(json!({ "status": "ready" })))
}
