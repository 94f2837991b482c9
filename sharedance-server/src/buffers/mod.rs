//! Memory for requests that have arrived in part and for responses that are not sent yet, within one budget.

mod budget;
mod input;
mod output;

pub(crate) use budget::{Budget, Lease, OverBudget};
pub(crate) use input::Buffer;
pub(crate) use output::Output;
