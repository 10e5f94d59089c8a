//! `switchctl top`: a live screen of ports, talkers, drops and stations. [`sample`] is what is asked of the switch,
//! [`screen`] what the user has chosen and what follows from two samples, [`view`] how that is drawn.

mod sample;
mod screen;
mod view;

use std::io::{IsTerminal, stdout};
use std::os::fd::AsFd;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use control::Client;
use nix::errno::Errno;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use ratatui::DefaultTerminal;
use ratatui::crossterm::event::{self, Event, KeyEventKind};
use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM};
use signal_hook::flag;

use crate::output::{self, Form};
use crate::reach::tried;
use sample::Sample;
use screen::{Next, Screen};

/// How long a switch may be away, as while a new process takes over from an old one.
const AWAY: Duration = Duration::from_secs(10);

/// How often signals are looked for at least.
const LOOK: Duration = Duration::from_millis(200);

pub(crate) fn run(
    mut client: Client,
    connect: impl Fn() -> Result<Client>,
    interval: Duration,
    form: Form,
) -> Result<String> {
    let first = tried(Sample::take(&mut client, true), || "can't look at the switch".to_owned())?;
    let mut screen = Screen::new(first, interval);
    if form.json {
        std::thread::sleep(interval);
        screen.take(Sample::take(&mut client, true)?);
        return output::json(&screen.as_json());
    }
    if !stdout().is_terminal() {
        bail!("a screen needs a terminal; for scripts there is --json top");
    }
    let ended = Arc::new(AtomicBool::new(false));
    // Not SIGHUP: that ends the program at once, as a terminal that is gone need not be put back.
    for signal in [SIGINT, SIGTERM] {
        flag::register(signal, Arc::clone(&ended)).context("can't catch signals")?;
    }
    end_with_terminal();
    on_screen(|terminal| show(terminal, &mut screen, client, connect, &ended))?;
    Ok(String::new())
}

/// Ends the program when its terminal goes away, also where SIGHUP, which says so, is ignored: what reads keys of a
/// terminal that is gone, crossterm, does so for ever.
fn end_with_terminal() {
    std::thread::spawn(|| {
        let stdout = stdout();
        let mut watched = [PollFd::new(stdout.as_fd(), PollFlags::empty())];
        // Nothing is waited for but what is always told, a hang-up.
        while poll(&mut watched, PollTimeout::NONE) == Err(Errno::EINTR) {}
        std::process::exit(128 + SIGHUP);
    });
}

/// Lets `show` have the terminal, and gives it back as it was, also where that panics.
fn on_screen(show: impl FnOnce(&mut DefaultTerminal) -> Result<()>) -> Result<()> {
    // It also has a panic do what restore does, before it says anything.
    let mut terminal = ratatui::try_init().context("can't use this terminal")?;
    let shown = show(&mut terminal);
    ratatui::restore();
    shown
}

/// Until the user has seen enough, or the switch is gone for good.
fn show(
    terminal: &mut DefaultTerminal,
    screen: &mut Screen,
    client: Client,
    connect: impl Fn() -> Result<Client>,
    ended: &AtomicBool,
) -> Result<()> {
    let mut client = Some(client);
    let mut seen = Instant::now();
    let mut due = Instant::now() + screen.interval();
    while !ended.load(Ordering::Relaxed) {
        terminal.draw(|frame| view::draw(screen, frame)).context("can't draw")?;
        let left = due.saturating_duration_since(Instant::now()).min(LOOK);
        if event::poll(left).context("can't read keys")? {
            match event::read().context("can't read keys")? {
                Event::Key(key) if key.kind != KeyEventKind::Release => match screen.key(key) {
                    Next::Stay => {}
                    Next::Look => due = Instant::now(),
                    Next::End => return Ok(()),
                },
                _ => {}
            }
        }
        if Instant::now() < due {
            continue;
        }
        due = Instant::now() + screen.interval();
        if client.is_none() {
            client = connect().ok();
        }
        let taken = client.as_mut().map(|client| Sample::take(client, screen.wants_fdb()));
        match taken {
            Some(Ok(sample)) => {
                seen = Instant::now();
                screen.take(sample);
            }
            Some(Err(error)) if seen.elapsed() >= AWAY => return Err(error).context("the switch is gone"),
            Some(Err(_)) | None => {
                client = None;
                screen.away();
                if seen.elapsed() >= AWAY {
                    // It says why.
                    connect().context("the switch is gone")?;
                }
            }
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

    use testbed::Terminal;

    use super::*;

    /// Runs itself in a terminal, where it panics.
    #[test]
    fn a_panic_is_read_in_a_terminal_that_is_as_before() {
        let me = std::env::current_exe().unwrap();
        let terminal = Terminal::new("panic").unwrap();
        let modes = terminal.modes().unwrap();
        let test = "--ignored --exact top::tests::panics --nocapture";
        let panics = format!("echo be''fore; RUST_BACKTRACE=0 {} {test}", me.display());
        terminal.press(&[&panics, "Enter"]).unwrap();
        let screen = terminal.shows(&["before", "on purpose", "1 failed"]).unwrap();
        assert!(!screen.contains("a whole screen"), "{screen}");
        assert_eq!(terminal.modes().unwrap(), modes);
    }

    #[test]
    #[ignore = "a part of the test above"]
    fn panics() {
        let show = |terminal: &mut DefaultTerminal| {
            terminal.draw(|frame| frame.render_widget("a whole screen", frame.area()))?;
            panic!("on purpose");
        };
        on_screen(show).unwrap();
    }
}
