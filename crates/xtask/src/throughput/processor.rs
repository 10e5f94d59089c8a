//! Processor time, of the machine and of a process, and on which core a thread runs.

use std::time::Duration;

use anyhow::{Context, Result};
use rustix::thread::{CpuSet, sched_setaffinity};

/// Keeps this thread, and what it starts from now on, on a core.
pub(crate) fn stay_on(core: usize) -> Result<()> {
    let mut set = CpuSet::new();
    set.set(core);
    sched_setaffinity(None, &set).with_context(|| format!("can't run on core {core}"))
}

/// Processor time of all cores that was not idle, since boot.
pub(crate) fn busy() -> Result<Duration> {
    let text = std::fs::read_to_string("/proc/stat")?;
    let line = text.lines().next().context("/proc/stat is empty")?;
    Ok(busy_of(line, rustix::param::clock_ticks_per_second()))
}

/// proc(5): user, nice, system, idle, iowait, irq, softirq, steal; guest time is part of user's.
fn busy_of(line: &str, ticks_per_second: u64) -> Duration {
    let ticks = line.split_whitespace().skip(1).take(7).map(|word| word.parse().unwrap_or(0));
    let busy: u64 = ticks.enumerate().filter(|(at, _)| !matches!(at, 3 | 4)).map(|(_, ticks)| ticks).sum();
    Duration::from_millis(busy * 1000 / ticks_per_second)
}

/// A number in `/proc/PID/status`.
pub(crate) fn status(pid: u32, key: &str) -> Result<u64> {
    number_in(&format!("/proc/{pid}/status"), key)
}

/// Times that the threads of a process have slept and woken up.
pub(crate) fn wakeups(pid: u32) -> Result<u64> {
    let tasks = std::fs::read_dir(format!("/proc/{pid}/task"))?;
    tasks
        .map(|task| number_in(&task?.path().join("status").to_string_lossy(), "voluntary_ctxt_switches:"))
        .sum()
}

fn number_in(path: &str, key: &str) -> Result<u64> {
    let text = std::fs::read_to_string(path)?;
    let value = text.lines().find_map(|line| line.strip_prefix(key));
    let value = value.and_then(|value| value.split_whitespace().next());
    Ok(value.with_context(|| format!("no {key} in {path}"))?.parse()?)
}

/// Processor time of all threads of a process.
pub(crate) fn of(pid: u32) -> Result<Duration> {
    let tasks = std::fs::read_dir(format!("/proc/{pid}/task"))?;
    let nanoseconds = tasks.map(|task| -> Result<u64> {
        let text = std::fs::read_to_string(task?.path().join("schedstat"))?;
        Ok(text.split_whitespace().next().context("an empty schedstat")?.parse()?)
    });
    Ok(Duration::from_nanos(nanoseconds.sum::<Result<u64>>()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_idle_or_stolen_is_not_busy() {
        let busy = busy_of("cpu  10 2 30 4000 500 6 7 8 9 10", 100);
        assert_eq!(busy, Duration::from_millis((10 + 2 + 30 + 6 + 7) * 10));
    }
}
