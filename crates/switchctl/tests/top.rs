//! `switchctl top` in a terminal: tmux is the terminal, and its screen is read.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod switch;

use std::process::Command;
use std::time::Duration;

use anyhow::Context;
use switch::{SOON, Switch};
use testbed::{Signal, ping, wait_until};

/// A terminal with a shell in it.
struct Terminal {
    server: String,
}

impl Terminal {
    fn new(name: &str) -> Self {
        let terminal = Self { server: format!("switchctl-{name}-{}", std::process::id()) };
        terminal.tmux(&["-f", "/dev/null", "new-session", "-d", "-x", "110", "-y", "30", "env PS1='# ' sh"]);
        terminal
    }

    fn tmux(&self, words: &[&str]) -> String {
        let mut command = Command::new("tmux");
        let output = command.args(["-L", &self.server]).args(words).output();
        let output = output.context("tmux is needed: cargo xtask setup installs it").unwrap();
        assert!(output.status.success(), "{words:?}: {}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8(output.stdout).unwrap()
    }

    fn press(&self, keys: &[&str]) {
        self.tmux(&[&["send-keys"], keys].concat());
    }

    fn screen(&self) -> String {
        self.tmux(&["capture-pane", "-p"])
    }

    /// Waits until the screen has all of these, and gives it.
    fn shows(&self, says: &[&str]) -> String {
        let mut screen = String::new();
        let waited = wait_until(2 * SOON, "the screen shows it", || {
            screen = self.screen();
            says.iter().all(|says| screen.contains(says))
        });
        waited.with_context(|| format!("{says:?} in\n{screen}")).unwrap();
        screen
    }
}

impl Drop for Terminal {
    fn drop(&mut self) {
        let _ = Command::new("tmux").args(["-L", &self.server, "kill-server"]).output();
    }
}

/// The command, as a shell takes it.
fn top(switch: &Switch) -> String {
    let command = switch.command("top --interval 200ms");
    let words = [command.get_program()].into_iter().chain(command.get_args());
    words.map(|word| word.to_str().unwrap()).collect::<Vec<_>>().join(" ")
}

#[test]
fn ports_talkers_drops_and_stations_are_seen_live_and_the_terminal_is_as_before() {
    let switch = Switch::of(2, "", &[], "");
    let terminal = Terminal::new("live");
    terminal.press(&["stty -a | grep -o -w -e '-*echo' -e '-*icanon'; echo be''fore", "Enter"]);
    let before = terminal.shows(&["before"]);
    terminal.press(&[&top(&switch), "Enter"]);
    let screen = terminal.shows(&["switchd lab: 2 of 2 ports up", "rx bit/s", "p1", "p2", "q: quit"]);
    assert!(!screen.contains("before"), "{screen}");

    std::thread::scope(|scope| {
        let pings = scope.spawn(|| ping(&switch.hosts[0], "198.18.0.2", 150).unwrap());
        terminal.shows(&["█"]);
        terminal.press(&["2"]);
        terminal.shows(&["02:00:00:00:00:01 p1", "02:00:00:00:00:02 p2", "by rate"]);
        terminal.press(&["4"]);
        terminal.shows(&["02:00:00:00:00:01 p1", "dynamic"]);
        assert_eq!(pings.join().unwrap().lost(), 0);
    });
    switch.drop_one();
    terminal.press(&["3"]);
    terminal.shows(&["source_group", "-> the sender is broken"]);
    terminal.press(&["1", "Down", "Enter"]);
    terminal.shows(&["  port p2", "lost by the kernel", "Esc: back"]);
    terminal.press(&["Escape"]);
    terminal.press(&["/", "p", "1", "Enter"]);
    let screen = terminal.shows(&["/p1"]);
    assert!(!screen.lines().any(|line| line.starts_with("p2")), "{screen}");

    terminal.tmux(&["resize-window", "-x", "70", "-y", "12"]);
    wait_until(SOON, "the help is in the last line again", || {
        let screen = terminal.screen();
        screen.lines().count() == 12 && screen.lines().last().is_some_and(|line| line.contains("1-4/Tab"))
    })
    .unwrap();
    terminal.tmux(&["resize-window", "-x", "110", "-y", "30"]);
    terminal.press(&["q"]);
    terminal.shows(&["before"]);
    terminal.press(&["clear; stty -a | grep -o -w -e '-*echo' -e '-*icanon'; echo be''fore", "Enter"]);
    let after = terminal.shows(&["before"]);
    let modes = |screen: &str| -> Vec<String> {
        screen
            .lines()
            .filter(|line| ["echo", "-echo", "icanon", "-icanon"].contains(line))
            .map(str::to_owned)
            .collect()
    };
    assert_eq!((modes(&after), modes(&after).len()), (modes(&before), 2));
}

#[test]
fn where_the_switch_ends_it_waits_a_while_and_then_gives_the_terminal_back() {
    let switch = Switch::of(1, "", &[], "");
    let terminal = Terminal::new("gone");
    terminal.press(&[&format!("echo be''fore; {}; echo ended with $?", top(&switch)), "Enter"]);
    terminal.shows(&["1 of 1 ports up"]);
    switch.switchd.signal(Signal::TERM).unwrap();
    terminal.shows(&["the switch does not answer"]);
    let screen = terminal.shows(&["before", "the switch is gone", "ended with 3"]);
    assert!(!screen.contains("ports up"), "{screen}");
}

#[test]
fn scripts_get_rates_as_json_and_a_pipe_no_screen() {
    let switch = Switch::of(2, "", &[], "");
    let told = std::thread::scope(|scope| {
        let pings = scope.spawn(|| ping(&switch.hosts[0], "198.18.0.2", 100).unwrap());
        std::thread::sleep(Duration::from_millis(200));
        let told = switch.json("top --interval 500ms");
        pings.join().unwrap();
        told
    });
    assert!(told["ports"][0]["rx"]["packets_per_second"].as_f64().unwrap() > 1.0, "{told}");
    assert_eq!(told["talkers"].as_array().unwrap().len(), 2, "{told}");
    let (code, said) = switch.fails("top");
    assert!(code == 1 && said.contains("a screen needs a terminal"), "{said}");
    assert_eq!(switch.fails("top --interval 1ms").0, 2);
}
