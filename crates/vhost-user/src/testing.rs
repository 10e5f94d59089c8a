//! What tests of this crate share: memory that is a guest's.

use std::fs::File;

use rustix::fs::{MemfdFlags, ftruncate, memfd_create};

pub(crate) fn memory_file(len: u64) -> File {
    let file = memfd_create("guest", MemfdFlags::CLOEXEC).unwrap();
    ftruncate(&file, len).unwrap();
    file.into()
}

/// The two bits that say whose a descriptor of a packed ring of so many is, in the round of this place: once the guest has
/// made it available, and once it came back.
pub(crate) fn owner(place: u16, size: u16) -> [u16; 2] {
    if place & size == 0 { [1 << 7, 1 << 7 | 1 << 15] } else { [1 << 15, 0] }
}
