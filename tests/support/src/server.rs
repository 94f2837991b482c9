//! Runs a real `sharedanced` for a test: starts it on a free port or on a Unix socket, waits until it is ready, and ends it
//! when dropped.
//!
//! With `SHAREDANCE_TEST_TRANSPORT=unix` all servers that a test starts by [`Server::start`] listen on a Unix socket.
//!
//! Only for tests of the server's crate: cargo sets the path of the binary for those only.

use std::fs;
use std::io::{self, BufRead, BufReader, Read, Write};
use std::net::{Ipv4Addr, Shutdown, SocketAddr, TcpStream};
use std::os::fd::OwnedFd;
use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::UnixStream;
use std::os::unix::process::ExitStatusExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::mpsc::{self, Receiver};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::{Duration, Instant};

/// A time limit that is long enough for the slowest machine.
pub const AMPLE: Duration = Duration::from_secs(60);

/// Returns the path of the server's binary. Cargo builds it together with the tests of the server's crate.
pub fn program() -> PathBuf {
    let test = std::env::current_exe().unwrap();
    let program = test.parent().and_then(Path::parent).unwrap().join("sharedanced");
    assert!(program.is_file(), "{} is missing: build it with `cargo build -p sharedance-server`", program.display());
    program
}

/// What a server listens on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Transport {
    /// A free port of the loopback interface.
    Tcp,
    /// A Unix socket.
    Unix,
}

impl Transport {
    /// The transport of the servers that do not depend on one.
    pub fn of_tests() -> Transport {
        match std::env::var("SHAREDANCE_TEST_TRANSPORT").as_deref() {
            Ok("unix") => Transport::Unix,
            Ok("tcp") | Err(_) => Transport::Tcp,
            Ok(other) => panic!("SHAREDANCE_TEST_TRANSPORT={other} is neither tcp nor unix"),
        }
    }

    /// The options of a server that listens on this.
    fn arguments(self) -> Vec<String> {
        match self {
            Transport::Tcp => vec!["--ip=127.0.0.1".to_owned(), "--port=0".to_owned()],
            Transport::Unix => {
                // Not in the directory of the store, which may be a root directory, or have a path that is too long.
                let directory = tempfile::Builder::new().prefix("sharedance-").tempdir().unwrap().keep();
                // Servers of other users create their sockets there too.
                fs::set_permissions(&directory, fs::Permissions::from_mode(0o777)).unwrap();
                vec![format!("--listen=unix:{}/socket,mode=0666", directory.display())]
            }
        }
    }
}

/// The address of a server.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Address {
    Tcp(SocketAddr),
    /// Lives as long as the test.
    Unix(&'static Path),
}

impl Address {
    /// Connects. A stream of the standard library is a descriptor that can be read, written and shut down; it does not
    /// matter to it that this one may be of a Unix socket.
    pub fn connect(self) -> io::Result<TcpStream> {
        match self {
            Address::Tcp(address) => {
                let stream = TcpStream::connect(address)?;
                stream.set_nodelay(true)?;
                Ok(stream)
            }
            Address::Unix(path) => Ok(TcpStream::from(OwnedFd::from(UnixStream::connect(path)?))),
        }
    }

    fn or_loopback(self) -> Address {
        match self {
            Address::Tcp(address) if address.ip().is_unspecified() => {
                Address::Tcp((Ipv4Addr::LOCALHOST, address.port()).into())
            }
            address => address,
        }
    }

    /// Reads an address of the line that a server logs once it listens.
    fn parse(text: &str) -> Option<Address> {
        match text.strip_prefix("unix:") {
            Some(path) => Some(Address::Unix(Box::leak(PathBuf::from(path).into_boxed_path()))),
            None => text.strip_prefix("tls:").unwrap_or(text).parse().ok().map(Address::Tcp),
        }
    }
}

/// A running server.
pub struct Server {
    process: Child,
    addresses: Vec<Address>,
    log: Arc<Mutex<Vec<String>>>,
}

/// The reason why a server did not start.
#[derive(Debug)]
pub struct NotStarted {
    pub status: ExitStatus,
    pub log: String,
}

/// Returns the command that runs the server on `directory`, on a free port of the loopback interface.
pub fn command(directory: &Path) -> Command {
    command_on(Transport::Tcp, directory)
}

/// Returns the command that runs the server on `directory`, on this transport.
pub fn command_on(transport: Transport, directory: &Path) -> Command {
    let mut command = bare_command(directory);
    command.args(transport.arguments());
    command
}

/// Returns the command that runs the server on `directory`, without options of what to listen on.
pub fn bare_command(directory: &Path) -> Command {
    let mut command = Command::new(program());
    command.args(["--debug", "--directory"]).arg(directory);
    command
}

impl Server {
    /// Starts a server on `directory` with additional `arguments`.
    pub fn start(directory: &Path, arguments: &[&str]) -> Server {
        Server::start_on(Transport::of_tests(), directory, arguments)
    }

    /// Starts a server on this transport.
    pub fn start_on(transport: Transport, directory: &Path, arguments: &[&str]) -> Server {
        let mut command = command_on(transport, directory);
        Server::spawn(command.args(arguments)).unwrap_or_else(|failure| panic!("{failure:?}"))
    }

    /// Runs `command` until it accepts connections or ends.
    pub fn spawn(command: &mut Command) -> Result<Server, NotStarted> {
        Server::spawn_with_stdin(command, Stdio::null())
    }

    /// The same, with this standard input.
    pub fn spawn_with_stdin(command: &mut Command, stdin: Stdio) -> Result<Server, NotStarted> {
        let mut process = command.stdin(stdin).stderr(Stdio::piped()).spawn().unwrap();
        let log = Arc::new(Mutex::new(Vec::new()));
        let listening = follow(process.stderr.take().unwrap(), Arc::clone(&log));
        match listening.recv_timeout(AMPLE) {
            Ok(addresses) => Ok(Server { process, addresses, log }),
            Err(mpsc::RecvTimeoutError::Timeout) => {
                let _ = process.kill();
                panic!("neither ready nor ended: {:?}", log.lock().unwrap());
            }
            Err(mpsc::RecvTimeoutError::Disconnected) => {
                let status = process.wait().unwrap();
                let log = log.lock().unwrap().join("\n");
                Err(NotStarted { status, log })
            }
        }
    }

    pub fn pid(&self) -> u32 {
        self.process.id()
    }

    /// Returns the first TCP address.
    pub fn address(&self) -> SocketAddr {
        let tcp = self.addresses.iter().find_map(|address| match address {
            Address::Tcp(address) => Some(*address),
            Address::Unix(_) => None,
        });
        tcp.unwrap_or_else(|| panic!("it listens on no port, but on {:?}", self.addresses))
    }

    /// Returns all addresses, in the order of the options.
    pub fn addresses(&self) -> &[Address] {
        &self.addresses
    }

    /// Connects to the first address.
    pub fn connect(&self) -> TcpStream {
        self.connect_to(self.addresses[0])
    }

    /// Connects to one of the addresses.
    pub fn connect_to(&self, address: Address) -> TcpStream {
        let stream = address.connect().unwrap();
        stream.set_read_timeout(Some(AMPLE)).unwrap();
        stream.set_write_timeout(Some(AMPLE)).unwrap();
        stream
    }

    /// Sends `request` and returns all bytes until the server closes.
    pub fn ask(&self, request: &[u8]) -> Vec<u8> {
        let mut stream = self.connect();
        stream.write_all(request).unwrap();
        answer(&mut stream).unwrap()
    }

    /// Returns once a server with one worker has processed everything that was sent before this call.
    pub fn settle(&self) {
        // The first response may precede earlier requests of the same turn; the second belongs to a later turn.
        for _ in 0..2 {
            assert_eq!(self.ask(&fetch(b"never stored")), b"");
        }
    }

    /// Returns the lines logged so far.
    pub fn log(&self) -> Vec<String> {
        self.log.lock().unwrap().clone()
    }

    /// Returns a number of kilobytes from `/proc/PID/status`, such as `RssAnon`.
    pub fn status_kb(&self, field: &str) -> usize {
        let kilobytes = self.status(field);
        kilobytes.trim_end_matches(" kB").parse().unwrap()
    }

    /// Returns a line of `/proc/PID/status`, without its name.
    pub fn status(&self, field: &str) -> String {
        let status = fs::read_to_string(format!("/proc/{}/status", self.pid())).unwrap();
        let line = status.lines().find_map(|line| line.strip_prefix(field)?.strip_prefix(':'));
        line.unwrap_or_else(|| panic!("no {field}")).trim().to_owned()
    }

    /// Returns the number of open descriptors.
    pub fn descriptors(&self) -> usize {
        fs::read_dir(format!("/proc/{}/fd", self.pid())).unwrap().count()
    }

    pub fn signal(&self, signal: rustix::process::Signal) {
        let pid = rustix::process::Pid::from_child(&self.process);
        rustix::process::kill_process(pid, signal).unwrap();
    }

    /// Ends the server with SIGTERM. Returns its exit status and the whole log.
    pub fn terminate(mut self) -> (ExitStatus, String) {
        self.signal(rustix::process::Signal::TERM);
        let status = self.wait();
        (status, self.log().join("\n"))
    }

    /// Kills the server, as a crash does.
    pub fn kill(mut self) {
        self.process.kill().unwrap();
        assert_eq!(self.wait().signal(), Some(9));
    }

    pub fn wait(&mut self) -> ExitStatus {
        let process = &mut self.process;
        eventually("the server ends", || process.try_wait().unwrap())
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

/// Collects the lines of a log, and sends the addresses once they are logged.
fn follow(log: impl Read + Send + 'static, lines: Arc<Mutex<Vec<String>>>) -> Receiver<Vec<Address>> {
    let (found, listening) = mpsc::channel();
    thread::spawn(move || {
        for line in BufReader::new(log).lines().map_while(Result::ok) {
            let addresses = line.split_once(": listening on ").map(|(_, addresses)| {
                // The port of any address is one of the loopback interface.
                let addresses = addresses.split(' ').filter_map(Address::parse);
                addresses.map(Address::or_loopback).collect::<Vec<_>>()
            });
            lines.lock().unwrap().push(line);
            if let Some(addresses) = addresses.filter(|addresses| !addresses.is_empty()) {
                let _ = found.send(addresses);
            }
        }
    });
    listening
}

/// Polls until `condition` returns a value.
pub fn eventually<T>(what: &str, mut condition: impl FnMut() -> Option<T>) -> T {
    let deadline = Instant::now() + AMPLE;
    loop {
        if let Some(found) = condition() {
            return found;
        }
        assert!(Instant::now() < deadline, "not within {AMPLE:?}: {what}");
        thread::sleep(Duration::from_millis(2));
    }
}

/// Reads until the server closes.
pub fn answer(stream: &mut TcpStream) -> io::Result<Vec<u8>> {
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer)?;
    Ok(answer)
}

/// Shuts down the sending side.
pub fn shut_down(stream: &TcpStream) {
    stream.shutdown(Shutdown::Write).unwrap();
}

/// Returns the bytes of a store request.
pub fn store(key: &[u8], value: &[u8]) -> Vec<u8> {
    [&store_header(key, value.len())[..], value].concat()
}

/// Returns the bytes of a store request up to the value, which has `value_len` bytes.
pub fn store_header(key: &[u8], value_len: usize) -> Vec<u8> {
    let value_len = u32::try_from(value_len).unwrap().to_be_bytes();
    [b"S", &len_of(key)[..], &value_len, key].concat()
}

/// Returns the bytes of a fetch request.
pub fn fetch(key: &[u8]) -> Vec<u8> {
    [b"F", &len_of(key)[..], key].concat()
}

/// Returns the bytes of a delete request.
pub fn delete(key: &[u8]) -> Vec<u8> {
    [b"D", &len_of(key)[..], key].concat()
}

fn len_of(key: &[u8]) -> [u8; 4] {
    u32::try_from(key.len()).unwrap().to_be_bytes()
}
