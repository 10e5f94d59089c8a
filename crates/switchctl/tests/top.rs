//! `switchctl top` in a terminal: tmux is the terminal, and its screen is read.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod switch;

use std::fs;

use switch::{SOON, Switch};
use testbed::{Signal, Terminal, ping, wait_until};

/// The command, as a shell takes it.
fn top(switch: &Switch) -> String {
    let command = switch.command("top --interval 200ms");
    let words = [command.get_program()].into_iter().chain(command.get_args());
    words.map(|word| word.to_str().unwrap()).collect::<Vec<_>>().join(" ")
}

#[test]
fn ports_talkers_drops_and_stations_are_seen_live_and_the_terminal_is_as_before() {
    let switch = Switch::of(2, "", &[], "");
    let terminal = Terminal::new("live").unwrap();
    let modes = terminal.modes().unwrap();
    terminal.press(&["echo be''fore", "Enter"]).unwrap();
    terminal.shows(&["before"]).unwrap();
    terminal.press(&[&top(&switch), "Enter"]).unwrap();
    let screen =
        terminal.shows(&["switchd lab: 2 of 2 ports up", "rx bit/s", "p1", "p2", "q: quit"]).unwrap();
    assert!(!screen.contains("before"), "{screen}");

    std::thread::scope(|scope| {
        let pings = scope.spawn(|| ping(&switch.hosts[0], "198.18.0.2", 150).unwrap());
        terminal.shows(&["█"]).unwrap();
        terminal.press(&["2"]).unwrap();
        terminal.shows(&["02:00:00:00:00:01 p1", "02:00:00:00:00:02 p2", "by rate"]).unwrap();
        terminal.press(&["4"]).unwrap();
        terminal.shows(&["02:00:00:00:00:01 p1", "dynamic"]).unwrap();
        assert_eq!(pings.join().unwrap().lost(), 0);
    });
    switch.drop_one();
    terminal.press(&["3"]).unwrap();
    terminal.shows(&["source_group", "-> the sender is broken"]).unwrap();
    terminal.press(&["1", "Down", "Enter"]).unwrap();
    terminal.shows(&["  port p2", "lost by the kernel", "Esc: back"]).unwrap();
    terminal.press(&["Escape"]).unwrap();
    terminal.press(&["/", "p", "1", "Enter"]).unwrap();
    let screen = terminal.shows(&["/p1"]).unwrap();
    assert!(!screen.lines().any(|line| line.starts_with("p2")), "{screen}");

    terminal.tmux(&["resize-window", "-x", "70", "-y", "12"]).unwrap();
    wait_until(SOON, "the help is in the last line again", || {
        let screen = terminal.screen().unwrap();
        screen.lines().count() == 12 && screen.lines().last().is_some_and(|line| line.contains("1-4/Tab"))
    })
    .unwrap();
    terminal.tmux(&["resize-window", "-x", "110", "-y", "30"]).unwrap();
    terminal.press(&["q"]).unwrap();
    terminal.shows(&["before"]).unwrap();
    assert_eq!(terminal.modes().unwrap(), modes);
}

#[test]
fn where_the_switch_ends_it_waits_a_while_and_then_gives_the_terminal_back() {
    let switch = Switch::of(1, "", &[], "");
    let terminal = Terminal::new("gone").unwrap();
    terminal.press(&[&format!("echo be''fore; {}; echo ended with $?", top(&switch)), "Enter"]).unwrap();
    terminal.shows(&["1 of 1 ports up"]).unwrap();
    switch.switchd.signal(Signal::TERM).unwrap();
    terminal.shows(&["the switch does not answer"]).unwrap();
    let screen = terminal.shows(&["before", "the switch is gone", "ended with 3"]).unwrap();
    assert!(!screen.contains("ports up"), "{screen}");
}

/// A terminal that is closed ends it, with the signal that says so or without.
#[test]
fn where_the_terminal_goes_it_ends() {
    let switch = Switch::of(1, "", &[], "");
    for (name, before) in [("hangup", ""), ("nohup", "trap '' HUP; ")] {
        let terminal = Terminal::new(name).unwrap();
        terminal.press(&[&format!("{before}exec {}", top(&switch)), "Enter"]).unwrap();
        terminal.shows(&["1 of 1 ports up"]).unwrap();
        // `exec` keeps the number of the shell.
        let id = terminal.tmux(&["display-message", "-p", "#{pane_pid}"]).unwrap();
        let process = format!("/proc/{}/comm", id.trim());
        assert_eq!(fs::read_to_string(&process).unwrap(), "switchctl\n");
        drop(terminal);
        wait_until(SOON, "it has ended", || fs::read_to_string(&process).is_err()).unwrap();
    }
}

#[test]
fn scripts_get_rates_as_json_and_a_pipe_no_screen() {
    let switch = Switch::of(2, "", &[], "");
    let told = std::thread::scope(|scope| {
        let pings = scope.spawn(|| ping(&switch.hosts[0], "198.18.0.2", 100).unwrap());
        let received = || switch.hosts[0].statistic("eth0", "rx_packets").unwrap();
        let before = received();
        wait_until(SOON, "the first ping is answered", || received() > before + 1).unwrap();
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
