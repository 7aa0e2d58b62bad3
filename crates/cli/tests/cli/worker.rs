//! `candor worker` against a real nats-server, where there is one: every job one result, whatever dies.

use std::collections::BTreeMap;
use std::fs;
use std::net::TcpStream;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use serde_json::Value;

use crate::util::candor;

/// A child that is ended with the test.
pub(crate) struct Running(pub(crate) Child);

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

pub(crate) struct Nats {
    server: Option<Running>,
    port: u16,
    store: tempfile::TempDir,
}

impl Nats {
    /// `None` without a nats-server.
    pub(crate) fn start() -> Option<Self> {
        let port = std::net::TcpListener::bind("127.0.0.1:0").ok()?.local_addr().ok()?.port();
        let mut nats = Self { server: None, port, store: tempfile::tempdir().ok()? };
        nats.run()?;
        Some(nats)
    }

    fn run(&mut self) -> Option<()> {
        let server = Command::new(if Path::new("/usr/sbin/nats-server").exists() {
            "/usr/sbin/nats-server"
        } else {
            "nats-server"
        })
        .args(["-js", "-a", "127.0.0.1", "-p", &self.port.to_string(), "--store_dir"])
        .arg(self.store.path())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .ok()?;
        self.server = Some(Running(server));
        let end = Instant::now() + Duration::from_secs(20);
        while TcpStream::connect(("127.0.0.1", self.port)).is_err() {
            assert!(Instant::now() < end, "nats-server does not listen");
            std::thread::sleep(Duration::from_millis(20));
        }
        Some(())
    }

    pub(crate) fn url(&self) -> String {
        format!("nats://127.0.0.1:{}", self.port)
    }

    fn candor(&self, folder: &Path, args: &[&str]) -> assert_cmd::assert::Assert {
        candor(folder).env("CANDOR_NATS", self.url()).args(args).assert().code(0)
    }

    /// A worker that may read every file of this machine, unless `args` name what it may.
    pub(crate) fn worker(&self, folder: &Path, args: &[&str]) -> Running {
        let allow: &[&str] = if args.contains(&"--allow") { &[] } else { &["--allow", "file://,nats://"] };
        let child = Command::new(assert_cmd::cargo::cargo_bin!("candor"))
            .current_dir(folder)
            .env("CANDOR_NATS", self.url())
            .args(["worker", "--jobs", "1"])
            .args(allow)
            .args(args)
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        Running(child)
    }

    fn status(&self, folder: &Path) -> Value {
        let out = self.candor(folder, &["queue", "status", "-f", "json"]);
        serde_json::from_slice(&out.get_output().stdout).unwrap()
    }

    fn wait_for_empty(&self, folder: &Path) {
        let end = Instant::now() + Duration::from_mins(3);
        while self.status(folder)["jobs"]["messages"] != 0 {
            assert!(Instant::now() < end, "{}", self.status(folder));
            std::thread::sleep(Duration::from_millis(200));
        }
    }
}

fn texts(count: usize) -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    let text = include_str!("../../../../datasets/samples/baltimore.txt");
    fs::create_dir(folder.path().join("in")).unwrap();
    for i in 0..count {
        fs::write(folder.path().join(format!("in/{i}.txt")), format!("Chapter {i}.\n{text}")).unwrap();
    }
    folder
}

fn by_uri(path: &Path) -> BTreeMap<String, Value> {
    let mut found = BTreeMap::new();
    for line in fs::read_to_string(path).unwrap().lines() {
        let result: Value = serde_json::from_str(line).unwrap();
        let uri = result["uri"].as_str().unwrap().to_owned();
        assert!(found.insert(uri.clone(), result).is_none(), "{uri} has two results");
    }
    found
}

#[test]
fn every_job_has_one_result_whatever_dies() {
    let Some(mut nats) = Nats::start() else {
        println!("no nats-server: passed over");
        return;
    };
    let folder = texts(400);
    let root = folder.path();
    nats.candor(root, &["enqueue", "in", "--tenant", "shop"]);
    // The same files make the same jobs.
    let again = nats.candor(root, &["enqueue", "in", "--tenant", "shop"]);
    let said = String::from_utf8(again.get_output().stdout.clone()).unwrap();
    assert!(said.contains("0 jobs for shop; 400 were there already"), "{said}");
    fs::write(root.join("list"), "in/1.txt\nin/2.txt\n").unwrap();
    nats.candor(root, &["enqueue", "--list", "list", "--tenant", "other"]);
    assert_eq!(nats.status(root)["jobs"]["messages"], 402);

    let mut workers = vec![nats.worker(root, &[]), nats.worker(root, &[])];
    let left = |nats: &Nats| nats.status(root)["jobs"]["messages"].as_u64().unwrap();
    let end = Instant::now() + Duration::from_mins(1);
    while left(&nats) > 390 {
        assert!(Instant::now() < end, "no job is done");
        std::thread::sleep(Duration::from_millis(20));
    }
    // One worker is killed, the server goes and comes, another worker joins.
    let _ = workers.remove(0).0.kill();
    drop(nats.server.take());
    std::thread::sleep(Duration::from_millis(500));
    nats.run().unwrap();
    workers.push(nats.worker(root, &[]));
    nats.wait_for_empty(root);

    nats.candor(root, &["results", "-o", "all.jsonl"]);
    let all = by_uri_and_tenant(&root.join("all.jsonl"));
    assert_eq!(all.len(), 402);
    nats.candor(root, &["results", "-o", "other.jsonl", "--tenant", "other"]);
    assert_eq!(by_uri(&root.join("other.jsonl")).len(), 2);
    // Asked once more, nothing is written twice.
    nats.candor(root, &["results", "-o", "other.jsonl", "--tenant", "other"]);
    assert_eq!(by_uri(&root.join("other.jsonl")).len(), 2);
    assert_eq!(nats.status(root)["dead"]["messages"], 0);
}

fn by_uri_and_tenant(path: &Path) -> BTreeMap<String, Value> {
    let mut found = BTreeMap::new();
    for line in fs::read_to_string(path).unwrap().lines() {
        let result: Value = serde_json::from_str(line).unwrap();
        let key = format!("{} {}", result["tenant"], result["uri"]);
        assert!(found.insert(key.clone(), result).is_none(), "{key} has two results");
    }
    found
}

#[test]
fn what_nobody_can_do_is_dead_with_its_reason() {
    let Some(nats) = Nats::start() else {
        println!("no nats-server: passed over");
        return;
    };
    let folder = texts(2);
    let root = folder.path();
    nats.candor(root, &["enqueue", "in"]);
    let publish = |subject: &str, payload: &str| {
        use std::io::{Read, Write};
        let mut stream = TcpStream::connect(("127.0.0.1", nats.port)).unwrap();
        let message = format!(
            "CONNECT {{\"verbose\":false}}\r\nPUB {subject} {}\r\n{payload}\r\nPING\r\n",
            payload.len()
        );
        stream.write_all(message.as_bytes()).unwrap();
        let mut seen = Vec::new();
        let mut piece = [0; 4096];
        while !String::from_utf8_lossy(&seen).contains("PONG") {
            let n = stream.read(&mut piece).unwrap();
            assert!(n > 0);
            seen.extend_from_slice(&piece[..n]);
        }
    };
    publish("candor.jobs.default", "this is no job");
    publish("candor.jobs.default", r#"{"id":"gone","uri":"file:///nowhere/at/all.txt"}"#);
    publish("candor.jobs.default", r#"{"id":"closed","uri":"https://example.invalid/x"}"#);
    let odd = serde_json::json!({
        "id": "odd id.*>", "uri": format!("file://{}", root.join("in/0.txt").display()), "meta": { "a": 1 },
    });
    publish("candor.jobs.default", &odd.to_string());
    let mut worker = nats.worker(root, &["--exit-when-empty"]);
    assert_eq!(worker.0.wait().unwrap().code(), Some(0));
    let status = nats.status(root);
    let counts = ["jobs", "results", "dead"].map(|s| status[s]["messages"].as_u64().unwrap());
    assert_eq!(counts, [0, 3, 3], "{status}");
    nats.candor(root, &["results", "-o", "r.jsonl"]);
    let results = fs::read_to_string(root.join("r.jsonl")).unwrap();
    assert!(
        results.lines().any(|l| l.contains(r#""id":"odd id.*>""#) && l.contains(r#""meta":{"a":1}"#)),
        "{results}"
    );
}

/// Bytes travel through JetStream's own store to a worker that may read no file of its machine; its options come from a file.
#[test]
fn uploaded_files_are_judged_by_a_worker_set_up_by_a_file() {
    let Some(nats) = Nats::start() else {
        println!("no nats-server: passed over");
        return;
    };
    let folder = texts(3);
    fs::copy(folder.path().join("in/0.txt"), folder.path().join("in/same.txt")).unwrap();
    nats.candor(folder.path(), &["enqueue", "in", "--upload", "--tenant", "shop"]);
    let settings =
        format!("nats = \"{}\"\njobs = 1\nexit_when_empty = true\nallow = [\"nats://\"]\n", nats.url());
    fs::write(folder.path().join("worker.toml"), settings).unwrap();
    candor(folder.path()).args(["worker", "--config", "worker.toml"]).assert().code(0);
    nats.candor(folder.path(), &["results", "-o", "out.jsonl"]);
    let mut paths = Vec::new();
    for line in fs::read_to_string(folder.path().join("out.jsonl")).unwrap().lines() {
        let result: Value = serde_json::from_str(line).unwrap();
        assert!(result["uri"].as_str().unwrap().starts_with("nats://candor_FILES/"), "{result}");
        assert_eq!(result["verdict"]["label"], "no-sign", "{result}");
        paths.push(result["verdict"]["path"].as_str().unwrap().rsplit('/').next().unwrap().to_owned());
    }
    paths.sort();
    assert_eq!(paths, ["0.txt", "1.txt", "2.txt", "same.txt"]);
    let wrong = candor(folder.path()).args(["worker", "--config", "none.toml"]).assert().code(2);
    assert!(String::from_utf8_lossy(&wrong.get_output().stderr).contains("none.toml"));
}
