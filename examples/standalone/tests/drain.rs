//! A process that is asked to end by a signal.

mod common;

use std::collections::BTreeSet;
use std::net::Ipv4Addr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use chat_memory::Ledger;
use common::*;
use futures::future::join_all;
use rustix::process::Signal;
use serde_json::json;
use tokio::net::{TcpSocket, TcpStream};

#[tokio::test]
async fn a_drain_under_load_loses_nothing_and_spreads_the_reconnect_times() {
    const MEMBERS: usize = 200;
    const SENDERS: usize = 4;
    let mut server = Server::start(&["--no-limits", "--secret", SECRET, "--drain", "10m"]);
    let other_server = Server::start(&["--no-limits", "--secret", SECRET]);
    let ledger = Ledger::default();
    let joining = (0..MEMBERS).map(|_| Member::join(server.addr, "hall", &ledger));
    let members = within("joining", join_all(joining)).await;
    let mut flooder = Member::join(server.addr, "hall", &ledger).await;
    let sent_count = Arc::new(AtomicUsize::new(0));
    let conversations = members.into_iter().enumerate().map(|(n, mut member)| {
        let sent_count = Arc::clone(&sent_count);
        tokio::spawn(async move {
            let mut acknowledged = 0;
            if n < SENDERS {
                while let Some(seq) = member.send_text(&format!("{n}: {acknowledged}")).await {
                    acknowledged = seq;
                    sent_count.fetch_add(1, Ordering::Relaxed);
                }
            }
            while member.next().await.is_some() {}
            (member, acknowledged)
        })
    });
    let conversations: Vec<_> = conversations.collect();
    wait_until("a conversation", || {
        sent_count.load(Ordering::Relaxed) >= 300
    })
    .await;
    // Commands are under way when the signal arrives.
    let send = |n: u64| json!({"type": "send", "id": n, "room": "hall", "text": n.to_string()});
    for n in 1000..1100 {
        assert!(flooder.send_raw(send(n).to_string()).await);
    }
    server.signal(Signal::TERM);
    let mut newest = 0;
    while let Some(event) = within("the end", flooder.next()).await {
        if event["type"] == "sent" {
            newest = event["seq"].as_u64().unwrap();
        }
    }
    let results = within("the end of the connections", join_all(conversations)).await;
    assert_eq!(
        server.wait_for_exit().await.code(),
        Some(0),
        "{}",
        server.log()
    );

    let (mut members, acknowledged): (Vec<_>, Vec<u64>) =
        results.into_iter().map(Result::unwrap).unzip();
    members.push(flooder);
    let newest = acknowledged.into_iter().fold(newest, u64::max);
    let mut times = BTreeSet::new();
    for member in &members {
        assert_eq!(member.close_code, Some(1001));
        let time = member.reconnect_after_ms.expect("`closing` was received");
        assert!((500..=5600).contains(&time), "{time}");
        times.insert(time);
        let view = member.view();
        assert!(
            view.seq >= newest,
            "an acknowledged message is missing: {view:?}"
        );
        assert_eq!(view.skipped, 0);
    }
    assert!(
        times.len() > MEMBERS / 4,
        "members would reconnect all at once: {times:?}"
    );

    let back = members.iter_mut().map(|member| {
        let id = member.view().me.clone();
        async move { (member.reconnect(other_server.addr).await, id) }
    });
    for (joined, id) in within("reconnecting to the other server", join_all(back)).await {
        assert_eq!(
            (&joined["you"]["id"], &joined["recovered"]),
            (&id.into(), &false.into())
        );
    }
}

/// Returns a member that reads nothing, once the server cannot write anything more to it.
async fn non_reader(server: &Server) -> impl Sized + use<> {
    let socket = TcpSocket::new_v4().unwrap();
    // The kernel raises this to its minimum.
    socket.set_recv_buffer_size(1).unwrap();
    let stream = socket.connect(server.addr).await.unwrap();
    let client = stream.local_addr().unwrap();
    let mut socket = open(stream, server.addr).await;
    let join = r#"{"type":"join","room":"hall"}"#;
    futures::SinkExt::send(&mut socket, join.into())
        .await
        .unwrap();
    let mut sender = Member::join(server.addr, "hall", &Ledger::default()).await;
    let text = "x".repeat(4000);
    let (mut before, mut same) = (0, 0);
    within("a full window", async {
        while same < 3 {
            for _ in 0..50 {
                sender.send_text(&text).await.unwrap();
            }
            let unsent = unsent(server, client.port());
            same = if unsent > 0 && unsent == before {
                same + 1
            } else {
                0
            };
            before = unsent;
        }
    })
    .await;
    socket
}

/// The bytes that the kernel holds for a client and cannot send.
fn unsent(server: &Server, client: u16) -> usize {
    let (from, to) = (
        format!(":{:04X}", server.addr.port()),
        format!(":{client:04X}"),
    );
    let sockets = std::fs::read_to_string("/proc/net/tcp").unwrap();
    sockets
        .lines()
        .map(|line| line.split_whitespace().collect::<Vec<_>>())
        .filter(|fields| fields[1].ends_with(&from) && fields[2].ends_with(&to))
        .filter_map(|fields| usize::from_str_radix(fields[4].split(':').next()?, 16).ok())
        .sum()
}

#[tokio::test]
async fn members_who_read_nothing_do_not_delay_a_drain_past_its_deadline() {
    let flags = ["--no-limits", "--drain", "1s", "--write-timeout", "10m"];
    let mut server = Server::start(&flags);
    let _non_readers = [non_reader(&server).await, non_reader(&server).await];
    server.signal(Signal::TERM);
    assert_eq!(server.wait_for_exit().await.code(), Some(0));
    server
        .wait_for_log("the drain deadline has passed connections=2")
        .await;
}

#[tokio::test]
async fn a_draining_server_refuses_newcomers_and_a_second_signal_ends_it_at_once() {
    let flags = ["--no-limits", "--drain", "10m", "--write-timeout", "10m"];
    let mut server = Server::start(&flags);
    assert_eq!(get(server.addr, "/readyz").await.status, 200);
    let _non_readers = non_reader(&server).await;
    server.signal(Signal::TERM);
    server.wait_for_log("draining").await;
    let refused = within("a response", upgrade(Ipv4Addr::LOCALHOST, server.addr, "")).await;
    assert_eq!(refused.status, 503);
    assert_eq!(refused.header("retry-after"), Some("5"));
    assert_eq!(get(server.addr, "/readyz").await.status, 503);
    assert_eq!(get(server.addr, "/healthz").await.status, 200);
    assert!(server.is_running());
    server.signal(Signal::TERM);
    assert_eq!(server.wait_for_exit().await.code(), Some(0));
    server.wait_for_log("stopped by a second signal").await;
    assert!(TcpStream::connect(server.addr).await.is_err());
}

#[tokio::test]
async fn a_signal_right_after_the_start_is_not_lost() {
    for signal in [Signal::TERM, Signal::INT].repeat(5) {
        let mut server = Server::start(&[]);
        server.signal(signal);
        assert_eq!(server.wait_for_exit().await.code(), Some(0), "{signal:?}");
    }
}
