//! DPDK's `dpdk-testpmd`, which nobody here wrote: as the two guests of a vhost-user switch (virtio-user ports, each
//! frame sent back with its addresses exchanged), and as a loop in the switch's place that decides nothing.

use std::fs::{File, OpenOptions};
use std::io::Write;
use std::path::Path;
use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use testbed::{Namespace, Process};

/// Frames of each guest that are under way all the time, in bursts of 64.
const BURSTS: u32 = 4;
const SOON: Duration = Duration::from_secs(30);
const EAL: &str = "--no-pci --in-memory --single-file-segments -m 256";
/// Of both: the ring that QEMU's and virtio-user's network cards have by default.
const RINGS: &str = "--rxd=256 --txd=256 --burst=64 --total-num-mbufs=4096";

/// How the rings of guests are laid out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Rings {
    Split,
    Packed,
}

/// Two guests on a core.
#[derive(Debug)]
pub(crate) struct Guests {
    process: Process,
    commands: File,
}

impl Guests {
    /// Starts them; they connect to `sockets`, or listen there for a switch that does.
    pub(crate) fn start(
        namespace: &Namespace,
        directory: &Path,
        sockets: [&Path; 2],
        listen: bool,
        rings: Rings,
        core: usize,
    ) -> Result<Self> {
        let fifo = directory.join("commands");
        testbed::command::run(&format!("mkfifo {}", fifo.display()))?;
        // For both, or opening would wait for the other side.
        let commands = OpenOptions::new().read(true).write(true).open(&fifo)?;
        let server = if listen { ",server=1" } else { "" };
        let packed = u8::from(rings == Rings::Packed);
        let card = |number: usize| {
            let path = sockets[number].display();
            format!(
                "--vdev net_virtio_user{number},path={path},queue_size=256,packed_vq={packed},mac=02:00:00:00:01:0{number}{server}"
            )
        };
        let process = namespace.spawn(&format!(
            "sh -c 'exec stdbuf -oL dpdk-testpmd --lcores 0@{core},1@{core} {EAL} {} {} -- -i --nb-cores=1 --forward-mode=macswap \
             --port-topology=loop {RINGS} --eth-peer=0,02:00:00:00:01:01 --eth-peer=1,02:00:00:00:01:00 <{}'",
            card(0),
            card(1),
            fifo.display()
        ))?;
        Ok(Self { process, commands })
    }

    /// Sends the first frames of so many bytes, without check sequence; from then on they go to and fro.
    pub(crate) fn begin(&mut self, length: usize) -> Result<()> {
        self.say(&format!("set txpkts {length}\nstart tx_first {BURSTS}"))?;
        self.process.wait_for_line(0, SOON, |line| line.contains("packet forwarding packets/burst")).map(drop)
    }

    /// Lets them send nothing any more.
    pub(crate) fn end(&mut self) -> Result<()> {
        self.say("stop")?;
        self.process.wait_for_line(0, SOON, |line| line.trim() == "Done.").map(drop)
    }

    /// Frames a second that both have received over this span.
    pub(crate) fn rate(&mut self, span: Duration) -> Result<f64> {
        let (began, before) = (Instant::now(), self.received()?);
        std::thread::sleep(span);
        let (ended, after) = (Instant::now(), self.received()?);
        Ok((after - before) as f64 / (ended - began).as_secs_f64())
    }

    fn received(&mut self) -> Result<u64> {
        let from = self.process.lines().len();
        self.say("show port stats all")?;
        for port in ["port 0", "port 1"] {
            self.process
                .wait_for_line(from, SOON, |line| line.contains(&format!("NIC statistics for {port}")))?;
        }
        let lines = || self.process.lines().split_off(from);
        testbed::wait_until(SOON, "testpmd says what came", || counts(&lines()).len() == 2)?;
        Ok(counts(&lines()).iter().sum())
    }

    fn say(&mut self, command: &str) -> Result<()> {
        writeln!(self.commands, "{command}").context("dpdk-testpmd hears nothing any more")
    }
}

/// What each port has received.
fn counts(lines: &[String]) -> Vec<u64> {
    let count =
        |line: &String| line.trim().strip_prefix("RX-packets:")?.split_whitespace().next()?.parse().ok();
    lines.iter().filter_map(count).collect()
}

/// Starts the loop: it listens at both sockets and hands what comes from one to the other.
pub(super) fn start_loop(namespace: &Namespace, sockets: [&Path; 2], core: usize) -> Result<Process> {
    let port = |number: usize| format!("--vdev net_vhost{number},iface={}", sockets[number].display());
    namespace.spawn(&format!(
        "sh -c 'sleep infinity | exec dpdk-testpmd --lcores 0@{core},1@{core} {EAL} {} {} -- -i --nb-cores=1 \
         --forward-mode=io --auto-start {RINGS}'",
        port(0),
        port(1)
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_both_ports_have_received_is_read_and_nothing_else() {
        let said = "  ######################## NIC statistics for port 0  ########################\n  \
                    RX-packets: 53829440   RX-missed: 0          RX-bytes:  3229766400\n  \
                    TX-packets: 53829952   TX-errors: 0          TX-bytes:  3229797120\n  \
                    Rx-pps:      4515000          Rx-bps:   2167200000\n  RX-packets: 7  RX-missed: 0";
        let lines: Vec<String> = said.lines().map(str::to_owned).collect();
        assert_eq!(counts(&lines), [53_829_440, 7]);
        assert_eq!(counts(&lines[..1]), [0_u64; 0]);
    }
}
