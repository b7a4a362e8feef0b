//! Errors over HTTP: problem details (RFC 9457) that carry the code of the protocol.

use ::http::{HeaderValue, Response, StatusCode, header};
use chat_core::{Code, Error};
use serde::Serialize;

use crate::response::{Body, respond};

#[derive(Serialize)]
struct Problem<'a> {
    #[serde(rename = "type")]
    problem_type: &'a str,
    title: &'a str,
    status: u16,
    detail: &'a str,
    code: &'a str,
}

/// The response for an error of the engine.
pub(crate) fn problem(error: &Error) -> Response<Body> {
    let status = match error.code {
        Code::RoomExists => StatusCode::CONFLICT,
        Code::RoomNotFound => StatusCode::NOT_FOUND,
        Code::RoomExpired => StatusCode::GONE,
        Code::RateLimited => StatusCode::TOO_MANY_REQUESTS,
        Code::Forbidden | Code::Banned => StatusCode::FORBIDDEN,
        Code::Unavailable => StatusCode::SERVICE_UNAVAILABLE,
        Code::Internal => StatusCode::INTERNAL_SERVER_ERROR,
        _ => StatusCode::BAD_REQUEST,
    };
    let mut response = with_status(status, error.code.as_str(), &error.message);
    if let Some(ms) = error.retry_after_ms() {
        response
            .headers_mut()
            .insert(header::RETRY_AFTER, HeaderValue::from(ms.div_ceil(1000)));
    }
    response
}

/// The response for an error of HTTP itself.
pub(crate) fn with_status(status: StatusCode, code: &str, detail: &str) -> Response<Body> {
    let title = status.canonical_reason().unwrap_or_default();
    let problem = Problem {
        problem_type: "about:blank",
        title,
        status: status.as_u16(),
        detail,
        code,
    };
    let json = serde_json::to_vec(&problem).expect("strings and a number can be serialised");
    respond(status, "application/problem+json", json)
}

pub(crate) fn not_found() -> Response<Body> {
    with_status(
        StatusCode::NOT_FOUND,
        "not_found",
        "Nothing was found at this path",
    )
}
