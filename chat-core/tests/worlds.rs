//! Many seeded worlds, each checked as a whole. `WORLD_SEEDS` is their number, and `WORLD_SEED`
//! runs a single one.

use std::collections::BTreeMap;

use chat_memory::{Report, World};

const STEPS: usize = 250;

fn number(name: &str) -> Option<u64> {
    std::env::var(name).ok()?.parse().ok()
}

#[test]
fn every_world_upholds_every_guarantee() {
    if let Some(seed) = number("WORLD_SEED") {
        println!("{:#?}", World::run(seed, STEPS));
        return;
    }
    let seeds = number("WORLD_SEEDS").unwrap_or(256);
    let mut heard: BTreeMap<String, u64> = BTreeMap::new();
    let mut closes: BTreeMap<u16, u64> = BTreeMap::new();
    for seed in 0..seeds {
        let report = World::run(seed, STEPS);
        for (kind, count) in report.events {
            *heard.entry(kind).or_default() += count;
        }
        for (code, count) in report.closes {
            *closes.entry(code).or_default() += count;
        }
    }
    println!("{heard:#?}\n{closes:#?}");
    if seeds < 64 {
        return;
    }
    // A world in which nothing goes wrong proves nothing.
    for kind in [
        "gap",
        "joined",
        "joined recovered",
        "removed kicked",
        "removed banned",
        "removed expired",
        "room_full",
        "room_expired",
        "wrong_password",
        "nickname_taken",
        "banned",
        "presence",
        "typing",
        "notice",
        "left",
        "created",
        "room_exists",
    ] {
        assert!(heard.contains_key(kind), "no world contained `{kind}`");
    }
    assert!(
        closes.contains_key(&0),
        "no world had a connection that was too slow to receive its close code"
    );
}

#[test]
fn a_seed_always_runs_exactly_the_same_world() {
    let mut transcripts = Vec::new();
    for seed in [1, 2, 3, 4, 5, 6, 7, 8] {
        let first: Report = World::run(seed, STEPS);
        assert_eq!(first, World::run(seed, STEPS));
        transcripts.push(first.transcript);
    }
    transcripts.sort_unstable();
    transcripts.dedup();
    assert_eq!(
        transcripts.len(),
        8,
        "two seeds must not run the same world"
    );
}
