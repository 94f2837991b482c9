//! The CPU time and the memory of a process of this machine, from /proc.

use std::fs;
use std::net::{IpAddr, SocketAddr, UdpSocket};
use std::path::Path;

use super::target::Address;

/// CPU time of all threads of a process, in nanoseconds. A thread that ends meanwhile is omitted.
pub(super) fn used_ns(pid: u32) -> Option<u64> {
    let threads = fs::read_dir(format!("/proc/{pid}/task")).ok()?;
    let used = |path: std::path::PathBuf| {
        let text = fs::read_to_string(path.join("schedstat")).ok()?;
        text.split_ascii_whitespace().next()?.parse::<u64>().ok()
    };
    Some(threads.flatten().filter_map(|thread| used(thread.path())).sum())
}

/// The resident memory of a process in bytes.
pub(super) fn resident_len(pid: u32) -> Option<u64> {
    let status = fs::read_to_string(format!("/proc/{pid}/status")).ok()?;
    let kib = status.lines().find_map(|line| line.strip_prefix("VmRSS:"))?.trim().strip_suffix(" kB")?;
    Some(kib.trim().parse::<u64>().ok()? * 1024)
}

/// The process that listens on the address, if it is on this machine and visible.
pub(super) fn listener(server: &Address) -> Option<u32> {
    let inodes = match server {
        Address::Tcp(address) => tcp_inodes(*address),
        Address::Unix(path) => unix_inodes(path),
    };
    let sockets: Vec<String> = inodes.into_iter().map(|inode| format!("socket:[{inode}]")).collect();
    let processes = fs::read_dir("/proc").ok()?.flatten();
    let mut pids = processes.filter_map(|entry| entry.file_name().to_str()?.parse::<u32>().ok());
    pids.find(|pid| !sockets.is_empty() && holds_any(*pid, &sockets))
}

fn tcp_inodes(server: SocketAddr) -> Vec<String> {
    if !is_local(server.ip()) {
        return Vec::new();
    }
    let tables = ["/proc/net/tcp", "/proc/net/tcp6"].map(|path| fs::read_to_string(path).unwrap_or_default());
    let lines = tables.iter().flat_map(|table| table.lines().skip(1));
    lines.filter_map(|line| listening_inode(line, server.port())).map(str::to_owned).collect()
}

/// The inodes of the unix sockets that listen on the path.
fn unix_inodes(path: &Path) -> Vec<String> {
    const LISTENS: &str = "00010000";
    let table = fs::read_to_string("/proc/net/unix").unwrap_or_default();
    let inode = |line: &str| {
        let fields: Vec<&str> = line.split_ascii_whitespace().collect();
        match fields[..] {
            [_, _, _, LISTENS, _, _, inode, found] if Path::new(found) == path => Some(inode.to_owned()),
            _ => None,
        }
    };
    table.lines().filter_map(inode).collect()
}

fn is_local(address: IpAddr) -> bool {
    address.is_loopback() || UdpSocket::bind((address, 0)).is_ok()
}

/// The inode of the socket in a line of /proc/net/tcp, if it listens on this port.
fn listening_inode(line: &str, port: u16) -> Option<&str> {
    const LISTENS: &str = "0A";
    let mut fields = line.split_ascii_whitespace().skip(1);
    let (local, _remote, state) = (fields.next()?, fields.next()?, fields.next()?);
    let found = u16::from_str_radix(local.rsplit(':').next()?, 16).ok()?;
    let inode = fields.nth(5)?;
    (found == port && state == LISTENS).then_some(inode)
}

fn holds_any(pid: u32, sockets: &[String]) -> bool {
    let Ok(descriptors) = fs::read_dir(format!("/proc/{pid}/fd")) else {
        return false;
    };
    descriptors.flatten().any(|descriptor| {
        let target = fs::read_link(descriptor.path()).unwrap_or_default();
        target.to_str().is_some_and(|target| sockets.iter().any(|socket| socket == target))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_listening_process_is_found_and_has_cpu_time() {
        let socket = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        assert_eq!(listener(&Address::Tcp(socket.local_addr().unwrap())), Some(std::process::id()));
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("s.sock");
        assert_eq!(listener(&Address::Unix(path.clone())), None);
        let _unix = std::os::unix::net::UnixListener::bind(&path).unwrap();
        assert_eq!(listener(&Address::Unix(path)), Some(std::process::id()));
        assert!(resident_len(std::process::id()).unwrap() > 100_000);
        let before = used_ns(std::process::id()).unwrap();
        let mut spun = 0_u64;
        while used_ns(std::process::id()).unwrap() < before + 1_000_000 {
            spun = std::hint::black_box(spun + 1);
        }
        assert_eq!(used_ns(u32::MAX), None);
    }

    #[test]
    fn a_connection_is_not_a_listener() {
        let line =
            "0: 0100007F:0412 00000000:0000 0A 00000000:00000000 00:00000000 00000000 0 0 4711 1 0000 100 0 0 10 0";
        assert_eq!(listening_inode(line, 1042), Some("4711"));
        assert_eq!(listening_inode(line, 1043), None);
        assert_eq!(listening_inode(&line.replace(" 0A ", " 01 "), 1042), None);
    }
}
