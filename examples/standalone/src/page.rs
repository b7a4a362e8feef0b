//! The files of the page, which are part of the binary.

use ::http::{HeaderValue, Response, StatusCode, header};

use crate::problem::not_found;
use crate::response::{Body, respond};

/// The file at `path`. `/` and every `/r/{room}` give the page itself.
pub(crate) fn file(path: &str) -> Response<Body> {
    let Some((media_type, text)) = find(path) else {
        return not_found();
    };
    let mut response = respond(StatusCode::OK, media_type, text);
    let headers = response.headers_mut();
    headers.insert(
        header::CONTENT_SECURITY_POLICY,
        HeaderValue::from_static(CONTENT_SECURITY_POLICY),
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
        .map(|(_, media_type, text)| (*media_type, *text))
}

macro_rules! files {
    ($($name:literal as $media_type:expr),* $(,)?) => {
        &[$(($name, $media_type, include_str!(concat!("../web", $name)))),*]
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

/// Allows scripts, styles and connections of this server alone: no inline code, no frames, nothing
/// else.
const CONTENT_SECURITY_POLICY: &str = "default-src 'none'; \
    script-src 'self'; style-src 'self'; connect-src 'self'; img-src 'self' data:; \
    form-action 'none'; base-uri 'none'; frame-ancestors 'none'";
