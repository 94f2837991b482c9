//! The title under which `ps` shows the process.
//!
//! Linux shows the bytes between two addresses on the initial stack, where the arguments are, followed by the
//! environment. Writing to them changes the title. The environment is moved elsewhere first.

use std::env;
use std::fs;

/// The indices of the address of the arguments and of the end of the environment in `/proc/self/stat`, after the name in
/// parentheses: fields 48 and 51 of proc(5), where the field after the name is the third.
const ARGUMENTS_START_FIELD: usize = 48 - 3;
const ENVIRONMENT_END_FIELD: usize = 51 - 3;

/// Shows the process as `title`, or as much of it as there is room for. Called while the process has one thread, after the
/// arguments were read. Has no effect if the kernel does not disclose the addresses.
pub fn set(title: &str) {
    if let Some((start, len)) = room() {
        move_environment();
        overwrite(start, len, title.as_bytes());
    }
}

/// The address and length of the arguments and the environment.
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
        // SAFETY: the process has one thread, so that no other reads the environment meanwhile. The C library copies a
        // variable that is set to the heap, and refers to its string on the stack no more.
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
    // SAFETY: the kernel reports that the `len` bytes from `start` are the arguments and the environment. They are part of
    // the initial thread's stack, above all frames, and are mapped and writable as long as the process exists. No Rust
    // reference points there: `env::args` and `env::vars` return copies, made from C strings that stay terminated.
    unsafe {
        region.write_bytes(0, len);
        region.copy_from_nonoverlapping(title.as_ptr(), title.len());
    }
}
