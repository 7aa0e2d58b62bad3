//! The JSON Schema of [`Verdict`].

use std::collections::BTreeMap;

use schemars::generate::SchemaSettings;
use serde_json::Value;

use crate::Verdict;

/// The JSON Schema (draft 2020-12) of a [`Verdict`], indented, with a final line feed.
///
/// The same text is committed as `crates/candor/schema/verdict.schema.json`.
pub fn schema_json() -> String {
    let schema =
        SchemaSettings::draft2020_12().for_serialize().into_generator().into_root_schema_for::<Verdict>();
    // A schema is a tree of strings and numbers, which always serialises.
    let mut text = serde_json::to_string_pretty(&sorted(schema.to_value())).unwrap_or_default();
    text.push('\n');
    text
}

/// The same with the keys of every object in their order: whether `serde_json` keeps the order of insertion is up to other
/// crates of the build.
fn sorted(value: Value) -> Value {
    match value {
        Value::Object(map) => {
            let map: BTreeMap<String, Value> = map.into_iter().map(|(k, v)| (k, sorted(v))).collect();
            Value::Object(map.into_iter().collect())
        }
        Value::Array(items) => Value::Array(items.into_iter().map(sorted).collect()),
        other => other,
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    #[test]
    fn the_committed_schema_is_current() {
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("schema/verdict.schema.json");
        let current = super::schema_json();
        if std::env::var_os("UPDATE_SCHEMA").is_some() {
            std::fs::write(&path, &current).unwrap();
        }
        let committed = std::fs::read_to_string(&path).unwrap_or_default();
        assert!(
            committed == current,
            "{} is stale; regenerate it with `UPDATE_SCHEMA=1 cargo test -p candor schema` or `candor schema`",
            path.display()
        );
    }
}
