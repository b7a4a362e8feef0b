//! A process that is killed, and the next one in its place.

mod common;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use chat_memory::Ledger;
use common::*;
use futures::future::join_all;
use serde_json::Value;

/// A `sent` that was received.
struct Ack {
    seq: u64,
    text: String,
}

/// Sends one message after the other, each after the acknowledgement of the last, or only reads if
/// there is no `name`, until the connection ends.
async fn converse(
    mut member: Member,
    name: Option<String>,
    sent_count: Arc<AtomicUsize>,
) -> (Member, Vec<Ack>) {
    let mut acks = Vec::new();
    let Some(name) = name else {
        while member.next().await.is_some() {}
        return (member, acks);
    };
    loop {
        let text = format!("{name} {}", acks.len());
        let Some(seq) = member.send_text(&text).await else {
            return (member, acks);
        };
        acks.push(Ack { seq, text });
        sent_count.fetch_add(1, Ordering::Relaxed);
    }
}

/// Checks one life of the process. Every acknowledged message that any member received has the
/// `seq` of its acknowledgement, and each sender's messages are in the order of sending. No message
/// is there twice, and none that nobody sent.
fn check_life(epoch: &str, ledger: &Ledger, results: &[(Member, Vec<Ack>)]) {
    let mut seqs = BTreeMap::new();
    for (_, event_epoch, seq, raw) in ledger.all() {
        if event_epoch != epoch {
            continue;
        }
        let event: Value = serde_json::from_str(&raw).unwrap();
        let text = event["text"].as_str().unwrap().to_owned();
        let sender: usize = text
            .split('/')
            .nth(1)
            .and_then(|name| name.split(' ').next()?.parse().ok())
            .unwrap();
        assert_eq!(event["from"]["id"], results[sender].0.view().me, "{raw}");
        assert_eq!(seqs.insert(text, seq), None, "sent twice: {raw}");
    }
    for (member, acks) in results {
        assert_eq!(member.view().epoch, epoch);
        assert!(acks.is_sorted_by(|a, b| a.seq < b.seq));
        for Ack { seq, text } in acks {
            if let Some(event) = ledger.get("hall", epoch, *seq) {
                assert_eq!(
                    serde_json::from_str::<Value>(&event).unwrap()["text"],
                    **text
                );
                assert_eq!(seqs[text], *seq);
            }
        }
    }
}

#[tokio::test]
async fn after_a_kill_members_keep_their_identity_and_learn_what_is_lost() {
    const MEMBERS: usize = 20;
    const SENDERS: usize = 8;
    let mut server = Server::start(&["--no-limits", "--secret", SECRET]);
    let ledger = Ledger::default();
    let mut members = Vec::new();
    for _ in 0..MEMBERS {
        members.push(Member::join(server.addr, "hall", &ledger).await);
    }
    let ids: Vec<String> = members
        .iter()
        .map(|member| member.view().me.clone())
        .collect();
    let mut epochs = vec![members[0].view().epoch.clone()];
    for life in 0..10 {
        let sent_count = Arc::new(AtomicUsize::new(0));
        let conversations = members.drain(..).enumerate().map(|(n, member)| {
            let name = (n < SENDERS).then(|| format!("{life}/{n}"));
            tokio::spawn(converse(member, name, Arc::clone(&sent_count)))
        });
        let conversations: Vec<_> = conversations.collect();
        // The kill comes at another point of the conversation each time.
        let enough = 50 + life * 37 % 200;
        wait_until("a conversation", || {
            sent_count.load(Ordering::Relaxed) >= enough
        })
        .await;
        server.kill_and_restart();
        let results = within("the end of the connections", join_all(conversations)).await;
        let results: Vec<_> = results.into_iter().map(Result::unwrap).collect();
        check_life(epochs.last().unwrap(), &ledger, &results);

        members = results.into_iter().map(|(member, _)| member).collect();
        let back = members
            .iter_mut()
            .map(|member| member.reconnect(server.addr));
        let back = within("reconnecting", join_all(back)).await;
        let epoch = back[0]["epoch"].as_str().unwrap().to_owned();
        assert!(!epochs.contains(&epoch), "the epoch is not new: {epoch}");
        for (joined, id) in back.iter().zip(&ids) {
            assert_eq!(joined["recovered"], false, "{joined}");
            assert_eq!(joined["you"]["id"], **id);
            assert_eq!(joined["epoch"], *epoch);
            assert_eq!(
                joined["seq"], 0,
                "nothing has been sent in this life: {joined}"
            );
        }
        epochs.push(epoch);
    }
    let last = members[0].send_text("still here").await.unwrap();
    let all = members.iter_mut().map(|member| member.read_to(last));
    within("delivery of the last message", join_all(all)).await;
}

#[tokio::test]
async fn a_thousand_reconnect_at_once() {
    const MEMBERS: usize = 1000;
    let mut server = Server::start(&["--no-limits", "--secret", SECRET]);
    let ledger = Ledger::default();
    let joining = (0..MEMBERS).map(|_| Member::join(server.addr, "hall", &ledger));
    let mut members = within("joining", join_all(joining)).await;
    let ids: Vec<String> = members
        .iter()
        .map(|member| member.view().me.clone())
        .collect();
    let before = members[0].send_text("before").await.unwrap();
    within(
        "delivery to all",
        join_all(members.iter_mut().map(|member| member.read_to(before))),
    )
    .await;

    // To another process, which knows all members and none of the messages.
    server.kill_and_restart();
    let back = members
        .iter_mut()
        .map(|member| member.reconnect(server.addr));
    let back = within("reconnecting to another process", join_all(back)).await;
    for (joined, id) in back.iter().zip(&ids) {
        assert_eq!(
            (&joined["recovered"], &joined["seq"]),
            (&false.into(), &0.into())
        );
        assert_eq!(joined["you"]["id"], **id);
    }

    // To the same process, which continues where each of them was.
    let mut sender = members.remove(0);
    let start = sender.send_text("0").await.unwrap();
    for (n, member) in members.iter_mut().enumerate() {
        // Half of them have received the first message.
        if n % 2 == 0 {
            within("the first message", member.read_to(start)).await;
        }
        member.disconnect();
    }
    let mut last = start;
    for n in 1..=50 {
        last = sender.send_text(&n.to_string()).await.unwrap();
    }
    let back = members
        .iter_mut()
        .map(|member| member.reconnect(server.addr));
    let back = within("reconnecting to the same process", join_all(back)).await;
    for (joined, id) in back.iter().zip(&ids[1..]) {
        assert_eq!(joined["recovered"], true, "{joined}");
        assert_eq!(joined["you"]["id"], **id);
    }
    let all = members.iter_mut().map(|member| member.read_to(last));
    within("the messages sent in the meantime", join_all(all)).await;
    assert!(members.iter().all(|member| member.view().skipped == 0));
}
