//! Nicknames: no two in a room look alike, and every member has one.

mod common;

use chat_memory::Client;
use common::*;
use serde_json::{Value, json};

fn named(nickname: &str) -> Value {
    json!({"type": "join", "room": "r", "nickname": nickname})
}

#[tokio::test(start_paused = true)]
async fn a_nickname_that_looks_like_a_taken_one_is_refused() {
    let chat = chat();
    let _ann = member(&chat, "r", "paypal").await;
    let mut eve = Client::connect(&chat);
    for like in ["paypal", "PayPal", "ＰＡＹＰＡＬ", "раураl", "  paypal  "] {
        assert_eq!(
            eve.expect_error(named(like)).await,
            "nickname_taken",
            "{like}"
        );
    }
    for bad in ["", " ", "\u{202E}x", "a\u{200B}", "\n", &"x".repeat(21)] {
        assert_eq!(
            eve.expect_error(named(bad)).await,
            "bad_nickname",
            "{bad:?}"
        );
    }
    assert_eq!(
        eve.expect_success(named("  Eve   Q ")).await["you"]["nickname"],
        "Eve Q"
    );
}

#[tokio::test(start_paused = true)]
async fn a_nickname_is_free_in_other_rooms_and_once_it_is_given_up() {
    let chat = chat();
    let mut ann = member(&chat, "r", "Ann").await;
    let mut other = Client::connect(&chat);
    other
        .expect_success(json!({"type": "join", "room": "other", "nickname": "Ann"}))
        .await;
    assert_eq!(other.expect_error(named("Ann")).await, "nickname_taken");
    ann.expect_success(json!({"type": "nickname", "nickname": "Anna"}))
        .await;
    other.expect_success(named("Ann")).await;
    let back = json!({"type": "nickname", "nickname": "Ann"});
    assert_eq!(ann.expect_error(back.clone()).await, "nickname_taken");
    other
        .expect_success(json!({"type": "leave", "room": "r"}))
        .await;
    ann.expect_success(back).await;
}

#[tokio::test(start_paused = true)]
async fn a_nickname_is_held_during_the_grace_period() {
    let chat = chat();
    let mut ann = member(&chat, "r", "Ann").await;
    let mut eve = Client::connect(&chat);
    ann.end().abort();
    pass(ms(9_900)).await;
    assert_eq!(eve.expect_error(named("ann")).await, "nickname_taken");
    // The owner of the nickname gets it back without giving it again.
    ann.reconnect(&chat);
    ann.hello().await;
    assert_eq!(ann.rejoin("r").await["you"]["nickname"], "Ann");
    ann.end().abort();
    pass(ms(10_100)).await;
    eve.expect_success(named("ann")).await;
}

#[tokio::test(start_paused = true)]
async fn a_nickname_changes_in_all_rooms_or_in_none() {
    let chat = chat();
    let mut ann = Client::connect(&chat);
    for room in ["a", "b", "c"] {
        ann.expect_success(json!({"type": "join", "room": room, "nickname": "Ann"}))
            .await;
    }
    let mut eve = Client::connect(&chat);
    eve.expect_success(json!({"type": "join", "room": "b", "nickname": "Queen"}))
        .await;
    pass(secs(1)).await;
    let rename = json!({"type": "nickname", "nickname": "queen"});
    assert_eq!(ann.expect_error(rename.clone()).await, "nickname_taken");
    pass(secs(1)).await;
    assert!(
        only(&ann.until_idle().await, "presence")
            .iter()
            .all(|event| event.get("renamed").is_none())
    );
    for room in ["a", "b", "c"] {
        let view = ann.view(room);
        assert_eq!(view.members[&view.me], "Ann");
    }
    eve.expect_success(json!({"type": "nickname", "nickname": "King", "room": "b"}))
        .await;
    assert_eq!(ann.expect_success(rename).await["nickname"], "queen");
    pass(secs(1)).await;
    ann.until_idle().await;
    for room in ["a", "b", "c"] {
        let view = ann.view(room);
        assert_eq!(view.members[&view.me], "queen");
    }
    assert_eq!(ann.join("d").await["you"]["nickname"], "queen");
}

#[tokio::test(start_paused = true)]
async fn a_nickname_can_be_changed_in_one_room_only() {
    let chat = chat();
    let mut ann = member(&chat, "a", "Ann").await;
    ann.expect_success(json!({"type": "join", "room": "b", "nickname": "Ann"}))
        .await;
    let mut ben = member(&chat, "a", "Ben").await;
    pass(secs(1)).await;
    ben.until_idle().await;
    ann.expect_success(json!({"type": "nickname", "nickname": "Zoe", "room": "a"}))
        .await;
    let told = only(&ben.until_idle().await, "presence");
    assert_eq!(
        each(told[0]["renamed"].as_array().unwrap(), "nickname"),
        ["Zoe"]
    );
    ann.until_idle().await;
    assert_eq!(ann.view("b").members[&ann.view("b").me], "Ann");
    let elsewhere = json!({"type": "nickname", "nickname": "Zoe", "room": "c"});
    assert_eq!(ann.expect_error(elsewhere).await, "not_joined");
    // A message carries the nickname of the time it is sent.
    ann.send("a", "hi").await;
    assert_eq!(ben.event("message").await["from"]["nickname"], "Zoe");
}

#[tokio::test(start_paused = true)]
async fn the_nickname_from_hello_is_used_for_joins_and_may_be_taken() {
    let chat = chat();
    let _ann = member(&chat, "r", "Ann").await;
    let mut eve = Client::connect(&chat);
    let welcome = eve
        .expect_success(json!({"type": "hello", "nickname": " Ann "}))
        .await;
    assert_eq!(welcome["nickname"], "Ann");
    let plain = json!({"type": "join", "room": "r"});
    assert_eq!(eve.expect_error(plain).await, "nickname_taken");
    assert_eq!(eve.join("other").await["you"]["nickname"], "Ann");
    eve.expect_success(named("Eve")).await;
}

#[tokio::test(start_paused = true)]
async fn the_default_nicknames_in_a_crowded_room_all_differ() {
    let chat = chat();
    let mut names = std::collections::BTreeSet::new();
    for locale in ["ko-KR", "en"] {
        for _ in 0..300 {
            let mut client = Client::connect(&chat);
            client
                .expect_success(json!({"type": "hello", "locale": locale}))
                .await;
            let joined = client.join("r").await;
            let name = joined["you"]["nickname"].as_str().unwrap().to_owned();
            assert_eq!(name.is_ascii(), locale == "en");
            assert!(names.insert(name.to_lowercase()), "{name}");
            drop(client);
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_nickname_cannot_reverse_hide_or_overflow_the_line_it_appears_in() {
    let chat = chat();
    let mut ann = Client::connect(&chat);
    let bidi = ('\u{202A}'..='\u{202E}').chain('\u{2066}'..='\u{2069}');
    let zero_width = ('\u{200B}'..='\u{200F}').chain(['\u{2060}', '\u{FEFF}', '\u{AD}', '\u{61C}']);
    let variation = ['\u{FE0E}', '\u{FE0F}', '\u{E0100}', '\u{180B}'];
    let tags = ['\u{E0001}', '\u{E0041}', '\u{E007F}'];
    let fillers = [
        '\u{115F}', '\u{3164}', '\u{FFA0}', '\u{2028}', '\u{2029}', '\u{85}', '\u{1B}',
    ];
    let hidden = bidi
        .chain(zero_width)
        .chain(variation)
        .chain(tags)
        .chain(fillers);
    for c in hidden {
        for bad in [format!("An{c}n"), format!("{c}Ann"), format!("Ann{c}")] {
            assert_eq!(
                ann.expect_error(named(&bad)).await,
                "bad_nickname",
                "{bad:?}"
            );
        }
    }
    // An emoji made of several is refused, because accepting it would let through nicknames that
    // look like others.
    let family = "👩\u{200D}👩\u{200D}👧";
    let tower = format!("a{}", "\u{301}".repeat(500));
    let many = format!("👍{}", "\u{200D}👍".repeat(10_000));
    let wide = "\u{FDFD}".repeat(21);
    let spread = "\u{FDFA}".repeat(2);
    for bad in [
        family,
        &tower,
        &many,
        &wide,
        &spread,
        " \u{3000} ",
        "\u{301}\u{302}",
    ] {
        assert_eq!(
            ann.expect_error(named(bad)).await,
            "bad_nickname",
            "{bad:?}"
        );
    }
    ann.expect_success(named("\u{FDFD}")).await;
}

#[tokio::test(start_paused = true)]
async fn nicknames_in_any_script_are_accepted_and_lookalikes_are_refused() {
    let chat = chat();
    for (name, like) in [
        ("Modern", "Modem"),
        ("Illinois", "lllinois"),
        ("Olga", "Οlga"),
        ("scope", "ѕсоре"),
        ("straße", "STRASSE"),
        ("Zoe\u{308}", "Zoë"),
        ("O K", "O  K"),
        ("홍길동", "\u{1112}\u{1169}\u{11BC}길동"),
    ] {
        let _owner = member(&chat, "r", name).await;
        let mut eve = Client::connect(&chat);
        assert_eq!(
            eve.expect_error(named(like)).await,
            "nickname_taken",
            "{like}"
        );
    }
    for name in [
        "Αλέξανδρος",
        "Екатерина",
        "محمد",
        "Ольга",
        "さくら",
        "श्री",
        "홍길순",
    ] {
        member(&chat, "r", name).await;
    }
}

#[tokio::test(start_paused = true)]
async fn a_member_cannot_speak_as_the_host_whatever_their_nickname() {
    let chat = chat();
    let mut ann = member(&chat, "r", "Ann").await;
    let mut eve = member(&chat, "r", "system").await;
    for forged in [
        json!({"type": "notice", "room": "r", "text": "x"}),
        json!({"type": "send", "room": "r", "text": "x", "from": {"id": "", "nickname": "Host"}}),
    ] {
        eve.request(forged).await;
    }
    eve.expect_success(json!({"type": "nickname", "nickname": "Ann is typing"}))
        .await;
    host(&chat, "r").announce("of the host").await.unwrap();
    let heard = ann.until_idle().await;
    assert_eq!(each(&only(&heard, "notice"), "text"), ["of the host"]);
    let messages = only(&heard, "message");
    assert_eq!(each(&messages, "text"), ["x"]);
    assert_eq!(messages[0]["from"]["nickname"], "system");
    assert!(only(&heard, "typing").is_empty());
}
