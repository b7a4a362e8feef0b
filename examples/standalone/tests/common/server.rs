//! A server process that ends with the test.

use std::io::{BufRead, BufReader, Read};
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::atomic::{AtomicU8, Ordering};
use std::sync::{Arc, Mutex};

use rustix::process::{Pid, Resource, Rlimit, Signal};

use super::wait_until;

pub struct Server {
    child: Child,
    flags: Vec<String>,
    stderr: Arc<Mutex<Vec<u8>>>,
    pub addr: SocketAddr,
}

impl Server {
    /// Starts a server, which listens by the time this returns.
    pub fn start(flags: &[&str]) -> Self {
        // The server inherits the limit, and the test has just as many ends of connections.
        let maximum = rustix::process::getrlimit(Resource::Nofile).maximum;
        limit_descriptors(None, maximum);
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
        collect(child.stderr.take().expect("the pipe exists"), &stderr);
        let mut line = String::new();
        BufReader::new(child.stdout.take().expect("the pipe exists"))
            .read_line(&mut line)
            .expect("the server prints a line");
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

    /// Kills the process and starts a new one at the same address.
    pub fn kill_and_restart(&mut self) {
        self.kill();
        *self = Self::listen(self.addr, self.flags.clone());
    }

    /// Kills the process, which ends it as abruptly as a power cut.
    pub fn kill(&mut self) {
        self.child.kill().expect("the server can be killed");
        self.child.wait().expect("the server has ended");
    }

    pub fn signal(&self, signal: Signal) {
        rustix::process::kill_process(self.pid(), signal).expect("the server is running");
    }

    /// Waits for the process to end by itself, and returns its exit status.
    pub async fn wait_for_exit(&mut self) -> ExitStatus {
        let mut status = None;
        wait_until("the end of the process", || {
            status = self
                .child
                .try_wait()
                .expect("the server is a child of this process");
            status.is_some()
        })
        .await;
        status.expect("the process has ended")
    }

    pub fn is_running(&mut self) -> bool {
        let exit_status = self
            .child
            .try_wait()
            .expect("the server is a child of this process");
        exit_status.is_none()
    }

    /// The log so far.
    pub fn log(&self) -> String {
        let stderr = self.stderr.lock().expect("no panic");
        String::from_utf8_lossy(&stderr).into_owned()
    }

    /// Waits until the log contains a text.
    pub async fn wait_for_log(&self, text: &str) {
        wait_until(text, || self.log().contains(text)).await;
    }

    /// The number of file descriptors that the server has open.
    pub fn descriptors(&self) -> usize {
        let fds = format!("/proc/{}/fd", self.child.id());
        std::fs::read_dir(fds)
            .expect("the server is running")
            .count()
    }

    pub fn limit_descriptors(&self, limit: usize) {
        limit_descriptors(Some(self.pid()), Some(limit as u64));
    }

    /// The processor time that the server has used, in seconds.
    pub fn cpu(&self) -> f64 {
        let stat = std::fs::read_to_string(format!("/proc/{}/stat", self.child.id()));
        let stat = stat.expect("the server is running");
        // The name before the `)` may contain anything. `utime` and `stime` are the 14th and 15th
        // fields.
        let (_, fields) = stat.rsplit_once(')').expect("the stat line has a name");
        let ticks: u64 = fields
            .split_whitespace()
            .skip(11)
            .take(2)
            .map(|ticks| ticks.parse::<u64>().expect("ticks are a number"))
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
            eprintln!("the log of the server:\n{}", self.log());
        }
    }
}

/// A command that runs the server without the settings of this environment.
pub fn command() -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_standalone"));
    for (name, _) in std::env::vars_os() {
        if name.to_string_lossy().starts_with("CHAT_") {
            command.env_remove(name);
        }
    }
    command
}

/// Collects the output of a pipe in the background.
fn collect(mut pipe: impl Read + Send + 'static, into: &Arc<Mutex<Vec<u8>>>) {
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
    rustix::process::prlimit(of, Resource::Nofile, limit).expect("the limit can be set");
}

/// A loopback address for one server alone. Clients connect from 127.0.0.1, so that a server that
/// is started again finds its port free, whatever else this machine does.
fn own_address() -> IpAddr {
    static SERVERS: AtomicU8 = AtomicU8::new(1);
    let [.., high, low] = std::process::id().to_be_bytes();
    let n = SERVERS.fetch_add(1, Ordering::Relaxed);
    Ipv4Addr::new(127, 128 | high >> 1, low, n).into()
}
