//! The command line.

use std::path::PathBuf;

use clap::Parser;

/// Compares servers by the cost of a delivery.
///
/// Builds the standalone server (`ours`), the bare-write `floor` and the `naive` axum server, and
/// runs them and any other given server in turns, each pinned to one core with the load generator
/// on another. It prints the CPU time (user and system, all threads) per delivery: median, minimum
/// and maximum of the rounds, and the ratio to the floor.
///
/// Every round of every server is a new process: start, connect and join, a pause, a tenth of the
/// messages as warm-up, then a fixed number of messages that is the same for all. The order of the
/// servers rotates from round to round. Servers that only relay are sent a frame as large as the
/// deliveries of `ours`, so that all write the same number of bytes.
#[derive(Parser)]
#[command(version, max_term_width = 100, after_long_help = SCENARIOS_AND_EXAMPLES)]
pub(crate) struct Args {
    /// The scenarios: a, b, c, d, e, max.
    #[arg(long, value_delimiter = ',', default_value = "a,b,c,d,e")]
    pub(crate) scenario: Vec<String>,

    /// The number of rounds of each scenario.
    #[arg(long, default_value_t = 5, value_parser = clap::value_parser!(u32).range(1..))]
    pub(crate) rounds: u32,

    /// The built servers that take part: ours, floor, naive.
    #[arg(long, value_delimiter = ',', default_value = "ours,floor,naive")]
    pub(crate) servers: Vec<String>,

    /// A further server, as NAME=COMMAND; may be repeated. It must relay every text frame to all
    /// members of the room that the path names, and print `listening on http://ADDRESS` or take its
    /// port from `{port}` in the command.
    #[arg(long, value_name = "NAME=COMMAND")]
    pub(crate) with: Vec<String>,

    /// The options of `load` for a server of `--with`, as NAME=OPTIONS, with `{addr}` for its
    /// address. [default: --protocol raw --url ws://{addr}/{room}]
    #[arg(long, value_name = "NAME=OPTIONS")]
    pub(crate) with_load: Vec<String>,

    /// Multiplies the number of messages. 0.1 is enough for a first impression.
    #[arg(long, default_value_t = 1.0)]
    pub(crate) scale: f64,

    /// Members of each room that publish, in turns.
    #[arg(long, default_value_t = 1)]
    pub(crate) publishers_per_room: u32,

    /// The core for the servers.
    #[arg(long, default_value_t = 0)]
    pub(crate) server_core: u32,

    /// The core for the load generator.
    #[arg(long, default_value_t = 1)]
    pub(crate) load_core: u32,

    /// The executable of the standalone server, instead of building it.
    #[arg(long, value_name = "FILE")]
    pub(crate) standalone: Option<PathBuf>,

    /// Further options for the standalone server, in one string.
    #[arg(long, default_value = "", allow_hyphen_values = true)]
    pub(crate) standalone_args: String,

    /// The executable of the floor, instead of building it.
    #[arg(long, value_name = "FILE")]
    pub(crate) floor: Option<PathBuf>,

    /// The executable of the naive server, instead of building it.
    #[arg(long, value_name = "FILE")]
    pub(crate) naive: Option<PathBuf>,

    /// The executable of the load generator, instead of building it.
    #[arg(long, value_name = "FILE")]
    pub(crate) load: Option<PathBuf>,

    /// Write all rounds as JSON.
    #[arg(long, value_name = "FILE")]
    pub(crate) json: Option<PathBuf>,

    /// Show what the servers write to standard error.
    #[arg(long, short)]
    pub(crate) verbose: bool,
}

const SCENARIOS_AND_EXAMPLES: &str = "\
Scenarios:
  a    1 room × 1000 members, 1 message in flight
  b    1 room × 1000 members, 64 in flight (the floor coalesces)
  c    100 rooms × 10 members, 4 in flight in each (the floor coalesces)
  d    1 room × 10 000 members, 1 in flight
  e    10 000 idle connections in rooms of 10: server memory (RSS) per connection
  max  1 room × 19 000 members, 1 in flight: near the limit of 20 000 open files

Examples:
  cargo run --release -p load --bin compare -- --rounds 5
  cargo run --release -p load --bin compare -- --scenario a --servers ours,floor --scale 0.3
  compare --with 'bun=bun run server.ts {port}' --with-load 'bun=--protocol raw --url ws://{addr}/{room}'

Exit status: 0 if nothing was lost, duplicated or out of order anywhere; 2 otherwise; 1 if something
did not run.";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_command_line_is_valid() {
        use clap::CommandFactory;
        Args::command().debug_assert();
    }
}
