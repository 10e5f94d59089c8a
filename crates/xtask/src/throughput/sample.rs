//! One sample of each subject: frames per second, TCP, latency, processor time, memory.

use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use serde::Serialize;

use super::rig::{FAR, FAR_MAC, Rig};
use super::{Programs, SENDER_CORE};

/// What was measured of one subject in one round.
#[derive(Clone, Copy, Debug, Default, Serialize)]
pub(super) struct Sample {
    /// 60-byte frames that arrived, each second.
    pub(super) frames_per_second: f64,
    /// Nanoseconds of processor time, all cores together, for each frame that arrived.
    pub(super) processor_ns_per_frame: f64,
    /// One TCP stream, MTU 1500.
    pub(super) tcp_bits_per_second: f64,
    /// Mean round trip in microseconds.
    pub(super) round_trip_us: f64,
    /// Resident memory of the switch in KiB; 0 for the kernel's.
    pub(super) memory_kib: f64,
}

/// What an idle switch costs.
#[derive(Clone, Copy, Debug, Serialize)]
pub(super) struct Idle {
    /// Milliseconds of processor time over the time watched.
    pub(super) processor_ms: f64,
    /// Times that it woke up, each second.
    pub(super) wakeups_per_second: f64,
}

/// One sample of each subject, in their order.
#[derive(Clone, Debug, Serialize)]
pub(super) struct Round(pub(super) Vec<Sample>);

impl Round {
    /// Each figure of all subjects right after one another; who is first, and who comes after whom, changes
    /// with `turn`.
    pub(super) fn take(rigs: &mut [Rig], programs: &Programs, seconds: u32, turn: usize) -> Result<Self> {
        let mut round = Self(vec![Sample::default(); rigs.len()]);
        let mut order: Vec<usize> = (0..rigs.len()).map(|place| (place + turn) % rigs.len()).collect();
        if turn % 2 == 1 {
            order.reverse();
        }
        for &at in &order {
            // The first flood after a pause is up to a third slower, whoever it meets.
            frame_rate(&rigs[at], programs, seconds)?;
            (round.0[at].frames_per_second, round.0[at].processor_ns_per_frame) =
                frame_rate(&rigs[at], programs, seconds)?;
        }
        for &at in &order {
            round.0[at].tcp_bits_per_second = tcp(&rigs[at], seconds)?;
        }
        for &at in &order {
            round.0[at].round_trip_us = round_trip(&rigs[at])?;
        }
        for &at in &order {
            let process = rigs[at].process.as_ref();
            round.0[at].memory_kib = process.map_or(Ok(0.0), |process| status(process.id(), "VmRSS:"))?;
        }
        Ok(round)
    }
}

fn frame_rate(rig: &Rig, programs: &Programs, seconds: u32) -> Result<(f64, f64)> {
    let line = format!(
        "taskset -c {SENDER_CORE} {} generate --device e0 --to {FAR_MAC} --seconds {seconds}",
        programs.xtask.display()
    );
    let (busy, arrived) = (busy_time()?, rig.far.statistic("e0", "rx_packets")?);
    let nanoseconds: f64 = rig.near.run(&line)?.trim().parse().context("the generator's time")?;
    let frames = (rig.far.statistic("e0", "rx_packets")? - arrived) as f64;
    let busy = busy_time()? - busy;
    Ok((frames / nanoseconds * 1e9, busy.as_nanos() as f64 / frames))
}

fn tcp(rig: &Rig, seconds: u32) -> Result<f64> {
    let mut server = rig.far.spawn(&format!("taskset -c {SENDER_CORE} iperf3 -s -1 --forceflush"))?;
    server.wait_for_line(0, Duration::from_secs(5), |line| line.contains("listening"))?;
    let line = format!("taskset -c {SENDER_CORE} iperf3 -J -c {FAR} -t {seconds}");
    let answer: serde_json::Value = serde_json::from_str(&rig.near.run(&line)?)?;
    answer["end"]["sum_received"]["bits_per_second"].as_f64().context("no rate in the answer of iperf3")
}

fn round_trip(rig: &Rig) -> Result<f64> {
    let line = format!("taskset -c {SENDER_CORE} ping -q -c 1000 -i 0.001 {FAR}");
    let text = rig.near.run(&line)?;
    let mean = text.rsplit_once("= ").and_then(|(_, times)| times.split('/').nth(1));
    let mean: f64 = mean.context("no times in the answer of ping")?.parse()?;
    Ok(mean * 1000.0)
}

/// Processor time of all cores that was not idle, since boot.
fn busy_time() -> Result<Duration> {
    let text = std::fs::read_to_string("/proc/stat")?;
    let line = text.lines().next().context("/proc/stat is empty")?;
    let ticks: Vec<u64> = line.split_whitespace().skip(1).map(|word| word.parse().unwrap_or(0)).collect();
    // user, nice, system, idle, iowait, irq, softirq; a tick is 10 ms on every Linux that we know.
    let busy: u64 =
        ticks.iter().enumerate().filter(|(at, _)| !matches!(at, 3 | 4) && *at < 7).map(|(_, t)| t).sum();
    Ok(Duration::from_millis(busy * 10))
}

/// A number in `/proc/PID/status`.
fn status(pid: u32, key: &str) -> Result<f64> {
    let text = std::fs::read_to_string(format!("/proc/{pid}/status"))?;
    let value = text.lines().find_map(|line| line.strip_prefix(key));
    let value = value.and_then(|value| value.split_whitespace().next());
    Ok(value.with_context(|| format!("no {key} of process {pid}"))?.parse()?)
}

/// Watches a switch that has nothing to do.
pub(super) fn idle(rig: &mut Rig) -> Result<Idle> {
    let process = rig.process.as_ref().context("not a process")?;
    let wakeups = || -> Result<f64> {
        let tasks = std::fs::read_dir(format!("/proc/{}/task", process.id()))?;
        tasks
            .map(|task| status(task?.file_name().to_string_lossy().parse()?, "voluntary_ctxt_switches:"))
            .sum()
    };
    // Neighbour discovery of the hosts goes on for some seconds after the last ping.
    std::thread::sleep(Duration::from_secs(8));
    let (start, time, woken) = (Instant::now(), process.processor_time()?, wakeups()?);
    std::thread::sleep(Duration::from_secs(10));
    Ok(Idle {
        processor_ms: (process.processor_time()? - time).as_secs_f64() * 1e3,
        wakeups_per_second: (wakeups()? - woken) / start.elapsed().as_secs_f64(),
    })
}
