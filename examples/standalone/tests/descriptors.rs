//! A process that has no file descriptors left.

mod common;

use std::net::Ipv4Addr;
use std::time::{Duration, Instant};

use chat_memory::Ledger;
use common::*;
use futures_util::future::join_all;

#[tokio::test]
async fn without_descriptors_it_waits_and_goes_on() {
    // Nobody is reaped meanwhile.
    let server = Server::start(&["--header-timeout", "10m"]);
    let ledger = Ledger::default();
    let joining = (0..5).map(|_| Member::join(server.addr, "hall", &ledger));
    let mut members = within("joining", join_all(joining)).await;
    server.limit_descriptors(server.descriptors() + 10);
    let mut idle = Vec::new();
    for _ in 0..40 {
        idle.push(connect(Ipv4Addr::LOCALHOST, server.addr).await.unwrap());
    }
    server.logs("cannot accept").await;

    let (start, before) = (Instant::now(), server.cpu());
    tokio::time::sleep(Duration::from_secs(2)).await;
    let (time, used) = (start.elapsed().as_secs_f64(), server.cpu() - before);
    assert!(used < time / 10.0, "{used} s of {time} s: it spins");

    for n in 0..20 {
        let seq = members[n % 5].say("still here").await.unwrap();
        let all = members.iter_mut().map(|member| member.read_to(seq));
        within("those who are in go on", join_all(all)).await;
    }
    let accepted = server.descriptors();
    drop(idle);
    let joined = Member::join(server.addr, "hall", &ledger);
    let mut newcomer = within("somebody new, once there are descriptors again", joined).await;
    newcomer.say("here I am").await.unwrap();
    until("descriptors are given back", || {
        server.descriptors() < accepted
    })
    .await;
}
