//! What is compared, and how each is set up: at the best settings that its documentation has.

mod bare_loop;
mod openvswitch;
mod rig;
mod shared_memory;
mod testpmd;
mod wire;

use std::process::Command;

use clap::ValueEnum;

pub(crate) use self::bare_loop::{BareLoop, run as run_bare_loop};
pub(crate) use self::rig::{FAR, Rig, Wish};
pub(crate) use self::shared_memory::SharedMemory;
pub(crate) use self::testpmd::Rings;
use crate::run::works;

/// How the hosts are wired to the switch.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Wiring {
    /// Each host has the interface of a TAP whose descriptor the switch holds; of Linux Bridge a veth, as the kernel
    /// holds no descriptor.
    Tap,
    /// Each host has one end of a veth, the switch the other.
    Veth,
    /// The hosts hold the descriptors of TAPs, as virtual machines do, and the switch has the interfaces.
    Vm,
}

impl Wiring {
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Tap => "TAPs that the switch holds",
            Self::Veth => "veths",
            Self::Vm => "TAPs that virtual machines hold",
        }
    }
}

/// What joins the hosts.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Subject {
    /// Reads one port and writes the other
    BareLoop,
    /// switchd
    Switchd,
    /// switchd with `vlan_filtering`
    Filtering,
    /// switchd with two workers, on both cores
    Workers,
    /// switchd with a capture of all that passes, which nobody reads
    Captured,
    /// switchd with a mirror of what comes in on the first port to one more, where nobody reads
    Mirrored,
    /// Another build of switchd
    #[value(skip)]
    Before,
    /// The kernel's, bridge-nf-call-* 0
    LinuxBridge,
    /// The kernel's as a machine with br_netfilter has it by default.
    LinuxBridgeNf,
    /// Its userspace datapath
    #[value(name = "openvswitch")]
    OpenVSwitch,
    /// Its datapath on DPDK
    #[value(skip)]
    OpenVSwitchDpdk,
    /// A loop of DPDK's, which decides nothing
    #[value(skip)]
    DpdkLoop,
    /// vde_switch
    Vde,
}

/// Those with ports on the memory of virtual machines.
pub(crate) const ON_SHARED_MEMORY: [Subject; 3] =
    [Subject::Switchd, Subject::DpdkLoop, Subject::OpenVSwitchDpdk];

/// All that are compared, in the order of the tables.
pub(crate) const ALL: [Subject; 6] = [
    Subject::Switchd,
    Subject::BareLoop,
    Subject::LinuxBridge,
    Subject::LinuxBridgeNf,
    Subject::OpenVSwitch,
    Subject::Vde,
];

impl Subject {
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::BareLoop => "bare loop",
            Self::Switchd => "switchd",
            Self::Filtering => "switchd, VLANs",
            Self::Workers => "switchd, 2 workers",
            Self::Captured => "switchd, captured",
            Self::Mirrored => "switchd, mirrored",
            Self::Before => "switchd, before",
            Self::LinuxBridge => "Linux Bridge",
            Self::LinuxBridgeNf => "Linux Bridge, nf",
            Self::OpenVSwitch => "Open vSwitch",
            Self::OpenVSwitchDpdk => "OVS-DPDK",
            Self::DpdkLoop => "DPDK loop",
            Self::Vde => "vde_switch",
        }
    }

    /// The name of its process; the kernel's bridge has none.
    pub(crate) fn process(self) -> Option<&'static str> {
        match self {
            Self::BareLoop => Some("xtask"),
            Self::Switchd
            | Self::Filtering
            | Self::Workers
            | Self::Captured
            | Self::Mirrored
            | Self::Before => Some("switchd"),
            Self::LinuxBridge | Self::LinuxBridgeNf => None,
            Self::OpenVSwitch => Some("ovs-vswitchd"),
            Self::OpenVSwitchDpdk => Some("ovs-vswitchd-dpdk"),
            Self::DpdkLoop => Some("dpdk-testpmd"),
            Self::Vde => Some("vde_switch"),
        }
    }

    /// How it is set up, in words.
    pub(crate) fn settings(self) -> &'static str {
        match self {
            Self::BareLoop => {
                "reads one port and writes the other, offload headers included, and decides nothing; on packet \
                 sockets with the options of a raw port of switchd, exclusive"
            }
            Self::Switchd => "a release build as it is; raw ports are exclusive, as by default here",
            Self::Filtering => "the same with vlan_filtering, all ports untagged in VLAN 1",
            Self::Workers => "the same with workers = 2, which run on both cores, that of the traffic too",
            Self::Captured => "the same with a capture of all that passes, which nobody reads",
            Self::Mirrored => {
                "the same with a mirror of what comes in on the first port to one more, where nobody reads"
            }
            Self::Before => "another build of it, as it is",
            Self::LinuxBridge => {
                "bridge-nf-call-iptables, -ip6tables and -arptables 0; otherwise as the kernel makes it"
            }
            Self::LinuxBridgeNf => "bridge-nf-call-* 1, the kernel's default, and no rules",
            Self::OpenVSwitch => {
                "the userspace datapath (datapath_type=netdev) with one NORMAL rule, userspace-tso-enable=true; TAPs \
                 are its ports of type tap, veths of type system"
            }
            Self::OpenVSwitchDpdk => {
                "the userspace datapath on DPDK, one polling thread, one NORMAL rule, dpdkvhostuserclient ports"
            }
            Self::DpdkLoop => {
                "dpdk-testpmd with net_vhost ports in io mode: hands what comes from one port to the other"
            }
            Self::Vde => "-tap ports, hash table of 8192, no spanning tree; it does not use offloads",
        }
    }

    /// Whether it can be wired so, with so many ports.
    pub(crate) fn fits(self, wiring: Wiring, ports: usize) -> bool {
        match self {
            Self::BareLoop => ports == 2,
            Self::Vde => wiring == Wiring::Tap,
            _ => true,
        }
    }

    /// What it needs that is not here: a package and what it would add.
    pub(crate) fn missing(self) -> Option<&'static str> {
        let there = match self {
            Self::OpenVSwitch => works(Command::new("ovs-vswitchd").arg("--version")),
            Self::OpenVSwitchDpdk => std::path::Path::new(openvswitch::DPDK).exists(),
            Self::DpdkLoop => works(Command::new("sh").args(["-c", "command -v dpdk-testpmd"])),
            Self::Vde => works(Command::new("vde_switch").arg("--version")),
            Self::LinuxBridgeNf => std::path::Path::new("/proc/sys/net/bridge").exists(),
            _ => true,
        };
        let what = match self {
            Self::OpenVSwitch => "Open vSwitch (package openvswitch-switch)",
            Self::OpenVSwitchDpdk => "Open vSwitch with DPDK (package openvswitch-switch-dpdk)",
            Self::DpdkLoop => "dpdk-testpmd (package dpdk-dev)",
            Self::Vde => "vde_switch (package vde2)",
            _ => "Linux Bridge with bridge-nf-call-* (module br_netfilter)",
        };
        (!there).then_some(what)
    }

    /// The first line of what it says of its version.
    pub(crate) fn version(self, switchd: &std::path::Path) -> Option<String> {
        let program = match self {
            Self::Switchd => switchd,
            Self::OpenVSwitch => "ovs-vswitchd".as_ref(),
            Self::OpenVSwitchDpdk => openvswitch::DPDK.as_ref(),
            Self::Vde => "vde_switch".as_ref(),
            _ => return None,
        };
        let output = Command::new(program).arg("--version").output().ok()?;
        Some(String::from_utf8_lossy(&output.stdout).lines().next()?.trim().to_owned())
    }
}
