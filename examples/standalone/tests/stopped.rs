//! A process that stands still for a while.

mod common;

use std::sync::Arc;
use std::time::Duration;

use chat_memory::Ledger;
use common::*;
use futures_util::future::join_all;
use rustix::process::Signal;
use serde_json::json;
use tokio::sync::Notify;
use tokio::time::sleep;

#[tokio::test]
async fn time_that_the_server_lost_does_not_count_against_its_clients() {
    const MEMBERS: u32 = 60;
    const HEARTBEAT: Duration = Duration::from_secs(3);
    let server = Server::start(&["--heartbeat", "3s"]);
    let asked = Arc::new(Notify::new());
    let mut members = Vec::new();
    for _ in 0..MEMBERS {
        let mut member = Member::join(server.addr, "hall", &Ledger::default()).await;
        let asked = Arc::clone(&asked);
        // Reads, and so answers pings, until it is asked.
        members.push(tokio::spawn(async move {
            let mut word = std::pin::pin!(asked.notified());
            loop {
                tokio::select! {
                    event = member.next() => assert!(event.is_some(), "closed: {:?}", member.closed),
                    () = &mut word => return member.done(json!({"type": "ping"})).await,
                }
            }
        }));
        // So that each of them is somewhere else in its heartbeat.
        sleep(HEARTBEAT / MEMBERS).await;
    }
    server.signal(Signal::STOP);
    sleep(HEARTBEAT * 3 / 2 + Duration::from_millis(100)).await;
    server.signal(Signal::CONT);
    sleep(HEARTBEAT * 2).await;
    asked.notify_waiters();
    for pong in within("pongs", join_all(members)).await {
        assert_eq!(pong.unwrap()["type"], "pong");
    }
}
