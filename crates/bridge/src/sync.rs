//! What [`crate::order`] is made of: a module of its own, so that its test can have it made of loom's types.

pub(crate) use std::sync::atomic::{AtomicU64, Ordering};
pub(crate) use std::sync::{Arc, Mutex, MutexGuard};
