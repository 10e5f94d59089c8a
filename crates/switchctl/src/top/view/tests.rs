//! What is drawn of samples that are made up.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::time::{Duration, Instant};

use control::types::{
    Bridge, Counters, DropCount, DropReason, FdbCounters, FdbEntry, KernelLosses, PortSettings, PortState,
    Talker, VlanProtocol,
};
use ratatui::Terminal;
use ratatui::backend::TestBackend;
use ratatui::crossterm::event::{KeyCode, KeyEvent, KeyModifiers};

use super::*;
use crate::top::sample::Sample;
use crate::top::screen::Next;

fn port(name: &str, rx_bytes: u64, drops: u64) -> Port {
    let settings = PortSettings {
        host: false,
        promisc: false,
        enabled: true,
        state: PortState::Forwarding,
        learning: true,
        flood: true,
        mcast_flood: true,
        bcast_flood: true,
        hairpin: false,
        isolated: false,
        locked: false,
        mab: false,
        group_fwd_mask: 0,
        backup_port: None,
        max_macs: None,
    };
    Port {
        name: name.to_owned(),
        kind: "raw".to_owned(),
        device_name: format!("{name}-device"),
        device: None,
        settings,
        counters: Counters { rx_bytes, rx_frames: rx_bytes / 100, ..Counters::default() },
        drops: vec![DropCount { reason: "mtu".to_owned(), frames: drops }],
        kernel: KernelLosses::default(),
        guest: None,
    }
}

/// The switch after so many seconds: one port is fast, one slow.
fn sample(start: Instant, seconds: u64) -> Sample {
    let talker = |mac: &str, port: &str, bytes| Talker {
        mac: mac.to_owned(),
        port: port.to_owned(),
        frames: bytes / 100,
        bytes,
    };
    let entry = |n: u8, port: &str| FdbEntry {
        mac: format!("02:00:00:00:00:0{n}"),
        port: Some(port.to_owned()),
        kind: EntryKind::Dynamic,
        age: Some(u64::from(n) * 1000),
        vlan: None,
    };
    Sample {
        at: start + Duration::from_secs(seconds),
        bridge: Bridge {
            name: "lab".to_owned(),
            ageing_time: 300_000,
            fdb_max: 65_536,
            fdb_max_learned: 0,
            group_fwd_mask: 0,
            no_linklocal_learn: false,
            move_damping: 0,
            vlan_filtering: false,
            vlan_protocol: VlanProtocol::Dot1q,
            default_pvid: 1,
            workers: 1,
            fdb_entries: 2,
            fdb_counters: FdbCounters::default(),
        },
        ports: vec![port("slow", 1000 * seconds, 0), port("fast", 1_000_000 * seconds, 5 * seconds)],
        talkers: vec![
            talker("02:00:00:00:00:01", "fast", 1_000_000 * seconds),
            talker("02:00:00:00:00:02", "slow", 1000 * seconds),
        ],
        drops: vec![DropReason {
            reason: "mtu".to_owned(),
            side: "egress".to_owned(),
            explanation: "too long".to_owned(),
            hint: "raise the MTU".to_owned(),
            frames: 5 * seconds,
            ports: [("fast".to_owned(), 5 * seconds)].into(),
        }],
        fdb: vec![entry(2, "slow"), entry(1, "fast")],
    }
}

fn screen() -> Screen {
    let start = Instant::now();
    let mut screen = Screen::new(sample(start, 0), Duration::from_secs(1));
    for seconds in 1..=5 {
        screen.take(sample(start, seconds));
    }
    screen
}

/// The lines of the screen, of this size.
fn lines(screen: &Screen, width: u16, height: u16) -> Vec<String> {
    let mut terminal = Terminal::new(TestBackend::new(width, height)).unwrap();
    terminal.draw(|frame| draw(screen, frame)).unwrap();
    let buffer = terminal.backend().buffer();
    let line = |y| (0..width).map(|x| buffer[(x, y)].symbol()).collect::<String>().trim_end().to_owned();
    (0..height).map(line).collect()
}

fn press(screen: &mut Screen, keys: &str) -> Next {
    let mut next = Next::Stay;
    for char in keys.chars() {
        let code = match char {
            '\n' => KeyCode::Enter,
            '\t' => KeyCode::Tab,
            '^' => KeyCode::Esc,
            'v' => KeyCode::Down,
            char => KeyCode::Char(char),
        };
        next = screen.key(KeyEvent::new(code, KeyModifiers::NONE));
    }
    next
}

/// The words of the line that begins with `name`.
fn row(lines: &[String], name: &str) -> Vec<String> {
    let line = lines.iter().find(|line| line.starts_with(name));
    line.unwrap_or_else(|| panic!("{lines:#?}")).split_whitespace().map(str::to_owned).collect()
}

#[test]
fn ports_have_rates_and_are_sorted_and_filtered() {
    let mut screen = screen();
    let shown = lines(&screen, 110, 12);
    assert_eq!(shown[0], "switchd lab: 0 of 2 ports up, 2 of 65536 stations");
    assert!(shown[1].starts_with(" 1 ports  2 talkers  3 drops  4 fdb   by name"), "{shown:#?}");
    assert_eq!(row(&shown, "fast")[..8], ["fast", "waiting", "8.00M", "0", "10.0k", "0", "5", "25"]);
    assert_eq!(row(&shown, "slow")[2..5], ["8.00k", "0", "10"]);
    assert_eq!(row(&shown, "fast")[8], "█████");
    assert!(shown[3].starts_with("slow") && shown[4].starts_with("fast"));
    assert!(shown[11].contains("q: quit"));
    press(&mut screen, "s");
    let shown = lines(&screen, 110, 12);
    assert!(shown[1].contains("by rx") && shown[3].starts_with("fast"), "{shown:#?}");
    press(&mut screen, "/SLOW\n");
    let shown = lines(&screen, 110, 12);
    assert!(shown[1].ends_with("/SLOW") && shown[3].starts_with("slow") && shown[4].is_empty(), "{shown:#?}");
    press(&mut screen, "/x\n");
    assert_eq!(lines(&screen, 110, 12)[3], "nothing fits the filter");
    assert_eq!(press(&mut screen, "^"), Next::Stay);
    assert!(lines(&screen, 110, 12)[4].starts_with("slow"));
    assert_eq!((press(&mut screen, "^"), press(&mut screen, "q")), (Next::End, Next::End));
}

#[test]
fn talkers_drops_and_stations_have_views_of_their_own() {
    let mut screen = screen();
    assert_eq!(press(&mut screen, "\t"), Next::Look);
    let shown = lines(&screen, 80, 12);
    assert_eq!(row(&shown, "02:00:00:00:00:01"), ["02:00:00:00:00:01", "fast", "8.00M", "10.0k", "100", "%"]);
    press(&mut screen, "3");
    let shown = lines(&screen, 80, 12);
    assert_eq!(row(&shown, "mtu"), ["mtu", "egress", "25", "5"]);
    assert!(shown.iter().any(|line| line == "-> raise the MTU"), "{shown:#?}");
    assert!(!screen.wants_fdb());
    press(&mut screen, "4");
    assert!(screen.wants_fdb());
    let shown = lines(&screen, 80, 12);
    assert_eq!(row(&shown, "02:00:00:00:00:02"), ["02:00:00:00:00:02", "slow", "-", "dynamic", "2", "s"]);
    press(&mut screen, "sss");
    assert!(lines(&screen, 80, 12)[3].starts_with("02:00:00:00:00:01"), "the youngest first");
    let told = screen.as_json();
    assert_eq!(told["ports"][1]["rx"]["bits_per_second"], 8_000_000.0);
}

#[test]
fn a_port_is_looked_into_and_left_again_and_a_pause_holds_what_is_seen() {
    let mut screen = screen();
    press(&mut screen, "v\n");
    let shown = lines(&screen, 100, 24);
    assert!(shown[1].ends_with("port fast"), "{shown:#?}");
    for says in
        ["raw waiting, forwarding: waits for fast-device", "  mtu 25", "  02:00:00:00:00:01 8.00Mbit/s"]
    {
        assert!(shown.iter().any(|line| line == says), "{says}: {shown:#?}");
    }
    assert!(shown.iter().any(|line| line == "rx 8.00Mbit/s, at most 8.00Mbit/s"), "{shown:#?}");
    press(&mut screen, "^p");
    let (start, held) = (Instant::now(), lines(&screen, 100, 24));
    assert!(held[0].ends_with("[paused]"));
    screen.take(sample(start, 100));
    assert_eq!(lines(&screen, 100, 24), held);
    screen.away();
    assert!(lines(&screen, 100, 24)[0].contains("does not answer"));
}

#[test]
fn it_can_be_drawn_however_small_the_terminal() {
    let mut screen = screen();
    for keys in ["1", "2", "3", "4", "1\n"] {
        press(&mut screen, keys);
        for (width, height) in [(1, 1), (5, 3), (20, 4), (300, 100)] {
            lines(&screen, width, height);
        }
    }
}

#[test]
fn numbers_have_at_most_five_places() {
    let all = [0.0, 0.5, 5.0, 12.34, 999.0, 1000.0, 99_960.0, 1e6, 2.5e9, 3e12, 1e15].map(amount);
    assert_eq!(all, ["0", "0.50", "5", "12.3", "999", "1.00k", "100k", "1.00M", "2.50G", "3T", "1000T"]);
}
