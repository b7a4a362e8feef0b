//! A process that is asked to end.

mod common;

use std::collections::BTreeSet;
use std::net::Ipv4Addr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use chat_memory::Ledger;
use common::*;
use futures_util::future::join_all;
use rustix::process::Signal;
use serde_json::json;
use tokio::net::{TcpSocket, TcpStream};

#[tokio::test]
async fn a_drain_under_load_loses_nothing_and_tells_everybody_another_time() {
    const MEMBERS: usize = 200;
    const SPEAKERS: usize = 4;
    let mut server = Server::start(&["--no-limits", "--secret", SECRET, "--drain", "10m"]);
    let elsewhere = Server::start(&["--no-limits", "--secret", SECRET]);
    let ledger = Ledger::default();
    let joining = (0..MEMBERS).map(|_| Member::join(server.addr, "hall", &ledger));
    let members = within("joining", join_all(joining)).await;
    let mut herald = Member::join(server.addr, "hall", &ledger).await;
    let said = Arc::new(AtomicUsize::new(0));
    let talks = members.into_iter().enumerate().map(|(n, mut member)| {
        let said = Arc::clone(&said);
        tokio::spawn(async move {
            let mut acknowledged = 0;
            if n < SPEAKERS {
                while let Some(seq) = member.say(&format!("{n}: {acknowledged}")).await {
                    acknowledged = seq;
                    said.fetch_add(1, Ordering::Relaxed);
                }
            }
            while member.next().await.is_some() {}
            (member, acknowledged)
        })
    });
    let talks: Vec<_> = talks.collect();
    until("the talk", || said.load(Ordering::Relaxed) >= 300).await;
    // In the middle of something.
    let send = |n: u64| json!({"type": "send", "id": n, "room": "hall", "text": n.to_string()});
    for n in 1000..1100 {
        assert!(herald.send(send(n).to_string()).await);
    }
    server.signal(Signal::TERM);
    let mut newest = 0;
    while let Some(event) = within("the end", herald.next()).await {
        if event["type"] == "sent" {
            newest = event["seq"].as_u64().unwrap();
        }
    }
    let talks = within("the end of the connections", join_all(talks)).await;
    assert_eq!(server.ended().await.code(), Some(0), "{}", server.log());

    let (mut members, acknowledged): (Vec<_>, Vec<u64>) =
        talks.into_iter().map(Result::unwrap).unzip();
    members.push(herald);
    let newest = acknowledged.into_iter().fold(newest, u64::max);
    let mut times = BTreeSet::new();
    for member in &members {
        assert_eq!(member.closed, Some(1001));
        let time = member.reconnect_after_ms.expect("a `closing`");
        assert!((500..=5600).contains(&time), "{time}");
        times.insert(time);
        let view = member.view();
        assert!(
            view.seq >= newest,
            "an acknowledged message is missing: {view:?}"
        );
        assert_eq!(view.skipped, 0);
    }
    assert!(times.len() > MEMBERS / 4, "a herd comes back: {times:?}");

    let back = members.iter_mut().map(|member| {
        let id = member.view().me.clone();
        async move { (member.come_back(elsewhere.addr).await, id) }
    });
    for (joined, id) in within("coming back elsewhere", join_all(back)).await {
        assert_eq!(
            (&joined["you"]["id"], &joined["recovered"]),
            (&id.into(), &false.into())
        );
    }
}

/// A member that reads nothing, once the server can write nothing more to it.
async fn non_reader(server: &Server) -> impl Sized + use<> {
    let socket = TcpSocket::new_v4().unwrap();
    // As small as the kernel makes it.
    socket.set_recv_buffer_size(1).unwrap();
    let stream = socket.connect(server.addr).await.unwrap();
    let client = stream.local_addr().unwrap();
    let mut socket = open(stream, server.addr).await;
    let join = r#"{"type":"join","room":"hall"}"#;
    futures_util::SinkExt::send(&mut socket, join.into())
        .await
        .unwrap();
    let mut speaker = Member::join(server.addr, "hall", &Ledger::default()).await;
    let text = "x".repeat(4000);
    let (mut before, mut same) = (0, 0);
    within("a full window", async {
        while same < 3 {
            for _ in 0..50 {
                speaker.say(&text).await.unwrap();
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

/// Bytes that the kernel holds for a client and cannot send.
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
async fn the_deadline_of_a_drain_holds_with_who_reads_nothing() {
    let flags = ["--no-limits", "--drain", "1s", "--write-timeout", "10m"];
    let mut server = Server::start(&flags);
    let _stuck = [non_reader(&server).await, non_reader(&server).await];
    server.signal(Signal::TERM);
    assert_eq!(server.ended().await.code(), Some(0));
    server.logs("drain deadline left=2").await;
}

#[tokio::test]
async fn who_comes_while_it_drains_is_sent_away_and_a_second_signal_ends_it_at_once() {
    let flags = ["--no-limits", "--drain", "10m", "--write-timeout", "10m"];
    let mut server = Server::start(&flags);
    assert_eq!(get(server.addr, "/readyz").await.status, 200);
    let _stuck = non_reader(&server).await;
    server.signal(Signal::TERM);
    server.logs("draining").await;
    let refused = within("an answer", upgrade(Ipv4Addr::LOCALHOST, server.addr, "")).await;
    assert_eq!(refused.status, 503);
    assert_eq!(refused.header("retry-after"), Some("5"));
    assert_eq!(get(server.addr, "/readyz").await.status, 503);
    assert_eq!(get(server.addr, "/healthz").await.status, 200);
    assert!(server.is_running());
    server.signal(Signal::TERM);
    assert_eq!(server.ended().await.code(), Some(0));
    server.logs("stopped at once").await;
    assert!(TcpStream::connect(server.addr).await.is_err());
}

#[tokio::test]
async fn a_signal_at_the_first_moment_is_not_lost() {
    for signal in [Signal::TERM, Signal::INT].repeat(5) {
        let mut server = Server::start(&[]);
        server.signal(signal);
        assert_eq!(server.ended().await.code(), Some(0), "{signal:?}");
    }
}
