use bridge::{BridgeSettings, EntryKind, Membership, PortState, VlanCounters};
use frame::Vid;
use proptest::prelude::*;

use super::*;
use crate::command::{PortReport, Report};

/// A bridge with two ports, of which each has something to tell, and what control knows of it.
fn known() -> (Bridge, Vec<Attachment>, Config, Report) {
    let text = "[bridge]\nvlan_filtering = true\nvlan_stats = true\nvlan_stats_per_port = true\n\
                [ports.a]\ntype = \"tap\"\n[ports.b]\ntype = \"raw\"\n\
                [[fdb]]\nmac = \"02:00:00:00:00:09\"\nport = \"b\"\n";
    let config = config::parse("x.toml", text).unwrap();
    let (mut bridge, mut attachments) = crate::assembly::assemble(&config).unwrap();
    bridge.save_fdb_changes();
    let heard = |number: u8, port: u16, ms: u64| FdbEntry {
        mac: MacAddr([2, 0, 0, 0, 0, number]),
        fid: 0,
        port: Some(PortId(port)),
        kind: EntryKind::Dynamic,
        updated: Some(Moment(ms)),
    };
    bridge.inherit_entries(vec![heard(1, 0, 1_000), heard(2, 1, 2_000)], Moment(3_000));
    bridge.sent(PortId(1), 60, 1);
    bridge
        .add_vlan(PortId(1), Vid::new(77).unwrap(), Membership { pvid: true, untagged: false, wire: None })
        .unwrap();
    bridge.set_vlan_state(PortId(1), Vid::new(77).unwrap(), PortState::Blocking).unwrap();
    let counted = VlanCounters { rx_frames: 4, ..VlanCounters::default() };
    bridge.inherit_vlan_counters(PortId(1), Vid::new(77).unwrap(), counted);
    attachments[1].steered = true;
    let ports = attachments.iter().map(|port| PortReport {
        id: port.id,
        settings: port.settings,
        counters: bridge.counters(port.id).clone(),
        socket_lost: 7,
    });
    let fdb_counters = FdbCounters { moved: 3, ..Default::default() };
    let settings = BridgeSettings { group_fwd_mask: 0x4000, ..*bridge.settings() };
    let report = Report { ports: ports.collect(), settings, fdb_len: bridge.fdb_len(), fdb_counters };
    (bridge, attachments, config, report)
}

/// Two ports without a device, and a bridge.
fn heirs() -> (Config, Bridge, Vec<Attachment>) {
    let text = "[ports.a]\ntype = \"tap\"\n[ports.b]\ntype = \"raw\"\n";
    let config = config::parse("x.toml", text).unwrap();
    let (bridge, attachments) = crate::assembly::assemble(&config).unwrap();
    (config, bridge, attachments)
}

fn head(configuration: &str) -> Head {
    let (bridge, attachments, config, report) = known();
    let vlans = vlans::KnownVlans {
        ports: [(PortId(1), vlans::known_of_port(&bridge, PortId(1)))].into(),
        ..Default::default()
    };
    let known = Known { attachments: &attachments, config: &config, report: &report, vlans };
    Head::new(&known, configuration, (1, [2, 3]))
}

#[test]
fn what_is_encoded_is_decoded() {
    let head = Head::decode(&head("the text").encode()).unwrap();
    assert_eq!(head.settings.group_fwd_mask, Some(0x4000));
    assert_eq!((head.configuration.as_str(), head.area, head.used), ("the text", 1, [2, 3]));
    assert_eq!(head.ports[1].counters["tx_frames"], 1);
    assert_eq!((head.ports[1].socket_lost, head.fdb["moved"]), (7, 3));
    assert_eq!(head.ports[1].vlans.len(), 2);
}

/// What a [`Memory`] has written is what the next one reads, and the heirs know it.
#[test]
fn what_was_saved_is_handed_over() {
    let (mut bridge, attachments, config, report) = known();
    let region = Region::new().unwrap();
    let (file, mut memory) = (region.as_fd().try_clone_to_owned().unwrap(), memory(region));
    memory.set_configuration("the text".to_owned());
    memory.save_places(&bridge.take_unsaved(100));
    let vlans = vlans::KnownVlans {
        ports: [(PortId(1), vlans::known_of_port(&bridge, PortId(1)))].into(),
        ..Default::default()
    };
    memory.save(&Known { attachments: &attachments, config: &config, report: &report, vlans });
    let (region, payload) = Region::adopt(file).unwrap();
    let state = memory.read(&region, &payload).unwrap();
    assert_eq!(memory.places.extent(), (0, [0, 0]), "the next one writes beside it");
    let sorted = |mut entries: Vec<FdbEntry>| {
        entries.sort_unstable();
        entries
    };
    assert_eq!(sorted(state.entries.clone()), sorted(bridge.fdb().collect()));
    let (mut heir, _) = crate::assembly::assemble(&config).unwrap();
    vlans::restore(&mut heir, PortId(1), &state.head.ports[1].vlans);
    assert_eq!(heir.vlans(PortId(1)).collect::<Vec<_>>(), bridge.vlans(PortId(1)).collect::<Vec<_>>());
    let mut attachments = attachments;
    let mut heirs = Heirs { bridge: &mut heir, attachments: &mut attachments, had: &[Had::default(); 2] };
    state.hand_over(&mut heirs, Some(&config), &config, Moment(4_000));
    let vid = Vid::new(77).unwrap();
    assert_eq!(heir.vlan_counters(PortId(1), vid), bridge.vlan_counters(PortId(1), vid));
    // On ports without their device nothing is known of stations but what the file says, in no VLAN and in the one.
    assert_eq!(heir.fdb_len(), 2);
}

fn memory(region: Region) -> Memory {
    Memory {
        region: Some(region),
        in_hand: Vec::new(),
        store: Store { used: false },
        places: Places::beside(0),
        configuration: String::new(),
        restarts: 0,
    }
}

#[test]
fn an_unknown_counter_and_an_unknown_key_do_not_matter() {
    let head = r#"{"ports":[{"name":"a","counters":{"tx_frames":5,"tx_smoke":6}}],"weather":"fine"}"#;
    let state = State { head: Head::decode(head.as_bytes()).unwrap(), entries: Vec::new() };
    let (config, mut bridge, mut attachments) = heirs();
    let mut heirs = Heirs { bridge: &mut bridge, attachments: &mut attachments, had: &[Had::default(); 2] };
    state.hand_over(&mut heirs, Some(&config), &config, Moment(1));
    assert_eq!(bridge.counters(PortId(0)).tx_frames, 5);
}

proptest! {
    /// Whatever is in the memory, reading it does not fail worse than with nothing.
    #[test]
    fn any_head_can_be_decoded_and_handed_over(
        changes in prop::collection::vec((any::<usize>(), any::<u8>()), 0..30),
        cut in any::<usize>(),
    ) {
        let mut bytes = head("[ports.a]\n").encode();
        for (at, byte) in changes {
            let at = at % bytes.len();
            bytes[at] = byte;
        }
        bytes.truncate(cut % (2 * bytes.len()));
        if let Some(head) = Head::decode(&bytes) {
            let state = State { head, entries: Vec::new() };
            let (config, mut bridge, mut attachments) = heirs();
            let mut heirs =
                Heirs { bridge: &mut bridge, attachments: &mut attachments, had: &[Had::default(); 2] };
            state.hand_over(&mut heirs, Some(&config), &config, Moment(5_000));
        }
    }
}
