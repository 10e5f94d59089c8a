//! Where cargo builds.

use std::path::{Path, PathBuf};

/// Cargo's target directory of this workspace.
#[must_use]
pub fn target_directory() -> PathBuf {
    let told = std::env::var_os("CARGO_TARGET_DIR").map(PathBuf::from);
    told.unwrap_or_else(|| Path::new(env!("CARGO_MANIFEST_DIR")).join("../../target"))
}
