//! The handle to a store, and its methods by topic.
//!
//! | file | what |
//! | --- | --- |
//! | [`store`] | the handle itself |
//! | [`open`] | opening, and what a store reports about itself |
//! | [`read`], [`write`], [`rewrite`] | get, set, and new values made from old ones |
//! | [`lifetime`] | touch, invalidate, delete, clear |
//! | [`iterate`] | all pairs, and their verification |
//! | [`batch`], [`deferral`] | writes that share one sync |
//! | [`maintain`] | background work, and syncs |

pub(crate) mod deferral;
pub(crate) mod store;

// In the order in which rustdoc shows them; the blank lines keep rustfmt from sorting them.
pub(crate) mod open;

pub(crate) mod read;

pub(crate) mod write;

pub(crate) mod rewrite;

pub(crate) mod lifetime;

pub(crate) mod iterate;

pub(crate) mod batch;

pub(crate) mod maintain;
