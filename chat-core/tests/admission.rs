//! Who is let in.

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
async fn twice_as_many_as_seats_fill_the_room_exactly() {
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
    // One seat becomes free, one is let in.
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
async fn no_interleaving_of_threads_seats_one_too_many() {
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
                    assert!(now <= 3, "{now} are seated");
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
    assert!(admitted >= 16, "hardly anybody was let in: {admitted}");
    assert_eq!(host(&chat, "r").info().await.unwrap().count, 0);
}

#[tokio::test(start_paused = true)]
async fn refusals_come_in_the_order_of_the_checks() {
    let chat = builder().open_rooms(false).build();
    let create = Create::default().capacity(2).password("sesame");
    room(&chat, "r", create).await;
    let knock = |password: Value, nickname: &str| json!({"type": "join", "room": "r", "password": password, "nickname": nickname});
    let mut ann = Client::connect(&chat);
    ann.expect_success(knock(json!("sesame"), "Ann")).await;
    let mut ben = Client::connect(&chat);
    ben.expect_success(knock(json!("sesame"), "Ben")).await;
    host(&chat, "r")
        .ban(id(&ben, "r"), None, None)
        .await
        .unwrap();
    ben.event("removed").await;
    let mut dan = Client::connect(&chat);
    dan.expect_success(knock(json!("sesame"), "Dan")).await;

    let mut eve = Client::connect(&chat);
    assert_eq!(eve.expect_error(join("a b")).await, "bad_room");
    assert_eq!(eve.expect_error(join("elsewhere")).await, "room_not_found");
    assert_eq!(
        ben.expect_error(knock(json!("wrong"), "Ann")).await,
        "banned"
    );
    assert_eq!(
        eve.expect_error(knock(Value::Null, "Ann")).await,
        "password_required"
    );
    assert_eq!(
        eve.expect_error(knock(json!("wrong"), "Ann")).await,
        "wrong_password"
    );
    assert_eq!(
        eve.expect_error(knock(json!("sesame"), "ann")).await,
        "nickname_taken"
    );
    assert_eq!(
        eve.expect_error(knock(json!("sesame"), "Eve")).await,
        "room_full"
    );
    assert_eq!(
        ann.expect_error(knock(json!("wrong"), "Ben")).await,
        "already_joined"
    );
    host(&chat, "r").close(None).await.unwrap();
    assert_eq!(
        ben.expect_error(knock(json!("wrong"), "Ann")).await,
        "room_expired"
    );
}

#[tokio::test(start_paused = true)]
async fn an_early_refusal_leaves_no_trace() {
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
async fn the_creator_and_whoever_was_let_in_need_no_password() {
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
async fn wrong_passwords_are_limited_and_then_the_right_one_too() {
    let defaults = Limits::default();
    let chat = chat_with(|limits| {
        limits.passwords_per_room = defaults.passwords_per_room;
        limits.passwords_per_address = defaults.passwords_per_address;
    });
    room(&chat, "r", Create::default().password("sesame")).await;
    let knock = |password: &str| json!({"type": "join", "room": "r", "password": password});
    let mut inside = Client::connect(&chat);
    inside.expect_success(knock("sesame")).await;
    inside
        .expect_success(json!({"type": "leave", "room": "r"}))
        .await;
    let mut eve = Client::connect(&chat);
    for _ in 0..5 {
        assert_eq!(eve.expect_error(knock("barley")).await, "wrong_password");
    }
    let limited = eve.request(knock("sesame")).await;
    assert_eq!(limited["code"], "rate_limited");
    let wait = limited["retry_after_ms"].as_u64().unwrap();
    // A right password is no try, and who was let in is not asked.
    inside.expect_success(knock("barley")).await;
    pass(ms(wait - 1)).await;
    let early = eve.request(knock("sesame")).await;
    assert_eq!(early["code"], "rate_limited");
    pass(ms(early["retry_after_ms"].as_u64().unwrap())).await;
    eve.expect_success(knock("sesame")).await;
}

#[tokio::test(start_paused = true)]
async fn the_wait_grows_with_every_try_and_no_new_identity_shortens_it() {
    let defaults = Limits::default();
    let chat = chat_with(|limits| {
        limits.passwords_per_room = defaults.passwords_per_room;
        limits.passwords_per_address = defaults.passwords_per_address;
    });
    let locked = Create::default().password("sesame");
    room(&chat, "r", locked.clone()).await;
    room(&chat, "other", locked).await;
    let knock =
        |room: &str, password: &str| json!({"type": "join", "room": room, "password": password});
    for _ in 0..5 {
        let mut eve = client_from(&chat, "192.0.2.1");
        assert_eq!(
            eve.expect_error(knock("r", "wrong")).await,
            "wrong_password"
        );
    }
    let mut before = 0;
    for n in 0..100 {
        let mut eve = client_from(&chat, "192.0.2.1");
        let limited = eve.request(knock("r", "sesame")).await;
        assert_eq!(limited["code"], "rate_limited");
        let wait = limited["retry_after_ms"].as_u64().unwrap();
        assert!(wait > before || wait == 900_000, "{n}: {before}, {limited}");
        before = wait;
    }
    assert_eq!(before, 900_000, "the bound");
    // One room's wait is not another's, nor another address's.
    let mut eve = client_from(&chat, "192.0.2.1");
    eve.expect_success(knock("other", "sesame")).await;
    let mut ann = client_from(&chat, "192.0.2.2");
    ann.expect_success(knock("r", "sesame")).await;
    pass(ms(before)).await;
    eve.expect_success(knock("r", "sesame")).await;
}

#[tokio::test(start_paused = true)]
async fn wrong_passwords_of_one_address_are_limited_over_all_rooms() {
    let defaults = Limits::default();
    let chat = chat_with(|limits| {
        limits.passwords_per_room = defaults.passwords_per_room;
        limits.passwords_per_address = defaults.passwords_per_address;
    });
    let knock = |room: usize, password: &str| json!({"type": "join", "room": format!("r{room}"), "password": password});
    for n in 0..5 {
        let create = Create::default().password("sesame");
        room(&chat, &format!("r{n}"), create).await;
    }
    let mut eve = client_from(&chat, "2001:db8::1");
    for n in 0..20 {
        assert_eq!(
            eve.expect_error(knock(n / 5, "wrong")).await,
            "wrong_password"
        );
    }
    // The same /64, and a room where nobody has tried yet.
    let mut other = client_from(&chat, "2001:db8::ffff");
    assert_eq!(other.expect_error(knock(4, "sesame")).await, "rate_limited");
    let mut ann = client_from(&chat, "2001:db8:0:1::1");
    ann.expect_success(knock(4, "sesame")).await;
}

#[tokio::test(start_paused = true)]
async fn out_of_a_room_there_is_nothing_to_see_or_do() {
    let chat = chat();
    let closed = async |client: &mut Client, how: &str| {
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
    closed(&mut eve, "never in").await;
    eve.expect_success(enter.clone()).await;
    eve.expect_success(json!({"type": "leave", "room": "r"}))
        .await;
    closed(&mut eve, "left").await;
    eve.join("r").await;
    host(&chat, "r").kick(id(&eve, "r"), None).await.unwrap();
    eve.event("removed").await;
    closed(&mut eve, "kicked").await;
    eve.join("r").await;
    host(&chat, "r")
        .ban(id(&eve, "r"), None, None)
        .await
        .unwrap();
    eve.event("removed").await;
    closed(&mut eve, "banned").await;
    pass(secs(61)).await;
    closed(&mut ann, "expired").await;
}

#[tokio::test(start_paused = true)]
async fn a_room_that_is_not_listed_is_found_by_its_id_alone() {
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
    // An id of the server's own is 120 random bits, and next to it there is nothing.
    let secret = secret.as_str().unwrap();
    assert_eq!(secret.len(), 20);
    assert_eq!(eve.expect_error(join(&secret[1..])).await, "room_not_found");
    eve.join(secret).await;
}

#[tokio::test(start_paused = true)]
async fn a_held_seat_in_a_full_room_survives_a_refresh() {
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
    // Once the grace is over the seat is anybody's.
    ann.end().abort();
    pass(secs(10)).await;
    carl.join("r").await;
    ann.reconnect(&chat);
    ann.hello().await;
    assert_eq!(ann.expect_error(join("r")).await, "room_full");
}

#[tokio::test(start_paused = true)]
async fn who_is_kicked_hears_nothing_more_and_may_come_back() {
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
async fn who_is_banned_stays_out_until_it_ends_or_is_lifted() {
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
    // With its token, in the same second, on another connection, it is the same; without, it is somebody else.
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
async fn a_ban_ends_every_connection_of_the_member_and_its_seat() {
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
    // Who is away, or was never here, is banned all the same.
    let mut carl = member(&chat, "r", "Carl").await;
    let who = id(&carl, "r");
    carl.expect_success(json!({"type": "leave", "room": "r"}))
        .await;
    assert!(!host(&chat, "r").ban(who, None, None).await.unwrap());
    assert_eq!(carl.expect_error(join("r")).await, "banned");
    assert_eq!(host(&chat, "r").info().await.unwrap().count, 1);
}
