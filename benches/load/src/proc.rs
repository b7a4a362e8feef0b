//! CPU time and memory of a process, from `/proc`.

use std::collections::HashMap;
use std::fs;
use std::io;
use std::time::Duration;

/// The CPU time of a process at one moment.
#[derive(Debug, Clone)]
pub struct Cpu {
    /// User and system time of all threads, including those that have ended, in clock ticks.
    ticks: u64,
    /// Time on the CPU of each live thread, in nanoseconds; empty if the kernel does not count it.
    threads: HashMap<String, u64>,
}

impl Cpu {
    /// Reads the CPU time of `pid` (`self` is allowed).
    ///
    /// # Errors
    /// There is no such process, or its files cannot be read.
    pub fn of(pid: &str) -> io::Result<Self> {
        let stat = fs::read_to_string(format!("/proc/{pid}/stat"))?;
        let ticks = ticks_of_stat(&stat)
            .ok_or_else(|| io::Error::other("/proc/PID/stat must have the usual fields"))?;
        let mut threads = HashMap::new();
        for task in fs::read_dir(format!("/proc/{pid}/task"))?.flatten() {
            let Ok(text) = fs::read_to_string(task.path().join("schedstat")) else {
                continue;
            };
            let ns = text.split(' ').next().and_then(|n| n.parse().ok());
            if let Some(ns) = ns.filter(|n| *n > 0) {
                threads.insert(task.file_name().to_string_lossy().into_owned(), ns);
            }
        }
        Ok(Self { ticks, threads })
    }

    /// The CPU time used between `before` and this moment. It is taken from the nanosecond counts
    /// of the threads if every thread of `before` is still alive, and from clock ticks (10 ms)
    /// otherwise.
    #[must_use]
    pub fn since(&self, before: &Self) -> Duration {
        let all_live = before.threads.keys().all(|t| self.threads.contains_key(t));
        if !self.threads.is_empty() && all_live {
            let spent: u64 = self
                .threads
                .iter()
                .map(|(t, ns)| ns.saturating_sub(before.threads.get(t).copied().unwrap_or(0)))
                .sum();
            return Duration::from_nanos(spent);
        }
        let hz = rustix::param::clock_ticks_per_second().max(1);
        Duration::from_secs_f64(self.ticks.saturating_sub(before.ticks) as f64 / hz as f64)
    }
}

/// utime + stime: the 12th and 13th field after the name of the command, which may contain blanks
/// and parentheses.
fn ticks_of_stat(stat: &str) -> Option<u64> {
    let mut fields = stat[stat.rfind(')')? + 1..]
        .split_ascii_whitespace()
        .skip(11);
    let user: u64 = fields.next()?.parse().ok()?;
    let system: u64 = fields.next()?.parse().ok()?;
    Some(user + system)
}

/// The resident memory of `pid` in kB.
///
/// # Errors
/// There is no such process, or its files cannot be read.
pub fn rss_kb(pid: &str) -> io::Result<u64> {
    let status = fs::read_to_string(format!("/proc/{pid}/status"))?;
    status
        .lines()
        .find_map(|l| {
            l.strip_prefix("VmRSS:")?
                .trim()
                .strip_suffix(" kB")?
                .parse()
                .ok()
        })
        .ok_or_else(|| io::Error::other("/proc/PID/status must contain VmRSS"))
}

/// Raises the soft limit of open files to the hard limit, and returns it (`None` means no limit).
pub fn raise_open_files() -> Option<u64> {
    use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
    let limit = getrlimit(Resource::Nofile);
    let _ = setrlimit(
        Resource::Nofile,
        Rlimit {
            current: limit.maximum,
            ..limit
        },
    );
    getrlimit(Resource::Nofile).current
}

/// Makes the timeouts of this thread exact. By default the kernel may end each of them 50 µs late.
pub fn exact_timeouts() {
    let _ = rustix::thread::set_current_timer_slack(std::num::NonZeroU64::new(1));
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_stat_line_with_an_awkward_name_is_parsed() {
        let stat = "7 (a b) c) S 1 7 7 0 -1 4194560 1 0 0 0 150 50 0 0 20 0 9 0 1 2 3";
        assert_eq!(ticks_of_stat(stat), Some(200));
        assert_eq!(ticks_of_stat("7"), None);
    }

    #[test]
    fn own_cpu_grows() {
        let before = Cpu::of("self").unwrap();
        let start = std::time::Instant::now();
        let mut n = 0_u64;
        while start.elapsed() < Duration::from_millis(60) {
            n = std::hint::black_box(n + 1);
        }
        std::thread::sleep(Duration::from_millis(1));
        let spent = Cpu::of("self").unwrap().since(&before);
        assert!(
            spent >= Duration::from_millis(20),
            "{spent:?} after {n} rounds"
        );
        assert!(rss_kb("self").unwrap() > 0);
    }

    #[test]
    fn a_thread_that_ended_falls_back_to_ticks() {
        let at = |ticks, threads: &[(&str, u64)]| Cpu {
            ticks,
            threads: threads.iter().map(|(t, n)| ((*t).to_owned(), *n)).collect(),
        };
        let hz = rustix::param::clock_ticks_per_second();
        let before = at(0, &[("1", 5), ("2", 7)]);
        assert_eq!(
            at(9, &[("1", 6), ("2", 9), ("3", 4)])
                .since(&before)
                .as_nanos(),
            7
        );
        assert_eq!(at(hz, &[("1", 6)]).since(&before), Duration::from_secs(1));
    }
}
