//! `instructions`: counts the machine instructions of the paths of the engine, and compares them
//! with a baseline.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode};

use benches::{BenchRoom, TEXT, Transport, engine};
use clap::Parser;
use serde::{Deserialize, Serialize};

/// Counts instructions with callgrind (valgrind) and compares them with a baseline.
///
/// Unlike times, instructions are the same on a busy machine. Each case runs twice, with few and
/// with many repetitions. The difference divided by the difference of the repetitions is the cost
/// of one, without start and end. The cases run in virtual time, in one thread and without the
/// kernel.
#[derive(Parser)]
#[command(version, max_term_width = 100, after_help = MORE)]
struct Args {
    /// The file of the baseline.
    #[arg(long, value_name = "FILE", default_value = "benches/instructions.json")]
    baseline: PathBuf,

    /// Write the baseline instead of comparing with it.
    #[arg(long)]
    write: bool,

    /// Run only the cases whose names contain this.
    #[arg(long, default_value = "")]
    only: String,

    /// Run one case alone, this many times and without counting. Callgrind is started with this
    /// flag.
    #[arg(long, num_args = 2, value_names = ["CASE", "TIMES"], hide = true)]
    run: Option<Vec<String>>,
}

const MORE: &str = "\
Needs valgrind. A case may cost a tenth more than its baseline, or a quarter more if the compiler is
not that of the baseline. Exit status: 0 if every case is within that, 2 if one costs more, 1 if
something did not run.";

struct Case {
    name: &'static str,
    /// What the instructions are counted for.
    unit: &'static str,
    members: usize,
    transport: Transport,
    workload: Workload,
}

#[derive(Clone, Copy)]
enum Workload {
    /// This many messages at once, until the last member has received them.
    Publish(usize),
    /// One message of 4 KiB.
    Long,
    /// 2048 messages while one member reads nothing. It then receives a gap and the 1024 that are
    /// retained.
    Lag,
    JoinAndLeave,
}

const CASES: [Case; 9] = [
    Case {
        name: "publish",
        unit: "message to its sender",
        members: 1,
        transport: Transport::Direct,
        workload: Workload::Publish(1),
    },
    Case {
        name: "publish websocket",
        unit: "message to its sender",
        members: 1,
        transport: Transport::WebSocket,
        workload: Workload::Publish(1),
    },
    Case {
        name: "publish long",
        unit: "message of 4 KiB to its sender",
        members: 1,
        transport: Transport::Direct,
        workload: Workload::Long,
    },
    Case {
        name: "drain",
        unit: "delivery, 1 message in flight, 100 members",
        members: 100,
        transport: Transport::Direct,
        workload: Workload::Publish(1),
    },
    Case {
        name: "drain 64",
        unit: "delivery, 64 messages in flight, 100 members",
        members: 100,
        transport: Transport::Direct,
        workload: Workload::Publish(64),
    },
    Case {
        name: "drain websocket",
        unit: "delivery, 1 message in flight, 100 members",
        members: 100,
        transport: Transport::WebSocket,
        workload: Workload::Publish(1),
    },
    Case {
        name: "drain 64 websocket",
        unit: "delivery, 64 messages in flight, 100 members",
        members: 100,
        transport: Transport::WebSocket,
        workload: Workload::Publish(64),
    },
    Case {
        name: "lag",
        unit: "message that a stalled member missed or received late",
        members: 2,
        transport: Transport::Direct,
        workload: Workload::Lag,
    },
    Case {
        name: "join and leave",
        unit: "member that joins and leaves, 100 others",
        members: 100,
        transport: Transport::Direct,
        workload: Workload::JoinAndLeave,
    },
];

impl Case {
    /// The repetitions of the short and of the long run, and the number of units in one repetition.
    fn scale(&self) -> (u64, u64, u64) {
        match self.workload {
            Workload::Publish(1) => (50, 150, self.members as u64),
            Workload::Publish(burst) => (2, 12, (burst * self.members) as u64),
            Workload::Long => (50, 150, 1),
            Workload::Lag => (1, 3, LAG as u64),
            Workload::JoinAndLeave => (50, 150, 1),
        }
    }

    async fn run(&self, times: u64) {
        let chat = engine();
        let room = BenchRoom::start(&chat, "bench", self.members, self.transport).await;
        // Presence events that are held back are delivered now and not during the measurement.
        tokio::time::sleep(std::time::Duration::from_secs(5)).await;
        let long = "x".repeat(4096);
        for _ in 0..times {
            match self.workload {
                Workload::Publish(burst) => room.publish(burst).await,
                Workload::Long => {
                    room.send(&long, 1);
                    room.wait_for_all(1).await;
                }
                Workload::Lag => {
                    room.stall(true);
                    room.send(TEXT, LAG);
                    room.wait_for(LAG).await;
                    room.stall(false);
                    room.wait_for(LAG / 2).await;
                }
                Workload::JoinAndLeave => room.join_and_leave().await,
            }
        }
    }
}

/// Twice the number of events that a room retains.
const LAG: usize = 2048;

#[derive(Serialize, Deserialize)]
struct Baseline {
    rustc: String,
    instructions: BTreeMap<String, u64>,
}

fn main() -> ExitCode {
    let args = Args::parse();
    match run(&args) {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::from(2),
        Err(error) => {
            eprintln!("instructions: {error}");
            ExitCode::FAILURE
        }
    }
}

fn run(args: &Args) -> Result<bool, String> {
    if let Some([name, times]) = args.run.as_deref() {
        let case = CASES.iter().find(|case| case.name == *name);
        let case = case.ok_or_else(|| format!("there is no case {name}"))?;
        let times = times
            .parse()
            .map_err(|_| format!("{times} must be a number"))?;
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .start_paused(true)
            .build()
            .map_err(|error| error.to_string())?;
        runtime.block_on(case.run(times));
        return Ok(true);
    }
    let cases = CASES.iter().filter(|case| case.name.contains(&args.only));
    if args.write {
        let mut instructions = BTreeMap::new();
        for case in cases {
            let count = count(case)?;
            println!("{:20} {count:>8}  a {}", case.name, case.unit);
            instructions.insert(case.name.into(), count);
        }
        let baseline = Baseline {
            rustc: rustc()?,
            instructions,
        };
        let json = serde_json::to_string_pretty(&baseline).map_err(|error| error.to_string())?;
        std::fs::write(&args.baseline, json + "\n")
            .map_err(|error| with_path(&args.baseline, &error))?;
        return Ok(true);
    }
    let json = std::fs::read(&args.baseline).map_err(|error| with_path(&args.baseline, &error))?;
    let baseline: Baseline =
        serde_json::from_slice(&json).map_err(|error| with_path(&args.baseline, &error))?;
    let tolerance = if baseline.rustc == rustc()? { 10 } else { 25 };
    println!("{:20} {:>8} {:>8}", "case", "counted", "baseline");
    let (mut passed, mut failed) = (0, 0);
    for case in cases {
        let before = *baseline
            .instructions
            .get(case.name)
            .ok_or_else(|| format!("the baseline has no case {}", case.name))?;
        let count = count(case)?;
        let is_over = count * 100 > before * (100 + tolerance);
        if is_over {
            failed += 1;
        } else {
            passed += 1;
        }
        println!(
            "{:20} {count:>8} {before:>8}  a {}{}",
            case.name,
            case.unit,
            if is_over { ": FAILED" } else { "" }
        );
    }
    println!("instructions: {passed} passed; {failed} failed; tolerance {tolerance} %");
    Ok(failed == 0)
}

/// The instructions of one unit of a case.
fn count(case: &Case) -> Result<u64, String> {
    let (few, many, units) = case.scale();
    let (short, long) = (callgrind(case.name, few)?, callgrind(case.name, many)?);
    Ok(long.saturating_sub(short) / ((many - few) * units))
}

/// The instructions of a whole run.
fn callgrind(name: &str, times: u64) -> Result<u64, String> {
    let executable = std::env::current_exe().map_err(|error| error.to_string())?;
    let output = Command::new("valgrind")
        .args(["--tool=callgrind", "--callgrind-out-file=/dev/null"])
        .arg(executable)
        .args(["--run", name, &times.to_string()])
        .output()
        .map_err(|error| format!("cannot run valgrind: {error}"))?;
    let log = String::from_utf8_lossy(&output.stderr);
    let collected = log
        .lines()
        .find_map(|line| line.split_once("Collected :"))
        .and_then(|(_, count)| count.trim().parse().ok());
    collected
        .filter(|_| output.status.success())
        .ok_or_else(|| format!("valgrind did not count {name}:\n{log}"))
}

fn rustc() -> Result<String, String> {
    let rustc = std::env::var_os("RUSTC").unwrap_or_else(|| "rustc".into());
    let output = Command::new(rustc).arg("--version").output();
    let output = output.map_err(|error| format!("cannot run rustc: {error}"))?;
    Ok(String::from_utf8_lossy(&output.stdout).trim().into())
}

fn with_path(path: &Path, error: &dyn std::fmt::Display) -> String {
    format!("{}: {error}", path.display())
}
