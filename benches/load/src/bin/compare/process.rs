//! Server processes.

use std::io::{self, BufRead, BufReader, Read};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::process::{Child, Command, Stdio};
use std::sync::mpsc;
use std::thread;
use std::time::{Duration, Instant};

use crate::args::Args;
use crate::contender::Contender;
use crate::scenario::Scenario;

/// A server process, which is killed when this is dropped.
pub(crate) struct ServerProcess {
    pub(crate) child: Child,
    pub(crate) addr: String,
}

impl Drop for ServerProcess {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// A command that runs a program on one core, if processes can be pinned.
pub(crate) fn pinned(can_pin: bool, core: u32, program: &str) -> Command {
    if !can_pin {
        return Command::new(program);
    }
    let mut command = Command::new("taskset");
    // taskset executes the program in its own process, so the process id stays the same.
    command.args(["-c", &core.to_string(), program]);
    command
}

/// Starts a server and waits until it listens.
pub(crate) fn start(
    args: &Args,
    scenario: &Scenario,
    contender: &Contender,
    can_pin: bool,
) -> io::Result<ServerProcess> {
    let wrong = |message: &str| io::Error::other(format!("{}: {message}", contender.name));
    let Some((program, rest)) = contender.command.split_first() else {
        return Err(wrong("the command must not be empty"));
    };
    let port = if contender.command.iter().any(|word| word.contains("{port}")) {
        Some(TcpListener::bind("127.0.0.1:0")?.local_addr()?.port())
    } else {
        None
    };
    let port_text = port.map_or_else(String::new, |p| p.to_string());
    let mut command = pinned(can_pin, args.server_core, program);
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
    let mut running = ServerProcess {
        child,
        addr: String::new(),
    };
    let stdout = running
        .child
        .stdout
        .take()
        .ok_or_else(|| wrong("standard output is not available"))?;
    let address = first_address(stdout);
    let limit = Duration::from_secs(10);
    running.addr = match port {
        None => address
            .recv_timeout(limit)
            .map_err(|_| wrong("the server must print where it listens"))?,
        Some(port) => {
            let addr = SocketAddr::from(([127, 0, 0, 1], port));
            let start = Instant::now();
            while TcpStream::connect(addr).is_err() {
                if start.elapsed() > limit {
                    return Err(wrong("the server does not listen"));
                }
                thread::sleep(Duration::from_millis(50));
            }
            addr.to_string()
        }
    };
    thread::sleep(Duration::from_millis(200));
    Ok(running)
}

/// The address in the first `listening on http://…` of the output. The output is read to its end,
/// so that the server never waits for a reader.
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

#[cfg(test)]
mod tests {
    use super::*;

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
