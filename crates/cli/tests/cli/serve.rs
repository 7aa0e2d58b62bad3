//! `candor serve` as a process: keys, limits, shutdown, and the page in a real browser where there is one.

use std::fs;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use fantoccini::{ClientBuilder, Locator};
use serde_json::{Value, json};

use crate::util::candor;
use crate::worker::Nats;

/// A running service, ended with the test.
struct Service {
    child: Child,
    address: String,
}

impl Drop for Service {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn start(folder: &Path, args: &[&str]) -> Service {
    let mut child = Command::new(assert_cmd::cargo::cargo_bin!("candor"))
        .current_dir(folder)
        .args(["serve", "--listen", "127.0.0.1:0", "-q"])
        .args(args)
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let mut line = String::new();
    BufReader::new(child.stdout.take().unwrap()).read_line(&mut line).unwrap();
    let address = line.trim().strip_prefix("listening on http://").unwrap().trim_end_matches('/').to_owned();
    Service { child, address }
}

/// Sends bytes and reads the answer, to its length or until the connection closes.
fn raw(address: &str, request: &[u8]) -> String {
    let mut stream = TcpStream::connect(address).unwrap();
    stream.set_read_timeout(Some(Duration::from_secs(30))).unwrap();
    stream.write_all(request).unwrap();
    let mut answer = Vec::new();
    let mut piece = vec![0; 1 << 16];
    loop {
        match stream.read(&mut piece) {
            Ok(0) | Err(_) => break,
            Ok(n) => answer.extend_from_slice(&piece[..n]),
        }
        let text = String::from_utf8_lossy(&answer);
        if let Some((head, _)) = text.split_once("\r\n\r\n") {
            let lower = head.to_ascii_lowercase();
            let length =
                lower.lines().find_map(|l| l.strip_prefix("content-length:")?.trim().parse::<usize>().ok());
            if length.is_some_and(|length| answer.len() >= head.len() + 4 + length) {
                break;
            }
        }
    }
    String::from_utf8_lossy(&answer).into_owned()
}

fn get(address: &str, path: &str) -> String {
    raw(address, format!("GET {path} HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\r\n").as_bytes())
}

#[test]
fn it_does_not_open_itself_to_everybody() {
    let folder = tempfile::tempdir().unwrap();
    let refused = candor(folder.path()).args(["serve", "--listen", "0.0.0.0:0", "-q"]).assert().code(1);
    let message = String::from_utf8(refused.get_output().stderr.clone()).unwrap();
    assert!(message.contains("--new-key"), "{message}");
    let made = candor(folder.path()).args(["serve", "--new-key", "lab", "--keys", "k.txt"]).assert().code(0);
    let secret = String::from_utf8(made.get_output().stdout.clone()).unwrap();
    assert!(!fs::read_to_string(folder.path().join("k.txt")).unwrap().contains(secret.trim()));
    let service = start(folder.path(), &["--keys", "k.txt"]);
    assert!(get(&service.address, "/v1/models").starts_with("HTTP/1.1 401"));
    let with = format!(
        "GET /v1/models HTTP/1.1\r\nhost: localhost\r\nauthorization: Bearer {}\r\nconnection: close\r\n\r\n",
        secret.trim()
    );
    assert!(raw(&service.address, with.as_bytes()).starts_with("HTTP/1.1 200"));
}

#[test]
#[cfg(unix)]
fn slow_clients_are_let_go_and_do_not_stop_others() {
    let folder = tempfile::tempdir().unwrap();
    let mut service = start(folder.path(), &["--read-timeout", "1"]);
    let slow: Vec<TcpStream> = (0..200)
        .map(|i| {
            let mut stream = TcpStream::connect(&service.address).unwrap();
            // Half of them never end their headers, half never their body.
            let begun: &[u8] = if i % 2 == 0 {
                b"GET /healthz HTTP/1.1\r\nhost: local"
            } else {
                b"POST /v1/scan HTTP/1.1\r\nhost: localhost\r\ncontent-length: 1000\r\n\r\nabc"
            };
            stream.write_all(begun).unwrap();
            stream
        })
        .collect();
    assert!(get(&service.address, "/healthz").starts_with("HTTP/1.1 200"));
    for (i, mut stream) in slow.into_iter().enumerate() {
        stream.set_read_timeout(Some(Duration::from_secs(30))).unwrap();
        let mut answer = Vec::new();
        let _ = stream.read_to_end(&mut answer);
        let text = String::from_utf8_lossy(&answer);
        if i % 2 == 1 {
            assert!(text.starts_with("HTTP/1.1 408") || text.starts_with("HTTP/1.1 503"), "{text}");
        }
    }
    // It ends when it is told to.
    let told = Command::new("kill").args(["-TERM", &service.child.id().to_string()]).status().unwrap();
    assert!(told.success());
    assert_eq!(service.child.wait().unwrap().code(), Some(0));
}

/// What a service on a queue is asked, another instance of it answers once a worker was there; other keys see nothing, and what was
/// uploaded is gone.
#[test]
fn jobs_go_to_workers_where_there_is_a_queue() {
    let Some(nats) = Nats::start() else {
        println!("no nats-server: passed over");
        return;
    };
    let folder = tempfile::tempdir().unwrap();
    let key = |name: &str| {
        let args = ["serve", "--new-key", name, "--keys", "k.txt"];
        let made = candor(folder.path()).args(args).assert().code(0);
        String::from_utf8(made.get_output().stdout.clone()).unwrap().trim().to_owned()
    };
    let (lab, other) = (key("lab"), key("other.lab"));
    let url = nats.url();
    let args = ["--jetstream", "--nats", &url, "--keys", "k.txt"];
    let first = start(folder.path(), &args);
    let ask = |service: &Service, key: &str, method: &str, path: &str, kind: &str, body: &[u8]| {
        let mut request = format!(
            "{method} {path} HTTP/1.1\r\nhost: localhost\r\nx-api-key: {key}\r\ncontent-type: {kind}\r\n\
             content-length: {}\r\nconnection: close\r\n\r\n",
            body.len()
        )
        .into_bytes();
        request.extend(body);
        let answer = raw(&service.address, &request);
        let (head, body) = answer.split_once("\r\n\r\n").unwrap();
        let status = head.split(' ').nth(1).unwrap().to_owned();
        (status, serde_json::from_str::<Value>(body).unwrap())
    };
    let mut form = Vec::new();
    for (name, file) in [("high.jpg", "tides.txt"), ("b.txt", "baltimore.txt")] {
        form.extend(
            format!("--X\r\ncontent-disposition: form-data; name=\"f\"; filename=\"{name}\"\r\n\r\n").bytes(),
        );
        form.extend(fs::read(sample(file)).unwrap());
        form.extend(b"\r\n");
    }
    form.extend(b"--X--\r\n");
    let kind = "multipart/form-data; boundary=X";
    let (status, job) = ask(&first, &lab, "POST", "/v1/jobs", kind, &form);
    assert_eq!((status.as_str(), &job["status"]), ("202", &json!("running")), "{job}");
    let path = format!("/v1/jobs/{}", job["id"].as_str().unwrap());
    assert_eq!(ask(&first, &lab, "GET", &path, "", b"").1["status"], "running");
    assert_eq!(ask(&first, &other, "GET", &path, "", b"").0, "404");
    assert_eq!(ask(&first, &lab, "GET", "/v1/jobs/a.*", "", b"").0, "404");
    let (_, alone) =
        ask(&first, &other, "POST", "/v1/jobs?name=c.txt", "", &fs::read(sample("guxiang.txt")).unwrap());
    drop(first);

    let mut worker = nats.worker(folder.path(), &["--exit-when-empty"]);
    assert_eq!(worker.0.wait().unwrap().code(), Some(0));
    let second = start(folder.path(), &args);
    let (_, done) = ask(&second, &lab, "GET", &path, "", b"");
    assert_eq!(done["status"], "done", "{done}");
    let found: Vec<&Value> = done["results"].as_array().unwrap().iter().collect();
    assert_eq!((&found[0]["path"], &found[1]["path"]), (&json!("high.jpg"), &json!("b.txt")), "{done}");
    assert_eq!((&found[0]["label"], &found[1]["label"]), (&json!("suspected"), &json!("no-sign")), "{done}");
    let path = format!("/v1/jobs/{}", alone["id"].as_str().unwrap());
    assert_eq!(ask(&second, &other, "GET", &path, "", b"").1["results"][0]["path"], "c.txt");
    let left = async |bucket: &str| {
        let js = async_nats::jetstream::new(async_nats::connect(&url).await.unwrap());
        let store = js.get_object_store(bucket).await.unwrap();
        futures_util::StreamExt::count(store.list().await.unwrap()).await
    };
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    assert_eq!(runtime.block_on(left("candor_UPLOADS")), 0);

    // A worker that may not read uploads says so, and the job has failed.
    let (_, job) = ask(&second, &lab, "POST", "/v1/jobs", "", b"text");
    let mut worker = nats.worker(folder.path(), &["--exit-when-empty", "--allow", "s3://"]);
    assert_eq!(worker.0.wait().unwrap().code(), Some(0));
    let path = format!("/v1/jobs/{}", job["id"].as_str().unwrap());
    let (_, failed) = ask(&second, &lab, "GET", &path, "", b"");
    assert_eq!(failed["status"], "failed", "{failed}");
    assert!(failed["error"].as_str().unwrap().contains("--allow"), "{failed}");
    assert_eq!(runtime.block_on(left("candor_UPLOADS")), 0);
}

/// A driver of a browser that this machine may have, ended with the test.
struct Driver(Child, u16);

impl Drop for Driver {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

fn driver() -> Option<Driver> {
    let port = std::net::TcpListener::bind("127.0.0.1:0").ok()?.local_addr().ok()?.port();
    let child = Command::new("chromedriver")
        .arg(format!("--port={port}"))
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .ok()?;
    let driver = Driver(child, port);
    let end = Instant::now() + Duration::from_secs(20);
    while TcpStream::connect(("127.0.0.1", port)).is_err() {
        if Instant::now() > end {
            return None;
        }
        std::thread::sleep(Duration::from_millis(50));
    }
    Some(driver)
}

fn sample(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../datasets/samples").join(name).canonicalize().unwrap()
}

/// Drops files on the page, sees label, map, timeline and marked sentences, reviews and exports. Without chromedriver it is
/// passed over. `CANDOR_AXE` names axe-core's script for the check of accessibility, `CANDOR_SHOTS` a folder for pictures.
#[test]
fn the_page_works_in_a_browser() {
    let Some(driver) = driver() else {
        println!("no chromedriver: passed over");
        return;
    };
    let folder = tempfile::tempdir().unwrap();
    let hostile = folder.path().join("<img src=x onerror=alert(1)>.txt");
    fs::write(
        &hostile,
        "<script>alert(2)</script> ".repeat(5) + &fs::read_to_string(sample("tides.txt")).unwrap(),
    )
    .unwrap();
    let service = start(folder.path(), &[]);
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(browse(&driver, &service, &hostile));
}

async fn browse(driver: &Driver, service: &Service, hostile: &Path) {
    let mut wanted = serde_json::Map::new();
    let arguments = [
        "--headless=new",
        "--no-sandbox",
        "--disable-gpu",
        "--disable-dev-shm-usage",
        "--window-size=1280,1000",
    ];
    wanted.insert("goog:chromeOptions".into(), json!({ "args": arguments }));
    wanted.insert("goog:loggingPrefs".into(), json!({ "browser": "ALL", "performance": "ALL" }));
    let mut builder = ClientBuilder::new(hyper_util::client::legacy::connect::HttpConnector::new());
    let page = builder.capabilities(wanted).connect(&format!("http://127.0.0.1:{}", driver.1)).await.unwrap();
    page.goto(&format!("http://{}/", service.address)).await.unwrap();
    let files = page.find(Locator::Id("files")).await.unwrap();
    let names: Vec<String> = [sample("cat.jpg"), sample("go-forward.flac"), hostile.to_owned()]
        .iter()
        .map(|p| p.to_str().unwrap().to_owned())
        .collect();
    files.send_keys(&names.join("\n")).await.unwrap();
    page.find(Locator::Id("text")).await.unwrap().send_keys("A short text that was pasted.").await.unwrap();
    page.find(Locator::Id("judge")).await.unwrap().click().await.unwrap();

    let count = "return document.querySelectorAll('#queue .badge[class*=l-]').length";
    let end = Instant::now() + Duration::from_mins(1);
    while page.execute(count, vec![]).await.unwrap() != json!(4) {
        assert!(Instant::now() < end, "four verdicts");
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    // A picture with its map, a recording with its timeline, a text with its sentences.
    for (i, part) in
        ["img.heat", "img.timeline", "mark.m1, mark.m2, mark.m3, mark.m4, mark.m5"].iter().enumerate()
    {
        let entry = format!("#queue li:nth-child({}) button", i + 1);
        page.find(Locator::Css(&entry)).await.unwrap().click().await.unwrap();
        let seen = page
            .find(Locator::Css(&format!("#item {}", part.split(", ").collect::<Vec<_>>().join(", #item "))))
            .await;
        assert!(seen.is_ok(), "{part}");
        shot(&page, &format!("desktop-{}", i + 1)).await;
    }
    let slider = "const s = document.querySelector('[data-heat-slider]'); s.value = 80; s.dispatchEvent(new Event('input', \
                  { bubbles: true })); return document.querySelector('[data-heat]').style.opacity";
    page.find(Locator::Css("#queue li:nth-child(1) button")).await.unwrap().click().await.unwrap();
    assert_eq!(page.execute(slider, vec![]).await.unwrap(), json!("0.8"));
    // By keyboard: to the second file, disagree, and see it in the export.
    let keys = "for (const key of ['j', 'd']) document.body.dispatchEvent(new KeyboardEvent('keydown', { key, bubbles: true }))";
    page.execute(keys, vec![]).await.unwrap();
    let export = "return await (await fetch('/v1/reviews.csv')).text()";
    let end = Instant::now() + Duration::from_secs(20);
    loop {
        let csv = page.execute(export, vec![]).await.unwrap().as_str().unwrap().to_owned();
        if csv.contains("go-forward.flac,ai,reviewed") {
            break;
        }
        assert!(Instant::now() < end, "{csv}");
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    // What a file said became no element.
    let found = "return document.querySelectorAll('#item img[src=x], #queue img, #item script').length";
    page.find(Locator::Css("#queue li:nth-child(3) button")).await.unwrap().click().await.unwrap();
    assert_eq!(page.execute(found, vec![]).await.unwrap(), json!(0));

    if let Some(axe) = std::env::var_os("CANDOR_AXE") {
        page.execute(&fs::read_to_string(axe).unwrap(), vec![]).await.unwrap();
        for entry in 1..=4 {
            let button = format!("#queue li:nth-child({entry}) button");
            page.find(Locator::Css(&button)).await.unwrap().click().await.unwrap();
            let run = "const r = await axe.run(); return r.violations.filter(v => v.impact === 'serious' || v.impact === \
                       'critical').map(v => v.id + ': ' + v.nodes.map(n => n.html).join(' | '))";
            assert_eq!(page.execute(run, vec![]).await.unwrap(), json!([]), "accessibility of file {entry}");
        }
    }
    page.set_window_size(390, 844).await.unwrap();
    for (name, entry) in [("phone-1", 1), ("phone-3", 3)] {
        // Not by the driver, which does not wait for smooth scrolling.
        let click = format!(
            "document.querySelector('#queue li:nth-child({entry}) button').click(); \
                             document.getElementById('item').scrollIntoView({{ behavior: 'instant' }})"
        );
        page.execute(&click, vec![]).await.unwrap();
        let wide = "return [...document.querySelectorAll('*')].filter(e => e.getBoundingClientRect().right > document.documentElement.clientWidth + 1 && !e.closest('.scroll, .text, .away')).map(e => e.outerHTML.slice(0, 120))";
        assert_eq!(page.execute(wide, vec![]).await.unwrap(), json!([]), "no scrolling sideways");
        shot(&page, name).await;
    }
    // No error on the console, no violation of the policy, no request to elsewhere.
    let console = log(&page, driver, "browser").await;
    let errors: Vec<&Value> = console.iter().filter(|e| e["level"] == "SEVERE").collect();
    assert!(errors.is_empty(), "{errors:?}");
    for entry in log(&page, driver, "performance").await {
        let message: Value = serde_json::from_str(entry["message"].as_str().unwrap()).unwrap();
        if message["message"]["method"] == "Network.requestWillBeSent" {
            let url = message["message"]["params"]["request"]["url"].as_str().unwrap().to_owned();
            let own = url.starts_with(&format!("http://{}/", service.address));
            assert!(own || url.starts_with("data:") || url.starts_with("blob:"), "{url}");
        }
    }
    page.close().await.unwrap();
}

async fn shot(page: &fantoccini::Client, name: &str) {
    if let Some(folder) = std::env::var_os("CANDOR_SHOTS") {
        tokio::time::sleep(Duration::from_millis(300)).await;
        fs::write(Path::new(&folder).join(format!("{name}.png")), page.screenshot().await.unwrap()).unwrap();
    }
}

/// A log of the browser, which the client has no call for.
async fn log(page: &fantoccini::Client, driver: &Driver, kind: &str) -> Vec<Value> {
    let session = page.session_id().await.unwrap().unwrap();
    let body = json!({ "type": kind }).to_string();
    let request = format!(
        "POST /session/{session}/se/log HTTP/1.1\r\nhost: localhost\r\ncontent-type: application/json\r\ncontent-length: {}\r\n\
         connection: close\r\n\r\n{body}",
        body.len()
    );
    let address = format!("127.0.0.1:{}", driver.1);
    let answer = tokio::task::spawn_blocking(move || raw(&address, request.as_bytes())).await.unwrap();
    let (_, body) = answer.split_once("\r\n\r\n").unwrap();
    let value: Value = serde_json::from_str(body).unwrap();
    value["value"].as_array().cloned().unwrap_or_default()
}
