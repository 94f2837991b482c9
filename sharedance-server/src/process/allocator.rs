//! The C library's allocator and large blocks.

/// From this size on, a block has its own mapping, and its memory is returned to the system when it is freed.
#[cfg(target_env = "gnu")]
const LARGE_BLOCK_LEN: i32 = 128 * 1024;

/// Makes sure that the memory of large requests is returned to the system when it is freed.
///
/// The GNU C library raises its threshold with each large block that is freed, so that after a few uploads of 30 MB the
/// process keeps that much memory. Other C libraries are not changed.
#[cfg_attr(target_env = "gnu", allow(unsafe_code))]
pub fn return_large_blocks() {
    #[cfg(target_env = "gnu")]
    // SAFETY: `mallopt` takes two numbers, changes a parameter of the allocator under the allocator's own lock, and has
    // no other precondition. If it fails, the parameter stays as it was.
    unsafe {
        nix::libc::mallopt(nix::libc::M_MMAP_THRESHOLD, LARGE_BLOCK_LEN);
    }
}
