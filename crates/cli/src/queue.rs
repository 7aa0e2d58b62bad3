//! The queue of `candor worker`: streams of NATS JetStream, and the commands that fill, empty and watch it.

use std::collections::HashSet;
use std::fs::{self, File, OpenOptions};
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::time::{Duration, UNIX_EPOCH};

use anyhow::{Context, bail};
use async_nats::jetstream::consumer::{AckPolicy, DeliverPolicy, pull};
use async_nats::jetstream::message::PublishMessage;
use async_nats::jetstream::object_store::ObjectStore;
use async_nats::jetstream::stream::{
    Config, DirectGetErrorKind, DiscardPolicy, RetentionPolicy, StorageType, Stream,
};
use async_nats::jetstream::{self, Context as JetStream};
use candor_service::{Answer, Progress, Queue, QueueError, Upload};
use futures_util::StreamExt;
use serde::{Deserialize, Serialize};

use crate::args::{EnqueueArgs, InspectFormat, NatsArgs, QueueArgs, QueueCommand, ResultsArgs};
use crate::batch::{self, listed};
use crate::exit::Exit;

/// A job as it is published.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct Job {
    /// Whatever tells it from all others of its tenant.
    pub(crate) id: String,
    /// `s3://`, `gs://`, `az://`, `http(s)://`, `file://`, or `nats://<bucket>/<name>` for the object store of JetStream.
    pub(crate) uri: String,
    /// What the verdict calls the file; its extension is compared with the content. Otherwise the `uri`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) name: Option<String>,
    /// Handed on to the result.
    #[serde(default, skip_serializing_if = "serde_json::Value::is_null")]
    pub(crate) meta: serde_json::Value,
}

/// A result as it is published.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct JobResult {
    pub(crate) id: String,
    pub(crate) tenant: String,
    pub(crate) uri: String,
    #[serde(default, skip_serializing_if = "serde_json::Value::is_null")]
    pub(crate) meta: serde_json::Value,
    pub(crate) verdict: candor::Verdict,
}

/// A job that nobody could do.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct Dead {
    pub(crate) tenant: String,
    pub(crate) reason: String,
    pub(crate) deliveries: i64,
    /// The message as it came; bytes that are no text are replaced.
    pub(crate) message: String,
}

/// Names of streams and subjects that share a prefix.
pub(crate) struct Names {
    prefix: String,
}

impl Names {
    pub(crate) fn new(prefix: &str) -> anyhow::Result<Self> {
        if !is_token(prefix) {
            bail!("\"{prefix}\" is no prefix: letters, digits, - and _ are");
        }
        Ok(Self { prefix: prefix.to_owned() })
    }

    fn stream(&self, what: &str) -> String {
        format!("{}_{what}", self.prefix)
    }

    pub(crate) fn jobs(&self, tenant: &str) -> String {
        format!("{}.jobs.{tenant}", self.prefix)
    }

    /// The subject of a result: one for each job, so that the server can refuse a second.
    pub(crate) fn result(&self, tenant: &str, id: &str) -> String {
        format!("{}.results.{tenant}.{}", self.prefix, token(id))
    }

    /// The subject of what nobody can do; what is no job has no id.
    pub(crate) fn dead(&self, tenant: &str, id: Option<&str>) -> String {
        match id {
            Some(id) => format!("{}.dead.{tenant}.{}", self.prefix, token(id)),
            None => format!("{}.dead.{tenant}", self.prefix),
        }
    }

    /// The subject that says of a job of the service how many files it has.
    fn asked(&self, tenant: &str, id: &str) -> String {
        format!("{}.asked.{tenant}.{id}", self.prefix)
    }

    /// The bucket of files that are there for one job.
    pub(crate) fn uploads(&self) -> String {
        self.stream("UPLOADS")
    }

    /// The tenant of a subject of jobs.
    pub(crate) fn tenant<'a>(&self, subject: &'a str) -> Option<&'a str> {
        subject.strip_prefix(&format!("{}.jobs.", self.prefix))
    }
}

/// Whether a text can be part of a subject.
pub(crate) fn is_token(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-' || b == b'_')
}

/// A text as part of a subject: itself, or its digest where it cannot be one.
fn token(text: &str) -> String {
    if is_token(text) && text.len() <= 64 { text.to_owned() } else { digest(&[text]) }
}

/// 128 bits of the parts, which hold no zero bytes, hexadecimal.
fn digest(parts: &[&str]) -> String {
    let mut digest = candor_models::sha256(parts.join("\0").as_bytes());
    digest.truncate(32);
    digest
}

/// The streams.
pub(crate) struct Streams {
    pub(crate) names: Names,
    pub(crate) js: JetStream,
    pub(crate) jobs: Stream,
    pub(crate) results: Stream,
    pub(crate) dead: Stream,
}

/// Connects, and makes the streams unless they are there.
pub(crate) async fn open(args: &NatsArgs) -> anyhow::Result<Streams> {
    let names = Names::new(&args.prefix)?;
    let mut options = async_nats::ConnectOptions::new().name("candor").retry_on_initial_connect();
    if let Some(file) = &args.nats_credentials {
        options = options
            .credentials_file(file)
            .await
            .with_context(|| format!("cannot read {}", candor::path_text(file)))?;
    }
    let patience = Duration::from_secs_f64(args.nats_timeout);
    let connect = async {
        let client = options.connect(args.nats.as_str()).await?;
        client.flush().await?;
        anyhow::Ok(client)
    };
    let client = tokio::time::timeout(patience, connect)
        .await
        .map_err(|_| anyhow::anyhow!("no answer within {} s", args.nats_timeout))
        .and_then(|done| done)
        .with_context(|| {
            format!("cannot reach NATS at {}; is nats-server running there, with -js?", args.nats)
        })?;
    let js = jetstream::new(client);
    let stream = |what: &str, subjects: Vec<String>, retention| Config {
        name: names.stream(what),
        subjects,
        retention,
        storage: StorageType::File,
        num_replicas: args.replicas,
        discard: DiscardPolicy::New,
        duplicate_window: Duration::from_mins(10),
        allow_direct: true,
        ..Config::default()
    };
    let prefix = &names.prefix;
    let make = async |config: Config| {
        let name = config.name.clone();
        let subjects = config.subjects.clone();
        let cannot =
            || format!("cannot open the stream {name}; JetStream is needed: nats-server -js --store_dir DIR");
        let stream = js.get_or_create_stream(config).await.with_context(cannot)?;
        let mut found = stream.cached_info().config.clone();
        if found.subjects != subjects {
            // Made by an earlier version; everything else is the operator's.
            found.subjects = subjects;
            js.update_stream(found).await.with_context(cannot)?;
        }
        anyhow::Ok(stream)
    };
    let jobs = make(stream("JOBS", vec![format!("{prefix}.jobs.*")], RetentionPolicy::WorkQueue)).await?;
    let results =
        make(stream("RESULTS", vec![format!("{prefix}.results.*.*")], RetentionPolicy::Limits)).await?;
    let buried = vec![format!("{prefix}.dead.*"), format!("{prefix}.dead.*.*")];
    let dead = make(stream("DEAD", buried, RetentionPolicy::Limits)).await?;
    Ok(Streams { names, js, jobs, results, dead })
}

pub(crate) fn runtime(threads: usize) -> anyhow::Result<tokio::runtime::Runtime> {
    Ok(tokio::runtime::Builder::new_multi_thread().worker_threads(threads).enable_all().build()?)
}

/// How long the object store keeps what was uploaded.
const KEPT: Duration = Duration::from_hours(7 * 24);

fn local_path(uri: &str) -> Option<PathBuf> {
    reqwest::Url::parse(uri).ok().filter(|url| url.scheme() == "file")?.to_file_path().ok()
}

/// An object store of this name, made unless it is there.
async fn bucket(js: &JetStream, name: String, replicas: usize) -> anyhow::Result<ObjectStore> {
    if let Ok(store) = js.get_object_store(&name).await {
        return Ok(store);
    }
    let config = jetstream::object_store::Config {
        bucket: name.clone(),
        max_age: KEPT,
        storage: StorageType::File,
        num_replicas: replicas,
        ..Default::default()
    };
    js.create_object_store(config).await.with_context(|| format!("cannot make the object store {name}"))
}

/// Puts a file into the object store, unless its content is there, and gives its address.
async fn upload(streams: &Streams, replicas: usize, path: &Path) -> anyhow::Result<String> {
    let shown = candor::path_text(path);
    let files = streams.names.stream("FILES");
    let store = bucket(&streams.js, files.clone(), replicas).await?;
    let size = fs::metadata(path).with_context(|| format!("cannot read {shown}"))?.len();
    if size > candor::MAX_FILE_BYTES {
        bail!("{shown} is larger than the limit of {} bytes", candor::MAX_FILE_BYTES);
    }
    let bytes = fs::read(path).with_context(|| format!("cannot read {shown}"))?;
    let name = candor_models::sha256(&bytes);
    if store.info(&name).await.is_err() {
        let stored = store.put(name.as_str(), &mut bytes.as_slice()).await;
        stored.with_context(|| format!("cannot store {shown}"))?;
    }
    Ok(format!("nats://{files}/{name}"))
}

/// Jobs of the service on the queue, whatever instance of it asked or is asked.
pub(crate) struct ServiceQueue {
    streams: Streams,
    uploads: ObjectStore,
    /// How many files a job has.
    asked: Stream,
}

impl ServiceQueue {
    pub(crate) async fn open(args: &NatsArgs) -> anyhow::Result<Self> {
        let streams = open(args).await?;
        let uploads = bucket(&streams.js, streams.names.uploads(), args.replicas).await?;
        let config = Config {
            name: streams.names.stream("ASKED"),
            subjects: vec![streams.names.asked("*", "*")],
            storage: StorageType::File,
            num_replicas: args.replicas,
            max_age: KEPT,
            allow_direct: true,
            ..Config::default()
        };
        let asked =
            streams.js.get_or_create_stream(config).await.context("cannot open the stream of jobs")?;
        Ok(Self { streams, uploads, asked })
    }

    async fn submit(&self, owner: &str, files: Vec<Upload>) -> anyhow::Result<String> {
        let (tenant, id) = (tenant_of(owner), format!("{:032x}", rand::random::<u128>()));
        let count = files.len();
        for (i, Upload { name, bytes }) in files.into_iter().enumerate() {
            let part = part(&id, i);
            self.uploads.put(part.as_str(), &mut bytes.as_slice()).await?;
            let uri = format!("nats://{}/{part}", self.streams.names.uploads());
            let job = Job { id: part.clone(), uri, name: Some(name), meta: serde_json::Value::Null };
            let message = PublishMessage::build().payload(serde_json::to_vec(&job)?.into()).message_id(&part);
            self.streams.js.send_publish(self.streams.names.jobs(&tenant), message).await?.await?;
        }
        // Last: what is known here is on the queue.
        self.streams
            .js
            .publish(self.streams.names.asked(&tenant, &id), count.to_string().into())
            .await?
            .await?;
        Ok(id)
    }

    async fn progress(&self, owner: &str, id: &str) -> anyhow::Result<Option<Progress>> {
        if !is_token(id) || id.len() > 64 {
            return Ok(None);
        }
        let tenant = tenant_of(owner);
        let Streams { names, results, dead, .. } = &self.streams;
        let Some(count) = last(&self.asked, names.asked(&tenant, id)).await? else { return Ok(None) };
        let count: usize = std::str::from_utf8(&count)?.parse()?;
        let mut verdicts = Vec::new();
        for i in 0..count {
            let part = part(id, i);
            if let Some(bytes) = last(results, names.result(&tenant, &part)).await? {
                verdicts.push(serde_json::from_slice::<JobResult>(&bytes)?.verdict);
            } else if let Some(bytes) = last(dead, names.dead(&tenant, Some(&part))).await? {
                let reason = serde_json::from_slice::<Dead>(&bytes)?.reason;
                return Ok(Some(Progress::Failed(format!("file {} of {count}: {reason}", i + 1))));
            }
        }
        Ok(Some(if verdicts.len() == count { Progress::Done(verdicts) } else { Progress::Running }))
    }
}

impl Queue for ServiceQueue {
    fn put<'a>(&'a self, owner: &'a str, files: Vec<Upload>) -> Answer<'a, String> {
        Box::pin(async move { self.submit(owner, files).await.map_err(|e| QueueError(format!("{e:#}"))) })
    }

    fn look<'a>(&'a self, owner: &'a str, id: &'a str) -> Answer<'a, Option<Progress>> {
        Box::pin(async move { self.progress(owner, id).await.map_err(|e| QueueError(format!("{e:#}"))) })
    }
}

/// The tenant of a key of the service.
fn tenant_of(owner: &str) -> String {
    if owner.is_empty() { "default".to_owned() } else { token(owner) }
}

/// The job on the queue for one file of a job of the service.
fn part(id: &str, i: usize) -> String {
    format!("{id}-{i}")
}

/// The last message of a subject.
async fn last(stream: &Stream, subject: String) -> anyhow::Result<Option<Vec<u8>>> {
    match stream.direct_get_last_for_subject(subject).await {
        Ok(message) => Ok(Some(message.payload.to_vec())),
        Err(error) if error.kind() == DirectGetErrorKind::NotFound => Ok(None),
        Err(error) => Err(error.into()),
    }
}

/// `candor enqueue`: a job for every file that the sources name.
pub(crate) fn enqueue(args: &EnqueueArgs) -> anyhow::Result<Exit> {
    if !is_token(&args.tenant) {
        bail!("\"{}\" is no tenant: letters, digits, - and _ are", args.tenant);
    }
    runtime(2)?.block_on(async {
        let streams = open(&args.nats).await?;
        let subject = streams.names.jobs(&args.tenant);
        let (mut sent, mut known) = (0_u64, 0_u64);
        let mut acks = std::collections::VecDeque::new();
        let settle =
            async |ack: async_nats::jetstream::context::PublishAckFuture, sent: &mut u64, known: &mut u64| {
                match ack.await {
                    Ok(ack) if ack.duplicate => *known += 1,
                    Ok(_) => *sent += 1,
                    Err(error) => return Err(anyhow::Error::new(error).context("a job was not taken")),
                }
                Ok(())
            };
        for item in listed(&args.sources, args.list.as_deref(), &args.column)? {
            let (uri, size, modified) = item?;
            let id = digest(&[&args.tenant, &uri, &size.to_string(), &modified.to_string()]);
            let local = if args.upload { local_path(&uri) } else { None };
            let (uri, name) = match local {
                None => (uri, None),
                Some(path) => {
                    (upload(&streams, args.nats.replicas, &path).await?, Some(candor::path_text(&path)))
                }
            };
            let job = Job { id: id.clone(), uri, name, meta: serde_json::Value::Null };
            let message = PublishMessage::build().payload(serde_json::to_vec(&job)?.into()).message_id(&id);
            acks.push_back(streams.js.send_publish(subject.clone(), message).await?);
            if acks.len() >= 256
                && let Some(ack) = acks.pop_front()
            {
                settle(ack, &mut sent, &mut known).await?;
            }
        }
        for ack in acks {
            settle(ack, &mut sent, &mut known).await?;
        }
        let again = if known > 0 { format!("; {known} were there already") } else { String::new() };
        writeln!(io::stdout(), "{sent} jobs for {}{again}", args.tenant)?;
        Ok(Exit::Done)
    })
}

/// Where the results in a file end, and up to which message they go.
#[derive(Debug, Default, Serialize, Deserialize)]
struct Position {
    sequence: u64,
    end: u64,
}

/// `candor results`: the results that came, as JSON Lines, each once.
pub(crate) fn results(args: &ResultsArgs) -> anyhow::Result<Exit> {
    let state = {
        let mut name = args.output.clone().into_os_string();
        name.push(".position");
        PathBuf::from(name)
    };
    let mut position: Position = match fs::read(&state) {
        Ok(bytes) => serde_json::from_slice(&bytes)
            .with_context(|| format!("{} is damaged", candor::path_text(&state)))?,
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            let length = fs::metadata(&args.output).map_or(0, |m| m.len());
            if length > 0 {
                bail!(
                    "{} exists and holds something else; name another output",
                    candor::path_text(&args.output)
                );
            }
            Position::default()
        }
        Err(error) => {
            return Err(error).with_context(|| format!("cannot read {}", candor::path_text(&state)));
        }
    };
    let mut file = OpenOptions::new()
        .read(true)
        .write(true)
        .create(true)
        .truncate(false)
        .open(&args.output)
        .with_context(|| format!("cannot write {}", candor::path_text(&args.output)))?;
    // What the position does not name was not finished.
    file.set_len(position.end)?;
    io::Seek::seek(&mut file, io::SeekFrom::Start(position.end))?;
    runtime(2)?.block_on(async {
        let streams = open(&args.nats).await?;
        let stop = tokio::signal::ctrl_c();
        tokio::pin!(stop);
        let mut count = 0_u64;
        let started = position.sequence;
        loop {
            let consumer = streams
                .results
                .create_consumer(pull::Config {
                    deliver_policy: DeliverPolicy::ByStartSequence { start_sequence: position.sequence + 1 },
                    ack_policy: AckPolicy::None,
                    filter_subject: match &args.tenant {
                        Some(tenant) => format!("{}.results.{tenant}.*", streams.names.prefix),
                        None => String::new(),
                    },
                    inactive_threshold: Duration::from_mins(1),
                    ..pull::Config::default()
                })
                .await?;
            loop {
                let mut messages = consumer.fetch().max_messages(500).messages().await?;
                let mut lines = Vec::new();
                while let Some(message) = messages.next().await {
                    let message = message.map_err(|e| anyhow::anyhow!("{e}"))?;
                    let info = message.info().map_err(|e| anyhow::anyhow!("{e}"))?;
                    position.sequence = info.stream_sequence;
                    if args.verdicts {
                        let result: JobResult = serde_json::from_slice(&message.payload)?;
                        serde_json::to_writer(&mut lines, &result.verdict)?;
                    } else {
                        lines.extend_from_slice(&message.payload);
                    }
                    lines.push(b'\n');
                    count += 1;
                }
                if lines.is_empty() {
                    break;
                }
                save(&mut file, &lines, &mut position, &state)?;
            }
            if !args.follow {
                break;
            }
            tokio::select! {
                _ = &mut stop => break,
                () = tokio::time::sleep(Duration::from_millis(500)) => {}
            }
        }
        let _ = writeln!(
            io::stderr(),
            "candor: {count} results, messages {} to {}",
            started + 1,
            position.sequence.max(started)
        );
        Ok(Exit::Done)
    })
}

/// Results first, then the position that names them.
fn save(file: &mut File, lines: &[u8], position: &mut Position, state: &Path) -> anyhow::Result<()> {
    file.write_all(lines)?;
    file.sync_data()?;
    position.end += lines.len() as u64;
    batch::replace(state, |out| Ok(serde_json::to_writer(out, &position)?))
}

/// `candor queue status`: what waits, what is under way, what is done and dead.
pub(crate) fn status(args: &QueueArgs) -> anyhow::Result<Exit> {
    let QueueCommand::Status { nats, format } = &args.command;
    runtime(2)?.block_on(async {
        let streams = open(nats).await?;
        let info = |s: async_nats::jetstream::stream::Info| (s.state.messages, s.state.bytes, s.state.last_sequence);
        let jobs = info(streams.jobs.get_info().await?);
        let results = info(streams.results.get_info().await?);
        let dead = info(streams.dead.get_info().await?);
        let mut tenants = Vec::new();
        let mut consumers = streams.jobs.consumers();
        while let Some(consumer) = consumers.next().await {
            let consumer = consumer?;
            let tenant = streams.names.tenant(&consumer.config.filter_subject).unwrap_or_default().to_owned();
            tenants.push((tenant, consumer.num_pending, consumer.num_ack_pending, consumer.num_redelivered));
        }
        tenants.sort();
        let oldest = streams.jobs.get_info().await?.state.first_timestamp;
        let age = (jobs.0 > 0)
            .then(|| UNIX_EPOCH.elapsed().ok().map(|now| now.as_secs() as i64 - oldest.unix_timestamp()))
            .flatten();
        let mut out = io::stdout().lock();
        match format {
            InspectFormat::Json => {
                let tenants: Vec<serde_json::Value> = tenants
                    .iter()
                    .map(|(tenant, waiting, under_way, again)| {
                        serde_json::json!({ "tenant": tenant, "waiting": waiting, "under_way": under_way, "redelivered": again })
                    })
                    .collect();
                let value = serde_json::json!({
                    "jobs": { "messages": jobs.0, "bytes": jobs.1, "ever": jobs.2, "oldest_s": age },
                    "results": { "messages": results.0, "bytes": results.1 },
                    "dead": { "messages": dead.0, "bytes": dead.1 },
                    "tenants": tenants,
                });
                writeln!(out, "{value}")?;
            }
            InspectFormat::Text => {
                writeln!(out, "jobs      {:>10} left of {}", jobs.0, jobs.2)?;
                if let Some(age) = age {
                    writeln!(out, "oldest    {age:>10} s")?;
                }
                writeln!(out, "results   {:>10}", results.0)?;
                writeln!(out, "dead      {:>10}", dead.0)?;
                for (tenant, waiting, under_way, again) in tenants {
                    writeln!(out, "tenant    {tenant}: {waiting} waiting, {under_way} under way, {again} redelivered")?;
                }
            }
        }
        Ok(Exit::Done)
    })
}

/// Tenants that have jobs now.
pub(crate) async fn tenants(streams: &Streams) -> anyhow::Result<Vec<String>> {
    let mut subjects = streams.jobs.info_with_subjects(format!("{}.jobs.*", streams.names.prefix)).await?;
    let mut found = HashSet::new();
    while let Some(subject) = subjects.next().await {
        let (subject, _) = subject?;
        found.extend(streams.names.tenant(&subject).map(str::to_owned));
    }
    let mut found: Vec<String> = found.into_iter().collect();
    found.sort();
    Ok(found)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_job_has_one_subject_for_its_result() {
        let names = Names::new("candor").unwrap();
        assert_eq!(names.result("t", "a-1"), "candor.results.t.a-1");
        let odd = names.result("t", "a.b c>*");
        assert_eq!(odd, names.result("t", "a.b c>*"));
        assert!(is_token(odd.rsplit('.').next().unwrap()));
        assert_ne!(odd, names.result("t", "a.b c>"));
        assert_eq!(names.tenant(&names.jobs("shop")), Some("shop"));
        assert!(Names::new("a.b").is_err());
        assert_eq!(names.dead("t", Some("a-1")), "candor.dead.t.a-1");
        assert_eq!(names.dead("t", None), "candor.dead.t");
        assert!(is_token(&tenant_of("name.with.dots")) && tenant_of("") == "default");
    }
}
