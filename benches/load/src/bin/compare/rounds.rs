//! All rounds of one scenario.

use std::fs;
use std::io;
use std::path::Path;
use std::process::Stdio;

use load::report::Report;

use crate::args::Args;
use crate::contender::Contender;
use crate::figures::{Comparison, figure, figures};
use crate::process::{pinned, start};
use crate::scenario::{DEFAULT_PAYLOAD, Scenario};

/// Runs a scenario with all servers.
pub(crate) fn compare(
    args: &Args,
    scenario: &'static Scenario,
    contenders: &[Contender],
    generator: &Path,
    can_pin: bool,
) -> io::Result<Comparison> {
    let mut reports: Vec<Vec<Report>> = contenders.iter().map(|_| Vec::new()).collect();
    let mut payload = DEFAULT_PAYLOAD;
    for round in 0..args.rounds as usize {
        // In the first round `ours`, the first of the list, runs first and determines the size for
        // the others.
        for turn in 0..contenders.len() {
            let index = (round + turn) % contenders.len();
            let contender = &contenders[index];
            eprintln!(
                "{}: round {} of {}, {}",
                scenario.name,
                round + 1,
                args.rounds,
                contender.name
            );
            let report = run_round(args, scenario, contender, generator, can_pin, payload)?;
            if contender.is_ours
                && let Some(run) = report.runs.first()
                && run.payload_bytes_per_delivery > 0.0
            {
                payload = run.payload_bytes_per_delivery.round() as u32;
            }
            reports[index].push(report);
        }
    }
    let floor = contenders.iter().position(|c| c.name == "floor");
    let floor: Option<Vec<f64>> = floor.map(|f| reports[f].iter().map(figure).collect());
    let servers = contenders
        .iter()
        .zip(reports)
        .map(|(contender, rounds)| figures(&contender.name, rounds, floor.as_deref()))
        .collect();
    Ok(Comparison {
        scenario: scenario.name,
        description: scenario.description,
        servers,
    })
}

/// Runs one round of one server.
fn run_round(
    args: &Args,
    scenario: &Scenario,
    contender: &Contender,
    generator: &Path,
    can_pin: bool,
    payload: u32,
) -> io::Result<Report> {
    let server = start(args, scenario, contender, can_pin)?;
    let json = std::env::temp_dir().join(format!("compare-{}.json", std::process::id()));
    let mut command = pinned(can_pin, args.load_core, &generator.to_string_lossy());
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
        // A chat.v1 server delivers more than it is sent, as `ours` does. A relay is sent as much
        // as that.
        if contender.load.iter().any(|word| word == "raw") {
            command.args(["--pad-to", &payload.to_string()]);
        }
    }
    let output = command.stderr(Stdio::inherit()).output()?;
    let text = String::from_utf8_lossy(&output.stdout);
    if args.verbose || !output.status.success() {
        eprint!("{text}");
    }
    // Status 2 is a measurement that found lost messages. It is shown in the table.
    if !matches!(output.status.code(), Some(0 | 2)) {
        return Err(io::Error::other(format!(
            "load failed with {}",
            contender.name
        )));
    }
    let report = serde_json::from_str(&fs::read_to_string(&json)?)?;
    fs::remove_file(&json)?;
    Ok(report)
}
