//! What VLAN filtering does, rule by rule, each as a user would try it (`net/bridge/br_vlan.c`).
#![allow(clippy::unwrap_used, reason = "only tests are in here")]

mod stations;

use bridge::{
    Bridge, BridgeSettings, DropReason, EntryKind, EntryRefused, LocalKind, Membership, Moment, NewEntry,
    PortId, PortSettings, PortState, Refusal, TagEdit, Verdict, VlanBy, VlanCounters, VlanEntry,
    VlanProtocol, VlanRefused, VlanSettings,
};
use frame::{EtherType, Frame, MacAddr, Offload, Vid};
use stations::{BROADCAST, bytes, carry, host_port, port, send, send_bytes, station, tagged};

const T: Moment = Moment(50_000);
const PVID: Membership = Membership::ACCESS;
const UNTAGGED: Membership = Membership { pvid: false, untagged: true, wire: None };
const TAGGED: Membership = Membership::TRUNK;

fn vid(number: u16) -> Vid {
    Vid::new(number).unwrap()
}

/// Filtering, and no VLANs but those that the test makes.
fn filtering() -> VlanSettings {
    VlanSettings { filtering: true, default_pvid: None, ..VlanSettings::default() }
}

fn with(vlan: VlanSettings) -> (Bridge, [PortId; 4]) {
    let mut bridge = Bridge::new(BridgeSettings { vlan, ..BridgeSettings::default() });
    let ports = std::array::from_fn(|_| port(&mut bridge));
    (bridge, ports)
}

/// Two access ports in VLAN 10, one in 20, and a trunk of both.
fn office() -> (Bridge, [PortId; 4]) {
    let (mut bridge, ports) = with(filtering());
    for (port, number) in [(0, 10), (1, 10), (2, 20)] {
        bridge.add_vlan(ports[port], vid(number), PVID).unwrap();
    }
    bridge.add_vlan(ports[3], vid(10), TAGGED).unwrap();
    bridge.add_vlan(ports[3], vid(20), TAGGED).unwrap();
    (bridge, ports)
}

fn broadcast(from: u32) -> Vec<u8> {
    bytes(BROADCAST, station(from), 60)
}

fn q(bytes: &[u8], tci: u16) -> Vec<u8> {
    tagged(bytes, EtherType::VLAN, tci)
}

fn ad(bytes: &[u8], tci: u16) -> Vec<u8> {
    tagged(bytes, EtherType::SERVICE_VLAN, tci)
}

fn dropped(bridge: &Bridge, port: PortId, reason: DropReason) -> u64 {
    bridge.counters(port).dropped(reason)
}

fn numbers(bridge: &Bridge, port: PortId) -> Vec<u16> {
    bridge.vlans(port).map(|entry| entry.vid.get()).collect()
}

#[test]
fn without_filtering_tags_are_opaque_and_the_tables_only_wait() {
    let (mut bridge, [a, b, c, d]) = with(VlanSettings { filtering: false, ..filtering() });
    bridge.add_vlan(a, vid(10), PVID).unwrap();
    for frame in [broadcast(1), q(&broadcast(1), 20), q(&broadcast(1), 0x6000), ad(&broadcast(1), 4095)] {
        let all: Vec<_> = [b, c, d].into_iter().map(|port| (port.0, frame.clone())).collect();
        assert_eq!(carry(&mut bridge, a, &frame, T), all);
    }
    assert_eq!(bridge.lookup(station(1)), Some(a), "in the only database there is");
    bridge.set_vlan_settings(filtering());
    bridge.add_vlan(b, vid(10), TAGGED).unwrap();
    assert_eq!(carry(&mut bridge, a, &broadcast(1), T), [(b.0, q(&broadcast(1), 10))]);
}

#[test]
fn each_port_sends_a_frame_of_its_vlan_in_its_own_form() {
    let (mut bridge, [a, b, c, trunk]) = office();
    let plain = broadcast(1);
    assert_eq!(carry(&mut bridge, a, &plain, T), [(b.0, plain.clone()), (trunk.0, q(&plain, 10))]);
    assert_eq!(carry(&mut bridge, c, &plain, T), [(trunk.0, q(&plain, 20))]);
    assert_eq!(carry(&mut bridge, trunk, &q(&plain, 10), T), [(a.0, plain.clone()), (b.0, plain.clone())]);
    assert_eq!(carry(&mut bridge, trunk, &q(&plain, 20), T), [(c.0, plain)]);
}

#[test]
fn the_same_address_is_known_in_each_vlan_apart() {
    let (mut bridge, [a, b, c, trunk]) = office();
    send_bytes(&mut bridge, a, &broadcast(1), T);
    send_bytes(&mut bridge, c, &broadcast(1), T);
    let to = bytes(station(1), station(2), 60);
    assert_eq!(send_bytes(&mut bridge, trunk, &q(&to, 10), T), [a.0]);
    assert_eq!(send_bytes(&mut bridge, trunk, &q(&to, 20), T), [c.0]);
    assert_eq!((bridge.lookup_in(10, station(1)), bridge.lookup_in(20, station(1))), (Some(a), Some(c)));
    assert_eq!(bridge.lookup(station(1)), None);
    assert_eq!(bridge.counters(a).moved + bridge.counters(c).moved, 0, "nobody has moved");
    assert_eq!(send(&mut bridge, b, station(1), station(9), T), [a.0]);
}

#[test]
fn a_port_without_vlans_lets_nothing_in() {
    let (mut bridge, [a, ..]) = with(filtering());
    for frame in [broadcast(1), q(&broadcast(1), 0), q(&broadcast(1), 1)] {
        assert!(send_bytes(&mut bridge, a, &frame, T).is_empty());
    }
    let counters = bridge.counters(a);
    let reasons = [DropReason::VlanNoPvid, DropReason::VlanNotMember].map(|reason| counters.dropped(reason));
    assert_eq!((reasons, bridge.fdb_len()), ([2, 1], 0));
}

#[test]
fn a_tag_with_a_priority_only_belongs_to_the_pvid_and_keeps_its_priority() {
    let (mut bridge, [a, b, _, trunk]) = office();
    let plain = broadcast(1);
    for tci in [0x0000, 0xa000, 0xf000] {
        let expected = [(b.0, plain.clone()), (trunk.0, q(&plain, tci | 10))];
        assert_eq!(carry(&mut bridge, a, &q(&plain, tci), T), expected, "{tci:#x}");
    }
    // A trunk without a native VLAN has none to put it into.
    assert!(send_bytes(&mut bridge, trunk, &q(&plain, 0xa000), T).is_empty());
    assert_eq!(dropped(&bridge, trunk, DropReason::VlanNoPvid), 1);
}

#[test]
fn priority_and_drop_eligibility_cross_from_trunk_to_trunk() {
    let (mut bridge, [a, b, ..]) = with(filtering());
    for port in [a, b] {
        bridge.add_vlan(port, vid(4094), TAGGED).unwrap();
    }
    let frame = q(&broadcast(1), 0xf000 | 4094);
    assert_eq!(carry(&mut bridge, a, &frame, T), [(b.0, frame)]);
}

#[test]
fn a_tag_of_the_other_protocol_is_payload() {
    let (mut bridge, [a, b, _, trunk]) = office();
    let service = ad(&broadcast(1), 20);
    assert_eq!(carry(&mut bridge, a, &service, T), [(b.0, service.clone()), (trunk.0, q(&service, 10))]);
    // Also behind the tag, where it stays.
    let expected = [(a.0, service.clone()), (b.0, service.clone())];
    assert_eq!(carry(&mut bridge, trunk, &q(&service, 10), T), expected);
}

#[test]
fn a_provider_bridge_carries_customers_tags_inside_its_own() {
    let (mut bridge, [a, b, c, trunk]) = office();
    bridge.set_vlan_settings(VlanSettings { protocol: VlanProtocol::Dot1ad, ..filtering() });
    let customer = q(&broadcast(1), 0x2000 | 20);
    let expected = [(b.0, customer.clone()), (trunk.0, ad(&customer, 10))];
    assert_eq!(carry(&mut bridge, a, &customer, T), expected);
    assert_eq!(carry(&mut bridge, trunk, &ad(&customer, 20), T), [(c.0, customer.clone())]);
    // A customer's tag is none of the provider's VLANs.
    assert!(carry(&mut bridge, trunk, &customer, T).is_empty());
    assert_eq!(bridge.vlan_tpid(), EtherType::SERVICE_VLAN);
}

#[test]
fn only_the_outermost_tag_counts() {
    let (mut bridge, [a, b, _, trunk]) = office();
    let inner = q(&broadcast(1), 20);
    assert_eq!(carry(&mut bridge, trunk, &q(&inner, 10), T), [(a.0, inner.clone()), (b.0, inner)]);
}

#[test]
fn vlan_4095_gets_nowhere() {
    let (mut bridge, [_, _, _, trunk]) = office();
    assert!(send_bytes(&mut bridge, trunk, &q(&broadcast(1), 4095), T).is_empty());
    assert_eq!((dropped(&bridge, trunk, DropReason::VlanReserved), bridge.fdb_len()), (1, 0));
}

#[test]
fn a_pvid_need_not_be_untagged_and_untagged_vlans_need_not_be_the_pvid() {
    let (mut bridge, [a, b, ..]) = with(filtering());
    bridge.add_vlan(a, vid(10), Membership { pvid: true, untagged: false, wire: None }).unwrap();
    bridge.add_vlan(b, vid(10), UNTAGGED).unwrap();
    bridge.add_vlan(b, vid(20), PVID).unwrap();
    bridge.add_vlan(a, vid(20), TAGGED).unwrap();
    let plain = broadcast(1);
    assert_eq!(carry(&mut bridge, a, &plain, T), [(b.0, plain.clone())]);
    assert_eq!(carry(&mut bridge, b, &plain, T), [(a.0, q(&plain, 20))]);
    assert_eq!(carry(&mut bridge, b, &q(&plain, 10), T), [(a.0, q(&plain, 10))]);
}

#[test]
fn the_pvid_is_stolen_and_what_is_not_said_again_is_taken_away() {
    let (mut bridge, [a, ..]) = with(filtering());
    bridge.add_vlan(a, vid(10), PVID).unwrap();
    bridge.add_vlan(a, vid(20), PVID).unwrap();
    let entry = |number, membership| VlanEntry { vid: vid(number), membership, state: PortState::Forwarding };
    assert!(bridge.vlans(a).eq([entry(10, UNTAGGED), entry(20, PVID)]));
    bridge.add_vlan(a, vid(20), TAGGED).unwrap();
    assert_eq!(bridge.pvid(a), None);
    assert!(bridge.vlans(a).eq([entry(10, UNTAGGED), entry(20, TAGGED)]));
    bridge.add_vlan(a, vid(10), PVID).unwrap();
    bridge.remove_vlan(a, vid(10)).unwrap();
    assert_eq!((bridge.pvid(a), numbers(&bridge, a)), (None, vec![20]));
}

#[test]
fn a_new_port_is_in_the_default_vlan() {
    let (bridge, [a, ..]) = with(VlanSettings::default());
    assert_eq!((bridge.pvid(a), bridge.vlans(a).next().unwrap().membership), (Some(vid(1)), PVID));
    let (bridge, [a, ..]) = with(VlanSettings { default_pvid: Some(vid(7)), ..filtering() });
    assert_eq!((bridge.pvid(a), numbers(&bridge, a)), (Some(vid(7)), vec![7]));
    let (bridge, [a, ..]) = with(filtering());
    assert_eq!(numbers(&bridge, a), []);
}

#[test]
fn another_default_vlan_moves_only_ports_that_are_still_in_the_old_one() {
    let (mut bridge, [a, b, c, d]) = with(VlanSettings { filtering: true, ..VlanSettings::default() });
    bridge.add_vlan(b, vid(10), PVID).unwrap();
    bridge.add_vlan(c, vid(1), Membership { pvid: true, untagged: false, wire: None }).unwrap();
    bridge.add_vlan(d, vid(5), TAGGED).unwrap();
    let default = |number| VlanSettings { default_pvid: Vid::new(number), ..filtering() };
    bridge.set_vlan_settings(default(5));
    assert_eq!([a, b, c, d].map(|port| numbers(&bridge, port)), [vec![5], vec![1, 10], vec![1], vec![1, 5]]);
    assert_eq!((bridge.pvid(a), bridge.pvid(d)), (Some(vid(5)), Some(vid(1))));
    bridge.set_vlan_settings(default(0));
    assert_eq!([a, b, c, d].map(|port| numbers(&bridge, port)), [vec![], vec![1, 10], vec![1], vec![1, 5]]);
    // From none, all ports that are not in it get it.
    bridge.set_vlan_settings(default(10));
    assert_eq!(
        [a, b, c, d].map(|port| bridge.pvid(port)),
        [10, 10, 10, 10].map(Vid::new),
        "b was in it already"
    );
}

#[test]
fn a_vlan_that_is_taken_away_is_forgotten_and_the_others_are_not() {
    let (mut bridge, [a, _, c, trunk]) = office();
    for (port, frame) in [(trunk, q(&broadcast(1), 10)), (trunk, q(&broadcast(2), 20)), (a, broadcast(3))] {
        send_bytes(&mut bridge, port, &frame, T);
    }
    bridge.add_static((station(4), Some(vid(10))), trunk).unwrap();
    bridge.remove_vlan(trunk, vid(10)).unwrap();
    let known = |fid, n| bridge.lookup_in(fid, station(n)).is_some();
    assert_eq!([known(10, 1), known(20, 2), known(10, 3), known(10, 4)], [false, true, true, true]);
    assert_eq!(send(&mut bridge, c, station(2), station(9), T), [trunk.0]);
    assert_eq!(bridge.remove_vlan(trunk, vid(10)), Err(VlanRefused::NotAMember(trunk, vid(10))));
    assert_eq!(bridge.add_vlan(PortId(9), vid(1), PVID), Err(VlanRefused::NoSuchPort(PortId(9))));
}

#[test]
fn a_whole_table_is_set_at_once_and_what_stays_is_not_forgotten() {
    let (mut bridge, [a, _, _, trunk]) = office();
    send_bytes(&mut bridge, trunk, &q(&broadcast(1), 10), T);
    send_bytes(&mut bridge, trunk, &q(&broadcast(2), 20), T);
    bridge.set_vlans(trunk, &[(vid(10), UNTAGGED), (vid(30), PVID)]).unwrap();
    assert_eq!((numbers(&bridge, trunk), bridge.pvid(trunk)), (vec![10, 30], Some(vid(30))));
    assert_eq!(bridge.lookup_in(10, station(1)), Some(trunk));
    assert_eq!(bridge.lookup_in(20, station(2)), None);
    assert_eq!(carry(&mut bridge, a, &bytes(station(1), station(3), 60), T)[0].0, trunk.0);
}

#[test]
fn the_state_of_a_vlan_on_a_port_is_as_that_of_a_port_for_this_vlan_only() {
    for (state, learned, reason) in [
        (PortState::Disabled, false, DropReason::VlanBlocked),
        (PortState::Blocking, false, DropReason::VlanBlocked),
        (PortState::Listening, false, DropReason::VlanBlocked),
        (PortState::Learning, true, DropReason::VlanLearning),
    ] {
        let (mut bridge, [a, b, c, trunk]) = office();
        bridge.set_vlan_state(trunk, vid(10), state).unwrap();
        assert!(send_bytes(&mut bridge, trunk, &q(&broadcast(1), 10), T).is_empty());
        assert_eq!(dropped(&bridge, trunk, reason), 1, "{state:?}");
        assert_eq!(bridge.lookup_in(10, station(1)).is_some(), learned, "{state:?}");
        assert_eq!(send_bytes(&mut bridge, a, &broadcast(2), T), [b.0], "{state:?}");
        assert_eq!(send_bytes(&mut bridge, c, &broadcast(3), T), [trunk.0], "{state:?}");
        // A state is not lost with the flags, but with the VLAN.
        bridge.add_vlan(trunk, vid(10), PVID).unwrap();
        assert_eq!(bridge.vlans(trunk).next().unwrap().state, state);
        bridge.remove_vlan(trunk, vid(10)).unwrap();
        bridge.add_vlan(trunk, vid(10), PVID).unwrap();
        assert_eq!(bridge.vlans(trunk).next().unwrap().state, PortState::Forwarding);
    }
}

#[test]
fn on_a_port_that_only_learns_the_state_of_the_vlan_does_not_matter() {
    let (mut bridge, [_, _, _, trunk]) = office();
    bridge.set_vlan_state(trunk, vid(10), PortState::Blocking).unwrap();
    let learning = PortSettings { state: PortState::Learning, ..PortSettings::default() };
    bridge.set_port_settings(trunk, learning).unwrap();
    send_bytes(&mut bridge, trunk, &q(&broadcast(1), 10), T);
    assert_eq!(dropped(&bridge, trunk, DropReason::IngressLearning), 1);
    assert_eq!(bridge.lookup_in(10, station(1)), Some(trunk));
}

#[test]
fn a_known_station_behind_a_port_that_has_left_the_vlan_gets_nothing() {
    let (mut bridge, [a, _, c, _]) = office();
    bridge.add_static((station(2), Some(vid(20))), c).unwrap();
    let sticky = NewEntry::Sticky(c);
    assert_eq!(
        bridge.add_entry((station(2), Some(vid(10))), sticky, T),
        Err(EntryRefused::NotInVlan(c, vid(10)))
    );
    bridge.add_vlan(c, vid(10), UNTAGGED).unwrap();
    bridge.add_entry((station(2), Some(vid(10))), sticky, T).unwrap();
    assert_eq!(send(&mut bridge, a, station(2), station(1), T), [c.0]);
    bridge.remove_vlan(c, vid(10)).unwrap();
    assert!(send(&mut bridge, a, station(2), station(1), T).is_empty());
    assert_eq!(dropped(&bridge, a, DropReason::EgressVlan), 1);
}

#[test]
fn an_entry_without_a_vlan_is_made_and_removed_in_all_vlans_of_its_port() {
    let (mut bridge, [a, _, _, trunk]) = office();
    bridge.add_entry(station(5), NewEntry::Static(trunk), T).unwrap();
    let fids = |bridge: &Bridge| {
        let mut fids: Vec<u16> =
            bridge.fdb().filter(|entry| entry.mac == station(5)).map(|entry| entry.fid).collect();
        fids.sort_unstable();
        fids
    };
    assert_eq!(fids(&bridge), [0, 10, 20]);
    assert_eq!(bridge.add_entry(station(5), NewEntry::Static(a), T), Err(EntryRefused::Exists(station(5))));
    bridge.remove_entry((station(5), Some(vid(10))), Some(trunk), T).unwrap();
    assert_eq!(fids(&bridge), [0, 20]);
    bridge.remove_entry(station(5), Some(trunk), T).unwrap();
    assert_eq!(fids(&bridge), []);
    assert_eq!(bridge.remove_entry(station(5), Some(trunk), T), Err(EntryRefused::NoSuchEntry(station(5))));
}

#[test]
fn a_blackhole_is_one_in_all_vlans_or_in_one() {
    let (mut bridge, [a, b, c, trunk]) = office();
    bridge.add_entry(station(7), NewEntry::Blackhole, T).unwrap();
    bridge.add_entry((station(8), Some(vid(10))), NewEntry::Blackhole, T).unwrap();
    for port in [a, c] {
        assert!(send(&mut bridge, port, BROADCAST, station(7), T).is_empty());
        assert!(send(&mut bridge, port, station(7), station(1), T).is_empty());
    }
    assert!(send(&mut bridge, a, station(8), station(1), T).is_empty());
    assert_eq!(send(&mut bridge, c, station(8), station(1), T), [trunk.0]);
    assert!(send(&mut bridge, b, BROADCAST, station(8), T).is_empty());
    assert_eq!(send(&mut bridge, c, BROADCAST, station(8), T), [trunk.0]);
}

#[test]
fn one_vlan_is_flushed_alone() {
    let (mut bridge, [a, _, c, _]) = office();
    for port in [a, c] {
        send_bytes(&mut bridge, port, &broadcast(1), T);
    }
    assert_eq!(bridge.flush_in(Some(vid(10)), None, None), 1);
    assert_eq!((bridge.lookup_in(10, station(1)), bridge.lookup_in(20, station(1))), (None, Some(c)));
    assert_eq!(bridge.flush(None, None), 1);
}

#[test]
fn the_host_is_a_member_like_any_other() {
    let (mut bridge, [a, b, c, trunk]) = office();
    let host = host_port(&mut bridge);
    bridge.set_local(host, Some(station(100)), LocalKind::HostPort);
    let to_host = bytes(station(100), station(1), 60);
    // In no VLAN: it is deaf, and its address is nobody's.
    assert_eq!(send_bytes(&mut bridge, a, &to_host, T), [b.0, trunk.0]);
    bridge.add_vlan(host, vid(10), TAGGED).unwrap();
    assert_eq!(carry(&mut bridge, a, &to_host, T), [(host.0, q(&to_host, 10))]);
    assert_eq!(send_bytes(&mut bridge, a, &broadcast(1), T), [b.0, trunk.0, host.0]);
    assert_eq!(send_bytes(&mut bridge, c, &to_host, T), [trunk.0], "not in VLAN 20");
    assert_eq!(send_bytes(&mut bridge, c, &broadcast(1), T), [trunk.0]);
    bridge.add_vlan(host, vid(20), PVID).unwrap();
    assert_eq!(
        carry(&mut bridge, host, &broadcast(100), T),
        [(c.0, broadcast(100)), (trunk.0, q(&broadcast(100), 20))]
    );
    // Its own address is not learned from elsewhere.
    send_bytes(&mut bridge, a, &broadcast(100), T);
    assert_eq!((bridge.counters(a).own_source, bridge.lookup_in(10, station(100))), (1, None));
    bridge.set_vlan_state(host, vid(10), PortState::Blocking).unwrap();
    assert!(send_bytes(&mut bridge, a, &to_host, T).is_empty());
    assert_eq!(dropped(&bridge, a, DropReason::EgressVlanBlocked), 1);
}

#[test]
fn an_address_that_was_learned_is_the_hosts_once_it_joins_the_vlan() {
    let (mut bridge, [a, b, ..]) = office();
    let host = host_port(&mut bridge);
    bridge.set_local(host, Some(station(100)), LocalKind::HostPort);
    send_bytes(&mut bridge, b, &broadcast(100), T);
    assert_eq!(send(&mut bridge, a, station(100), station(1), T), [b.0]);
    bridge.add_vlan(host, vid(10), PVID).unwrap();
    assert_eq!(send(&mut bridge, a, station(100), station(1), T), [host.0]);
    // The same the other way round: another address for the device.
    send_bytes(&mut bridge, b, &broadcast(101), T);
    bridge.set_local(host, Some(station(101)), LocalKind::HostPort);
    assert_eq!(send(&mut bridge, a, station(101), station(1), T), [host.0]);
}

#[test]
fn the_promiscuous_host_gets_all_vlans_with_their_tags() {
    let (mut bridge, [a, b, c, _]) = office();
    let host = bridge.add_port(PortSettings { promisc: true, ..PortSettings::host() }).unwrap();
    bridge.set_link(host, true);
    bridge.add_vlan(host, vid(10), UNTAGGED).unwrap();
    send_bytes(&mut bridge, b, &broadcast(2), T);
    let to = bytes(station(2), station(1), 60);
    assert_eq!(carry(&mut bridge, a, &to, T), [(b.0, to.clone()), (host.0, to.clone())]);
    let sent = carry(&mut bridge, c, &broadcast(3), T);
    assert_eq!(sent.last(), Some(&(host.0, q(&broadcast(3), 20))));
    let sent = carry(&mut bridge, c, &to, T);
    assert_eq!(sent.last(), Some(&(host.0, q(&to, 20))), "unknown in this VLAN");
}

#[test]
fn a_locked_port_asks_for_an_entry_in_the_frames_vlan() {
    let (mut bridge, [a, b, _, trunk]) = office();
    bridge.set_port_settings(trunk, PortSettings { locked: true, ..PortSettings::default() }).unwrap();
    bridge.add_static((station(1), Some(vid(20))), trunk).unwrap();
    assert!(send_bytes(&mut bridge, trunk, &q(&broadcast(1), 10), T).is_empty());
    assert_eq!(dropped(&bridge, trunk, DropReason::Locked), 1);
    bridge.add_static((station(1), Some(vid(10))), trunk).unwrap();
    assert_eq!(send_bytes(&mut bridge, trunk, &q(&broadcast(1), 10), T), [a.0, b.0]);
    // The VLAN comes before the lock.
    send_bytes(&mut bridge, trunk, &q(&broadcast(2), 30), T);
    assert_eq!(dropped(&bridge, trunk, DropReason::VlanNotMember), 1);
}

#[test]
fn a_reserved_address_teaches_only_in_a_vlan_of_the_port() {
    let lldp = MacAddr([1, 0x80, 0xc2, 0, 0, 0x0e]);
    let (mut bridge, [a, _, _, trunk]) = office();
    for (port, frame, learned) in [
        (a, bytes(lldp, station(1), 60), Some(10)),
        (trunk, q(&bytes(lldp, station(2), 60), 20), Some(20)),
        (trunk, q(&bytes(lldp, station(3), 60), 30), None),
        (trunk, bytes(lldp, station(4), 60), None),
    ] {
        let before = bridge.fdb_len();
        assert!(send_bytes(&mut bridge, port, &frame, T).is_empty());
        let new = bridge
            .fdb()
            .find(|entry| entry.mac == Frame::parse(&frame, 0, None, Offload::default()).unwrap().source());
        assert_eq!(new.map(|entry| entry.fid), learned);
        assert_eq!(bridge.fdb_len() - before, usize::from(learned.is_some()));
    }
    assert_eq!(dropped(&bridge, trunk, DropReason::ReservedAddress), 3, "before the VLAN");
}

#[test]
fn a_provider_bridge_forwards_what_customers_bridges_say_to_each_other() {
    for low in 0..16 {
        let (mut bridge, [a, b, ..]) = office();
        bridge.set_vlan_settings(VlanSettings { protocol: VlanProtocol::Dot1ad, ..filtering() });
        let frame = bytes(MacAddr([1, 0x80, 0xc2, 0, 0, low]), station(1), 60);
        let passes = [0x00, 0x0b, 0x0c, 0x0d, 0x0f].contains(&low);
        assert_eq!(send_bytes(&mut bridge, a, &frame, T).contains(&b.0), passes, "{low:#x}");
        // Only while it tells VLANs apart.
        bridge.set_vlan_settings(VlanSettings {
            filtering: false,
            protocol: VlanProtocol::Dot1ad,
            ..filtering()
        });
        assert_eq!(send_bytes(&mut bridge, a, &frame, T).contains(&b.0), low == 0, "{low:#x}");
    }
}

#[test]
fn settings_of_ports_hold_beside_vlans() {
    let (mut bridge, [a, b, _, trunk]) = office();
    let plain = PortSettings::default();
    bridge.set_port_settings(a, PortSettings { isolated: true, hairpin: true, ..plain }).unwrap();
    bridge.set_port_settings(b, PortSettings { isolated: true, ..plain }).unwrap();
    assert_eq!(send_bytes(&mut bridge, a, &broadcast(1), T), [trunk.0]);
    bridge.set_port_settings(a, PortSettings { hairpin: true, ..plain }).unwrap();
    assert_eq!(send_bytes(&mut bridge, a, &broadcast(1), T), [a.0, b.0, trunk.0]);
    bridge.set_port_settings(trunk, PortSettings { bcast_flood: false, ..plain }).unwrap();
    assert_eq!(send_bytes(&mut bridge, b, &broadcast(2), T), [a.0]);
    bridge.remove_vlan(a, vid(10)).unwrap();
    assert!(send_bytes(&mut bridge, b, &broadcast(2), T).is_empty());
    assert_eq!(dropped(&bridge, b, DropReason::NoEgress), 1);
}

#[test]
fn the_mtu_does_not_count_the_vlans_tag_but_one_that_is_payload() {
    let (mut bridge, [a, b, _, trunk]) = office();
    bridge.set_mtu(b, Some(1500));
    bridge.set_mtu(trunk, Some(1500));
    let plain = |len| bytes(BROADCAST, station(1), len);
    for (frame, passes) in
        [(plain(1518), true), (plain(1519), false), (ad(&plain(1514), 7), true), (ad(&plain(1515), 7), false)]
    {
        let both = if passes { vec![b.0, trunk.0] } else { vec![] };
        assert_eq!(send_bytes(&mut bridge, a, &frame, T), both, "{}", frame.len());
    }
}

#[test]
fn vlans_are_counted_together_or_at_each_port_and_bytes_as_linux_counts_them() {
    let counters = |rx_frames, rx_bytes, tx_frames, tx_bytes| {
        Some(VlanCounters { rx_frames, rx_bytes, tx_frames, tx_bytes })
    };
    let run = |stats, stats_per_port| {
        let (mut bridge, ports) = office();
        bridge.set_vlan_settings(VlanSettings { stats, stats_per_port, ..filtering() });
        let [a, b, _, trunk] = ports;
        send_bytes(&mut bridge, a, &bytes(BROADCAST, station(1), 100), T);
        send_bytes(&mut bridge, trunk, &q(&bytes(station(1), station(2), 64), 10), T);
        send_bytes(&mut bridge, trunk, &q(&broadcast(2), 30), T);
        // Admitted, and then dropped.
        send(&mut bridge, a, station(1), station(1), T);
        [a, b, trunk].map(|port| bridge.vlan_counters(port, vid(10)))
    };
    assert_eq!(run(false, true), [None; 3]);
    assert_eq!(run(true, false), [counters(3, 86 + 50 + 46, 3, 2 * 86 + 50); 3]);
    let apart = [counters(2, 86 + 46, 1, 50), counters(0, 0, 1, 86), counters(1, 50, 1, 86)];
    assert_eq!(run(true, true), apart);
}

#[test]
fn counters_go_with_the_vlan() {
    let (mut bridge, [a, b, ..]) = office();
    for per_port in [false, true] {
        bridge.set_vlan_settings(VlanSettings { stats: true, stats_per_port: per_port, ..filtering() });
        send_bytes(&mut bridge, a, &broadcast(1), T);
        let count = |bridge: &Bridge| bridge.vlan_counters(a, vid(10)).unwrap().rx_frames;
        assert_eq!(count(&bridge), 1);
        bridge.add_vlan(a, vid(10), PVID).unwrap();
        assert_eq!(count(&bridge), 1);
        bridge.remove_vlan(a, vid(10)).unwrap();
        assert_eq!(count(&bridge), u64::from(!per_port), "b and the trunk still have it");
        bridge.add_vlan(a, vid(10), PVID).unwrap();
        bridge.remove_port(b);
        assert_eq!(port(&mut bridge), b);
        bridge.add_vlan(b, vid(10), PVID).unwrap();
    }
}

#[test]
fn a_port_that_is_removed_leaves_no_vlans_behind() {
    let (mut bridge, [a, b, _, trunk]) = office();
    bridge.remove_port(b);
    assert_eq!(numbers(&bridge, b), []);
    assert_eq!(port(&mut bridge), b, "the same place again");
    assert_eq!(send_bytes(&mut bridge, a, &broadcast(1), T), [trunk.0]);
    assert!(send_bytes(&mut bridge, b, &broadcast(1), T).is_empty());
}

#[test]
fn more_ports_than_a_word_has_bits() {
    let (mut bridge, _) = with(filtering());
    let ports: Vec<PortId> = (4..200).map(|_| port(&mut bridge)).collect();
    for (index, port) in ports.iter().enumerate() {
        bridge.add_vlan(*port, vid(1 + index as u16 % 2), PVID).unwrap();
    }
    let expected: Vec<u16> = ports.iter().map(|port| port.0).skip(2).step_by(2).collect();
    assert_eq!(send_bytes(&mut bridge, ports[0], &broadcast(1), T), expected);
}

#[test]
fn the_way_through_the_vlans_is_explained() {
    let (bridge, [a, b, c, trunk]) = office();
    let said = |port, raw: &[u8]| bridge.explain(port, &Frame::parse(raw, 0, None, Offload::default()), T);
    let explanation = said(a, &q(&broadcast(1), 0xa000));
    let step = explanation.vlan.unwrap();
    assert_eq!((step.by, step.vid, step.priority), (VlanBy::PvidPriority, 10, 5));
    assert_eq!(
        explanation.ports,
        [
            (a, Verdict::Refuses(Refusal::CameFromHere)),
            (b, Verdict::Gets(TagEdit::STRIP)),
            (c, Verdict::Refuses(Refusal::NotInVlan)),
            (trunk, explanation.ports[3].1),
        ]
    );
    let words: Vec<String> = explanation
        .steps(|port| format!("p{}", port.0))
        .into_iter()
        .map(|step| format!("{}: {}", step.stage, step.words))
        .collect();
    assert_eq!(
        words,
        [
            "parse: came in on p0: for everybody",
            "vlan: VLAN 10, the port's PVID, for its tag says a priority only; priority 5",
            "learn: the source is new here",
            "decide: forwarded",
            "emit: p0 does not get it: it came from there, and hairpin is off",
            "emit: p1 gets it, untagged",
            "emit: p2 does not get it: it is not a member of the VLAN",
            "emit: p3 gets it, tagged 10",
        ]
    );
    let none = said(trunk, &broadcast(1));
    assert_eq!((none.outcome, none.vlan.unwrap().vid), (Err(DropReason::VlanNoPvid), 0));
    let other = said(a, &ad(&broadcast(1), 3));
    assert_eq!(other.vlan.unwrap().by, VlanBy::PvidForeign(EtherType::SERVICE_VLAN));
    let by_tag = said(trunk, &q(&broadcast(1), 20));
    assert_eq!((by_tag.vlan.unwrap().by, by_tag.gets().collect::<Vec<_>>()), (VlanBy::Tag, vec![c]));
}

#[test]
fn dynamic_entries_of_the_user_and_locked_ones_stand_in_their_vlan() {
    let (mut bridge, [a, _, _, trunk]) = office();
    bridge.add_entry((station(1), Some(vid(10))), NewEntry::Dynamic(a), T).unwrap();
    let mab = PortSettings { locked: true, mab: true, ..PortSettings::default() };
    bridge.set_port_settings(trunk, mab).unwrap();
    send_bytes(&mut bridge, trunk, &q(&broadcast(2), 20), T);
    let mut all: Vec<_> = bridge.fdb().map(|entry| (entry.fid, entry.kind, entry.port)).collect();
    all.sort_unstable();
    assert_eq!(all, [(10, EntryKind::Dynamic, Some(a)), (20, EntryKind::Locked, Some(trunk))]);
}

#[test]
fn a_vlan_may_have_another_number_on_the_wire_of_a_port() {
    let (mut bridge, [office, uplink, trunk, _]) = with(filtering());
    let hundred = Membership { wire: Some(vid(100)), ..TAGGED };
    bridge.add_vlan(office, vid(10), PVID).unwrap();
    bridge.add_vlan(uplink, vid(10), hundred).unwrap();
    bridge.add_vlan(uplink, vid(20), TAGGED).unwrap();
    bridge.add_vlan(trunk, vid(10), TAGGED).unwrap();
    bridge.add_vlan(trunk, vid(20), TAGGED).unwrap();
    // Out, in, and from tag to tag, each with its priority.
    assert_eq!(
        carry(&mut bridge, office, &broadcast(1), T),
        [(uplink.0, q(&broadcast(1), 100)), (trunk.0, q(&broadcast(1), 10))]
    );
    assert_eq!(
        carry(&mut bridge, uplink, &q(&broadcast(2), 0xb064), T),
        [(office.0, broadcast(2)), (trunk.0, q(&broadcast(2), 0xb00a))]
    );
    assert_eq!(
        carry(&mut bridge, trunk, &q(&broadcast(3), 0x600a), T),
        [(office.0, broadcast(3)), (uplink.0, q(&broadcast(3), 0x6064))]
    );
    // To a known station as well, in the VLAN inside.
    assert_eq!(bridge.lookup_in(10, station(2)), Some(uplink));
    let to_2 = bytes(station(2), station(1), 60);
    assert_eq!(carry(&mut bridge, office, &to_2, T), [(uplink.0, q(&to_2, 100))]);
    // Other VLANs are as they were, and the number that it has inside is nobody's on that wire.
    assert_eq!(carry(&mut bridge, uplink, &q(&broadcast(2), 20), T), [(trunk.0, q(&broadcast(2), 20))]);
    assert_eq!(carry(&mut bridge, uplink, &q(&broadcast(2), 10), T), []);
    assert_eq!(dropped(&bridge, uplink, DropReason::VlanNotMember), 1);
    assert_eq!(carry(&mut bridge, uplink, &q(&broadcast(2), 4095), T), []);
    assert_eq!(dropped(&bridge, uplink, DropReason::VlanReserved), 1);
    let words = |bridge: &Bridge, raw: &[u8]| {
        let frame = Frame::parse(raw, 0, None, Offload::default());
        let steps = bridge.explain(uplink, &frame, T).steps(|port| format!("p{}", port.0));
        steps.iter().find(|step| step.stage == "vlan").unwrap().words.clone()
    };
    assert_eq!(
        words(&bridge, &q(&broadcast(2), 100)),
        "VLAN 10, which is 100 on this port's wire, by its tag; priority 0"
    );
    assert_eq!(words(&bridge, &q(&broadcast(2), 10)), "none: VLAN 10 has another number on this port's wire");
    // No number can be that of two VLANs.
    let refused = |error| Err(VlanRefused::Ambiguous(uplink, vid(error)));
    assert_eq!(bridge.add_vlan(uplink, vid(100), TAGGED), refused(100));
    assert_eq!(bridge.add_vlan(uplink, vid(30), hundred), refused(100));
    assert_eq!(bridge.set_vlans(uplink, &[(vid(10), hundred), (vid(30), hundred)]), refused(100));
    // Swapped, they are two again; and without another number it is as before.
    let ten = Membership { wire: Some(vid(10)), ..TAGGED };
    bridge.set_vlans(uplink, &[(vid(10), hundred), (vid(100), ten)]).unwrap();
    assert_eq!(carry(&mut bridge, trunk, &q(&broadcast(3), 10), T)[1], (uplink.0, q(&broadcast(3), 100)));
    bridge.set_vlans(uplink, &[(vid(10), TAGGED)]).unwrap();
    assert_eq!(carry(&mut bridge, trunk, &q(&broadcast(3), 10), T)[1], (uplink.0, q(&broadcast(3), 10)));
}
