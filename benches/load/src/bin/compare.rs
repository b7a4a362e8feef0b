//! `compare`: runs the standalone server and the servers that it is compared with under the same loads, in turns, and
//! prints what a delivery costs each of them.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::fs;
use std::io::{self, BufRead, BufReader, Read};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitCode, Stdio};
use std::sync::mpsc;
use std::thread;
use std::time::{Duration, Instant};

use clap::Parser;
use load::report::{Report, time};
use serde::Serialize;

/// Compares servers by what a delivery costs them.
///
/// Builds and runs the standalone server (`ours`), the bare-write `floor`, the `naive` axum server and any other that
/// is given, in turns, each pinned to one core with the load generator on another, and prints CPU time (user and
/// system, all threads) per delivery: median, minimum and maximum of the rounds, and the ratio to the floor.
///
/// Every round of every server is a fresh process: start, connect and join, a rest, a tenth of the messages as
/// warm-up, then a fixed number of messages that is the same for all. The order of the servers rotates from round to
/// round. Those that only relay are sent a frame as large as ours delivers, so that all write the same number of bytes.
#[derive(Parser)]
#[command(version, max_term_width = 100, after_long_help = MORE)]
struct Args {
    /// Which scenarios: a, b, c, d, e, max.
    #[arg(long, value_delimiter = ',', default_value = "a,b,c,d,e")]
    scenario: Vec<String>,

    /// Rounds of each scenario.
    #[arg(long, default_value_t = 5, value_parser = clap::value_parser!(u32).range(1..))]
    rounds: u32,

    /// Which of the built servers take part: ours, floor, naive.
    #[arg(long, value_delimiter = ',', default_value = "ours,floor,naive")]
    servers: Vec<String>,

    /// One more server, as NAME=COMMAND; may be repeated. It relays every text frame to everybody in the room named by
    /// the path, and prints `listening on http://ADDRESS` or takes its port from `{port}` in the command.
    #[arg(long, value_name = "NAME=COMMAND")]
    with: Vec<String>,

    /// How to speak to a server of `--with`, as NAME=OPTIONS of `load`, with `{addr}` for its address.
    /// [default: --protocol raw --url ws://{addr}/{room}]
    #[arg(long, value_name = "NAME=OPTIONS")]
    with_load: Vec<String>,

    /// Multiplies the number of messages: 0.1 for a quick look.
    #[arg(long, default_value_t = 1.0)]
    scale: f64,

    /// Members of each room that publish, in turns.
    #[arg(long, default_value_t = 1)]
    publishers_per_room: u32,

    /// Core for the servers.
    #[arg(long, default_value_t = 0)]
    server_core: u32,

    /// Core for the load generator.
    #[arg(long, default_value_t = 1)]
    load_core: u32,

    /// The standalone server's executable, instead of building it.
    #[arg(long, value_name = "FILE")]
    standalone: Option<PathBuf>,

    /// More options for the standalone server, in one string.
    #[arg(long, default_value = "", allow_hyphen_values = true)]
    standalone_args: String,

    /// The floor's executable, instead of building it.
    #[arg(long, value_name = "FILE")]
    floor: Option<PathBuf>,

    /// The naive server's executable, instead of building it.
    #[arg(long, value_name = "FILE")]
    naive: Option<PathBuf>,

    /// The load generator's executable, instead of building it.
    #[arg(long, value_name = "FILE")]
    load: Option<PathBuf>,

    /// Write every round as JSON.
    #[arg(long, value_name = "FILE")]
    json: Option<PathBuf>,

    /// Show what the servers write to standard error.
    #[arg(long, short)]
    verbose: bool,
}

const MORE: &str = "\
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

Exit status: 0 when nothing was lost, doubled or out of order anywhere; 2 otherwise; 1 when something did not run.";

struct Scenario {
    name: &'static str,
    what: &'static str,
    clients: u32,
    rooms: u32,
    window: u32,
    /// Publishes a round; 0 measures memory of idle connections instead.
    messages: u32,
    coalesce: bool,
}

const SCENARIOS: [Scenario; 6] = [
    Scenario {
        name: "a",
        what: "1 room × 1000, 1 in flight",
        clients: 1000,
        rooms: 1,
        window: 1,
        messages: 1000,
        coalesce: false,
    },
    Scenario {
        name: "b",
        what: "1 room × 1000, 64 in flight",
        clients: 1000,
        rooms: 1,
        window: 64,
        messages: 10_240,
        coalesce: true,
    },
    Scenario {
        name: "c",
        what: "100 rooms × 10, 4 in flight in each",
        clients: 1000,
        rooms: 100,
        window: 4,
        messages: 100_000,
        coalesce: true,
    },
    Scenario {
        name: "d",
        what: "1 room × 10 000, 1 in flight",
        clients: 10_000,
        rooms: 1,
        window: 1,
        messages: 100,
        coalesce: false,
    },
    Scenario {
        name: "e",
        what: "10 000 idle connections in rooms of 10",
        clients: 10_000,
        rooms: 1000,
        window: 0,
        messages: 0,
        coalesce: false,
    },
    Scenario {
        name: "max",
        what: "1 room × 19 000, 1 in flight",
        clients: 19_000,
        rooms: 1,
        window: 1,
        messages: 50,
        coalesce: false,
    },
];

/// Payload bytes of a delivery where none of ours tells.
const DEFAULT_PAYLOAD: u32 = 270;

#[derive(Debug, Clone, PartialEq)]
struct Contender {
    name: String,
    command: Vec<String>,
    coalesces: bool,
    load: Vec<String>,
    ours: bool,
}

/// A server process; ends with its owner.
struct Running {
    child: Child,
    addr: String,
}

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

#[derive(Serialize)]
struct Figures {
    server: String,
    /// `µs per delivery` or `kB per connection`.
    unit: &'static str,
    median: f64,
    min: f64,
    max: f64,
    /// Median over the floor's median.
    #[serde(skip_serializing_if = "Option::is_none")]
    to_floor: Option<f64>,
    /// Median of the ratios within each round: what the machine did in one round it did to both.
    #[serde(skip_serializing_if = "Option::is_none")]
    to_floor_by_round: Option<f64>,
    lost: u64,
    duplicated: u64,
    out_of_order: u64,
    rounds: Vec<Report>,
}

#[derive(Serialize)]
struct Outcome {
    scenario: &'static str,
    what: &'static str,
    servers: Vec<Figures>,
}

fn main() -> ExitCode {
    match run(&Args::parse()) {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::from(2),
        Err(e) => {
            eprintln!("compare: {e}");
            ExitCode::FAILURE
        }
    }
}

fn run(args: &Args) -> io::Result<bool> {
    load::proc::raise_open_files();
    let scenarios = args
        .scenario
        .iter()
        .map(|name| {
            SCENARIOS
                .iter()
                .find(|s| s.name == name)
                .ok_or_else(|| io::Error::other(format!("no scenario {name:?}")))
        })
        .collect::<io::Result<Vec<_>>>()?;
    let (contenders, generator) = contenders(args)?;
    let pin = Command::new("taskset")
        .arg("-V")
        .output()
        .is_ok_and(|out| out.status.success());
    if !pin {
        eprintln!("compare: no taskset here, so nothing is pinned to a core");
    }
    let mut outcomes = Vec::new();
    for scenario in scenarios {
        let outcome = compare(args, scenario, &contenders, &generator, pin)?;
        print!("{}", table(&outcome));
        outcomes.push(outcome);
        if let Some(file) = &args.json {
            fs::write(file, serde_json::to_string_pretty(&outcomes)? + "\n")?;
        }
    }
    Ok(outcomes
        .iter()
        .flat_map(|o| &o.servers)
        .all(|s| s.rounds.iter().all(Report::clean)))
}

/// Builds what is missing, and says how each server is started and spoken to.
fn contenders(args: &Args) -> io::Result<(Vec<Contender>, PathBuf)> {
    let mut build = Vec::new();
    for name in &args.servers {
        let (given, package) = match name.as_str() {
            "ours" => (&args.standalone, "standalone"),
            "floor" => (&args.floor, "benches"),
            "naive" => (&args.naive, "benches"),
            other => return Err(io::Error::other(format!("no server {other:?}"))),
        };
        if given.is_none() && !build.contains(&package) {
            build.push(package);
        }
    }
    if args.load.is_none() {
        build.push("load");
    }
    for package in build {
        let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
        // One package after the other: built together they would share features, and none would be itself.
        let status = Command::new(cargo)
            .args(["build", "--release", "-p", package])
            .status()?;
        if !status.success() {
            return Err(io::Error::other(format!("cannot build {package}")));
        }
    }
    let here = std::env::current_exe()?;
    let release = here
        .parent()
        .and_then(Path::parent)
        .map(|target| target.join("release"));
    let built = |given: &Option<PathBuf>, name: &str| -> io::Result<PathBuf> {
        given
            .clone()
            .or_else(|| Some(release.as_ref()?.join(name)))
            .ok_or_else(|| io::Error::other(format!("where is {name}?")))
    };
    let text = |path: PathBuf| path.to_string_lossy().into_owned();
    let raw = || words("--protocol raw --url ws://{addr}/{room}");

    let mut contenders = Vec::new();
    for name in &args.servers {
        let listen = ["--listen".to_owned(), "127.0.0.1:0".to_owned()];
        let (mut command, load) = match name.as_str() {
            "ours" => (
                vec![
                    text(built(&args.standalone, "standalone")?),
                    "--no-limits".to_owned(),
                ],
                words("--url ws://{addr}/ws"),
            ),
            "floor" => (vec![text(built(&args.floor, "floor")?)], raw()),
            _ => (vec![text(built(&args.naive, "naive")?)], raw()),
        };
        command.extend(listen);
        let ours = name == "ours";
        if ours {
            command.extend(words(&args.standalone_args));
        }
        let coalesces = name == "floor";
        contenders.push(Contender {
            name: name.clone(),
            command,
            coalesces,
            load,
            ours,
        });
    }
    let pair = |given: &str| -> io::Result<(String, Vec<String>)> {
        let (name, rest) = given
            .split_once('=')
            .ok_or_else(|| io::Error::other(format!("{given:?} is not NAME=…")))?;
        Ok((name.to_owned(), words(rest)))
    };
    let loads = args
        .with_load
        .iter()
        .map(|l| pair(l))
        .collect::<io::Result<BTreeMap<_, _>>>()?;
    for with in &args.with {
        let (name, command) = pair(with)?;
        let load = loads.get(&name).cloned().unwrap_or_else(raw);
        contenders.push(Contender {
            name,
            command,
            coalesces: false,
            load,
            ours: false,
        });
    }
    Ok((contenders, built(&args.load, "load")?))
}

/// Splits a command line at blanks; quotes of both kinds hold a word together.
fn words(line: &str) -> Vec<String> {
    let (mut words, mut word, mut quote) = (Vec::new(), None::<String>, None);
    for c in line.chars() {
        match (quote, c) {
            (Some(q), c) if c == q => quote = None,
            (None, '"' | '\'') => {
                quote = Some(c);
                word.get_or_insert_default();
            }
            (None, c) if c.is_whitespace() => words.extend(word.take()),
            (_, c) => word.get_or_insert_default().push(c),
        }
    }
    words.extend(word);
    words
}

fn compare(
    args: &Args,
    scenario: &'static Scenario,
    contenders: &[Contender],
    generator: &Path,
    pin: bool,
) -> io::Result<Outcome> {
    let mut reports: Vec<Vec<Report>> = contenders.iter().map(|_| Vec::new()).collect();
    let mut payload = DEFAULT_PAYLOAD;
    for round in 0..args.rounds as usize {
        // In the first round ours comes first (it is the first of the list), and tells the others the size.
        for turn in 0..contenders.len() {
            let which = (round + turn) % contenders.len();
            let contender = &contenders[which];
            eprintln!(
                "{}: round {} of {}, {}",
                scenario.name,
                round + 1,
                args.rounds,
                contender.name
            );
            let report = one(args, scenario, contender, generator, pin, payload)?;
            if contender.ours
                && let Some(run) = report.runs.first()
                && run.payload_bytes_per_delivery > 0.0
            {
                payload = run.payload_bytes_per_delivery.round() as u32;
            }
            reports[which].push(report);
        }
    }
    let floor = contenders.iter().position(|c| c.name == "floor");
    let floor: Option<Vec<f64>> = floor.map(|f| reports[f].iter().map(figure).collect());
    let servers = contenders
        .iter()
        .zip(reports)
        .map(|(contender, rounds)| figures(&contender.name, rounds, floor.as_deref()))
        .collect();
    Ok(Outcome {
        scenario: scenario.name,
        what: scenario.what,
        servers,
    })
}

/// The figure of one round: CPU per delivery, or memory per connection.
fn figure(report: &Report) -> f64 {
    match report.runs.first() {
        Some(run) => run.server_us_per_delivery.unwrap_or(f64::NAN),
        None => report.setup.rss_kb_per_connection.unwrap_or(f64::NAN),
    }
}

fn median(values: &[f64]) -> f64 {
    let mut sorted = values.to_vec();
    sorted.sort_by(f64::total_cmp);
    match (sorted.len() / 2, sorted.len() % 2) {
        (0, 0) => f64::NAN,
        (middle, 0) => f64::midpoint(sorted[middle - 1], sorted[middle]),
        (middle, _) => sorted[middle],
    }
}

fn figures(name: &str, rounds: Vec<Report>, floor: Option<&[f64]>) -> Figures {
    let values: Vec<f64> = rounds.iter().map(figure).collect();
    let by_round = |floor: &[f64]| {
        median(
            &values
                .iter()
                .zip(floor)
                .map(|(ours, floor)| ours / floor)
                .collect::<Vec<_>>(),
        )
    };
    let unit = if rounds.iter().any(|r| !r.runs.is_empty()) {
        "µs per delivery"
    } else {
        "kB per connection"
    };
    Figures {
        server: name.to_owned(),
        unit,
        median: median(&values),
        min: values.iter().copied().fold(f64::INFINITY, f64::min),
        max: values.iter().copied().fold(f64::NEG_INFINITY, f64::max),
        to_floor: floor.map(|f| median(&values) / median(f)),
        to_floor_by_round: floor.map(by_round),
        lost: rounds.iter().map(|r| r.lost).sum(),
        duplicated: rounds.iter().map(|r| r.duplicated).sum(),
        out_of_order: rounds.iter().filter_map(|r| r.out_of_order).sum(),
        rounds,
    }
}

/// One round of one server.
fn one(
    args: &Args,
    scenario: &Scenario,
    contender: &Contender,
    generator: &Path,
    pin: bool,
    payload: u32,
) -> io::Result<Report> {
    let server = start(args, scenario, contender, pin)?;
    let json = std::env::temp_dir().join(format!("compare-{}.json", std::process::id()));
    let mut command = pinned(pin, args.load_core, &generator.to_string_lossy());
    command
        .args(
            contender
                .load
                .iter()
                .map(|word| word.replace("{addr}", &server.addr)),
        )
        .args(["--clients", &scenario.clients.to_string()])
        .args(["--rooms", &scenario.rooms.to_string()])
        .args([
            "--publishers-per-room",
            &args.publishers_per_room.to_string(),
        ])
        .args(["--pid", &server.child.id().to_string()])
        .args(["--room-prefix", "r", "--quiet", "--stall", "30s"])
        .arg("--json")
        .arg(&json);
    if scenario.clients > 5000 {
        command.args(["--sources", "4"]);
    }
    if scenario.messages == 0 {
        command.args(["--idle", "--settle", "4s"]);
    } else {
        let messages = (f64::from(scenario.messages) * args.scale).ceil().max(1.0) as u64;
        let warmup = (messages / 10).max(u64::from(scenario.window));
        command
            .args(["--window", &scenario.window.to_string()])
            .args(["--messages", &messages.to_string()])
            .args(["--warmup-messages", &warmup.to_string()]);
        // Who speaks chat.v1 delivers more than it is sent, as ours does; who relays is sent as much.
        if contender.load.iter().any(|word| word == "raw") {
            command.args(["--pad-to", &payload.to_string()]);
        }
    }
    let output = command.stderr(Stdio::inherit()).output()?;
    let text = String::from_utf8_lossy(&output.stdout);
    if args.verbose || !output.status.success() {
        eprint!("{text}");
    }
    // 2 is a measurement that found something lost; it goes into the table.
    if !matches!(output.status.code(), Some(0 | 2)) {
        return Err(io::Error::other(format!(
            "load failed on {}",
            contender.name
        )));
    }
    let report = serde_json::from_str(&fs::read_to_string(&json)?)?;
    fs::remove_file(&json)?;
    Ok(report)
}

fn pinned(pin: bool, core: u32, program: &str) -> Command {
    if !pin {
        return Command::new(program);
    }
    let mut command = Command::new("taskset");
    // taskset becomes the program, so the process id stays.
    command.args(["-c", &core.to_string(), program]);
    command
}

fn start(
    args: &Args,
    scenario: &Scenario,
    contender: &Contender,
    pin: bool,
) -> io::Result<Running> {
    let wrong = |what: &str| io::Error::other(format!("{}: {what}", contender.name));
    let Some((program, rest)) = contender.command.split_first() else {
        return Err(wrong("no command"));
    };
    let port = if contender.command.iter().any(|word| word.contains("{port}")) {
        Some(TcpListener::bind("127.0.0.1:0")?.local_addr()?.port())
    } else {
        None
    };
    let port_text = port.map_or_else(String::new, |p| p.to_string());
    let mut command = pinned(pin, args.server_core, program);
    command.args(rest.iter().map(|word| word.replace("{port}", &port_text)));
    if contender.coalesces && scenario.coalesce {
        command.arg("--coalesce");
    }
    command.stdin(Stdio::null()).stdout(Stdio::piped());
    command.stderr(if args.verbose {
        Stdio::inherit()
    } else {
        Stdio::null()
    });
    let child = command
        .spawn()
        .map_err(|e| wrong(&format!("{program}: {e}")))?;
    let mut running = Running {
        child,
        addr: String::new(),
    };
    let stdout = running
        .child
        .stdout
        .take()
        .ok_or_else(|| wrong("no output"))?;
    let said = first_address(stdout);
    let patience = Duration::from_secs(10);
    running.addr = match port {
        None => said
            .recv_timeout(patience)
            .map_err(|_| wrong("does not say where it listens"))?,
        Some(port) => {
            let addr = SocketAddr::from(([127, 0, 0, 1], port));
            let begin = Instant::now();
            while TcpStream::connect(addr).is_err() {
                if begin.elapsed() > patience {
                    return Err(wrong("does not listen"));
                }
                thread::sleep(Duration::from_millis(50));
            }
            addr.to_string()
        }
    };
    thread::sleep(Duration::from_millis(200));
    Ok(running)
}

/// The address in the first `listening on http://…` of the output, which is read to its end so that the server never
/// waits for a reader.
fn first_address(stdout: impl Read + Send + 'static) -> mpsc::Receiver<String> {
    let (tx, rx) = mpsc::channel();
    thread::spawn(move || {
        for line in BufReader::new(stdout).lines() {
            let Ok(line) = line else { break };
            if let Some((_, address)) = line.split_once("listening on http://") {
                let end = address.find(|c: char| c.is_whitespace() || c == '/' || c == '"');
                let _ = tx.send(address[..end.unwrap_or(address.len())].to_owned());
            }
        }
    });
    rx
}

fn table(outcome: &Outcome) -> String {
    let unit = outcome.servers.first().map_or("", |s| s.unit);
    let mut out = format!("\n{}. {}\n", outcome.scenario, outcome.what);
    let _ = writeln!(
        out,
        "  {:<12} {:>8} {:>8} {:>8}  {:>7} {:>8}  {:>7} {:>9} {:>9}  lost/doubled/out of order",
        "server", "median", "min", "max", "× floor", "by round", "load", "p50", "p99"
    );
    for s in &outcome.servers {
        let ratio = |r: Option<f64>| r.map_or_else(|| "–".to_owned(), |r| format!("{r:.2}"));
        let of_runs = |pick: fn(&load::report::RunReport) -> f64| {
            let values: Vec<f64> = s
                .rounds
                .iter()
                .filter_map(|r| r.runs.first())
                .map(pick)
                .collect();
            (!values.is_empty()).then(|| median(&values))
        };
        let own = of_runs(|r| r.own_cpu)
            .map_or_else(|| "–".to_owned(), |cpu| format!("{:.0} %", cpu * 100.0));
        let ms = |us: Option<f64>| us.map_or_else(|| "–".to_owned(), time);
        let _ = writeln!(
            out,
            "  {:<12} {:>8.3} {:>8.3} {:>8.3}  {:>7} {:>8}  {:>7} {:>9} {:>9}  {}/{}/{}",
            s.server,
            s.median,
            s.min,
            s.max,
            ratio(s.to_floor),
            ratio(s.to_floor_by_round),
            own,
            ms(of_runs(|r| r.latency_us.p50)),
            ms(of_runs(|r| r.latency_us.p99)),
            s.lost,
            s.duplicated,
            s.out_of_order
        );
    }
    let _ = writeln!(out, "  ({unit}; load: how busy the generator's core was)");
    out
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
    fn medians() {
        assert_eq!(median(&[3.0, 1.0, 2.0]), 2.0);
        assert_eq!(median(&[4.0, 1.0, 2.0, 3.0]), 2.5);
        assert!(median(&[]).is_nan());
    }

    #[test]
    fn command_lines() {
        assert_eq!(
            words("bun run  server.ts {port}"),
            ["bun", "run", "server.ts", "{port}"]
        );
        assert_eq!(
            words(r#"--send-template '{"say": "{text}"}' --x """#),
            ["--send-template", r#"{"say": "{text}"}"#, "--x", ""]
        );
    }

    #[test]
    fn the_address_is_found_among_other_lines() {
        let text = "hello\n{\"m\":\"listening on http://127.0.0.1:99\"}\nmore\n";
        let rx = first_address(text.as_bytes());
        assert_eq!(
            rx.recv_timeout(Duration::from_secs(5)).unwrap(),
            "127.0.0.1:99"
        );
    }
}
