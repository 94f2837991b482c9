//! Random operations on the store and its model.

use std::time::Duration;

use proptest::prelude::*;
use sharedance_core::store::{Durability, Ttl};

use crate::ops::{KEYS, Op, Restart};

fn values() -> impl Strategy<Value = Vec<u8>> {
    let len = prop_oneof![
        2 => Just(0usize),
        30 => 1..3_000usize,
        4 => 3_000..16_000usize,
        2 => 16_000..20_000usize,
        1 => Just(60_000usize),
    ];
    // Few fill bytes, so that the same value is often set again.
    let filled = (len, 0..3u8).prop_map(|(len, filling)| vec![filling; len]);
    let number = any::<u64>().prop_map(|number| (number >> (number % 64)).to_string().into_bytes());
    prop_oneof![8 => filled, 1 => number]
}

fn client_flags() -> impl Strategy<Value = u32> {
    prop_oneof![4 => Just(0), 1 => any::<u32>()]
}

fn ttls() -> impl Strategy<Value = Ttl> {
    let after = |ms: std::ops::Range<u64>| ms.prop_map(|ms| Ttl::After(Duration::from_millis(ms)));
    prop_oneof![
        5 => Just(Ttl::Default),
        1 => Just(Ttl::Never),
        1 => Just(Ttl::After(Duration::ZERO)),
        6 => after(1..5_000),
        3 => after(5_000..4_000_000),
    ]
}

fn restarts() -> impl Strategy<Value = Restart> {
    let off_ms = || prop_oneof![Just(0u64), 1..100_000u64];
    prop_oneof![
        off_ms().prop_map(|off_ms| Restart::Orderly { off_ms }),
        off_ms().prop_map(|off_ms| Restart::Killed { off_ms }),
        (wall_secs(), any::<bool>())
            .prop_map(|(wall_secs, boot_time_anew)| Restart::Rebooted { wall_secs, boot_time_anew }),
    ]
}

pub(crate) fn durabilities() -> impl Strategy<Value = Durability> {
    let interval = Durability::Interval(Duration::from_secs(1));
    prop_oneof![3 => Just(Durability::Os), 1 => Just(interval), 1 => Just(Durability::Always)]
}

/// Up to an hour before or after the manual clock's start.
fn wall_secs() -> impl Strategy<Value = u64> {
    1_000_000_000 - 3_600..1_000_000_000 + 3_600u64
}

pub(crate) fn ops() -> impl Strategy<Value = Op> {
    let key = || 0..KEYS;
    prop_oneof![
        60 => (key(), values(), ttls(), client_flags())
            .prop_map(|(key, value, ttl, client_flags)| Op::Set { key, value, ttl, client_flags }),
        5 => (key(), values(), ttls()).prop_map(|(key, value, ttl)| Op::Add { key, value, ttl }),
        5 => (key(), values(), ttls()).prop_map(|(key, value, ttl)| Op::Replace { key, value, ttl }),
        5 => (key(), values(), ttls(), any::<bool>())
            .prop_map(|(key, value, ttl, is_right)| Op::CompareAndSet { key, value, ttl, is_right }),
        4 => (key(), values()).prop_map(|(key, tail)| Op::Append { key, tail }),
        4 => (key(), values()).prop_map(|(key, head)| Op::Prepend { key, head }),
        3 => key().prop_map(Op::Update),
        5 => (key(), 0..200u64, any::<bool>()).prop_map(|(key, by, is_up)| Op::Count { key, by, is_up }),
        10 => key().prop_map(Op::Delete),
        3 => (key(), any::<bool>()).prop_map(|(key, is_right)| Op::DeleteVersion { key, is_right }),
        10 => (key(), ttls()).prop_map(|(key, ttl)| Op::Touch { key, ttl }),
        3 => (key(), ttls()).prop_map(|(key, ttl)| Op::GetAndTouch { key, ttl }),
        3 => key().prop_map(Op::Invalidate),
        3 => key().prop_map(Op::GetWith),
        5 => key().prop_map(Op::Hold),
        1 => Just(Op::LetGo),
        1 => Just(Op::Clear),
        12 => (0..60usize).prop_map(Op::Maintain),
        1 => Just(Op::Maintain(usize::MAX)),
        2 => Just(Op::Prepare),
        1 => Just(Op::Sync),
        8 => prop_oneof![3 => 1..2_000u64, 1 => 2_000..100_000u64].prop_map(Op::Advance),
        2 => wall_secs().prop_map(Op::StepWall),
        3 => restarts().prop_map(Op::Reopen),
    ]
}
