//! The command line.

mod common;

use std::collections::BTreeMap;
use std::time::Duration;

use chat_core::{Limits, Quota};
use common::*;

/// The description of a flag in `--help`.
struct Flag {
    about: String,
    env: String,
    default: String,
}

fn help() -> BTreeMap<String, Flag> {
    let help = command().arg("--help").output().unwrap();
    assert!(help.status.success());
    let help = String::from_utf8(help.stdout).unwrap();
    let mut flags = BTreeMap::new();
    let (mut name, mut text) = (String::new(), String::new());
    for line in help.lines().chain(["--end"]) {
        let line = line.trim();
        if let Some((_, flag)) = line.split_once("--").filter(|(short, _)| short.len() <= 4) {
            let bracketed = |what: &str| {
                let (_, value) = text.split_once(&format!("[{what}: "))?;
                Some(value.split_once(']')?.0.trim_end_matches('=').to_owned())
            };
            let description = Flag {
                about: text.split('[').next().unwrap_or_default().trim().to_owned(),
                env: bracketed("env").unwrap_or_default(),
                default: bracketed("default").unwrap_or_default(),
            };
            flags.insert(std::mem::take(&mut name), description);
            name = flag.split_whitespace().next().unwrap().to_owned();
            text.clear();
        } else {
            text.push_str(line);
            text.push(' ');
        }
    }
    flags
}

#[test]
fn every_limit_has_a_flag_with_its_default_and_a_description() {
    let limits = Limits::default();
    let counts = [
        ("text-bytes", limits.text_bytes),
        ("data-bytes", limits.data_bytes),
        ("frame-bytes", limits.frame_bytes),
        ("rooms-per-connection", limits.rooms_per_connection),
        ("nickname-chars", limits.nickname_chars),
        ("title-chars", limits.title_chars),
        ("page", limits.page),
        ("connections", limits.connections),
        ("connections-per-address", limits.connections_per_address),
        ("rooms", limits.rooms),
        ("ended-rooms", limits.ended_rooms),
        ("log-events", limits.log_events),
        ("log-bytes", limits.log_bytes),
        ("presence-members", limits.presence_members),
        ("hashes", limits.hashes),
        ("hashes-waiting", limits.hashes_waiting),
    ];
    let times = [
        ("heartbeat", limits.heartbeat),
        ("write-timeout", limits.write_timeout),
        ("token-ttl", limits.token_ttl),
        ("ended-for", limits.ended_for),
        ("room-ttl", limits.room_ttl),
        ("room-idle", limits.room_idle),
        ("grace", limits.grace),
        ("presence-window", limits.presence_window),
    ];
    let rates = [
        ("command-rate", limits.commands),
        ("room-rate", limits.rooms_per_identity),
        ("room-rate-per-address", limits.rooms_per_address),
        ("identity-rate-per-address", limits.identities_per_address),
        ("password-rate", limits.passwords_per_room),
        ("password-rate-per-address", limits.passwords_per_address),
    ];
    // Every limit is among them. This server has no policy, so nothing of it can take time.
    let all = format!("{limits:#?}");
    let is_field = |line: &&str| line.starts_with("    ") && !line.starts_with("     ");
    let fields = all
        .lines()
        .filter(|line| is_field(line) && line.contains(": "));
    let with_flag = counts.len() + times.len() + rates.len();
    assert_eq!(fields.count(), with_flag + 1, "a limit has no flag: {all}");
    let help = help();
    let flag = |name: &str| {
        let flag = help
            .get(name)
            .unwrap_or_else(|| panic!("there is no --{name}"));
        assert!(flag.about.len() > 10, "--{name} has no description");
        let env = name.to_uppercase().replace('-', "_");
        assert_eq!(flag.env, format!("CHAT_{env}"));
        flag.default.as_str()
    };
    for (name, value) in counts {
        assert_eq!(flag(name), value.to_string(), "--{name}");
    }
    for (name, value) in times {
        assert_eq!(time(flag(name)), value, "--{name}");
    }
    for (name, value) in rates {
        let (burst, period) = flag(name).split_once('/').unwrap();
        assert_eq!(
            Quota::per(burst.parse().unwrap(), time(period)),
            value,
            "--{name}"
        );
    }
    // The flags of the server itself.
    for name in ["drain", "header-timeout"] {
        assert!(time(flag(name)) > Duration::ZERO);
    }
    assert_ne!(flag("http-connections"), "0");
}

#[test]
fn every_bound_in_the_help_is_explained_in_the_docs() {
    let doc = include_str!("../../../docs/LIMITS.md");
    let rows: Vec<Vec<&str>> = doc
        .lines()
        .filter(|line| line.starts_with('|'))
        .map(|line| line.split('|').map(str::trim).collect())
        .collect();
    let not_bounds = ["drain", "listen", "log", "log-format"];
    for (name, flag) in help() {
        if flag.default.is_empty() || not_bounds.contains(&name.as_str()) {
            continue;
        }
        let row = rows.iter().find(|row| row[2] == format!("`--{name}`"));
        let row = row.unwrap_or_else(|| panic!("docs/LIMITS.md does not list --{name}"));
        assert_eq!(row[3], flag.default, "--{name}");
        assert!(row[4..6].iter().all(|cell| !cell.is_empty()), "--{name}");
    }
}

fn time(text: &str) -> Duration {
    let at = text.find(|c: char| !c.is_ascii_digit()).unwrap();
    let number: u64 = text[..at].parse().unwrap();
    Duration::from_millis(match &text[at..] {
        "ms" => number,
        "s" => number * 1000,
        "m" => number * 60_000,
        "h" => number * 3_600_000,
        unit => panic!("{unit}"),
    })
}

#[test]
fn the_error_for_a_wrong_value_names_the_flag() {
    for (flag, value) in [
        ("--listen", "nowhere"),
        ("--listen", "127.0.0.1"),
        ("--workers", "0"),
        ("--trusted-proxies", "10.0.0.0/33"),
        ("--drain", "1d"),
        ("--drain", "18446744073709551615h"),
        ("--log", "standalone=loud"),
        ("--log-format", "xml"),
        ("--text-bytes", "1e3"),
        ("--text-bytes", "-1"),
        ("--text-bytes", "18446744073709551616"),
        ("--heartbeat", "25"),
        ("--heartbeat", ""),
        ("--heartbeat", "0s"),
        ("--heartbeat", "18446744073709551615s"),
        ("--header-timeout", "0s"),
        ("--write-timeout", "0ms"),
        ("--room-ttl", "99999999999h"),
        ("--command-rate", "5"),
        ("--command-rate", "many/1s"),
        ("--command-rate", "5/x"),
    ] {
        // A server that accepted the value would not find this file, and would end as well.
        let missing_file = ["--secret-file", "/nowhere"];
        let output = command()
            .arg(format!("{flag}={value}"))
            .args(missing_file)
            .output()
            .unwrap();
        let stderr = String::from_utf8(output.stderr).unwrap();
        assert_eq!(output.status.code(), Some(2), "{flag} {value}: {stderr}");
        assert!(
            stderr.contains(&format!("'{flag}")),
            "{flag} {value}: {stderr}"
        );
    }
    let output = command().arg("--colour").output().unwrap();
    assert_eq!(output.status.code(), Some(2));
}

#[test]
fn an_error_about_a_secret_does_not_show_it() {
    let output = command().args(["--secret", "hunter2"]).output().unwrap();
    assert_eq!(output.status.code(), Some(2));
    let stderr = String::from_utf8(output.stderr).unwrap();
    assert!(stderr.contains("at least 16 characters"), "{stderr}");
    assert!(!stderr.contains("hunter2"), "{stderr}");
    let output = command()
        .args(["--secret-file", "/nowhere"])
        .output()
        .unwrap();
    assert_eq!(output.status.code(), Some(2));
    let stderr = String::from_utf8(output.stderr).unwrap();
    assert!(stderr.contains("/nowhere"), "{stderr}");
}

#[tokio::test]
async fn an_error_about_a_port_in_use_names_it() {
    let server = Server::start(&[]);
    let addr = server.addr.to_string();
    let output = command().args(["--listen", &addr]).output().unwrap();
    assert_eq!(output.status.code(), Some(1));
    let stderr = String::from_utf8(output.stderr).unwrap();
    assert!(
        stderr.contains(&addr) && stderr.contains("in use"),
        "{stderr}"
    );
}
