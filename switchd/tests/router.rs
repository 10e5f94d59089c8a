//! A router on a stick: two VLANs behind access ports, and a router that has an interface in each of them on
//! one trunk. In a guest, whose kernel has VLAN devices.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::time::Duration;

use testbed::test_in_lab;

/// It takes half a minute; a busy machine is several times slower.
const LONG: Duration = Duration::from_secs(240);

#[test]
fn a_router_on_a_stick_joins_two_vlans_and_nothing_leaks() {
    println!("{}", test_in_lab("inside::a_router_on_a_stick", LONG).unwrap());
}

mod inside {
    use std::time::Duration;

    use testbed::link::{add_address, move_device};
    use testbed::{Capture, End, FrameSocket, Namespace, Switchd, ping, tcp_transfer, veth, wait_until};

    const SOON: Duration = Duration::from_secs(30);

    const CONFIG: &str = r#"
        [bridge]
        vlan_filtering = true
        default_pvid = 0

        [ports.red1]
        type = "tap"
        mtu = 9000
        access = 10

        [ports.red2]
        type = "raw"
        access = 10

        [ports.blue1]
        type = "tap"
        mtu = 9000
        access = 20

        [ports.stick]
        type = "raw"
        trunk = ["10", "20"]

        [ports.host0]
        type = "tap"
        mtu = 9000
        host = true
        access = 10
    "#;

    /// 9000 bytes with the headers of IP and ICMP.
    const JUMBO: &str = "8972";

    const HOSTS: [(&str, u8); 4] = [("red1", 1), ("red2", 2), ("blue1", 3), ("stick", 4)];

    fn mac(number: u8) -> String {
        format!("02:00:00:00:00:{number:02x}")
    }

    /// A namespace where nobody speaks unasked.
    fn quiet(name: &str) -> Namespace {
        let namespace = Namespace::new(name).unwrap();
        for which in ["all", "default"] {
            namespace.run(&format!("sysctl -q -w net.ipv6.conf.{which}.disable_ipv6=1")).unwrap();
        }
        namespace
    }

    struct Net {
        switchd: Switchd,
        switch: Namespace,
        hosts: Vec<Namespace>,
    }

    impl Net {
        fn new() -> Self {
            let switch = quiet("switch");
            let hosts: Vec<Namespace> = HOSTS.iter().map(|(name, _)| quiet(name)).collect();
            let end = |at: usize| End::new(&hosts[at], "eth0").mac(&mac(HOSTS[at].1)).mtu(9000);
            veth(end(1).address("198.18.10.2/24"), End::new(&switch, "red2").mtu(9000)).unwrap();
            veth(end(3), End::new(&switch, "stick").mtu(9000)).unwrap();
            let switchd = Switchd::start(&switch, CONFIG).unwrap();
            move_device(&switch, "red1", end(0).address("198.18.10.1/24")).unwrap();
            move_device(&switch, "blue1", end(2).address("198.18.20.3/24")).unwrap();
            add_address(&switch, "host0", "198.18.10.5/24").unwrap();
            switch.ip("link set host0 up").unwrap();
            let router = &hosts[3];
            for vlan in [10, 20] {
                router.ip(&format!("link add link eth0 name eth0.{vlan} type vlan id {vlan}")).unwrap();
                add_address(router, &format!("eth0.{vlan}"), &format!("198.18.{vlan}.254/24")).unwrap();
                router.ip(&format!("link set eth0.{vlan} up")).unwrap();
            }
            router.run("sysctl -q -w net.ipv4.ip_forward=1").unwrap();
            for (host, vlan) in [(&hosts[0], 10), (&hosts[1], 10), (&hosts[2], 20), (&switch, 10)] {
                host.ip(&format!("route add default via 198.18.{vlan}.254")).unwrap();
            }
            Self { switchd, switch, hosts }
        }

        fn capture(&self) -> Vec<Capture> {
            let capture = |host| Capture::start(host, "eth0", &["-Q", "in"]).unwrap();
            self.hosts.iter().map(capture).collect()
        }
    }

    /// How many of these frames are from that host, with those bytes behind the addresses.
    fn count(frames: &[Vec<u8>], from: u8, behind: &[u8]) -> usize {
        let is_one =
            |frame: &&Vec<u8>| frame[6..12] == [2, 0, 0, 0, 0, from] && frame[12..].starts_with(behind);
        frames.iter().filter(is_one).count()
    }

    #[test]
    #[ignore = "runs in the guest"]
    fn a_router_on_a_stick() {
        let mut net = Net::new();
        wait_until(SOON, "the host's port answers", || {
            ping(&net.hosts[0], "198.18.10.5", 1).is_ok_and(|ping| ping.lost() == 0)
        })
        .unwrap();

        let captures = net.capture();
        // Within VLAN 10, with the host's own port too; to the router in both; and through it.
        let within = [(0, "198.18.10.2"), (1, "198.18.10.5"), (0, "198.18.10.254"), (2, "198.18.20.254")];
        let between = [(0, "198.18.20.3"), (1, "198.18.20.3"), (2, "198.18.10.1"), (2, "198.18.10.5")];
        for (from, to) in within.into_iter().chain(between) {
            let name = HOSTS[from].0;
            assert_eq!(ping(&net.hosts[from], to, 3).unwrap().lost(), 0, "from {name} to {to}");
            // A whole jumbo frame, which on the trunk has four bytes more.
            let jumbo = format!("ping -q -c 3 -i 0.2 -W 5 -M do -s {JUMBO} {to}");
            let said = net.hosts[from].run(&jumbo).unwrap_or_else(|error| error.to_string());
            assert!(said.contains(" 3 received"), "from {name} to {to}: {said}");
        }
        assert_eq!(ping(&net.switch, "198.18.20.3", 3).unwrap().lost(), 0, "from the host's port");

        // Broadcast from VLAN 10 reaches all of VLAN 10 once, and nobody else.
        let mut red = FrameSocket::open(&net.hosts[0], "eth0").unwrap();
        let frame = [&[0xff; 6][..], &[2, 0, 0, 0, 0, 1], &[0x88, 0xb5], &[7; 50]].concat();
        for _ in 0..100 {
            red.send(&frame).unwrap();
        }
        captures[1].wait_for(SOON, "a broadcast", |bytes| bytes[12..14] == [0x88, 0xb5]).unwrap();
        wait_until(SOON, "the last broadcast", || {
            let frames: Vec<Vec<u8>> =
                captures[3].frames().unwrap().into_iter().map(|frame| frame.bytes).collect();
            count(&frames, 1, &[0x81, 0, 0, 10, 0x88, 0xb5]) == 100
        })
        .unwrap();
        let frames: Vec<Vec<Vec<u8>>> = captures
            .into_iter()
            .map(|capture| capture.stop().unwrap().into_iter().map(|frame| frame.bytes).collect())
            .collect();
        let [red1, red2, blue1, stick] = &frames[..] else { panic!("four captures") };
        assert_eq!(count(red2, 1, &[0x88, 0xb5]), 100);
        assert_eq!(count(stick, 1, &[0x81, 0, 0, 10, 0x88, 0xb5]), 100);
        assert_eq!(count(blue1, 1, &[0x88, 0xb5]), 0);
        // Blue heard the router and nobody else, and red nothing of blue; none of them saw a tag.
        assert_eq!(count(blue1, 4, &[]), blue1.len(), "of {} frames at blue1", blue1.len());
        assert!(!blue1.is_empty() && count(red1, 3, &[]) + count(red2, 3, &[]) == 0);
        for (name, frames) in [("red1", red1), ("red2", red2), ("blue1", blue1)] {
            assert!(frames.iter().all(|frame| frame[12..14] != [0x81, 0]), "{name}");
        }
        // On the stick all are tagged, each with the VLAN of who sent it.
        let of = |from, vlan| (count(stick, from, &[]), count(stick, from, &[0x81, 0, 0, vlan]));
        for (from, vlan) in [(1, 10), (2, 10), (3, 20)] {
            let (all, tagged) = of(from, vlan);
            assert!(all > 0 && all == tagged, "host {from}: {all} frames, {tagged} in VLAN {vlan}");
        }
        let jumbo = stick.iter().filter(|frame| frame.len() == 14 + 4 + 9000).count();
        assert!(jumbo >= 3 * 6, "{jumbo} jumbo frames on the stick");

        // TCP with the offloads of both kinds of ports, through the router's VLAN devices.
        for (from, to, address) in [(0, 2, "198.18.20.3"), (2, 1, "198.18.10.2"), (1, 0, "198.18.10.1")] {
            let bytes = 5_000_000;
            let transfer = tcp_transfer(&net.hosts[from], &net.hosts[to], address, bytes).unwrap();
            assert!(transfer.intact && transfer.bytes == bytes, "to {address}: {transfer:?}");
        }
        let summary = net.switchd.summary().unwrap();
        println!("{} frames on the stick, {jumbo} of them jumbo; {summary:?}", stick.len());
        assert!(net.switchd.terminate().unwrap().success());
    }
}
