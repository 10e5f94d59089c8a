//! `cargo xtask demo`: one switch between an outside host, a namespace and two virtual machines, on this
//! machine, and what passes through it. Everything is removed at the end.

mod hosts;
mod show;
mod table;

use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use clap::Args;
use testbed::link::move_device;
use testbed::target::target_directory;
use testbed::{End, Guest, GuestOptions, Namespace, Switchd, veth, wait_until};

use self::hosts::{GUEST1, GUEST2, HOST, Host, OUTSIDE};
use crate::interrupt::Interrupt;
use crate::run::cargo;
use crate::setup;

/// Options of the demo.
#[derive(Debug, Args)]
pub(crate) struct Demo {
    /// Leave everything running to play with, until Ctrl-C
    #[arg(long)]
    keep: bool,
}

/// How the switch is set up: the file that it reads.
const CONFIG: &str = r#"[bridge]
name = "demo"

[ports.uplink]
type = "raw"

[ports.tap0]
type = "tap"

[ports.vm1]
type = "raw"
device = "vnet0"

[ports.vm2]
type = "raw"
device = "vnet1"
"#;

const PICTURE: &str = r"
   outside ──── uplink ─┐           ┌─ vnet0 ──── guest1
                        ├─ switchd ─┤
   host ───────── tap0 ─┘           └─ vnet1 ──── guest2

   outside is what lies behind a network card, host is a network namespace,
   the guests are QEMU virtual machines with its default network card.
";

/// The picture, in the order in which it is taken down.
struct Picture {
    guest1: Guest,
    guest2: Guest,
    switchd: Switchd,
    outside: Namespace,
    host: Namespace,
    switch: Namespace,
}

/// Runs the demo.
pub(crate) fn run(options: &Demo) -> Result<()> {
    let interrupt = Interrupt::watch()?;
    println!("switchd: one switch, four hosts, all inside this machine\n{PICTURE}");
    step("everything needed is installed", || interrupt.or(setup::run(setup::Use::Demo)))?;
    let build = ["build", "--locked", "--release", "--quiet", "-p", "switchd"];
    step("switchd is built", || interrupt.run(&mut cargo(&build)))?;
    let start = Instant::now();
    let result = make(&interrupt).and_then(|mut picture| {
        interrupt.or(show::everything(&mut picture, &interrupt))?;
        if options.keep {
            show::commands(&picture);
            follow(&picture, &interrupt);
        }
        Ok(())
    });
    // Without --keep an interruption is an error, told when all is removed.
    result?;
    println!("\nAll namespaces, devices and processes are removed again. That was {:.0?}.", start.elapsed());
    Ok(())
}

/// Shows the log of the switch until a signal comes.
fn follow(picture: &Picture, interrupt: &Interrupt) {
    let mut shown = 0;
    while interrupt.check().is_ok() {
        let log = picture.switchd.log();
        for line in log.get(shown..).unwrap_or_default() {
            println!("{line}");
        }
        shown = log.len();
        std::thread::sleep(Duration::from_millis(100));
    }
}

/// Makes the picture. Whatever fails, what was made until then is removed.
fn make(interrupt: &Interrupt) -> Result<Picture> {
    let (outside, host, switch) = step("a namespace each for the outside, the host and the switch", || {
        let (outside, host, switch) =
            (Namespace::new("outside")?, Namespace::new("host")?, Namespace::new("switch")?);
        veth(OUTSIDE.end(&outside), End::new(&switch, "uplink"))?;
        interrupt.or(Ok((outside, host, switch)))
    })?;
    let (mut guest1, mut guest2) = step("QEMU holds the TAPs vnet0 and vnet1", || {
        let guests = (start_guest(&switch, "vnet0", &GUEST1)?, start_guest(&switch, "vnet1", &GUEST2)?);
        interrupt.or(Ok(guests))
    })?;
    let switchd = step("switchd forwards", || {
        let binary = target_directory().join("release/switchd");
        interrupt.or(Switchd::launch(&binary, &switch, Some(CONFIG), &[])?.forwarding())
    })?;
    step("its TAP tap0 is moved into the host's namespace", || {
        let soon = Duration::from_secs(5);
        wait_until(soon, "switchd makes tap0", || switch.has_device("tap0"))?;
        interrupt.or(move_device(&switch, "tap0", HOST.end(&host)))
    })?;
    step("the guests have booted Debian's kernel, without KVM", || {
        for guest in [&mut guest1, &mut guest2] {
            while !interrupt.or(guest.ready_within(Duration::from_millis(200)))? {}
            // So that a person can look around in it: see `commands`.
            guest.check("telnetd -l /bin/sh")?;
        }
        Ok(())
    })?;
    Ok(Picture { guest1, guest2, switchd, outside, host, switch })
}

fn start_guest(switch: &Namespace, tap: &str, host: &Host) -> Result<Guest> {
    let options = GuestOptions {
        tap: tap.into(),
        mac: host.mac.into(),
        addresses: vec![host.with_prefix()],
        ..GuestOptions::default()
    };
    Guest::start(switch, options).with_context(|| host.name)
}

/// Does one thing, and says when it is done and how long it took.
fn step<T>(what: &str, action: impl FnOnce() -> Result<T>) -> Result<T> {
    let start = Instant::now();
    let value = action()?;
    println!("  ✓ {what:<58} {:>6.1} s", start.elapsed().as_secs_f64());
    Ok(value)
}
