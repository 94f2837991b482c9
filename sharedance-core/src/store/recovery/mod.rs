//! Opening a store, whatever state its files are in.
//!
//! | file | what |
//! | --- | --- |
//! | [`open`] | the order of the work: lock, read, enter, report |
//! | [`slots`] | what the slots of a file say, and how much of it is believed |
//! | [`entering`] | puts the records that were found into the index |
//! | [`parallel`] | shares the work among threads |
//! | [`report`] | what was found |

pub(crate) mod entering;
pub(crate) mod open;
pub(crate) mod parallel;
pub(crate) mod report;
pub(crate) mod slots;
