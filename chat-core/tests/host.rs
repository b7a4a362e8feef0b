//! What the host does with rooms, and what it needs for that.

mod common;

use chat_core::{Chat, Code, Create, MemberId};
use chat_memory::Client;
use common::*;
use serde_json::json;

#[tokio::test(start_paused = true)]
async fn a_bad_id_is_an_error_at_once() {
    let chat = chat();
    for id in ["", "a b", "ü", &"x".repeat(65)] {
        assert_eq!(chat.room(id).unwrap_err().code, Code::BadRoom);
        assert_eq!(chat.ensure_room(id).await.unwrap_err().code, Code::BadRoom);
    }
}

#[tokio::test(start_paused = true)]
async fn an_announcement_makes_no_room() {
    let chat = chat();
    let refused = host(&chat, "r").announce("hello").await.unwrap_err();
    assert_eq!(refused.code, Code::RoomNotFound);
    assert_eq!(chat.stats().rooms, 0);
    // A room that has ended is not made again in silence either.
    let room = chat.ensure_room("r").await.unwrap();
    assert_eq!(room.announce("hello").await.unwrap(), 1);
    room.close(None).await.unwrap();
    assert_eq!(
        room.announce("hello").await.unwrap_err().code,
        Code::RoomExpired
    );
    assert_eq!(
        chat.ensure_room("r").await.unwrap_err().code,
        Code::RoomExpired
    );
}

#[tokio::test(start_paused = true)]
async fn a_room_that_exists_is_left_as_it_is() {
    let chat = chat();
    room(&chat, "r", Create::default().title("Tea").capacity(3)).await;
    let info = chat.ensure_room("r").await.unwrap().info().await.unwrap();
    assert_eq!((&*info.title, info.capacity), ("Tea", 3));
    assert!(info.expires_at.is_some());
}

#[tokio::test(start_paused = true)]
async fn members_come_in_pages() {
    let chat = chat_with(|limits| limits.page = 3);
    let mut clients = Vec::new();
    for n in 0..7 {
        clients.push(member(&chat, "r", &format!("Member {n}")).await);
    }
    pass(ms(200)).await;
    let (mut seen, mut cursor) = (Vec::new(), None);
    loop {
        let page = host(&chat, "r")
            .members(cursor.as_deref(), 100)
            .await
            .unwrap();
        assert_eq!(page.count, 7);
        assert!(page.members.len() <= 3);
        seen.extend(
            page.members
                .into_iter()
                .map(|member| member.nickname.to_string()),
        );
        cursor = page.cursor;
        if cursor.is_none() {
            break;
        }
    }
    let expected: Vec<_> = (0..7).map(|n| format!("Member {n}")).collect();
    assert_eq!(seen, expected);
    let unknown = host(&chat, "r").members(Some("x"), 3).await.unwrap_err();
    assert_eq!(unknown.code, Code::BadCommand);
}

/// The member is removed, and the host is told that they may come back.
#[tokio::test(start_paused = true)]
async fn a_ban_that_does_not_fit_is_an_error() {
    let chat = chat();
    let mut ann = member(&chat, "r", "Ann").await;
    for n in 0..10_000u64 {
        let mut id = [b'A'; 20];
        id[..10].copy_from_slice(format!("{n:010}").as_bytes());
        let id = MemberId::parse(std::str::from_utf8(&id).unwrap()).unwrap();
        assert!(!host(&chat, "r").ban(id, None, None).await.unwrap());
    }
    let id = MemberId::parse(&ann.view("r").me).unwrap();
    let refused = host(&chat, "r").ban(id, None, None).await.unwrap_err();
    assert_eq!(refused.code, Code::Unavailable);
    assert_eq!(ann.event("removed").await["reason"], "kicked");
    ann.join("r").await;
}

#[tokio::test(start_paused = true)]
async fn a_ban_of_more_than_a_century_has_no_end_that_clients_would_have_to_show() {
    let chat = chat();
    let mut ann = member(&chat, "r", "Ann").await;
    let id = MemberId::parse(&ann.view("r").me).unwrap();
    let forever = Some(std::time::Duration::MAX);
    host(&chat, "r").ban(id, forever, None).await.unwrap();
    assert_eq!(ann.event("removed").await.get("until"), None);
    let refused = ann.request(json!({"type": "join", "room": "r"})).await;
    assert_eq!(refused["code"], "banned");
    assert_eq!(refused.get("retry_after_ms"), None);
}

/// The members of a room that has ended go away late; that must not push other ids out of memory.
#[tokio::test(start_paused = true)]
async fn an_ended_room_is_remembered_once_whoever_leaves_it_late() {
    let chat = chat_with(|limits| limits.ended_rooms = 2);
    let mut late = Vec::new();
    for n in 0..5 {
        let mut member = member(&chat, "a", &format!("Member {n}")).await;
        member.until_idle().await;
        member.end().stall();
        late.push(member);
    }
    chat.ensure_room("b").await.unwrap();
    for room in ["b", "a"] {
        host(&chat, room).close(None).await.unwrap();
    }
    late.clear();
    pass(secs(60)).await;
    for room in ["a", "b"] {
        let refused = host(&chat, room).info().await.unwrap_err();
        assert_eq!(refused.code, Code::RoomExpired, "{room}");
    }
}

#[tokio::test(start_paused = true)]
async fn tokens_live_as_long_as_the_limit_says() {
    let chat = chat_with(|limits| limits.token_ttl = secs(60));
    let mut ann = Client::connect(&chat);
    let welcome = ann.expect_success(json!({"type": "hello"})).await;
    assert_eq!(welcome["expires_at"], START + 60_000);
    let hello = json!({"type": "hello", "token": welcome["token"]});
    pass(secs(59)).await;
    Client::connect(&chat).expect_success(hello.clone()).await;
    pass(secs(1)).await;
    let mut late = Client::connect(&chat);
    assert_eq!(late.expect_error(hello).await, "bad_token");
}

/// Without tokio's timer no room would ever end.
#[test]
fn without_a_runtime_or_its_timer_the_engine_fails_loudly() {
    let chat = Chat::builder().build();
    let serve = || {
        let (server, _end) = chat_memory::pair(usize::MAX);
        drop(chat.admit(None).unwrap().serve(server));
    };
    let fails = |attempt: &dyn Fn()| {
        let attempt = std::panic::AssertUnwindSafe(attempt);
        std::panic::catch_unwind(attempt).is_err()
    };
    assert!(fails(&serve), "outside of a runtime");
    let mut runtime = tokio::runtime::Builder::new_current_thread();
    let without_timer = runtime.build().unwrap();
    assert!(
        fails(&|| without_timer.block_on(async { serve() })),
        "without its timer"
    );
    let with_timer = runtime.enable_time().build().unwrap();
    with_timer.block_on(async { serve() });
}

#[test]
fn public_types_can_be_debugged_without_secrets() {
    #[derive(Debug)]
    #[allow(dead_code)]
    struct AppState {
        chat: Chat,
    }
    let builder = Chat::builder().secret("a very secret secret");
    assert!(!format!("{builder:?}").contains("very"));
    let chat = builder.build();
    let room = format!("{:?}", chat.room("tea"));
    assert!(room.contains("tea"), "{room}");
    let ticket = chat.admit(None).unwrap();
    assert_eq!(format!("{ticket:?}"), "Ticket { identified: false, .. }");
    let create = format!("{:?}", Create::default().title("Tea").password("sesame"));
    assert!(
        create.contains("Tea") && !create.contains("sesame"),
        "{create}"
    );
    let state = AppState { chat };
    let text = format!("{state:?}");
    assert!(
        text.contains("connections: 1") && !text.contains("very"),
        "{text}"
    );
}
