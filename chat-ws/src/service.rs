//! The endpoint, for any server that speaks `http` and `tower`.

use std::convert::Infallible;
use std::fmt;
use std::future::{Ready, ready};
use std::net::IpAddr;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use chat_core::{Chat, Ticket};
use http::{Request, Response};
use http_body_util::Full;
use hyper::upgrade::OnUpgrade;

use crate::config::Config;
use crate::handshake::handshake;
use crate::origin::Origins;
use crate::rejection::Rejection;
use crate::serve::serve_upgraded;

/// The address that a connection is counted under: a request extension, to be inserted by the host.
///
/// It alone knows whether that is the peer's address or what a trusted proxy says. Without it the
/// limits by address do not apply.
///
/// ```
/// # use std::net::{IpAddr, Ipv4Addr};
/// let mut request = http::Request::new(());
/// request.extensions_mut().insert(chat_ws::ClientAddr(IpAddr::V4(Ipv4Addr::LOCALHOST)));
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct ClientAddr(pub IpAddr);

/// The endpoint of a chat: answers a WebSocket handshake and serves the connection.
///
/// ```
/// # let chat = chat_core::Chat::builder().build();
/// let app: axum::Router = axum::Router::new().route_service("/ws", chat_ws::service(chat.clone()));
/// ```
///
/// It takes requests with any body, at any path, and is also a service of hyper. The server must
/// serve its connections with upgrades, on tokio. Pages of other origins are refused
/// ([`origins`](ChatService::origins)).
pub fn service(chat: Chat) -> ChatService {
    let config = Arc::new(Config::from(chat.limits()));
    ChatService {
        chat,
        origins: Arc::default(),
        config,
    }
}

/// What [`service`] makes. Cloning it is cheap, and all clones serve the same chat.
#[derive(Clone)]
pub struct ChatService {
    chat: Chat,
    origins: Arc<Origins>,
    config: Arc<Config>,
}

impl ChatService {
    /// Whose pages may connect; [`Origins::SameOrigin`] where nothing is said.
    #[must_use]
    pub fn origins(mut self, origins: Origins) -> Self {
        self.origins = Arc::new(origins);
        self
    }

    /// Sizes and times; by default those of the chat's own limits.
    #[must_use]
    pub fn config(mut self, config: Config) -> Self {
        self.config = Arc::new(config);
        self
    }

    /// Answers one request. What it accepts it serves in a task of its own, which lives as long as
    /// the connection.
    ///
    /// # Panics
    /// If it accepts outside of a tokio runtime with its time driver.
    pub fn respond<B>(&self, mut request: Request<B>) -> Response<Full<Bytes>> {
        match self.accept(&mut request) {
            Ok(response) => response.map(|()| Full::default()),
            Err(rejection) => {
                // Browsers do not show the answer to a failed handshake.
                tracing::debug!(%rejection, "WebSocket handshake refused");
                rejection.response()
            }
        }
    }

    fn accept<B>(&self, request: &mut Request<B>) -> Result<Response<()>, Rejection> {
        let (method, version) = (request.method(), request.version());
        let response = handshake(method, version, request.headers(), &self.origins)?;
        // The upgrade would only fail once 101 is sent.
        let extensions = request.extensions_mut();
        let upgrade = extensions
            .remove::<OnUpgrade>()
            .ok_or(Rejection::NotUpgradable)?;
        let addr = extensions.get().map(|ClientAddr(addr)| *addr);
        let ticket = self.chat.admit(addr).map_err(Rejection::Busy)?;
        tokio::spawn(upgraded(upgrade, ticket, Arc::clone(&self.config)));
        Ok(response)
    }
}

/// Waits for the upgrade, then leaves the connection to a task that has no memory of it.
async fn upgraded(upgrade: OnUpgrade, ticket: Ticket, config: Arc<Config>) {
    match tokio::time::timeout(UPGRADE_TIMEOUT, upgrade).await {
        Ok(Ok(upgraded)) => {
            tokio::spawn(serve_upgraded(ticket, upgraded, config));
        }
        Ok(Err(error)) => tracing::debug!(%error, "upgrade failed"),
        Err(_) => tracing::debug!("upgrade timed out"),
    }
}

/// Time for the 101 to be written; a peer that does not take it holds a place.
const UPGRADE_TIMEOUT: Duration = Duration::from_secs(10);

impl<B> tower_service::Service<Request<B>> for ChatService {
    type Response = Response<Full<Bytes>>;
    type Error = Infallible;
    type Future = Ready<Result<Self::Response, Infallible>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request<B>) -> Self::Future {
        ready(Ok(self.respond(request)))
    }
}

impl<B> hyper::service::Service<Request<B>> for ChatService {
    type Response = Response<Full<Bytes>>;
    type Error = Infallible;
    type Future = Ready<Result<Self::Response, Infallible>>;

    fn call(&self, request: Request<B>) -> Self::Future {
        ready(Ok(self.respond(request)))
    }
}

impl fmt::Debug for ChatService {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ChatService")
            .field("origins", &self.origins)
            .field("config", &self.config)
            .finish_non_exhaustive()
    }
}
