//! A process without free file descriptors.

mod common;

use std::net::Ipv4Addr;
use std::time::{Duration, Instant};

use chat_memory::Ledger;
use common::*;
use futures::future::join_all;

#[tokio::test]
async fn without_descriptors_the_server_waits_and_recovers() {
    // So long that no connection is closed during the test.
    let server = Server::start(&["--header-timeout", "10m"]);
    let ledger = Ledger::default();
    let joining = (0..5).map(|_| Member::join(server.addr, "hall", &ledger));
    let mut members = within("joining", join_all(joining)).await;
    server.limit_descriptors(server.descriptors() + 10);
    let mut idle = Vec::new();
    for _ in 0..40 {
        idle.push(connect(Ipv4Addr::LOCALHOST, server.addr).await.unwrap());
    }
    server.wait_for_log("cannot accept a connection").await;

    let (start, before) = (Instant::now(), server.cpu());
    tokio::time::sleep(Duration::from_secs(2)).await;
    let (time, used) = (start.elapsed().as_secs_f64(), server.cpu() - before);
    assert!(
        used < time / 10.0,
        "the accept loop spins: {used} s of {time} s"
    );

    for n in 0..20 {
        let seq = members[n % 5].send_text("still here").await.unwrap();
        let all = members.iter_mut().map(|member| member.read_to(seq));
        within("delivery to the members who are connected", join_all(all)).await;
    }
    let accepted = server.descriptors();
    drop(idle);
    let joined = Member::join(server.addr, "hall", &ledger);
    let mut newcomer = within("a newcomer, once there are descriptors again", joined).await;
    newcomer.send_text("here I am").await.unwrap();
    wait_until("the release of descriptors", || {
        server.descriptors() < accepted
    })
    .await;
}
