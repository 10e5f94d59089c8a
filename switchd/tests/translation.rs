//! VLANs that have other numbers on the wire of a port, by the documentation's own example; and what a reload and a
//! profile make of it.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod picture;

use std::fs;

use picture::{BROADCAST, SOON, frame, mac, quiet};
use testbed::{Capture, End, FrameSocket, Namespace, Switchd, veth, wait_until};

const REFERENCE: &str = include_str!("../../docs/configuration.md");

/// The example of `translate` in the documentation.
fn documented() -> &'static str {
    let mut examples = REFERENCE.split("```toml\n").skip(1).filter_map(|rest| rest.split("```").next());
    examples.find(|example| example.contains("translate = ")).unwrap()
}

fn tagged(from: u8, tci: u16, word: &str) -> Vec<u8> {
    let plain = frame(BROADCAST, mac(from), word);
    [&plain[..12], &[0x81, 0], &tci.to_be_bytes(), &plain[12..]].concat()
}

/// The host on `vnet0` and the provider on `eth0` of the example.
struct Ends {
    office: Namespace,
    provider: Namespace,
}

impl Ends {
    /// What `to` gets of frames that `from` sends, one after the other; the last one is to get there.
    fn carried(from: &Namespace, to: &Namespace, frames: &[Vec<u8>], last: &[u8]) -> Vec<Vec<u8>> {
        let capture = Capture::start(to, "eth0", &["-Q", "in"]).unwrap();
        let mut socket = FrameSocket::open(from, "eth0").unwrap();
        frames.iter().for_each(|frame| socket.send(frame).unwrap());
        capture.wait_for(SOON, "the last frame", |bytes| bytes == last).unwrap();
        capture.stop().unwrap().into_iter().map(|frame| frame.bytes).collect()
    }

    /// Whether VLAN 10 is `wire` at the provider, both ways, and nothing else is, and VLAN 20 is itself.
    fn is_called(&self, wire: u16) {
        let plain = frame(BROADCAST, mac(1), "office");
        let out = tagged(1, wire, "office");
        assert_eq!(Self::carried(&self.office, &self.provider, &[plain], &out), std::slice::from_ref(&out));
        // With a priority, which stays; and by the number inside, by one that has been, and by another VLAN's.
        let others = [10, 100, 300, 20].into_iter().filter(|number| *number != wire);
        let mut frames: Vec<_> = others.map(|number| tagged(2, number, "not this")).collect();
        frames.push(tagged(2, 0x6000 | wire, "this"));
        let plain = frame(BROADCAST, mac(2), "this");
        let got = Self::carried(&self.provider, &self.office, &frames, &plain);
        assert_eq!(got, [plain], "{wire}");
    }
}

#[test]
fn the_offices_vlan_is_another_at_the_provider_as_the_documentation_says() {
    let switch = quiet("switch");
    let ends = Ends { office: quiet("office"), provider: quiet("provider") };
    for (host, device) in [(&ends.office, "vnet0"), (&ends.provider, "eth0")] {
        veth(End::new(host, "eth0"), End::new(&switch, device)).unwrap();
    }
    let switchd = Switchd::start(&switch, documented()).unwrap();
    ends.is_called(100);
    let mut client = switchd.control().unwrap();
    let dropped = |client: &mut control::Client| {
        let drops = client.show_port("provider").unwrap().drops;
        drops.iter().find(|drop| drop.reason == "vlan_not_member").map_or(0, |drop| drop.frames)
    };
    wait_until(SOON, "10 and 300 are no VLANs there", || dropped(&mut client) == 2).unwrap();

    // The same by a profile, with another number.
    let file = switchd.directory().join("switchd.toml");
    let own = "trunk = [\"10\", \"20\"]\ntranslate = { 100 = 10 }\n";
    let profile = "[profiles.uplink]\ntrunk = [\"10\", \"20\"]\ntranslate = { 300 = 10 }\n";
    let by_profile = documented().replace(own, "profile = \"uplink\"\n");
    assert_ne!(by_profile, documented());
    fs::write(&file, format!("{profile}{by_profile}")).unwrap();
    let changes = client.reload().unwrap().changes;
    assert_eq!(changes, ["profile uplink added", "port provider: translate { 100 = 10 } -> { 300 = 10 }"]);
    ends.is_called(300);
    let shown = client.show_config().unwrap();
    assert!(shown.contains("[profiles.uplink]") && shown.contains("profile = \"uplink\""), "{shown}");
    // A port's own keys about VLANs are all there are.
    fs::write(&file, format!("{profile}{}", documented())).unwrap();
    client.reload().unwrap();
    ends.is_called(100);
}
