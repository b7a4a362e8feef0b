//! The command line.

use std::path::PathBuf;
use std::time::Duration;

use clap::Parser;

/// Soaks the standalone server: builds and starts it, lets clients over real sockets send, join and
/// leave, injects a fault every few seconds, and checks every promise for every client all the
/// time.
///
/// Checked: the `seq` of each member grows by one unless a gap is declared; no event arrives twice;
/// any two members receive the same event under the same `seq`; a message acknowledged to one
/// member is received by another; a key counts once; a member's own message arrives after its
/// `sent`; presence is consistent. Measured: memory, descriptors, threads and CPU time of the
/// server, and whether they are released once all members have left.
#[derive(Parser, Clone)]
#[command(max_term_width = 100, after_long_help = EXAMPLES)]
pub(crate) struct Args {
    /// How long the traffic lasts. It includes the warm-up, and the time to leave and cool down
    /// comes after it.
    #[arg(long, short, default_value_t = 3.0, value_parser = minutes)]
    pub(crate) minutes: f64,

    /// Minutes that do not count for the slope of the memory, until caches, histories and pools are
    /// full. [default: a quarter of the time, at most 10]
    #[arg(long, value_parser = minutes)]
    pub(crate) warm_up: Option<f64>,

    /// Members, each in one room.
    #[arg(
        long,
        short,
        default_value_t = 200,
        value_parser = clap::value_parser!(u32).range(1..=50_000)
    )]
    pub(crate) clients: u32,

    /// Rooms to distribute them over. Each room has an additional member that only observes.
    #[arg(
        long,
        short,
        default_value_t = 8,
        value_parser = clap::value_parser!(u32).range(1..=1000)
    )]
    pub(crate) rooms: u32,

    /// Messages per second of all members together.
    #[arg(long, default_value_t = 200.0, value_parser = above_zero)]
    pub(crate) rate: f64,

    /// Mean seconds from one fault to the next.
    #[arg(long, default_value_t = 3.0, value_parser = above_zero)]
    pub(crate) fault_every: f64,

    /// Mean seconds from one short room to the next.
    #[arg(long, default_value_t = 2.0, value_parser = above_zero)]
    pub(crate) room_every: f64,

    /// Ends the server with SIGTERM and starts it again every time this many minutes have passed.
    #[arg(long, value_parser = minutes)]
    pub(crate) restart_every: Option<f64>,

    /// Determines the actions and faults. The timing of the machine still differs. [default:
    /// random]
    #[arg(long)]
    pub(crate) seed: Option<u64>,

    /// The executable of the server, instead of building it.
    #[arg(long, value_name = "FILE")]
    pub(crate) standalone: Option<PathBuf>,

    /// Further options for the server, in one string.
    #[arg(long, default_value = "", allow_hyphen_values = true)]
    pub(crate) standalone_args: String,

    /// Write the summary and the samples as JSON.
    #[arg(long, value_name = "FILE")]
    pub(crate) json: Option<PathBuf>,
}

const EXAMPLES: &str = "\
Examples:
  cargo run --release -p benches --bin soak -- --minutes 30 --json soak.json
  cargo run --release -p benches --bin soak -- --minutes 10 --restart-every 2 --seed 7

Exit status: 0 if every promise was kept and every descriptor was released; 1 otherwise; 2 if it did
not run.";

impl Args {
    pub(crate) fn warm_up(&self) -> Duration {
        duration(self.warm_up.unwrap_or((self.minutes / 4.0).min(10.0)))
    }
}

pub(crate) fn duration(minutes: f64) -> Duration {
    Duration::from_secs_f64(minutes * 60.0)
}

fn minutes(text: &str) -> Result<f64, String> {
    let minutes = text.parse().map_err(|_| "minutes must be a number")?;
    (0.05..1e6)
        .contains(&minutes)
        .then_some(minutes)
        .ok_or_else(|| "minutes must be at least 0.05".into())
}

fn above_zero(text: &str) -> Result<f64, String> {
    let number = text.parse().map_err(|_| "the value must be a number")?;
    (0.001..1e6)
        .contains(&number)
        .then_some(number)
        .ok_or_else(|| "the value must be at least 0.001 and below a million".into())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_command_line_is_valid() {
        use clap::CommandFactory;
        Args::command().debug_assert();
    }
}
