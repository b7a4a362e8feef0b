//! Presence: changes are sent in windows and with versions, and only as a count in large rooms.

mod common;

use chat_core::Create;
use chat_memory::Client;
use common::*;
use serde_json::{Value, json};

#[tokio::test(start_paused = true)]
async fn the_first_change_is_sent_at_once_and_later_ones_together() {
    let chat = chat();
    let mut ann = member(&chat, "r", "Ann").await;
    let _ben = member(&chat, "r", "Ben").await;
    let first = only(&ann.until_idle().await, "presence");
    assert_eq!(
        (first.len(), &first[0]["joined"][0]["nickname"]),
        (1, &json!("Ben"))
    );
    let mut carl = member(&chat, "r", "Carl").await;
    let _dora = member(&chat, "r", "Dora").await;
    carl.expect_success(json!({"type": "nickname", "nickname": "Carlos"}))
        .await;
    let mut eve = member(&chat, "r", "Eve").await;
    eve.expect_success(json!({"type": "leave", "room": "r"}))
        .await;
    assert!(only(&ann.until_idle().await, "presence").is_empty());
    pass(ms(100)).await;
    let second = only(&ann.until_idle().await, "presence");
    assert_eq!(second.len(), 1, "{second:?}");
    let joined = second[0]["joined"].as_array().unwrap();
    assert_eq!(each(joined, "nickname"), ["Carlos", "Dora"]);
    assert_eq!(
        (second[0].get("left"), second[0].get("renamed")),
        (None, None)
    );
    assert_eq!(
        second[0]["version"],
        first[0]["version"].as_u64().unwrap() + 1
    );
    assert_eq!(second[0]["count"], 4);
}

#[tokio::test(start_paused = true)]
async fn a_member_list_matches_its_version_and_later_changes_follow() {
    let chat = chat();
    let mut ann = member(&chat, "r", "Ann").await;
    let _ben = member(&chat, "r", "Ben").await;
    let _carl = member(&chat, "r", "Carl").await;
    // Carl's join has not been sent yet.
    let mut dora = Client::connect(&chat);
    let joined = dora.join("r").await;
    assert_eq!(joined["presence"]["count"], 2);
    assert_eq!(joined["room"]["count"], 4);
    let names = |list: &Value| each(list.as_array().unwrap(), "nickname");
    assert_eq!(names(&joined["presence"]["members"]), ["Ann", "Ben"]);
    let list = ann
        .expect_success(json!({"type": "members", "room": "r"}))
        .await;
    assert_eq!(
        (&list["version"], names(&list["members"])),
        (
            &joined["presence"]["version"],
            names(&joined["presence"]["members"])
        )
    );
    let told = dora.event("presence").await;
    assert_eq!(told["joined"].as_array().unwrap().len(), 2);
    assert_eq!(dora.view("r").members.len(), 4);
    assert!(dora.view("r").complete);
}

#[tokio::test(start_paused = true)]
async fn leaving_shows_at_once_and_a_lost_connection_after_the_grace_period() {
    let chat = chat();
    let mut ann = member(&chat, "r", "Ann").await;
    let mut ben = member(&chat, "r", "Ben").await;
    let carl = member(&chat, "r", "Carl").await;
    pass(secs(1)).await;
    ann.until_idle().await;
    ben.expect_success(json!({"type": "leave", "room": "r"}))
        .await;
    let told = only(&ann.until_idle().await, "presence");
    assert_eq!(told[0]["left"][0]["nickname"], "Ben");
    pass(secs(1)).await;
    carl.end().abort();
    pass(ms(9_990)).await;
    assert!(ann.until_idle().await.is_empty());
    pass(ms(20)).await;
    let told = only(&ann.until_idle().await, "presence");
    assert_eq!(
        (&told[0]["left"][0]["nickname"], &told[0]["count"]),
        (&json!("Carl"), &json!(1))
    );
}

#[tokio::test(start_paused = true)]
async fn a_return_within_the_grace_period_is_silent() {
    let chat = chat();
    let mut ann = member(&chat, "r", "Ann").await;
    let mut ben = member(&chat, "r", "Ben").await;
    pass(secs(1)).await;
    ann.until_idle().await;
    for _ in 0..3 {
        ben.end().abort();
        pass(secs(9)).await;
        ben.reconnect(&chat);
        ben.hello().await;
        ben.rejoin("r").await;
    }
    pass(secs(60)).await;
    assert!(ann.until_idle().await.is_empty());
    assert_eq!(
        ben.view("r").me,
        ann.view("r")
            .members
            .iter()
            .find(|(_, name)| *name == "Ben")
            .unwrap()
            .0
            .as_str()
    );
}

#[tokio::test(start_paused = true)]
async fn two_connections_are_one_member_until_the_last_leaves() {
    let chat = chat();
    let mut ann = member(&chat, "r", "Ann").await;
    let mut ben = member(&chat, "r", "Ben").await;
    let mut twin = Client::connect(&chat);
    let token = ben.token().to_owned();
    twin.expect_success(json!({"type": "hello", "token": token}))
        .await;
    assert_eq!(twin.join("r").await["you"]["id"], ben.view("r").me.as_str());
    pass(secs(1)).await;
    ann.until_idle().await;
    ben.expect_success(json!({"type": "leave", "room": "r"}))
        .await;
    pass(secs(30)).await;
    assert!(ann.until_idle().await.is_empty());
    twin.expect_success(json!({"type": "leave", "room": "r"}))
        .await;
    let told = only(&ann.until_idle().await, "presence");
    assert_eq!(told[0]["left"].as_array().unwrap().len(), 1);
}

#[tokio::test(start_paused = true)]
async fn a_room_without_a_grace_period_shows_a_lost_connection_at_once() {
    let chat = chat();
    room(&chat, "r", Create::default().grace(ms(0))).await;
    let mut ann = member(&chat, "r", "Ann").await;
    let ben = member(&chat, "r", "Ben").await;
    pass(secs(1)).await;
    ann.until_idle().await;
    ben.end().abort();
    assert_eq!(only(&ann.until_idle().await, "presence").len(), 1);
}

#[tokio::test(start_paused = true)]
async fn above_two_hundred_members_only_the_count_is_sent_at_most_once_a_second() {
    let chat = chat();
    let mut ann = member(&chat, "r", "Ann").await;
    let mut crowd = Vec::new();
    for n in 0..250 {
        crowd.push(member(&chat, "r", &format!("guest {n}")).await);
    }
    pass(secs(2)).await;
    ann.until_idle().await;
    for client in &mut crowd[..20] {
        client
            .expect_success(json!({"type": "leave", "room": "r"}))
            .await;
        pass(ms(100)).await;
    }
    pass(secs(2)).await;
    let told = only(&ann.until_idle().await, "presence");
    assert!(
        (1..=4).contains(&told.len()),
        "{} events in 4 seconds",
        told.len()
    );
    for event in &told {
        let names = ["joined", "left", "renamed"].map(|list| event.get(list));
        assert_eq!(names, [None; 3]);
    }
    assert_eq!(told.last().unwrap()["count"], 231);
    // The pages of the list hold every member once.
    let mut names = std::collections::BTreeSet::new();
    let mut page = ann
        .expect_success(json!({"type": "members", "room": "r", "limit": 100}))
        .await;
    loop {
        for member in page["members"].as_array().unwrap() {
            assert!(names.insert(member["id"].as_str().unwrap().to_owned()));
        }
        let Some(cursor) = page.get("cursor").cloned() else {
            break;
        };
        page = ann
            .expect_success(json!({"type": "members", "room": "r", "limit": 100, "cursor": cursor}))
            .await;
    }
    assert_eq!(names.len(), 231);
    assert!(ann.view("r").complete);
}

#[tokio::test(start_paused = true)]
async fn a_join_and_a_leave_that_cancel_out_still_change_the_version() {
    let chat = chat_with(|limits| limits.presence_members = 2);
    let mut ann = member(&chat, "r", "Ann").await;
    let mut ben = member(&chat, "r", "Ben").await;
    ann.until_idle().await;
    let _carl = member(&chat, "r", "Carl").await;
    ben.expect_success(json!({"type": "leave", "room": "r"}))
        .await;
    pass(secs(2)).await;
    let told = only(&ann.until_idle().await, "presence");
    assert_eq!(told.len(), 1, "the list changed and Ann was not notified");
    assert!(!ann.view("r").complete);
}

#[tokio::test(start_paused = true)]
async fn a_storm_of_joins_and_leaves_is_sent_once_per_window() {
    let chat = chat();
    let mut ann = member(&chat, "r", "Ann").await;
    pass(secs(1)).await;
    ann.until_idle().await;
    // A hundred guests a second join and leave at once. With a window of 100 ms that makes one
    // event for twenty changes.
    let began = tokio::time::Instant::now();
    for _ in 0..300 {
        let mut guest = Client::connect(&chat);
        guest.join("r").await;
        guest
            .expect_success(json!({"type": "leave", "room": "r"}))
            .await;
        pass(ms(10)).await;
    }
    pass(ms(100)).await;
    let windows = began.elapsed().as_millis() / 100 + 1;
    let told = only(&ann.until_idle().await, "presence");
    assert!(
        told.len() as u128 <= windows,
        "{} events in {windows} windows",
        told.len()
    );
    assert_eq!(ann.view("r").members.len(), 1);
}
