//! The configuration of a running switch changes: only the difference is done, and a wrong one does nothing.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod picture;

use std::collections::BTreeMap;
use std::fs;

use control::types::{Changes, EntryKind, FdbFilter, NewFdbEntry, PortChange, PortState};
use control::{CallError, Client, ClientError};
use picture::{Picture, SOON, address, frame, mac, wait_for_ping};
use serde_json::json;
use testbed::{Capture, Signal, Switchd, wait_until};

fn start(config: &str) -> (Picture, Switchd, Client) {
    let picture = Picture::of(3);
    let switchd = Switchd::start(&picture.switch, config).unwrap();
    let client = switchd.control().unwrap();
    (picture, switchd, client)
}

const TWO: &str = "[ports.p1]\ntype = \"raw\"\n[ports.p2]\ntype = \"raw\"\n";
const THREE: &str = "[ports.p1]\ntype = \"raw\"\n[ports.p2]\ntype = \"raw\"\n[ports.p3]\ntype = \"raw\"\n";

fn write(switchd: &Switchd, config: &str) {
    fs::write(switchd.directory().join("switchd.toml"), config).unwrap();
}

fn refusal<T: std::fmt::Debug>(result: Result<T, ClientError>) -> String {
    match result.unwrap_err() {
        ClientError::Refused(CallError::Refused(message)) => message,
        other => panic!("{other:?}"),
    }
}

fn names(client: &mut Client) -> Vec<String> {
    client.show_ports(None).unwrap().into_iter().map(|port| port.name).collect()
}

/// Hundredths of a second of processor time that the forwarding thread has taken, and whether it sleeps.
fn forwarding_thread(switchd: &mut Switchd) -> (u64, bool) {
    let tasks = fs::read_dir(format!("/proc/{}/task", switchd.process().id())).unwrap();
    let stats = tasks.map(|task| fs::read_to_string(task.unwrap().path().join("stat")).unwrap());
    let stat = stats.into_iter().find(|stat| stat.contains("(forward)")).unwrap();
    // From the state on, which is the third field (proc(5)).
    let fields: Vec<&str> = stat.rsplit(") ").next().unwrap().split(' ').collect();
    let ticks = |field: usize| fields[field - 3].parse::<u64>().unwrap();
    (ticks(14) + ticks(15), fields[0] == "S")
}

#[test]
fn busy_polling_keeps_the_switch_awake_after_a_frame_for_as_long_as_it_says() {
    let (picture, mut switchd, mut client) = start(TWO);
    write(&switchd, &format!("[bridge]\nbusy_poll = \"900ms\"\n{TWO}"));
    assert_eq!(client.reload().unwrap().changes, ["bridge: busy_poll default -> \"900ms\""]);
    assert!(client.show_config().unwrap().contains("busy_poll = \"900ms\"\n"));
    let (before, _) = forwarding_thread(&mut switchd);
    wait_for_ping(picture.host(1), &address(2));
    // No frame costs as much; and then it sleeps again.
    wait_until(SOON, "it works for nothing", || forwarding_thread(&mut switchd).0 >= before + 20).unwrap();
    wait_until(SOON, "it sleeps", || forwarding_thread(&mut switchd).1).unwrap();
    wait_for_ping(picture.host(2), &address(1));
    write(&switchd, TWO);
    client.reload().unwrap();
    wait_until(SOON, "it sleeps at once", || forwarding_thread(&mut switchd).1).unwrap();
}

/// Whether tcpdump shows on `p2` what the switch sends there; all of it arrives.
fn is_shown(picture: &Picture, word: &str) -> bool {
    let capture = Capture::start(&picture.switch, "p2", &[]).unwrap();
    let arrives = Capture::start(picture.host(2), "eth0", &["-Q", "in"]).unwrap();
    let (sent, answer) = (frame(mac(2), mac(1), word), frame(mac(1), mac(2), word));
    picture.socket(1).send(&sent).unwrap();
    arrives.wait_for(SOON, "the frame", |bytes| bytes == sent).unwrap();
    // What comes in is shown, and comes after that.
    picture.socket(2).send(&answer).unwrap();
    capture.wait_for(SOON, "the answer", |bytes| bytes == answer).unwrap();
    capture.stop().unwrap().iter().any(|shown| shown.bytes == sent)
}

#[test]
fn what_passes_by_the_qdisc_arrives_and_tcpdump_does_not_show_it() {
    let (picture, switchd, mut client) = start(TWO);
    assert!(is_shown(&picture, "as usual"));
    write(&switchd, &format!("{TWO}qdisc_bypass = true\n"));
    assert_eq!(client.reload().unwrap().changes, ["port p2 made anew: qdisc_bypass default -> true"]);
    assert!(!is_shown(&picture, "past it"));
    let bypass =
        |client: &mut Client, port: &str| client.show_port(port).unwrap().device.unwrap().qdisc_bypass;
    assert!(bypass(&mut client, "p2") && !bypass(&mut client, "p1"));
    assert!(client.show_config().unwrap().contains("qdisc_bypass = true\n"));
    write(&switchd, TWO);
    client.reload().unwrap();
    assert!(is_shown(&picture, "as usual again"));
}

#[test]
fn a_reload_does_what_has_changed_and_says_so() {
    let (picture, mut switchd, mut client) = start(TWO);
    wait_for_ping(picture.host(1), &address(2));
    client.set_port("p1", &PortChange { mcast_flood: Some(false), ..PortChange::default() }).unwrap();
    let after = "[bridge]\nageing_time = \"60s\"\nfdb_max = 100\n[ports.p3]\ntype = \"raw\"\n\
                 [ports.p2]\ntype = \"raw\"\nstate = \"learning\"\nbackup_port = \"p3\"\n[ports.p1]\ntype = \"raw\"\n\
                 [[fdb]]\nmac = \"02:00:00:00:00:77\"\nport = \"p3\"\n";
    write(&switchd, after);
    let expected = Changes {
        changes: [
            "bridge: ageing_time default -> \"60s\"",
            "port p3 added, on p3",
            "port p2: state default -> \"learning\", backup_port default -> \"p3\"",
            "fdb entry 02:00:00:00:00:77 added",
        ]
        .map(str::to_owned)
        .to_vec(),
        restart: vec!["bridge: fdb_max default -> 100".to_owned()],
    };
    assert_eq!(client.diff_config().unwrap(), expected);
    assert_eq!(names(&mut client), ["p1", "p2"], "a look changes nothing");
    let lines = switchd.log().len();
    switchd.signal(Signal::HUP).unwrap();
    switchd.wait_for_log_after(lines, "only with a restart", SOON).unwrap();
    switchd.wait_for_port("p3").unwrap();
    assert_eq!(names(&mut client), ["p3", "p2", "p1"]);
    assert_eq!(client.show_bridge().unwrap().ageing_time, 60_000);
    let port = client.show_port("p2").unwrap().settings;
    assert_eq!((port.state, port.backup_port.as_deref()), (PortState::Learning, Some("p3")));
    let entry =
        client.show_fdb(&FdbFilter { kind: Some(EntryKind::Static), ..FdbFilter::default() }).unwrap();
    assert_eq!(entry[0].port.as_deref(), Some("p3"));
    assert!(!client.show_port("p1").unwrap().settings.mcast_flood, "what was set at run time is not touched");
    wait_for_ping(picture.host(1), &address(3));

    assert_eq!(client.reload().unwrap().changes, Vec::<String>::new());
    assert_eq!(client.diff_config().unwrap().restart.len(), 1, "that is still to be done");
    // p3 is made anew, with its entry; p2's backup is the new one.
    write(
        &switchd,
        &after.replace("[ports.p3]\ntype = \"raw\"", "[ports.p3]\ntype = \"raw\"\noffload = false"),
    );
    assert_eq!(client.reload().unwrap().changes, ["port p3 made anew: offload default -> false"]);
    assert_eq!(client.show_port("p2").unwrap().settings.backup_port.as_deref(), Some("p3"));
    let entry =
        client.show_fdb(&FdbFilter { kind: Some(EntryKind::Static), ..FdbFilter::default() }).unwrap();
    assert_eq!(entry[0].port.as_deref(), Some("p3"));
    wait_for_ping(picture.host(1), &address(3));
    write(&switchd, TWO);
    client.reload().unwrap();
    assert_eq!(names(&mut client), ["p1", "p2"]);
    assert!(
        client.show_fdb(&FdbFilter::default()).unwrap().iter().all(|entry| entry.kind == EntryKind::Dynamic)
    );
    assert_eq!(client.show_port("p2").unwrap().settings.state, PortState::Forwarding);
}

#[test]
fn a_wrong_configuration_changes_nothing_and_says_why() {
    let (picture, mut switchd, mut client) = start(TWO);
    write(&switchd, &format!("{THREE}[bridge]\nagein_time = \"60s\"\n"));
    for message in [refusal(client.reload()), refusal(client.diff_config())] {
        assert!(message.contains("unknown key `agein_time`") && message.contains("ageing_time"), "{message}");
    }
    let lines = switchd.log().len();
    switchd.signal(Signal::HUP).unwrap();
    switchd.wait_for_log_after(lines, "nothing was changed", SOON).unwrap();
    fs::remove_file(switchd.directory().join("switchd.toml")).unwrap();
    assert!(refusal(client.reload()).contains("can't read the configuration"));
    assert_eq!(names(&mut client), ["p1", "p2"]);
    wait_for_ping(picture.host(1), &address(2));
}

#[test]
fn ports_that_do_not_change_lose_no_frame() {
    let (picture, switchd, mut client) = start(TWO);
    let (mut one, mut two) = (picture.socket(1), picture.socket(2));
    // Both are known, so that frames go to one port only, whatever others there are.
    for (socket, number) in [(&mut one, 1), (&mut two, 2)] {
        socket.send(&frame(mac(9), mac(number), "hello")).unwrap();
    }
    wait_until(SOON, "both are known", || client.show_bridge().unwrap().fdb_entries == 2).unwrap();
    let before = client.show_ports(None).unwrap();
    let other = THREE.replace("[ports.p3]", "[bridge]\nageing_time = \"200s\"\n[ports.p3]");
    let sent = std::thread::scope(|scope| {
        let sender = scope.spawn(|| {
            let load = frame(mac(2), mac(1), "load");
            let end = std::time::Instant::now() + std::time::Duration::from_secs(3);
            let mut sent = 0;
            while std::time::Instant::now() < end {
                for _ in 0..20 {
                    one.send(&load).unwrap();
                    sent += 1;
                }
                // As many as a busy machine handles, so that only a pause of the switch loses any.
                std::thread::sleep(std::time::Duration::from_millis(2));
            }
            sent
        });
        let mut reloads = 0;
        while !sender.is_finished() {
            for config in [other.as_str(), TWO] {
                write(&switchd, config);
                assert!(!client.reload().unwrap().changes.is_empty());
                reloads += 1;
            }
        }
        assert!(reloads >= 10, "{reloads} reloads");
        sender.join().unwrap()
    });
    assert!(sent > 3_000, "{sent} frames are no load");
    let mut after = client.show_ports(None).unwrap();
    wait_until(SOON, "all frames are handled", || {
        after = client.show_ports(None).unwrap();
        let (port, lost) = (&after[0], after[0].kernel.socket_lost - before[0].kernel.socket_lost);
        port.counters.rx_frames - before[0].counters.rx_frames + lost == sent
    })
    .unwrap();
    let handled = after[0].counters.rx_frames - before[0].counters.rx_frames;
    assert_eq!(after[0].kernel.socket_lost, before[0].kernel.socket_lost, "the switch paused for too long");
    assert_eq!((handled, after[0].drops.len()), (sent, 0), "{:?}", after[0].drops);
    assert_eq!(after[1].counters.tx_frames - before[1].counters.tx_frames, sent);
}

#[test]
fn ports_come_and_go_at_run_time() {
    let (picture, switchd, mut client) = start(TWO);
    let options = |pairs: &[(&str, serde_json::Value)]| -> BTreeMap<String, serde_json::Value> {
        pairs.iter().map(|(key, value)| ((*key).to_owned(), value.clone())).collect()
    };
    client
        .add_port(
            "guest",
            &options(&[("type", json!("raw")), ("device", json!("p3")), ("max_macs", json!(5))]),
        )
        .unwrap();
    assert_eq!(client.show_port("guest").unwrap().settings.max_macs, Some(5));
    wait_for_ping(picture.host(1), &address(3));
    let entry = NewFdbEntry {
        mac: "02:00:00:00:00:77".into(),
        port: Some("guest".into()),
        kind: EntryKind::Static,
        vlan: None,
    };
    client.add_fdb(&entry).unwrap();
    let shown = client.show_config().unwrap();
    assert!(shown.contains("[ports.guest]\ntype = \"raw\"\ndevice = \"p3\"\nmax_macs = 5\n"), "{shown}");
    assert!(shown.contains("[[fdb]]\nmac = \"02:00:00:00:00:77\"\nport = \"guest\"\n"), "{shown}");
    assert_eq!(client.diff_config().unwrap().changes, ["port guest removed"]);

    for (name, pairs, says) in [
        ("guest", vec![("type", json!("raw"))], "already"),
        ("other", vec![("type", json!("raw")), ("device", json!("p1"))], "are both on the device"),
        ("other", vec![("type", json!("warp"))], "unknown type"),
        ("other", vec![("type", json!("raw")), ("colour", json!(1))], "unknown key `colour`"),
        ("no good\"", vec![("type", json!("raw"))], "has the character"),
    ] {
        let message = refusal(client.add_port(name, &options(&pairs)));
        assert!(message.contains(says), "{message}");
    }
    client.delete_port("guest").unwrap();
    assert_eq!(names(&mut client), ["p1", "p2"]);
    assert!(
        client
            .show_fdb(&FdbFilter { mac: Some("02:00:00:00:00:77".into()), ..FdbFilter::default() })
            .unwrap()
            .is_empty()
    );
    client.delete_port("p1").unwrap();
    assert!(refusal(client.delete_port("p2")).contains("only one"));
    assert_eq!(client.reload().unwrap().changes, ["port p1 added, on p1"]);
    wait_for_ping(picture.host(1), &address(2));
    // What runs can be written to the file, and is then no change.
    write(&switchd, &client.show_config().unwrap());
    assert_eq!(client.diff_config().unwrap(), Changes::default());
}
