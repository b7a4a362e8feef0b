//! The server's side of the opening handshake (RFC 6455 §4.2).

use base64::Engine;
use base64::alphabet::STANDARD;
use base64::engine::{GeneralPurpose, GeneralPurposeConfig};
use http::header::{
    CONNECTION, CONTENT_LENGTH, HOST, HeaderName, ORIGIN, SEC_WEBSOCKET_ACCEPT, SEC_WEBSOCKET_KEY,
    SEC_WEBSOCKET_PROTOCOL, SEC_WEBSOCKET_VERSION, TRANSFER_ENCODING, UPGRADE,
};
use http::{HeaderMap, HeaderValue, Method, Response, StatusCode, Version};
use tokio_tungstenite::tungstenite::handshake::derive_accept_key;

use super::origins::Origins;
use super::rejection::Rejection;

/// The WebSocket subprotocol of `chat-core`.
pub const SUBPROTOCOL: &str = "chat.v1";

/// Checks a request to open a WebSocket.
///
/// The response has status 101, and must be sent as it is before the connection is taken over. A
/// client that offers the subprotocol [`SUBPROTOCOL`], alone or among others, is given it; a client
/// that offers none, or only others, is given none (§4.2.2). No extensions are negotiated.
///
/// # Errors
/// The first [`Rejection`] that applies, in the order method, HTTP version, upgrade, WebSocket
/// version, host, key, content, origin. [`Rejection::response`] is what to send.
pub fn handshake(
    method: &Method,
    version: Version,
    headers: &HeaderMap,
    origins: &Origins,
) -> Result<Response<()>, Rejection> {
    if method != Method::GET {
        return Err(Rejection::Method);
    }
    if version != Version::HTTP_11 {
        return Err(Rejection::HttpVersion);
    }
    let upgrade = |token: &str| token.eq_ignore_ascii_case("upgrade");
    let websocket = |token: &str| token.eq_ignore_ascii_case("websocket");
    if !tokens(headers, &CONNECTION).any(upgrade) || !tokens(headers, &UPGRADE).any(websocket) {
        return Err(Rejection::NoUpgrade);
    }
    if single_value(headers, &SEC_WEBSOCKET_VERSION) != Some("13") {
        return Err(Rejection::WebSocketVersion);
    }
    let host = single_value(headers, &HOST)
        .filter(|host| !host.is_empty())
        .ok_or(Rejection::Host)?;
    let key = single_value(headers, &SEC_WEBSOCKET_KEY)
        .filter(|key| is_key(key))
        .ok_or(Rejection::Key)?;
    let mut lengths = headers.get_all(CONTENT_LENGTH).iter();
    if headers.contains_key(TRANSFER_ENCODING) || lengths.any(|length| length != "0") {
        return Err(Rejection::Content);
    }
    if headers.contains_key(ORIGIN) {
        let origin = single_value(headers, &ORIGIN).ok_or(Rejection::Origin)?;
        if !origins.admit(origin, host) {
            return Err(Rejection::Origin);
        }
    }

    let mut response = Response::new(());
    *response.status_mut() = StatusCode::SWITCHING_PROTOCOLS;
    let accept = derive_accept_key(key.as_bytes());
    let accept = HeaderValue::try_from(accept).expect("Base64 is valid in a header");
    let response_headers = response.headers_mut();
    response_headers.insert(CONNECTION, HeaderValue::from_static("Upgrade"));
    response_headers.insert(UPGRADE, HeaderValue::from_static("websocket"));
    response_headers.insert(SEC_WEBSOCKET_ACCEPT, accept);
    if tokens(headers, &SEC_WEBSOCKET_PROTOCOL).any(|token| token == SUBPROTOCOL) {
        response_headers.insert(
            SEC_WEBSOCKET_PROTOCOL,
            HeaderValue::from_static(SUBPROTOCOL),
        );
    }
    Ok(response)
}

/// The elements of the comma-separated lists in all headers of that name (RFC 9110 §5.6.1).
fn tokens<'a>(headers: &'a HeaderMap, name: &HeaderName) -> impl Iterator<Item = &'a str> {
    let values = headers
        .get_all(name)
        .iter()
        .filter_map(|value| value.to_str().ok());
    values
        .flat_map(|value| value.split(','))
        .map(|token| token.trim_matches([' ', '\t']))
}

/// The value of a header that must occur exactly once.
fn single_value<'a>(headers: &'a HeaderMap, name: &HeaderName) -> Option<&'a str> {
    let mut values = headers.get_all(name).iter();
    let value = values.next()?.to_str().ok()?;
    values
        .next()
        .is_none()
        .then(|| value.trim_matches([' ', '\t']))
}

/// Whether this is the Base64 form of 16 bytes (§4.1).
fn is_key(key: &str) -> bool {
    // An honest client is not rejected for the unused bits behind its last byte.
    const CONFIG: GeneralPurposeConfig =
        GeneralPurposeConfig::new().with_decode_allow_trailing_bits(true);
    const BASE64: GeneralPurpose = GeneralPurpose::new(&STANDARD, CONFIG);
    let mut nonce = [0; 18];
    key.len() == 24 && BASE64.decode_slice(key, &mut nonce) == Ok(16)
}
