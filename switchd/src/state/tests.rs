use proptest::prelude::*;

use super::*;
use crate::command::PortReport;

fn report() -> (Vec<Attachment>, Report) {
    let text = "[ports.a]\ntype = \"tap\"\n[ports.b]\ntype = \"raw\"\n[[fdb]]\nmac = \"02:00:00:00:00:09\"\nport = \"b\"\n";
    let config = config::parse("x.toml", text).unwrap();
    let (mut bridge, attachments) = crate::assembly::assemble(&config).unwrap();
    let heard = |number: u8, port: u16, ms: u64| FdbEntry {
        mac: MacAddr([2, 0, 0, 0, 0, number]),
        fid: 0,
        port: Some(PortId(port)),
        kind: EntryKind::Dynamic,
        updated: Some(Moment(ms)),
    };
    bridge.inherit_entries(vec![heard(1, 0, 1_000), heard(2, 1, 2_000)], Moment(3_000));
    bridge.sent(PortId(1), 60, 1);
    let ports = attachments.iter().map(|port| PortReport {
        id: port.id,
        settings: port.settings,
        counters: bridge.counters(port.id).clone(),
        socket_lost: 7,
    });
    let (ports, fdb) = (ports.collect(), bridge.fdb().collect());
    let fdb_counters = FdbCounters { moved: 3, ..Default::default() };
    let settings = BridgeSettings { group_fwd_mask: 0x4000, ..*bridge.settings() };
    (attachments, Report { ports, settings, fdb, fdb_counters })
}

/// Two ports without a device, and a bridge.
fn heirs() -> (Config, Bridge, Vec<Attachment>) {
    let text = "[ports.a]\ntype = \"tap\"\n[ports.b]\ntype = \"raw\"\n";
    let config = config::parse("x.toml", text).unwrap();
    let (bridge, attachments) = crate::assembly::assemble(&config).unwrap();
    (config, bridge, attachments)
}

fn encode(configuration: &str) -> (Report, Vec<u8>) {
    let (attachments, report) = report();
    let bytes = State::encode(&attachments, &BridgeSettings::default(), &report, configuration);
    (report, bytes)
}

#[test]
fn what_is_encoded_is_decoded() {
    let (report, bytes) = encode("the text");
    let state = State::decode(&bytes).unwrap();
    assert_eq!(state.head.settings.group_fwd_mask, Some(0x4000));
    assert_eq!(state.configuration(), "the text");
    assert_eq!(state.entries, report.fdb);
    assert_eq!(state.head.ports[1].counters["tx_frames"], 1);
    assert_eq!((state.sockets_lost()["b"], state.head.fdb["moved"]), (7, 3));
}

#[test]
fn an_unknown_counter_and_an_unknown_key_do_not_matter() {
    let head = r#"{"ports":[{"name":"a","counters":{"tx_frames":5,"tx_smoke":6}}],"weather":"fine"}"#;
    let mut bytes = (head.len() as u32).to_le_bytes().to_vec();
    bytes.extend_from_slice(head.as_bytes());
    let state = State::decode(&bytes).unwrap();
    let (config, mut bridge, mut attachments) = heirs();
    let mut heirs = Heirs { bridge: &mut bridge, attachments: &mut attachments, opened: &[None, None] };
    state.hand_over(&mut heirs, Some(&config), &config, Moment(1));
    assert_eq!(bridge.counters(PortId(0)).tx_frames, 5);
}

proptest! {
    /// Whatever is in the memory, reading it does not fail worse than with nothing.
    #[test]
    fn any_bytes_can_be_decoded_and_handed_over(
        changes in prop::collection::vec((any::<usize>(), any::<u8>()), 0..30),
        cut in any::<usize>(),
    ) {
        let (_, mut bytes) = encode("[ports.a]\n");
        for (at, byte) in changes {
            let at = at % bytes.len();
            bytes[at] = byte;
        }
        bytes.truncate(cut % (2 * bytes.len()));
        if let Some(state) = State::decode(&bytes) {
            let (config, mut bridge, mut attachments) = heirs();
            let mut heirs =
                Heirs { bridge: &mut bridge, attachments: &mut attachments, opened: &[None, None] };
            state.hand_over(&mut heirs, Some(&config), &config, Moment(5_000));
            prop_assert!(bridge.fdb_len() <= state.entries.len());
        }
    }
}
