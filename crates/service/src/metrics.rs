//! Counters for Prometheus.

use std::sync::Arc;
use std::time::Duration;

use axum::extract::State;
use axum::http::header;
use axum::response::{IntoResponse, Response};
use candor::Label;
use prometheus_client::encoding::text::encode;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::{Histogram, exponential_buckets};
use prometheus_client::registry::Registry;

use crate::App;
use crate::problem::Problem;

type Labels = Vec<(String, String)>;

pub(crate) struct Metrics {
    registry: Registry,
    requests: Family<Labels, Counter>,
    seconds: Histogram,
    verdicts: Family<Labels, Counter>,
    scan_seconds: Histogram,
    pub(crate) shed: Counter,
    waiting: Gauge,
}

impl Metrics {
    pub(crate) fn new() -> Self {
        let mut registry = Registry::with_prefix("candor");
        let requests = Family::<Labels, Counter>::default();
        let seconds = Histogram::new(exponential_buckets(0.001, 2.0, 16));
        let verdicts = Family::<Labels, Counter>::default();
        let scan_seconds = Histogram::new(exponential_buckets(0.001, 2.0, 16));
        let (shed, waiting) = (Counter::default(), Gauge::default());
        registry.register("requests", "Requests by route and status", requests.clone());
        registry.register("request_seconds", "Time of requests", seconds.clone());
        registry.register("verdicts", "Verdicts by label", verdicts.clone());
        registry.register("scan_seconds", "Time of scans, waiting included", scan_seconds.clone());
        registry.register("shed", "Files turned away because too many waited", shed.clone());
        registry.register("in_flight", "Files that wait or are scanned", waiting.clone());
        Self { registry, requests, seconds, verdicts, scan_seconds, shed, waiting }
    }

    pub(crate) fn requested(&self, route: &str, status: u16, seconds: f64) {
        let labels = vec![("route".to_owned(), route.to_owned()), ("status".to_owned(), status.to_string())];
        self.requests.get_or_create(&labels).inc();
        self.seconds.observe(seconds);
    }

    pub(crate) fn scanned(&self, label: Label, time: Duration) {
        self.verdicts.get_or_create(&vec![("label".to_owned(), label.to_string())]).inc();
        self.scan_seconds.observe(time.as_secs_f64());
    }
}

pub(crate) async fn show(State(app): State<Arc<App>>) -> Response {
    let taken = app.taken.load(std::sync::atomic::Ordering::Relaxed);
    app.metrics.waiting.set(taken as i64);
    let mut text = String::new();
    if encode(&mut text, &app.metrics.registry).is_err() {
        return Problem::internal().into_response();
    }
    ([(header::CONTENT_TYPE, "application/openmetrics-text; version=1.0.0; charset=utf-8")], text)
        .into_response()
}
