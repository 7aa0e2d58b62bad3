//! The description of the API, made from the code.

use axum::http::header;
use axum::response::{IntoResponse, Response};
use serde::Serialize;
use serde_json::{Value, json};
use utoipa::{OpenApi, ToSchema};

/// Stands for [`candor::Verdict`], whose schema is put in its place.
#[derive(Serialize, ToSchema)]
#[allow(dead_code, reason = "only its name is used")]
pub(crate) struct Verdict {}

/// Stands for [`candor::Label`], whose schema is put in its place.
#[derive(ToSchema)]
#[allow(dead_code, reason = "only its name is used")]
pub(crate) struct Label {}

/// What a scan answers with: the verdict of a file, with its view, or those of a form.
#[derive(Serialize, ToSchema)]
#[serde(untagged)]
#[allow(dead_code, reason = "only its schema is used")]
pub(crate) enum Judged {
    /// Of a file.
    One(Verdict),
    /// Of a file, with the view that was asked for.
    Viewed {
        /// The verdict.
        verdict: Verdict,
        /// The item of the page.
        html: String,
    },
    /// Of a form, in its order.
    All {
        /// The verdicts.
        results: Vec<Verdict>,
    },
}

/// A form with files.
#[derive(ToSchema)]
#[allow(dead_code, reason = "only its schema is used")]
pub(crate) struct Form {
    /// The files; any name of the field will do.
    #[schema(value_type = Vec<String>, format = Binary, min_items = 1, max_items = 64)]
    file: Vec<Vec<u8>>,
}

#[derive(OpenApi)]
#[openapi(
    info(
        title = "Candor",
        description = "Detects AI-generated images, audio and text, and says how sure it is and why."
    ),
    components(schemas(crate::api::View, crate::api::Lang)),
    paths(
        crate::api::scan,
        crate::api::label,
        crate::api::models,
        crate::api::health,
        crate::api::ready,
        crate::jobs::create,
        crate::jobs::show,
        crate::reviews::add,
        crate::reviews::list,
        crate::reviews::export
    )
)]
struct Api;

/// The OpenAPI 3.1 description as JSON, with the schema of a verdict in its place.
pub fn openapi_json() -> String {
    let mut api = serde_json::to_value(Api::openapi()).unwrap_or_default();
    let text = candor::schema_json().replace("#/$defs/", "#/components/schemas/");
    let mut verdict: Value = serde_json::from_str(&text).unwrap_or_default();
    let parts = verdict.as_object_mut().and_then(|v| v.remove("$defs"));
    if let Some(verdict) = verdict.as_object_mut() {
        verdict.remove("$schema");
    }
    if let Some(schemas) = api.pointer_mut("/components/schemas").and_then(Value::as_object_mut) {
        if let Some(Value::Object(parts)) = parts {
            schemas.extend(parts);
        }
        schemas.insert("Verdict".to_owned(), verdict);
    }
    if let Some(components) = api.pointer_mut("/components").and_then(Value::as_object_mut) {
        components
            .insert("securitySchemes".to_owned(), json!({ "key": { "type": "http", "scheme": "bearer" } }));
    }
    if let Some(api) = api.as_object_mut() {
        // Without keys nothing is asked for.
        api.insert("security".to_owned(), json!([{}, { "key": [] }]));
    }
    format!("{api:#}\n")
}

pub(crate) async fn show() -> Response {
    ([(header::CONTENT_TYPE, "application/json")], openapi_json()).into_response()
}
