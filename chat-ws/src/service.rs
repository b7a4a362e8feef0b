//! The WebSocket endpoint as a service of `tower` and of hyper.

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
use crate::handshake::{Origins, Rejection, handshake};
use crate::serve::serve_upgraded;

/// The address that a connection counts under, as an extension of the request.
///
/// The host inserts it, because only the host knows whether the peer's address counts or the one
/// that a trusted proxy reports. Without it the limits by address do not apply.
///
/// ```
/// # use std::net::{IpAddr, Ipv4Addr};
/// let mut request = http::Request::new(());
/// request.extensions_mut().insert(chat_ws::ClientAddr(IpAddr::V4(Ipv4Addr::LOCALHOST)));
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct ClientAddr(pub IpAddr);

/// The endpoint of a chat: a service that answers WebSocket handshakes and serves the connections.
///
/// ```
/// # let chat = chat_core::Chat::builder().build();
/// # use axum::Router;
/// let app: Router = Router::new().route_service("/ws", chat_ws::service(chat.clone()));
/// ```
///
/// It is a service of `tower` and of hyper, and takes requests with any body, at any path. The
/// server must run on tokio and must serve its connections with upgrades. Pages of other origins
/// are rejected unless [`origins`](ChatService::origins) admits them.
pub fn service(chat: Chat) -> ChatService {
    let config = Arc::new(Config::from(chat.limits()));
    ChatService {
        chat,
        origins: Arc::default(),
        config,
    }
}

/// The endpoint that [`service`] returns. Cloning it is cheap, and all clones serve the same chat.
#[derive(Clone)]
pub struct ChatService {
    chat: Chat,
    origins: Arc<Origins>,
    config: Arc<Config>,
}

impl ChatService {
    /// Sets whose pages may connect. [`Origins::SameOrigin`] by default.
    #[must_use]
    pub fn origins(mut self, origins: Origins) -> Self {
        self.origins = Arc::new(origins);
        self
    }

    /// Sets limits and times of the connections. By default they follow from the limits of the chat
    /// (`Config::from(chat.limits())`).
    #[must_use]
    pub fn config(mut self, config: Config) -> Self {
        self.config = Arc::new(config);
        self
    }

    /// Answers one request. An accepted connection is served in a task of its own, which lives as
    /// long as the connection.
    ///
    /// # Panics
    /// If it accepts a request outside of a tokio runtime. The task panics if the runtime has no
    /// time driver.
    pub fn respond<B>(&self, mut request: Request<B>) -> Response<Full<Bytes>> {
        match self.accept(&mut request) {
            Ok(response) => response.map(|()| Full::default()),
            Err(rejection) => {
                // Browsers do not show the response to a failed handshake, so it is logged.
                tracing::debug!(%rejection, "rejected a WebSocket handshake");
                rejection.response()
            }
        }
    }

    fn accept<B>(&self, request: &mut Request<B>) -> Result<Response<()>, Rejection> {
        let (method, version) = (request.method(), request.version());
        let response = handshake(method, version, request.headers(), &self.origins)?;
        // A connection that cannot be upgraded would otherwise fail only after 101 is sent.
        let extensions = request.extensions_mut();
        let upgrade = extensions
            .remove::<OnUpgrade>()
            .ok_or(Rejection::NotUpgradable)?;
        let addr = extensions.get().map(|ClientAddr(addr)| *addr);
        let ticket = self.chat.admit(addr).map_err(Rejection::NotAdmitted)?;
        tokio::spawn(serve_when_upgraded(
            upgrade,
            ticket,
            Arc::clone(&self.config),
        ));
        Ok(response)
    }
}

/// How long the 101 may take to be written. A peer that does not read it would otherwise hold its
/// slot for ever.
const UPGRADE_TIMEOUT: Duration = Duration::from_secs(10);

/// Waits for the upgrade, then serves the connection in a new task, which does not keep the memory
/// of the upgrade.
async fn serve_when_upgraded(upgrade: OnUpgrade, ticket: Ticket, config: Arc<Config>) {
    match tokio::time::timeout(UPGRADE_TIMEOUT, upgrade).await {
        Ok(Ok(upgraded)) => {
            tokio::spawn(serve_upgraded(ticket, upgraded, config));
        }
        Ok(Err(error)) => tracing::debug!(%error, "the HTTP upgrade failed"),
        Err(_) => tracing::debug!("the HTTP upgrade timed out"),
    }
}

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
