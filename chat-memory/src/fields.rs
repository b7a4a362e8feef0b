//! Reads fields of events.

use serde_json::Value;

/// A string field. Panics if it is missing or of another type.
pub(crate) fn text(event: &Value, field: &str) -> String {
    event[field]
        .as_str()
        .unwrap_or_else(|| panic!("`{field}` must be a string: {event}"))
        .to_owned()
}

/// A whole number field. Panics if it is missing or of another type.
pub(crate) fn number(event: &Value, field: &str) -> u64 {
    event[field]
        .as_u64()
        .unwrap_or_else(|| panic!("`{field}` must be a whole number: {event}"))
}
