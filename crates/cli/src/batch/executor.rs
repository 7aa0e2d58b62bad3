//! Scanning one file: in this process, or in a child process that may crash, hang or eat memory without harm.

use std::io::{self, Read, Write};
use std::process::{Child, ChildStdin, ChildStdout, Command, ExitStatus, Stdio};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use anyhow::{Context, bail};
use candor::{ErrorCode, Scanner, Verdict};

/// How often the watchdog looks.
const WATCH: Duration = Duration::from_millis(50);

/// What a child says once its models are loaded.
const READY: [u8; 4] = *b"okay";

/// Longest verdict that a child may send, in bytes.
const MAX_VERDICT: u32 = 64 << 20;

/// Where files are scanned.
pub(crate) enum Executor {
    /// In this process, on the calling thread.
    Here(Scanner),
    /// In a child process for each thread.
    Children(Children),
}

impl Executor {
    /// Judges a file. `thread` counts from 0 and has only one call at a time. A verdict that blames the process, not the file, is
    /// tried again as often as allowed.
    pub(crate) fn scan(&self, thread: usize, name: &str, bytes: &[u8], retries: u32) -> Verdict {
        match self {
            Self::Here(scanner) => scanner.scan_bytes(name, bytes).verdict,
            Self::Children(children) => {
                let mut left = retries;
                loop {
                    match children.scan(thread, name, bytes) {
                        Ok(verdict) => return verdict,
                        Err(_) if left > 0 => left -= 1,
                        Err(death) => {
                            let mut verdict =
                                children.blank.failure(name, death.code(), death.to_string()).verdict;
                            verdict.bytes = Some(bytes.len() as u64);
                            verdict.sha256 = Some(candor_models::sha256(bytes));
                            return verdict;
                        }
                    }
                }
            }
        }
    }

    /// A verdict without a scan.
    pub(crate) fn blank(&self) -> &Scanner {
        match self {
            Self::Here(scanner) => scanner,
            Self::Children(children) => &children.blank,
        }
    }
}

/// Why there is no answer.
enum Death {
    Time(Duration),
    Crash(Option<ExitStatus>, u64),
    NotStarted(String),
}

impl Death {
    fn code(&self) -> ErrorCode {
        match self {
            Self::Time(_) => ErrorCode::TimeLimit,
            Self::Crash(..) | Self::NotStarted(_) => ErrorCode::Crashed,
        }
    }
}

impl std::fmt::Display for Death {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Time(limit) => {
                write!(f, "no verdict within the time limit of {} s", limit.as_secs_f64())
            }
            Self::Crash(status, mib) => {
                let how = status.map_or_else(|| "without a status".to_owned(), |s| s.to_string());
                write!(
                    f,
                    "the scanning process ended ({how}); it may have met a fault or its limit of {mib} MiB"
                )
            }
            Self::NotStarted(why) => write!(f, "the scanning process could not be started: {why}"),
        }
    }
}

/// Child processes, one for each thread, started when they are needed.
pub(crate) struct Children {
    slots: Arc<Vec<Slot>>,
    /// Arguments that make this program a scanning process.
    arguments: Vec<String>,
    time_limit: Duration,
    memory_mib: u64,
    blank: Scanner,
}

#[derive(Default)]
struct Slot {
    pipes: Mutex<Option<(ChildStdin, ChildStdout)>>,
    watched: Mutex<Watched>,
}

#[derive(Default)]
struct Watched {
    child: Option<Child>,
    deadline: Option<Instant>,
    overdue: bool,
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Children {
    /// Prepares children for so many threads. `blank` writes verdicts for files that none survived.
    pub(super) fn new(
        threads: usize,
        arguments: Vec<String>,
        time_limit: Duration,
        memory_mib: u64,
        blank: Scanner,
    ) -> Self {
        let slots: Arc<Vec<Slot>> = Arc::new((0..threads.max(1)).map(|_| Slot::default()).collect());
        let watched = Arc::downgrade(&slots);
        std::thread::spawn(move || {
            while let Some(slots) = watched.upgrade() {
                for slot in slots.iter() {
                    let mut watched = lock(&slot.watched);
                    if watched.deadline.is_some_and(|d| d < Instant::now()) {
                        watched.overdue = true;
                        watched.deadline = None;
                        if let Some(child) = &mut watched.child {
                            let _ = child.kill();
                        }
                    }
                }
                drop(slots);
                std::thread::sleep(WATCH);
            }
        });
        Self { slots, arguments, time_limit, memory_mib, blank }
    }

    /// Starts the first child, so that what keeps all of them from starting is told once and not of every file.
    pub(super) fn try_one(&self) -> anyhow::Result<()> {
        match self.slots.first() {
            Some(slot) => {
                let pipes = self.start(slot).context("the scanning process could not be started")?;
                *lock(&slot.pipes) = Some(pipes);
                Ok(())
            }
            None => Ok(()),
        }
    }

    fn scan(&self, thread: usize, name: &str, bytes: &[u8]) -> Result<Verdict, Death> {
        let Some(slot) = self.slots.get(thread) else {
            return Err(Death::NotStarted("there are fewer processes than threads".to_owned()));
        };
        let mut pipes = lock(&slot.pipes);
        if pipes.is_none() {
            *pipes = Some(self.start(slot).map_err(|e| Death::NotStarted(format!("{e:#}")))?);
        }
        let Some((stdin, stdout)) = pipes.as_mut() else {
            return Err(Death::NotStarted("no pipes".to_owned()));
        };
        lock(&slot.watched).deadline = Some(Instant::now() + self.time_limit);
        let answer = ask(stdin, stdout, name, bytes);
        let mut watched = lock(&slot.watched);
        watched.deadline = None;
        if let Ok(verdict) = answer {
            return Ok(verdict);
        }
        // Closed pipes end a child that still lives.
        *pipes = None;
        let status = watched.child.take().and_then(|mut child| {
            let _ = child.kill();
            child.wait().ok()
        });
        Err(if std::mem::take(&mut watched.overdue) {
            Death::Time(self.time_limit)
        } else {
            Death::Crash(status, self.memory_mib)
        })
    }

    fn start(&self, slot: &Slot) -> anyhow::Result<(ChildStdin, ChildStdout)> {
        let program = std::env::current_exe().context("cannot find this program")?;
        let mut child = Command::new(program)
            .args(&self.arguments)
            .env("RAYON_NUM_THREADS", "1")
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()?;
        let mut pipes = child.stdin.take().zip(child.stdout.take()).context("no pipes")?;
        if read_array(&mut pipes.1).ok() != Some(READY) {
            let _ = child.kill();
            let status = child.wait()?;
            bail!(
                "it ended before its first file ({status}); is --memory-limit {} MiB enough?",
                self.memory_mib
            );
        }
        let mut watched = lock(&slot.watched);
        watched.overdue = false;
        watched.child = Some(child);
        Ok(pipes)
    }
}

impl Drop for Children {
    fn drop(&mut self) {
        for slot in self.slots.iter() {
            *lock(&slot.pipes) = None;
            if let Some(mut child) = lock(&slot.watched).child.take() {
                let _ = child.wait();
            }
        }
    }
}

fn ask(
    stdin: &mut ChildStdin,
    stdout: &mut ChildStdout,
    name: &str,
    bytes: &[u8],
) -> anyhow::Result<Verdict> {
    stdin.write_all(&u32::try_from(name.len())?.to_le_bytes())?;
    stdin.write_all(&(bytes.len() as u64).to_le_bytes())?;
    stdin.write_all(name.as_bytes())?;
    stdin.write_all(bytes)?;
    stdin.flush()?;
    let length = u32::from_le_bytes(read_array(stdout)?);
    anyhow::ensure!(length <= MAX_VERDICT, "a verdict of {length} bytes");
    let mut answer = vec![0; length as usize];
    stdout.read_exact(&mut answer)?;
    Ok(serde_json::from_slice(&answer)?)
}

fn read_array<const N: usize>(read: &mut impl Read) -> io::Result<[u8; N]> {
    let mut bytes = [0; N];
    read.read_exact(&mut bytes)?;
    Ok(bytes)
}

/// The child's side: answers requests on standard input until it closes.
pub(super) fn serve(scanner: &Scanner) -> anyhow::Result<()> {
    // Ctrl-C reaches the whole group; the parent lets its children finish.
    static IGNORED: AtomicBool = AtomicBool::new(false);
    ctrlc::set_handler(|| IGNORED.store(true, Ordering::Relaxed))?;
    let (mut stdin, mut stdout) = (io::stdin().lock(), io::stdout().lock());
    stdout.write_all(&READY)?;
    stdout.flush()?;
    loop {
        let name_length = match read_array(&mut stdin) {
            Ok(length) => u32::from_le_bytes(length),
            Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => return Ok(()),
            Err(error) => return Err(error.into()),
        };
        let length = u64::from_le_bytes(read_array(&mut stdin)?);
        let mut name = vec![0; name_length as usize];
        stdin.read_exact(&mut name)?;
        let mut bytes = Vec::new();
        bytes.try_reserve_exact(usize::try_from(length)?)?;
        (&mut stdin).take(length).read_to_end(&mut bytes)?;
        let verdict = scanner.scan_bytes(&String::from_utf8_lossy(&name), &bytes).verdict;
        let answer = serde_json::to_vec(&verdict)?;
        stdout.write_all(&u32::try_from(answer.len())?.to_le_bytes())?;
        stdout.write_all(&answer)?;
        stdout.flush()?;
    }
}
