//! Listening, serving and draining.

use std::net::SocketAddr;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use chat_core::Chat;
use chat_ws::Origins;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use socket2::{Domain, Socket, Type};
use tokio::net::{TcpListener, TcpStream};
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::sync::Semaphore;
use tokio::time::timeout;

use crate::app::App;
use crate::cli::Cli;
use crate::proxies::Proxies;
use crate::{api, router};

/// Serves until the process is asked to end, then drains.
///
/// # Errors
///
/// Why the server could not start.
pub(crate) async fn run(cli: Cli, secrets: Vec<String>) -> Result<(), String> {
    let mut chat = Chat::builder()
        .limits(cli.limits())
        .open_rooms(!cli.closed_rooms);
    for secret in secrets {
        chat = chat.secret(secret);
    }
    let chat = chat.build();
    let origins = match &cli.origins[..] {
        [] => Origins::SameOrigin,
        any if any.iter().any(|origin| origin == "*") => Origins::Any,
        list => Origins::List(list.to_vec()),
    };
    let app = Arc::new(App {
        ws: chat_ws::service(chat.clone()).origins(origins),
        chat: chat.clone(),
        proxies: Proxies(cli.trusted_proxies.clone()),
    });

    let mut stop =
        StopSignals::catch().map_err(|error| format!("cannot handle signals: {error}"))?;
    let listener =
        listen(cli.listen).map_err(|error| format!("cannot listen on {}: {error}", cli.listen))?;
    let addr = listener.local_addr().map_err(|error| error.to_string())?;
    println!("listening on http://{addr}");
    let accepting = tokio::spawn(accept(
        listener,
        app,
        cli.header_timeout(),
        cli.http_connections(),
    ));

    stop.next().await;
    tracing::info!(connections = chat.stats().connections, "draining");
    // Handshakes during the drain are refused with 503.
    let drained = timeout(cli.drain, chat.drain());
    tokio::select! {
        drained = drained => match drained {
            Ok(()) => tracing::info!("drained"),
            Err(_) => tracing::warn!(
                connections = chat.stats().connections,
                "the drain deadline has passed"
            ),
        },
        () = stop.next() => tracing::warn!("stopped by a second signal"),
    }
    accepting.abort();
    Ok(())
}

fn listen(addr: SocketAddr) -> std::io::Result<TcpListener> {
    let socket = Socket::new(Domain::for_address(addr), Type::STREAM, None)?;
    socket.set_reuse_address(true)?;
    socket.set_nonblocking(true)?;
    socket.bind(&addr.into())?;
    // When thousands reconnect at once, they wait in the kernel instead of being refused.
    socket.listen(4096)?;
    TcpListener::from_std(socket.into())
}

async fn accept(
    listener: TcpListener,
    app: Arc<App>,
    header_timeout: Duration,
    max_sockets: usize,
) {
    let permits = Arc::new(Semaphore::new(max_sockets));
    loop {
        let (socket, peer) = match listener.accept().await {
            Ok(accepted) => accepted,
            Err(error) => {
                // Mostly because there are no descriptors left. Waiting costs little, while
                // retrying at once would use up the core.
                tracing::warn!(%error, "cannot accept a connection");
                tokio::time::sleep(Duration::from_millis(100)).await;
                continue;
            }
        };
        let Ok(permit) = Arc::clone(&permits).try_acquire_owned() else {
            continue;
        };
        let app = Arc::clone(&app);
        tokio::spawn(async move {
            serve(socket, peer, app, header_timeout).await;
            drop(permit);
        });
    }
}

async fn serve(socket: TcpStream, peer: SocketAddr, app: Arc<App>, header_timeout: Duration) {
    let _ = socket.set_nodelay(true);
    let last_request = header_timeout + api::BODY_TIMEOUT + app.chat.limits().write_timeout;
    let service = service_fn(move |request| router::handle(Arc::clone(&app), peer.ip(), request));
    let connection = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(header_timeout)
        .max_headers(64)
        .max_buf_size(16 * 1024)
        .serve_connection(TokioIo::new(socket), service)
        .with_upgrades();
    let mut connection = pin!(connection);
    let mut served = timeout(header_timeout, connection.as_mut()).await;
    if served.is_err() {
        // No client may hold a permit for ever, neither by sending one request after the other nor
        // by not reading the responses.
        connection.as_mut().graceful_shutdown();
        served = timeout(last_request, connection).await;
    }
    match served {
        Ok(Ok(())) => {}
        Ok(Err(error)) => tracing::debug!(%error, "an HTTP connection broke"),
        Err(_) => tracing::debug!("an HTTP connection took too long"),
    }
}

/// The signals that ask the process to end.
struct StopSignals {
    interrupt: Signal,
    terminate: Signal,
}

impl StopSignals {
    /// Catches the signals: from here on none of them ends the process by itself, and none is lost
    /// between two calls of `next`.
    fn catch() -> std::io::Result<Self> {
        Ok(Self {
            interrupt: signal(SignalKind::interrupt())?,
            terminate: signal(SignalKind::terminate())?,
        })
    }

    /// Waits for the next signal. Cancel safe.
    async fn next(&mut self) {
        tokio::select! {
            _ = self.interrupt.recv() => {}
            _ = self.terminate.recv() => {}
        }
    }
}
