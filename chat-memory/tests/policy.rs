//! The host's own rules.

mod common;

use async_trait::async_trait;
use chat_core::{Chat, Code, Create, Draft, Error, Identities, Identity, Policy, RoomId};
use chat_memory::Client;
use common::*;
use serde_json::{Value, json};

/// Does what the text, or the room's name, says.
struct Obedient;

#[async_trait]
impl Policy for Obedient {
    async fn create(&self, _visitor: Option<&Identity>, room: &mut Create) -> Result<(), Error> {
        match room.title.as_deref() {
            Some("no") => return Err(Error::new(Code::Forbidden, "No")),
            Some("cap") => room.capacity = Some(1),
            Some("panic") => panic!("as asked"),
            Some("long") => room.title = Some("x".repeat(61)),
            _ => {}
        }
        Ok(())
    }

    async fn join(&self, _visitor: &Identity, room: &RoomId) -> Result<(), Error> {
        match room.as_str() {
            "no" => Err(Error::new(Code::Forbidden, "No")),
            "hang" => std::future::pending().await,
            "panic" => panic!("as asked"),
            _ => Ok(()),
        }
    }

    async fn send(
        &self,
        _visitor: &Identity,
        _room: &RoomId,
        draft: &mut Draft,
    ) -> Result<(), Error> {
        match draft.text.as_str() {
            "no" => return Err(Error::new(Code::Muted, "No")),
            "hang" => std::future::pending().await,
            "panic" => panic!("as asked"),
            "wait" => tokio::time::sleep(secs(2)).await,
            "rewrite" => draft.text = "rewritten".into(),
            "empty" => draft.text.clear(),
            "data" => {
                draft.data =
                    serde_json::value::RawValue::from_string(format!("\"{}\"", "x".repeat(5000)))
                        .ok();
            }
            _ => {}
        }
        Ok(())
    }
}

fn obedient() -> Chat {
    builder().policy(Obedient).build()
}

fn send(text: &str) -> Value {
    json!({"type": "send", "room": "r", "text": text})
}

#[tokio::test(start_paused = true)]
async fn it_refuses() {
    let chat = obedient();
    let mut ann = member(&chat, "r", "Ann").await;
    assert_eq!(ann.refused(send("no")).await, "muted");
    assert_eq!(
        ann.refused(json!({"type": "join", "room": "no"})).await,
        "forbidden"
    );
    assert_eq!(
        ann.refused(json!({"type": "create", "title": "no"})).await,
        "forbidden"
    );
    assert_eq!(chat.stats().rooms, 1, "a refused join made its room");
    assert_eq!(ann.say("r", "yes").await, 1);
}

#[tokio::test(start_paused = true)]
async fn it_rewrites_within_the_limits() {
    let chat = obedient();
    let mut ann = member(&chat, "r", "Ann").await;
    ann.done(send("rewrite")).await;
    assert_eq!(ann.event("message").await["text"], "rewritten");
    assert_eq!(ann.refused(send("empty")).await, "empty_text");
    assert_eq!(ann.refused(send("data")).await, "too_large");
    let created = ann.done(json!({"type": "create", "title": "cap"})).await;
    assert_eq!(created["room"]["capacity"], 1);
    assert_eq!(
        ann.refused(json!({"type": "create", "title": "long"}))
            .await,
        "too_large"
    );
}

#[tokio::test(start_paused = true)]
async fn one_that_hangs_is_unavailable_and_holds_up_its_own_connection_only() {
    let chat = obedient();
    let mut ann = member(&chat, "r", "Ann").await;
    let mut ben = member(&chat, "r", "Ben").await;
    let began = tokio::time::Instant::now();
    let hung = ann.command(send("hang"));
    let behind = ann.command(send("behind"));
    ben.say("r", "meanwhile").await;
    // It goes on hearing, and what it asked later waits its turn.
    assert_eq!(ann.event("message").await["text"], "meanwhile");
    assert_eq!(began.elapsed(), secs(0));
    assert_eq!(ann.reply(hung).await.unwrap()["code"], "unavailable");
    assert_eq!(began.elapsed(), secs(5));
    assert_eq!(ann.reply(behind).await.unwrap()["seq"], 2);
    let join = json!({"type": "join", "room": "hang"});
    assert_eq!(ann.refused(join).await, "unavailable");
}

#[tokio::test(start_paused = true)]
async fn one_that_panics_is_internal_and_everything_goes_on() {
    let chat = obedient();
    let mut ann = member(&chat, "r", "Ann").await;
    let mut ben = member(&chat, "r", "Ben").await;
    assert_eq!(ann.refused(send("panic")).await, "internal");
    assert_eq!(
        ann.refused(json!({"type": "join", "room": "panic"})).await,
        "internal"
    );
    let create = json!({"type": "create", "title": "panic"});
    assert_eq!(ann.refused(create).await, "internal");
    assert_eq!(chat.stats().rooms, 1);
    ann.say("r", "still here").await;
    assert_eq!(ben.event("message").await["text"], "still here");
}

/// Tokens of a host that fails.
struct Failing;

impl Identities for Failing {
    fn issue(&self, _identity: &Identity, _expires_at: u64) -> String {
        "token".into()
    }

    fn resume(&self, _token: &str, _now_ms: u64) -> Result<Identity, Error> {
        panic!("as asked")
    }
}

#[tokio::test(start_paused = true)]
async fn a_panic_anywhere_else_ends_that_connection_alone() {
    let chat = builder().identities(Failing).build();
    let mut ann = member(&chat, "r", "Ann").await;
    let mut ben = member(&chat, "r", "Ben").await;
    let eve = Client::connect(&chat);
    eve.end().send(r#"{"type":"hello","token":"x"}"#);
    pass(ms(10)).await;
    assert!(eve.end().is_over());
    assert_eq!(chat.stats().connections, 2, "its place is free");
    ann.say("r", "still here").await;
    assert_eq!(ben.event("message").await["text"], "still here");
    chat.drain().await;
}

#[tokio::test(start_paused = true)]
async fn who_was_removed_while_it_thought_does_not_speak() {
    let chat = obedient();
    let mut ann = member(&chat, "r", "Ann").await;
    let mut ben = member(&chat, "r", "Ben").await;
    let waiting = ann.command(send("wait"));
    pass(secs(1)).await;
    let id = chat_core::MemberId::parse(&ann.view("r").me).unwrap();
    chat.room("r").kick(id, None).unwrap();
    assert_eq!(ann.reply(waiting).await.unwrap()["code"], "not_joined");
    assert!(only(&ben.rest().await, "message").is_empty());
}

#[tokio::test(start_paused = true)]
async fn a_known_key_is_answered_without_asking_again() {
    let chat = obedient();
    let mut ann = member(&chat, "r", "Ann").await;
    let mut keyed = send("wait");
    keyed["key"] = json!("k");
    let first = ann.done(keyed.clone()).await;
    let began = tokio::time::Instant::now();
    let again = ann.done(keyed).await;
    assert_eq!((&again["seq"], &again["at"]), (&first["seq"], &first["at"]));
    assert_eq!(began.elapsed(), secs(0));
}

#[tokio::test(start_paused = true)]
async fn a_key_racing_itself_while_it_thinks_is_one_message() {
    let chat = obedient();
    let mut ann = member(&chat, "r", "Ann").await;
    let token = ann.token().to_owned();
    let mut twin = Client::connect(&chat);
    twin.done(json!({"type": "hello", "token": token})).await;
    twin.join("r").await;
    let mut keyed = send("wait");
    keyed["key"] = json!("k");
    for client in [&mut ann, &mut twin] {
        client.shares_key("r", "k");
    }
    let (one, other) = (ann.command(keyed.clone()), twin.command(keyed));
    assert_eq!(ann.reply(one).await.unwrap()["seq"], 1);
    assert_eq!(twin.reply(other).await.unwrap()["seq"], 1);
    assert_eq!(only(&ann.rest().await, "message").len(), 1);
}
