//! One server process, which ends with the test.

use std::io::{BufRead, BufReader, Read};
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::atomic::{AtomicU8, Ordering};
use std::sync::{Arc, Mutex};

use rustix::process::{Pid, Resource, Rlimit, Signal};

use super::until;

pub struct Server {
    child: Child,
    flags: Vec<String>,
    stderr: Arc<Mutex<Vec<u8>>>,
    pub addr: SocketAddr,
}

impl Server {
    /// A server that listens by the time this returns.
    pub fn start(flags: &[&str]) -> Self {
        // The server inherits it, and the test has as many ends of connections.
        let most = rustix::process::getrlimit(Resource::Nofile).maximum;
        limit_descriptors(None, most);
        let flags = flags.iter().map(ToString::to_string).collect();
        Self::listen(SocketAddr::new(own_address(), 0), flags)
    }

    fn listen(addr: SocketAddr, flags: Vec<String>) -> Self {
        let mut child = command()
            .args(["--listen", &addr.to_string()])
            .args(&flags)
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .expect("the server starts");
        let stderr = Arc::default();
        keep(child.stderr.take().expect("a pipe"), &stderr);
        let mut line = String::new();
        BufReader::new(child.stdout.take().expect("a pipe"))
            .read_line(&mut line)
            .expect("a line");
        let addr = line
            .trim()
            .strip_prefix("listening on http://")
            .and_then(|addr| addr.parse().ok());
        let server = Self {
            child,
            flags,
            stderr,
            addr: addr.unwrap_or(SocketAddr::new(Ipv4Addr::UNSPECIFIED.into(), 0)),
        };
        assert!(addr.is_some(), "{line:?}: {}", server.log());
        server
    }

    /// Kills it, and starts it again at the same address.
    pub fn kill_and_restart(&mut self) {
        self.kill();
        *self = Self::listen(self.addr, self.flags.clone());
    }

    /// Ends it as a power cut does.
    pub fn kill(&mut self) {
        self.child.kill().expect("it can be killed");
        self.child.wait().expect("it has ended");
    }

    pub fn signal(&self, signal: Signal) {
        rustix::process::kill_process(self.pid(), signal).expect("it lives");
    }

    /// How it ended, once it has by itself.
    pub async fn ended(&mut self) -> ExitStatus {
        let mut status = None;
        until("the end of the process", || {
            status = self.child.try_wait().expect("a child of this process");
            status.is_some()
        })
        .await;
        status.expect("an end")
    }

    pub fn is_running(&mut self) -> bool {
        let ended = self.child.try_wait().expect("a child of this process");
        ended.is_none()
    }

    /// What it has logged so far.
    pub fn log(&self) -> String {
        let stderr = self.stderr.lock().expect("no panic");
        String::from_utf8_lossy(&stderr).into_owned()
    }

    pub async fn logs(&self, text: &str) {
        until(text, || self.log().contains(text)).await;
    }

    /// File descriptors that it holds.
    pub fn descriptors(&self) -> usize {
        let fds = format!("/proc/{}/fd", self.child.id());
        std::fs::read_dir(fds).expect("it lives").count()
    }

    pub fn limit_descriptors(&self, most: usize) {
        limit_descriptors(Some(self.pid()), Some(most as u64));
    }

    /// Seconds of processor time that it has used.
    pub fn cpu(&self) -> f64 {
        let stat = std::fs::read_to_string(format!("/proc/{}/stat", self.child.id()));
        let stat = stat.expect("it lives");
        // The name before the `)` may hold anything; `utime` and `stime` are the 14th and 15th fields.
        let (_, fields) = stat.rsplit_once(')').expect("a name");
        let ticks: u64 = fields
            .split_whitespace()
            .skip(11)
            .take(2)
            .map(|ticks| ticks.parse::<u64>().expect("a number"))
            .sum();
        ticks as f64 / rustix::param::clock_ticks_per_second() as f64
    }

    fn pid(&self) -> Pid {
        Pid::from_child(&self.child)
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
        if std::thread::panicking() {
            eprintln!("the server said:\n{}", self.log());
        }
    }
}

/// The server, told nothing by the environment.
pub fn command() -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_standalone"));
    for (name, _) in std::env::vars_os() {
        if name.to_string_lossy().starts_with("CHAT_") {
            command.env_remove(name);
        }
    }
    command
}

/// Collects what comes out of a pipe.
fn keep(mut pipe: impl Read + Send + 'static, into: &Arc<Mutex<Vec<u8>>>) {
    let into = Arc::clone(into);
    std::thread::spawn(move || {
        let mut buf = [0; 4096];
        while let Ok(read @ 1..) = pipe.read(&mut buf) {
            into.lock().expect("no panic").extend(&buf[..read]);
        }
    });
}

fn limit_descriptors(of: Option<Pid>, current: Option<u64>) {
    let maximum = rustix::process::getrlimit(Resource::Nofile).maximum;
    let limit = Rlimit { current, maximum };
    rustix::process::prlimit(of, Resource::Nofile, limit).expect("a limit that may be set");
}

/// A loopback address for one server alone. Clients connect from 127.0.0.1, so that a server which starts again finds its
/// port free, whatever else this machine does.
fn own_address() -> IpAddr {
    static SERVERS: AtomicU8 = AtomicU8::new(1);
    let [.., high, low] = std::process::id().to_be_bytes();
    let n = SERVERS.fetch_add(1, Ordering::Relaxed);
    Ipv4Addr::new(127, 128 | high >> 1, low, n).into()
}
