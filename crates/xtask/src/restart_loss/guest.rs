//! A virtual machine on a port of the service, which pings while the process changes: it is to notice nothing.

use std::path::Path;
use std::time::Duration;

use anyhow::{Result, ensure};
use testbed::service::{CONFIG, Service};
use testbed::{Guest, GuestOptions};

use super::{kill, restart};

/// Between two changes.
const BETWEEN: Duration = Duration::from_millis(500);
/// Ample time for a change and the time between, on a busy machine.
const CHANGE: Duration = Duration::from_secs(20);

const WAYS: [&str; 4] = ["systemctl restart", "takeover", "SIGKILL", "upgrade with a changed configuration"];

/// Lets a guest ping host 1 over so many changes of the process, of each kind in turn, and shows what it has seen.
pub(super) fn run(switchd: &Path, changes: u32) -> Result<()> {
    let config = format!("{CONFIG}[ports.vm]\ntype = \"raw\"\ndevice = \"vnet1\"\n");
    let service = Service::start("guest", switchd, &config)?;
    let options = GuestOptions {
        tap: "vnet1".into(),
        mac: "52:54:00:00:00:07".into(),
        addresses: vec!["198.18.0.7/24".into()],
        ..GuestOptions::default()
    };
    let mut guest = Guest::start(service.machine.namespace(), options)?;
    guest.wait_ready()?;
    ensure!(
        guest.ping("198.18.0.1", 3)?.lost() == 0,
        "the guest does not reach host 1\n{}",
        service.journal()
    );
    let carrier = "cat /sys/class/net/eth0/carrier_changes";
    let carried = guest.check(carrier)?;
    // Until it is told to end: SIGINT lets it say what it has counted.
    guest.check("ping -i 0.05 198.18.0.1 >/tmp/pings 2>&1 & echo $! >/tmp/pid")?;
    for change in 0..changes {
        std::thread::sleep(BETWEEN);
        match change % 4 {
            0 => restart(&service)?,
            1 => service.take_over()?,
            2 => kill(&service)?,
            _ => {
                service.machine.install(switchd, "/usr/sbin/switchd")?;
                let hairpin = if change % 8 == 3 { "hairpin = true\n" } else { "" };
                service.machine.write("/etc/switchd/switchd.toml", &format!("{config}{hairpin}"))?;
                restart(&service)?;
            }
        }
    }
    std::thread::sleep(BETWEEN);
    let said = guest.run("kill -INT $(cat /tmp/pid); sleep 1; tail -n 4 /tmp/pings", CHANGE)?.output;
    let answers = guest.check("grep -c 'bytes from' /tmp/pings")?.trim().parse::<u32>()?;
    let sent: u32 = said
        .split_once(" packets transmitted")
        .map_or("", |(before, _)| before)
        .rsplit('\n')
        .next()
        .unwrap_or_default()
        .parse()?;
    println!(
        "a guest pinged 20 times a second over {changes} changes ({}): {sent} sent, {answers} answered",
        WAYS.join(", ")
    );
    ensure!(sent == answers, "{} were lost: {said}\n{}", sent - answers.min(sent), service.journal());
    ensure!(guest.check(carrier)? == carried, "the guest's link went down");
    ensure!(sent > changes * 10, "the guest did not ping all the time: {said}");
    Ok(())
}
