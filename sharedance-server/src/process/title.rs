//! The title under which `ps` shows the process.
//!
//! Linux shows the bytes between two addresses on the initial stack, where the arguments were put, followed by the
//! environment; whoever writes there changes the title. The environment is copied away from there first.

use std::env;
use std::fs;

/// Where `/proc/self/stat` has the address of the arguments and the end of the environment, counted after the name,
/// which is in parentheses: fields 48 and 51 of proc(5), where the field after the name is the third.
const ARGUMENTS_START_FIELD: usize = 48 - 3;
const ENVIRONMENT_END_FIELD: usize = 51 - 3;

/// Shows the process as `title`, or as much of it as there is room for. To be called while there is one thread only,
/// after the arguments were read. Where the system has no such way, nothing happens.
pub fn set(title: &str) {
    if let Some((start, len)) = room() {
        move_environment();
        overwrite(start, len, title.as_bytes());
    }
}

/// Address and length of what the kernel shows, and of what follows it.
fn room() -> Option<(usize, usize)> {
    let stat = fs::read_to_string("/proc/self/stat").ok()?;
    let fields: Vec<&str> = stat.rsplit_once(')')?.1.split_whitespace().collect();
    let address = |index: usize| fields.get(index)?.parse::<usize>().ok();
    let (start, end) = (address(ARGUMENTS_START_FIELD)?, address(ENVIRONMENT_END_FIELD)?);
    // The addresses are zero where the kernel hides them.
    (start > 0 && end > start).then(|| (start, end - start))
}

#[allow(unsafe_code)]
fn move_environment() {
    for (name, value) in env::vars_os() {
        // SAFETY: there is one thread only, so nobody reads the environment meanwhile. A variable that is set anew is
        // kept on the heap by the C library, and its string on the stack is not referred to any more.
        unsafe {
            env::remove_var(&name);
            env::set_var(&name, &value);
        }
    }
}

#[allow(unsafe_code)]
fn overwrite(start: usize, len: usize, title: &[u8]) {
    // The last byte stays a zero, so that every pointer into the region is still the start of a C string.
    let title = &title[..title.len().min(len - 1)];
    let region = std::ptr::with_exposed_provenance_mut::<u8>(start);
    // SAFETY: the kernel tells that the `len` bytes from `start` hold the arguments and the environment; they are part
    // of the initial thread's stack, above all frames, mapped and writable for the life of the process. No Rust
    // reference points there: `env::args` and `env::vars` hand out copies, made from C strings that stay terminated.
    unsafe {
        region.write_bytes(0, len);
        region.copy_from_nonoverlapping(title.as_ptr(), title.len());
    }
}
