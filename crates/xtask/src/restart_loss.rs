//! `cargo xtask restart-loss`: what hosts on the ports of the service lose while its process changes, under a real
//! systemd: frames at a steady rate from a `tap` and from a `raw` port, a TCP connection beside them, and what leaks.

mod guest;

use std::time::Duration;

use anyhow::{Context, Result, ensure};
use clap::Args;
use testbed::service::{CONFIG, Service};
use testbed::{FrameSocket, Stream, Streamed, tcp_transfer, wait_until};

use crate::leaks::{self, Held};
use crate::run::switchd;

/// Frames a second of a restart, and of a SIGKILL.
const RESTART_RATE: u32 = 100_000;
const KILL_RATE: u32 = 20_000;

/// Before and after the change.
const AROUND: Duration = Duration::from_millis(300);

/// How long what is left over of a restart may take to go.
const SETTLED: Duration = Duration::from_secs(3);

/// Bytes of the TCP transfer that each restart falls into.
const TCP_BYTES: u64 = 1 << 30;

/// Measures what a change of the process loses
#[derive(Debug, Args)]
pub(crate) struct RestartLoss {
    /// Measurements of each kind; 0 for none
    #[arg(long, default_value_t = 5)]
    times: u32,
    /// Restarts in a row after which nothing may be left over; 0 for none
    #[arg(long, default_value_t = 100)]
    restarts: u32,
    /// In place of all that, changes over which a virtual machine pings and may lose nothing [default: 20]
    #[arg(long, value_name = "CHANGES", num_args = 0..=1, default_missing_value = "20")]
    guest: Option<u32>,
    /// Stations that the switch knows beside the two
    #[arg(long, default_value_t = 0)]
    entries: u32,
    /// The switchd to measure [default: a release build of this workspace]
    #[arg(long)]
    switchd: Option<std::path::PathBuf>,
}

/// The way of the frames: from a host on a port of this kind.
#[derive(Clone, Copy, Debug)]
enum From {
    Tap,
    Raw,
}

/// Runs all measurements and shows each.
#[allow(clippy::cast_precision_loss, reason = "a rate for people")]
pub(crate) fn run(options: &RestartLoss) -> Result<()> {
    let switchd = switchd(options.switchd.as_deref())?;
    if let Some(changes) = options.guest {
        return guest::run(&switchd, changes);
    }
    let room = format!("{CONFIG}[bridge]\nfdb_max = {}\n", options.entries.max(65_536) + 1_000);
    let service = Service::start("loss", &switchd, &room)?;
    fill(&service, options.entries)?;
    println!("{:<34} {:>9} {:>6} {:>12}", "", "frames/s", "lost", "longest gap");
    let mut worst = 0;
    for (name, rate, change) in [
        ("nothing", RESTART_RATE, look_on as fn(&Service) -> Result<()>),
        ("systemctl restart", RESTART_RATE, restart),
        ("takeover", RESTART_RATE, Service::take_over),
        ("SIGKILL", KILL_RATE, kill),
    ] {
        for from in [From::Tap, From::Raw] {
            for _ in 0..options.times {
                let streamed = stream_over(&service, from, rate, change)?;
                let title = format!("{name}, from a {from:?} port").to_lowercase();
                println!(
                    "{title:<34} {:>9.0} {:>6} {:>9.1} ms",
                    streamed.sent as f64 / streamed.elapsed.as_secs_f64(),
                    streamed.lost(),
                    milliseconds(streamed.longest_gap)
                );
                worst = worst.max(streamed.lost());
            }
        }
    }
    if options.times > 0 {
        tcp(&service)?;
    }
    if options.restarts > 0 {
        leaks(&service, options.restarts)?;
    }
    ensure!(worst == 0, "up to {worst} frames were lost");
    Ok(())
}

fn milliseconds(time: Duration) -> f64 {
    time.as_secs_f64() * 1e3
}

/// Lets so many stations behind the raw port speak.
fn fill(service: &Service, entries: u32) -> Result<()> {
    let mut socket = FrameSocket::open(&service.host2, "eth0")?;
    let speak = |socket: &mut FrameSocket, from: u32| -> Result<()> {
        for number in from..entries {
            let [a, b, c, d] = number.to_be_bytes();
            socket.send(&[&[2, 0, 0, 0, 0, 1, 2, 9, a, b, c, d, 0x88, 0xb5][..], &[0; 46]].concat())?;
            if number % 1024 == 0 {
                std::thread::sleep(Duration::from_millis(3));
            }
        }
        Ok(())
    };
    // What was lost on the way is said again.
    for _ in 0..10 {
        if service.macs() > entries {
            break;
        }
        speak(&mut socket, 0)?;
        std::thread::sleep(Duration::from_secs(2));
    }
    ensure!(service.macs() > entries, "only {} of {entries} stations were learned", service.macs());
    Ok(())
}

/// Long enough for what is done now and then.
fn look_on(_: &Service) -> Result<()> {
    std::thread::sleep(Duration::from_secs(2));
    Ok(())
}

fn restart(service: &Service) -> Result<()> {
    service.systemctl("restart switchd")
}

fn kill(service: &Service) -> Result<()> {
    let restarts: u32 = service.property("NRestarts").parse().context("NRestarts")?;
    service.systemctl("kill --signal=KILL switchd")?;
    service.wait_for_restarts(restarts + 1)
}

fn stream_over(
    service: &Service,
    from: From,
    rate: u32,
    change: fn(&Service) -> Result<()>,
) -> Result<Streamed> {
    let (sender, receiver, address) = match from {
        From::Tap => (&service.host1, &service.host2, "198.18.0.2"),
        From::Raw => (&service.host2, &service.host1, "198.18.0.1"),
    };
    let stream = Stream::start(sender, receiver, address, rate)?;
    std::thread::sleep(AROUND);
    change(service)?;
    std::thread::sleep(AROUND);
    stream.stop()
}

/// A transfer with a restart in its middle: whether a retransmission timer ran out, and how fast it was.
fn tcp(service: &Service) -> Result<()> {
    let timeouts = || -> Result<u64> {
        let counters = service.host1.run("cat /proc/net/netstat")?;
        let mut rows = counters.lines().filter_map(|line| line.strip_prefix("TcpExt: "));
        let (names, values) = (rows.next().context("TcpExt")?, rows.next().context("TcpExt")?);
        let found = names.split(' ').zip(values.split(' ')).find(|(name, _)| *name == "TCPTimeouts");
        Ok(found.context("TCPTimeouts")?.1.parse()?)
    };
    let before = timeouts()?;
    let transfer = std::thread::scope(|scope| {
        let transfer = scope.spawn(|| tcp_transfer(&service.host1, &service.host2, "198.18.0.2", TCP_BYTES));
        std::thread::sleep(AROUND);
        restart(service)?;
        transfer.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic))
    })?;
    let ran_out = timeouts()? - before;
    println!(
        "tcp over a restart: {:.1} Gb/s, {}, {ran_out} retransmission time-outs",
        transfer.bytes_per_second() * 8e-9,
        if transfer.intact { "intact" } else { "DAMAGED" }
    );
    ensure!(transfer.intact, "tcp was damaged");
    Ok(())
}

/// What a process holds is no more after a hundred restarts.
fn leaks(service: &Service, restarts: u32) -> Result<()> {
    let look = || -> Result<Held> {
        let (pid, _) = service.machine.threads("switchd.service")?.first().cloned().context("no process")?;
        let mut held = leaks::held(pid.unsigned_abs(), service.machine.namespace())?;
        held.insert("in the store", service.property("NFileDescriptorStore").parse()?);
        held.insert("entries", service.stations()?.len() as u64);
        Ok(held)
    };
    restart(service)?;
    let before = look()?;
    for _ in 0..restarts {
        restart(service)?;
    }
    // A connection of ours that has ended is closed a moment later.
    let mut after = look()?;
    let _ = wait_until(SETTLED, "it is as before", || {
        after = look().unwrap_or_default();
        leaks::compare(&before, &after).is_ok()
    });
    println!("before {restarts} restarts in a row: {before:?}\nafter:  {after:?}");
    leaks::compare(&before, &after)?;
    ensure!(after["entries"] == before["entries"], "stations are forgotten");
    service.pings()
}
