//! The page at `/`.

use axum::http::header;
use axum::response::{IntoResponse, Response};

/// Everything comes from here; pictures and sound are data in the page.
pub(crate) const POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data: blob:; media-src \
     data: blob:; connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'";

fn file(kind: &'static str, text: String) -> Response {
    ([(header::CONTENT_TYPE, kind), (header::CACHE_CONTROL, "no-cache")], text).into_response()
}

pub(crate) async fn index() -> Response {
    file("text/html; charset=utf-8", include_str!("../page/index.html").to_owned())
}

pub(crate) async fn script() -> Response {
    file("text/javascript; charset=utf-8", include_str!("../page/app.js").to_owned())
}

pub(crate) async fn report_script() -> Response {
    file("text/javascript; charset=utf-8", candor_report::SCRIPT.to_owned())
}

pub(crate) async fn style() -> Response {
    file("text/css; charset=utf-8", format!("{}\n{}", candor_report::STYLE, include_str!("../page/app.css")))
}
