//! The page, from within the binary.

use ::http::{HeaderValue, Response, StatusCode, header};

use crate::http::{Body, respond};
use crate::problem::with_status;

/// The file at `path`; `/` and every `/r/{room}` are the page itself.
pub(crate) fn file(path: &str) -> Response<Body> {
    let Some((kind, text)) = find(path) else {
        return with_status(StatusCode::NOT_FOUND, "not_found", "There is nothing here");
    };
    let mut response = respond(StatusCode::OK, kind, text);
    let headers = response.headers_mut();
    headers.insert(
        header::CONTENT_SECURITY_POLICY,
        HeaderValue::from_static(POLICY),
    );
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-cache"));
    headers.insert(
        "cross-origin-opener-policy",
        HeaderValue::from_static("same-origin"),
    );
    response
}

pub(crate) fn exists(path: &str) -> bool {
    find(path).is_some()
}

fn find(path: &str) -> Option<(&'static str, &'static str)> {
    let is_room = path
        .strip_prefix("/r/")
        .is_some_and(|room| !room.contains('/'));
    let name = if path == "/" || is_room {
        "/index.html"
    } else {
        path.strip_prefix("/assets")?
    };
    FILES
        .iter()
        .find(|(file, ..)| *file == name)
        .map(|(_, kind, text)| (*kind, *text))
}

macro_rules! files {
    ($($name:literal as $kind:expr),* $(,)?) => {
        &[$(($name, $kind, include_str!(concat!("../web", $name)))),*]
    };
}

const FILES: &[(&str, &str, &str)] = files! {
    "/index.html" as "text/html; charset=utf-8",
    "/style.css" as "text/css; charset=utf-8",
    "/app.js" as SCRIPT,
    "/chat-client.js" as SCRIPT,
    "/dom.js" as SCRIPT,
    "/i18n.js" as SCRIPT,
    "/log.js" as SCRIPT,
    "/room.js" as SCRIPT,
};
const SCRIPT: &str = "text/javascript; charset=utf-8";

/// Scripts, styles and connections of this server alone; no inline code, no frames, nothing else.
const POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; \
    img-src 'self' data:; form-action 'none'; base-uri 'none'; frame-ancestors 'none'";
