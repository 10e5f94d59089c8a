//! What the demo shows: pings, transfers, the learned addresses, the counters.

use anyhow::{Result, ensure};
use testbed::guest::{guest_to_guest, guest_to_namespace, namespace_to_guest};
use testbed::{Namespace, Ping, Summary, Transfer, ping, tcp_transfer};

use super::hosts::{ALL, GUEST1, GUEST2, HOST, Host, OUTSIDE};
use super::{CONFIG, Picture, table};
use crate::interrupt::Interrupt;

/// Echo requests for each pair.
const PINGS: u32 = 3;

/// Bytes of a transfer between namespaces, and of one with a guest, whose processor is emulated.
const LARGE: u64 = 200_000_000;
const SMALL: u64 = 20_000_000;

/// Shows all of it.
pub(super) fn everything(picture: &mut Picture, interrupt: &Interrupt) -> Result<()> {
    println!("\nThe switch was told no more than this:\n");
    for line in CONFIG.lines() {
        println!("    {line}");
    }
    pings(picture, interrupt)?;
    transfers(picture, interrupt)?;
    let summary = picture.switchd.summary()?;
    addresses(&summary);
    counters(&summary)
}

fn pings(picture: &mut Picture, interrupt: &Interrupt) -> Result<()> {
    println!("\nEveryone reaches everyone. Round-trip times, mean of {PINGS} pings, in ms:\n");
    let mut rows = Vec::new();
    let mut lost = 0;
    for from in ALL {
        let mut row = vec![format!("{:<8} {}", from.name, from.address)];
        for to in ALL {
            if from.name == to.name {
                row.push("·".into());
                continue;
            }
            // The first one also finds the MAC address, which is not to be measured.
            ping_from(picture, from, to, 1)?;
            let ping = ping_from(picture, from, to, PINGS)?;
            interrupt.check()?;
            lost += ping.lost();
            row.push(ping.mean.map_or("lost".into(), |mean| format!("{:.2}", mean.as_secs_f64() * 1e3)));
        }
        rows.push(row);
    }
    table::print(&["from \\ to", OUTSIDE.name, HOST.name, GUEST1.name, GUEST2.name], &rows);
    ensure!(lost == 0, "{lost} pings were lost");
    Ok(())
}

fn ping_from(picture: &mut Picture, from: &Host, to: &Host, count: u32) -> Result<Ping> {
    match from.name {
        "outside" => ping(&picture.outside, to.address, count),
        "host" => ping(&picture.host, to.address, count),
        "guest1" => picture.guest1.ping(to.address, count),
        _ => picture.guest2.ping(to.address, count),
    }
}

fn transfers(picture: &mut Picture, interrupt: &Interrupt) -> Result<()> {
    println!("\nTCP, every byte compared where it arrives:\n");
    let Picture { guest1, guest2, outside, host, .. } = picture;
    let mut rows = Vec::new();
    let mut add = |from: &Host, to: &Host, transfer: Result<Transfer>| {
        let transfer = interrupt.or(transfer)?;
        ensure!(transfer.intact, "bytes from {} to {} did not arrive as they were sent", from.name, to.name);
        rows.push(vec![
            format!("{} → {}", from.name, to.name),
            format!("{} MB", transfer.bytes / 1_000_000),
            format!("{:.1} s", transfer.elapsed.as_secs_f64()),
            rate(&transfer),
            "intact".into(),
        ]);
        Ok(())
    };
    add(&OUTSIDE, &HOST, tcp_transfer(outside, host, HOST.address, LARGE))?;
    add(&OUTSIDE, &GUEST1, namespace_to_guest(outside, guest1, GUEST1.address, SMALL))?;
    add(&GUEST1, &OUTSIDE, guest_to_namespace(guest1, outside, OUTSIDE.address, SMALL))?;
    add(&GUEST1, &GUEST2, guest_to_guest(guest1, guest2, GUEST2.address, SMALL))?;
    table::print(&["", "size", "time", "rate", ""], &rows);
    Ok(())
}

fn rate(transfer: &Transfer) -> String {
    let bits = transfer.bytes_per_second() * 8.0;
    if bits >= 1e9 { format!("{:.2} Gb/s", bits / 1e9) } else { format!("{:.0} Mb/s", bits / 1e6) }
}

fn addresses(summary: &Summary) {
    println!("\nThe addresses that the switch has learned (its FDB):\n");
    let rows: Vec<_> = summary
        .entries
        .iter()
        .map(|entry| {
            let text = |key| entry.text(key).unwrap_or_default();
            let owner = ALL.iter().find(|host| host.mac == text("mac"));
            let owner = owner.map_or("(tap0 before it was moved)", |host| host.name);
            vec![text("mac").into(), text("port").into(), text("entry").into(), owner.into()]
        })
        .collect();
    table::print(&["address", "port", "entry", "of"], &rows);
}

fn counters(summary: &Summary) -> Result<()> {
    println!("\nIts counters. With offloads on, one frame carries up to 64 KB:\n");
    let mut rows = Vec::new();
    for port in &summary.ports {
        let text = |key| port.text(key).unwrap_or_default().to_owned();
        let size = |key| Ok::<_, anyhow::Error>(format!("{:.1} MB", bytes(port.number(key)?)));
        rows.push(vec![
            text("port"),
            text("state"),
            text("rx_frames"),
            size("rx_bytes")?,
            text("tx_frames"),
            size("tx_bytes")?,
            text("dropped"),
        ]);
    }
    table::print(&["port", "state", "frames in", "", "frames out", "", "dropped"], &rows);
    Ok(())
}

#[allow(clippy::cast_precision_loss, reason = "megabytes for people")]
fn bytes(number: u64) -> f64 {
    number as f64 / 1e6
}

/// Says what can be done with a picture that is kept.
pub(super) fn commands(picture: &Picture) {
    let inside = |namespace: &Namespace| format!("ip netns exec {}", namespace.name());
    let (host, outside, switch) = (inside(&picture.host), inside(&picture.outside), inside(&picture.switch));
    println!("\nIt goes on until you press Ctrl-C here. In another terminal, as root:\n");
    for (command, what) in [
        (format!("{host} ping {}", GUEST1.address), "the host reaches guest1"),
        (format!("{host} busybox telnet {}", GUEST1.address), "a shell in guest1, over the switch"),
        (format!("{outside} bash"), "be the outside host"),
        (format!("{switch} tcpdump -n -i vnet0"), "what guest1 gets and sends"),
        (format!("kill -USR1 {}", picture.switchd.id()), "the switch logs its counters below"),
    ] {
        println!("  {command:<64} # {what}");
    }
    println!("\nThe log of the switch:\n");
}
