//! What a switch holds of its host, before and after something was done over and over: no more of anything.

use std::collections::BTreeMap;

use anyhow::{Context, Result, ensure};
use testbed::Namespace;

/// How much it holds, by what.
pub(crate) type Held = BTreeMap<&'static str, u64>;

const RESIDENT: &str = "resident kB";

/// What the process holds, and what is in the namespace where its ports are.
pub(crate) fn held(pid: u32, namespace: &Namespace) -> Result<Held> {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status"))?;
    let resident = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).context("VmRSS")?;
    let open = std::fs::read_dir(format!("/proc/{pid}/fd"))?.count() as u64;
    Ok([
        (RESIDENT, resident.trim().trim_end_matches(" kB").parse()?),
        ("descriptors", open),
        ("nft tables", namespace.run("nft list tables")?.lines().count() as u64),
        ("devices", namespace.ip("-o link")?.lines().count() as u64),
    ]
    .into())
}

/// It is no more of anything; memory may be more by chance, not by so many times anything.
pub(crate) fn compare(before: &Held, after: &Held) -> Result<()> {
    for (name, was) in before {
        let (is, room) = (after[name], if *name == RESIDENT { was / 2 } else { 0 });
        ensure!(is <= was + room, "{name}: {was}, then {is}");
    }
    Ok(())
}
