//! Frames of any kind, in one piece, byte by byte and cut anywhere: what comes of them is the same, and takes no more memory
//! than was sent. See `docs/FUZZING.md`.

mod common;

use chat_memory::{Chance, inputs};
use chat_ws::Config;
use common::*;
use rand::Rng;
use rand::seq::IndexedRandom;
use tokio::io::AsyncWriteExt;

/// Frames that mostly follow each other as they should.
#[test]
fn frames() {
    let play = |choices: &[u8]| {
        let mut chance = Chance::of_choices(choices);
        let mut sent = Vec::new();
        while !chance.is_spent() && sent.len() < 4000 {
            some_frames(&mut chance, &mut sent);
        }
        let cuts = std::iter::from_fn(|| Some(chance.random_range(1..40)));
        check(&sent, &cuts.take(sent.len()).collect::<Vec<_>>());
    };
    bolero::check!().with_iterations(0).for_each(play);
    inputs(1500, 120).for_each(|choices| play(&choices));
}

/// Bytes as they come, behind a frame that is right.
#[test]
fn any_stream() {
    let play = |bytes: &[u8]| {
        check(&[&frame(TEXT, b"first"), bytes].concat(), &[7, 2, 64, 1]);
    };
    bolero::check!().with_iterations(0).for_each(play);
    inputs(2000, 60).for_each(|bytes| {
        // Few strings of bytes are masked by themselves.
        let masked: Vec<u8> = bytes
            .iter()
            .enumerate()
            .map(|(n, byte)| if n == 1 { byte | 0x80 } else { *byte })
            .collect();
        play(&masked);
    });
}

/// What an echo says to `sent` does not depend on how it is cut.
fn check(sent: &[u8], cuts: &[usize]) {
    let whole = echoes(sent, &[sent.len().max(1)]);
    assert!(ends(&whole.last().expect("a last word").0), "{whole:?}");
    for message in whole
        .iter()
        .filter(|(first, _)| [TEXT, BINARY].contains(first))
    {
        assert!(message.1.len() <= LIMIT, "{} bytes", message.1.len());
    }
    for cuts in [&[1], cuts] {
        let cut = echoes(sent, cuts);
        let spoken = |frames: &[Frame]| -> Vec<Frame> {
            frames
                .iter()
                .filter(|(first, _)| *first != PONG)
                .cloned()
                .collect()
        };
        assert_eq!(spoken(&whole), spoken(&cut), "{cuts:?}: {sent:02x?}");
        // Of many pings at once only some are answered, but the last always.
        let [some, all] = [&whole, &cut].map(|frames| -> Vec<&Frame> {
            frames.iter().filter(|(first, _)| *first == PONG).collect()
        });
        let mut answered = all.iter();
        let among = some.iter().all(|pong| answered.any(|other| other == pong));
        assert!(among && some.last() == all.last(), "{cuts:?}: {sent:02x?}");
    }
}

fn ends(first: &u8) -> bool {
    *first == CLOSE
}

/// All that an echo says to `sent`, given in pieces of these sizes in turn.
fn echoes(sent: &[u8], cuts: &[usize]) -> Vec<Frame> {
    let mut config = Config::default();
    config.message_bytes = LIMIT;
    config.idle_frames = u32::MAX;
    let mut frames = Vec::new();
    let memory = allocation_counter::measure(|| {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_time()
            .start_paused(true)
            .build()
            .unwrap();
        frames = runtime.block_on(async {
            let mut client = echo(config);
            let (mut left, mut cuts) = (sent, cuts.iter().cycle());
            while !left.is_empty() {
                let (piece, rest) = left.split_at(left.len().min(*cuts.next().unwrap()));
                left = rest;
                // The server may have ended the stream before it took everything.
                if client.write_all(piece).await.is_err() {
                    break;
                }
                tokio::task::yield_now().await;
            }
            read_all(&mut client).await
        });
    });
    let most = 128 * 1024 + 32 * sent.len() as u64;
    assert!(
        memory.bytes_max <= most,
        "{} bytes: {sent:02x?}",
        memory.bytes_max
    );
    frames
}

/// A message of some fragments, a control frame, or something that is none.
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
        10 => out.extend(frame(PONG, b"unasked")),
        11 => {
            let code = *[1000, 1001, 1005, 999, 1016, 3000, 4999, 5000]
                .choose(chance)
                .unwrap();
            out.extend(close(code, ["", "bye"].choose(chance).unwrap()));
        }
        12 => out.extend(frame(chance.random(), &payload(chance))),
        13 => {
            // A length in a form of its own, or one that never comes.
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

/// The longest message.
const LIMIT: usize = 300;
