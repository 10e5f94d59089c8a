//! What tests of this crate share: memory that is a guest's.

use std::fs::File;

use rustix::fs::{MemfdFlags, ftruncate, memfd_create};

pub(crate) fn memory_file(len: u64) -> File {
    let file = memfd_create("guest", MemfdFlags::CLOEXEC).unwrap();
    ftruncate(&file, len).unwrap();
    file.into()
}
