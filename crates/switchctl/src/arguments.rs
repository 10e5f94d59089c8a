//! The command line. Verbs and words are those of iproute2's `bridge`.

use std::path::PathBuf;

use clap::{Args, Parser, Subcommand};
use clap_complete::Shell;
use control::types::{Direction, EntryKind, PortState, VlanProtocol};

use crate::values::{
    direction, entry_kind, interval, key_value, mask, on_off, port_state, time, vlan_protocol, vlans,
};

/// Look at a running switchd, and steer it.
#[derive(Debug, Parser)]
#[command(
    version,
    about,
    after_help = "EXIT CODES:\n  \
    0  done\n  \
    1  the switch refused it, or the answer was not understood\n  \
    2  the command line is wrong\n  \
    3  no switchd could be reached\n  \
    4  you may not do this: run it as root\n\n\
    What is set at run time holds as long as the port has its device, and no longer than switchd runs;\n\
    what is to stay belongs into the configuration."
)]
pub(crate) struct Arguments {
    /// Name of the bridge [default: the only one that runs, else switchd]
    #[arg(short, long, global = true, value_name = "NAME", conflicts_with = "socket")]
    pub(crate) bridge: Option<String>,

    /// Its control socket, in place of a name
    #[arg(long, global = true, value_name = "PATH")]
    pub(crate) socket: Option<PathBuf>,

    /// Print JSON, with the keys of `bridge -j` and `ip -j` where those have the same thing
    #[arg(short, long, global = true)]
    pub(crate) json: bool,

    /// Show details
    #[arg(short, long, global = true)]
    pub(crate) details: bool,

    /// Show statistics
    #[arg(short, long, global = true)]
    pub(crate) statistics: bool,

    #[command(subcommand)]
    pub(crate) action: Action,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Action {
    /// The bridge as a whole
    #[command(subcommand)]
    Bridge(BridgeAction),
    /// Ports: state, settings, counters
    #[command(subcommand)]
    Port(PortAction),
    /// Which station is behind which port
    #[command(subcommand)]
    Fdb(FdbAction),
    /// Which port is in which VLAN
    #[command(subcommand)]
    Vlan(VlanAction),
    /// Why frames were dropped, and what to do about it
    #[command(subcommand)]
    Drops(DropsAction),
    /// Say what would become of a frame, and why; changes nothing
    #[command(after_help = "A FRAME is\n  \
        hexadecimal                       ffffffffffff0200000000010806…\n  \
        the Nth frame of a capture file   capture.pcap:N\n  \
        written out                       dst=ff:ff:ff:ff:ff:ff src=02:00:00:00:00:01 vlan=10 type=arp len=60")]
    Explain {
        /// Where it comes in
        #[arg(long, visible_alias = "dev", value_name = "NAME")]
        port: String,
        /// The frame
        #[arg(required = true, value_name = "FRAME")]
        frame: Vec<String>,
    },
    /// Capture frames as they pass, with the reason where they are dropped, as pcapng for Wireshark; for root and the
    /// user that switchd runs as
    #[command(after_help = "EXAMPLES\n  \
        switchctl capture --port vnet0 -w vnet0.pcapng\n  \
        switchctl capture --drops -w - | tshark -r - -T fields -e frame.comment -e eth.src\n  \
        switchctl capture --port vnet0 -w - | tcpdump -nr -\n\n\
        Ctrl-C ends it, and the file is whole. The switch waits for nobody: what is not read in time is left out, \
        counted, and told at the end.")]
    Capture(CaptureArguments),
    /// A live screen: ports with their rates, who sends most, drops by reason, stations; with --json one look at the rates
    Top {
        /// How often it looks
        #[arg(short, long, value_name = "TIME", default_value = "1s", value_parser = interval)]
        interval: u64,
    },
    /// Mirrors: ports that get a copy of what passes others
    #[command(subcommand)]
    Mirror(MirrorAction),
    /// Show what happens, as it happens: stations, ports, configuration
    Monitor,
    /// The configuration: what runs, and how the file differs from it
    #[command(subcommand)]
    Config(ConfigAction),
    /// Let the program that is installed now take over from the one that runs: nobody on a port notices. If it fails,
    /// the one that runs goes on
    Upgrade,
    /// Read the configuration again and do what has changed; a wrong one changes nothing
    Reload,
    /// Versions of this program and of the switchd that runs
    Version,
    /// Print the manual page, as roff
    #[command(hide = true)]
    Man,
    /// Print completions for a shell
    Completions {
        /// For which shell
        shell: Shell,
    },
}

#[derive(Debug, Args)]
pub(crate) struct CaptureArguments {
    /// At this port; may be given several times [default: all, and those to come]
    #[arg(long, visible_alias = "dev", value_name = "NAME")]
    pub(crate) port: Vec<String>,
    /// Only frames of this VLAN; where VLANs are not told apart, those with its tag
    #[arg(long, visible_alias = "vid", value_name = "VID", value_parser = clap::value_parser!(u16).range(1..=4094))]
    pub(crate) vlan: Option<u16>,
    /// Only frames that are dropped, copies that a port did not take among them
    #[arg(long)]
    pub(crate) drops: bool,
    /// Only what comes in, or goes out, at the port
    #[arg(long, default_value = "both", value_parser = direction())]
    pub(crate) direction: Direction,
    /// End after so many frames
    #[arg(short, long, value_name = "N", value_parser = clap::value_parser!(u64).range(1..))]
    pub(crate) count: Option<u64>,
    /// Keep at most so many bytes of a frame [default: all]
    #[arg(long, value_name = "BYTES", value_parser = clap::value_parser!(u32).range(1..))]
    pub(crate) snaplen: Option<u32>,
    /// The file; - for standard output
    #[arg(short, long, value_name = "FILE")]
    pub(crate) write: PathBuf,
}

#[derive(Debug, Subcommand)]
pub(crate) enum BridgeAction {
    /// Show its settings and the size of its FDB
    Show,
    /// Change settings until switchd ends
    Set(BridgeSet),
}

#[derive(Debug, Args)]
#[group(required = true, multiple = true)]
pub(crate) struct BridgeSet {
    /// How long an entry lives without a frame from its station: 300s, 5m, 0 to learn nothing
    #[arg(long, value_name = "TIME", value_parser = time)]
    pub(crate) ageing_time: Option<u64>,
    /// Most stations that are learned; 0 for no such limit
    #[arg(long, value_name = "N")]
    pub(crate) fdb_max_learned: Option<u32>,
    /// Which of 01:80:c2:00:00:00 to 0f are forwarded, one bit each
    #[arg(long, value_name = "MASK", value_parser = mask)]
    pub(crate) group_fwd_mask: Option<u16>,
    /// Whether nothing is learned from those that are not
    #[arg(long, value_name = "on|off", value_parser = on_off)]
    pub(crate) no_linklocal_learn: Option<bool>,
    /// How long a port must be silent before a station leaves it
    #[arg(long, value_name = "TIME", value_parser = time)]
    pub(crate) move_damping: Option<u64>,
    /// Whether VLANs are told apart
    #[arg(long, value_name = "on|off", value_parser = on_off)]
    pub(crate) vlan_filtering: Option<bool>,
    /// Which tags are VLANs; others are payload
    #[arg(long, value_name = "802.1Q|802.1ad", value_parser = vlan_protocol())]
    pub(crate) vlan_protocol: Option<VlanProtocol>,
    /// The VLAN of a new port, and of those that are still in the last one; 0 for none
    #[arg(long, value_name = "VID", value_parser = clap::value_parser!(u16).range(0..=4094))]
    pub(crate) default_pvid: Option<u16>,
}

#[derive(Debug, Subcommand)]
pub(crate) enum PortAction {
    /// Show all ports, or one; -d with all settings, -s with counters
    Show {
        /// Which port
        port: Option<String>,
    },
    /// Add a port until the next reload
    Add {
        /// What it is called
        port: String,
        /// Keys of [ports.NAME] in the configuration with their values: type=raw device=vnet3 isolated=true
        #[arg(required = true, value_name = "KEY=VALUE", value_parser = key_value)]
        options: Vec<(String, serde_json::Value)>,
    },
    /// Take a port away until the next reload
    #[command(visible_alias = "delete")]
    Del {
        /// Which port
        port: String,
    },
    /// Change settings of a port, as long as it has the device that it has now
    Set {
        /// Which port
        port: String,
        #[command(flatten)]
        change: Box<PortSet>,
    },
}

#[derive(Debug, Subcommand)]
pub(crate) enum MirrorAction {
    /// Show the mirrors; -s with what they have copied
    Show,
}

#[derive(Debug, Subcommand)]
pub(crate) enum ConfigAction {
    /// Show the configuration that runs, as a file would have it, with what was set at run time
    Show,
    /// Show what a reload would do
    Diff,
}

#[derive(Debug, Args)]
#[group(required = true, multiple = true)]
pub(crate) struct PortSet {
    /// Whether it takes part
    #[arg(long, value_name = "on|off", value_parser = on_off)]
    pub(crate) enabled: Option<bool>,
    /// disabled, blocking, listening, learning or forwarding
    #[arg(long, value_name = "STATE", value_parser = port_state())]
    pub(crate) state: Option<PortState>,
    /// Whether sources are learned
    #[arg(long, value_name = "on|off", value_parser = on_off)]
    pub(crate) learning: Option<bool>,
    /// Whether it gets unicast to unknown stations
    #[arg(long, value_name = "on|off", value_parser = on_off)]
    pub(crate) flood: Option<bool>,
    /// Whether it gets multicast
    #[arg(long, value_name = "on|off", value_parser = on_off)]
    pub(crate) mcast_flood: Option<bool>,
    /// Whether it gets broadcast
    #[arg(long, value_name = "on|off", value_parser = on_off)]
    pub(crate) bcast_flood: Option<bool>,
    /// Whether its own frames may come back
    #[arg(long, value_name = "on|off", value_parser = on_off)]
    pub(crate) hairpin: Option<bool>,
    /// Whether it is kept apart from other isolated ports
    #[arg(long, value_name = "on|off", value_parser = on_off)]
    pub(crate) isolated: Option<bool>,
    /// Whether only stations with an entry may send; turns no_linklocal_learn on
    #[arg(long, value_name = "on|off", value_parser = on_off)]
    pub(crate) locked: Option<bool>,
    /// Whether a locked port notes the others
    #[arg(long, value_name = "on|off", value_parser = on_off)]
    pub(crate) mab: Option<bool>,
    /// Of the host's port: whether it gets everything
    #[arg(long, value_name = "on|off", value_parser = on_off)]
    pub(crate) promisc: Option<bool>,
    /// Which of 01:80:c2:00:00:00 to 0f are forwarded from here, one bit each
    #[arg(long, value_name = "MASK", value_parser = mask)]
    pub(crate) group_fwd_mask: Option<u16>,
    /// The port that stands in for it while it is down
    #[arg(long, value_name = "PORT", conflicts_with = "nobackup_port")]
    pub(crate) backup_port: Option<String>,
    /// No port stands in for it
    #[arg(long)]
    pub(crate) nobackup_port: bool,
    /// Most stations that are learned on it; 0 for no limit
    #[arg(long, value_name = "N")]
    pub(crate) max_macs: Option<u32>,
}

#[derive(Debug, Subcommand)]
pub(crate) enum FdbAction {
    /// Show the entries: all, or those that fit; -s with their age
    Show {
        /// Of this port
        #[arg(long, visible_alias = "dev", value_name = "NAME")]
        port: Option<String>,
        /// Of this station
        #[arg(long)]
        mac: Option<String>,
        /// Of this kind
        #[arg(long, value_parser = entry_kind())]
        kind: Option<EntryKind>,
        /// In this VLAN
        #[arg(long, visible_alias = "vid", value_name = "VID")]
        vlan: Option<u16>,
    },
    /// Make an entry for a station that has none
    Add(Entry),
    /// Make an entry, in place of the one there is
    Replace(Entry),
    /// Remove an entry
    #[command(visible_alias = "delete")]
    Del {
        /// The station
        mac: String,
        /// Its port; a blackhole has none
        #[arg(long, visible_alias = "dev", value_name = "NAME")]
        port: Option<String>,
        /// In this VLAN only
        #[arg(long, visible_alias = "vid", value_name = "VID")]
        vlan: Option<u16>,
    },
    /// Remove the entries that age, or those of one kind
    Flush {
        /// Of this port only
        #[arg(long, visible_alias = "dev", value_name = "NAME")]
        port: Option<String>,
        /// Of this kind
        #[arg(long, value_parser = entry_kind())]
        kind: Option<EntryKind>,
        /// In this VLAN only
        #[arg(long, visible_alias = "vid", value_name = "VID")]
        vlan: Option<u16>,
    },
}

#[derive(Debug, Args)]
pub(crate) struct Entry {
    /// The station
    pub(crate) mac: String,
    /// Its port; a blackhole has none
    #[arg(long, visible_alias = "dev", value_name = "NAME", required_unless_present = "kind")]
    pub(crate) port: Option<String>,
    /// dynamic, static, sticky, extern_learn, local or blackhole
    #[arg(long, default_value = "static", value_parser = entry_kind())]
    pub(crate) kind: EntryKind,
    /// Its VLAN, one of the port's [default: all that the port is in]
    #[arg(long, visible_alias = "vid", value_name = "VID")]
    pub(crate) vlan: Option<u16>,
}

#[derive(Debug, Subcommand)]
pub(crate) enum VlanAction {
    /// Show the VLANs of all ports, or of one; -s with what they have seen, -d with their states
    Show {
        /// Of this port
        #[arg(long, visible_alias = "dev", value_name = "NAME")]
        port: Option<String>,
    },
    /// Make a port a member of VLANs, or change how it is one: flags that are not given are taken away
    Add {
        /// One VLAN, or a range as 20-29
        #[arg(long, value_name = "VID[-VID]", value_parser = vlans)]
        vid: (u16, u16),
        /// The port
        #[arg(long, visible_alias = "dev", value_name = "NAME")]
        port: String,
        /// What comes in untagged belongs to this VLAN
        #[arg(long)]
        pvid: bool,
        /// Its frames leave untagged
        #[arg(long)]
        untagged: bool,
        /// Its number in tags on the port's wire [default: its own]
        #[arg(long, value_name = "VID")]
        wire: Option<u16>,
    },
    /// Set what a port does with the frames of VLANs that it is in
    Set {
        /// One VLAN, or a range as 20-29
        #[arg(long, value_name = "VID[-VID]", value_parser = vlans)]
        vid: (u16, u16),
        /// The port
        #[arg(long, visible_alias = "dev", value_name = "NAME")]
        port: String,
        /// disabled, blocking, listening, learning or forwarding
        #[arg(long, value_parser = port_state())]
        state: PortState,
    },
    /// Take a port out of VLANs
    #[command(visible_alias = "delete")]
    Del {
        /// One VLAN, or a range as 20-29
        #[arg(long, value_name = "VID[-VID]", value_parser = vlans)]
        vid: (u16, u16),
        /// The port
        #[arg(long, visible_alias = "dev", value_name = "NAME")]
        port: String,
    },
    /// Print a table of ports by VLANs: P the PVID, U untagged, T tagged, T=100 with another number; as JSON, what `bridge -c vlan` shows
    Map,
}

#[derive(Debug, Subcommand)]
pub(crate) enum DropsAction {
    /// Show each reason for which frames were dropped, how many, and the way out; -d with the last frames
    Show {
        /// At this port only
        #[arg(long, visible_alias = "dev", value_name = "NAME")]
        port: Option<String>,
        /// Show the last frames instead, newest first; for root and the user that switchd runs as
        #[arg(long)]
        last: bool,
        /// Only those dropped for this reason
        #[arg(long, value_name = "REASON", requires = "last")]
        reason: Option<String>,
    },
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    use super::*;

    #[test]
    fn the_command_line_is_well_formed() {
        Arguments::command().debug_assert();
    }

    /// Every command that a table of the documentation shows is one.
    #[test]
    fn commands_of_the_documentation_are_understood() {
        let pages =
            [include_str!("../../../docs/from-linux-bridge.md"), include_str!("../../../docs/switchctl.md")];
        let mut commands = 0;
        for row in pages.iter().flat_map(|page| page.lines()).filter(|line| line.starts_with('|')) {
            let spans = row.split('`').skip(1).step_by(2);
            for command in spans.filter(|span| span.starts_with("switchctl ")) {
                let command = command.replace('…', "00:00:00:00:01");
                let read = Arguments::try_parse_from(command.split(' '));
                let refused = read.err().map(|error| error.to_string());
                assert_eq!(refused, None, "{command}");
                commands += 1;
            }
        }
        assert!(commands > 40, "{commands}");
    }
}
