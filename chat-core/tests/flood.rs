//! Floods and how little they affect others. The tests count turns and bytes instead of time.

mod common;

use chat_core::Chat;
use chat_memory::{Client, ClientEnd, Ledger, Received, pair};
use common::*;
use serde_json::{Value, json};

/// A client whose events are not checked.
fn unchecked_client(chat: &Chat, room: &str) -> ClientEnd {
    let (server, end) = pair(usize::MAX);
    tokio::spawn(chat.admit(None).unwrap().serve(server));
    end.send(format!(r#"{{"type":"join","room":"{room}"}}"#));
    end
}

/// Runs a test as a spawned task. The main task of the runtime gets its turn only after 61 turns of
/// spawned tasks.
async fn run_as_a_spawned_task(test: impl Future<Output = ()> + Send + 'static) {
    tokio::spawn(test).await.unwrap();
}

/// The number of commands that one connection runs in one turn of its task.
const TURN: u64 = 128;

#[tokio::test(start_paused = true)]
async fn a_flood_elsewhere_delays_a_quiet_room_by_a_few_turns_only() {
    run_as_a_spawned_task(async {
        const FLOODERS: u64 = 4;
        const EACH: u64 = 4000;
        let chat = chat();
        let mut ann = member(&chat, "quiet", "Ann").await;
        let mut ben = member(&chat, "quiet", "Ben").await;
        ann.until_idle().await;
        let flooders: Vec<ClientEnd> = (0..FLOODERS)
            .map(|_| unchecked_client(&chat, "busy"))
            .collect();
        chat.ensure_room("busy").await.unwrap();
        for _ in 0..EACH {
            for flooder in &flooders {
                flooder.send(r#"{"type":"send","room":"busy","text":"x"}"#);
            }
        }
        let mut last = 0;
        for n in 0..5 {
            let before = host(&chat, "busy").announce("where are we?").await.unwrap();
            ann.send("quiet", &n.to_string()).await;
            ben.event("message").await;
            last = host(&chat, "busy").announce("and now?").await.unwrap();
            // One turn to receive the message, one to deliver it, and one for each wake in between.
            assert!(
                last - before <= FLOODERS * TURN * 5,
                "{} messages of the flood came before one of the quiet room",
                last - before
            );
        }
        assert!(
            last < FLOODERS * EACH,
            "the flood was over before the measurement was"
        );
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn a_member_of_a_busy_and_a_quiet_room_waits_for_one_batch_of_the_busy_one() {
    let chat = chat_with(|limits| {
        limits.log_events = 10_000;
        limits.log_bytes = 10 << 20;
    });
    let ledger = Ledger::default();
    let mut ann = Client::connect_with(&chat, 0, ledger.clone());
    ann.join("busy").await;
    ann.join("quiet").await;
    ann.until_idle().await;
    ann.end().stall();
    for _ in 0..5000 {
        host(&chat, "busy")
            .announce(&"x".repeat(200))
            .await
            .unwrap();
    }
    host(&chat, "quiet").announce("psst").await.unwrap();
    ann.end().resume();
    let heard = ann.until_idle().await;
    let bytes = |events: &[Value]| {
        events
            .iter()
            .map(|event| event.to_string().len())
            .sum::<usize>()
    };
    let at = heard
        .iter()
        .position(|event| event["room"] == "quiet")
        .unwrap();
    assert!(bytes(&heard) > 1 << 20);
    // The data that was already in the socket, and one batch of 16 KiB.
    let before = bytes(&heard[..at]);
    assert!(
        before < 33 * 1024,
        "{before} bytes of the busy room came first"
    );
}

#[tokio::test(start_paused = true)]
async fn a_client_that_requests_many_history_pages_delays_nobody_else() {
    run_as_a_spawned_task(async {
        let chat = chat();
        let mut ann = member(&chat, "r", "Ann").await;
        for _ in 0..200 {
            ann.send("r", &"x".repeat(1000)).await;
        }
        ann.until_idle().await;
        let pump = unchecked_client(&chat, "r");
        pass(ms(1)).await;
        while pump.try_recv().is_some() {}
        let page = json!({"type": "history", "room": "r", "limit": (1u64 << 53) - 1});
        for _ in 0..500 {
            pump.send(page.to_string());
        }
        let pages = || {
            let taken = std::iter::from_fn(|| pump.try_recv());
            let is_page = |event: &Received| {
                let prefix = br#"{"type":"history""#;
                matches!(event, Received::Text(json) if json.starts_with(prefix))
            };
            taken.filter(is_page).count()
        };
        ann.send("r", "meanwhile").await;
        // A page fills the outbox, and a full outbox ends the turn.
        let served = pages();
        assert!(served <= 5, "{served} pages were served before one message");
        pass(ms(10)).await;
        assert_eq!(served + pages(), 500);
    })
    .await;
}
