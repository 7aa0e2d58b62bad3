//! `candor worker`: takes jobs from JetStream, scans, and publishes each verdict exactly once.
//!
//! A job is acknowledged only after its result was stored. A worker that dies in between leaves it to another, whose result the
//! server refuses: it takes one message for the subject of a result and no second.

use std::collections::BTreeMap;
use std::io::{self, Write};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use anyhow::Context;
use async_nats::jetstream::consumer::{AckPolicy, Consumer, pull};
use async_nats::jetstream::context::PublishErrorKind;
use async_nats::jetstream::message::PublishMessage;
use async_nats::jetstream::{AckKind, Message};
use candor::{ErrorCode, Verdict};
use futures_util::StreamExt;
use prometheus_client::encoding::text::encode;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::histogram::{Histogram, exponential_buckets};
use prometheus_client::registry::Registry;
use tokio::io::AsyncReadExt;
use tokio::sync::Semaphore;

use crate::args::WorkerArgs;
use crate::batch::{Executor, executor};
use crate::exit::Exit;
use crate::queue::{self, Dead, Job, JobResult, Streams};
use crate::remote::{Missing, Remote};
use crate::scan;
use crate::serve::stop as stop_asked;

/// Without word from a worker for so long, a job is given to another.
const ACK_WAIT: Duration = Duration::from_secs(30);
/// How often a worker says that it is still at it.
const PROGRESS: Duration = Duration::from_secs(8);
/// How often tenants are looked for.
const TENANTS: Duration = Duration::from_secs(2);

/// Runs the command.
pub(crate) fn run(args: &WorkerArgs) -> anyhow::Result<Exit> {
    // SAFETY: this is the only thread so far.
    unsafe { std::env::set_var("RAYON_NUM_THREADS", "1") };
    let threads = scan::threads(args.judge.jobs);
    let executor = executor(&args.judge, threads, args.time_limit, args.memory_limit)?;
    let remote = Remote::new(candor::MAX_FILE_BYTES)?;
    queue::runtime(threads.max(2))?.block_on(async {
        let streams = queue::open(&args.nats).await?;
        let worker = Arc::new(Worker {
            streams,
            executor,
            remote,
            allow: args.allow.clone(),
            max_deliver: args.max_deliver,
            threads,
            permits: Arc::new(Semaphore::new(threads)),
            slots: Mutex::new((0..threads).collect()),
            seen: Mutex::new(None),
            metrics: Metrics::new(),
        });
        if let Some(address) = args.metrics {
            serve_metrics(&worker, address).await?;
        }
        let _ = writeln!(io::stderr(), "candor: {threads} scans at a time, from {}", args.nats.nats);
        let stop = Arc::new(AtomicBool::new(false));
        let told = Arc::clone(&stop);
        tokio::spawn(async move {
            stop_asked().await;
            told.store(true, Ordering::Relaxed);
        });
        pull_jobs(&worker, &stop, args.exit_when_empty).await;
        // What was begun is finished.
        let _all = worker.permits.acquire_many(threads as u32).await?;
        let _ = writeln!(io::stderr(), "candor: {} jobs done", worker.metrics.done.load(Ordering::Relaxed));
        Ok(Exit::Done)
    })
}

struct Worker {
    streams: Streams,
    executor: Executor,
    remote: Remote,
    allow: Vec<String>,
    max_deliver: i64,
    threads: usize,
    permits: Arc<Semaphore>,
    /// Scanning processes that are free.
    slots: Mutex<Vec<usize>>,
    /// When it was last looked whether anything is left.
    seen: Mutex<Option<Instant>>,
    metrics: Metrics,
}

/// Takes jobs while there is a free scanner, from one tenant after the other, so that none waits behind another's thousands.
async fn pull_jobs(worker: &Arc<Worker>, stop: &AtomicBool, exit_when_empty: bool) {
    let mut consumers: BTreeMap<String, Consumer<pull::Config>> = BTreeMap::new();
    let mut looked: Option<Instant> = None;
    let mut turn = 0_usize;
    while !stop.load(Ordering::Relaxed) {
        if looked.is_none_or(|at| at.elapsed() >= TENANTS) {
            match tenants(worker, &mut consumers).await {
                Ok(()) => looked = Some(Instant::now()),
                Err(error) => {
                    trouble(&error);
                    tokio::time::sleep(Duration::from_secs(1)).await;
                    continue;
                }
            }
        }
        let Ok(permit) = Arc::clone(&worker.permits).acquire_owned().await else { return };
        let mut permit = Some(permit);
        let tenants: Vec<&String> = consumers.keys().collect();
        let mut failed = false;
        for i in 0..tenants.len() {
            let place = (turn + i) % tenants.len();
            let Some(tenant) = tenants.get(place) else { continue };
            let Some(consumer) = consumers.get(*tenant) else { continue };
            match one(consumer).await {
                Ok(Some(message)) => {
                    turn = place + 1;
                    let (worker, tenant, permit) = (Arc::clone(worker), (*tenant).clone(), permit.take());
                    tokio::spawn(async move {
                        let _permit = permit;
                        worker.handle(&tenant, message).await;
                    });
                    break;
                }
                Ok(None) => {}
                Err(error) => {
                    failed = true;
                    trouble(&error);
                }
            }
        }
        if permit.is_some() {
            let idle = worker.permits.available_permits() + 1 == worker.threads;
            if idle && !failed && worker.due() && worker.empty().await && exit_when_empty {
                return;
            }
            drop(permit);
            if failed {
                // The consumer may be gone with a server; it is made again.
                consumers.clear();
                looked = None;
            }
            tokio::time::sleep(Duration::from_millis(if failed { 1000 } else { 100 })).await;
        }
    }
}

fn trouble(error: &anyhow::Error) {
    let _ = writeln!(io::stderr(), "candor: {}; trying again", crate::escape::escape(&format!("{error:#}")));
}

async fn tenants(
    worker: &Worker,
    consumers: &mut BTreeMap<String, Consumer<pull::Config>>,
) -> anyhow::Result<()> {
    for tenant in queue::tenants(&worker.streams).await? {
        if consumers.contains_key(&tenant) {
            continue;
        }
        let name = format!("worker-{tenant}");
        let config = pull::Config {
            durable_name: Some(name.clone()),
            filter_subject: worker.streams.names.jobs(&tenant),
            ack_policy: AckPolicy::Explicit,
            ack_wait: ACK_WAIT,
            max_deliver: -1,
            max_ack_pending: 100_000,
            ..pull::Config::default()
        };
        let consumer = worker.streams.jobs.get_or_create_consumer(&name, config).await?;
        consumers.insert(tenant, consumer);
    }
    Ok(())
}

/// The next message, if there is one now.
async fn one(consumer: &Consumer<pull::Config>) -> anyhow::Result<Option<Message>> {
    let fetch = async {
        let mut messages = consumer.fetch().max_messages(1).messages().await?;
        match messages.next().await {
            None => Ok(None),
            Some(Ok(message)) => Ok(Some(message)),
            Some(Err(error)) => Err(anyhow::anyhow!("{error}")),
        }
    };
    tokio::time::timeout(Duration::from_secs(10), fetch).await.context("the queue does not answer")?
}

impl Worker {
    /// Whether it is time to see if there is anything left.
    fn due(&self) -> bool {
        let mut seen = self.seen.lock().unwrap_or_else(PoisonError::into_inner);
        let due = seen.is_none_or(|at| at.elapsed() >= TENANTS);
        if due {
            *seen = Some(Instant::now());
        }
        due
    }

    fn slots(&self) -> std::sync::MutexGuard<'_, Vec<usize>> {
        self.slots.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Whether nothing waits and nothing is under way. Takes out what was acknowledged but is there still: a server that is killed may
    /// forget that it took a message out of the stream, and never that it was acknowledged.
    async fn empty(&self) -> bool {
        let mut consumers = self.streams.jobs.consumers();
        while let Some(consumer) = consumers.next().await {
            let Ok(consumer) = consumer else { return false };
            if consumer.num_pending > 0 || consumer.num_ack_pending > 0 {
                return false;
            }
            let done = consumer.ack_floor.stream_sequence;
            let subject = consumer.config.filter_subject;
            if done > 0 && self.streams.jobs.purge().filter(subject).sequence(done + 1).await.is_err() {
                return false;
            }
        }
        self.streams.jobs.get_info().await.is_ok_and(|info| info.state.messages == 0)
    }

    /// Does one job, or says why not.
    async fn handle(self: &Arc<Self>, tenant: &str, message: Message) {
        let deliveries = message.info().map_or(1, |info| info.delivered);
        if deliveries > 1 {
            self.metrics.redelivered.inc();
        }
        let job: Job = match serde_json::from_slice(&message.payload) {
            Ok(job) => job,
            // It will be no job the next time either.
            Err(error) => {
                return self.bury(tenant, None, &message, deliveries, &format!("no job: {error}")).await;
            }
        };
        let started = Instant::now();
        let work = self.judge(&job);
        tokio::pin!(work);
        let mut tick = tokio::time::interval_at(tokio::time::Instant::now() + PROGRESS, PROGRESS);
        let judged = loop {
            tokio::select! {
                judged = &mut work => break judged,
                _ = tick.tick() => {
                    let _ = message.ack_with(AckKind::Progress).await;
                }
            }
        };
        match judged {
            Ok(verdict) => {
                self.metrics.scanned(&verdict, started.elapsed());
                match self.publish(tenant, &job, verdict).await {
                    Ok(()) => {
                        if message.double_ack().await.is_ok() {
                            self.metrics.done.fetch_add(1, Ordering::Relaxed);
                            self.forget(&job.uri).await;
                        }
                    }
                    // The job comes again, here or elsewhere.
                    Err(error) => trouble(&error),
                }
            }
            Err(missing) if missing.transient && deliveries < self.max_deliver => {
                let pause = Duration::from_secs(1 << deliveries.clamp(0, 6));
                let _ = message.ack_with(AckKind::Nak(Some(pause))).await;
            }
            Err(missing) => {
                self.bury(tenant, Some(&job.id), &message, deliveries, &missing.message).await;
                self.forget(&job.uri).await;
            }
        }
    }

    /// Deletes what was uploaded for a job that is over; what is missed goes with its age.
    async fn forget(&self, uri: &str) {
        let bucket = self.streams.names.uploads();
        let name = uri.strip_prefix("nats://").and_then(|rest| rest.strip_prefix(&bucket)?.strip_prefix('/'));
        if let Some(name) = name
            && let Ok(store) = self.streams.js.get_object_store(&bucket).await
        {
            let _ = store.delete(name).await;
        }
    }

    async fn judge(self: &Arc<Self>, job: &Job) -> Result<Verdict, Missing> {
        let bytes = self.fetch(&job.uri).await?;
        let Some(slot) = self.slots().pop() else {
            return Err(Missing::new(ErrorCode::Internal, "no scanner is free", true));
        };
        let (worker, name) = (Arc::clone(self), job.name.clone().unwrap_or_else(|| job.uri.clone()));
        let done = tokio::task::spawn_blocking(move || {
            let verdict = worker.executor.scan(slot, &name, &bytes, 1);
            worker.slots().push(slot);
            verdict
        });
        done.await.map_err(|error| Missing::new(ErrorCode::Internal, error, true))
    }

    async fn fetch(&self, uri: &str) -> Result<Vec<u8>, Missing> {
        let listed = self.allow.iter().any(|prefix| uri.starts_with(prefix.as_str()));
        // Whoever may enqueue could otherwise have any file of this machine read.
        let allowed = if self.allow.is_empty() { !uri.starts_with("file:") } else { listed };
        if !allowed {
            return Err(Missing::new(
                ErrorCode::PermissionDenied,
                "the worker may not read that; --allow names what it may",
                false,
            ));
        }
        if uri.starts_with("file:") {
            let path = reqwest::Url::parse(uri).ok().and_then(|url| url.to_file_path().ok());
            let path =
                path.ok_or_else(|| Missing::new(ErrorCode::NotFound, "no address of a file", false))?;
            let read = tokio::task::block_in_place(|| self.executor.blank().read(&path));
            return read.map_err(|f| {
                let later = f.code == ErrorCode::Read;
                Missing::new(f.code, f.message, later)
            });
        }
        if let Some(rest) = uri.strip_prefix("nats://") {
            return self.stored(rest).await;
        }
        self.remote.fetch(uri).await
    }

    /// An object of JetStream's own store.
    async fn stored(&self, rest: &str) -> Result<Vec<u8>, Missing> {
        let broken = |error: &dyn std::fmt::Display| Missing::new(ErrorCode::Read, error, true);
        let (bucket, name) = rest
            .split_once('/')
            .ok_or_else(|| Missing::new(ErrorCode::NotFound, "no nats://<bucket>/<name>", false))?;
        let store = self.streams.js.get_object_store(bucket).await.map_err(|e| broken(&e))?;
        let object = store.get(name).await.map_err(|e| broken(&e))?;
        let mut bytes = Vec::new();
        let mut limited = object.take(candor::MAX_FILE_BYTES + 1);
        limited.read_to_end(&mut bytes).await.map_err(|e| broken(&e))?;
        if bytes.len() as u64 > candor::MAX_FILE_BYTES {
            return Err(Missing::new(ErrorCode::TooLarge, "the object is larger than the limit", false));
        }
        Ok(bytes)
    }

    /// Stores a result, unless one is stored already.
    async fn publish(&self, tenant: &str, job: &Job, verdict: Verdict) -> anyhow::Result<()> {
        let result = JobResult {
            id: job.id.clone(),
            tenant: tenant.to_owned(),
            uri: job.uri.clone(),
            meta: job.meta.clone(),
            verdict,
        };
        let subject = self.streams.names.result(tenant, &job.id);
        let message = PublishMessage::build()
            .payload(serde_json::to_vec(&result)?.into())
            .message_id(&subject)
            .expected_last_subject_sequence(0);
        match self.streams.js.send_publish(subject, message).await?.await {
            Ok(_) => Ok(()),
            // Another worker, or this one before it lost the connection, was there first.
            Err(error) if error.kind() == PublishErrorKind::WrongLastSequence => {
                self.metrics.repeated.inc();
                Ok(())
            }
            Err(error) => Err(error).context("the result was not stored"),
        }
    }

    /// Puts a job with the reason among the dead and takes it from the queue.
    async fn bury(&self, tenant: &str, id: Option<&str>, message: &Message, deliveries: i64, reason: &str) {
        let dead = Dead {
            tenant: tenant.to_owned(),
            reason: reason.to_owned(),
            deliveries,
            message: String::from_utf8_lossy(&message.payload).into_owned(),
        };
        let stored = async {
            let sequence = message.info().map_or_else(|_| String::new(), |i| i.stream_sequence.to_string());
            let publish = PublishMessage::build()
                .payload(serde_json::to_vec(&dead)?.into())
                .message_id(format!("dead-{tenant}-{sequence}"));
            self.streams.js.send_publish(self.streams.names.dead(tenant, id), publish).await?.await?;
            anyhow::Ok(())
        };
        match stored.await {
            Ok(()) => {
                self.metrics.dead.inc();
                let _ = message.double_ack().await;
            }
            Err(error) => trouble(&error),
        }
    }
}

struct Metrics {
    registry: Registry,
    verdicts: Family<Vec<(String, String)>, Counter>,
    seconds: Histogram,
    redelivered: Counter,
    repeated: Counter,
    dead: Counter,
    done: AtomicU64,
}

impl Metrics {
    fn new() -> Self {
        let mut registry = Registry::with_prefix("candor_worker");
        let verdicts = Family::<Vec<(String, String)>, Counter>::default();
        let seconds = Histogram::new(exponential_buckets(0.001, 2.0, 16));
        let (redelivered, repeated, dead) = (Counter::default(), Counter::default(), Counter::default());
        registry.register("verdicts", "Verdicts by label", verdicts.clone());
        registry.register("job_seconds", "Time of jobs, fetching included", seconds.clone());
        registry.register("redelivered", "Jobs that had been given out before", redelivered.clone());
        registry.register("repeated", "Results that were stored already", repeated.clone());
        registry.register("dead", "Jobs that nobody could do", dead.clone());
        Self { registry, verdicts, seconds, redelivered, repeated, dead, done: AtomicU64::new(0) }
    }

    fn scanned(&self, verdict: &Verdict, time: Duration) {
        self.verdicts.get_or_create(&vec![("label".to_owned(), verdict.label.to_string())]).inc();
        self.seconds.observe(time.as_secs_f64());
    }
}

/// `/metrics` and `/healthz` on an address.
async fn serve_metrics(worker: &Arc<Worker>, address: std::net::SocketAddr) -> anyhow::Result<()> {
    use axum::http::{StatusCode, header};
    use axum::routing::get;
    let (one, other) = (Arc::clone(worker), Arc::clone(worker));
    let metrics = move || {
        let worker = Arc::clone(&one);
        async move {
            let mut text = String::new();
            let status = match encode(&mut text, &worker.metrics.registry) {
                Ok(()) => StatusCode::OK,
                Err(_) => StatusCode::INTERNAL_SERVER_ERROR,
            };
            (
                status,
                [(header::CONTENT_TYPE, "application/openmetrics-text; version=1.0.0; charset=utf-8")],
                text,
            )
        }
    };
    let health = move || {
        let worker = Arc::clone(&other);
        async move {
            let connected = matches!(
                worker.streams.js.client().connection_state(),
                async_nats::connection::State::Connected
            );
            if connected {
                (StatusCode::OK, "ok\n")
            } else {
                (StatusCode::SERVICE_UNAVAILABLE, "no connection to NATS\n")
            }
        }
    };
    let router = axum::Router::new().route("/metrics", get(metrics)).route("/healthz", get(health));
    let listener = tokio::net::TcpListener::bind(address)
        .await
        .with_context(|| format!("cannot listen on {address}"))?;
    tokio::spawn(async move { axum::serve(listener, router).await });
    Ok(())
}
