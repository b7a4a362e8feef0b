//! Nobody can follow a user from room to room.

mod common;

use std::collections::BTreeSet;

use chat_memory::Client;
use common::*;
use serde_json::json;

#[tokio::test(start_paused = true)]
async fn one_user_appears_as_two_strangers_in_two_rooms() {
    let chat = chat();
    const USERS: usize = 300;
    let (mut ids, mut same_name, mut order) = (BTreeSet::new(), 0, [Vec::new(), Vec::new()]);
    for _ in 0..USERS {
        let mut client = Client::connect(&chat);
        let proposal = client.hello().await["nickname"].clone();
        let joined = [client.join("a").await, client.join("b").await];
        let names = [0, 1].map(|room| joined[room]["you"]["nickname"].as_str().unwrap().to_owned());
        same_name += usize::from(names[0] == names[1])
            + usize::from(names.contains(&proposal.as_str().unwrap().to_owned()));
        for (room, joined) in joined.iter().enumerate() {
            let id = joined["you"]["id"].as_str().unwrap().to_owned();
            order[room].push(id.clone());
            assert!(ids.insert(id), "an id must not occur in two rooms");
        }
    }
    // Two names are the same by chance once in 4096, and each user has three pairs, so five of 300
    // users hardly ever occur.
    assert!(
        same_name < 5,
        "{same_name} pairs of default nicknames are the same"
    );
    // The order of the ids does not link the rooms either.
    let ranks = order.map(|ids| {
        let mut sorted = ids.clone();
        sorted.sort();
        ids.iter()
            .map(|id| sorted.binary_search(id).unwrap())
            .collect::<Vec<_>>()
    });
    let near = ranks[0]
        .iter()
        .zip(&ranks[1])
        .filter(|(a, b)| a.abs_diff(**b) < 3)
        .count();
    assert!(
        near < 30,
        "{near} of {USERS} ids have nearly the same rank in both rooms"
    );
}

#[tokio::test(start_paused = true)]
async fn a_member_id_is_no_credential_and_a_token_does_not_reveal_it() {
    let chat = chat();
    let mut ann = Client::connect(&chat);
    ann.hello().await;
    let id = ann.join("a").await["you"]["id"]
        .as_str()
        .unwrap()
        .to_owned();
    assert!(!ann.token().contains(&id));
    let mut eve = Client::connect(&chat);
    assert_eq!(
        eve.expect_error(json!({"type": "hello", "token": id}))
            .await,
        "bad_token"
    );
    // A default nickname is the same whenever its owner returns, so it reveals nothing new.
    let name = ann.view("a").members[&id].clone();
    ann.expect_success(json!({"type": "leave", "room": "a"}))
        .await;
    assert_eq!(ann.join("a").await["you"]["nickname"], name);
}
