//! The command line.

use std::path::PathBuf;
use std::time::Duration;

use clap::{Parser, ValueEnum};

/// Puts load on a chat server over WebSocket and measures the fan-out: latency, CPU time and memory
/// of the server, and whether every message reached every member once and in order.
///
/// Clients are distributed over the rooms in turn, and the first ones of each room publish. A
/// publish is complete when every member of its room has received it.
#[derive(Parser)]
#[command(version, max_term_width = 100, after_long_help = EXAMPLES)]
pub(crate) struct Args {
    /// The URL to connect to; `{room}` in it stands for the room of each client. Only plain ws://
    /// is supported.
    #[arg(long, default_value = "ws://127.0.0.1:8080/ws")]
    pub(crate) url: String,

    /// Connections to open. Each becomes a member of a room.
    #[arg(long, short, default_value_t = 1000, value_parser = clap::value_parser!(u32).range(1..))]
    pub(crate) clients: u32,

    /// Rooms to distribute them over.
    #[arg(long, short, default_value_t = 1, value_parser = clap::value_parser!(u32).range(1..))]
    pub(crate) rooms: u32,

    /// Members of each room that publish, in turns.
    #[arg(long, default_value_t = 1, value_parser = clap::value_parser!(u32).range(1..))]
    pub(crate) publishers_per_room: u32,

    /// The start of the room ids, followed by a number. The default differs from run to run, so
    /// that a run does not meet rooms of the last one.
    #[arg(long)]
    pub(crate) room_prefix: Option<String>,

    /// Closed loop: keep this many unfinished publishes in each room. Measures the maximum of the
    /// server. [default: 1]
    #[arg(long, short, conflicts_with_all = ["rate", "sweep"], help_heading = "Load")]
    pub(crate) window: Option<u32>,

    /// Open loop: publish this many messages per second in all rooms together, whatever the server
    /// does. Latency counts from when each was due, so that a stall is not hidden (coordinated
    /// omission). Measures what users experience.
    #[arg(long, conflicts_with = "sweep", value_parser = rate, help_heading = "Load")]
    pub(crate) rate: Option<f64>,

    /// Open loop at one rate after the other, for example 100,200,400; `--html` plots latency
    /// against load.
    #[arg(long, value_delimiter = ',', value_parser = rate, help_heading = "Load")]
    pub(crate) sweep: Vec<f64>,

    /// Connect, join, and only measure the memory and CPU of the idle server. Needs `--pid`.
    #[arg(
        long,
        requires = "pid",
        conflicts_with_all = ["window", "rate", "sweep"],
        help_heading = "Load"
    )]
    pub(crate) idle: bool,

    /// Bytes of each text, at least 18: each begins with a token by which it is recognised.
    #[arg(long, default_value_t = 128, help_heading = "Load")]
    pub(crate) payload: usize,

    /// Stop publishing after this time (each rate of a sweep). [default: 10s, or none with
    /// `--messages`]
    #[arg(long, value_parser = duration, help_heading = "Load")]
    pub(crate) duration: Option<Duration>,

    /// Stop publishing after this many messages (each rate of a sweep).
    #[arg(long, help_heading = "Load")]
    pub(crate) messages: Option<u64>,

    /// Warm up with the same load for this time first, without measuring. [default: 2s, or none
    /// with `--warmup-messages`]
    #[arg(long, value_parser = duration, help_heading = "Load")]
    pub(crate) warmup: Option<Duration>,

    /// Warm up with this many messages first, without measuring.
    #[arg(long, help_heading = "Load")]
    pub(crate) warmup_messages: Option<u64>,

    /// Let the server settle for this time after the last join. With `--idle` its CPU is measured
    /// during it.
    #[arg(long, value_parser = duration, default_value = "1500ms", help_heading = "Load")]
    pub(crate) settle: Duration,

    /// Abort after this time without any delivery. Messages that are missing then count as lost.
    #[arg(long, value_parser = duration, default_value = "10s", help_heading = "Load")]
    pub(crate) stall: Duration,

    /// The protocol of the server.
    #[arg(long, value_enum, default_value = "chat.v1", help_heading = "Protocol")]
    pub(crate) protocol: ProtocolName,

    /// raw: the first text frame of each client, with `{room}`. Without it there is none.
    #[arg(long, help_heading = "Protocol")]
    pub(crate) join_template: Option<String>,

    /// raw: a client has joined when it receives a text frame that contains this. Without it, it
    /// has joined at once.
    #[arg(long, help_heading = "Protocol")]
    pub(crate) join_ack: Option<String>,

    /// raw: the text frame that publishes a message, with `{room}` and `{text}`. Any text frame
    /// that contains the token of the text is a delivery.
    #[arg(long, default_value = "{text}", help_heading = "Protocol")]
    pub(crate) send_template: String,

    /// raw: the server does not send a message back to its publisher.
    #[arg(long, help_heading = "Protocol")]
    pub(crate) no_echo: bool,

    /// Lengthen the text until the published frame has this many bytes of payload, so that servers
    /// with different framing write the same number of bytes.
    #[arg(long, value_name = "BYTES", help_heading = "Protocol")]
    pub(crate) pad_to: Option<usize>,

    /// Connect from this many loopback addresses (127.0.0.1, 127.0.0.2, …), because one address has
    /// about 28 000 ports and a server may limit connections per address. 0 leaves the choice to
    /// the system.
    #[arg(long, default_value_t = 0, help_heading = "Machine")]
    pub(crate) sources: usize,

    /// Clients that may be connecting or joining at the same time.
    #[arg(
        long,
        default_value_t = 64,
        value_parser = clap::value_parser!(u32).range(1..),
        help_heading = "Machine"
    )]
    pub(crate) connecting: u32,

    /// Process id of the server, if it runs on this machine. Its CPU time and memory are measured.
    #[arg(long, help_heading = "Machine")]
    pub(crate) pid: Option<u32>,

    /// Never sleep: the generator uses a whole core, and the server never pays for waking it up.
    #[arg(long, help_heading = "Machine")]
    pub(crate) busy_poll: bool,

    /// Write all results as JSON.
    #[arg(long, value_name = "FILE", help_heading = "Output")]
    pub(crate) json: Option<PathBuf>,

    /// Write an HTML report with plots, as one file that loads nothing else.
    #[arg(long, value_name = "FILE", help_heading = "Output")]
    pub(crate) html: Option<PathBuf>,

    /// Show no progress bar. There is also none when standard error is not a terminal.
    #[arg(long, short, help_heading = "Output")]
    pub(crate) quiet: bool,
}

const EXAMPLES: &str = "\
Examples:
  One room of 1000, one message at a time, and its cost for the server:
    load --clients 1000 --window 1 --pid $(pidof standalone)
  Latency against load, as a page with plots:
    load --clients 2000 --rooms 200 --sweep 500,1000,2000,4000 --duration 10s --html report.html
  Memory of 10 000 idle connections:
    load --idle --clients 10000 --rooms 1000 --sources 4 --pid $(pidof standalone)
  Another server that takes the room from the path and relays text unchanged:
    load --protocol raw --url 'ws://127.0.0.1:9000/{room}' --pad-to 270
  Another server with a JSON protocol:
    load --protocol raw --url ws://127.0.0.1:9000/ --join-template '{\"join\":\"{room}\"}' \\
         --join-ack '\"joined\"' --send-template '{\"to\":\"{room}\",\"say\":\"{text}\"}'

Exit status: 0 if everything arrived once and in order; 2 if messages were lost, duplicated or out
of order or the server ended a connection; 1 if the measurement could not be made.

CPU is the user and system time of all threads of the process over whole runs, each of which begins
and ends with nothing in flight. It is valid on a busy machine, where rates and latencies are not.
Pin server and generator to different cores (taskset) for figures that can be compared.";

#[derive(Clone, Copy, ValueEnum)]
pub(crate) enum ProtocolName {
    /// The protocol of the chat engine.
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
        other => return Err(format!("the unit must be ms, s or m, not {other:?}")),
    };
    let number: f64 = digits.parse().map_err(|e| format!("{e}"))?;
    Duration::try_from_secs_f64(number * unit).map_err(|e| e.to_string())
}

fn rate(text: &str) -> Result<f64, String> {
    match text.trim().parse::<f64>() {
        Ok(rate) if rate > 0.0 && rate.is_finite() => Ok(rate),
        _ => Err("a rate must be a number above 0".to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_command_line_is_valid() {
        use clap::CommandFactory;
        Args::command().debug_assert();
    }

    #[test]
    fn durations_are_parsed() {
        assert_eq!(duration("1500ms"), Ok(Duration::from_millis(1500)));
        assert_eq!(duration("2"), Ok(Duration::from_secs(2)));
        assert_eq!(duration("0.5m"), Ok(Duration::from_secs(30)));
        assert!(duration("5h").is_err() && duration("-1s").is_err() && duration("s").is_err());
    }
}
