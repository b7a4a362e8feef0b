//! Who is admitted to a room: capacity, passwords, kicks and bans.

mod common;

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};

use chat_core::{Create, Limits, MemberId};
use chat_memory::{Client, Ledger};
use common::*;
use serde_json::{Value, json};

fn join(room: &str) -> Value {
    json!({"type": "join", "room": room})
}

fn id(client: &Client, room: &str) -> MemberId {
    MemberId::parse(&client.view(room).me).unwrap()
}

#[tokio::test(start_paused = true)]
async fn a_room_admits_exactly_as_many_members_as_it_has_seats() {
    let chat = chat();
    room(&chat, "r", Create::default().capacity(7)).await;
    let mut clients: Vec<Client> = (0..14).map(|_| Client::connect(&chat)).collect();
    let ids: Vec<u64> = clients
        .iter_mut()
        .map(|client| client.command(join("r")))
        .collect();
    let mut told = Vec::new();
    for (client, id) in clients.iter_mut().zip(ids) {
        told.push(client.reply(id).await.unwrap());
    }
    assert_eq!(only(&told, "joined").len(), 7);
    assert_eq!(
        each(&only(&told, "error"), "code"),
        vec![json!("room_full"); 7]
    );
    // When one seat becomes free, one more client is admitted.
    let n = told
        .iter()
        .position(|reply| reply["type"] == "joined")
        .unwrap();
    clients[n]
        .expect_success(json!({"type": "leave", "room": "r"}))
        .await;
    let mut late = Client::connect(&chat);
    late.join("r").await;
    assert_eq!(clients[n].expect_error(join("r")).await, "room_full");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn joins_from_many_threads_never_exceed_the_capacity() {
    let chat = Arc::new(chat_with(|limits| limits.grace = secs(60)));
    room(&chat, "r", Create::default().capacity(3)).await;
    let seated = Arc::new(AtomicI64::new(0));
    let visitors: Vec<_> = (0..16)
        .map(|_| {
            let (chat, seated) = (Arc::clone(&chat), Arc::clone(&seated));
            tokio::spawn(async move {
                let mut admitted = 0;
                let mut client = Client::connect_with(&chat, usize::MAX, Ledger::default());
                for _ in 0..60 {
                    if client.request(join("r")).await["type"] != "joined" {
                        continue;
                    }
                    admitted += 1;
                    let now = seated.fetch_add(1, Ordering::SeqCst) + 1;
                    assert!(now <= 3, "{now} members have a seat");
                    seated.fetch_sub(1, Ordering::SeqCst);
                    client
                        .expect_success(json!({"type": "leave", "room": "r"}))
                        .await;
                }
                admitted
            })
        })
        .collect();
    let mut admitted = 0;
    for visitor in visitors {
        admitted += visitor.await.unwrap();
    }
    assert!(admitted >= 16, "only {admitted} joins succeeded");
    assert_eq!(host(&chat, "r").info().await.unwrap().count, 0);
}

#[tokio::test(start_paused = true)]
async fn a_join_is_refused_by_the_first_check_that_fails() {
    let chat = builder().open_rooms(false).build();
    let create = Create::default().capacity(2).password("sesame");
    room(&chat, "r", create).await;
    let join_with = |password: Value, nickname: &str| {
        json!({
            "type": "join", "room": "r", "password": password, "nickname": nickname,
        })
    };
    let mut ann = Client::connect(&chat);
    ann.expect_success(join_with(json!("sesame"), "Ann")).await;
    let mut ben = Client::connect(&chat);
    ben.expect_success(join_with(json!("sesame"), "Ben")).await;
    host(&chat, "r")
        .ban(id(&ben, "r"), None, None)
        .await
        .unwrap();
    ben.event("removed").await;
    let mut dan = Client::connect(&chat);
    dan.expect_success(join_with(json!("sesame"), "Dan")).await;

    let mut eve = Client::connect(&chat);
    assert_eq!(eve.expect_error(join("a b")).await, "bad_room");
    assert_eq!(eve.expect_error(join("elsewhere")).await, "room_not_found");
    assert_eq!(
        ben.expect_error(join_with(json!("wrong"), "Ann")).await,
        "banned"
    );
    assert_eq!(
        eve.expect_error(join_with(Value::Null, "Ann")).await,
        "password_required"
    );
    assert_eq!(
        eve.expect_error(join_with(json!("wrong"), "Ann")).await,
        "wrong_password"
    );
    assert_eq!(
        eve.expect_error(join_with(json!("sesame"), "ann")).await,
        "nickname_taken"
    );
    assert_eq!(
        eve.expect_error(join_with(json!("sesame"), "Eve")).await,
        "room_full"
    );
    assert_eq!(
        ann.expect_error(join_with(json!("wrong"), "Ben")).await,
        "already_joined"
    );
    host(&chat, "r").close(None).await.unwrap();
    assert_eq!(
        ben.expect_error(join_with(json!("wrong"), "Ann")).await,
        "room_expired"
    );
}

#[tokio::test(start_paused = true)]
async fn a_refused_join_leaves_no_trace() {
    let chat = chat();
    room(&chat, "r", Create::default().password("sesame")).await;
    let mut eve = Client::connect(&chat);
    eve.expect_error(join("r")).await;
    eve.expect_error(json!({"type": "join", "room": "r", "password": "wrong"}))
        .await;
    for command in ["send", "history", "members", "typing", "leave"] {
        let command = json!({"type": command, "room": "r", "text": "x", "active": true});
        assert_eq!(eve.expect_error(command).await, "not_joined");
    }
    assert_eq!(host(&chat, "r").info().await.unwrap().count, 0);
}

#[tokio::test(start_paused = true)]
async fn the_creator_and_former_members_need_no_password() {
    let chat = chat();
    let mut ann = Client::connect(&chat);
    let created = ann
        .expect_success(json!({"type": "create", "room": "r", "password": "sesame"}))
        .await;
    assert_eq!(created["room"]["has_password"], true);
    assert_eq!(created["room"]["count"], 0);
    ann.join("r").await;
    let mut ben = Client::connect(&chat);
    ben.expect_success(json!({"type": "join", "room": "r", "password": "sesame"}))
        .await;
    ben.expect_success(json!({"type": "leave", "room": "r"}))
        .await;
    ben.end().abort();
    ben.reconnect(&chat);
    ben.hello().await;
    ben.join("r").await;
}

#[tokio::test(start_paused = true)]
async fn after_too_many_wrong_passwords_even_the_right_one_must_wait() {
    let defaults = Limits::default();
    let chat = chat_with(|limits| {
        limits.passwords_per_room = defaults.passwords_per_room;
        limits.passwords_per_address = defaults.passwords_per_address;
    });
    room(&chat, "r", Create::default().password("sesame")).await;
    let join_with = |password: &str| json!({"type": "join", "room": "r", "password": password});
    let mut inside = Client::connect(&chat);
    inside.expect_success(join_with("sesame")).await;
    inside
        .expect_success(json!({"type": "leave", "room": "r"}))
        .await;
    let mut eve = Client::connect(&chat);
    for _ in 0..5 {
        assert_eq!(
            eve.expect_error(join_with("barley")).await,
            "wrong_password"
        );
    }
    let limited = eve.request(join_with("sesame")).await;
    assert_eq!(limited["code"], "rate_limited");
    let wait = limited["retry_after_ms"].as_u64().unwrap();
    // The right password is not an attempt, and a former member is not asked for one.
    inside.expect_success(join_with("barley")).await;
    pass(ms(wait - 1)).await;
    let early = eve.request(join_with("sesame")).await;
    assert_eq!(early["code"], "rate_limited");
    pass(ms(early["retry_after_ms"].as_u64().unwrap())).await;
    eve.expect_success(join_with("sesame")).await;
}

#[tokio::test(start_paused = true)]
async fn the_password_wait_grows_with_every_attempt_and_a_new_identity_does_not_shorten_it() {
    let defaults = Limits::default();
    let chat = chat_with(|limits| {
        limits.passwords_per_room = defaults.passwords_per_room;
        limits.passwords_per_address = defaults.passwords_per_address;
    });
    let locked = Create::default().password("sesame");
    room(&chat, "r", locked.clone()).await;
    room(&chat, "other", locked).await;
    let join_with =
        |room: &str, password: &str| json!({"type": "join", "room": room, "password": password});
    for _ in 0..5 {
        let mut eve = client_from(&chat, "192.0.2.1");
        assert_eq!(
            eve.expect_error(join_with("r", "wrong")).await,
            "wrong_password"
        );
    }
    let mut before = 0;
    for n in 0..100 {
        let mut eve = client_from(&chat, "192.0.2.1");
        let limited = eve.request(join_with("r", "sesame")).await;
        assert_eq!(limited["code"], "rate_limited");
        let wait = limited["retry_after_ms"].as_u64().unwrap();
        assert!(wait > before || wait == 900_000, "{n}: {before}, {limited}");
        before = wait;
    }
    assert_eq!(before, 900_000, "the wait reaches its upper bound");
    // The wait applies to one room and one address only.
    let mut eve = client_from(&chat, "192.0.2.1");
    eve.expect_success(join_with("other", "sesame")).await;
    let mut ann = client_from(&chat, "192.0.2.2");
    ann.expect_success(join_with("r", "sesame")).await;
    pass(ms(before)).await;
    eve.expect_success(join_with("r", "sesame")).await;
}

#[tokio::test(start_paused = true)]
async fn wrong_passwords_from_one_address_are_limited_across_all_rooms() {
    let defaults = Limits::default();
    let chat = chat_with(|limits| {
        limits.passwords_per_room = defaults.passwords_per_room;
        limits.passwords_per_address = defaults.passwords_per_address;
    });
    let join_with = |room: usize, password: &str| {
        json!({
            "type": "join", "room": format!("r{room}"), "password": password,
        })
    };
    for n in 0..5 {
        let create = Create::default().password("sesame");
        room(&chat, &format!("r{n}"), create).await;
    }
    let mut eve = client_from(&chat, "2001:db8::1");
    for n in 0..20 {
        assert_eq!(
            eve.expect_error(join_with(n / 5, "wrong")).await,
            "wrong_password"
        );
    }
    // The same /64 is refused even in a room where no password has been tried yet.
    let mut other = client_from(&chat, "2001:db8::ffff");
    assert_eq!(
        other.expect_error(join_with(4, "sesame")).await,
        "rate_limited"
    );
    let mut ann = client_from(&chat, "2001:db8:0:1::1");
    ann.expect_success(join_with(4, "sesame")).await;
}

#[tokio::test(start_paused = true)]
async fn a_client_outside_a_room_can_neither_read_nor_act_in_it() {
    let chat = chat();
    let assert_outside = async |client: &mut Client, how: &str| {
        for command in ["send", "history", "members", "typing", "leave"] {
            let command = json!({"type": command, "room": "r", "text": "x", "active": true});
            assert_eq!(client.expect_error(command).await, "not_joined", "{how}");
        }
        let rename = json!({"type": "nickname", "room": "r", "nickname": "Eve"});
        assert_eq!(client.expect_error(rename).await, "not_joined", "{how}");
    };
    let create = Create::default().password("sesame").ttl(secs(60));
    room(&chat, "r", create).await;
    let enter = json!({"type": "join", "room": "r", "password": "sesame"});
    let mut ann = Client::connect(&chat);
    ann.expect_success(enter.clone()).await;
    ann.send("r", "secret").await;
    let mut eve = Client::connect(&chat);
    eve.expect_error(json!({"type": "join", "room": "r", "password": "wrong"}))
        .await;
    assert_outside(&mut eve, "never joined").await;
    eve.expect_success(enter.clone()).await;
    eve.expect_success(json!({"type": "leave", "room": "r"}))
        .await;
    assert_outside(&mut eve, "left").await;
    eve.join("r").await;
    host(&chat, "r").kick(id(&eve, "r"), None).await.unwrap();
    eve.event("removed").await;
    assert_outside(&mut eve, "kicked").await;
    eve.join("r").await;
    host(&chat, "r")
        .ban(id(&eve, "r"), None, None)
        .await
        .unwrap();
    eve.event("removed").await;
    assert_outside(&mut eve, "banned").await;
    pass(secs(61)).await;
    assert_outside(&mut ann, "expired").await;
}

#[tokio::test(start_paused = true)]
async fn an_unlisted_room_can_be_found_only_by_its_id() {
    let chat = builder().open_rooms(false).build();
    let mut ann = Client::connect(&chat);
    let secret = ann.expect_success(json!({"type": "create"})).await["room"]["id"].clone();
    ann.expect_success(json!({"type": "create", "listed": true, "title": "all may come"}))
        .await;
    let mut eve = Client::connect(&chat);
    let rooms = eve.expect_success(json!({"type": "rooms"})).await;
    assert_eq!(
        each(rooms["rooms"].as_array().unwrap(), "title"),
        ["all may come"]
    );
    // An id that the server generates has 120 random bits, and a part of it finds nothing.
    let secret = secret.as_str().unwrap();
    assert_eq!(secret.len(), 20);
    assert_eq!(eve.expect_error(join(&secret[1..])).await, "room_not_found");
    eve.join(secret).await;
}

#[tokio::test(start_paused = true)]
async fn a_held_seat_in_a_full_room_survives_a_reconnect() {
    let chat = chat_with(|limits| limits.grace = secs(10));
    room(&chat, "r", Create::default().capacity(2)).await;
    let mut ann = Client::connect(&chat);
    let before = ann.join("r").await;
    let _ben = member(&chat, "r", "Ben").await;
    let mut carl = Client::connect(&chat);
    ann.end().abort();
    pass(secs(9)).await;
    assert_eq!(carl.expect_error(join("r")).await, "room_full");
    ann.reconnect(&chat);
    ann.hello().await;
    assert_eq!(ann.rejoin("r").await["you"], before["you"]);
    pass(secs(20)).await;
    assert_eq!(carl.expect_error(join("r")).await, "room_full");
    // Once the grace period is over, anybody may take the seat.
    ann.end().abort();
    pass(secs(10)).await;
    carl.join("r").await;
    ann.reconnect(&chat);
    ann.hello().await;
    assert_eq!(ann.expect_error(join("r")).await, "room_full");
}

#[tokio::test(start_paused = true)]
async fn a_kicked_member_receives_nothing_more_and_may_rejoin() {
    let chat = chat();
    let mut ann = member(&chat, "r", "Ann").await;
    let mut ben = member(&chat, "r", "Ben").await;
    ben.join("other").await;
    ann.send("r", "before").await;
    assert!(
        host(&chat, "r")
            .kick(id(&ben, "r"), Some("enough"))
            .await
            .unwrap()
    );
    assert!(!host(&chat, "r").kick(id(&ben, "r"), None).await.unwrap());
    ann.send("r", "after").await;
    let heard = ben.until_idle().await;
    assert_eq!(each(&only(&heard, "message"), "text"), ["before"]);
    let removed = only(&heard, "removed");
    assert_eq!(
        (&removed[0]["reason"], &removed[0]["text"]),
        (&json!("kicked"), &json!("enough"))
    );
    assert_eq!(heard.last().unwrap()["type"], "removed");
    let send = json!({"type": "send", "room": "r", "text": "x"});
    assert_eq!(ben.expect_error(send).await, "not_joined");
    ben.send("other", "still here").await;
    assert_eq!(ben.rejoin("r").await["recovered"], true);
    assert_eq!(ben.event("message").await["text"], "still here");
    assert_eq!(ben.event("message").await["text"], "after");
}

#[tokio::test(start_paused = true)]
async fn a_banned_member_stays_out_until_the_ban_ends_or_is_lifted() {
    let chat = chat();
    let mut ben = member(&chat, "r", "Ben").await;
    let who = id(&ben, "r");
    host(&chat, "r")
        .ban(who, Some(secs(60)), None)
        .await
        .unwrap();
    let removed = ben.event("removed").await;
    assert_eq!(
        (&removed["reason"], &removed["until"]),
        (&json!("banned"), &json!(START + 60_000))
    );
    let refusal = ben.request(join("r")).await;
    assert_eq!(
        (&refusal["code"], &refusal["retry_after_ms"]),
        (&json!("banned"), &json!(60_000))
    );
    // With the token, another connection in the same second is the same member; without it, the
    // connection is a stranger.
    ben.reconnect(&chat);
    ben.hello().await;
    assert_eq!(ben.expect_error(join("r")).await, "banned");
    let mut stranger = Client::connect(&chat);
    assert_ne!(
        stranger.join("r").await["you"]["id"],
        who.to_string().as_str()
    );
    pass(ms(59_999)).await;
    assert_eq!(ben.expect_error(join("r")).await, "banned");
    pass(ms(1)).await;
    ben.join("r").await;
    host(&chat, "r").ban(who, None, None).await.unwrap();
    assert_eq!(ben.event("removed").await.get("until"), None);
    pass(secs(3600)).await;
    let refusal = ben.request(join("r")).await;
    assert_eq!(
        (&refusal["code"], refusal.get("retry_after_ms")),
        (&json!("banned"), None)
    );
    host(&chat, "r").unban(who).await.unwrap();
    ben.join("r").await;
}

#[tokio::test(start_paused = true)]
async fn a_ban_removes_every_connection_of_the_member_and_frees_the_seat() {
    let chat = chat();
    let mut ann = member(&chat, "r", "Ann").await;
    let mut ben = member(&chat, "r", "Ben").await;
    let mut twin = Client::connect(&chat);
    twin.expect_success(json!({"type": "hello", "token": ben.token()}))
        .await;
    twin.join("r").await;
    assert!(
        host(&chat, "r")
            .ban(id(&ben, "r"), None, None)
            .await
            .unwrap()
    );
    ann.send("r", "gone").await;
    for client in [&mut ben, &mut twin] {
        let heard = client.until_idle().await;
        assert_eq!(only(&heard, "removed").len(), 1);
        assert!(only(&heard, "message").is_empty());
        assert_eq!(client.expect_error(join("r")).await, "banned");
    }
    // A member who has left can be banned too.
    let mut carl = member(&chat, "r", "Carl").await;
    let who = id(&carl, "r");
    carl.expect_success(json!({"type": "leave", "room": "r"}))
        .await;
    assert!(!host(&chat, "r").ban(who, None, None).await.unwrap());
    assert_eq!(carl.expect_error(join("r")).await, "banned");
    assert_eq!(host(&chat, "r").info().await.unwrap().count, 1);
}
