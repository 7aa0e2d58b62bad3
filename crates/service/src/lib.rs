//! Candor over HTTP: an API with its OpenAPI description, and a page to drop files on.
//!
//! [`serve`] runs until it is told to stop. Uploads live in memory for as long as they are scanned and nowhere else; logs hold
//! no names and no content. See `docs/service.md`.

mod api;
mod jobs;
mod keys;
mod metrics;
mod multipart;
mod openapi;
mod page;
mod problem;
mod reviews;

use std::io;
use std::net::{IpAddr, SocketAddr, TcpListener};
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use axum::Router;
use axum::extract::{DefaultBodyLimit, MatchedPath, Request, State};
use axum::http::{HeaderName, HeaderValue, StatusCode, header};
use axum::middleware::{self, Next};
use axum::response::Response;
use axum::routing::{get, post};
use axum_server::tls_rustls::RustlsConfig;
use candor::{Exhibit, Scanner, Verdict};
use candor_models::ModelFile;
use tokio::sync::Semaphore;

pub use jobs::{Answer, Progress, Queue, QueueError};
pub use keys::{Key, Keys, NewKey};
pub use multipart::Upload;
pub use openapi::openapi_json;
use problem::Problem;

/// Why the service does not run.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// It would be open to everybody.
    #[error(
        "{0} can be reached from other machines, and there are no API keys: make one with `candor serve --new-key NAME \
         --keys FILE`, or say --insecure if something in front of it checks who asks"
    )]
    Open(SocketAddr),
    /// A file cannot be read or written.
    #[error("cannot use {path}: {source}")]
    File {
        /// Which.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// The key file is wrong.
    #[error("{path}, line {line}: {reason}")]
    Keys {
        /// Which file.
        path: PathBuf,
        /// Which line, from 1.
        line: usize,
        /// What is wrong.
        reason: &'static str,
    },
    /// The reviews cannot be kept.
    #[error("cannot keep reviews: {0}")]
    Reviews(#[from] rusqlite::Error),
    /// The network does not let it.
    #[error("cannot listen on {address}: {source}")]
    Listen {
        /// Where.
        address: SocketAddr,
        /// Why.
        source: io::Error,
    },
}

/// How the service runs.
#[derive(Debug, Clone)]
pub struct Config {
    /// Where it listens.
    pub address: SocketAddr,
    /// Who may ask; nobody is asked for a key when empty.
    pub keys: Keys,
    /// Listen on addresses that others can reach even without keys.
    pub insecure: bool,
    /// Certificate chain and private key, PEM.
    pub tls: Option<(PathBuf, PathBuf)>,
    /// Files scanned at the same time.
    pub threads: usize,
    /// Files that may wait beside those that are scanned; more are turned away.
    pub queue: usize,
    /// Largest request in bytes.
    pub max_body: usize,
    /// How long a request may take to arrive.
    pub read_timeout: Duration,
    /// How long a scan may take, waiting included.
    pub scan_timeout: Duration,
    /// SQLite file for reviews; in memory when absent.
    pub reviews: Option<PathBuf>,
}

/// What requests share.
pub(crate) struct App {
    scanner: Scanner,
    cards: Vec<ModelFile>,
    config: Config,
    permits: Arc<Semaphore>,
    /// Files that are waiting or scanned.
    taken: AtomicUsize,
    metrics: metrics::Metrics,
    jobs: jobs::Jobs,
    /// Takes jobs in the place of `jobs`.
    queue: Option<Arc<dyn Queue>>,
    reviews: reviews::Reviews,
    usage: keys::Usage,
    started: Instant,
}

/// A place among the files that wait or are scanned.
struct Place<'a>(&'a App);

impl Drop for Place<'_> {
    fn drop(&mut self) {
        self.0.taken.fetch_sub(1, Ordering::Relaxed);
    }
}

impl App {
    /// A place for one more file, unless too many wait already.
    fn place(&self) -> Result<Place<'_>, Problem> {
        let before = self.taken.fetch_add(1, Ordering::Relaxed);
        let place = Place(self);
        if before >= self.config.threads + self.config.queue {
            self.metrics.shed.inc();
            return Err(Problem::busy());
        }
        Ok(place)
    }

    /// Scans a file on a thread of its own. `show` asks for what a page can show of it.
    async fn scan(
        self: &Arc<Self>,
        name: String,
        bytes: Vec<u8>,
        show: bool,
    ) -> Result<(Verdict, Option<Exhibit>), Problem> {
        let waited = Instant::now();
        let scan = async {
            let Ok(permit) = Arc::clone(&self.permits).acquire_owned().await else {
                return Err(Problem::busy());
            };
            let app = Arc::clone(self);
            let work = move || {
                // Held until the scan is over, also when nobody waits for it any more.
                let _permit = permit;
                let scan = app.scanner.scan_bytes(&name, &bytes);
                let exhibit = show.then(|| candor::exhibit(&scan)).flatten();
                (scan.verdict, exhibit)
            };
            tokio::task::spawn_blocking(work).await.map_err(|_| Problem::internal())
        };
        let done = tokio::time::timeout(self.config.scan_timeout, scan).await;
        let (verdict, exhibit) = done.map_err(|_| Problem::timeout("no verdict within the time limit"))??;
        self.metrics.scanned(verdict.label, waited.elapsed());
        Ok((verdict, exhibit))
    }
}

/// Runs the service until `stop` is done; what was accepted is finished, for at most 30 s. Jobs go to `queue` where there is one, and are
/// done here otherwise.
///
/// # Errors
/// When it would be open to everybody, or cannot listen.
pub async fn serve(
    config: Config,
    scanner: Scanner,
    cards: Vec<ModelFile>,
    queue: Option<Arc<dyn Queue>>,
    listening: impl FnOnce(SocketAddr),
    stop: impl Future<Output = ()> + Send + 'static,
) -> Result<(), Error> {
    let address = config.address;
    if !address.ip().is_loopback() && config.keys.is_empty() && !config.insecure {
        return Err(Error::Open(address));
    }
    let failed = |source| Error::Listen { address, source };
    let tls = match &config.tls {
        None => None,
        Some((certificate, key)) => Some(
            RustlsConfig::from_pem_file(certificate, key)
                .await
                .map_err(|source| Error::File { path: certificate.clone(), source })?,
        ),
    };
    let listener = TcpListener::bind(address).map_err(failed)?;
    let bound = listener.local_addr().map_err(failed)?;
    let read_timeout = config.read_timeout;
    let router = router(config, scanner, cards, queue)?;
    let handle = axum_server::Handle::new();
    let stopper = handle.clone();
    tokio::spawn(async move {
        stop.await;
        stopper.graceful_shutdown(Some(Duration::from_secs(30)));
    });
    listening(bound);
    match tls {
        None => {
            let mut server = axum_server::from_tcp(listener).map_err(failed)?.handle(handle);
            slow_headers(server.http_builder(), read_timeout);
            server.serve(router.into_make_service()).await
        }
        Some(tls) => {
            let mut server = axum_server::from_tcp_rustls(listener, tls).map_err(failed)?.handle(handle);
            slow_headers(server.http_builder(), read_timeout);
            server.serve(router.into_make_service()).await
        }
    }
    .map_err(failed)
}

/// A client that sends its headers a byte at a time is let go.
fn slow_headers(
    builder: &mut hyper_util::server::conn::auto::Builder<hyper_util::rt::TokioExecutor>,
    limit: Duration,
) {
    builder
        .http1()
        .timer(hyper_util::rt::TokioTimer::new())
        .header_read_timeout(limit.min(Duration::from_secs(10)));
}

/// The service as a router, for [`serve`] and for tests.
///
/// # Errors
/// When the reviews cannot be kept.
pub fn router(
    config: Config,
    scanner: Scanner,
    cards: Vec<ModelFile>,
    queue: Option<Arc<dyn Queue>>,
) -> Result<Router, Error> {
    let app = Arc::new(App {
        permits: Arc::new(Semaphore::new(config.threads)),
        taken: AtomicUsize::new(0),
        metrics: metrics::Metrics::new(),
        jobs: jobs::Jobs::default(),
        queue,
        reviews: reviews::Reviews::open(config.reviews.as_deref())?,
        usage: keys::Usage::default(),
        started: Instant::now(),
        scanner,
        cards,
        config,
    });
    let max_body = app.config.max_body;
    let guarded = Router::new()
        .route("/v1/scan", post(api::scan))
        .route("/v1/jobs", post(jobs::create))
        .route("/v1/jobs/{id}", get(jobs::show))
        .route("/v1/label", post(api::label))
        .route("/v1/models", get(api::models))
        .route("/v1/reviews", get(reviews::list).post(reviews::add))
        .route("/v1/reviews.csv", get(reviews::export))
        .route("/metrics", get(metrics::show))
        .route_layer(middleware::from_fn_with_state(Arc::clone(&app), keys::check));
    Ok(Router::new()
        .merge(guarded)
        .route("/", get(page::index))
        .route("/app.js", get(page::script))
        .route("/report.js", get(page::report_script))
        .route("/app.css", get(page::style))
        .route("/openapi.json", get(openapi::show))
        .route("/healthz", get(api::health))
        .route("/readyz", get(api::ready))
        .fallback(|| async { Problem::not_found() })
        .method_not_allowed_fallback(|| async { Problem::method() })
        .layer(DefaultBodyLimit::max(max_body))
        .layer(middleware::from_fn_with_state(Arc::clone(&app), around))
        .with_state(app))
}

const REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");

/// What every request goes through: an id, the check of the host, headers, metrics and a line in the log.
async fn around(State(app): State<Arc<App>>, request: Request, next: Next) -> Response {
    let start = Instant::now();
    let given = request.headers().get(&REQUEST_ID).and_then(|v| v.to_str().ok());
    let fits = |id: &&str| {
        (1..=64).contains(&id.len()) && id.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-')
    };
    let id = given.filter(fits).map_or_else(random_id, str::to_owned);
    let method = request.method().clone();
    // The template, never the path: a path can hold what a client typed.
    let route = request
        .extensions()
        .get::<MatchedPath>()
        .map_or_else(|| "none".to_owned(), |p| p.as_str().to_owned());
    let mut response = if foreign_host(&app.config, &request) {
        let problem = Problem::new(StatusCode::MISDIRECTED_REQUEST, "wrong host")
            .detail("this service answers on this machine's own names only");
        axum::response::IntoResponse::into_response(problem)
    } else {
        next.run(request).await
    };
    response = problem::complete(response, &id).await;
    let headers = response.headers_mut();
    let fixed = [
        (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
        (header::REFERRER_POLICY, "no-referrer"),
        (header::CONTENT_SECURITY_POLICY, page::POLICY),
        (HeaderName::from_static("cross-origin-opener-policy"), "same-origin"),
        (HeaderName::from_static("cross-origin-resource-policy"), "same-origin"),
        (HeaderName::from_static("permissions-policy"), "camera=(), microphone=(), geolocation=()"),
    ];
    for (name, value) in fixed {
        headers.insert(name, HeaderValue::from_static(value));
    }
    headers.entry(header::CACHE_CONTROL).or_insert(HeaderValue::from_static("no-store"));
    if let Ok(value) = HeaderValue::from_str(&id) {
        headers.insert(REQUEST_ID, value);
    }
    let (status, seconds) = (response.status().as_u16(), start.elapsed().as_secs_f64());
    app.metrics.requested(&route, status, seconds);
    tracing::info!(id, %method, route, status, ms = (seconds * 1e4).round() / 10.0, "request");
    response
}

/// Whether a page of another site asks through this machine's browser (DNS rebinding): without keys, only this machine's own
/// names are answered to.
fn foreign_host(config: &Config, request: &Request) -> bool {
    if !config.keys.is_empty() || !config.address.ip().is_loopback() {
        return false;
    }
    let host = request
        .headers()
        .get(header::HOST)
        .and_then(|h| h.to_str().ok())
        .or_else(|| request.uri().authority().map(axum::http::uri::Authority::as_str));
    let Some(host) = host else { return false };
    let name = match host.rsplit_once(':') {
        Some((name, port)) if port.bytes().all(|b| b.is_ascii_digit()) => name,
        _ => host,
    };
    let name = name.trim_start_matches('[').trim_end_matches(']');
    !(name.eq_ignore_ascii_case("localhost") || name.parse::<IpAddr>().is_ok_and(|ip| ip.is_loopback()))
}

/// 128 random bits, hexadecimal.
pub(crate) fn random_id() -> String {
    format!("{:032x}", rand::random::<u128>())
}
