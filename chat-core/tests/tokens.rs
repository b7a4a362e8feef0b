//! Tokens carry an identity from one connection to the next.

mod common;

use chat_core::{Chat, Identity};
use chat_memory::{Client, Ledger, pair};
use common::*;
use serde_json::json;

async fn id_in_room(chat: &Chat, token: &str) -> Result<String, String> {
    let mut client = Client::connect(chat);
    let welcome = client
        .request(json!({"type": "hello", "token": token}))
        .await;
    if welcome["type"] == "error" {
        return Err(welcome["code"].as_str().unwrap().to_owned());
    }
    Ok(client.join("r").await["you"]["id"]
        .as_str()
        .unwrap()
        .to_owned())
}

async fn newcomer(chat: &Chat) -> (String, String) {
    let mut client = Client::connect(chat);
    client.hello().await;
    let token = client.token().to_owned();
    let id = client.join("r").await["you"]["id"]
        .as_str()
        .unwrap()
        .to_owned();
    (token, id)
}

#[tokio::test(start_paused = true)]
async fn a_token_restores_the_same_member_and_is_replaced_by_a_new_one() {
    let chat = chat();
    let (token, id) = newcomer(&chat).await;
    assert_eq!(id_in_room(&chat, &token).await, Ok(id.clone()));
    pass(secs(3600)).await;
    let mut again = Client::connect(&chat);
    let welcome = again
        .expect_success(json!({"type": "hello", "token": token}))
        .await;
    assert_ne!(
        welcome["token"], token,
        "the token must be renewed for its full lifetime"
    );
    assert_eq!(welcome["expires_at"], START + 3_600_000 + 30 * 86_400_000);
    assert_eq!(id_in_room(&chat, again.token()).await, Ok(id));
}

#[tokio::test(start_paused = true)]
async fn every_bad_token_is_refused_with_the_same_code() {
    let chat = chat();
    let (token, id) = newcomer(&chat).await;
    let (other, _) = newcomer(&builder().seed(2).build()).await;
    let flipped = token.replace('.', "_");
    let cut = &token[..token.len() - 1];
    let long = "v1.".repeat(4000);
    let (claims, tag) = token.strip_prefix("v1.").unwrap().split_once('.').unwrap();
    let unsigned = format!("v1.{claims}.");
    let others = format!("v1.{claims}.{}", other.rsplit('.').next().unwrap());
    let version = format!("v2.{claims}.{tag}");
    let none = format!("none.{claims}.{tag}");
    for bad in [
        "", "v1.", "v1..", cut, &flipped, &long, &other, &id, &unsigned, &others, &version, &none,
    ] {
        assert_eq!(
            id_in_room(&chat, bad).await,
            Err("bad_token".into()),
            "{bad}"
        );
    }
    assert_ne!(newcomer(&chat).await.1, id);
}

#[tokio::test(start_paused = true)]
async fn a_token_expires_by_the_wall_clock_and_its_connection_stays_open() {
    let chat = chat();
    let mut ann = member(&chat, "r", "Ann").await;
    let token = ann.token().to_owned();
    let month = 30 * 86_400;
    let later = |seconds| builder().simulated_clock(START + seconds * 1000).build();
    assert!(id_in_room(&later(month - 1), &token).await.is_ok());
    assert_eq!(
        id_in_room(&later(month), &token).await,
        Err("bad_token".into())
    );
    assert_eq!(
        id_in_room(&later(month + 1), &token).await,
        Err("bad_token".into())
    );
    pass(secs(month + 1)).await;
    ann.until_idle().await;
    assert_eq!(ann.close_code(), None);
    ann.expect_success(json!({"type": "ping"})).await;
}

#[tokio::test(start_paused = true)]
async fn a_client_with_an_expired_token_may_continue_under_a_new_identity() {
    let chat = chat();
    let mut ann = member(&chat, "r", "Ann").await;
    let (token, id) = (ann.token().to_owned(), ann.view("r").me.clone());
    ann.send("r", "of the old identity").await;
    ann.end().abort();
    pass(secs(31 * 86_400)).await;
    let mut again = Client::connect(&chat);
    let hello = json!({"type": "hello", "token": token});
    assert_eq!(again.expect_error(hello).await, "bad_token");
    again.expect_success(json!({"type": "hello"})).await;
    let joined = again
        .expect_success(json!({"type": "join", "room": "r", "nickname": "Ann"}))
        .await;
    assert_ne!(
        joined["you"]["id"], id,
        "without a valid token nobody may keep their identity"
    );
}

#[tokio::test(start_paused = true)]
async fn a_token_outlives_the_engine_if_the_secret_is_the_same() {
    let with = |secrets: &[&str], seed| {
        let builder = secrets
            .iter()
            .fold(builder().seed(seed), |builder, secret| {
                builder.secret(*secret)
            });
        builder.build()
    };
    let (token, id) = newcomer(&with(&["old"], 1)).await;
    assert_eq!(id_in_room(&with(&["old"], 2), &token).await, Ok(id.clone()));
    // The secret is rotated: the new one signs while the old one is still accepted, and then the
    // old one is dropped.
    let both = with(&["new", "old"], 3);
    let mut again = Client::connect(&both);
    again
        .expect_success(json!({"type": "hello", "token": token}))
        .await;
    let renewed = again.token().to_owned();
    let only_new = with(&["new"], 4);
    assert_eq!(id_in_room(&only_new, &renewed).await, Ok(id));
    assert_eq!(id_in_room(&only_new, &token).await, Err("bad_token".into()));
}

#[tokio::test(start_paused = true)]
async fn a_user_known_to_the_host_is_welcomed_at_once() {
    let chat = chat();
    let mut ids = Vec::new();
    for user in ["ann", "ann", "ben"] {
        let (server, end) = pair(usize::MAX);
        let ticket = chat
            .admit(None)
            .unwrap()
            .identified(Identity::of_user(b"secret", user));
        tokio::spawn(async move { ticket.serve(server).await });
        let mut client = Client::new(end, Ledger::default());
        assert_eq!(client.event("welcome").await.get("id"), None);
        assert_eq!(
            client.expect_error(json!({"type": "hello"})).await,
            "already_identified"
        );
        ids.push(client.join("r").await["you"]["id"].clone());
    }
    assert_eq!(ids[0], ids[1]);
    assert_ne!(ids[0], ids[2]);
}
