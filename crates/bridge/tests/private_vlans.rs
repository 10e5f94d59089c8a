//! Private VLANs as a user would try them: who reaches whom, in what form, and what is known of stations.
#![allow(clippy::unwrap_used, reason = "only tests are in here")]

mod stations;

use bridge::{
    Bridge, BridgeSettings, DropReason, EntryRefused, LocalKind, Membership, Moment, NewEntry, PortId,
    PortState, PrivateKind, PrivateRole, PrivateVlan, Refusal, Verdict, VlanRefused, VlanSettings,
};
use frame::{EtherType, Frame, Offload, Vid};
use stations::{BROADCAST, bytes, carry, host_port, port, send, send_bytes, station, tagged};

const T: Moment = Moment(50_000);
const HOST: Membership = Membership::ACCESS;
const TAGGED: Membership = Membership::TRUNK;

fn vid(number: u16) -> Vid {
    Vid::new(number).unwrap()
}

fn q(bytes: &[u8], tci: u16) -> Vec<u8> {
    tagged(bytes, EtherType::VLAN, tci)
}

fn broadcast(from: u32) -> Vec<u8> {
    bytes(BROADCAST, station(from), 60)
}

fn guests() -> PrivateVlan {
    PrivateVlan { primary: vid(100), isolated: Some(vid(101)), communities: vec![vid(102), vid(103)] }
}

/// The ports of a hotel, each with its number.
#[derive(Clone, Copy)]
struct Hotel {
    router: PortId,
    room: PortId,
    other_room: PortId,
    office: PortId,
    other_office: PortId,
    kitchen: PortId,
    /// To another switch that knows the same private VLAN.
    link: PortId,
    /// To a switch or router that knows the primary VLAN only.
    trunk: PortId,
}

fn hotel() -> (Bridge, Hotel) {
    let vlan = VlanSettings {
        filtering: true,
        default_pvid: None,
        stats: true,
        stats_per_port: true,
        ..VlanSettings::default()
    };
    let mut bridge = Bridge::new(BridgeSettings { vlan, ..BridgeSettings::default() });
    bridge.set_private_vlans(vec![guests()]).unwrap();
    let mut with = |vlans: &[u16], membership| {
        let port = port(&mut bridge);
        vlans.iter().for_each(|number| bridge.add_vlan(port, vid(*number), membership).unwrap());
        port
    };
    let hotel = Hotel {
        router: with(&[100], HOST),
        room: with(&[101], HOST),
        other_room: with(&[101], HOST),
        office: with(&[102], HOST),
        other_office: with(&[102], HOST),
        kitchen: with(&[103], HOST),
        link: with(&[100, 101, 102, 103], TAGGED),
        trunk: with(&[100, 7], TAGGED),
    };
    (bridge, hotel)
}

#[test]
fn everybody_reaches_the_router_and_no_others_but_their_own_community() {
    let (mut bridge, hotel) = hotel();
    let Hotel { router, room, other_room, office, other_office, kitchen, link, trunk } = hotel;
    let plain = broadcast(1);
    let plainly = |ports: &[PortId], mut rest: Vec<(u16, Vec<u8>)>| {
        rest.extend(ports.iter().map(|port| (port.0, plain.clone())));
        rest.sort_unstable();
        rest
    };
    let tags = |of_link, of_trunk| vec![(link.0, q(&plain, of_link)), (trunk.0, q(&plain, of_trunk))];
    let all = [router, room, other_room, office, other_office, kitchen];
    for (from, to, of_link) in [
        (router, &all[1..], 100),
        (room, &[router][..], 101),
        (office, &[router, other_office], 102),
        (kitchen, &[router], 103),
    ] {
        assert_eq!(carry(&mut bridge, from, &plain, T), plainly(to, tags(of_link, 100)), "{of_link}");
    }
    // From the other switch, and from the trunk of the primary, with a priority.
    let with_priority = |tci: u16| vec![(trunk.0, q(&plain, tci))];
    for (tci, to) in [
        (0x6000 | 100, &all[..]),
        (0x6000 | 101, &[router]),
        (0x6000 | 102, &[router, office, other_office]),
        (0x6000 | 103, &[router, kitchen]),
    ] {
        let expected = plainly(to, with_priority(0x6000 | 100));
        assert_eq!(carry(&mut bridge, link, &q(&plain, tci), T), expected, "{tci:#x}");
    }
    let expected = plainly(&all, vec![(link.0, q(&plain, 100))]);
    assert_eq!(carry(&mut bridge, trunk, &q(&plain, 100), T), expected);
    // A promiscuous port says nothing in the name of others, nor a host in that of the primary.
    assert!(carry(&mut bridge, trunk, &q(&plain, 101), T).is_empty());
    assert!(carry(&mut bridge, room, &q(&plain, 100), T).is_empty());
    assert_eq!(bridge.counters(trunk).dropped(DropReason::VlanNotMember), 1);
}

#[test]
fn what_is_learned_in_one_part_is_known_in_all() {
    let (mut bridge, Hotel { router, room, other_room, office, other_office, kitchen, link, .. }) = hotel();
    for (port, n) in [(router, 1), (room, 2), (other_room, 3), (office, 4), (other_office, 5), (kitchen, 6)] {
        send_bytes(&mut bridge, port, &broadcast(n), T);
    }
    assert!(bridge.fdb().all(|entry| entry.fid == 100), "in the database of the primary");
    let mut reaches = |from: PortId, source, to| send(&mut bridge, from, station(to), station(source), T);
    assert_eq!((reaches(router, 1, 2), reaches(room, 2, 1)), (vec![room.0], vec![router.0]));
    assert_eq!((reaches(office, 4, 1), reaches(office, 4, 5)), (vec![router.0], vec![other_office.0]));
    for (from, source, to) in [(room, 2, 3), (room, 2, 4), (office, 4, 2), (office, 4, 6), (kitchen, 6, 5)] {
        assert!(reaches(from, source, to).is_empty(), "{source} to {to}");
    }
    assert_eq!(bridge.counters(room).dropped(DropReason::PrivateVlan), 2);
    // A station that moves, between parts too, is where it spoke last.
    let moved = carry(&mut bridge, link, &q(&bytes(station(1), station(2), 60), 101), T);
    assert_eq!(moved.iter().map(|(port, _)| *port).collect::<Vec<_>>(), [router.0]);
    assert_eq!(bridge.entry_in(Some(vid(103)), station(2)).unwrap().port, Some(link));
    let to = bytes(station(2), station(1), 60);
    assert_eq!(carry(&mut bridge, router, &to, T), [(link.0, q(&to, 100))]);
}

#[test]
fn the_host_is_reached_from_every_part_it_may_be_reached_from() {
    let (mut bridge, Hotel { router, room, office, .. }) = hotel();
    let host = host_port(&mut bridge);
    bridge.set_local(host, Some(station(100)), LocalKind::HostPort);
    bridge.add_vlan(host, vid(100), HOST).unwrap();
    for (from, n) in [(room, 1), (office, 2), (router, 3)] {
        assert_eq!(send(&mut bridge, from, station(100), station(n), T), [host.0]);
        // And nobody else is it.
        send_bytes(&mut bridge, from, &broadcast(100), T);
        assert_eq!(bridge.counters(from).own_source, 1);
    }
    bridge.set_vlans(host, &[(vid(101), HOST)]).unwrap();
    assert_eq!(send(&mut bridge, router, station(100), station(3), T), [host.0]);
    assert!(send(&mut bridge, room, station(100), station(1), T).is_empty());
    assert_eq!(bridge.counters(room).dropped(DropReason::PrivateVlan), 1);
}

#[test]
fn another_number_on_the_wire_is_that_of_the_vlan_a_port_is_in() {
    let (mut bridge, Hotel { room, trunk, link, .. }) = hotel();
    let wire = |number| Membership { wire: Some(vid(number)), ..TAGGED };
    bridge.add_vlan(trunk, vid(100), wire(3000)).unwrap();
    bridge.add_vlan(link, vid(101), wire(3001)).unwrap();
    let sent = carry(&mut bridge, room, &broadcast(1), T);
    assert!(
        sent.contains(&(trunk.0, q(&broadcast(1), 3000))) && sent.contains(&(link.0, q(&broadcast(1), 3001)))
    );
    let sent = carry(&mut bridge, trunk, &q(&broadcast(2), 3000), T);
    assert!(sent.contains(&(room.0, broadcast(2))) && sent.contains(&(link.0, q(&broadcast(2), 100))));
    // A host's port that is tagged: what it gets has the number of its own VLAN.
    bridge.set_vlans(room, &[(vid(101), TAGGED)]).unwrap();
    let sent = carry(&mut bridge, trunk, &q(&broadcast(2), 3000), T);
    assert!(sent.contains(&(room.0, q(&broadcast(2), 101))), "{sent:?}");
}

#[test]
fn the_state_of_a_vlan_counts_on_the_port_that_is_in_it() {
    let (mut bridge, Hotel { router, room, office, .. }) = hotel();
    send_bytes(&mut bridge, router, &broadcast(1), T);
    bridge.set_vlan_state(router, vid(100), PortState::Blocking).unwrap();
    assert!(send(&mut bridge, room, station(1), station(2), T).is_empty());
    assert_eq!(bridge.counters(room).dropped(DropReason::EgressVlanBlocked), 1);
    bridge.set_vlan_state(router, vid(100), PortState::Forwarding).unwrap();
    bridge.set_vlan_state(office, vid(102), PortState::Learning).unwrap();
    let sent = send(&mut bridge, router, BROADCAST, station(1), T);
    assert!(sent.contains(&room.0) && !sent.contains(&office.0));
}

#[test]
fn frames_count_where_they_came_in_and_as_they_went_out() {
    let (mut bridge, Hotel { router, room, link, .. }) = hotel();
    send_bytes(&mut bridge, room, &broadcast(1), T);
    send_bytes(&mut bridge, router, &broadcast(2), T);
    let frames = |port, number| {
        let counters = bridge.vlan_counters(port, vid(number)).unwrap();
        (counters.rx_frames, counters.tx_frames)
    };
    assert_eq!((frames(room, 101), frames(router, 100)), ((1, 1), (1, 1)));
    assert_eq!((frames(link, 100), frames(link, 101), frames(router, 101)), ((0, 1), (0, 1), (0, 0)));
}

#[test]
fn a_frames_way_is_explained_with_the_parts() {
    let (mut bridge, Hotel { router, room, other_room, office, .. }) = hotel();
    send_bytes(&mut bridge, other_room, &broadcast(3), T);
    let explain =
        |from, bytes: &[u8]| bridge.explain(from, &Frame::parse(bytes, 0, None, Offload::default()), T);
    let said = explain(room, &broadcast(1));
    let isolated = PrivateRole { kind: PrivateKind::Isolated, primary: vid(100) };
    assert_eq!(said.vlan.unwrap().private, Some(isolated));
    let words = |from, bytes: &[u8]| explain(from, bytes).steps(|port| port.0.to_string())[1].words.clone();
    assert_eq!(
        words(room, &broadcast(1)),
        "VLAN 101 (isolated, of 100), the port's PVID, for it has no tag; priority 0"
    );
    assert!(words(office, &broadcast(1)).starts_with("VLAN 102 (a community of 100), "));
    assert!(words(router, &broadcast(1)).starts_with("VLAN 100 (primary), "));
    let steps = said.steps(|port| format!("p{}", port.0));
    let of_other =
        format!("p{} does not get it: the frame's part of the private VLAN does not reach it", other_room.0);
    assert!(steps.iter().any(|step| step.words == of_other), "{steps:?}");
    assert!(said.ports.contains(&(office, Verdict::Refuses(Refusal::PrivateVlan))));
    let said = explain(room, &bytes(station(3), station(1), 60));
    assert_eq!(said.outcome, Err(DropReason::PrivateVlan));
    assert_eq!(said.entry.unwrap().port, Some(other_room));
}

#[test]
fn what_a_port_can_not_be_is_refused_with_the_reason() {
    let (mut bridge, Hotel { router, room, link, .. }) = hotel();
    let roles = |port, one, other| Err(VlanRefused::Roles(port, vid(one), vid(other)));
    assert_eq!(bridge.add_vlan(room, vid(102), HOST), roles(room, 101, 102));
    assert_eq!(bridge.add_vlan(room, vid(100), TAGGED), roles(room, 100, 101));
    let untagged = Membership { untagged: true, ..TAGGED };
    assert_eq!(bridge.add_vlan(link, vid(103), untagged), roles(link, 100, 103));
    assert_eq!(bridge.set_vlans(router, &[(vid(102), HOST), (vid(103), TAGGED)]), roles(router, 102, 103));
    assert_eq!(bridge.vlans(router).count(), 1, "nothing has changed");
    let words = bridge.add_vlan(room, vid(102), HOST).unwrap_err().to_string();
    assert!(
        words.starts_with("port number 1 can't be in VLANs 101 and 102 so: of a private VLAN"),
        "{words}"
    );
    bridge.add_vlan(room, vid(5), TAGGED).unwrap();

    let twice = PrivateVlan { primary: vid(200), isolated: Some(vid(103)), communities: vec![] };
    assert_eq!(bridge.set_private_vlans(vec![guests(), twice.clone()]), Err(VlanRefused::InTwo(vid(103))));
    let itself = PrivateVlan { isolated: Some(vid(200)), ..twice };
    let refused = bridge.set_private_vlans(vec![itself]).unwrap_err();
    assert_eq!(
        refused.to_string(),
        "VLAN 200 would be two parts of private VLANs, or twice the same: name it once"
    );
    assert_eq!(bridge.private_vlans().cloned().collect::<Vec<_>>(), [guests()]);
}

#[test]
fn entries_are_made_and_flushed_in_every_part_at_once() {
    let (mut bridge, Hotel { router, room, office, .. }) = hotel();
    bridge.add_entry((station(1), Some(vid(101))), NewEntry::Static(room), T).unwrap();
    assert_eq!(send(&mut bridge, router, station(1), station(9), T), [room.0]);
    let exists = bridge.add_entry((station(1), Some(vid(100))), NewEntry::Static(room), T);
    assert_eq!(exists, Err(EntryRefused::Exists(station(1))));
    let elsewhere = bridge.add_entry((station(1), Some(vid(5))), NewEntry::Static(room), T);
    assert_eq!(elsewhere, Err(EntryRefused::NotInVlan(room, vid(5))));
    bridge.add_entry(station(2), NewEntry::Static(office), T).unwrap();
    let fids = bridge.fdb().filter(|entry| entry.mac == station(2)).map(|entry| entry.fid);
    assert_eq!(fids.collect::<std::collections::BTreeSet<_>>(), [0, 100].into());
    assert_eq!(bridge.flush_in(Some(vid(103)), Some(router), None), 1, "station 9, whatever the part");
    bridge.remove_entry((station(1), Some(vid(102))), Some(room), T).unwrap();
    assert_eq!(bridge.fid(vid(102)), 100);
}

#[test]
fn a_change_of_the_private_vlans_touches_no_other_and_keeps_what_was_configured() {
    let (mut bridge, Hotel { router, room, trunk, .. }) = hotel();
    let other = port(&mut bridge);
    bridge.add_vlan(other, vid(7), HOST).unwrap();
    send_bytes(&mut bridge, other, &broadcast(7), T);
    send_bytes(&mut bridge, room, &broadcast(2), T);
    bridge.add_static((station(1), Some(vid(101))), room).unwrap();
    bridge.add_static((station(3), Some(vid(100))), router).unwrap();
    bridge.add_entry((station(4), Some(vid(102))), NewEntry::Blackhole, T).unwrap();
    let all = |bridge: &Bridge| {
        let mut all: Vec<_> = bridge.fdb().map(|entry| (entry.fid, entry.mac, entry.port)).collect();
        all.sort_unstable();
        all
    };
    let before = all(&bridge);
    bridge.set_private_vlans(vec![guests()]).unwrap();
    assert_eq!(all(&bridge), before, "the same is no change");
    bridge.set_private_vlans(vec![]).unwrap();
    let seven = (7, station(7), Some(other));
    let (one, three) = ((101, station(1), Some(room)), (100, station(3), Some(router)));
    assert_eq!(all(&bridge), [seven, three, (100, station(4), None), one]);
    // They are VLANs like others now.
    assert!(send_bytes(&mut bridge, room, &broadcast(2), T).iter().all(|port| *port != router.0));
    assert_eq!(send(&mut bridge, room, station(1), station(9), T), [0; 0], "same port");
    bridge.set_private_vlans(vec![guests()]).unwrap();
    let three = (100, station(3), Some(router));
    let one = (100, station(1), Some(room));
    assert_eq!(all(&bridge), [seven, one, three, (100, station(4), None)]);
    assert_eq!(send(&mut bridge, trunk, station(7), station(8), T), [0; 0], "no PVID");
    assert_eq!(carry(&mut bridge, trunk, &q(&bytes(station(7), station(8), 60), 7), T).len(), 1);
}

#[test]
fn without_filtering_they_only_wait() {
    let (mut bridge, Hotel { room, other_room, .. }) = hotel();
    bridge.set_vlan_settings(VlanSettings { filtering: false, ..bridge.vlan_settings() });
    assert!(send_bytes(&mut bridge, room, &broadcast(1), T).contains(&other_room.0));
    bridge.set_vlan_settings(VlanSettings { filtering: true, ..bridge.vlan_settings() });
    assert!(!send_bytes(&mut bridge, room, &broadcast(1), T).contains(&other_room.0));
}

#[test]
fn what_another_process_knew_is_known_in_all_parts() {
    let (mut bridge, Hotel { router, room, .. }) = hotel();
    bridge.set_private_vlans(vec![]).unwrap();
    send_bytes(&mut bridge, room, &broadcast(2), T);
    let known = bridge.fdb().collect();
    let (mut heir, _) = hotel();
    heir.inherit_entries(known, T);
    assert_eq!(send(&mut heir, router, station(2), station(1), T), [room.0]);
}
