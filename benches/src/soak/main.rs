//! `soak`: puts mixed traffic on a server for any length of time, with a fault every few seconds,
//! and checks that the server keeps its promises and releases its resources:
//! `cargo run --release -p benches --bin soak -- --minutes 30`.

mod args;
mod behaviour;
mod member;
mod misbehaviour;
mod oracle;
mod report;
mod server;
mod short_rooms;
mod slope;
mod socket;
mod traffic;

use std::hash::{BuildHasher, RandomState};
use std::io;
use std::process::ExitCode;
use std::time::Duration;

use clap::Parser;
use tokio::time::{Instant, sleep};

use args::{Args, duration};
use report::{Monitor, Report};
use server::Server;
use traffic::Traffic;

fn main() -> ExitCode {
    let args = Args::parse();
    load::proc::raise_open_files();
    // The messages of failed checks are reported as violations.
    std::panic::set_hook(Box::new(|_| {}));
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build();
    match runtime.and_then(|runtime| runtime.block_on(soak(&args))) {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            eprintln!("soak: {error}");
            ExitCode::from(2)
        }
    }
}

async fn soak(args: &Args) -> io::Result<bool> {
    let seed = args.seed.unwrap_or_else(|| RandomState::new().hash_one(0));
    let mut server = Server::start(args.standalone.clone(), flags(args))?;
    println!("seed {seed}, server at {}", server.addr);
    let baseline = server.sample()?;
    let mut traffic = Traffic::start(args, seed, server.addr);
    let mut monitor = Monitor::new(args.warm_up());
    let mut report = Report::new(seed, &baseline);

    let end = Instant::now() + duration(args.minutes);
    let mut next_sample = Instant::now();
    let mut restart = args
        .restart_every
        .map(|every| Instant::now() + duration(every));
    loop {
        let next = restart.unwrap_or(end).min(end).min(next_sample);
        traffic.run_until(next).await;
        let now = Instant::now();
        if now >= end {
            break;
        }
        if now >= next_sample {
            next_sample = now + SAMPLE_INTERVAL;
            monitor.record(&server.sample()?, &traffic.oracle);
        }
        if restart.is_some_and(|at| now >= at) {
            restart = args.restart_every.map(|every| now + duration(every));
            traffic.interrupt();
            server.terminate().await?;
            // All members receive the remaining messages.
            sleep(Duration::from_secs(1)).await;
            traffic.oracle().end_all();
            server.restart()?;
            monitor.restart();
            report.restarts += 1;
        }
    }
    let end_sample = server.sample()?;
    for member in traffic.leave().await {
        report.add(member);
    }
    report.cool_down(&server, &baseline).await?;
    report.sum_up(&end_sample, monitor, &traffic);
    report.print();
    if let Some(file) = &args.json {
        std::fs::write(file, serde_json::to_string_pretty(&report)? + "\n")?;
    }
    Ok(report.is_clean())
}

/// The flags of the server: the defaults, except that its memory of ended rooms is full early and
/// that empty rooms end soon.
fn flags(args: &Args) -> Vec<String> {
    let own = "--ended-rooms 100 --ended-for 1m --room-ttl 0s --room-idle 5s --log warn \
                --secret the-secret-of-a-soak-and-of-nothing-else";
    let all = own.split(' ').chain(args.standalone_args.split(' '));
    all.filter(|flag| !flag.is_empty())
        .map(str::to_owned)
        .collect()
}

/// The time from one sample of the server to the next.
const SAMPLE_INTERVAL: Duration = Duration::from_secs(2);
