//! The memory that password hashing leaves in use. The test measures the memory of its whole
//! process, so this file must not contain any other test.

#![cfg(target_os = "linux")]

mod common;

use std::sync::Arc;

use chat_core::Create;
use common::*;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_memory_of_password_hashing_is_released() {
    let chat = Arc::new(chat_with(|limits| limits.hashes = 8));
    let before = resident_kib();
    // The hashes start together, so that different threads compute them, and then again.
    for _ in 0..3 {
        let made: Vec<_> = (0..8)
            .map(|_| {
                let chat = Arc::clone(&chat);
                let create = Create::default().password("sesame");
                tokio::spawn(async move { chat.create(create, None).await.unwrap() })
            })
            .collect();
        for made in made {
            assert!(made.await.unwrap().has_password);
        }
    }
    let kept = resident_kib().saturating_sub(before);
    // One hash takes 19 MiB.
    assert!(kept < 10 * 1024, "{kept} KiB are still in use");
}

fn resident_kib() -> usize {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
    line.and_then(|line| line.trim().strip_suffix(" kB")?.parse().ok())
        .expect("a size in kB")
}
