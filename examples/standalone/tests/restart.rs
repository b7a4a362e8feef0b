//! A process that ends without a word, and the next one in its place.

mod common;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use chat_memory::Ledger;
use common::*;
use futures_util::future::join_all;
use serde_json::Value;

/// A `sent` that came.
struct Ack {
    seq: u64,
    text: String,
}

/// Speaks, one acknowledgement after the other, or only listens, until the connection ends.
async fn talk(
    mut member: Member,
    name: Option<String>,
    said: Arc<AtomicUsize>,
) -> (Member, Vec<Ack>) {
    let mut acks = Vec::new();
    let Some(name) = name else {
        while member.next().await.is_some() {}
        return (member, acks);
    };
    loop {
        let text = format!("{name} {}", acks.len());
        let Some(seq) = member.say(&text).await else {
            return (member, acks);
        };
        acks.push(Ack { seq, text });
        said.fetch_add(1, Ordering::Relaxed);
    }
}

/// One life of the process: what was acknowledged stands where it was said to stand, as far as anybody saw it, in the order
/// in which each has said it; nothing is there twice, and nothing that nobody said.
fn judge(epoch: &str, ledger: &Ledger, talks: &[(Member, Vec<Ack>)]) {
    let mut said = BTreeMap::new();
    for (_, of, seq, raw) in ledger.all() {
        if of != epoch {
            continue;
        }
        let event: Value = serde_json::from_str(&raw).unwrap();
        let text = event["text"].as_str().unwrap().to_owned();
        let speaker: usize = text
            .split('/')
            .nth(1)
            .and_then(|name| name.split(' ').next()?.parse().ok())
            .unwrap();
        assert_eq!(event["from"]["id"], talks[speaker].0.view().me, "{raw}");
        assert_eq!(said.insert(text, seq), None, "said twice: {raw}");
    }
    for (member, acks) in talks {
        assert_eq!(member.view().epoch, epoch);
        assert!(acks.is_sorted_by(|a, b| a.seq < b.seq));
        for Ack { seq, text } in acks {
            if let Some(event) = ledger.get("hall", epoch, *seq) {
                assert_eq!(
                    serde_json::from_str::<Value>(&event).unwrap()["text"],
                    **text
                );
                assert_eq!(said[text], *seq);
            }
        }
    }
}

#[tokio::test]
async fn whoever_comes_back_after_a_kill_is_who_it_was_and_told_what_is_lost() {
    const MEMBERS: usize = 20;
    const SPEAKERS: usize = 8;
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
        let said = Arc::new(AtomicUsize::new(0));
        let talks = members.drain(..).enumerate().map(|(n, member)| {
            let name = (n < SPEAKERS).then(|| format!("{life}/{n}"));
            tokio::spawn(talk(member, name, Arc::clone(&said)))
        });
        let talks: Vec<_> = talks.collect();
        // Somewhere else in the talk each time.
        let enough = 50 + life * 37 % 200;
        until("the talk", || said.load(Ordering::Relaxed) >= enough).await;
        server.kill_and_restart();
        let talks = within("the end of the connections", join_all(talks)).await;
        let talks: Vec<_> = talks.into_iter().map(Result::unwrap).collect();
        judge(epochs.last().unwrap(), &ledger, &talks);

        members = talks.into_iter().map(|(member, _)| member).collect();
        let back = members
            .iter_mut()
            .map(|member| member.come_back(server.addr));
        let back = within("coming back", join_all(back)).await;
        let epoch = back[0]["epoch"].as_str().unwrap().to_owned();
        assert!(!epochs.contains(&epoch), "an epoch of before: {epoch}");
        for (joined, id) in back.iter().zip(&ids) {
            assert_eq!(joined["recovered"], false, "{joined}");
            assert_eq!(joined["you"]["id"], **id);
            assert_eq!(joined["epoch"], *epoch);
            assert_eq!(joined["seq"], 0, "nothing was said in this life: {joined}");
        }
        epochs.push(epoch);
    }
    let last = members[0].say("still here").await.unwrap();
    let all = members.iter_mut().map(|member| member.read_to(last));
    within("the last word", join_all(all)).await;
}

#[tokio::test]
async fn a_thousand_come_back_at_once() {
    const MEMBERS: usize = 1000;
    let mut server = Server::start(&["--no-limits", "--secret", SECRET]);
    let ledger = Ledger::default();
    let joining = (0..MEMBERS).map(|_| Member::join(server.addr, "hall", &ledger));
    let mut members = within("joining", join_all(joining)).await;
    let ids: Vec<String> = members
        .iter()
        .map(|member| member.view().me.clone())
        .collect();
    let before = members[0].say("before").await.unwrap();
    within(
        "a word to all",
        join_all(members.iter_mut().map(|member| member.read_to(before))),
    )
    .await;

    // To another process: it knows everybody, and nothing of what was said.
    server.kill_and_restart();
    let back = members
        .iter_mut()
        .map(|member| member.come_back(server.addr));
    let back = within("coming back to another process", join_all(back)).await;
    for (joined, id) in back.iter().zip(&ids) {
        assert_eq!(
            (&joined["recovered"], &joined["seq"]),
            (&false.into(), &0.into())
        );
        assert_eq!(joined["you"]["id"], **id);
    }

    // To the same one: it goes on where each of them was.
    let mut speaker = members.remove(0);
    let start = speaker.say("0").await.unwrap();
    for (n, member) in members.iter_mut().enumerate() {
        // Half of them have seen the first word.
        if n % 2 == 0 {
            within("the first word", member.read_to(start)).await;
        }
        member.cut();
    }
    let mut last = start;
    for n in 1..=50 {
        last = speaker.say(&n.to_string()).await.unwrap();
    }
    let back = members
        .iter_mut()
        .map(|member| member.come_back(server.addr));
    let back = within("coming back to the same process", join_all(back)).await;
    for (joined, id) in back.iter().zip(&ids[1..]) {
        assert_eq!(joined["recovered"], true, "{joined}");
        assert_eq!(joined["you"]["id"], **id);
    }
    let all = members.iter_mut().map(|member| member.read_to(last));
    within("all that was said meanwhile", join_all(all)).await;
    assert!(members.iter().all(|member| member.view().skipped == 0));
}
