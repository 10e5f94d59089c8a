//! TCP by iperf3, MTU 1500, and through a VXLAN tunnel between the hosts.

use std::time::Duration;

use anyhow::{Result, ensure};

use crate::throughput::SENDER_CORE;
use crate::throughput::bench::{Bench, Place};
use crate::throughput::results::Figure;
use crate::throughput::subject::{FAR, Rig, Wiring};

const CHAPTER: &str = "TCP, MTU 1500";

/// Address of the far end of the tunnel.
const INSIDE: &str = "198.18.1.2";

/// Seconds more than it should take: some switches do not carry what tunnels make.
const PATIENCE: u32 = 4;

/// What timeout(1) ends with.
const TIMED_OUT: i32 = 124;

pub(super) fn run(bench: &mut Bench, rigs: &[Rig], wiring: Wiring) -> Result<()> {
    for &streams in bench.scale.streams {
        let plural = if streams == 1 { "" } else { "s" };
        let place = Place::new(CHAPTER, wiring, format!("{streams} stream{plural}"));
        measure(bench, rigs, &place, FAR, streams)?;
    }
    if !bench.scale.tunnels {
        return Ok(());
    }
    for rig in rigs {
        tunnel(rig)?;
    }
    measure(bench, rigs, &Place::new(CHAPTER, wiring, "1 stream in VXLAN"), INSIDE, 1)
}

fn measure(bench: &mut Bench, rigs: &[Rig], place: &Place, to: &str, streams: u32) -> Result<()> {
    let (seconds, rounds) = bench.scale.tcp;
    for round in 0..rounds {
        for at in Bench::order(rigs.len(), round) {
            let rig = &rigs[at];
            let rate = bench.interrupt.or(iperf3(rig, to, streams, seconds))?;
            bench.add(&place.figure(Figure::Tcp), rig.subject, rate);
        }
    }
    Ok(())
}

fn iperf3(rig: &Rig, to: &str, streams: u32, seconds: u32) -> Result<f64> {
    let mut server = rig.far.spawn(&format!("taskset -c {SENDER_CORE} iperf3 -s -1 --forceflush"))?;
    server.wait_for_line(0, Duration::from_secs(5), |line| line.contains("listening"))?;
    let limit = seconds + PATIENCE;
    let line = format!("-c {SENDER_CORE} timeout {limit} iperf3 -J -c {to} -t {seconds} -P {streams}");
    let output = rig.near.exec("taskset", &line.split(' ').collect::<Vec<_>>())?;
    ensure!(!output.stdout.is_empty() || output.status.code() == Some(TIMED_OUT), "iperf3: {output:?}");
    Ok(rate(&output.stdout))
}

/// Bits a second that arrived; none where the connection could not be kept up.
fn rate(answer: &[u8]) -> f64 {
    let answer: serde_json::Value = serde_json::from_slice(answer).unwrap_or_default();
    answer["end"]["sum_received"]["bits_per_second"].as_f64().unwrap_or(0.0)
}

/// A tunnel as `ip` makes it by default, with checksums, so that all of what crosses can be cut.
fn tunnel(rig: &Rig) -> Result<()> {
    let ends =
        [(&rig.near, "e0", "198.18.0.1", FAR, "198.18.1.1"), (&rig.far, "e1", FAR, "198.18.0.1", INSIDE)];
    for (host, device, local, remote, address) in ends {
        host.ip_batch(&[
            format!(
                "link add x0 type vxlan id 1 dstport 4789 local {local} remote {remote} dev {device} udpcsum"
            ),
            format!("address add {address}/24 dev x0"),
            "link set x0 up".to_owned(),
        ])?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    #[test]
    fn what_arrived_counts_and_no_answer_is_nothing() {
        assert_eq!(super::rate(br#"{"end": {"sum_received": {"bits_per_second": 5e9}}}"#), 5e9);
        assert_eq!(super::rate(br#"{"error": "unable to connect"}"#), 0.0);
        assert_eq!(super::rate(b""), 0.0);
    }
}
