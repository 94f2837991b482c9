//! Opening a store, whatever state its files are in.
//!
//! | file | what |
//! | --- | --- |
//! | [`open`] | the order of the work: lock, read, index, report |
//! | [`slots`] | the slots of a file, and which of them are accepted |
//! | [`entering`] | inserts the records into the index |
//! | [`parallel`] | shares the work among threads |
//! | [`report`] | the result |

pub(crate) mod entering;
pub(crate) mod open;
pub(crate) mod parallel;
pub(crate) mod report;
pub(crate) mod slots;
