//! The routes: which request gets which response.

use std::convert::Infallible;
use std::net::IpAddr;
use std::sync::Arc;

use ::http::{HeaderValue, Method, Request, Response, StatusCode, header};
use chat_ws::ClientAddr;
use hyper::body::Incoming;
use hyper::service::Service;

use crate::app::App;
use crate::problem::{not_found, with_status};
use crate::response::{Body, respond};
use crate::{api, page};

/// Answers one request. `peer` is the address at the other end of the socket.
pub(crate) async fn handle(
    app: Arc<App>,
    peer: IpAddr,
    mut request: Request<Incoming>,
) -> Result<Response<Body>, Infallible> {
    let client = app.proxies.client(peer, request.headers());
    let path = request.uri().path().to_owned();
    if path == "/ws" {
        request.extensions_mut().insert(ClientAddr(client));
        return app.ws.call(request).await;
    }
    let is_head = request.method() == Method::HEAD;
    let method = if is_head {
        Method::GET
    } else {
        request.method().clone()
    };
    let mut response = match (&method, path.as_str()) {
        (&Method::POST, "/api/rooms") => api::create(&app.chat, client, request).await,
        (&Method::GET, "/api/rooms") => {
            api::list(&app.chat, request.uri().query().unwrap_or_default()).await
        }
        (&Method::GET, "/healthz") => respond(StatusCode::OK, TEXT, "ok\n"),
        (&Method::GET, "/readyz") if app.chat.is_draining() => {
            respond(StatusCode::SERVICE_UNAVAILABLE, TEXT, "draining\n")
        }
        (&Method::GET, "/readyz") => respond(StatusCode::OK, TEXT, "ready\n"),
        (&Method::GET, path) => match path.strip_prefix("/api/rooms/") {
            Some(id) => api::info(&app.chat, id).await,
            None => page::file(path),
        },
        (_, path) => not_allowed(path),
    };
    let headers = response.headers_mut();
    headers.insert(
        header::X_CONTENT_TYPE_OPTIONS,
        HeaderValue::from_static("nosniff"),
    );
    headers.insert(
        header::REFERRER_POLICY,
        HeaderValue::from_static("no-referrer"),
    );
    headers
        .entry(header::CACHE_CONTROL)
        .or_insert(HeaderValue::from_static("no-store"));
    if is_head {
        *response.body_mut() = Body::default();
    }
    Ok(response)
}

fn not_allowed(path: &str) -> Response<Body> {
    let known = page::exists(path)
        || path.starts_with("/api/rooms")
        || path == "/healthz"
        || path == "/readyz";
    if !known {
        return not_found();
    }
    let allow = if path == "/api/rooms" {
        "GET, HEAD, POST"
    } else {
        "GET, HEAD"
    };
    let mut response = with_status(
        StatusCode::METHOD_NOT_ALLOWED,
        "method_not_allowed",
        "This path does not allow the method of the request",
    );
    response
        .headers_mut()
        .insert(header::ALLOW, HeaderValue::from_static(allow));
    response
}

const TEXT: &str = "text/plain; charset=utf-8";
