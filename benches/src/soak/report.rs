//! The samples and the result of a soak.

use std::collections::BTreeMap;
use std::io;
use std::time::Duration;

use load::proc::Cpu;
use serde::Serialize;
use tokio::time::{Instant, sleep};

use crate::member::{Member, SharedOracle};
use crate::server::{Sample, Server};
use crate::slope::Slope;
use crate::traffic::Traffic;

/// Collects the samples of the server.
pub(crate) struct Monitor {
    start: Instant,
    warm_up: Duration,
    warm_at: Instant,
    slope: Slope,
    warm: Option<(u64, Instant, Cpu)>,
    cpu: f64,
    threads: usize,
    descriptors: usize,
    series: Vec<Point>,
    /// One of this many samples is kept.
    stride: u64,
    sample_count: u64,
}

/// A sample that is kept.
#[derive(Clone, Serialize)]
struct Point {
    seconds: f64,
    rss_kib: u64,
    descriptors: usize,
    threads: usize,
}

impl Monitor {
    pub(crate) fn new(warm_up: Duration) -> Self {
        let now = Instant::now();
        Self {
            start: now,
            warm_up,
            warm_at: now + warm_up,
            slope: Slope::default(),
            warm: None,
            cpu: 0.0,
            threads: 0,
            descriptors: 0,
            series: Vec::new(),
            stride: 1,
            sample_count: 0,
        }
    }

    /// Starts the warm-up again, for a new process of the server.
    pub(crate) fn restart(&mut self) {
        self.warm_at = Instant::now() + self.warm_up;
        self.slope = Slope::default();
        self.warm = None;
    }

    pub(crate) fn record(&mut self, sample: &Sample, oracle: &SharedOracle) {
        let now = Instant::now();
        let seconds = (now - self.start).as_secs_f64();
        if now >= self.warm_at {
            let (rss, at, cpu) = self
                .warm
                .get_or_insert_with(|| (sample.rss_kib, now, sample.cpu.clone()));
            let minutes = (now - *at).as_secs_f64() / 60.0;
            self.slope.add(minutes, sample.rss_kib as f64 - *rss as f64);
            if minutes > 0.0 {
                self.cpu = sample.cpu.since(cpu).as_secs_f64() / (minutes * 60.0);
            }
        }
        self.threads = self.threads.max(sample.threads);
        self.descriptors = self.descriptors.max(sample.descriptors);
        if self.sample_count.is_multiple_of(self.stride) {
            self.series.push(Point {
                seconds,
                rss_kib: sample.rss_kib,
                descriptors: sample.descriptors,
                threads: sample.threads,
            });
        }
        if self.series.len() >= MAX_POINTS {
            let mut n = 0;
            self.series.retain(|_| {
                n += 1;
                n % 2 == 1
            });
            self.stride *= 2;
        }
        if self.sample_count.is_multiple_of(PRINT_STRIDE) {
            let oracle = oracle
                .lock()
                .unwrap_or_else(std::sync::PoisonError::into_inner);
            println!(
                "{:>7.0} s  {:>8} KiB  {:>5} fds  {:>3} threads  \
                 {:>9} acknowledged  {:>11} delivered  {} violations",
                seconds,
                sample.rss_kib,
                sample.descriptors,
                sample.threads,
                oracle.acknowledged,
                oracle.delivered,
                oracle.violations
            );
        }
        self.sample_count += 1;
    }
}

#[derive(Serialize)]
pub(crate) struct Report {
    seed: u64,
    acknowledged: u64,
    delivered: u64,
    skipped: u64,
    unchecked: u64,
    violations: u64,
    #[serde(rename = "complaints")]
    violation_texts: Vec<String>,
    faults: BTreeMap<&'static str, u64>,
    short_rooms: u64,
    pub(crate) restarts: u64,
    recovered: u64,
    unrecovered: u64,
    refusals: BTreeMap<String, u64>,
    closes: BTreeMap<u16, u64>,
    rss_kib_start: u64,
    rss_kib_warm: Option<u64>,
    rss_kib_end: u64,
    rss_kib_cooled: u64,
    /// KiB per minute, and its standard error.
    rss_slope: Option<(f64, f64)>,
    /// As a fraction of a core, after the warm-up.
    cpu: f64,
    #[serde(rename = "threads_most")]
    max_threads: usize,
    threads_cooled: usize,
    descriptors_start: usize,
    #[serde(rename = "descriptors_most")]
    max_descriptors: usize,
    descriptors_cooled: usize,
    series: Vec<Point>,
}

impl Report {
    pub(crate) fn new(seed: u64, baseline: &Sample) -> Self {
        Self {
            seed,
            acknowledged: 0,
            delivered: 0,
            skipped: 0,
            unchecked: 0,
            violations: 0,
            violation_texts: Vec::new(),
            faults: BTreeMap::new(),
            short_rooms: 0,
            restarts: 0,
            recovered: 0,
            unrecovered: 0,
            refusals: BTreeMap::new(),
            closes: BTreeMap::new(),
            rss_kib_start: baseline.rss_kib,
            rss_kib_warm: None,
            rss_kib_end: 0,
            rss_kib_cooled: 0,
            rss_slope: None,
            cpu: 0.0,
            max_threads: 0,
            threads_cooled: 0,
            descriptors_start: baseline.descriptors,
            max_descriptors: 0,
            descriptors_cooled: 0,
            series: Vec::new(),
        }
    }

    /// Adds the counts of a member that has left.
    pub(crate) fn add(&mut self, member: Option<Member>) {
        let Some(member) = member else { return };
        self.recovered += member.recovered;
        self.unrecovered += member.unrecovered;
        for (code, count) in member.refusals {
            *self.refusals.entry(code).or_default() += count;
        }
        for (code, count) in member.closes {
            *self.closes.entry(code).or_default() += count;
        }
    }

    /// Waits until the descriptors are released, or for a limited time.
    pub(crate) async fn cool_down(&mut self, server: &Server, baseline: &Sample) -> io::Result<()> {
        let end = Instant::now() + COOLING_TIME;
        loop {
            let sample = server.sample()?;
            self.rss_kib_cooled = sample.rss_kib;
            self.threads_cooled = sample.threads;
            self.descriptors_cooled = sample.descriptors;
            let are_released = sample.descriptors <= baseline.descriptors;
            if Instant::now() >= end || (are_released && Instant::now() + SETTLE_TIME >= end) {
                return Ok(());
            }
            sleep(Duration::from_secs(1)).await;
        }
    }

    pub(crate) fn sum_up(&mut self, end: &Sample, monitor: Monitor, traffic: &Traffic) {
        let oracle = traffic.oracle();
        self.acknowledged = oracle.acknowledged;
        self.delivered = oracle.delivered;
        self.skipped = oracle.skipped;
        self.unchecked = oracle.unchecked;
        self.violations = oracle.violations;
        self.violation_texts.clone_from(&oracle.violation_texts);
        self.faults.clone_from(&traffic.faults);
        self.short_rooms = traffic.short_room_count;
        self.rss_kib_end = end.rss_kib;
        self.rss_kib_warm = monitor.warm.map(|(rss, ..)| rss);
        self.rss_slope = monitor.slope.fit();
        self.cpu = monitor.cpu;
        self.max_threads = monitor.threads;
        self.max_descriptors = monitor.descriptors;
        self.series = monitor.series;
    }

    /// Whether every promise was kept and every descriptor was released.
    pub(crate) fn is_clean(&self) -> bool {
        self.violations == 0 && self.descriptors_cooled <= self.descriptors_start
    }

    pub(crate) fn print(&self) {
        println!("\nseed            {}", self.seed);
        println!(
            "messages        {} acknowledged, {} delivered, {} skipped by declared gaps, \
             {} received too late to check",
            self.acknowledged, self.delivered, self.skipped, self.unchecked
        );
        println!("violations      {}", self.violations);
        for text in &self.violation_texts {
            println!("                {text}");
        }
        println!(
            "connections     {} recovered, {} not; closed {:?}",
            self.recovered, self.unrecovered, self.closes
        );
        println!("refusals        {:?}", self.refusals);
        println!("faults          {:?}", self.faults);
        println!(
            "short rooms     {}, restarts {}",
            self.short_rooms, self.restarts
        );
        let warm = self.rss_kib_warm.unwrap_or_default();
        println!(
            "RSS KiB         {} at the start, {warm} after the warm-up, {} at the end, \
             {} after all had left",
            self.rss_kib_start, self.rss_kib_end, self.rss_kib_cooled
        );
        if let Some((slope, error)) = self.rss_slope {
            println!("RSS slope       {slope:+.1} KiB/min, standard error {error:.1}");
        }
        println!("CPU             {:.0} % of a core", self.cpu * 100.0);
        println!(
            "descriptors     {} at the start, {} at most, {} after all had left",
            self.descriptors_start, self.max_descriptors, self.descriptors_cooled
        );
        println!(
            "threads         {} at most, {} after all had left",
            self.max_threads, self.threads_cooled
        );
        println!(
            "{}",
            if self.is_clean() {
                "every promise was kept"
            } else {
                "NOT every promise was kept"
            }
        );
    }
}

/// The number of kept samples at which every second one is dropped.
const MAX_POINTS: usize = 1000;
/// One of this many samples is printed.
const PRINT_STRIDE: u64 = 15;
/// In this time empty rooms end, and so do threads without work.
const COOLING_TIME: Duration = Duration::from_secs(90);
/// The time that graces, idle rooms and idle threads take.
const SETTLE_TIME: Duration = Duration::from_secs(60);
