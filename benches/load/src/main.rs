//! `load`: makes load on a WebSocket chat server and measures how it bears it.

use std::fs;
use std::io;
use std::net::{SocketAddr, ToSocketAddrs};
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::{Duration, Instant};

use clap::{Parser, ValueEnum};
use indicatif::{ProgressBar, ProgressStyle};
use load::engine::{Config, Engine, Offer, Plan, Run};
use load::proc::{Cpu, exact_timeouts, raise_open_files, rss_kb};
use load::protocol::{Protocol, Raw, Size, TOKEN_LEN};
use load::report::{Percentiles, Report, RunReport, Setup, curve};

/// Makes load on a chat server over WebSocket and measures fan-out: latency, CPU and memory of the server, and
/// whether every message reached every member, once and in order.
///
/// Clients are dealt to rooms in turn; the first ones of each room publish. A publish is complete when every member
/// of its room has received it.
#[derive(Parser)]
#[command(version, max_term_width = 100, after_long_help = EXAMPLES)]
struct Args {
    /// Where to connect; `{room}` in it stands for each client's room. Plain ws:// only.
    #[arg(long, default_value = "ws://127.0.0.1:8080/ws")]
    url: String,

    /// Connections to open, all members of a room.
    #[arg(long, short, default_value_t = 1000, value_parser = clap::value_parser!(u32).range(1..))]
    clients: u32,

    /// Rooms to deal them to.
    #[arg(long, short, default_value_t = 1, value_parser = clap::value_parser!(u32).range(1..))]
    rooms: u32,

    /// Members of each room that publish, in turns.
    #[arg(long, default_value_t = 1, value_parser = clap::value_parser!(u32).range(1..))]
    publishers_per_room: u32,

    /// What room ids begin with, followed by a number. The default differs from run to run, so that a room that still
    /// remembers the last run is not met again.
    #[arg(long)]
    room_prefix: Option<String>,

    /// Closed loop: keep this many unfinished publishes in each room. For what the server can do at most. [default: 1]
    #[arg(long, short, conflicts_with_all = ["rate", "sweep"], help_heading = "Load")]
    window: Option<u32>,

    /// Open loop: publish this many messages a second, in all rooms together, whatever the server does. Latency counts
    /// from when each was due, so that a stall is not hidden (coordinated omission). For what users feel.
    #[arg(long, conflicts_with = "sweep", value_parser = rate, help_heading = "Load")]
    rate: Option<f64>,

    /// Open loop at one rate after the other, as in 100,200,400; `--html` plots latency against load.
    #[arg(long, value_delimiter = ',', value_parser = rate, help_heading = "Load")]
    sweep: Vec<f64>,

    /// Connect, join, and only measure memory and CPU of the idle server; needs `--pid`.
    #[arg(long, requires = "pid", conflicts_with_all = ["window", "rate", "sweep"], help_heading = "Load")]
    idle: bool,

    /// Bytes of each text. At least 18: each begins with a token by which it is known again.
    #[arg(long, default_value_t = 128, help_heading = "Load")]
    payload: usize,

    /// Stop publishing after this time (each rate of a sweep). [default: 10s, or none with `--messages`]
    #[arg(long, value_parser = duration, help_heading = "Load")]
    duration: Option<Duration>,

    /// Stop publishing after this many messages (each rate of a sweep).
    #[arg(long, help_heading = "Load")]
    messages: Option<u64>,

    /// The same load first for this time, not counted. [default: 2s, or none with `--warmup-messages`]
    #[arg(long, value_parser = duration, help_heading = "Load")]
    warmup: Option<Duration>,

    /// The same load first with this many messages, not counted.
    #[arg(long, help_heading = "Load")]
    warmup_messages: Option<u64>,

    /// Let the server come to rest for this time after the last join; with `--idle` its CPU is measured here.
    #[arg(long, value_parser = duration, default_value = "1500ms", help_heading = "Load")]
    settle: Duration,

    /// Give up after this time without any delivery; what is missing then is lost.
    #[arg(long, value_parser = duration, default_value = "10s", help_heading = "Load")]
    stall: Duration,

    /// What to speak.
    #[arg(long, value_enum, default_value = "chat.v1", help_heading = "Protocol")]
    protocol: Speak,

    /// raw: the first text frame of each client, with `{room}`; none when absent.
    #[arg(long, help_heading = "Protocol")]
    join_template: Option<String>,

    /// raw: a client is in when it receives a text frame that contains this; at once when absent.
    #[arg(long, help_heading = "Protocol")]
    join_ack: Option<String>,

    /// raw: the text frame that publishes, with `{room}` and `{text}`. Any text frame that contains the token of the
    /// text is a delivery.
    #[arg(long, default_value = "{text}", help_heading = "Protocol")]
    send_template: String,

    /// raw: the server does not send a message to its own publisher.
    #[arg(long, help_heading = "Protocol")]
    no_echo: bool,

    /// Lengthen the text until the published frame has this many bytes of payload, so that servers that frame the same
    /// text differently write equally much.
    #[arg(long, value_name = "BYTES", help_heading = "Protocol")]
    pad_to: Option<usize>,

    /// Connect from this many loopback addresses (127.0.0.1, 127.0.0.2, …): one address has about 28 000 ports, and a
    /// server may limit connections per address. 0 leaves the choice to the system.
    #[arg(long, default_value_t = 0, help_heading = "Machine")]
    sources: usize,

    /// Clients that may be on their way in at a time.
    #[arg(long, default_value_t = 64, value_parser = clap::value_parser!(u32).range(1..), help_heading = "Machine")]
    connecting: u32,

    /// Process id of the server, if it runs here: its CPU time and memory are measured.
    #[arg(long, help_heading = "Machine")]
    pid: Option<u32>,

    /// Never sleep: the generator takes a whole core, and the server never pays for waking it.
    #[arg(long, help_heading = "Machine")]
    busy_poll: bool,

    /// Write all figures as JSON.
    #[arg(long, value_name = "FILE", help_heading = "Output")]
    json: Option<PathBuf>,

    /// Write a report with plots; one file, nothing is loaded from elsewhere.
    #[arg(long, value_name = "FILE", help_heading = "Output")]
    html: Option<PathBuf>,

    /// No progress bar (there is none either when standard error is no terminal).
    #[arg(long, short, help_heading = "Output")]
    quiet: bool,
}

const EXAMPLES: &str = "\
Examples:
  One room of 1000, one message at a time, and what it costs the server:
    load --clients 1000 --window 1 --pid $(pidof standalone)
  Latency against load, as a page with plots:
    load --clients 2000 --rooms 200 --sweep 500,1000,2000,4000 --duration 10s --html report.html
  Memory of 10 000 idle connections:
    load --idle --clients 10000 --rooms 1000 --sources 4 --pid $(pidof standalone)
  Another server, room by path, that relays text as it is:
    load --protocol raw --url 'ws://127.0.0.1:9000/{room}' --pad-to 270
  Another server with a JSON protocol:
    load --protocol raw --url ws://127.0.0.1:9000/ --join-template '{\"join\":\"{room}\"}' \\
         --join-ack '\"joined\"' --send-template '{\"to\":\"{room}\",\"say\":\"{text}\"}'

Exit status: 0 when everything arrived once and in order; 2 when something was lost, doubled or out of order or a
connection was ended by the server; 1 when there was nothing to measure.

CPU is user and system time of all threads of the process, over whole runs: each begins and ends with nothing in
flight. It holds on a noisy machine where rates and latencies do not. Pin the two to different cores (taskset) for
figures that compare.";

#[derive(Clone, Copy, ValueEnum)]
enum Speak {
    /// The engine's own protocol.
    #[value(name = "chat.v1")]
    Chat,
    /// Plain text frames from templates.
    #[value(name = "raw")]
    Raw,
}

fn duration(text: &str) -> Result<Duration, String> {
    let digits = text.trim_end_matches(|c: char| c.is_ascii_alphabetic());
    let unit = match &text[digits.len()..] {
        "ms" => 1e-3,
        "" | "s" => 1.0,
        "m" | "min" => 60.0,
        other => return Err(format!("unknown unit {other:?}; use ms, s or m")),
    };
    let number: f64 = digits.parse().map_err(|e| format!("{e}"))?;
    Duration::try_from_secs_f64(number * unit).map_err(|e| e.to_string())
}

fn rate(text: &str) -> Result<f64, String> {
    match text.trim().parse::<f64>() {
        Ok(rate) if rate > 0.0 && rate.is_finite() => Ok(rate),
        _ => Err("a rate is a number over 0".to_owned()),
    }
}

/// `ws://host[:port][/path]` as address, host and path.
fn target(url: &str) -> io::Result<(SocketAddr, String, String)> {
    let rest = url
        .strip_prefix("ws://")
        .or_else(|| url.strip_prefix("http://"))
        .ok_or_else(|| io::Error::other("the URL must begin with ws://"))?;
    let (host, path) = rest.split_at(rest.find('/').unwrap_or(rest.len()));
    let path = if path.is_empty() { "/" } else { path };
    let has_port = host
        .rsplit_once(':')
        .is_some_and(|(_, port)| port.parse::<u16>().is_ok());
    let with_port = if has_port {
        host.to_owned()
    } else {
        format!("{host}:80")
    };
    let addr = with_port
        .to_socket_addrs()?
        .next()
        .ok_or_else(|| io::Error::other(format!("no address for {host}")))?;
    Ok((addr, host.to_owned(), path.to_owned()))
}

fn main() -> ExitCode {
    match measure(&Args::parse()) {
        Ok(report) if report.clean() => ExitCode::SUCCESS,
        Ok(_) => ExitCode::from(2),
        Err(e) => {
            eprintln!("load: {e}");
            ExitCode::FAILURE
        }
    }
}

fn config(args: &Args) -> io::Result<Config> {
    let (addr, host, path) = target(&args.url)?;
    if args.payload < TOKEN_LEN {
        return Err(io::Error::other(format!(
            "--payload must be at least {TOKEN_LEN}"
        )));
    }
    if args.rooms > args.clients {
        return Err(io::Error::other("more rooms than clients"));
    }
    let protocol = match args.protocol {
        Speak::Chat => Protocol::ChatV1,
        Speak::Raw => Protocol::Raw(Raw {
            join: args.join_template.clone(),
            join_ack: args.join_ack.clone(),
            send: args.send_template.clone(),
            echo: !args.no_echo,
        }),
    };
    if matches!(&protocol, Protocol::Raw(raw) if !raw.send.contains("{text}")) {
        return Err(io::Error::other("--send-template must contain {text}"));
    }
    if args.no_echo && args.clients < 2 * args.rooms {
        return Err(io::Error::other("--no-echo needs two members in each room"));
    }
    if args.sources > 0 && !(addr.is_ipv4() && addr.ip().is_loopback()) {
        return Err(io::Error::other("--sources needs a loopback IPv4 target"));
    }
    let prefix = || format!("load{:x}-", std::process::id());
    Ok(Config {
        addr,
        host,
        path,
        protocol,
        clients: args.clients as usize,
        rooms: args.rooms as usize,
        room_prefix: args.room_prefix.clone().unwrap_or_else(prefix),
        publishers: args.publishers_per_room as usize,
        size: Size {
            text: args.payload,
            pad_to: args.pad_to,
        },
        sources: args.sources,
        connecting: args.connecting as usize,
        stall: args.stall,
        busy: args.busy_poll,
    })
}

/// The server's process, if it is known.
struct Server(Option<String>);

impl Server {
    fn cpu(&self) -> io::Result<Option<Cpu>> {
        self.0.as_deref().map(Cpu::of).transpose()
    }

    fn rss(&self) -> io::Result<Option<u64>> {
        self.0.as_deref().map(rss_kb).transpose()
    }
}

/// CPU time between two looks at the server.
fn spent(before: Option<&Cpu>, after: Option<&Cpu>) -> Option<Duration> {
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

fn measure(args: &Args) -> io::Result<Report> {
    let config = config(args)?;
    if let Some(limit) = raise_open_files()
        && limit < u64::from(args.clients) + 16
    {
        eprintln!("load: only {limit} files may be open; expect failing connections");
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
    let rest = Instant::now();
    engine.idle(args.settle.min(Duration::from_millis(500)))?;
    let joined = server.cpu()?;
    let idle_from = Instant::now();
    engine.idle(args.settle.saturating_sub(rest.elapsed()))?;
    let (idle_cpu, rss_after) = (
        spent(joined.as_ref(), server.cpu()?.as_ref()),
        server.rss()?,
    );
    let per_connection =
        |(before, after): (u64, u64)| (after as f64 - before as f64) / f64::from(args.clients);
    let setup = Setup {
        seconds,
        server_cpu_ms: spent(cpu.as_ref(), joined.as_ref()).map(|d| d.as_secs_f64() * 1e3),
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
            let run = one_run(args, &mut engine, &server, offer)?;
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
            Speak::Chat => "chat.v1".to_owned(),
            Speak::Raw => "raw".to_owned(),
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
        complaints: totals.complaints,
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
            "; server CPU {ms:.0} ms ({:.1} µs a client)",
            ms * 1e3 / f64::from(args.clients)
        );
    }
    if let Some(((kb, before), after)) = setup
        .rss_kb_per_connection
        .zip(setup.rss_before_kb)
        .zip(setup.rss_after_kb)
    {
        print!("; server memory {before} → {after} kB, {kb:.2} kB a connection");
    }
    if let Some(idle) = setup.idle_cpu {
        print!("; idle CPU {:.2} %", idle * 100.0);
    }
    println!();
}

fn one_run(
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
        // What runs late (timers, freed buffers) belongs to the warm-up.
        engine.idle(Duration::from_millis(100))?;
    }
    let progress = bar(args, args.messages.unwrap_or(u64::MAX), "measuring");
    let (cpu, own) = (server.cpu()?, Cpu::of("self")?);
    let run = engine.run(plan, &mut |n| progress.set_position(n))?;
    let own = Cpu::of("self")?.since(&own);
    engine.idle(Duration::from_millis(10))?;
    let cpu = spent(cpu.as_ref(), server.cpu()?.as_ref());
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
    // In open loop a generator that keeps missing its own times is too slow whatever its CPU time says.
    let late = send_lag_us
        .as_ref()
        .is_some_and(|lag| lag.p90 > 1e3 && lag.p90 > latency_us.p90 / 2.0);
    // In closed loop one of the two is always busy; what matters is whether it is the generator that is waited for.
    let server_cpu = cpu.map(|d| d.as_secs_f64() / seconds);
    let tired = own_cpu > 0.9 && !args.busy_poll && server_cpu.is_none_or(|s| s < own_cpu);
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
        saturated: tired || late,
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_command_line_is_sound() {
        use clap::CommandFactory;
        Args::command().debug_assert();
    }

    #[test]
    fn durations_and_targets() {
        assert_eq!(duration("1500ms"), Ok(Duration::from_millis(1500)));
        assert_eq!(duration("2"), Ok(Duration::from_secs(2)));
        assert_eq!(duration("0.5m"), Ok(Duration::from_secs(30)));
        assert!(duration("5h").is_err() && duration("-1s").is_err() && duration("s").is_err());
        let (addr, host, path) = target("ws://127.0.0.1:81/ws/{room}").unwrap();
        assert_eq!(
            (addr.port(), host.as_str(), path.as_str()),
            (81, "127.0.0.1:81", "/ws/{room}")
        );
        let (addr, _, path) = target("ws://[::1]").unwrap();
        assert_eq!((addr.port(), path.as_str()), (80, "/"));
        assert!(target("wss://127.0.0.1").is_err());
    }
}
