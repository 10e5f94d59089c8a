//! Scenarios of the kernel's own selftests (`tools/testing/selftests/net/forwarding`), told anew: the same
//! order of commands and the same checks, on Linux and on switchd side by side. Each test names its source.
//! A ping is a frame there and one back; the kernel's `swp1`, `h1` are `p1` and its far end.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod both;

use both::{Both, H1, H2, H3, IPV4, IPV6, MAC1, MAC2, MAC3, STRANGER};
use bridge::EntryKind;
use frame::MacAddr;

/// `bridge_vlan_unaware.sh`: `ping_ipv4`, `ping_ipv6`.
#[test]
fn two_hosts_ping() {
    let mut both = Both::new();
    for kind in [IPV4, IPV6] {
        assert!(both.ping((H1, MAC1), (H2, MAC2), kind));
    }
}

/// `bridge_vlan_unaware.sh`: `learning`, which is `learning_test` of `lib.sh`.
#[test]
fn learning() {
    let mut both = Both::new();
    both.tell("ageing_time 1000ms");
    assert_eq!(both.find(STRANGER), None);
    // Without flooding only an entry brings frames to the first host.
    both.tell("set p1 flood off");
    assert!(!both.send(H2, STRANGER, MAC2, IPV4).contains(&H1));
    both.send(H1, MAC2, STRANGER, IPV4);
    assert_eq!(both.find(STRANGER), Some((H1, EntryKind::Dynamic)));
    assert_eq!(both.send(H2, STRANGER, MAC2, IPV4), [H1]);
    both.wait_until_forgotten(STRANGER);
    both.tell("set p1 learning off");
    both.send(H1, MAC2, STRANGER, IPV4);
    assert_eq!(both.find(STRANGER), None);
}

/// `bridge_vlan_unaware.sh`: `flooding`, which is `flood_unicast_test` and `flood_multicast_test` of `lib.sh`.
#[test]
fn flooding() {
    let mut both = Both::new();
    for (setting, to) in [("flood", STRANGER), ("mcast_flood", MacAddr([1, 0, 0x5e, 0, 0, 1]))] {
        both.tell(&format!("set p2 {setting} off"));
        assert!(!both.send(H1, to, MAC1, IPV4).contains(&H2), "{setting} off");
        both.tell(&format!("set p2 {setting} on"));
        assert!(both.send(H1, to, MAC1, IPV4).contains(&H2), "{setting} on");
    }
}

/// `bridge_port_isolation.sh`.
#[test]
fn port_isolation() {
    let mut both = Both::new();
    both.tell("set p1 isolated on");
    both.tell("set p2 isolated on");
    both.tell("set p3 isolated off");
    for kind in [IPV4, IPV6] {
        assert!(!both.ping((H1, MAC1), (H2, MAC2), kind));
        assert!(both.ping((H3, MAC3), (H2, MAC2), kind));
    }
    assert!(!both.send(H1, STRANGER, MAC1, IPV4).contains(&H2));
    assert!(both.send(H3, STRANGER, MAC3, IPV4).contains(&H2));
}

/// `bridge_sticky_fdb.sh`.
#[test]
fn sticky_entry() {
    let mut both = Both::new();
    both.tell(&format!("fdb add {STRANGER} p1 sticky"));
    both.send(H2, MacAddr::BROADCAST, STRANGER, 0x0806);
    assert_eq!(both.find(STRANGER), Some((H1, EntryKind::Sticky)));
}

/// As every test of `bridge_locked_port.sh` begins: `learning off` on the first port.
fn locked_port() -> Both {
    let mut both = Both::new();
    both.tell("set p1 learning off");
    both
}

/// `bridge_locked_port.sh`: `locked_port_ipv4`, `locked_port_ipv6`.
#[test]
fn locked_port_lets_known_stations_in() {
    let mut both = locked_port();
    for kind in [IPV4, IPV6] {
        assert!(both.ping((H1, MAC1), (H2, MAC2), kind), "before locking the port");
        both.tell("set p1 locked on");
        assert!(!both.ping((H1, MAC1), (H2, MAC2), kind), "locked, without an entry");
        both.tell(&format!("fdb add {MAC1} p1 static"));
        assert!(both.ping((H1, MAC1), (H2, MAC2), kind), "locked, with an entry");
        both.tell("set p1 locked off");
        both.tell(&format!("fdb del {MAC1} p1"));
        assert!(both.ping((H1, MAC1), (H2, MAC2), kind), "unlocked, without an entry");
    }
}

/// `bridge_locked_port.sh`: `locked_port_mab`.
#[test]
fn mab_makes_locked_entries() {
    let mut both = locked_port();
    assert!(both.ping((H1, MAC1), (H2, MAC2), IPV4));
    both.tell("set p1 learning on");
    both.tell("set p1 locked on");
    assert!(!both.ping((H1, MAC1), (H2, MAC2), IPV4));
    assert_eq!(both.find(MAC1), None);
    both.tell("set p1 mab on");
    assert!(!both.ping((H1, MAC1), (H2, MAC2), IPV4));
    assert_eq!(both.find(MAC1), Some((H1, EntryKind::Locked)));
    both.tell(&format!("fdb replace {MAC1} p1 static"));
    assert!(both.ping((H1, MAC1), (H2, MAC2), IPV4));
    assert_eq!(both.find(MAC1), Some((H1, EntryKind::Static)));
    both.tell(&format!("fdb del {MAC1} p1"));
}

/// A port with `learning`, `locked` and `mab`.
fn mab(both: &mut Both, port: &str) {
    for setting in ["learning", "locked", "mab"] {
        both.tell(&format!("set {port} {setting} on"));
    }
}

/// `bridge_locked_port.sh`: `locked_port_mab_roam`.
#[test]
fn locked_entries_roam_to_unlocked_ports_and_not_back() {
    let mut both = locked_port();
    mab(&mut both, "p1");
    both.send(H1, MacAddr::BROADCAST, STRANGER, IPV4);
    assert_eq!(both.find(STRANGER), Some((H1, EntryKind::Locked)));
    both.send(H2, MacAddr::BROADCAST, STRANGER, IPV4);
    assert_eq!(both.find(STRANGER), Some((H2, EntryKind::Dynamic)));
    both.send(H1, MacAddr::BROADCAST, STRANGER, IPV4);
    assert_eq!(both.find(STRANGER), Some((H2, EntryKind::Dynamic)));
    both.tell(&format!("fdb del {STRANGER} p2"));
}

/// `bridge_locked_port.sh`: `locked_port_mab_config`.
#[test]
fn mab_needs_a_lock_and_learning() {
    let mut both = locked_port();
    both.tell("set p1 learning on");
    assert!(!both.accept("set p1 mab on"), "without a lock");
    both.tell("set p1 learning off");
    both.tell("set p1 locked on");
    assert!(!both.accept("set p1 mab on"), "without learning");
    both.tell("set p1 learning on");
    both.tell("set p1 mab on");
    assert!(!both.accept("set p1 locked off"), "mab is on");
    assert!(!both.accept("set p1 learning off"), "mab is on");
}

/// `bridge_locked_port.sh`: `locked_port_mab_flush`.
#[test]
fn without_mab_the_locked_entries_of_the_port_go() {
    let mut both = locked_port();
    let [locked1, open1, locked2, open2] = [5, 6, 7, 8].map(|last| MacAddr([0, 1, 2, 3, 4, last]));
    mab(&mut both, "p1");
    mab(&mut both, "p2");
    both.tell(&format!("fdb add {open1} p1 static"));
    both.tell(&format!("fdb add {open2} p2 static"));
    both.send(H1, MacAddr::BROADCAST, locked1, IPV4);
    both.send(H2, MacAddr::BROADCAST, locked2, IPV4);
    assert_eq!(both.find(locked1), Some((H1, EntryKind::Locked)));
    assert_eq!(both.find(locked2), Some((H2, EntryKind::Locked)));
    both.tell("set p1 mab off");
    assert!(both.find(open1).is_some() && both.find(open2).is_some());
    assert_eq!(both.find(locked1), None);
    assert_eq!(both.find(locked2), Some((H2, EntryKind::Locked)));
}

/// Station number `n` of `bridge_fdb_learning_limit.sh`.
fn mac(n: u8) -> MacAddr {
    MacAddr([0xde, 0xad, 0xbe, 0xef, 0x42, n])
}

/// That script's ports: the second only answers.
fn limited() -> Both {
    let mut both = Both::new();
    both.tell("set p2 learning off");
    both
}

/// `fdb_add`, but for `local`, which is the address of another port there.
fn add(both: &mut Both, kind: &str, mac: MacAddr) {
    match kind {
        "learned" => assert!(both.ping((H1, mac), (H2, MAC2), IPV4)),
        kind => {
            // Of an entry that is extern_learn and something else only Linux knows.
            if kind == "extern_learn" {
                both.accept(&format!("fdb del {mac} p1"));
            }
            both.tell(&format!("fdb replace {mac} p1 {kind}"));
        }
    }
}

const KINDS: [&str; 4] = ["static", "dynamic", "extern_learn", "local"];

/// `bridge_fdb_learning_limit.sh`: `check_limit`.
#[test]
fn the_learning_limit_binds_what_is_learned_and_nothing_else() {
    let mut both = limited();
    both.tell("fdb_max_learned 8");
    for n in 1..=16 {
        add(&mut both, "learned", mac(n));
    }
    assert_eq!(both.count(EntryKind::Dynamic), 8);
    assert!((1..=8).all(|n| both.find(mac(n)).is_some()), "the first are kept");
    add(&mut both, "learned", mac(0));
    assert_eq!(both.find(mac(0)), None);
    for kind in KINDS {
        add(&mut both, kind, mac(0));
        assert!(both.find(mac(0)).is_some(), "{kind} at the limit");
        both.tell(&format!("fdb del {} p1", mac(0)));
    }
}

/// `bridge_fdb_learning_limit.sh`: `check_accounting`. How many are learned shows in how many more fit.
#[test]
fn what_the_user_makes_does_not_count_as_learned() {
    let mut both = limited();
    both.tell("fdb_max_learned 1");
    for kind in KINDS {
        // Made by the user, it leaves room for one.
        add(&mut both, kind, mac(0));
        add(&mut both, "learned", mac(1));
        assert!(both.find(mac(1)).is_some(), "{kind} does not count");
        both.tell(&format!("fdb del {} p1", mac(0)));
        both.tell(&format!("fdb del {} p1", mac(1)));
        // And so does one that was learned before it was made the user's.
        add(&mut both, "learned", mac(0));
        add(&mut both, "learned", mac(1));
        assert_eq!(both.find(mac(1)), None, "a learned one counts");
        add(&mut both, kind, mac(0));
        add(&mut both, "learned", mac(1));
        assert!(both.find(mac(1)).is_some(), "{kind} in place of a learned one does not count");
        both.tell(&format!("fdb del {} p1", mac(0)));
        both.tell(&format!("fdb del {} p1", mac(1)));
    }
}
