//! The host's own rules: policies and identities.

mod common;

use std::sync::atomic::{AtomicUsize, Ordering};

use chat_core::{
    Chat, Code, Create, Draft, Error, Hooks, Identities, Identity, Policy, RoomId, SignedTokens,
    async_trait,
};
use chat_memory::Client;
use common::*;
use serde_json::{Value, json};

/// Behaves as the text of the message, or the title or id of the room, says.
struct ScriptedPolicy;

#[async_trait]
impl Policy for ScriptedPolicy {
    async fn create(&self, _visitor: Option<&Identity>, room: &mut Create) -> Result<(), Error> {
        match room.title.as_deref() {
            Some("no") => return Err(Error::new(Code::Forbidden, "No")),
            Some("cap") => room.capacity = Some(1),
            Some("panic") => panic!("requested by the test"),
            Some("long") => room.title = Some("x".repeat(61)),
            _ => {}
        }
        match room.room.as_ref().map(RoomId::as_str) {
            Some("small") => room.capacity = Some(1),
            Some("secret") => room.password = Some("sesame".into()),
            Some("moved") => room.room = RoomId::new("elsewhere").ok(),
            Some("overlong") => room.title = Some("x".repeat(61)),
            _ => {}
        }
        Ok(())
    }

    async fn join(&self, _visitor: &Identity, room: &RoomId) -> Result<(), Error> {
        match room.as_str() {
            "no" => Err(Error::new(Code::Forbidden, "No")),
            "hang" => std::future::pending().await,
            "panic" => panic!("requested by the test"),
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
            "panic" => panic!("requested by the test"),
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

fn chat_with_scripted_policy() -> Chat {
    builder().policy(ScriptedPolicy).build()
}

fn send(text: &str) -> Value {
    json!({"type": "send", "room": "r", "text": text})
}

#[tokio::test(start_paused = true)]
async fn a_policy_can_refuse_commands() {
    let chat = chat_with_scripted_policy();
    let mut ann = member(&chat, "r", "Ann").await;
    assert_eq!(ann.expect_error(send("no")).await, "muted");
    assert_eq!(
        ann.expect_error(json!({"type": "join", "room": "no"}))
            .await,
        "forbidden"
    );
    assert_eq!(
        ann.expect_error(json!({"type": "create", "title": "no"}))
            .await,
        "forbidden"
    );
    assert_eq!(
        chat.stats().rooms,
        1,
        "a refused join must not make its room"
    );
    assert_eq!(ann.send("r", "yes").await, 1);
}

#[tokio::test(start_paused = true)]
async fn a_policy_can_rewrite_commands_within_the_limits() {
    let chat = chat_with_scripted_policy();
    let mut ann = member(&chat, "r", "Ann").await;
    ann.expect_success(send("rewrite")).await;
    assert_eq!(ann.event("message").await["text"], "rewritten");
    assert_eq!(ann.expect_error(send("empty")).await, "empty_text");
    assert_eq!(ann.expect_error(send("data")).await, "too_large");
    let created = ann
        .expect_success(json!({"type": "create", "title": "cap"}))
        .await;
    assert_eq!(created["room"]["capacity"], 1);
    assert_eq!(
        ann.expect_error(json!({"type": "create", "title": "long"}))
            .await,
        "too_large"
    );
}

#[tokio::test(start_paused = true)]
async fn a_policy_that_hangs_is_answered_with_unavailable_and_delays_only_its_own_connection() {
    let chat = chat_with_scripted_policy();
    let mut ann = member(&chat, "r", "Ann").await;
    let mut ben = member(&chat, "r", "Ben").await;
    let began = tokio::time::Instant::now();
    let hung = ann.command(send("hang"));
    let behind = ann.command(send("behind"));
    ben.send("r", "meanwhile").await;
    // The connection still receives events, and its later commands wait.
    assert_eq!(ann.event("message").await["text"], "meanwhile");
    assert_eq!(began.elapsed(), secs(0));
    assert_eq!(ann.reply(hung).await.unwrap()["code"], "unavailable");
    assert_eq!(began.elapsed(), secs(5));
    assert_eq!(ann.reply(behind).await.unwrap()["seq"], 2);
    let join = json!({"type": "join", "room": "hang"});
    assert_eq!(ann.expect_error(join).await, "unavailable");
}

#[tokio::test(start_paused = true)]
async fn a_policy_that_panics_is_answered_with_internal_and_everything_continues() {
    let chat = chat_with_scripted_policy();
    let mut ann = member(&chat, "r", "Ann").await;
    let mut ben = member(&chat, "r", "Ben").await;
    assert_eq!(ann.expect_error(send("panic")).await, "internal");
    assert_eq!(
        ann.expect_error(json!({"type": "join", "room": "panic"}))
            .await,
        "internal"
    );
    let create = json!({"type": "create", "title": "panic"});
    assert_eq!(ann.expect_error(create).await, "internal");
    assert_eq!(chat.stats().rooms, 1);
    ann.send("r", "still here").await;
    assert_eq!(ben.event("message").await["text"], "still here");
}

/// The host's changes to a room also apply to a room that a join makes.
#[tokio::test(start_paused = true)]
async fn a_policy_can_rewrite_the_room_that_a_first_join_makes() {
    let chat = chat_with_scripted_policy();
    let mut ann = Client::connect(&chat);
    let joined = ann
        .expect_success(json!({"type": "join", "room": "small"}))
        .await;
    assert_eq!(joined["room"]["capacity"], 1);
    let mut ben = Client::connect(&chat);
    let join = json!({"type": "join", "room": "small"});
    assert_eq!(ben.expect_error(join).await, "room_full");

    // The member who makes a room needs no password for it; everybody else does.
    let joined = ann
        .expect_success(json!({"type": "join", "room": "secret"}))
        .await;
    assert_eq!(joined["room"]["has_password"], true);
    let mut join = json!({"type": "join", "room": "secret"});
    assert_eq!(ben.expect_error(join.clone()).await, "password_required");
    join["password"] = json!("sesame");
    ben.expect_success(join).await;

    // A join names its room, so the id stays, and a change that breaks the limits is refused.
    let joined = ann
        .expect_success(json!({"type": "join", "room": "moved"}))
        .await;
    assert_eq!(joined["room"]["id"], "moved");
    assert!(host(&chat, "elsewhere").info().await.is_err());
    let join = json!({"type": "join", "room": "overlong"});
    assert_eq!(ann.expect_error(join).await, "too_large");
}

/// Counts how often each hook is called.
#[derive(Default)]
struct Counting {
    hooks: Option<Hooks>,
    calls: std::sync::Arc<[AtomicUsize; 3]>,
}

#[async_trait]
impl Policy for Counting {
    fn hooks(&self) -> Hooks {
        self.hooks.unwrap_or(Hooks::ALL)
    }

    async fn create(&self, _: Option<&Identity>, _: &mut Create) -> Result<(), Error> {
        self.calls[0].fetch_add(1, Ordering::Relaxed);
        Ok(())
    }

    async fn join(&self, _: &Identity, _: &RoomId) -> Result<(), Error> {
        self.calls[1].fetch_add(1, Ordering::Relaxed);
        Ok(())
    }

    async fn send(&self, _: &Identity, _: &RoomId, _: &mut Draft) -> Result<(), Error> {
        self.calls[2].fetch_add(1, Ordering::Relaxed);
        Ok(())
    }
}

#[tokio::test(start_paused = true)]
async fn only_the_hooks_that_a_policy_has_are_called() {
    let none = Hooks::NONE;
    for (hooks, expected) in [
        (None, [1, 2, 1]),
        (Some(none), [0, 0, 0]),
        (Some(none.with_create()), [1, 0, 0]),
        (Some(none.with_join()), [0, 2, 0]),
        (Some(none.with_send()), [0, 0, 1]),
    ] {
        let policy = Counting {
            hooks,
            ..Counting::default()
        };
        let calls = std::sync::Arc::clone(&policy.calls);
        let chat = builder().policy(policy).build();
        let mut ann = member(&chat, "r", "Ann").await;
        member(&chat, "r", "Ben").await;
        ann.send("r", "hello").await;
        let called: Vec<_> = calls.iter().map(|n| n.load(Ordering::Relaxed)).collect();
        assert_eq!(called, expected, "{hooks:?}");
    }
}

/// Sessions in a database that behaves as the token says.
struct Sessions;

#[async_trait]
impl Identities for Sessions {
    fn issue(&self, _identity: &Identity, _expires_at: u64) -> String {
        "token".into()
    }

    async fn resume(&self, token: &str, _now_ms: u64) -> Result<Identity, Error> {
        match token {
            "panic" => panic!("requested by the test"),
            "hang" => std::future::pending().await,
            "unknown" => return Err(Error::new(Code::BadToken, "This session is over")),
            _ => tokio::time::sleep(secs(1)).await,
        }
        Ok(Identity::of_user(b"secret", token))
    }
}

#[tokio::test(start_paused = true)]
async fn an_identity_may_come_from_a_database() {
    let chat = builder().identities(Sessions).build();
    let mut clients = [Client::connect(&chat), Client::connect(&chat)];
    let mut members = Vec::new();
    for client in &mut clients {
        let hello = client.command(json!({"type": "hello", "token": "ann"}));
        // The command that follows waits for the answer.
        let join = client.command(json!({"type": "join", "room": "r"}));
        assert_eq!(client.reply(hello).await.unwrap()["type"], "welcome");
        members.push(client.reply(join).await.unwrap()["you"]["id"].clone());
    }
    assert_eq!(members[0], members[1]);

    let mut eve = Client::connect(&chat);
    for (token, code) in [
        ("unknown", "bad_token"),
        ("panic", "internal"),
        ("hang", "unavailable"),
    ] {
        let hello = json!({"type": "hello", "token": token});
        assert_eq!(eve.expect_error(hello).await, code);
    }
    // A client whose hello was refused may say hello again.
    let hello = json!({"type": "hello", "token": "eve"});
    assert_eq!(eve.expect_success(hello).await["type"], "welcome");

    // What the host failed at is not the client's fault, so no ten of these end a connection.
    let mut patient = Client::connect(&chat);
    for _ in 0..12 {
        let hello = json!({"type": "hello", "token": "panic"});
        assert_eq!(patient.expect_error(hello).await, "internal");
    }
    assert_eq!(patient.close_code(), None);
}

/// Fails to issue the third token.
struct Failing(AtomicUsize, SignedTokens);

#[async_trait]
impl Identities for Failing {
    fn issue(&self, identity: &Identity, expires_at: u64) -> String {
        assert!(
            self.0.fetch_add(1, Ordering::Relaxed) != 2,
            "requested by the test"
        );
        self.1.issue(identity, expires_at)
    }

    async fn resume(&self, token: &str, now_ms: u64) -> Result<Identity, Error> {
        self.1.resume(token, now_ms).await
    }
}

#[tokio::test(start_paused = true)]
async fn a_panic_anywhere_else_ends_only_that_connection() {
    let failing = Failing(AtomicUsize::new(0), SignedTokens::new(["secret"]));
    let chat = builder().identities(failing).build();
    let mut ann = member(&chat, "r", "Ann").await;
    let mut ben = member(&chat, "r", "Ben").await;
    let eve = Client::connect(&chat);
    eve.end().send(r#"{"type":"hello"}"#);
    pass(ms(10)).await;
    assert!(eve.end().is_closed());
    assert_eq!(
        chat.stats().connections,
        2,
        "the slot of the connection must be free"
    );
    ann.send("r", "still here").await;
    assert_eq!(ben.event("message").await["text"], "still here");
    chat.drain().await;
}

#[tokio::test(start_paused = true)]
async fn a_member_removed_while_the_policy_decides_sends_nothing() {
    let chat = chat_with_scripted_policy();
    let mut ann = member(&chat, "r", "Ann").await;
    let mut ben = member(&chat, "r", "Ben").await;
    let waiting = ann.command(send("wait"));
    pass(secs(1)).await;
    let id = chat_core::MemberId::parse(&ann.view("r").me).unwrap();
    host(&chat, "r").kick(id, None).await.unwrap();
    assert_eq!(ann.reply(waiting).await.unwrap()["code"], "not_joined");
    assert!(only(&ben.until_idle().await, "message").is_empty());
}

#[tokio::test(start_paused = true)]
async fn a_known_key_is_answered_without_asking_the_policy_again() {
    let chat = chat_with_scripted_policy();
    let mut ann = member(&chat, "r", "Ann").await;
    let mut keyed = send("wait");
    keyed["key"] = json!("k");
    let first = ann.expect_success(keyed.clone()).await;
    let began = tokio::time::Instant::now();
    let again = ann.expect_success(keyed).await;
    assert_eq!((&again["seq"], &again["at"]), (&first["seq"], &first["at"]));
    assert_eq!(began.elapsed(), secs(0));
}

#[tokio::test(start_paused = true)]
async fn a_key_used_twice_while_the_policy_decides_makes_one_message() {
    let chat = chat_with_scripted_policy();
    let mut ann = member(&chat, "r", "Ann").await;
    let token = ann.token().to_owned();
    let mut twin = Client::connect(&chat);
    twin.expect_success(json!({"type": "hello", "token": token}))
        .await;
    twin.join("r").await;
    let mut keyed = send("wait");
    keyed["key"] = json!("k");
    for client in [&mut ann, &mut twin] {
        client.share_key("r", "k");
    }
    let (one, other) = (ann.command(keyed.clone()), twin.command(keyed));
    assert_eq!(ann.reply(one).await.unwrap()["seq"], 1);
    assert_eq!(twin.reply(other).await.unwrap()["seq"], 1);
    assert_eq!(only(&ann.until_idle().await, "message").len(), 1);
}
