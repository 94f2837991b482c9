//! The list of things that a SIGHUP reloads.

use std::error::Error;
use std::fmt;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, Mutex, PoisonError};

use log::{error, info, warn};

use super::file::ReloadableFile;
use crate::process::logging::Chain;

/// Why a thing was not reloaded. It stays as it was.
pub type ReloadError = Box<dyn Error + Send + Sync>;

/// Something that can be reloaded while the server runs.
pub trait Reloadable: fmt::Debug + Send + Sync {
    /// What it is, for the log: `the certificate of 192.0.2.1:11211`.
    fn name(&self) -> String;

    /// The files that [`reload`](Self::reload) reads. The process keeps the right to read these when it gives up others.
    fn files(&self) -> Vec<ReloadableFile> {
        Vec::new()
    }

    /// Reads it again, and replaces what is in use if that succeeded. Returns what is in use now, for the log: `valid until
    /// 2027-03-01`. Runs on the signal thread, never on a worker, and never twice at the same time.
    ///
    /// # Errors
    /// Why nothing was replaced. It must not contain a secret: it is logged.
    fn reload(&self) -> Result<String, ReloadError>;
}

/// What is reloaded, in the order in which it was added. Clones share the list.
#[derive(Debug, Clone, Default)]
pub struct Reloads {
    things: Arc<Mutex<Vec<Arc<dyn Reloadable>>>>,
}

impl Reloads {
    /// Adds `thing`. Called before the process gives up its rights, since [`files`](Self::files) is read then.
    pub fn add(&self, thing: Arc<dyn Reloadable>) {
        self.lock().push(thing);
    }

    /// The files of all things.
    pub fn files(&self) -> Vec<ReloadableFile> {
        self.lock().iter().flat_map(|thing| thing.files()).collect()
    }

    /// Warns of files that the process cannot read any more. Called after the process has given up its rights.
    pub fn check_files(&self) {
        for file in self.files() {
            if let Err(error) = file.read() {
                let path = file.path().display();
                warn!("a SIGHUP will not read {path} again, but keep the content of the start: {}", Chain(&error));
            }
        }
    }

    /// Reloads all things, and logs one line for each. A thing that fails, or panics, keeps what it had, and the next one is
    /// reloaded. Returns how many failed.
    pub fn reload_all(&self) -> usize {
        // Held meanwhile, so that nothing is reloaded twice at the same time.
        let things = self.lock();
        if things.is_empty() {
            info!("nothing to reload");
        }
        things.iter().filter(|thing| !reload(&***thing)).count()
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Vec<Arc<dyn Reloadable>>> {
        self.things.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Returns whether `thing` was reloaded.
fn reload(thing: &dyn Reloadable) -> bool {
    let name = thing.name();
    // A panic is logged by its hook. It must not end the thread that also receives SIGTERM.
    let reloaded =
        catch_unwind(AssertUnwindSafe(|| thing.reload())).unwrap_or_else(|_| Err("it panicked, which is a bug".into()));
    match &reloaded {
        Ok(now) => info!("reloaded {name}: {now}"),
        Err(failure) => error!("not reloaded, and unchanged: {name}: {}", Chain(&**failure)),
    }
    reloaded.is_ok()
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicU32, Ordering};

    use super::*;

    #[derive(Debug)]
    struct Counted {
        result: fn() -> Result<String, ReloadError>,
        calls: AtomicU32,
    }

    impl Reloadable for Counted {
        fn name(&self) -> String {
            "a thing".to_owned()
        }

        fn reload(&self) -> Result<String, ReloadError> {
            self.calls.fetch_add(1, Ordering::Relaxed);
            (self.result)()
        }
    }

    #[test]
    fn a_thing_that_fails_or_panics_does_not_keep_the_next_one_from_being_reloaded() {
        let reloads = Reloads::default();
        assert_eq!(reloads.reload_all(), 0);
        let results: [fn() -> _; 3] =
            [|| Err("the file is gone".into()), || panic!("a panic on purpose"), || Ok("done".to_owned())];
        let things = results.map(|result| Arc::new(Counted { result, calls: AtomicU32::new(0) }));
        for thing in &things {
            reloads.add(Arc::clone(thing) as Arc<dyn Reloadable>);
        }
        assert_eq!(reloads.reload_all(), 2);
        assert_eq!(reloads.reload_all(), 2);
        assert!(things.iter().all(|thing| thing.calls.load(Ordering::Relaxed) == 2));
    }
}
