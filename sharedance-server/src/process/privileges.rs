//! The rights that the process gives up before it handles any input from outside.
//!
//! Started as root, the process makes the directory of the pairs its root directory, changes its groups, group and user,
//! and verifies that it cannot regain the rights of root. Started as another user it can do none of that, and Landlock
//! confines it instead. A step that fails is an error, with one exception: if a user namespace denies changing the
//! supplementary groups, that is a warning.

use std::io;
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use log::{debug, info, warn};
use nix::unistd::{Gid, Group, Uid, User};
use thiserror::Error;

use super::directory::Directory;
use super::reload::ReloadableFile;

/// Why the process cannot give up its rights as the options require.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum PrivilegeError {
    /// Only root can change its ids.
    #[error("--{option} needs root's rights, and this is user {uid}: start it as root, or leave --{option} out")]
    NotRoot {
        /// The option.
        option: &'static str,
        /// The user of the process.
        uid: u32,
    },
    /// There is no such user or group.
    #[error("there is no {kind} \"{name}\" on this system")]
    Unknown {
        /// `user` or `group`.
        kind: &'static str,
        /// The name as given.
        name: String,
    },
    /// The user database has no entry for the number, so that its group is unknown.
    #[error("user {uid} is in no user database, so its group is unknown: give --gid as well")]
    NoGroup {
        /// The user.
        uid: u32,
    },
    /// A step failed.
    #[error("cannot {step}{advice}")]
    Step {
        /// The step.
        step: String,
        /// Why it failed.
        source: io::Error,
        /// What to do about it.
        advice: &'static str,
    },
    /// The ids were changed, but the process can regain the rights of root.
    #[error("the rights of root were given up and could be regained: not starting")]
    Regained,
}

/// What confines the process once it has given up its rights.
#[derive(Debug)]
pub struct Confinement {
    /// The path of the directory from now on.
    pub path: PathBuf,
    /// Whether Landlock denies all files outside that directory.
    pub is_by_landlock: bool,
}

impl Confinement {
    /// Whether the process may keep handles on directories outside: without Landlock they would be a way out of another
    /// root directory.
    pub fn allows_handles_outside(&self) -> bool {
        self.is_by_landlock || self.path != Path::new("/")
    }
}

/// The user and group that the process will run as.
#[derive(Debug, Clone, Copy)]
pub struct Privileges {
    is_root: bool,
    uid: Uid,
    gid: Gid,
}

impl Privileges {
    /// Looks up the user and the group. Called before the root directory changes, since that hides the user database.
    ///
    /// # Errors
    /// A name is unknown, or the process may not change its user or group.
    pub fn resolve(user: Option<&str>, group: Option<&str>) -> Result<Privileges, PrivilegeError> {
        let (own_uid, own_gid) = (Uid::effective(), Gid::effective());
        if !own_uid.is_root() {
            let asked = [("uid", user), ("gid", group)];
            if let Some((option, _)) = asked.iter().find(|(_, name)| name.is_some()) {
                let uid = own_uid.as_raw();
                return Err(PrivilegeError::NotRoot { option, uid });
            }
        }
        let user = user.map(find_user).transpose()?;
        let uid = user.map_or(own_uid, |(uid, _)| uid);
        let gid = match (group, user) {
            (Some(name), _) => find_group(name)?,
            (None, Some((_, Some(gid)))) => gid,
            (None, Some((uid, None))) => return Err(PrivilegeError::NoGroup { uid: uid.as_raw() }),
            (None, None) => own_gid,
        };
        Ok(Privileges { is_root: own_uid.is_root(), uid, gid })
    }

    /// The user that the process will run as.
    pub fn uid(&self) -> u32 {
        self.uid.as_raw()
    }

    /// The group that the process will run as.
    pub fn gid(&self) -> u32 {
        self.gid.as_raw()
    }

    /// Gives up all rights except those that the server needs within `directory`, those to read `files` again, and those to
    /// remove files from the `removable` directories. Called while the process has one thread.
    ///
    /// # Errors
    /// The first step that failed. The process has fewer rights than before, and must exit.
    pub fn give_up(
        &self,
        directory: &Directory,
        files: &[ReloadableFile],
        removable: &[Arc<OwnedFd>],
    ) -> Result<Confinement, PrivilegeError> {
        let path = if self.is_root {
            // Read while /proc is visible.
            let may_set_groups = may_set_groups();
            change_root(directory)?;
            self.change_ids(may_set_groups)?;
            PathBuf::from("/")
        } else {
            directory.path().to_owned()
        };
        rustix::thread::set_no_new_privs(true).map_err(failed("exclude new rights (no_new_privs)", ""))?;
        let readable: Vec<_> = files.iter().flat_map(ReloadableFile::directories).collect();
        let is_by_landlock = confine(&path, &readable, removable)?;
        if self.is_root && !is_by_landlock {
            files.iter().for_each(ReloadableFile::forget);
        }
        if self.is_root && self.uid.is_root() {
            warn!("the server stays root within its directory; --uid=USER makes it an ordinary user");
        } else if self.is_root {
            info!("now user {} and group {}, confined to {}", self.uid, self.gid, directory.path().display());
        } else if is_by_landlock {
            warn!("not started as root: no chroot, no other user; Landlock confines it to {}", path.display());
        } else {
            warn!("not started as root: no chroot, no other user; and this kernel has no Landlock to confine it with");
        }
        Ok(Confinement { path, is_by_landlock })
    }

    fn change_ids(&self, may_set_groups: bool) -> Result<(), PrivilegeError> {
        let Privileges { uid, gid, .. } = *self;
        if may_set_groups {
            nix::unistd::setgroups(&[gid]).map_err(id_change_failed(format!("leave all groups but {gid}")))?;
        } else if nix::unistd::getgroups().map_or(true, |groups| groups.iter().any(|group| *group != gid)) {
            warn!(
                "this user namespace denies setgroups, so the server keeps the supplementary groups of the user that \
                 created the namespace; to start without them, create it with a mapping by newgidmap (as rootless \
                 containers do), or start the server as that user, without a namespace"
            );
        }
        nix::unistd::setresgid(gid, gid, gid).map_err(id_change_failed(format!("become group {gid}")))?;
        nix::unistd::setresuid(uid, uid, uid).map_err(id_change_failed(format!("become user {uid}")))?;

        let root = Uid::from_raw(0);
        let has_changed = Uid::current() == uid && Uid::effective() == uid && Gid::effective() == gid;
        if !has_changed || !uid.is_root() && nix::unistd::setresuid(root, root, root).is_ok() {
            return Err(PrivilegeError::Regained);
        }
        Ok(())
    }
}

/// Whether the user namespace allows processes with the capability to change their supplementary groups.
fn may_set_groups() -> bool {
    !std::fs::read_to_string("/proc/self/setgroups").is_ok_and(|state| state.trim() == "deny")
}

fn id_change_failed(step: String) -> impl FnOnce(nix::errno::Errno) -> PrivilegeError {
    move |error| {
        let advice = match error {
            nix::errno::Errno::EINVAL => {
                " (this user namespace does not know that id: see /proc/self/uid_map and gid_map for those that it \
                 knows, and choose one with --uid and --gid)"
            }
            _ => " (it needs the capabilities CAP_SETUID and CAP_SETGID)",
        };
        PrivilegeError::Step { step, source: error.into(), advice }
    }
}

fn find_user(name: &str) -> Result<(Uid, Option<Gid>), PrivilegeError> {
    let found = match name.parse() {
        Ok(number) => {
            let uid = Uid::from_raw(number);
            let entry = User::from_uid(uid).ok().flatten();
            Some((uid, entry.map(|user| user.gid)))
        }
        Err(_) => {
            let entry = User::from_name(name).ok().flatten();
            entry.map(|user| (user.uid, Some(user.gid)))
        }
    };
    found
        .filter(|(uid, _)| uid.as_raw() != u32::MAX)
        .ok_or_else(|| PrivilegeError::Unknown { kind: "user", name: name.to_owned() })
}

fn find_group(name: &str) -> Result<Gid, PrivilegeError> {
    let found = match name.parse() {
        Ok(number) => Some(Gid::from_raw(number)),
        Err(_) => Group::from_name(name).ok().flatten().map(|group| group.gid),
    };
    found
        .filter(|gid| gid.as_raw() != u32::MAX)
        .ok_or_else(|| PrivilegeError::Unknown { kind: "group", name: name.to_owned() })
}

fn change_root(directory: &Directory) -> Result<(), PrivilegeError> {
    const ADVICE: &str = " (it needs the capability CAP_SYS_CHROOT, or start it as an ordinary user)";
    let step = format!("make {} the root directory", directory.path().display());
    rustix::process::fchdir(directory.handle()).map_err(failed(&step, ""))?;
    rustix::process::chroot(c".").map_err(failed(&step, ADVICE))?;
    rustix::process::chdir(c"/").map_err(failed(&step, ""))
}

/// Lets the kernel deny this process all files except those beneath `path`, and all further sockets. Files beneath the
/// `readable` directories may be read, and those beneath the `removable` directories be removed. Returns `false` if the
/// kernel cannot.
fn confine(path: &Path, readable: &[Arc<OwnedFd>], removable: &[Arc<OwnedFd>]) -> Result<bool, PrivilegeError> {
    use landlock::{
        ABI, Access, AccessFs, AccessNet, BitFlags, PathBeneath, PathFd, Ruleset, RulesetAttr, RulesetCreatedAttr,
        RulesetStatus,
    };
    // The newest version that was tested. An older kernel enforces the part that it knows.
    const ABI_TRIED: ABI = ABI::V5;

    let everything = AccessFs::from_all(ABI_TRIED);
    // Regular files, and no execution.
    let needed: BitFlags<AccessFs> = AccessFs::ReadFile
        | AccessFs::ReadDir
        | AccessFs::WriteFile
        | AccessFs::Truncate
        | AccessFs::MakeReg
        | AccessFs::RemoveFile
        | AccessFs::Refer;
    let enforced = || {
        let ruleset =
            Ruleset::default().handle_access(everything)?.handle_access(AccessNet::from_all(ABI_TRIED))?.create()?;
        let mut ruleset = ruleset.add_rule(PathBeneath::new(PathFd::new(path)?, needed))?;
        for directory in readable {
            ruleset = ruleset.add_rule(PathBeneath::new(&**directory, AccessFs::ReadFile))?;
        }
        for directory in removable {
            ruleset = ruleset.add_rule(PathBeneath::new(&**directory, AccessFs::RemoveFile))?;
        }
        let restricted = ruleset.restrict_self()?;
        Ok(restricted.ruleset)
    };
    let enforced: Result<_, Box<dyn std::error::Error>> = enforced();
    let status = enforced.map_err(|error| PrivilegeError::Step {
        step: format!("confine the server to {} by Landlock", path.display()),
        source: io::Error::other(error.to_string()),
        advice: "",
    })?;
    debug!("Landlock: {status:?}");
    Ok(status != RulesetStatus::NotEnforced)
}

fn failed<E: Into<io::Error>>(step: &str, advice: &'static str) -> impl FnOnce(E) -> PrivilegeError {
    move |error| PrivilegeError::Step { step: step.to_owned(), source: error.into(), advice }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn users_and_groups_are_found_by_name_and_number() {
        assert_eq!(find_user("root").unwrap(), (Uid::from_raw(0), Some(Gid::from_raw(0))));
        assert_eq!(find_user("0").unwrap(), (Uid::from_raw(0), Some(Gid::from_raw(0))));
        assert_eq!(find_user("4000000000").unwrap(), (Uid::from_raw(4_000_000_000), None));
        assert_eq!(find_group("4000000000").unwrap(), Gid::from_raw(4_000_000_000));
        assert_eq!(find_group("0").unwrap(), Gid::from_raw(0));
    }

    #[test]
    fn text_that_is_neither_a_name_nor_a_number_is_refused() {
        // All ones means "unchanged" to the system calls: the process would stay root.
        for name in ["no such user", "", "-1", "4294967295", "4294967296", "1 "] {
            let message = find_user(name).unwrap_err().to_string();
            assert!(message.contains("no user"), "{name:?}: {message}");
            assert!(find_group(name).is_err(), "{name:?}");
        }
    }

    #[test]
    fn without_options_the_ids_are_unchanged() {
        let privileges = Privileges::resolve(None, None).unwrap();
        assert_eq!(privileges.uid(), Uid::effective().as_raw());
        assert_eq!(privileges.gid(), Gid::effective().as_raw());
    }
}
