//! Holds `docs/PROTOCOL.md` to the types: every example in it is parsed or written by the code.

use std::sync::Arc;

use serde_json::value::RawValue;

use super::outbox::Outbox;
use crate::protocol::event::{Event, PresenceList, Reason, WelcomeLimits};
use crate::protocol::message::{Author, Message, Sent};
use crate::protocol::{
    Code, Error, Frames, Member, MemberId, Request, RoomId, RoomInfo, RoomsPage,
};

const DOC: &str = include_str!("../../../docs/PROTOCOL.md");

/// The JSON lines of the blocks fenced with `tag`.
fn examples(tag: &str) -> Vec<&'static str> {
    let fence = format!("```{tag}\n");
    let blocks = DOC
        .split(&fence)
        .skip(1)
        .map(|rest| rest.split("```").next().unwrap());
    blocks
        .flat_map(str::lines)
        .filter(|line| !line.is_empty())
        .collect()
}

fn kind(json: &str) -> String {
    let value: serde_json::Value = serde_json::from_str(json).expect(json);
    value["type"].as_str().expect(json).to_owned()
}

fn written() -> Vec<String> {
    let mut all = Vec::new();
    let member = |n: u8, nickname: &str| Member {
        id: MemberId([n; 15]),
        nickname: nickname.into(),
    };
    let (ann, bob, cho) = (
        member(1, "Ann"),
        member(2, "Quiet Otter"),
        member(3, "조용한 수달"),
    );
    let room = RoomId::new("tea").unwrap();
    let info = RoomInfo {
        id: room.clone(),
        title: "Tea & talk".into(),
        capacity: 10,
        count: 2,
        has_password: true,
        created_at: 1_767_225_600_000,
        expires_at: Some(1_767_312_000_000),
    };
    let lobby = RoomInfo {
        id: RoomId::new("lobby").unwrap(),
        title: String::new(),
        capacity: 0,
        count: 0,
        has_password: false,
        created_at: 1_767_225_500_000,
        expires_at: None,
    };
    let data = RawValue::from_string(r#"{"mood":"calm"}"#.into()).unwrap();
    let message = Message {
        room: &room,
        seq: 41,
        from: Author {
            id: ann.id,
            nickname: &ann.nickname,
        },
        text: "Hello!",
        at: 1_767_225_700_000,
        reply_to: Some(40),
        data: Some(&data),
    };
    let notice = Event::Notice {
        room: &room,
        seq: 42,
        text: "Welcome!",
        at: 1_767_225_701_000,
        data: None,
    };
    let messages = [
        Frames::encode_with(|out| message.write(out)),
        Frames::encode(&notice),
    ];
    let members = [ann.clone(), bob.clone()];
    let list = || PresenceList {
        version: 7,
        count: 2,
        members: &members,
    };
    all.push(String::from_utf8(messages[0].payload().to_vec()).unwrap());
    let sent = Sent {
        id: Some(6),
        room: &room,
        seq: 41,
        at: 1_767_225_700_000,
        key: Some("k-1"),
    };
    let sent = Frames::encode_with(|out| sent.write(out));
    all.push(String::from_utf8(sent.payload().to_vec()).unwrap());
    let mut one = |event: &Event<'_>| all.push(serde_json::to_string(event).unwrap());
    one(&Event::Welcome {
        id: Some(1),
        protocol: 1,
        nickname: "Quiet Otter",
        token: "v1.b3R0ZXI.c2lnbmVk",
        expires_at: 1_769_817_600_000,
        limits: WelcomeLimits {
            text_bytes: 4096,
            data_bytes: 4096,
            frame_bytes: 65_536,
            rooms_per_connection: 32,
            nickname_chars: 20,
            title_chars: 60,
            history: 100,
        },
        heartbeat_ms: 25_000,
    });
    one(&Event::Created {
        id: Some(2),
        room: &info,
    });
    let page = RoomsPage {
        rooms: vec![info.clone(), lobby],
        cursor: Some("12".into()),
    };
    one(&Event::Rooms {
        id: Some(3),
        page: &page,
    });
    one(&Event::Left {
        id: Some(5),
        room: &room,
    });
    one(&Event::Members {
        id: Some(8),
        room: &room,
        presence: list(),
        cursor: Some("2"),
    });
    one(&Event::Renamed {
        id: Some(9),
        nickname: "Bob",
    });
    one(&Event::Ok { id: 10 });
    one(&Event::Pong { id: Some(11) });
    one(&notice);
    let (joined, left) = (vec![cho], vec![bob.clone()]);
    let renamed = vec![Member {
        nickname: Arc::from("Anna"),
        ..ann
    }];
    one(&Event::Presence {
        room: &room,
        version: 8,
        count: 2,
        joined,
        left,
        renamed,
    });
    let (joined, left, renamed) = (vec![], vec![], vec![]);
    one(&Event::Presence {
        room: &room,
        version: 9,
        count: 4211,
        joined,
        left,
        renamed,
    });
    one(&Event::Typing {
        room: &room,
        member: &bob,
        active: true,
    });
    one(&Event::Gap {
        room: &room,
        epoch: "9f86d081884c7d65",
        from: 43,
        to: 170,
    });
    let until = Some(1_767_229_300_000);
    one(&Event::Removed {
        room: &room,
        reason: Reason::Banned,
        text: Some("Enough."),
        until,
    });
    for reason in [Reason::Kicked, Reason::Expired, Reason::Closed] {
        one(&Event::Removed {
            room: &room,
            reason,
            text: None,
            until: None,
        });
    }
    one(&Event::Closing {
        reason: "The server is going away",
        reconnect_after_ms: 2140,
    });
    let wait = std::time::Duration::from_millis(1500);
    let error = Error::rate_limited("Too many commands; please wait a little", wait);
    let mut outbox = Outbox::default();
    outbox.push_error(Some(12), &error);
    let joined = Event::Joined {
        id: Some(4),
        room: &info,
        you: &bob,
        presence: list(),
        epoch: "9f86d081884c7d65",
        seq: 42,
        recovered: false,
    };
    outbox.push_with_messages(&joined, &messages);
    outbox.push_with_messages(
        &Event::History {
            id: Some(7),
            room: &room,
            more: true,
        },
        &messages,
    );
    let spliced = outbox.take().unwrap();
    all.extend(
        spliced
            .payloads()
            .map(|json| String::from_utf8(json.to_vec()).unwrap()),
    );
    all
}

#[test]
fn the_document_has_every_event_as_it_is_written() {
    let documented = examples("json server");
    let written = written();
    for json in &written {
        assert!(
            documented.contains(&json.as_str()),
            "not in docs/PROTOCOL.md:\n{json}"
        );
    }
    assert_eq!(
        documented.len(),
        written.len(),
        "an example that nothing writes"
    );
}

#[test]
fn the_document_has_every_command_and_they_are_read() {
    let mut kinds: Vec<String> = Vec::new();
    for json in examples("json client") {
        let request = Request::parse(json.as_bytes());
        assert!(request.is_ok_and(|request| request.id.is_some()), "{json}");
        kinds.push(kind(json));
    }
    for kind in [
        "hello", "create", "rooms", "join", "leave", "send", "history", "members", "nickname",
        "typing", "ping",
    ] {
        assert!(kinds.iter().any(|k| k == kind), "no example of {kind}");
    }
}

#[test]
fn the_document_has_every_error_with_an_example() {
    for code in Code::ALL {
        let row = format!("| `{}` |", code.as_str());
        assert!(DOC.contains(&row), "no row for {}", code.as_str());
    }
}
