//! The service through its router: every route, and what is refused.
#![allow(clippy::unwrap_used, reason = "a test may fail by a panic, helpers included")]

use std::time::Duration;

use axum::Router;
use axum::body::Body;
use axum::http::{Request, StatusCode};
use candor::Scanner;
use candor_service::{Config, Keys, router};
use serde_json::{Value, json};
use tower::ServiceExt as _;

const TIDES: &str = include_str!("../../../datasets/samples/tides.txt");
const CAT: &[u8] = include_bytes!("../../../datasets/samples/cat.jpg");

fn config() -> Config {
    Config {
        address: "127.0.0.1:8720".parse().unwrap(),
        keys: Keys::default(),
        insecure: false,
        tls: None,
        threads: 2,
        queue: 2,
        max_body: 1 << 20,
        read_timeout: Duration::from_secs(5),
        scan_timeout: Duration::from_mins(1),
        reviews: None,
    }
}

fn service(config: Config) -> Router {
    router(config, Scanner::new().unwrap(), Vec::new(), None).unwrap()
}

struct Answer {
    status: StatusCode,
    headers: axum::http::HeaderMap,
    body: Vec<u8>,
}

impl Answer {
    fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap()
    }
}

async fn ask(
    router: &Router,
    method: &str,
    uri: &str,
    headers: &[(&str, &str)],
    body: impl Into<Body>,
) -> Answer {
    let mut request = Request::builder().method(method).uri(uri).header("host", "localhost:8720");
    for (name, value) in headers {
        request = request.header(*name, *value);
    }
    let response = router.clone().oneshot(request.body(body.into()).unwrap()).await.unwrap();
    let (parts, body) = response.into_parts();
    let body = axum::body::to_bytes(body, usize::MAX).await.unwrap().to_vec();
    Answer { status: parts.status, headers: parts.headers, body }
}

/// A form with files.
fn form(files: &[(&str, &[u8])]) -> (String, Vec<u8>) {
    let mut body = Vec::new();
    for (name, bytes) in files {
        body.extend(
            format!("--X\r\ncontent-disposition: form-data; name=\"file\"; filename=\"{name}\"\r\n\r\n")
                .bytes(),
        );
        body.extend(*bytes);
        body.extend(b"\r\n");
    }
    body.extend(b"--X--\r\n");
    ("multipart/form-data; boundary=X".to_owned(), body)
}

#[tokio::test]
async fn a_file_gets_the_verdict_of_a_scan() {
    let router = service(config());
    let answer = ask(&router, "POST", "/v1/scan?name=tides.txt", &[], TIDES).await;
    assert_eq!(answer.status, StatusCode::OK);
    let mut verdict: candor::Verdict = serde_json::from_slice(&answer.body).unwrap();
    let mut own = Scanner::new().unwrap().scan_bytes("tides.txt", TIDES.as_bytes()).verdict;
    (verdict.elapsed_ms, own.elapsed_ms) = (0.0, 0.0);
    assert_eq!(verdict, own);

    let (kind, body) = form(&[
        ("tides.txt", TIDES.as_bytes()),
        ("x.bin", b"\x00\x01\x02\x03\x80\x81\xc0\xc1\x00\x07\x1f\x7f"),
    ]);
    let answer = ask(&router, "POST", "/v1/scan", &[("content-type", &kind)], body).await;
    let labels: Vec<Value> =
        answer.json()["results"].as_array().unwrap().iter().map(|v| v["label"].clone()).collect();
    assert_eq!(labels, [json!(own.label), json!("error")]);

    let answer = ask(&router, "POST", "/v1/scan?view=html&lang=zh&name=%3Cb%3E.txt", &[], TIDES).await;
    let html = answer.json()["html"].as_str().unwrap().to_owned();
    assert!(html.contains("&lt;b&gt;.txt") && html.contains("<mark class=") && html.contains("似然比"));
}

#[tokio::test]
async fn jobs_are_fetched_later() {
    let router = service(config());
    let made = ask(&router, "POST", "/v1/jobs?name=t.txt", &[], TIDES).await;
    assert_eq!(made.status, StatusCode::ACCEPTED);
    let place = made.headers["location"].to_str().unwrap().to_owned();
    for _ in 0..600 {
        let job = ask(&router, "GET", &place, &[], "").await.json();
        if job["status"] == "done" {
            assert_eq!(job["results"][0]["path"], "t.txt");
            assert_eq!(ask(&router, "GET", "/v1/jobs/0", &[], "").await.status, StatusCode::NOT_FOUND);
            return;
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    panic!("the job never ended");
}

#[tokio::test]
async fn labels_are_written_once() {
    let router = service(config());
    let labelled = ask(&router, "POST", "/v1/label?label=1&producer=P", &[], CAT).await;
    assert_eq!(labelled.status, StatusCode::OK);
    let verdict = ask(&router, "POST", "/v1/scan", &[], labelled.body.clone()).await.json();
    assert_eq!(verdict["label"], "ai-generated");
    let status = |uri: &'static str, body: Vec<u8>| {
        let router = router.clone();
        async move { ask(&router, "POST", uri, &[], body).await.status }
    };
    assert_eq!(status("/v1/label?label=1&producer=P", labelled.body.clone()).await, StatusCode::CONFLICT);
    let marked = ask(&router, "POST", "/v1/label?label=1&producer=P&visible=zh", &[], CAT).await;
    assert!(marked.status == StatusCode::OK && marked.body != labelled.body);
    assert_eq!(
        status("/v1/label?label=1&producer=P&visible=en", b"GIF89a\x01\0\x01\0\0\0\0;".to_vec()).await,
        StatusCode::UNPROCESSABLE_ENTITY
    );
    assert_eq!(status("/v1/label?label=4&producer=P", CAT.to_vec()).await, StatusCode::BAD_REQUEST);
    assert_eq!(status("/v1/label?label=1", CAT.to_vec()).await, StatusCode::BAD_REQUEST);
    assert_eq!(
        status("/v1/label?label=1&producer=P", b"\0\x01\x02\x80".to_vec()).await,
        StatusCode::UNPROCESSABLE_ENTITY
    );
}

#[tokio::test]
async fn what_is_wrong_is_told_as_a_problem() {
    let router = service(config());
    let large = vec![b'a'; (1 << 20) + 1];
    let (kind, form) = form(&[("a.txt", &large)]);
    for (status, method, uri, headers, body) in [
        (404, "GET", "/v1/none", vec![], Vec::new()),
        (405, "DELETE", "/v1/scan", vec![], Vec::new()),
        (400, "POST", "/v1/scan?colour=blue", vec![], Vec::new()),
        (413, "POST", "/v1/scan", vec![], large.clone()),
        (413, "POST", "/v1/scan", vec![("content-type", kind.as_str())], form),
        (400, "POST", "/v1/scan", vec![("content-type", "multipart/form-data; boundary=X")], b"--X".to_vec()),
        (400, "POST", "/v1/scan", vec![("content-type", "multipart/form-data")], Vec::new()),
        (400, "POST", "/v1/reviews", vec![("content-type", "application/json")], b"{}".to_vec()),
        (400, "POST", "/v1/reviews", vec![], b"{}".to_vec()),
    ] {
        let answer = ask(&router, method, uri, &headers, body).await;
        assert_eq!(answer.status, status, "{method} {uri} {headers:?}");
        assert_eq!(answer.headers["content-type"], "application/problem+json");
        let problem = answer.json();
        assert_eq!(problem["status"], status);
        assert_eq!(problem["instance"], answer.headers["x-request-id"].to_str().unwrap());
    }
    let own = ask(&router, "GET", "/healthz", &[("x-request-id", "mine-1")], "").await;
    assert_eq!(own.headers["x-request-id"], "mine-1");
    let hostile = ask(&router, "GET", "/healthz", &[("x-request-id", "a b<")], "").await;
    assert_eq!(hostile.headers["x-request-id"].len(), 32);
}

#[tokio::test]
async fn only_this_machines_names_are_answered_to_without_keys() {
    let router = service(config());
    for (host, status) in [
        ("localhost", 200),
        ("127.0.0.1:8720", 200),
        ("[::1]:8720", 200),
        ("evil.example", 421),
        ("127.0.0.1.evil.example:8720", 421),
    ] {
        let request = Request::get("/healthz").header("host", host).body(Body::empty()).unwrap();
        assert_eq!(router.clone().oneshot(request).await.unwrap().status(), status, "{host}");
    }
}

#[tokio::test]
async fn keys_are_asked_for_and_counted() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("keys");
    let (lab, other) = (Keys::add(&path, "lab", 3).unwrap(), Keys::add(&path, "other", 0).unwrap());
    let router = service(Config { keys: Keys::read(&path).unwrap(), ..config() });
    let bearer = |secret: &str| format!("Bearer {secret}");
    let none = ask(&router, "GET", "/v1/models", &[], "").await;
    assert_eq!(
        (none.status, &none.headers["www-authenticate"]),
        (StatusCode::UNAUTHORIZED, &"Bearer".parse().unwrap())
    );
    assert_eq!(ask(&router, "GET", "/healthz", &[], "").await.status, StatusCode::OK);
    let mine = bearer(&lab.secret);
    let job = ask(&router, "POST", "/v1/jobs", &[("authorization", &mine)], TIDES).await;
    let place = job.headers["location"].to_str().unwrap().to_owned();
    // Another's job is none.
    let theirs = ask(&router, "GET", &place, &[("x-api-key", &other.secret)], "").await;
    assert_eq!(theirs.status, StatusCode::NOT_FOUND);
    assert_eq!(ask(&router, "GET", &place, &[("authorization", &mine)], "").await.status, StatusCode::OK);
    assert_eq!(ask(&router, "GET", &place, &[("authorization", &mine)], "").await.status, StatusCode::OK);
    let spent = ask(&router, "GET", &place, &[("authorization", &mine)], "").await;
    assert_eq!(spent.status, StatusCode::TOO_MANY_REQUESTS);
    assert!(spent.headers["retry-after"].to_str().unwrap().parse::<u64>().unwrap() > 0);
}

#[tokio::test]
async fn too_many_files_are_turned_away() {
    let router = service(Config { threads: 1, queue: 0, ..config() });
    let mut statuses = Vec::new();
    let mut tasks = tokio::task::JoinSet::new();
    for _ in 0..6 {
        let router = router.clone();
        tasks.spawn(async move { ask(&router, "POST", "/v1/scan?name=a.jpg", &[], CAT).await });
    }
    while let Some(answer) = tasks.join_next().await {
        let answer = answer.unwrap();
        if answer.status == StatusCode::SERVICE_UNAVAILABLE {
            assert!(answer.headers.contains_key("retry-after"));
        }
        statuses.push(answer.status.as_u16());
    }
    statuses.sort_unstable();
    assert_eq!(statuses[0], 200);
    assert_eq!(statuses[5], 503);
    let metrics = String::from_utf8(ask(&router, "GET", "/metrics", &[], "").await.body).unwrap();
    assert!(metrics.contains("candor_shed_total") && metrics.contains("candor_in_flight 0"), "{metrics}");
    // Whoever was turned away leaves no trace: the place is free again.
    assert_eq!(ask(&router, "GET", "/readyz", &[], "").await.status, StatusCode::OK);
}

#[tokio::test]
async fn the_page_and_its_parts_are_there_under_a_strict_policy() {
    let router = service(config());
    for (uri, kind) in [
        ("/", "text/html"),
        ("/app.js", "text/javascript"),
        ("/report.js", "text/javascript"),
        ("/app.css", "text/css"),
        ("/openapi.json", "application/json"),
    ] {
        let answer = ask(&router, "GET", uri, &[], "").await;
        assert_eq!(answer.status, StatusCode::OK);
        assert!(answer.headers["content-type"].to_str().unwrap().starts_with(kind));
        assert!(
            answer.headers["content-security-policy"].to_str().unwrap().starts_with("default-src 'none'")
        );
        assert!(answer.body.len() < 150_000);
    }
    let page = String::from_utf8(ask(&router, "GET", "/", &[], "").await.body).unwrap();
    assert!(!page.contains(" style=") && !page.contains(" onclick=") && !page.contains("<script>"));
}

fn refs<'a>(value: &'a Value, found: &mut Vec<&'a str>) {
    match value {
        Value::Object(map) => {
            found.extend(map.get("$ref").and_then(Value::as_str));
            map.values().for_each(|v| refs(v, found));
        }
        Value::Array(list) => list.iter().for_each(|v| refs(v, found)),
        _ => {}
    }
}

#[tokio::test]
async fn the_description_is_whole() {
    let api: Value = serde_json::from_str(&candor_service::openapi_json()).unwrap();
    assert!(api["openapi"].as_str().unwrap().starts_with("3.1"));
    // Every reference leads somewhere.
    let mut found = Vec::new();
    refs(&api, &mut found);
    assert!(found.len() > 20);
    for reference in found {
        assert!(api.pointer(reference.strip_prefix('#').unwrap()).is_some(), "{reference}");
    }
    assert!(api.pointer("/components/schemas/Verdict/properties/llr").is_some());
}
