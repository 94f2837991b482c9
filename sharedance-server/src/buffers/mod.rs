//! Memory for requests that have arrived in part and for responses that are not sent yet, within one budget.

mod input;
mod output;

pub(crate) use input::{Budget, Buffer, Lease, OverBudget};
pub(crate) use output::Output;
