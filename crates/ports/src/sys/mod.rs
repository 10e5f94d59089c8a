//! System calls that no safe crate offers: one small wrapper each, one file per device or protocol.
#![allow(unsafe_code)]

pub mod denied;
pub mod descriptor;
pub mod ethtool;
pub mod fanout;
pub mod gather;
pub mod guest_memory;
pub mod inherited;
pub mod packet;
pub mod pages;
pub mod peer;
pub mod tun;
