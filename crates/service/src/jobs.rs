//! Scans that are asked for now and fetched later.

use std::collections::{HashMap, VecDeque};
use std::sync::{Arc, Mutex, PoisonError};

use axum::extract::{Path, Query, Request, State};
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::{Extension, Json};
use serde::{Deserialize, Serialize};
use tokio::sync::Semaphore;
use utoipa::{IntoParams, ToSchema};

use crate::keys::Owner;
use crate::multipart::{Upload, Uploads, drain, read};
use crate::problem::Problem;
use crate::{App, random_id};

/// Finished jobs that are kept, the newest.
const KEPT: usize = 1000;
/// Jobs that may wait, their bodies in memory.
const WAITING: usize = 64;

/// State of a job.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, ToSchema)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Status {
    /// It waits or is scanned.
    Running,
    /// Its results are there.
    Done,
    /// It could not be finished.
    Failed,
}

/// A job.
#[derive(Debug, Clone, Serialize, ToSchema)]
pub(crate) struct Job {
    /// What it is fetched by.
    id: String,
    status: Status,
    /// The verdicts in the order of the files, once it is done.
    #[schema(value_type = Option<Vec<crate::openapi::Verdict>>)]
    results: Option<Vec<candor::Verdict>>,
    /// Why it failed.
    error: Option<String>,
}

pub(crate) struct Jobs {
    table: Mutex<Table>,
    places: Arc<Semaphore>,
}

impl Default for Jobs {
    fn default() -> Self {
        Self { table: Mutex::default(), places: Arc::new(Semaphore::new(WAITING)) }
    }
}

#[derive(Default)]
struct Table {
    jobs: HashMap<String, (Owner, Job)>,
    finished: VecDeque<String>,
}

/// What a job is asked for.
#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(crate) struct JobQuery {
    /// What the verdict calls a file that is sent as the body
    name: Option<String>,
}

impl Jobs {
    fn table(&self) -> std::sync::MutexGuard<'_, Table> {
        self.table.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn begin(&self, owner: Owner) -> Job {
        let job = Job { id: random_id(), status: Status::Running, results: None, error: None };
        self.table().jobs.insert(job.id.clone(), (owner, job.clone()));
        job
    }

    fn end(&self, id: &str, results: Result<Vec<candor::Verdict>, String>) {
        let mut table = self.table();
        if let Some((_, job)) = table.jobs.get_mut(id) {
            match results {
                Ok(results) => (job.status, job.results) = (Status::Done, Some(results)),
                Err(error) => (job.status, job.error) = (Status::Failed, Some(error)),
            }
        }
        table.finished.push_back(id.to_owned());
        while table.finished.len() > KEPT {
            if let Some(old) = table.finished.pop_front() {
                table.jobs.remove(&old);
            }
        }
    }
}

/// Judge files later
///
/// Takes what `/v1/scan` takes and answers at once. The newest 1,000 finished jobs are kept until the service stops, for
/// the key that asked.
#[utoipa::path(
    post, path = "/v1/jobs", tag = "jobs", params(JobQuery),
    request_body(content(([u8] = "application/octet-stream"), (crate::openapi::Form = "multipart/form-data"))),
    responses(
        (status = 202, description = "The job; `Location` says where it is", body = Job),
        (status = 400, description = "The request cannot be read", body = Problem, content_type = "application/problem+json"),
        (status = 413, description = "The request is too large", body = Problem, content_type = "application/problem+json"),
        (status = 503, description = "Too many jobs wait", body = Problem, content_type = "application/problem+json"),
    )
)]
pub(crate) async fn create(
    State(app): State<Arc<App>>,
    Extension(owner): Extension<Owner>,
    query: Result<Query<JobQuery>, axum::extract::rejection::QueryRejection>,
    request: Request,
) -> Result<Response, Problem> {
    let Query(query) = query.map_err(|e| Problem::bad(e.body_text()))?;
    // Before the body is read, and until the job is done or the client has gone.
    let Ok(place) = Arc::clone(&app.jobs.places).try_acquire_owned() else {
        drain(request).await;
        return Err(Problem::busy());
    };
    let uploads = match read(&app, request, query.name).await? {
        Uploads::One(upload) => vec![upload],
        Uploads::Form(uploads) => uploads,
    };
    let job = app.jobs.begin(owner);
    let id = job.id.clone();
    tokio::spawn(async move {
        let _place = place;
        let mut results = Vec::with_capacity(uploads.len());
        for Upload { name, bytes } in uploads {
            match app.scan(name, bytes, false).await {
                Ok((verdict, _)) => results.push(verdict),
                Err(_) => return app.jobs.end(&id, Err("no verdict within the time limit".to_owned())),
            }
        }
        app.jobs.end(&id, Ok(results));
    });
    let location = format!("/v1/jobs/{}", job.id);
    Ok((StatusCode::ACCEPTED, [(header::LOCATION, location)], Json(job)).into_response())
}

/// A job and, once it is done, its verdicts
#[utoipa::path(
    get, path = "/v1/jobs/{id}", tag = "jobs", params(("id" = String, Path, description = "What the job was given")),
    responses(
        (status = 200, description = "The job", body = Job),
        (status = 404, description = "There is none, or it was another key's", body = Problem, content_type = "application/problem+json"),
    )
)]
pub(crate) async fn show(
    State(app): State<Arc<App>>,
    Extension(owner): Extension<Owner>,
    Path(id): Path<String>,
) -> Result<Json<Job>, Problem> {
    let table = app.jobs.table();
    match table.jobs.get(&id) {
        Some((of, job)) if *of == owner => Ok(Json(job.clone())),
        _ => Err(Problem::not_found().detail("there is no such job")),
    }
}
