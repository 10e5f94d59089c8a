//! Pages of 2 MiB, which DPDK's programs want for their memory: reserved for a run, and given back after it.

use std::fs;

use anyhow::{Context, Result, ensure};

const RESERVED: &str = "/sys/kernel/mm/hugepages/hugepages-2048kB/nr_hugepages";

/// The number that was reserved before. Dropping it reserves as many again.
#[derive(Debug)]
pub(crate) struct HugePages(u64);

impl HugePages {
    /// Reserves at least so many.
    pub(crate) fn reserve(pages: u64) -> Result<Self> {
        let before = read()?;
        let reserved = Self(before);
        fs::write(RESERVED, before.max(pages).to_string())
            .with_context(|| format!("can't write {RESERVED}"))?;
        let now = read()?;
        ensure!(
            now >= pages,
            "only {now} of {pages} pages of 2 MiB are to be had: memory is short, or in pieces"
        );
        Ok(reserved)
    }
}

impl Drop for HugePages {
    fn drop(&mut self) {
        let _ = fs::write(RESERVED, self.0.to_string());
    }
}

fn read() -> Result<u64> {
    let text = fs::read_to_string(RESERVED).with_context(|| format!("can't read {RESERVED}"))?;
    Ok(text.trim().parse()?)
}
