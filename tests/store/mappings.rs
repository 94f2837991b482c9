//! A process without free memory mappings has a full store and no other failure. The test runs in its own process,
//! because it uses up the mappings of the process.

// A test that cannot use its own files fails at once.
#![allow(clippy::unwrap_used)]

use memmap2::{Mmap, MmapMut};
use sharedance_core::store::{Background, OpenError, Options, Store, StoreError};

/// A value with a file and a mapping of its own.
static BIG: [u8; 20_000] = [7; 20_000];
/// Pairs of mappings that remain for the threads of recovery: fewer than the files of the test need.
const THREADS_PAIRS: usize = 30;
/// With a higher limit this test would take too long.
const MAX_TRIED: usize = 1 << 18;

/// Creates mappings until the system refuses one. Neighbours have different protection, so that the kernel does not
/// merge them.
fn take_all() -> Option<(Vec<Mmap>, Vec<MmapMut>)> {
    let (mut constant, mut mutable) = (Vec::with_capacity(MAX_TRIED), Vec::with_capacity(MAX_TRIED));
    while let Ok(mapping) = MmapMut::map_anon(4096) {
        mutable.push(mapping);
        match MmapMut::map_anon(4096).and_then(MmapMut::make_read_only) {
            Ok(mapping) => constant.push(mapping),
            Err(_) => return Some((constant, mutable)),
        }
        if mutable.len() == MAX_TRIED {
            return None;
        }
    }
    Some((constant, mutable))
}

fn open(dir: &std::path::Path) -> Result<Store, OpenError> {
    // As if the system allowed more than it does: the store does not stop by itself.
    Options::new().background(Background::Manual).segment_len(65_536).max_mappings(1 << 30).open(dir)
}

#[test]
fn without_a_mapping_the_store_is_full_and_opens_again() {
    let dir = tempfile::tempdir().unwrap();
    let store = open(dir.path()).unwrap();
    store.set("before", "it").unwrap();
    let Some((mut constant, mut mutable)) = take_all() else {
        eprintln!("skipped: the system allows too many mappings");
        return;
    };
    // Each of these lies between two others, so that unmapping it frees one mapping.
    constant.truncate(constant.len() - 100);
    mutable.truncate(constant.len());

    let refused = (0..1_000u32).find_map(|i| store.set(i.to_be_bytes(), BIG).err().map(|error| (i, error)));
    let (stored, error) = refused.expect("there is a mapping for each");
    assert!(stored > 20, "{stored}");
    assert!(matches!(error, StoreError::Full), "{error:?}");
    assert!(error.to_string().contains("vm.max_map_count"), "{error}");
    assert!(store.stats().refused_mappings > 0);
    // Existing pairs can be read and deleted, which frees space.
    assert!((0..stored).all(|i| store.get(i.to_be_bytes()).unwrap() == BIG));
    assert_eq!(store.get("before").unwrap(), "it");
    (0..5u32).for_each(|i| assert!(store.delete(i.to_be_bytes()).unwrap()));
    store.maintain(10_000).unwrap();
    store.set("again", BIG).unwrap();
    drop(store);

    // The process that opens the store has fewer mappings left: enough for the threads that read (about six each), not for
    // the files.
    let mut others: Vec<_> = (0..MAX_TRIED)
        .map_while(|_| {
            let constant = MmapMut::map_anon(4096).and_then(MmapMut::make_read_only).ok()?;
            Some((constant, MmapMut::map_anon(4096).ok()?))
        })
        .collect();
    others.truncate(others.len() - THREADS_PAIRS);
    let error = open(dir.path()).expect_err("there is no mapping for each file");
    assert!(matches!(error, OpenError::Mappings { .. }), "{error:?}");
    let text = error.to_string();
    assert!(text.contains("sysctl -w vm.max_map_count="), "{text}");

    drop((others, constant, mutable));
    let store = open(dir.path()).unwrap();
    assert_eq!((store.len(), store.recovery().dropped), (stored as usize - 5 + 2, 0));
}
