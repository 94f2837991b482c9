//! One segment: a file of records.
//!
//! | file | what |
//! | --- | --- |
//! | [`sealed`] | a segment in use, and its records |
//! | [`open`] | the exclusive right to append to a segment |
//! | [`reservation`] | the exclusive right to write one record |
//! | [`blank`] | a file that is allocated and not in use |
//! | [`record`] | a committed record, and the changes of it |
//! | [`payload`] | the bytes of a record that is to be written |
//! | [`sources`] | records that are on disk in two places |
//! | [`ttl_class`] | which records share segments |
//! | [`reads`], [`accesses`] | how often and when records were read |

pub(crate) mod accesses;
pub(crate) mod blank;
pub(crate) mod open;
pub(crate) mod payload;
pub(crate) mod reads;
pub(crate) mod record;
pub(crate) mod reservation;
pub(crate) mod sealed;
pub(crate) mod sources;
pub(crate) mod ttl_class;
