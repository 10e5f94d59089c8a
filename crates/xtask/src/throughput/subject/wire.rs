//! The interfaces of hosts, in namespaces without IPv6: nothing but the measurement sends a frame.

use anyhow::Result;
use ports::tap::{self, TapHandle, TapOptions};
use testbed::Namespace;

/// Turns IPv6 off, for devices that are here and for those to come.
pub(super) fn silence(namespace: &Namespace) -> Result<()> {
    namespace.run(
        "sh -c 'for name in all default; do echo 1 >/proc/sys/net/ipv6/conf/$name/disable_ipv6; done 2>/dev/null; \
         true'",
    )?;
    Ok(())
}

/// Sets whether the bridge's frames are shown to iptables, ip6tables and arptables; `false` where the kernel can't.
pub(super) fn bridge_netfilter(namespace: &Namespace, on: bool) -> Result<()> {
    let on = u8::from(on);
    namespace.run(&format!(
        "sh -c 'for file in /proc/sys/net/bridge/bridge-nf-call-*; do [ ! -e $file ] || echo {on} >$file; done'"
    ))?;
    Ok(())
}

/// Makes veths from the switch's `p0`, `p1`, … to `e0`, `e1`, … in the namespaces named.
pub(super) fn veths(switch: &Namespace, ports: &[String], hosts: &[&Namespace]) -> Result<()> {
    let add = |(port, host): (&String, &&Namespace)| {
        let end = end_of(port);
        format!("link add {port} type veth peer name {end} netns {}", host.name())
    };
    let lines: Vec<_> = ports.iter().zip(hosts).map(add).collect();
    switch.ip_batch(&lines)?;
    up(switch, ports)
}

/// Gives the interfaces of the switch's TAPs to the hosts.
pub(super) fn move_to_hosts(switch: &Namespace, ports: &[String], hosts: &[&Namespace]) -> Result<()> {
    let give = |(port, host): (&String, &&Namespace)| {
        format!("link set {port} netns {} name {}", host.name(), end_of(port))
    };
    let lines: Vec<_> = ports.iter().zip(hosts).map(give).collect();
    switch.ip_batch(&lines).map(drop)
}

/// Makes TAPs that we hold, their interfaces in the switch's namespace.
pub(super) fn held_taps(switch: &Namespace, ports: &[String]) -> Result<Vec<TapHandle>> {
    let open = |port: &String| -> Result<TapHandle> {
        let options =
            TapOptions { device: port.clone(), offload: false, persist: false, owner: None, queues: 1 };
        Ok(tap::open(&options)?.handle)
    };
    let taps = switch.enter(|| ports.iter().map(open).collect::<Result<Vec<_>>>())??;
    up(switch, ports)?;
    Ok(taps)
}

pub(super) fn up(namespace: &Namespace, devices: &[String]) -> Result<()> {
    let lines: Vec<_> = devices.iter().map(|device| format!("link set {device} up")).collect();
    namespace.ip_batch(&lines).map(drop)
}

/// The host's name for its end of a port.
pub(super) fn end_of(port: &str) -> String {
    port.replacen('p', "e", 1)
}
