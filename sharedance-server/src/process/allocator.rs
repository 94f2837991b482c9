//! How the C library's allocator treats large blocks.

/// From this size on, a block is mapped for itself, and its memory goes back to the system when it is freed.
#[cfg(target_env = "gnu")]
const LARGE_BLOCK_LEN: i32 = 128 * 1024;

/// Makes sure that the memory of large requests is returned once they are done.
///
/// By itself the GNU C library keeps it: it takes every large block that is freed as a reason to keep larger ones for
/// later, so that a few uploads of 30 MB leave the process that much larger for good. Other libraries are left alone.
#[cfg_attr(target_env = "gnu", allow(unsafe_code))]
pub fn return_large_blocks() {
    #[cfg(target_env = "gnu")]
    // SAFETY: it takes two numbers, changes a parameter of the allocator under the allocator's own lock, and has no
    // other precondition. Where it fails, the parameter stays as it was.
    unsafe {
        nix::libc::mallopt(nix::libc::M_MMAP_THRESHOLD, LARGE_BLOCK_LEN);
    }
}
