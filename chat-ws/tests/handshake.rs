//! The opening handshake (RFC 6455 §4.2).

use chat_ws::{Origins, Rejection, handshake};
use http::header::{CONNECTION, SEC_WEBSOCKET_PROTOCOL, UPGRADE};
use http::{HeaderMap, HeaderName, HeaderValue, Method, Response, StatusCode, Version};

const KEY: &str = "dGhlIHNhbXBsZSBub25jZQ==";

/// The headers of the request in §1.2, with those in `changes` replaced. The value `-` removes one.
fn headers(changes: &[(&'static str, &str)]) -> HeaderMap {
    let valid = [
        ("host", "server.example.com"),
        ("upgrade", "websocket"),
        ("connection", "Upgrade"),
        ("sec-websocket-key", KEY),
        ("sec-websocket-version", "13"),
    ];
    let mut headers = HeaderMap::new();
    for (name, value) in valid {
        if changes.iter().all(|(other, _)| *other != name) {
            headers.append(
                HeaderName::from_static(name),
                HeaderValue::from_static(value),
            );
        }
    }
    for (name, value) in changes.iter().filter(|(_, value)| *value != "-") {
        headers.append(
            HeaderName::from_static(name),
            HeaderValue::from_str(value).unwrap(),
        );
    }
    headers
}

fn handshake_with(changes: &[(&'static str, &str)]) -> Result<Response<()>, Rejection> {
    handshake(
        &Method::GET,
        Version::HTTP_11,
        &headers(changes),
        &Origins::SameOrigin,
    )
}

#[test]
fn the_example_of_the_rfc_is_accepted() {
    let response = handshake_with(&[]).unwrap();
    assert_eq!(response.status(), StatusCode::SWITCHING_PROTOCOLS);
    assert_eq!(
        response.headers()["sec-websocket-accept"],
        "s3pPLMBiTxaQ9kYGzzhZRbK+xOo="
    );
    assert_eq!(response.headers()[UPGRADE], "websocket");
    assert_eq!(response.headers()[CONNECTION], "Upgrade");
    assert!(!response.headers().contains_key(SEC_WEBSOCKET_PROTOCOL));
}

#[test]
fn lists_and_letter_case_are_read_as_http_defines_them() {
    for changes in [
        &[("connection", "keep-alive, Upgrade")][..],
        &[("connection", "close,uPgRaDe\t,  te")],
        &[("connection", "keep-alive"), ("connection", "UPGRADE")],
        &[("upgrade", "WebSocket")],
        &[("upgrade", "h2c,\twebsocket")],
        &[("sec-websocket-key", "  dGhlIHNhbXBsZSBub25jZQ==  ")],
        // Unused bits behind the sixteenth byte are set.
        &[("sec-websocket-key", "dGhlIHNhbXBsZSBub25jZR==")],
        &[("sec-websocket-extensions", "permessage-deflate")],
        &[("origin", "https://server.example.com")],
        &[("content-length", "0")],
    ] {
        assert!(handshake_with(changes).is_ok(), "{changes:?}");
    }
}

#[test]
fn each_fault_has_its_response() {
    for (changes, rejection, status) in [
        (&[("connection", "-")][..], Rejection::NoUpgrade, 426),
        (&[("connection", "keep-alive")], Rejection::NoUpgrade, 426),
        (&[("upgrade", "-")], Rejection::NoUpgrade, 426),
        (&[("upgrade", "websockets")], Rejection::NoUpgrade, 426),
        (
            &[("sec-websocket-version", "-")],
            Rejection::WebSocketVersion,
            426,
        ),
        (
            &[("sec-websocket-version", "8")],
            Rejection::WebSocketVersion,
            426,
        ),
        (
            &[("sec-websocket-version", "12")],
            Rejection::WebSocketVersion,
            426,
        ),
        (
            &[("sec-websocket-version", "99")],
            Rejection::WebSocketVersion,
            426,
        ),
        (
            &[("sec-websocket-version", "013")],
            Rejection::WebSocketVersion,
            426,
        ),
        (&[("upgrade", "h2c")], Rejection::NoUpgrade, 426),
        (
            &[("connection", "upgraded, close")],
            Rejection::NoUpgrade,
            426,
        ),
        (
            &[("sec-websocket-version", "13, 8")],
            Rejection::WebSocketVersion,
            426,
        ),
        (&[("host", "-")], Rejection::Host, 400),
        (&[("host", "")], Rejection::Host, 400),
        (&[("host", "a"), ("host", "a")], Rejection::Host, 400),
        (&[("sec-websocket-key", "-")], Rejection::Key, 400),
        (&[("sec-websocket-key", "")], Rejection::Key, 400),
        (
            &[("sec-websocket-key", KEY), ("sec-websocket-key", KEY)],
            Rejection::Key,
            400,
        ),
        (
            &[("sec-websocket-key", "dGhlIHNhbXBsZSBub25j")],
            Rejection::Key,
            400,
        ),
        (
            &[("sec-websocket-key", "dGhlIHNhbXBsZSBub25jZQ")],
            Rejection::Key,
            400,
        ),
        (
            &[("sec-websocket-key", "dGhlIHNhbXBsZSBub25jZSBpcw==")],
            Rejection::Key,
            400,
        ),
        (
            &[("sec-websocket-key", "dGhlIHNhbXBsZSBub25jZ!==")],
            Rejection::Key,
            400,
        ),
        // A proxy takes what follows such a head for its body, and the server would take it for
        // frames.
        (&[("content-length", "5")], Rejection::Content, 400),
        (&[("transfer-encoding", "chunked")], Rejection::Content, 400),
        (
            &[("origin", "https://evil.example")],
            Rejection::Origin,
            403,
        ),
        (&[("origin", "null")], Rejection::Origin, 403),
        (
            &[("origin", "http://server.example.com"), ("origin", "x")],
            Rejection::Origin,
            403,
        ),
    ] {
        let rejected = handshake_with(changes).unwrap_err();
        assert_eq!(rejected, rejection, "{changes:?}");
        assert_eq!(rejected.response().status().as_u16(), status, "{changes:?}");
    }
}

#[test]
fn method_and_http_version_are_checked_first() {
    let origins = Origins::SameOrigin;
    let post = handshake(&Method::POST, Version::HTTP_11, &headers(&[]), &origins).unwrap_err();
    assert_eq!(post.response().headers()["allow"], "GET");
    assert_eq!(post.status(), StatusCode::METHOD_NOT_ALLOWED);
    for version in [Version::HTTP_10, Version::HTTP_2] {
        let old = handshake(&Method::GET, version, &headers(&[]), &origins).unwrap_err();
        assert_eq!(old.status(), StatusCode::HTTP_VERSION_NOT_SUPPORTED);
    }
}

#[test]
fn a_response_that_asks_for_an_upgrade_names_the_protocol() {
    for changes in [("sec-websocket-version", "12"), ("upgrade", "-")] {
        let response = handshake_with(&[changes]).unwrap_err().response();
        assert_eq!(response.headers()["upgrade"], "websocket");
        assert_eq!(response.headers()["connection"], "upgrade");
        assert_eq!(response.headers()["sec-websocket-version"], "13");
    }
}

#[test]
fn only_our_subprotocol_is_selected() {
    for (offers, selected) in [
        (&[("sec-websocket-protocol", "chat.v1")][..], true),
        (&[("sec-websocket-protocol", "chat.v2, chat.v1")], true),
        (
            &[
                ("sec-websocket-protocol", "mqtt"),
                ("sec-websocket-protocol", "chat.v1"),
            ],
            true,
        ),
        (&[("sec-websocket-protocol", "chat.v10")], false),
        (&[("sec-websocket-protocol", "mqtt, soap")], false),
    ] {
        let response = handshake_with(offers).unwrap();
        let header = response.headers().get(SEC_WEBSOCKET_PROTOCOL);
        assert_eq!(
            header.is_some_and(|protocol| protocol == "chat.v1"),
            selected,
            "{offers:?}"
        );
        assert_eq!(header.is_some(), selected);
    }
}
