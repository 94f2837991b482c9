//! Files that are read again by a process that has given up its rights.

use std::fs;
use std::os::unix::fs::{PermissionsExt, chown, symlink};
use std::path::Path;
use std::process::Command;

use rustix::process::geteuid;
use sharedance_server::process::directory::Directory;
use sharedance_server::process::privileges::Privileges;
use sharedance_server::process::reload::ReloadableFile;

/// Names the directory of the test in the process that gives up its rights.
const PLACE: &str = "SHAREDANCE_TEST_PLACE";

/// The number of an ordinary user; it need not have a name.
const ORDINARY: u32 = 61234;

/// The rights of a process cannot be regained, so the test runs itself as another process, which gives up its own.
#[test]
fn a_file_outside_the_directory_is_read_again_after_chroot_and_landlock() {
    if let Some(place) = std::env::var_os(PLACE) {
        return read_without_rights(Path::new(&place));
    }
    let place = tempfile::tempdir().unwrap();
    fs::set_permissions(place.path(), PermissionsExt::from_mode(0o755)).unwrap();
    // As certbot has it: a link in one directory to a file in another.
    for name in ["live", "archive", "other", "store"] {
        fs::create_dir(place.path().join(name)).unwrap();
    }
    fs::write(place.path().join("archive/1"), "first").unwrap();
    fs::write(place.path().join("other/1"), "not named").unwrap();
    symlink(place.path().join("archive/1"), place.path().join("live/file")).unwrap();
    if geteuid().is_root() {
        chown(place.path().join("store"), Some(ORDINARY), Some(ORDINARY)).unwrap();
    }
    fs::set_permissions(place.path().join("store"), PermissionsExt::from_mode(0o700)).unwrap();
    let name = "reload::a_file_outside_the_directory_is_read_again_after_chroot_and_landlock";
    let output = Command::new(std::env::current_exe().unwrap())
        .args([name, "--exact", "--test-threads=1"])
        .env(PLACE, place.path())
        .output()
        .unwrap();
    assert!(output.status.success(), "{output:?}");
    assert!(String::from_utf8_lossy(&output.stdout).contains("1 passed"), "{output:?}");
}

fn read_without_rights(place: &Path) {
    let id = geteuid().is_root().then(|| ORDINARY.to_string());
    let privileges = Privileges::resolve(id.as_deref(), id.as_deref()).unwrap();
    let directory = Directory::prepare(&place.join("store"), privileges.uid(), privileges.gid()).unwrap();
    let link = place.join("live/file");
    let file = ReloadableFile::open(&link).unwrap();
    assert_eq!(file.read().unwrap(), b"first");
    // What happens after this is possible only through the handles. A process of an ordinary user has to prepare it.
    fs::write(place.join("archive/2"), "second").unwrap();
    symlink(place.join("archive/2"), place.join("live/new")).unwrap();
    fs::rename(place.join("live/new"), &link).unwrap();
    let elsewhere = ReloadableFile::open(&place.join("other/1")).unwrap();

    let confinement = privileges.give_up(&directory, std::slice::from_ref(&file), &[]).unwrap();
    if confinement.is_by_landlock {
        assert_eq!(file.read().unwrap(), b"second");
        let refused = elsewhere.read().unwrap_err().to_string();
        assert!(refused.contains("may not read"), "{refused}");
    } else if confinement.path == Path::new("/") {
        let refused = file.read().unwrap_err().to_string();
        assert!(refused.contains("no Landlock"), "{refused}");
    } else {
        assert_eq!(file.read().unwrap(), b"second");
    }
}
