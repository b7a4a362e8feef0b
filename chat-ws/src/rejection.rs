//! The HTTP answers to requests that become no WebSocket.

use std::fmt;

use bytes::Bytes;
use chat_core::Busy;
use http::header::{ALLOW, CONNECTION, CONTENT_TYPE, RETRY_AFTER, SEC_WEBSOCKET_VERSION, UPGRADE};
use http::{HeaderValue, Response, StatusCode};
use http_body_util::Full;

/// Why a request is refused before it becomes a WebSocket.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Rejection {
    /// Not a GET: 405 with `Allow`.
    Method,
    /// HTTP/1.0, which has no upgrade, or HTTP/2 and later, which upgrade in another way: 505.
    HttpVersion,
    /// An ordinary request: 426 with `Upgrade: websocket`.
    NoUpgrade,
    /// Another WebSocket version than 13: 426 with `Sec-WebSocket-Version: 13`.
    Version,
    /// No, an empty, or more than one `Host`: 400.
    Host,
    /// No or more than one `Sec-WebSocket-Key`, or one that is not 16 bytes in Base64: 400.
    Key,
    /// A request with a body, which would be taken for frames: 400.
    Content,
    /// A page of an origin that is not admitted, or more than one `Origin`: 403.
    Origin,
    /// The HTTP server, or something between, does not let the connection be taken over: 500.
    NotUpgradable,
    /// There is no place: 429 where it is the address that has too many, else 503; with
    /// `Retry-After`.
    Busy(Busy),
}

impl Rejection {
    /// The status of the answer.
    pub fn status(self) -> StatusCode {
        match self {
            Self::Method => StatusCode::METHOD_NOT_ALLOWED,
            Self::HttpVersion => StatusCode::HTTP_VERSION_NOT_SUPPORTED,
            Self::NoUpgrade | Self::Version => StatusCode::UPGRADE_REQUIRED,
            Self::Host | Self::Key | Self::Content => StatusCode::BAD_REQUEST,
            Self::Origin => StatusCode::FORBIDDEN,
            Self::NotUpgradable => StatusCode::INTERNAL_SERVER_ERROR,
            Self::Busy(Busy::Address) => StatusCode::TOO_MANY_REQUESTS,
            Self::Busy(_) => StatusCode::SERVICE_UNAVAILABLE,
        }
    }

    /// The whole answer, with a sentence of plain text for its body.
    pub fn response(self) -> Response<Full<Bytes>> {
        let mut response = Response::new(Full::from(self.sentence()));
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
            Self::NoUpgrade | Self::Version => {
                // RFC 9110 §15.5.22, RFC 6455 §4.2.2
                headers.insert(UPGRADE, HeaderValue::from_static("websocket"));
                headers.insert(CONNECTION, HeaderValue::from_static("upgrade"));
                headers.insert(SEC_WEBSOCKET_VERSION, HeaderValue::from_static("13"));
            }
            Self::Busy(busy) => {
                headers.insert(RETRY_AFTER, busy.retry_after().as_secs().into());
            }
            _ => {}
        }
        response
    }

    fn sentence(self) -> &'static str {
        match self {
            Self::Method => "A WebSocket is opened by GET.\n",
            Self::HttpVersion => "A WebSocket is opened here over HTTP/1.1.\n",
            Self::NoUpgrade => {
                "This is a WebSocket endpoint: send Connection: Upgrade and Upgrade: websocket.\n"
            }
            Self::Version => "Only version 13 of the WebSocket protocol is spoken here.\n",
            Self::Host => "The request needs one Host header.\n",
            Self::Key => "The request needs one Sec-WebSocket-Key of 16 bytes in Base64.\n",
            Self::Content => "A WebSocket is opened by a request without a body.\n",
            Self::Origin => "Pages of this origin may not connect here.\n",
            Self::NotUpgradable => {
                "The server does not allow this connection to be upgraded; \
                 it must serve connections with upgrades.\n"
            }
            Self::Busy(Busy::Address) => {
                "Too many connections from this address; try again later.\n"
            }
            Self::Busy(_) => "No more connections are taken now; try again later.\n",
        }
    }
}

impl fmt::Display for Rejection {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.sentence().trim_end())
    }
}

impl std::error::Error for Rejection {}
