//! Frames of any kind, at once, byte by byte, and in any pieces: the responses are the same, and
//! the memory is bounded by what was sent. See `docs/FUZZING.md`.

mod common;

use chat_memory::{Chance, block_on_paused, inputs};
use chat_ws::Config;
use common::*;
use rand::Rng;
use rand::seq::IndexedRandom;
use tokio::io::AsyncWriteExt;

/// Frames that are mostly valid, in a mostly valid order.
#[test]
fn frames() {
    let run = |choices: &[u8]| {
        let mut chance = Chance::from_choices(choices);
        let mut sent = Vec::new();
        while !chance.is_exhausted() && sent.len() < 4000 {
            some_frames(&mut chance, &mut sent);
        }
        let cuts = std::iter::from_fn(|| Some(chance.random_range(1..40)));
        check(&sent, &cuts.take(sent.len()).collect::<Vec<_>>());
    };
    bolero::check!().with_iterations(0).for_each(run);
    inputs(1500, 120).for_each(|choices| run(&choices));
}

/// Arbitrary bytes behind a valid frame.
#[test]
fn any_stream() {
    let run = |bytes: &[u8]| {
        check(&[&frame(TEXT, b"first"), bytes].concat(), &[7, 2, 64, 1]);
    };
    bolero::check!().with_iterations(0).for_each(run);
    inputs(2000, 60).for_each(|bytes| {
        // Few byte strings happen to have the mask bit set.
        let masked: Vec<u8> = bytes
            .iter()
            .enumerate()
            .map(|(n, byte)| if n == 1 { byte | 0x80 } else { *byte })
            .collect();
        run(&masked);
    });
}

/// Checks that the responses to `sent` do not depend on the pieces in which it arrives.
fn check(sent: &[u8], cuts: &[usize]) {
    let whole = echoes(sent, &[sent.len().max(1)]);
    assert_eq!(whole.last().expect("a last frame").0, CLOSE, "{whole:?}");
    for message in whole
        .iter()
        .filter(|(first, _)| [TEXT, BINARY].contains(first))
    {
        assert!(message.1.len() <= LIMIT, "{} bytes", message.1.len());
    }
    for cuts in [&[1], cuts] {
        let cut = echoes(sent, cuts);
        let without_pongs = |frames: &[Frame]| -> Vec<Frame> {
            frames
                .iter()
                .filter(|(first, _)| *first != PONG)
                .cloned()
                .collect()
        };
        assert_eq!(
            without_pongs(&whole),
            without_pongs(&cut),
            "{cuts:?}: {sent:02x?}"
        );
        // Of many pings at once only some are answered, but always the last.
        let [some, all] = [&whole, &cut].map(|frames| -> Vec<&Frame> {
            frames.iter().filter(|(first, _)| *first == PONG).collect()
        });
        let mut answered = all.iter();
        let among = some.iter().all(|pong| answered.any(|other| other == pong));
        assert!(among && some.last() == all.last(), "{cuts:?}: {sent:02x?}");
    }
}

/// Everything that an echo server sends in response to `sent`, which arrives in pieces of these
/// sizes in turn.
fn echoes(sent: &[u8], cuts: &[usize]) -> Vec<Frame> {
    let config = Config::default().message_bytes(LIMIT).idle_frames(u32::MAX);
    let mut frames = Vec::new();
    let memory = allocation_counter::measure(|| {
        frames = block_on_paused(async {
            let mut client = echo(config);
            let (mut left, mut cuts) = (sent, cuts.iter().cycle());
            while !left.is_empty() {
                let (piece, rest) = left.split_at(left.len().min(*cuts.next().unwrap()));
                left = rest;
                // The server may close before it has read everything.
                if client.write_all(piece).await.is_err() {
                    break;
                }
                tokio::task::yield_now().await;
            }
            read_all(&mut client).await
        });
    });
    let max_bytes = 128 * 1024 + 32 * sent.len() as u64;
    assert!(
        memory.bytes_max <= max_bytes,
        "{} bytes: {sent:02x?}",
        memory.bytes_max
    );
    frames
}

/// Appends a message of some fragments, a control frame, or something invalid.
fn some_frames(chance: &mut Chance, out: &mut Vec<u8>) {
    match chance.random_range(0..16) {
        0..7 => {
            let opcode = if chance.random_bool(0.8) {
                TEXT_START
            } else {
                BINARY & 0x0f
            };
            let fragments = chance.random_range(1..5);
            for n in 0..fragments {
                let first = if n == 0 { opcode } else { CONTINUE };
                let last = if n + 1 == fragments { 0x80 } else { 0 };
                out.extend(frame(first | last, &payload(chance)));
                if chance.random_bool(0.2) {
                    out.extend(frame(PING, b"between"));
                }
            }
        }
        7..10 => {
            let bytes = payload(chance);
            out.extend(frame(PING, &bytes[..bytes.len().min(125)]));
        }
        10 => out.extend(frame(PONG, b"unsolicited")),
        11 => {
            let code = *[1000, 1001, 1005, 999, 1016, 3000, 4999, 5000]
                .choose(chance)
                .unwrap();
            out.extend(close(code, ["", "bye"].choose(chance).unwrap()));
        }
        12 => out.extend(frame(chance.random(), &payload(chance))),
        13 => {
            // A length in an arbitrary form, or a payload that never arrives.
            let form: u8 = chance.random();
            out.extend([TEXT, form]);
            out.extend((0..chance.random_range(0..12)).map(|_| chance.random::<u8>()));
        }
        14 => out.extend(header(
            *[TEXT, CONTINUE, PING].choose(chance).unwrap(),
            1 << 40,
        )),
        _ => out.extend((0..chance.random_range(0..8)).map(|_| chance.random::<u8>())),
    }
}

fn payload(chance: &mut Chance) -> Vec<u8> {
    match chance.random_range(0..8) {
        0 => Vec::new(),
        1 => b"\xce\xba\xe1\xbd\xb9".to_vec(),
        2 => b"\xce\xba\xe1".to_vec(),
        3 => b"\xbd\xb9".to_vec(),
        4 => vec![b'a'; chance.random_range(100..310)],
        5 => vec![chance.random(); 3],
        _ => b"Hello".to_vec(),
    }
}

/// The longest message, in bytes.
const LIMIT: usize = 300;
