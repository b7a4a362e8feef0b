//! A whole measurement: connecting, idling and the runs.

use std::fs;
use std::io;
use std::time::{Duration, Instant};

use indicatif::{ProgressBar, ProgressStyle};
use load::engine::{Engine, Offer, Plan, Run};
use load::proc::{Cpu, exact_timeouts, raise_open_files, rss_kb};
use load::report::{Percentiles, Report, RunReport, Setup, curve};

use crate::args::{Args, ProtocolName};
use crate::config::config;

/// The process of the server, if it is known.
struct Server(Option<String>);

impl Server {
    fn cpu(&self) -> io::Result<Option<Cpu>> {
        self.0.as_deref().map(Cpu::of).transpose()
    }

    fn rss(&self) -> io::Result<Option<u64>> {
        self.0.as_deref().map(rss_kb).transpose()
    }
}

/// The CPU time between two moments.
fn cpu_between(before: Option<&Cpu>, after: Option<&Cpu>) -> Option<Duration> {
    Some(after?.since(before?))
}

fn bar(args: &Args, len: u64, what: &'static str) -> ProgressBar {
    if args.quiet {
        return ProgressBar::hidden();
    }
    let style = if len == u64::MAX {
        ProgressStyle::with_template("{msg:10} {spinner} {elapsed}  {pos} ({per_sec})")
    } else {
        ProgressStyle::with_template("{msg:10} {wide_bar} {pos}/{len} ({per_sec}, eta {eta})")
    };
    let bar = if len == u64::MAX {
        ProgressBar::new_spinner()
    } else {
        ProgressBar::new(len)
    };
    bar.with_style(style.unwrap_or_else(|_| ProgressStyle::default_bar()))
        .with_message(what)
}

pub(crate) fn measure(args: &Args) -> io::Result<Report> {
    let config = config(args)?;
    if let Some(limit) = raise_open_files()
        && limit < u64::from(args.clients) + 16
    {
        eprintln!("load: only {limit} files may be open, so connections may fail");
    }
    exact_timeouts();
    let server = Server(args.pid.map(|pid| pid.to_string()));
    let mut engine = Engine::new(config)?;

    let (cpu, rss_before, start) = (server.cpu()?, server.rss()?, Instant::now());
    let progress = bar(args, u64::from(args.clients), "joining");
    let connected = engine.connect(&mut |n| progress.set_position(n));
    progress.finish_and_clear();
    connected?;
    let seconds = start.elapsed().as_secs_f64();
    let settling = Instant::now();
    engine.idle(args.settle.min(Duration::from_millis(500)))?;
    let joined = server.cpu()?;
    let idle_from = Instant::now();
    engine.idle(args.settle.saturating_sub(settling.elapsed()))?;
    let (idle_cpu, rss_after) = (
        cpu_between(joined.as_ref(), server.cpu()?.as_ref()),
        server.rss()?,
    );
    let per_connection =
        |(before, after): (u64, u64)| (after as f64 - before as f64) / f64::from(args.clients);
    let setup = Setup {
        seconds,
        server_cpu_ms: cpu_between(cpu.as_ref(), joined.as_ref()).map(|d| d.as_secs_f64() * 1e3),
        rss_before_kb: rss_before,
        rss_after_kb: rss_after,
        rss_kb_per_connection: rss_before.zip(rss_after).map(per_connection),
        idle_cpu: idle_cpu
            .filter(|_| idle_from.elapsed() > Duration::from_millis(500))
            .map(|d| d.as_secs_f64() / idle_from.elapsed().as_secs_f64()),
    };
    print_setup(args, &setup);

    let mut runs = Vec::new();
    if !args.idle {
        let offers: Vec<_> = match args.rate {
            Some(rate) => vec![Offer::Rate(rate)],
            None if args.sweep.is_empty() => {
                vec![Offer::Window(args.window.unwrap_or(1).max(1) as usize)]
            }
            None => args.sweep.iter().copied().map(Offer::Rate).collect(),
        };
        for offer in offers {
            let run = measure_run(args, &mut engine, &server, offer)?;
            print!("{}", run.text());
            let stalled = run.stalled;
            runs.push(run);
            if stalled {
                break;
            }
        }
    }
    let totals = engine.totals();
    engine.close();
    let report = Report {
        url: args.url.clone(),
        protocol: match args.protocol {
            ProtocolName::Chat => "chat.v1".to_owned(),
            ProtocolName::Raw => "raw".to_owned(),
        },
        clients: args.clients as usize,
        rooms: args.rooms as usize,
        publishers_per_room: args.publishers_per_room as usize,
        text_bytes: args.payload,
        setup,
        runs,
        deliveries_expected: totals.expected,
        deliveries_received: totals.received,
        lost: totals.lost,
        duplicated: totals.duplicated,
        out_of_order: totals.out_of_order,
        errors: totals.errors,
        gaps: totals.gaps,
        disconnected: totals.disconnected,
        problems: totals.problems,
    };
    print!("{}", report.verdict());
    if let Some(file) = &args.json {
        fs::write(file, serde_json::to_string_pretty(&report)? + "\n")?;
    }
    if let Some(file) = &args.html {
        fs::write(file, report.html())?;
    }
    Ok(report)
}

fn print_setup(args: &Args, setup: &Setup) {
    print!(
        "{} clients in {} rooms after {:.2} s",
        args.clients, args.rooms, setup.seconds
    );
    if let Some(ms) = setup.server_cpu_ms {
        print!(
            "; server CPU {ms:.0} ms ({:.1} µs per client)",
            ms * 1e3 / f64::from(args.clients)
        );
    }
    if let Some(((kb, before), after)) = setup
        .rss_kb_per_connection
        .zip(setup.rss_before_kb)
        .zip(setup.rss_after_kb)
    {
        print!("; server memory {before} → {after} kB, {kb:.2} kB per connection");
    }
    if let Some(idle) = setup.idle_cpu {
        print!("; idle CPU {:.2} %", idle * 100.0);
    }
    println!();
}

/// Warms up, and measures one run.
fn measure_run(
    args: &Args,
    engine: &mut Engine,
    server: &Server,
    offer: Offer,
) -> io::Result<RunReport> {
    let second = Duration::from_secs(1);
    let warmup = Plan {
        offer,
        messages: args.warmup_messages,
        duration: args
            .warmup
            .or(args.warmup_messages.is_none().then_some(2 * second)),
    };
    let plan = Plan {
        offer,
        messages: args.messages,
        duration: args
            .duration
            .or(args.messages.is_none().then_some(10 * second)),
    };
    if warmup.duration != Some(Duration::ZERO) && warmup.messages != Some(0) {
        let progress = bar(args, u64::MAX, "warming up");
        let run = engine.run(warmup, &mut |n| progress.set_position(n))?;
        progress.finish_and_clear();
        if run.stalled {
            return Ok(run_report(args, &run, offer, None, Duration::ZERO));
        }
        // Late work such as timers and freed buffers belongs to the warm-up.
        engine.idle(Duration::from_millis(100))?;
    }
    let progress = bar(args, args.messages.unwrap_or(u64::MAX), "measuring");
    let (cpu, own) = (server.cpu()?, Cpu::of("self")?);
    let run = engine.run(plan, &mut |n| progress.set_position(n))?;
    let own = Cpu::of("self")?.since(&own);
    engine.idle(Duration::from_millis(10))?;
    let cpu = cpu_between(cpu.as_ref(), server.cpu()?.as_ref());
    progress.finish_and_clear();
    Ok(run_report(args, &run, offer, cpu, own))
}

fn run_report(
    args: &Args,
    run: &Run,
    offer: Offer,
    cpu: Option<Duration>,
    own: Duration,
) -> RunReport {
    let seconds = run.elapsed.as_secs_f64().max(1e-9);
    let deliveries = (run.deliveries as f64).max(1.0);
    let (window, rate) = match offer {
        Offer::Window(n) => (Some(n), None),
        Offer::Rate(rate) => (None, Some(rate)),
    };
    let own_cpu = own.as_secs_f64() / seconds;
    let latency_us = Percentiles::of(&run.latency);
    let send_lag_us = rate.map(|_| Percentiles::of(&run.lag));
    // In open loop, a generator that keeps missing its own schedule is too slow whatever its CPU
    // time is.
    let late = send_lag_us
        .as_ref()
        .is_some_and(|lag| lag.p90 > 1e3 && lag.p90 > latency_us.p90 / 2.0);
    // In closed loop, one of the two is always busy. It matters whether the server waits for the
    // generator.
    let server_cpu = cpu.map(|d| d.as_secs_f64() / seconds);
    let overloaded = own_cpu > 0.9 && !args.busy_poll && server_cpu.is_none_or(|s| s < own_cpu);
    RunReport {
        window,
        rate,
        published: run.published,
        deliveries: run.deliveries,
        seconds,
        deliveries_per_second: run.deliveries as f64 / seconds,
        server_us_per_delivery: cpu.map(|d| d.as_secs_f64() * 1e6 / deliveries),
        server_cpu,
        own_us_per_delivery: own.as_secs_f64() * 1e6 / deliveries,
        own_cpu,
        saturated: overloaded || late,
        stalled: run.stalled,
        wire_bytes_per_delivery: run.wire_bytes as f64 / deliveries,
        payload_bytes_per_delivery: run.payload_bytes as f64 / deliveries,
        deliveries_per_read: run.deliveries as f64 / (run.reads as f64).max(1.0),
        latency_us,
        fanout_us: Percentiles::of(&run.fanout),
        send_lag_us,
        latency_curve: curve(&run.latency),
    }
}
