//! `sharedanced`: parses the command line, binds, forks, gives up rights, opens the store, and serves.

use std::error::Error;
use std::io;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::{Duration, Instant};

use log::{Level, error, info, log, warn};
use rustix::fs::Mode;
use rustix::process::{Resource, getrlimit, setrlimit};
use sharedance_core::store::{BootId, Store, max_mappings};
use sharedance_server::Server;
use sharedance_server::options::{Given, Options, RunningConfiguration, Size};
use sharedance_server::process::daemon::{self, Side};
use sharedance_server::process::directory::Directory;
use sharedance_server::process::logging::{self, Chain, Logging};
use sharedance_server::process::notify::Notify;
use sharedance_server::process::pidfile::PidFile;
use sharedance_server::process::privileges::Privileges;
use sharedance_server::process::reload::ReloadableConfiguration;
use sharedance_server::process::signals::Pending;
use sharedance_server::process::{allocator, title};

fn main() -> ExitCode {
    let given = Given::to_this_process();
    let options = Options::parse(&given);
    let logging = Logging::start(options.process.log_level);
    start(&given, &options, &logging).unwrap_or_else(|error| {
        error!("{}", Chain(&*error));
        ExitCode::FAILURE
    })
}

fn start(given: &Given, options: &Options, logging: &Logging) -> Result<ExitCode, Box<dyn Error>> {
    let signals = Pending::collect()?;
    allocator::return_large_blocks();
    rustix::process::umask(Mode::from_bits_truncate(0o077));
    raise_descriptor_limit();

    // Everything that needs files of the system comes before the root directory changes.
    let privileges = Privileges::resolve(options.process.uid.as_deref(), options.process.gid.as_deref())?;
    let mut server_options = options.server.clone();
    server_options.access.uid = Some(privileges.uid());
    let server = Server::bind(&server_options)?;
    server.give_sockets_to(privileges.uid(), privileges.gid())?;
    if let Some(configuration) = RunningConfiguration::of(given)? {
        server.reloads().add(Arc::new(ReloadableConfiguration::open(configuration, logging)?));
    }
    let directory = Directory::prepare(&options.storage.directory, privileges.uid(), privileges.gid())?;
    let (boot_id, max_mappings) = (BootId::read(), max_mappings());
    let notify = Arc::new(Notify::connect());

    let background = if options.process.daemonize {
        match daemon::daemonize()? {
            Side::Parent(exit_code) => {
                server.leave_sockets();
                return Ok(exit_code);
            }
            Side::Child(background) => Some(background),
        }
    } else {
        None
    };
    title::set(&title(&directory, &server));
    // Declared before the store, so that the file is removed after that is closed.
    let mut pidfile = options.process.pidfile.as_deref().map(PidFile::create).transpose()?;
    let reloads = server.reloads();
    let mut removable = server.socket_directories();
    removable.extend(pidfile.iter().filter_map(PidFile::directory));
    let confinement = privileges.give_up(&directory, &reloads.files(), &removable)?;
    reloads.check_files();
    if !confinement.is_by_landlock {
        logging.forget_syslog_directory();
    }
    if !confinement.allows_handles_outside() {
        server.leave_sockets();
        pidfile.iter_mut().for_each(PidFile::leave);
    }

    let opening = Instant::now();
    let store = options
        .storage
        .open(&confinement.path, directory.path(), options.server.maxreadsize, boot_id, max_mappings)
        .map_err(|error| format!("cannot open the store: {}", Chain(&error)))?;
    let opened_in = opening.elapsed();
    report_recovery(&directory, &store);
    act_on_signals(signals, &server, &notify)?;
    warn_of_open_addresses(&server);
    info!(target: logging::START, "{}", start_line(options, &server, &directory, &store, opened_in));

    if let Some(background) = background {
        logging.leave_terminal();
        background.ready()?;
    }
    notify.ready();
    server.run(&store)?;
    info!("stopped");
    Ok(ExitCode::SUCCESS)
}

fn act_on_signals(signals: Pending, server: &Server, notify: &Arc<Notify>) -> io::Result<()> {
    let (shutdown, manager) = (server.shutdown(), Arc::clone(notify));
    let stop = move || {
        manager.stopping();
        shutdown.begin();
    };
    let (reloads, manager) = (server.reloads(), Arc::clone(notify));
    let reload = move || {
        manager.reloading();
        reloads.reload_all();
        manager.ready();
    };
    signals.act(stop, reload)
}

fn warn_of_open_addresses(server: &Server) {
    let open: Vec<_> = server.open_addresses().iter().map(ToString::to_string).collect();
    if !open.is_empty() {
        warn!(
            "every host that reaches {} may read and change all pairs: name those that may connect by --allow, or require \
             credentials by --auth-file",
            open.join(" ")
        );
    }
}

/// The title of the process: what it is, the directory and the addresses.
fn title(directory: &Directory, server: &Server) -> String {
    format!("sharedanced [SERVER] {} on {}", directory.path().display(), addresses(server))
}

fn addresses(server: &Server) -> String {
    server.addresses().iter().map(ToString::to_string).collect::<Vec<_>>().join(" ")
}

/// Warns of what the operator may have to do something about. What is normal is part of the line about the start.
fn report_recovery(directory: &Directory, store: &Store) {
    let report = store.recovery();
    let is_normal =
        report.dropped == 0 && report.excess_files == 0 && report.set_aside.is_empty() && report.foreign.is_empty();
    let level = if is_normal { Level::Debug } else { Level::Warn };
    log!(level, "{}: {report}", directory.path().display());
}

/// The version, the pairs, the limits and the addresses. The addresses come last.
fn start_line(options: &Options, server: &Server, directory: &Directory, store: &Store, opened_in: Duration) -> String {
    format!(
        "version {}, {} pairs in {} segments of {} (opened in {} ms), {}, requests of up to {}, up to \
         {} connections, {} threads{}: listening on {}",
        env!("CARGO_PKG_VERSION"),
        store.len(),
        store.recovery().segments,
        directory.path().display(),
        opened_in.as_millis(),
        options.storage.limits(),
        Size(options.server.maxreadsize as u64),
        server.max_connections(),
        options.server.threads,
        status_address(server),
        addresses(server),
    )
}

#[cfg(feature = "status")]
fn status_address(server: &Server) -> String {
    server.status_addr().map_or_else(String::new, |address| format!(", status on http://{address}/"))
}

#[cfg(not(feature = "status"))]
fn status_address(_: &Server) -> &'static str {
    ""
}

/// Raises the limit on descriptors, and so on connections, as far as the system allows.
fn raise_descriptor_limit() {
    let mut limit = getrlimit(Resource::Nofile);
    limit.current = limit.maximum;
    // If this fails, the limit stays as it was, and connections beyond it are refused.
    let _ = setrlimit(Resource::Nofile, limit);
}
