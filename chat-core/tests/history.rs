//! Reading the history of a room, page by page.

mod common;

use common::*;
use serde_json::{Value, json};

fn page(before: impl Into<Value>, limit: impl Into<Value>) -> Value {
    json!({"type": "history", "room": "r", "before": before.into(), "limit": limit.into()})
}

fn seqs(page: &Value) -> Vec<u64> {
    let messages = page["messages"].as_array().unwrap();
    messages
        .iter()
        .map(|message| message["seq"].as_u64().unwrap())
        .collect()
}

#[tokio::test(start_paused = true)]
async fn pages_read_during_a_conversation_hold_every_message_once() {
    let chat = chat();
    let mut ann = member(&chat, "r", "Ann").await;
    let mut ben = member(&chat, "r", "Ben").await;
    for n in 0..230 {
        ann.send("r", &n.to_string()).await;
    }
    let (mut before, mut all) = (Value::Null, Vec::new());
    loop {
        let page = ben.expect_success(page(before.clone(), json!(30))).await;
        all.splice(0..0, seqs(&page));
        ann.send("r", "meanwhile").await;
        if page["more"] == false {
            break;
        }
        before = page["messages"][0]["seq"].clone();
    }
    assert_eq!(all, (1..=230).collect::<Vec<u64>>());
    assert_eq!(only(&ben.until_idle().await, "message").len(), 238);
}

#[tokio::test(start_paused = true)]
async fn a_page_keeps_to_its_limit_and_to_the_retained_messages() {
    let chat = chat_with(|limits| limits.log_events = 300);
    let mut ann = member(&chat, "r", "Ann").await;
    let empty = ann.expect_success(page(Value::Null, Value::Null)).await;
    assert_eq!((seqs(&empty), &empty["more"]), (vec![], &json!(false)));
    for n in 0..400 {
        ann.send("r", &n.to_string()).await;
    }
    // Messages 101 to 400 are retained.
    let told = [
        (Value::Null, Value::Null, 351..=400, true),
        (Value::Null, json!(1), 400..=400, true),
        (Value::Null, json!(1_000_000), 301..=400, true),
        (json!(400), json!(2), 398..=399, true),
        (json!(200), json!(99), 101..=199, false),
        (json!(201), json!(99), 102..=200, true),
        (json!(102), json!(5), 101..=101, false),
        (json!((1u64 << 53) - 1), json!(1), 400..=400, true),
    ];
    for (before, limit, expected, more) in told {
        let page = ann.expect_success(page(before.clone(), limit)).await;
        assert_eq!(
            (seqs(&page), &page["more"]),
            (expected.collect(), &json!(more)),
            "{before}"
        );
    }
    for before in [1, 50, 101] {
        let page = ann.expect_success(page(json!(before), Value::Null)).await;
        assert_eq!(
            (seqs(&page), &page["more"]),
            (vec![], &json!(false)),
            "{before}"
        );
    }
    for bad in [page(json!(0), Value::Null), page(Value::Null, json!(0))] {
        assert_eq!(ann.expect_error(bad).await, "bad_command");
    }
}

#[tokio::test(start_paused = true)]
async fn a_page_holds_complete_events_and_requires_membership() {
    let chat = chat();
    let mut ann = member(&chat, "r", "Ann").await;
    let data = json!({"n": [1, 2.50, null, "\u{10FFFD}"]});
    ann.expect_success(json!({"type": "send", "room": "r", "text": "a\tb", "data": data}))
        .await;
    ann.expect_success(json!({"type": "send", "room": "r", "text": "re", "reply_to": 1}))
        .await;
    host(&chat, "r").announce("notice").await.unwrap();
    let live: Vec<Value> = ann
        .until_idle()
        .await
        .into_iter()
        .filter(|event| event.get("seq").is_some())
        .collect();
    let page = ann.expect_success(page(Value::Null, Value::Null)).await;
    assert_eq!(page["messages"], json!(live));
    assert_eq!(
        (&live[0]["data"], &live[1]["reply_to"], &live[2]["type"]),
        (&data, &json!(1), &json!("notice"))
    );
    ann.expect_success(json!({"type": "leave", "room": "r"}))
        .await;
    assert_eq!(
        ann.expect_error(json!({"type": "history", "room": "r"}))
            .await,
        "not_joined"
    );
}

#[tokio::test(start_paused = true)]
async fn data_is_delivered_byte_for_byte() {
    let chat = chat();
    let mut ann = member(&chat, "r", "Ann").await;
    ann.until_idle().await;
    let data = r#"{ "big":12345678901234567890.10, "dup":1,"dup":2 ,"e":"é" }"#;
    ann.send_raw(&format!(
        r#"{{"type":"send","room":"r","text":"x","data":{data}}}"#
    ));
    let sent = ann.end().recv().await;
    let message = ann.end().recv().await;
    assert!(format!("{sent:?}").contains("sent"));
    let Some(chat_memory::Received::Text(message)) = message else {
        panic!("{message:?}")
    };
    assert!(std::str::from_utf8(&message).unwrap().contains(data));
}
