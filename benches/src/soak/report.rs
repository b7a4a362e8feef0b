//! What a soak has shown.

use std::collections::BTreeMap;
use std::io;
use std::time::Duration;

use load::proc::Cpu;
use serde::Serialize;
use tokio::time::{Instant, sleep};

use crate::Town;
use crate::member::{Book, Member};
use crate::server::{Sample, Server};
use crate::slope::Slope;

/// Looks at the server from time to time.
pub(crate) struct Watch {
    began: Instant,
    warm_up: Duration,
    warm_at: Instant,
    slope: Slope,
    warm: Option<(u64, Instant, Cpu)>,
    cpu: f64,
    threads: usize,
    descriptors: usize,
    series: Vec<Point>,
    /// Of how many looks one is kept.
    stride: u64,
    looks: u64,
}

/// One look at the server.
#[derive(Clone, Serialize)]
struct Point {
    seconds: f64,
    rss_kib: u64,
    descriptors: usize,
    threads: usize,
}

impl Watch {
    pub(crate) fn new(warm_up: Duration) -> Self {
        let now = Instant::now();
        Self {
            began: now,
            warm_up,
            warm_at: now + warm_up,
            slope: Slope::default(),
            warm: None,
            cpu: 0.0,
            threads: 0,
            descriptors: 0,
            series: Vec::new(),
            stride: 1,
            looks: 0,
        }
    }

    /// The server is another process.
    pub(crate) fn begin_anew(&mut self) {
        self.warm_at = Instant::now() + self.warm_up;
        self.slope = Slope::default();
        self.warm = None;
    }

    pub(crate) fn look(&mut self, sample: &Sample, book: &Book) {
        let now = Instant::now();
        let seconds = (now - self.began).as_secs_f64();
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
        if self.looks.is_multiple_of(self.stride) {
            self.series.push(Point {
                seconds,
                rss_kib: sample.rss_kib,
                descriptors: sample.descriptors,
                threads: sample.threads,
            });
        }
        if self.series.len() >= POINTS {
            let mut n = 0;
            self.series.retain(|_| {
                n += 1;
                n % 2 == 1
            });
            self.stride *= 2;
        }
        if self.looks.is_multiple_of(SHOWN) {
            let book = book
                .lock()
                .unwrap_or_else(std::sync::PoisonError::into_inner);
            println!(
                "{:>7.0} s  {:>8} KiB  {:>5} fds  {:>3} threads  {:>9} acknowledged  {:>11} delivered  {} violations",
                seconds,
                sample.rss_kib,
                sample.descriptors,
                sample.threads,
                book.acknowledged,
                book.delivered,
                book.violations
            );
        }
        self.looks += 1;
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
    complaints: Vec<String>,
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
    /// KiB a minute, and its standard error.
    rss_slope: Option<(f64, f64)>,
    /// Of one core, after the warm-up.
    cpu: f64,
    threads_most: usize,
    threads_cooled: usize,
    descriptors_start: usize,
    descriptors_most: usize,
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
            complaints: Vec::new(),
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
            threads_most: 0,
            threads_cooled: 0,
            descriptors_start: baseline.descriptors,
            descriptors_most: 0,
            descriptors_cooled: 0,
            series: Vec::new(),
        }
    }

    /// What happened to a member.
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

    /// Waits until everything is given back, or long enough.
    pub(crate) async fn cool_down(&mut self, server: &Server, baseline: &Sample) -> io::Result<()> {
        let end = Instant::now() + COOLING;
        loop {
            let sample = server.sample()?;
            self.rss_kib_cooled = sample.rss_kib;
            self.threads_cooled = sample.threads;
            self.descriptors_cooled = sample.descriptors;
            let is_back = sample.descriptors <= baseline.descriptors;
            if Instant::now() >= end || (is_back && Instant::now() + REST >= end) {
                return Ok(());
            }
            sleep(Duration::from_secs(1)).await;
        }
    }

    pub(crate) fn sum_up(&mut self, end: &Sample, watch: Watch, town: &Town) {
        let book = town.book();
        self.acknowledged = book.acknowledged;
        self.delivered = book.delivered;
        self.skipped = book.skipped;
        self.unchecked = book.unchecked;
        self.violations = book.violations;
        self.complaints.clone_from(&book.complaints);
        self.faults.clone_from(&town.faults);
        self.short_rooms = town.short_rooms;
        self.rss_kib_end = end.rss_kib;
        self.rss_kib_warm = watch.warm.map(|(rss, ..)| rss);
        self.rss_slope = watch.slope.fit();
        self.cpu = watch.cpu;
        self.threads_most = watch.threads;
        self.descriptors_most = watch.descriptors;
        self.series = watch.series;
    }

    /// Whether every promise was kept, and every descriptor given back.
    pub(crate) fn is_clean(&self) -> bool {
        self.violations == 0 && self.descriptors_cooled <= self.descriptors_start
    }

    pub(crate) fn print(&self) {
        println!("\nseed            {}", self.seed);
        println!(
            "messages        {} acknowledged, {} delivered, {} skipped by declared gaps, {} seen too late to check",
            self.acknowledged, self.delivered, self.skipped, self.unchecked
        );
        println!("violations      {}", self.violations);
        for complaint in &self.complaints {
            println!("                {complaint}");
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
            "RSS KiB         {} at the start, {warm} warm, {} at the end, {} when all had left",
            self.rss_kib_start, self.rss_kib_end, self.rss_kib_cooled
        );
        if let Some((slope, error)) = self.rss_slope {
            println!("RSS slope       {slope:+.1} KiB/min, standard error {error:.1}");
        }
        println!("CPU             {:.0} % of a core", self.cpu * 100.0);
        println!(
            "descriptors     {} at the start, {} at most, {} when all had left",
            self.descriptors_start, self.descriptors_most, self.descriptors_cooled
        );
        println!(
            "threads         {} at most, {} when all had left",
            self.threads_most, self.threads_cooled
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

/// Samples kept at most; then every second one goes.
const POINTS: usize = 1000;
/// Of how many looks one is shown.
const SHOWN: u64 = 15;
/// Rooms without anybody end, and so do threads without work.
const COOLING: Duration = Duration::from_secs(90);
/// Grace, idle rooms and idle threads.
const REST: Duration = Duration::from_secs(60);
