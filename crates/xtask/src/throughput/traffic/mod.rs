//! Traffic that is sent, counted and timed, without a program beside this one.

mod counters;
pub(crate) mod frame;
mod plug;
mod trial;

pub(crate) use self::counters::Counters;
pub(crate) use self::frame::{Flow, IMIX, LONGEST, Mix, Order, SHORTEST, SIZES, To};
pub(crate) use self::plug::Plug;
pub(crate) use self::trial::{Load, Outcome, flood, introduce, trial};
