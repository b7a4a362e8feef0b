//! The server process, and the resources that it uses.

use std::io::{self, BufRead, BufReader};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use load::proc::{Cpu, rss_kb};
use rustix::process::{Pid, Signal, kill_process};

/// The standalone server, which is killed when this is dropped.
pub(crate) struct Server {
    child: Child,
    file: PathBuf,
    flags: Vec<String>,
    pub(crate) addr: SocketAddr,
}

/// The resources in use at one moment.
pub(crate) struct Sample {
    pub(crate) rss_kib: u64,
    pub(crate) descriptors: usize,
    pub(crate) threads: usize,
    pub(crate) cpu: Cpu,
}

impl Server {
    /// Builds the server, unless there is a `file`, and starts it on a free port.
    ///
    /// # Errors
    /// The server does not build, or does not listen.
    pub(crate) fn start(file: Option<PathBuf>, flags: Vec<String>) -> io::Result<Self> {
        let file = match file {
            Some(file) => file,
            None => build()?,
        };
        Self::listen(SocketAddr::from(([127, 0, 0, 1], 0)), file, flags)
    }

    fn listen(addr: SocketAddr, file: PathBuf, flags: Vec<String>) -> io::Result<Self> {
        let mut child = Command::new(&file)
            .args(["--listen", &addr.to_string()])
            .args(&flags)
            .stdout(Stdio::piped())
            .spawn()?;
        let mut line = String::new();
        if let Some(stdout) = child.stdout.take() {
            BufReader::new(stdout).read_line(&mut line)?;
        }
        let addr = line.trim().strip_prefix("listening on http://");
        let addr = addr.and_then(|addr| addr.parse().ok());
        let placeholder = SocketAddr::from(([0, 0, 0, 0], 0));
        let server = Self {
            child,
            file,
            flags,
            addr: addr.unwrap_or(placeholder),
        };
        match addr {
            Some(_) => Ok(server),
            None => Err(io::Error::other("the server must print where it listens")),
        }
    }

    /// Asks the server to end, and waits until it has ended.
    ///
    /// # Errors
    /// The signal cannot be sent, or the exit status is not 0.
    pub(crate) async fn terminate(&mut self) -> io::Result<()> {
        kill_process(Pid::from_child(&self.child), Signal::TERM)?;
        loop {
            if let Some(status) = self.child.try_wait()? {
                return match status.success() {
                    true => Ok(()),
                    false => Err(io::Error::other(format!("the server ended with {status}"))),
                };
            }
            tokio::time::sleep(std::time::Duration::from_millis(20)).await;
        }
    }

    /// Starts a new process in its place.
    ///
    /// # Errors
    /// The server does not listen.
    pub(crate) fn restart(&mut self) -> io::Result<()> {
        *self = Self::listen(self.addr, self.file.clone(), self.flags.clone())?;
        Ok(())
    }

    /// Takes a sample.
    ///
    /// # Errors
    /// The process has ended.
    pub(crate) fn sample(&self) -> io::Result<Sample> {
        let pid = self.child.id().to_string();
        let count = |folder: &str| -> io::Result<usize> {
            Ok(std::fs::read_dir(format!("/proc/{pid}/{folder}"))?.count())
        };
        Ok(Sample {
            rss_kib: rss_kb(&pid)?,
            descriptors: count("fd")?,
            threads: count("task")?,
            cpu: Cpu::of(&pid)?,
        })
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn build() -> io::Result<PathBuf> {
    let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let built = Command::new(cargo)
        .args(["build", "--release", "-p", "standalone"])
        .status()?;
    let executable = std::env::current_exe()?;
    let target = executable.parent().and_then(Path::parent);
    match target {
        Some(target) if built.success() => Ok(target.join("release/standalone")),
        _ => Err(io::Error::other("cannot build the standalone server")),
    }
}
