//! `switchctl capture` of a running switch, read by tshark and tcpdump.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod switch;

use std::collections::BTreeMap;
use std::fs;
use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::time::{Duration, SystemTime};

use anyhow::Context;
use serde_json::json;
use switch::{SOON, Switch, failed};
use testbed::{Process, Signal, tcp_transfer, wait_until};

const BROADCAST: [u8; 6] = [0xff; 6];

fn mac(number: u8) -> [u8; 6] {
    [2, 0, 0, 0, 0, number]
}

/// A frame of 64 bytes of the experimental EtherType that says `word`, tagged or not.
fn frame(from: [u8; 6], vlan: Option<u16>, word: &str) -> Vec<u8> {
    let tag = vlan.map(|vid| [&[0x81, 0][..], &vid.to_be_bytes()].concat()).unwrap_or_default();
    let mut frame = [&BROADCAST[..], &from, &tag, &[0x88, 0xb5], word.as_bytes()].concat();
    frame.resize(64, 0);
    frame
}

/// A capture into a file.
struct Running {
    process: Process,
    file: PathBuf,
}

impl Running {
    /// Begins; from now on no frame is missed.
    fn start(switch: &Switch, arguments: &str) -> Self {
        static FILES: std::sync::atomic::AtomicU32 = std::sync::atomic::AtomicU32::new(0);
        let number = FILES.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
        let file = switch.switchd.directory().join(format!("{number}.pcapng"));
        let command = switch.command(&format!("capture {arguments} -w {}", file.display()));
        let mut process = Process::start(command).unwrap();
        process.wait_for_line(0, SOON, |line| line.starts_with("capturing at ")).unwrap();
        Self { process, file }
    }

    /// Interrupts it; what it says at its end.
    fn interrupt(mut self) -> (Vec<Shown>, Vec<String>) {
        self.process.signal(Signal::INT).unwrap();
        assert!(self.process.wait(SOON).unwrap().success(), "{:?}", self.process.lines());
        self.read()
    }

    fn read(self) -> (Vec<Shown>, Vec<String>) {
        (shown(&self.file), self.process.lines())
    }
}

/// A frame as tshark shows it.
#[derive(Debug, PartialEq)]
struct Shown {
    port: String,
    way: String,
    comment: String,
    bytes: Vec<u8>,
    length: usize,
    time: Duration,
}

impl Shown {
    fn says(&self, word: &str) -> bool {
        self.bytes.windows(word.len()).any(|bytes| bytes == word.as_bytes())
    }
}

/// Reads a file with tshark, which must have nothing to complain of.
fn shown(file: &std::path::Path) -> Vec<Shown> {
    let mut command = Command::new("tshark");
    command.args(["-r", file.to_str().unwrap(), "-T", "json", "-x"]);
    let output = command.output().context("tshark is needed: cargo xtask setup installs it").unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let all: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    let text = |value: &serde_json::Value| value.as_str().unwrap_or_default().to_owned();
    let one = |packet: &serde_json::Value| {
        let layers = &packet["_source"]["layers"];
        let frame = &layers["frame"];
        let hexadecimal = text(&layers["frame_raw"][0]);
        let bytes = (0..hexadecimal.len()).step_by(2);
        let bytes = bytes.map(|at| u8::from_str_radix(&hexadecimal[at..at + 2], 16).unwrap());
        let (seconds, fraction) = text(&frame["frame.time_epoch"])
            .split_once('.')
            .map(|(seconds, fraction)| (seconds.parse().unwrap(), fraction.parse().unwrap()))
            .unwrap();
        Shown {
            port: text(&frame["frame.interface_id_tree"]["frame.interface_name"]),
            way: text(&frame["frame.packet_flags_tree"]["frame.packet_flags_direction"]),
            comment: text(&layers["pkt_comment"]["frame.comment"]),
            bytes: bytes.collect(),
            length: text(&frame["frame.len"]).parse().unwrap(),
            time: Duration::new(seconds, fraction),
        }
    };
    all.as_array().unwrap().iter().map(one).collect()
}

#[test]
fn what_comes_in_and_goes_out_is_captured_with_names_ways_times_and_the_reason_of_a_drop() {
    let switch = Switch::of(2, "", &[], "");
    let (mut one, mut two) = (switch.socket(1), switch.socket(2));
    let before = SystemTime::UNIX_EPOCH.elapsed().unwrap();
    let both = Running::start(&switch, "--port p1");
    let everywhere = Running::start(&switch, "");
    let incoming = Running::start(&switch, "--dev p1 --dev p2 --direction in");
    let dropped = Running::start(&switch, "--drops");
    one.send(&frame(mac(1), None, "out of one")).unwrap();
    // What comes at once comes in before it goes out.
    switch.handled("p1", 1);
    one.send(&frame([1, 0, 0, 0, 0, 9], None, "from a group")).unwrap();
    switch.handled("p1", 2);
    two.send(&frame(mac(2), Some(7), "tagged, from two")).unwrap();
    switch.handled("p2", 1);

    let (frames, said) = both.interrupt();
    let seen: Vec<_> = frames.iter().map(|frame| (frame.port.as_str(), frame.way.as_str())).collect();
    assert_eq!(seen, [("p1", "0x00000001"), ("p1", "0x00000001"), ("p1", "0x00000002")], "{frames:?}");
    assert_eq!(frames[0].bytes, frame(mac(1), None, "out of one"));
    assert_eq!(frames[0].comment, "");
    assert_eq!(
        frames[1].comment,
        "dropped, source_group: the source address is a group address, which no station has"
    );
    assert_eq!(frames[2].bytes, frame(mac(2), Some(7), "tagged, from two"));
    let now = SystemTime::UNIX_EPOCH.elapsed().unwrap();
    assert!(before < frames[0].time && frames[0].time < frames[2].time && frames[2].time < now);
    assert_eq!(said[1..], ["3 frames captured", "0 frames missed, as they were not read in time"]);

    let (frames, _) = everywhere.interrupt();
    let seen: Vec<_> = frames.iter().map(|frame| (frame.port.as_str(), &frame.way[9..])).collect();
    assert_eq!(seen, [("p1", "1"), ("p2", "2"), ("p1", "1"), ("p2", "1"), ("p1", "2")]);
    let (frames, _) = incoming.interrupt();
    let seen: Vec<_> = frames.iter().map(|frame| (frame.port.as_str(), &frame.way[9..])).collect();
    assert_eq!(seen, [("p1", "1"), ("p1", "1"), ("p2", "1")]);
    let (frames, _) = dropped.interrupt();
    assert!(matches!(frames.as_slice(), [only] if only.says("from a group") && !only.comment.is_empty()));
}

#[test]
fn a_copy_that_its_port_does_not_take_is_among_the_drops_and_not_among_what_goes_out() {
    let switch = Switch::of(2, "", &[], "");
    switch.namespace.run("ip link set p2 mtu 1000").unwrap();
    let mut control = switch.switchd.control().unwrap();
    let narrow = || control.show_port("p2").unwrap().device.unwrap().mtu == 1000;
    wait_until(SOON, "the switch knows the MTU", narrow).unwrap();
    let (out, drops) =
        (Running::start(&switch, "--port p2 --direction out"), Running::start(&switch, "--port p2 --drops"));
    let mut long = frame(mac(1), None, "too long for two");
    long.resize(1400, 0);
    let mut one = switch.socket(1);
    one.send(&long).unwrap();
    one.send(&frame(mac(1), None, "not too long")).unwrap();
    switch.handled("p1", 2);
    let (frames, _) = out.interrupt();
    assert!(matches!(frames.as_slice(), [only] if only.says("not too long")), "{frames:?}");
    let (frames, _) = drops.interrupt();
    let [only] = frames.as_slice() else { panic!("{frames:?}") };
    assert!(only.bytes == long && only.comment.starts_with("dropped, mtu: "), "{only:?}");
    assert_eq!((only.port.as_str(), only.way.as_str()), ("p2", "0x00000002"));
}

#[test]
fn a_vlan_is_that_of_the_switch_and_a_tag_is_shown_as_on_the_wire() {
    let vlans = ["access = 10", "access = 20", "trunk = [10, 20]"];
    let switch = Switch::of(3, "vlan_filtering = true", &vlans, "");
    let ten = Running::start(&switch, "--vlan 10");
    let (mut one, mut two) = (switch.socket(1), switch.socket(2));
    one.send(&frame(mac(1), None, "in ten")).unwrap();
    two.send(&frame(mac(2), None, "in twenty")).unwrap();
    switch.handled("p1", 1);
    switch.handled("p2", 1);
    let (frames, _) = ten.interrupt();
    let seen: Vec<_> = frames.iter().map(|frame| (frame.port.as_str(), frame.bytes.clone())).collect();
    // One that gets a tag on its way is four bytes longer there.
    let tagged = [&frame(mac(1), Some(10), "in ten")[..], &[0; 4]].concat();
    assert_eq!(seen, [("p1", frame(mac(1), None, "in ten")), ("p3", tagged)]);

    let plain = Switch::of(2, "", &[], "");
    let seven = Running::start(&plain, "--vlan 7 --port p1");
    let mut one = plain.socket(1);
    for vlan in [None, Some(7), Some(8), Some(0x6007)] {
        one.send(&frame(mac(1), vlan, "hello")).unwrap();
    }
    plain.handled("p1", 4);
    assert_eq!(seven.interrupt().0.len(), 2, "where VLANs are not told apart the tag counts");
}

#[test]
fn a_capture_ends_after_so_many_frames_and_keeps_so_much_of_each() {
    let switch = Switch::of(2, "", &[], "");
    let mut few = Running::start(&switch, "--port p1 -c 3 --snaplen 20");
    let mut one = switch.socket(1);
    for _ in 0..10 {
        one.send(&frame(mac(1), None, "one of ten")).unwrap();
    }
    assert!(few.process.wait(SOON).unwrap().success());
    let (frames, said) = few.read();
    let seen: Vec<_> = frames.iter().map(|frame| (frame.bytes.len(), frame.length)).collect();
    assert_eq!(seen, [(20, 64); 3]);
    assert_eq!(said[1], "3 frames captured");

    let file = switch.switchd.directory().join("counted.pcapng");
    let mut child = switch
        .command(&format!("--json capture --port p1 -c 1 -w {}", file.display()))
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    wait_until(SOON, "one is captured", || {
        one.send(&frame(mac(1), None, "another")).unwrap();
        child.try_wait().unwrap().is_some()
    })
    .unwrap();
    let output = child.wait_with_output().unwrap();
    let told: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(told, json!({"captured": 1, "missed": 0}));
}

#[test]
fn a_segment_that_is_yet_to_be_cut_is_shown_whole() {
    let switch = Switch::of(2, "", &[], "");
    let capture = Running::start(&switch, "--port p1 --direction in");
    tcp_transfer(&switch.hosts[0], &switch.hosts[1], "198.18.0.2", 4 << 20).unwrap();
    let file = capture.file.clone();
    capture.process.signal(Signal::INT).unwrap();
    let mut process = capture.process;
    assert!(process.wait(SOON).unwrap().success());
    let fields =
        Command::new("tshark").arg("-r").arg(&file).args(["-T", "fields", "-e", "frame.len"]).output();
    let lengths = String::from_utf8(fields.unwrap().stdout).unwrap();
    let longest = lengths.lines().filter_map(|line| line.parse::<usize>().ok()).max();
    assert!(longest > Some(10_000), "{longest:?}");
}

#[test]
fn a_capture_goes_to_another_program_as_it_happens() {
    let switch = Switch::of(2, "", &[], "");
    let mut one = switch.socket(1);
    for reader in [&["tcpdump", "-nr", "-", "-c", "2"][..], &["tshark", "-l", "-r", "-", "-c", "2"]] {
        let mut capture = switch
            .command("capture --port p1 -w -")
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let mut command = Command::new(reader[0]);
        command.args(&reader[1..]).stdin(capture.stdout.take().unwrap());
        let mut child = command.stdout(Stdio::piped()).stderr(Stdio::null()).spawn().unwrap();
        // It has the end of the pipe too.
        drop(command);
        wait_until(SOON, "both are shown", || {
            one.send(&frame(mac(1), None, "hello")).unwrap();
            child.try_wait().unwrap().is_some()
        })
        .unwrap();
        let text = String::from_utf8(child.wait_with_output().unwrap().stdout).unwrap();
        let shown = text.lines().filter(|line| line.contains("02:00:00:00:00:01")).count();
        assert_eq!(shown, 2, "{reader:?}: {text}");
        // Nobody reads any more.
        wait_until(SOON, "it ends", || {
            one.send(&frame(mac(1), None, "hello")).unwrap();
            capture.try_wait().unwrap().is_some()
        })
        .unwrap();
        let output = capture.wait_with_output().unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    }
}

#[test]
fn ports_come_and_go_while_they_are_captured() {
    let switch = Switch::of(2, "", &[], "");
    for name in ["new1", "new2"] {
        switch.namespace.run(&format!("ip link add {name} type veth peer name {name}-far")).unwrap();
        switch.namespace.run(&format!("ip link set {name} up")).unwrap();
        switch.namespace.run(&format!("ip link set {name}-far up")).unwrap();
    }
    let all = Running::start(&switch, "--direction out");
    let mut of_two = Running::start(&switch, "--port p2");
    let mut one = switch.socket(1);
    one.send(&frame(mac(1), None, "first")).unwrap();
    switch.handled("p1", 1);
    switch.run("port add new1 type=raw");
    one.send(&frame(mac(1), None, "second")).unwrap();
    switch.handled("p1", 2);
    switch.run("port del p2");
    assert!(of_two.process.wait(SOON).unwrap().success(), "none of its ports is left");
    assert_eq!(of_two.read().0.len(), 2);
    // It has the place of the port that was taken away, and not its name.
    switch.run("port add new2 type=raw");
    one.send(&frame(mac(1), None, "third")).unwrap();
    switch.handled("p1", 3);
    let (frames, _) = all.interrupt();
    let mut seen: BTreeMap<&str, Vec<&str>> = BTreeMap::new();
    for frame in &frames {
        let word = ["first", "second", "third"].into_iter().find(|word| frame.says(word)).unwrap();
        seen.entry(&frame.port).or_default().push(word);
    }
    let expected =
        [("new1", vec!["second", "third"]), ("new2", vec!["third"]), ("p2", vec!["first", "second"])];
    assert_eq!(seen, BTreeMap::from(expected));
}

#[test]
fn where_the_switch_ends_the_file_is_whole() {
    for end in [Signal::TERM, Signal::KILL] {
        let switch = Switch::of(2, "", &[], "");
        let mut capture = Running::start(&switch, "--port p1");
        switch.socket(1).send(&frame(mac(1), None, "before the end")).unwrap();
        wait_until(SOON, "it is written", || {
            fs::read(&capture.file).unwrap().windows(6).any(|bytes| bytes == b"before")
        })
        .unwrap();
        switch.switchd.signal(end).unwrap();
        let ended = capture.process.wait(SOON).unwrap();
        let (frames, said) = capture.read();
        assert_eq!(frames.len(), 1);
        assert_eq!(ended.code(), Some(3), "{end:?}: {said:?}");
        assert!(said.iter().any(|line| line.contains("switchd ended before")), "{said:?}");
    }
}

#[test]
fn there_are_only_so_many_captures_and_one_that_is_refused_leaves_an_older_file() {
    let switch = Switch::of(1, "", &[], "");
    let mut running: Vec<_> = (0..8).map(|_| Running::start(&switch, "--port p1")).collect();
    let old = switch.switchd.directory().join("old.pcapng");
    fs::write(&old, "precious").unwrap();
    let (code, said) = switch.fails(&format!("capture --port p1 -w {}", old.display()));
    assert!(code == 1 && said.contains("8 captures already"), "{code}: {said}");
    assert_eq!(fs::read(&old).unwrap(), b"precious");
    let last = running.pop().unwrap();
    last.interrupt();
    Running::start(&switch, "--port p1");
    // Also one that was killed makes room.
    running.pop().unwrap().process.kill9().unwrap();
    Running::start(&switch, "--port p1");
    for (line, code, says) in [
        ("capture --port p9 -w x.pcapng", 1, "the ports are p1"),
        ("capture --vlan 4095 -w x.pcapng", 2, "4095"),
        ("capture --port p1", 2, "--write"),
        ("capture -w /nonexistent/x.pcapng", 1, "can't write /nonexistent/x.pcapng"),
    ] {
        let (ended, said) = failed(&switch.command(line).output().unwrap());
        assert!(ended == code && said.contains(says), "{line}: {ended}: {said}");
    }
}
