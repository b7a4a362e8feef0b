//! A process that is suspended for a while.

mod common;

use std::sync::Arc;
use std::time::Duration;

use chat_memory::Ledger;
use common::*;
use futures::future::join_all;
use rustix::process::Signal;
use serde_json::json;
use tokio::sync::Notify;
use tokio::time::sleep;

#[tokio::test]
async fn time_while_the_server_is_suspended_does_not_count_against_clients() {
    const MEMBERS: u32 = 60;
    const HEARTBEAT: Duration = Duration::from_secs(3);
    let server = Server::start(&["--heartbeat", "3s"]);
    let requested = Arc::new(Notify::new());
    let mut members = Vec::new();
    for _ in 0..MEMBERS {
        let mut member = Member::join(server.addr, "hall", &Ledger::default()).await;
        let requested = Arc::clone(&requested);
        // Reads, and so answers the pings of the server, until a `ping` is requested.
        members.push(tokio::spawn(async move {
            let mut request = std::pin::pin!(requested.notified());
            loop {
                tokio::select! {
                    event = member.next() => {
                        assert!(event.is_some(), "closed with {:?}", member.close_code);
                    }
                    () = &mut request => return member.request_ok(json!({"type": "ping"})).await,
                }
            }
        }));
        // So that each member is at another point of its heartbeat.
        sleep(HEARTBEAT / MEMBERS).await;
    }
    server.signal(Signal::STOP);
    sleep(HEARTBEAT * 3 / 2 + Duration::from_millis(100)).await;
    server.signal(Signal::CONT);
    sleep(HEARTBEAT * 2).await;
    requested.notify_waiters();
    for pong in within("pongs", join_all(members)).await {
        assert_eq!(pong.unwrap()["type"], "pong");
    }
}
