//! `candor serve`: the HTTP service.

use std::io::{self, Write};
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, bail};
use candor_service::{Config, Keys, Queue, openapi_json, serve};

use crate::args::ServeArgs;
use crate::exit::Exit;
use crate::queue::ServiceQueue;
use crate::{report, scan};

/// Runs the command.
pub(crate) fn run(args: &ServeArgs) -> anyhow::Result<Exit> {
    // SAFETY: this is the only thread so far.
    unsafe { std::env::set_var("RAYON_NUM_THREADS", "1") };
    if args.openapi {
        io::stdout().write_all(openapi_json().as_bytes())?;
        return Ok(Exit::Done);
    }
    if let Some(name) = &args.new_key {
        let Some(keys) = &args.keys else {
            bail!("--new-key needs --keys FILE, where the key's digest goes")
        };
        let made = Keys::add(keys, name, args.per_minute)?;
        writeln!(io::stdout(), "{}", made.secret)?;
        let _ = writeln!(
            io::stderr(),
            "candor: this is shown once; {} holds its digest",
            candor::path_text(keys)
        );
        return Ok(Exit::Done);
    }
    let threads = scan::threads(args.judge.jobs);
    let config = Config {
        address: args.listen,
        keys: args.keys.as_deref().map(Keys::read).transpose()?.unwrap_or_default(),
        insecure: args.insecure,
        tls: args.tls_certificate.clone().zip(args.tls_key.clone()),
        threads,
        queue: args.queue,
        max_body: usize::try_from(args.max_body << 20).context("--max-body is too large")?,
        read_timeout: Duration::from_secs_f64(args.read_timeout),
        scan_timeout: Duration::from_secs_f64(args.time_limit),
        reviews: args.reviews.clone(),
    };
    let scanner = scan::scanner(&args.judge)?;
    let cards = report::cards(args.judge.weights.as_deref())?;
    if !args.quiet {
        tracing_subscriber::fmt().json().with_writer(io::stderr).init();
    }
    #[cfg(unix)]
    many_files();
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(threads.max(2))
        .max_blocking_threads(threads + 8)
        .thread_name(scan::WORKER)
        .enable_all()
        .build()?;
    scan::silence_workers();
    let scheme = if config.tls.is_some() { "https" } else { "http" };
    let listening = |address| {
        // The first line says where to look; nothing is lost when nobody reads it.
        let _ = writeln!(io::stdout(), "listening on {scheme}://{address}/");
        let _ = io::stdout().flush();
    };
    runtime.block_on(async {
        let queue: Option<Arc<dyn Queue>> =
            if args.jetstream { Some(Arc::new(ServiceQueue::open(&args.nats).await?)) } else { None };
        anyhow::Ok(serve(config, scanner, cards, queue, listening, stop()).await?)
    })?;
    Ok(Exit::Done)
}

/// Done at Ctrl-C or, where there is one, at a request to end.
pub(crate) async fn stop() {
    #[cfg(unix)]
    {
        use tokio::signal::unix::{SignalKind, signal};
        if let Ok(mut terminate) = signal(SignalKind::terminate()) {
            tokio::select! {
                _ = tokio::signal::ctrl_c() => {}
                _ = terminate.recv() => {}
            }
            return;
        }
    }
    let _ = tokio::signal::ctrl_c().await;
}

/// Connections are files: as many as the system lets this process have.
#[cfg(unix)]
fn many_files() {
    use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
    let limit = getrlimit(Resource::Nofile);
    let _ = setrlimit(Resource::Nofile, Rlimit { current: limit.maximum, maximum: limit.maximum });
}
