//! Takes an interface away from the host's own stack, both ways, for as long as we live.
//!
//! One nftables table of the family `netdev` for each interface, with `flags owner`: its ingress chain
//! drops everything (the packet socket has its copy before), its egress chain drops what does not
//! carry our mark. The kernel removes the tables when the socket that made them is closed, also after
//! SIGKILL, so nothing is left behind and no address is touched. Needs Linux 5.16 (egress hook).

use std::collections::BTreeMap;
use std::ffi::CString;
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use netlink_bindings::nftables::{
    Chained, CmpOps, MetaKeys, Nfgenmsg, OpGettableDump, Registers, VerdictCode,
};
use netlink_bindings::traits::NetlinkRequest;
use netlink_packet_core::{NLM_F_ACK, NLM_F_CREATE, NLM_F_DUMP, NLM_F_REQUEST};
use netlink_sys::{Socket, SocketAddr, protocols::NETLINK_NETFILTER};

use crate::{device, netlink, sys};

/// First part of the name of each table, before the ifindex.
pub(crate) const TABLE_PREFIX: &str = "switchd_";

/// `NFPROTO_NETDEV`.
pub(crate) const NETDEV: u8 = 5;
/// `NFNL_SUBSYS_NFTABLES`, which a batch names in its first and last message.
const SUBSYSTEM: u16 = 10;
/// `NFT_TABLE_F_OWNER`: gone with the socket, and nobody else may change it.
const OWNER: u32 = 2;
/// `NF_NETDEV_INGRESS`.
pub(crate) const INGRESS: u32 = 0;
/// `NF_NETDEV_EGRESS`.
const EGRESS: u32 = 1;
/// `NF_DROP`, as the policy of a chain.
const DROP: u32 = 0;

/// Why an interface could not be taken from the host's stack.
#[derive(Debug, thiserror::Error)]
pub enum ExclusiveError {
    /// We may not, or another process holds it.
    #[error(
        "{device}: not allowed to keep the host's stack off it: CAP_NET_ADMIN is missing \
         (run as root, or `setcap cap_net_admin,cap_net_raw+ep switchd`), or another switchd holds {device} \
         (`nft list tables netdev`)"
    )]
    Permission {
        /// The interface.
        device: String,
    },
    /// The kernel has no nftables, or not on interfaces.
    #[error(
        "{device}: this kernel can't keep the host's stack off an interface (nf_tables with ingress and egress \
         hooks, Linux 5.16): {source}. Load nf_tables, or set `exclusive = false`"
    )]
    Unsupported {
        /// The interface.
        device: String,
        /// What the kernel said.
        source: io::Error,
    },
    /// Anything else.
    #[error("{device}: keeping the host's stack off it (nftables): {source}")]
    System {
        /// The interface.
        device: String,
        /// What the kernel said.
        source: io::Error,
    },
}

/// The interfaces that we keep from the host's stack. Dropping it gives all back.
#[derive(Debug)]
pub struct Exclusive {
    socket: Socket,
    mark: u32,
    /// Name and ifindex of each interface held.
    held: BTreeMap<String, u32>,
    sequence: u32,
}

impl Exclusive {
    /// Holds nothing yet. Frames with `mark` (`SO_MARK`) will be let out.
    ///
    /// # Errors
    /// As `socket(2)`: the kernel has no netfilter.
    pub fn new(mark: u32) -> io::Result<Self> {
        Ok(Self { socket: netlink::open(NETLINK_NETFILTER)?, mark, held: BTreeMap::new(), sequence: 1 })
    }

    /// Goes on with a socket of an earlier process, and with the interfaces that it holds. Tables of interfaces
    /// that have gone meanwhile are removed.
    ///
    /// # Errors
    /// The kernel does not tell which tables there are, or the descriptor is no netlink socket.
    pub fn adopt(socket: OwnedFd, mark: u32) -> io::Result<Self> {
        let socket = sys::inherited::netlink(socket);
        let mut own = SocketAddr::new(0, 0);
        socket.get_address(&mut own)?;
        let mut adopted = Self { socket, mark, held: BTreeMap::new(), sequence: 1 };
        for ifindex in tables_of(own.port_number())? {
            match device::find_index(ifindex) {
                Ok(device) => drop(adopted.held.insert(device.name, ifindex)),
                Err(_) => {
                    adopted.delete(&format!("with index {ifindex}"), ifindex).map_err(io::Error::other)?
                }
            }
        }
        Ok(adopted)
    }

    /// From now on the host neither sees what arrives on the interface nor sends by it. Does nothing if
    /// that is so already; an earlier interface of the same name is forgotten.
    ///
    /// # Errors
    /// An [`ExclusiveError`]; then nothing has changed.
    pub fn hold(&mut self, device: &str, ifindex: u32) -> Result<(), ExclusiveError> {
        if self.held.get(device) == Some(&ifindex) {
            return Ok(());
        }
        self.release(device)?;
        let mut batch = Batch::new(&mut self.sequence);
        let name = batch.add_table(device, ifindex)?;
        batch.add_chain(&name, c"ingress", INGRESS, device);
        batch.add_chain(&name, c"egress", EGRESS, device);
        batch.let_out(&name, c"egress", self.mark);
        batch.send(&self.socket).map_err(|source| explain(device, source))?;
        self.held.insert(device.to_owned(), ifindex);
        Ok(())
    }

    /// Gives an interface back to the host. Does nothing if it was not held or has gone with its table.
    ///
    /// # Errors
    /// An [`ExclusiveError`]; the interface is no longer in the list all the same.
    pub fn release(&mut self, device: &str) -> Result<(), ExclusiveError> {
        let Some(ifindex) = self.held.remove(device) else { return Ok(()) };
        self.delete(device, ifindex)
    }

    fn delete(&mut self, device: &str, ifindex: u32) -> Result<(), ExclusiveError> {
        let mut batch = Batch::new(&mut self.sequence);
        batch.delete_table(device, ifindex)?;
        match batch.send(&self.socket) {
            Err(error) if error.raw_os_error() == Some(libc::ENOENT) => Ok(()),
            result => result.map_err(|source| explain(device, source)),
        }
    }

    /// The names of the interfaces held.
    pub fn held(&self) -> impl Iterator<Item = &str> {
        self.held.keys().map(String::as_str)
    }
}

/// The socket whose life the tables share: a duplicate keeps them.
impl AsFd for Exclusive {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.socket.as_fd()
    }
}

/// The interfaces of the tables that the socket with this port number owns, by ifindex.
fn tables_of(owner: u32) -> io::Result<Vec<u32>> {
    let mut request = Chained::new(1);
    drop(request.request().set_flags(NLM_F_REQUEST | NLM_F_DUMP).op_gettable_dump(&of_netdev()));
    let replies = netlink::dump_raw(NETLINK_NETFILTER, request.finalize().buf())?;
    let ours = |reply: &Vec<u8>| {
        let (_, table) = OpGettableDump::decode_reply(reply.get(netlink::HEADER..)?);
        let ifindex = table.get_name().ok()?.to_str().ok()?.strip_prefix(TABLE_PREFIX)?.parse().ok()?;
        (table.get_owner().ok()? == owner).then_some(ifindex)
    };
    Ok(replies.iter().filter_map(ours).collect())
}

fn explain(device: &str, source: io::Error) -> ExclusiveError {
    let device = device.to_owned();
    match source.raw_os_error() {
        Some(libc::EPERM | libc::EACCES) => ExclusiveError::Permission { device },
        Some(libc::EOPNOTSUPP | libc::EPROTONOSUPPORT | libc::EAFNOSUPPORT) => {
            ExclusiveError::Unsupported { device, source }
        }
        _ => ExclusiveError::System { device, source },
    }
}

fn c_string(device: &str, text: String) -> Result<CString, ExclusiveError> {
    CString::new(text).map_err(|error| explain(device, error.into()))
}

/// A transaction: all or nothing, in one write.
struct Batch {
    messages: Chained<'static>,
}

impl Batch {
    fn new(sequence: &mut u32) -> Self {
        let mut messages = Chained::new(*sequence);
        *sequence = sequence.wrapping_add(16); // More than a batch has messages.
        drop(messages.request().op_batch_begin_do(&frame_of_batch()));
        Self { messages }
    }

    fn add_table(&mut self, device: &str, ifindex: u32) -> Result<CString, ExclusiveError> {
        let name = c_string(device, format!("{TABLE_PREFIX}{ifindex}"))?;
        let flags = NLM_F_ACK | NLM_F_CREATE;
        let request = self.messages.request().set_flags(flags);
        drop(request.op_newtable_do(&of_netdev()).encode().push_name(&name).push_flags(OWNER));
        Ok(name)
    }

    fn delete_table(&mut self, device: &str, ifindex: u32) -> Result<(), ExclusiveError> {
        let name = c_string(device, format!("{TABLE_PREFIX}{ifindex}"))?;
        drop(self.messages.request().op_deltable_do(&of_netdev()).encode().push_name(&name));
        Ok(())
    }

    /// A chain at a hook of the interface that drops what its rules do not accept.
    fn add_chain(&mut self, table: &CString, name: &std::ffi::CStr, hook: u32, device: &str) {
        let request = self.messages.request().set_create();
        let mut request = request.op_newchain_do(&of_netdev());
        let chain = request.encode().push_table(table).push_name(name);
        let hooked = chain
            .nested_hook()
            .push_num(hook)
            .push_priority(0)
            .push_dev_bytes(device.as_bytes())
            .end_nested();
        drop(hooked.push_policy(DROP).push_type(c"filter"));
    }

    /// `meta mark MARK accept`.
    fn let_out(&mut self, table: &CString, chain: &std::ffi::CStr, mark: u32) {
        let request = self.messages.request().set_create().set_append();
        let mut request = request.op_newrule_do(&of_netdev());
        let rule = request.encode().push_table(table).push_chain(chain).nested_expressions();
        let load = rule.nested_elem().nested_data_meta();
        let rule =
            load.push_dreg(Registers::Reg1 as u32).push_key(MetaKeys::Mark as u32).end_nested().end_nested();
        let compare = rule.nested_elem().nested_data_cmp();
        let rule = compare
            .push_sreg(Registers::Reg1 as u32)
            .push_op(CmpOps::Eq as u32)
            .nested_data()
            .push_value(&mark.to_ne_bytes())
            .end_nested()
            .end_nested()
            .end_nested();
        let accept = rule.nested_elem().nested_data_immediate().push_dreg(Registers::RegVerdict as u32);
        drop(accept.nested_data().nested_verdict().push_code(VerdictCode::Accept as u32));
    }

    fn send(mut self, socket: &Socket) -> io::Result<()> {
        drop(self.messages.request().op_batch_end_do(&frame_of_batch()));
        let batch = self.messages.finalize();
        netlink::order(socket, batch.buf())
    }
}

fn frame_of_batch() -> Nfgenmsg {
    let mut header = Nfgenmsg::new();
    header.set_res_id(SUBSYSTEM);
    header
}

fn of_netdev() -> Nfgenmsg {
    Nfgenmsg { nfgen_family: NETDEV, ..Nfgenmsg::default() }
}
