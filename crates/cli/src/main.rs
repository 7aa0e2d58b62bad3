//! The candor command.

mod args;
mod batch;
mod calibrate;
mod compare;
mod escape;
mod eval;
mod evidence;
mod exit;
mod inspect;
mod label;
mod leaderboard;
mod model;
mod order;
mod output;
mod progress;
mod queue;
mod remote;
mod report;
mod scan;
mod serve;
mod settings;
mod train;
mod trust;
mod walk;
mod worker;

use std::io::{self, Write};
use std::process::ExitCode;

use args::{Args, Command};
use exit::Exit;

// Large tensors and pictures come and go with every file; keeping their memory saves the system calls.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    let exit = match args::parse() {
        Ok(args) => run(&args).unwrap_or_else(|error| tell(&error)),
        Err(exit) => exit,
    };
    exit.into()
}

fn run(args: &Args) -> anyhow::Result<Exit> {
    match &args.command {
        Command::Scan(args) => scan::run(args),
        Command::Batch(args) => batch::run(args),
        Command::Calibrate(args) => calibrate::run(args),
        Command::Watch(args) => batch::watch(args),
        Command::ScanProcess(args) => batch::serve(&args.judge, args.memory_limit),
        Command::Eval(args) => eval::run(args),
        Command::Leaderboard(args) => leaderboard::run(args),
        Command::Report(args) => report::run(args),
        Command::Evidence(args) => evidence::run(args),
        Command::Compare(args) => compare::run(args),
        Command::Keygen(args) => evidence::keygen(args),
        Command::Serve(args) => serve::run(args),
        Command::Worker(args) => worker::run(args),
        Command::Enqueue(args) => queue::enqueue(args),
        Command::Results(args) => queue::results(args),
        Command::Queue(args) => queue::status(args),
        Command::Inspect(args) => inspect::run(args),
        Command::Trust(args) => trust::run(args),
        Command::Label(args) => label::run(args),
        Command::Train(args) => train::run(args),
        Command::Model(args) => model::run(args),
        Command::Completions { shell } => {
            io::stdout().write_all(&args::completions(*shell))?;
            Ok(Exit::Done)
        }
        Command::Man { output } => {
            args::manual(output)
                .map_err(|e| anyhow::anyhow!("cannot write to {}: {e}", candor::path_text(output)))?;
            Ok(Exit::Done)
        }
        Command::Schema => {
            io::stdout().write_all(candor::schema_json().as_bytes())?;
            Ok(Exit::Done)
        }
    }
}

/// Names a failure on standard error, unless it is only that nobody reads the output any more.
fn tell(error: &anyhow::Error) -> Exit {
    let closed = |e: &io::Error| e.kind() == io::ErrorKind::BrokenPipe;
    if error.chain().filter_map(|cause| cause.downcast_ref()).any(closed) {
        return Exit::Done;
    }
    let _ = writeln!(io::stderr(), "candor: {}", escape::escape(&format!("{error:#}")));
    Exit::Failed
}
