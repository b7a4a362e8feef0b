//! The HTTP responses to requests that do not become WebSockets.

use std::fmt;

use bytes::Bytes;
use chat_core::AdmitError;
use http::header::{ALLOW, CONNECTION, CONTENT_TYPE, RETRY_AFTER, SEC_WEBSOCKET_VERSION, UPGRADE};
use http::{HeaderValue, Response, StatusCode};
use http_body_util::Full;

/// Why a request does not become a WebSocket, with the status of the response.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Rejection {
    /// The method is not GET: 405 with `Allow`.
    Method,
    /// The request is not HTTP/1.1, which is the only version with this kind of upgrade: 505.
    HttpVersion,
    /// An ordinary request, without an upgrade to `websocket`: 426 with `Upgrade: websocket`.
    NoUpgrade,
    /// The version of the WebSocket protocol is not 13: 426 with `Sec-WebSocket-Version: 13`.
    WebSocketVersion,
    /// There is no `Host`, an empty one, or more than one: 400.
    Host,
    /// There is no `Sec-WebSocket-Key`, more than one, or one that is not 16 bytes in Base64: 400.
    Key,
    /// The request has a body, which would be taken for frames: 400.
    Content,
    /// The page is of an origin that is not admitted, or there is more than one `Origin`: 403.
    Origin,
    /// The HTTP server, or something in front of it, does not hand over the connection: 500.
    NotUpgradable,
    /// The chat does not admit another connection: 429 if this address has too many, otherwise 503,
    /// with `Retry-After`.
    NotAdmitted(AdmitError),
}

impl Rejection {
    /// The status of the response.
    pub fn status(self) -> StatusCode {
        match self {
            Self::Method => StatusCode::METHOD_NOT_ALLOWED,
            Self::HttpVersion => StatusCode::HTTP_VERSION_NOT_SUPPORTED,
            Self::NoUpgrade | Self::WebSocketVersion => StatusCode::UPGRADE_REQUIRED,
            Self::Host | Self::Key | Self::Content => StatusCode::BAD_REQUEST,
            Self::Origin => StatusCode::FORBIDDEN,
            Self::NotUpgradable => StatusCode::INTERNAL_SERVER_ERROR,
            Self::NotAdmitted(AdmitError::Address) => StatusCode::TOO_MANY_REQUESTS,
            Self::NotAdmitted(_) => StatusCode::SERVICE_UNAVAILABLE,
        }
    }

    /// The whole response, with the reason in a sentence of plain text as its body.
    pub fn response(self) -> Response<Full<Bytes>> {
        let mut response = Response::new(Full::from(self.reason()));
        *response.status_mut() = self.status();
        let headers = response.headers_mut();
        headers.insert(
            CONTENT_TYPE,
            HeaderValue::from_static("text/plain; charset=utf-8"),
        );
        match self {
            Self::Method => {
                headers.insert(ALLOW, HeaderValue::from_static("GET"));
            }
            Self::NoUpgrade | Self::WebSocketVersion => {
                // RFC 9110 §15.5.22, RFC 6455 §4.2.2
                headers.insert(UPGRADE, HeaderValue::from_static("websocket"));
                headers.insert(CONNECTION, HeaderValue::from_static("upgrade"));
                headers.insert(SEC_WEBSOCKET_VERSION, HeaderValue::from_static("13"));
            }
            Self::NotAdmitted(reason) => {
                headers.insert(RETRY_AFTER, reason.retry_after().as_secs().into());
            }
            _ => {}
        }
        response
    }

    fn reason(self) -> &'static str {
        match self {
            Self::Method => "The method must be GET.\n",
            Self::HttpVersion => "The request must be HTTP/1.1.\n",
            Self::NoUpgrade => {
                "This is a WebSocket endpoint: send Connection: Upgrade and Upgrade: websocket.\n"
            }
            Self::WebSocketVersion => "The version of the WebSocket protocol must be 13.\n",
            Self::Host => "The request must have one Host header.\n",
            Self::Key => "The request must have one Sec-WebSocket-Key of 16 bytes in Base64.\n",
            Self::Content => "The request must not have a body.\n",
            Self::Origin => "Pages of this origin may not connect here.\n",
            Self::NotUpgradable => {
                "The server does not allow this connection to be upgraded; \
                 it must serve connections with upgrades.\n"
            }
            Self::NotAdmitted(AdmitError::Address) => {
                "Too many connections from this address; try again later.\n"
            }
            Self::NotAdmitted(_) => "No more connections are accepted now; try again later.\n",
        }
    }
}

impl fmt::Display for Rejection {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.reason().trim_end())
    }
}

impl std::error::Error for Rejection {}
