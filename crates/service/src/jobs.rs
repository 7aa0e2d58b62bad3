//! Scans that are asked for now and fetched later.

use std::collections::{HashMap, VecDeque};
use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use axum::extract::{Path, Query, Request, State};
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::{Extension, Json};
use serde::{Deserialize, Serialize};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use utoipa::{IntoParams, ToSchema};

use crate::keys::Owner;
use crate::multipart::{Upload, Uploads, drain, read};
use crate::problem::Problem;
use crate::{App, random_id};

/// Finished jobs that are kept, the newest.
const KEPT: usize = 1000;
/// Jobs that may wait, their bodies in memory.
const WAITING: usize = 64;
/// How long a queue may take to answer.
const PATIENCE: Duration = Duration::from_secs(30);

/// A queue of jobs that other processes do, in place of this one. Owners are names of keys; the empty one is everybody's
/// without keys.
pub trait Queue: Send + Sync {
    /// Takes a job with its files; gives the id that it is looked up by.
    fn put<'a>(&'a self, owner: &'a str, files: Vec<Upload>) -> Answer<'a, String>;
    /// How far an owner's job is; `None` when there is none of this id.
    fn look<'a>(&'a self, owner: &'a str, id: &'a str) -> Answer<'a, Option<Progress>>;
}

/// What a [`Queue`] answers later.
pub type Answer<'a, T> = Pin<Box<dyn Future<Output = Result<T, QueueError>> + Send + 'a>>;

/// Why a [`Queue`] does not answer, for the log.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub struct QueueError(pub String);

/// How far a job of a [`Queue`] is.
#[derive(Debug)]
pub enum Progress {
    /// At least one of its files has no verdict yet.
    Running,
    /// The verdicts in the order of the files.
    Done(Vec<candor::Verdict>),
    /// Why it could not be finished.
    Failed(String),
}

/// Waits for a queue, for so long.
async fn patiently<T>(answer: Answer<'_, T>) -> Result<T, Problem> {
    let late = || QueueError("no answer in time".to_owned());
    tokio::time::timeout(PATIENCE, answer).await.unwrap_or_else(|_| Err(late())).map_err(|error| {
        tracing::error!(%error, "queue");
        Problem::new(StatusCode::SERVICE_UNAVAILABLE, "the queue does not answer").retry_after(5)
    })
}

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

impl Job {
    fn new(id: String) -> Self {
        Self { id, status: Status::Running, results: None, error: None }
    }

    fn end(&mut self, results: Result<Vec<candor::Verdict>, String>) {
        match results {
            Ok(results) => (self.status, self.results) = (Status::Done, Some(results)),
            Err(error) => (self.status, self.error) = (Status::Failed, Some(error)),
        }
    }
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
        let job = Job::new(random_id());
        self.table().jobs.insert(job.id.clone(), (owner, job.clone()));
        job
    }

    fn end(&self, id: &str, results: Result<Vec<candor::Verdict>, String>) {
        let mut table = self.table();
        if let Some((_, job)) = table.jobs.get_mut(id) {
            job.end(results);
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
/// Takes what `/v1/scan` takes and answers at once. Jobs are kept for the key that asked: the newest 1,000 finished ones until
/// the service stops or, where workers do them, for as long as the queue keeps their results.
#[utoipa::path(
    post, path = "/v1/jobs", tag = "jobs", params(JobQuery),
    request_body(content(([u8] = "application/octet-stream"), (crate::openapi::Form = "multipart/form-data"))),
    responses(
        (status = 202, description = "The job; `Location` says where it is", body = Job),
        (status = 400, description = "The request cannot be read", body = Problem, content_type = "application/problem+json"),
        (status = 413, description = "The request is too large", body = Problem, content_type = "application/problem+json"),
        (status = 503, description = "Too many jobs wait, or the queue does not answer", body = Problem, content_type = "application/problem+json"),
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
    let job = match &app.queue {
        Some(queue) => Job::new(patiently(queue.put(&owner.0, uploads)).await?),
        None => begin(&app, owner, uploads, place),
    };
    let location = format!("/v1/jobs/{}", job.id);
    Ok((StatusCode::ACCEPTED, [(header::LOCATION, location)], Json(job)).into_response())
}

/// Scans files on the side; their place is free once that is done.
fn begin(app: &Arc<App>, owner: Owner, uploads: Vec<Upload>, place: OwnedSemaphorePermit) -> Job {
    let job = app.jobs.begin(owner);
    let (app, id) = (Arc::clone(app), job.id.clone());
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
    job
}

/// A job and, once it is done, its verdicts
#[utoipa::path(
    get, path = "/v1/jobs/{id}", tag = "jobs", params(("id" = String, Path, description = "What the job was given")),
    responses(
        (status = 200, description = "The job", body = Job),
        (status = 404, description = "There is none, or it was another key's", body = Problem, content_type = "application/problem+json"),
        (status = 503, description = "The queue does not answer", body = Problem, content_type = "application/problem+json"),
    )
)]
pub(crate) async fn show(
    State(app): State<Arc<App>>,
    Extension(owner): Extension<Owner>,
    Path(id): Path<String>,
) -> Result<Json<Job>, Problem> {
    let unknown = || Problem::not_found().detail("there is no such job");
    if let Some(queue) = &app.queue {
        let progress = patiently(queue.look(&owner.0, &id)).await?.ok_or_else(unknown)?;
        let mut job = Job::new(id);
        match progress {
            Progress::Running => {}
            Progress::Done(results) => job.end(Ok(results)),
            Progress::Failed(error) => job.end(Err(error)),
        }
        return Ok(Json(job));
    }
    match app.jobs.table().jobs.get(&id) {
        Some((of, job)) if *of == owner => Ok(Json(job.clone())),
        _ => Err(unknown()),
    }
}
