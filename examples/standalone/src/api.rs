//! The HTTP API of the lobby.

use std::net::IpAddr;
use std::time::Duration;

use ::http::{HeaderMap, Request, Response, StatusCode, header};
use chat_core::{Chat, Code, Create, Error};
use http_body_util::{BodyExt, Limited};
use hyper::body::Incoming;
use serde::Serialize;

use crate::problem::{problem, with_status};
use crate::response::{Body, respond};

/// `POST /api/rooms`: creates a room.
pub(crate) async fn create(
    chat: &Chat,
    client: IpAddr,
    request: Request<Incoming>,
) -> Response<Body> {
    if is_cross_site(request.headers()) {
        let detail = "A page of another site must not create rooms here";
        return with_status(StatusCode::FORBIDDEN, "forbidden", detail);
    }
    let body = Limited::new(request.into_body(), MAX_BODY).collect();
    let body = match tokio::time::timeout(BODY_TIMEOUT, body).await {
        Ok(Ok(body)) => body.to_bytes(),
        Ok(Err(_)) => {
            let detail = "The request body must be at most 64 KiB";
            return with_status(StatusCode::PAYLOAD_TOO_LARGE, "too_large", detail);
        }
        Err(_) => {
            return with_status(
                StatusCode::REQUEST_TIMEOUT,
                "bad_json",
                "The request body did not arrive in time",
            );
        }
    };
    let create = match Create::from_json(&body) {
        Ok(create) => create,
        Err(error) => return problem(&error),
    };
    match chat.create(create, Some(client)).await {
        Ok(info) => {
            let mut response = json(StatusCode::CREATED, &info);
            if let Ok(location) = format!("/api/rooms/{}", info.id).parse() {
                response.headers_mut().insert(header::LOCATION, location);
            }
            response
        }
        Err(error) => problem(&error),
    }
}

/// `GET /api/rooms`: the listed rooms.
pub(crate) async fn list(chat: &Chat, query: &str) -> Response<Body> {
    let page = match read_query(query) {
        Ok((cursor, limit)) => chat.rooms(cursor.as_deref(), limit).await,
        Err(error) => Err(error),
    };
    match page {
        Ok(page) => json(StatusCode::OK, &page),
        Err(error) => problem(&error),
    }
}

/// `GET /api/rooms/{id}`: one room, for anybody who knows its id.
pub(crate) async fn info(chat: &Chat, id: &str) -> Response<Body> {
    let info = match chat.room(id) {
        Ok(room) => room.info().await,
        Err(error) => Err(error),
    };
    match info {
        Ok(info) => json(StatusCode::OK, &info),
        Err(error) => problem(&error),
    }
}

fn read_query(query: &str) -> Result<(Option<String>, usize), Error> {
    let (mut cursor, mut limit) = (None, 50);
    for pair in query.split('&') {
        match pair.split_once('=') {
            Some(("cursor", value)) => cursor = Some(value.to_owned()),
            Some(("limit", value)) => {
                let number = value.parse::<u64>().ok().filter(|limit| *limit > 0);
                let wrong = || {
                    Error::new(
                        Code::BadCommand,
                        "`limit` must be a whole number of at least 1",
                    )
                };
                limit = usize::try_from(number.ok_or_else(wrong)?).unwrap_or(usize::MAX);
            }
            _ => {}
        }
    }
    Ok((cursor, limit))
}

fn json(status: StatusCode, value: &impl Serialize) -> Response<Body> {
    respond(
        status,
        "application/json",
        serde_json::to_vec(value).expect("wire types can be serialised"),
    )
}

/// Whether a browser sent this request on behalf of a page of another site. Only browsers send
/// `Origin`.
fn is_cross_site(headers: &HeaderMap) -> bool {
    let Some(origin) = headers.get(header::ORIGIN) else {
        return false;
    };
    let origin = origin.to_str().unwrap_or_default();
    let authority = origin
        .split_once("://")
        .map_or("", |(_, authority)| authority);
    let host = headers
        .get(header::HOST)
        .and_then(|host| host.to_str().ok())
        .unwrap_or_default();
    !authority.eq_ignore_ascii_case(host)
}

const MAX_BODY: usize = 64 * 1024;
pub(crate) const BODY_TIMEOUT: Duration = Duration::from_secs(10);
