//! Listening on everything that the options name.

use log::warn;

use super::address::BoundAddress;
use super::error::BindError;
use super::inherited::{Inherited, InheritedSocket};
use super::listener::Listener;
use super::options::ListenerKind;
use super::socket_file::SocketFiles;
use super::spec::{ListenAddress, ListenSpec};
use super::tcp::{self, SOCKETS_PER_WORKER};
use super::unix;

/// The sockets of a server, and their addresses.
#[derive(Debug)]
pub(crate) struct Listening {
    /// The listeners of each worker.
    pub(crate) per_worker: Vec<Vec<Listener>>,
    /// Each address once, in the order of the options.
    pub(crate) addresses: Vec<BoundAddress>,
    /// The files of the Unix sockets that the server has bound.
    pub(crate) socket_files: SocketFiles,
}

/// Listens for `workers` workers on everything that `specs` describe.
///
/// # Errors
/// One of them cannot be listened on.
pub(crate) fn listen(specs: &[ListenSpec], backlog: i32, workers: usize) -> Result<Listening, BindError> {
    let mut inherited = Inherited::from_environment()?;
    let mut listening = Listening::new(workers);
    let is_named = |spec: &&ListenSpec| !matches!(spec.address, ListenAddress::Systemd { name: None, .. });
    // A listener without a name gets the sockets that those with a name leave.
    let (named, unnamed): (Vec<_>, Vec<_>) = specs.iter().partition(is_named);
    for spec in named.into_iter().chain(unnamed) {
        listening.add(spec, backlog, &mut inherited)?;
    }
    if !inherited.names().is_empty() {
        warn!(
            "the service manager has handed over sockets that no --listen names: {}; add --listen=systemd to serve them",
            inherited.names().join(", ")
        );
    }
    Ok(listening)
}

impl Listening {
    fn new(workers: usize) -> Listening {
        let per_worker = (0..workers).map(|_| Vec::new()).collect();
        Listening { per_worker, addresses: Vec::new(), socket_files: SocketFiles::default() }
    }

    fn add(&mut self, spec: &ListenSpec, backlog: i32, inherited: &mut Inherited) -> Result<(), BindError> {
        match &spec.address {
            address if address.is_tls() && cfg!(not(feature = "tls")) => {
                return Err(BindError::Unsupported(address.to_string()));
            }
            ListenAddress::Tcp { host, port, tls } => {
                let options = spec.options(if *tls { ListenerKind::Tls } else { ListenerKind::Tcp });
                let workers = self.per_worker.len();
                self.add_own(tcp::listen(host.as_deref(), *port, options, backlog, workers)?);
            }
            ListenAddress::Unix { path, mode, group } => {
                // One socket has the connections that on a port wait at those of all workers.
                let sockets = i32::try_from(self.per_worker.len() * SOCKETS_PER_WORKER).unwrap_or(i32::MAX);
                let backlog = backlog.saturating_mul(sockets);
                let (socket, file) = unix::listen(path, *mode, group.as_deref(), backlog)?;
                self.socket_files.push(file);
                let options = spec.options(ListenerKind::Unix);
                self.add_shared(match self.per_worker.len() {
                    1 => Listener::of_worker(socket, options),
                    _ => Listener::of_workers(socket, options),
                });
            }
            ListenAddress::Systemd { name, tls } => {
                for InheritedSocket { socket, kind, .. } in inherited.take(name.as_deref())? {
                    let kind = match (tls, kind) {
                        (false, kind) => kind,
                        (true, ListenerKind::Tcp) => ListenerKind::Tls,
                        (true, _) => return Err(BindError::Unsupported(format!("{spec}, which is no TCP socket"))),
                    };
                    self.add_shared(Listener::of_servers(socket, spec.options(kind)));
                }
            }
        }
        Ok(())
    }

    /// Adds listeners of each worker, on the same addresses for each of them.
    fn add_own(&mut self, per_worker: Vec<Vec<Listener>>) {
        per_worker.iter().take(1).flatten().for_each(|listener| self.add_address(listener));
        for (own, added) in self.per_worker.iter_mut().zip(per_worker) {
            own.extend(added);
        }
    }

    /// Adds a listener that all workers share.
    fn add_shared(&mut self, listener: Listener) {
        self.add_address(&listener);
        self.per_worker.iter_mut().for_each(|own| own.push(listener.clone()));
    }

    fn add_address(&mut self, listener: &Listener) {
        if let Some(address) = listener.address()
            && !self.addresses.contains(&address)
        {
            self.addresses.push(address);
        }
    }
}
