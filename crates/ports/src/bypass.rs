//! Finds rules of nft and tc that act on what arrives at an interface, and that a packet socket passes
//! by: it has its copy before them. For the log, so that nobody relies on them.

use std::io;

use netlink_bindings::nftables::{Chained, IterableNftHookAttrs, Nfgenmsg, OpGetchainDump};
use netlink_bindings::traits::NetlinkRequest;
use netlink_packet_core::{NLM_F_DUMP, NLM_F_REQUEST};
use netlink_packet_route::RouteNetlinkMessage;
use netlink_packet_route::tc::{TcAttribute, TcHandle, TcMessage};
use netlink_sys::protocols::NETLINK_NETFILTER;

use crate::device::Device;
use crate::exclusive::{INGRESS, NETDEV, TABLE_PREFIX};
use crate::netlink;

/// `NFPROTO_INET`, whose chains may stand at an interface too.
const INET: u8 = 1;
/// `NF_INET_INGRESS`.
const INET_INGRESS: u32 = 5;

/// Rules at the ingress of `device`, in words, one a line; none where the kernel does not tell (without
/// CAP_NET_ADMIN it does not). Our own tables are left out.
#[must_use]
pub fn bypassed_rules(device: &Device) -> Vec<String> {
    let mut found = nft_chains(&device.name).unwrap_or_default();
    found.extend(tc_filters(device.ifindex).unwrap_or_default());
    found
}

fn nft_chains(device: &str) -> io::Result<Vec<String>> {
    let mut request = Chained::new(1);
    let all = Nfgenmsg::default();
    drop(request.request().set_flags(NLM_F_REQUEST | NLM_F_DUMP).op_getchain_dump(&all));
    let replies = netlink::dump_raw(NETLINK_NETFILTER, request.finalize().buf())?;
    Ok(replies.iter().filter_map(|reply| nft_chain(reply.get(netlink::HEADER..)?, device)).collect())
}

fn nft_chain(payload: &[u8], device: &str) -> Option<String> {
    let family = *payload.first()?;
    let (_, chain) = OpGetchainDump::decode_reply(payload);
    let hook = chain.get_hook().ok()?;
    let table = chain.get_table().ok()?.to_str().ok()?;
    let at_ingress = matches!((family, hook.get_num().ok()?), (NETDEV, INGRESS) | (INET, INET_INGRESS));
    let ours = family == NETDEV && table.starts_with(TABLE_PREFIX);
    if !at_ingress || ours || !names(&hook, device) {
        return None;
    }
    let family = if family == NETDEV { "netdev" } else { "inet" };
    Some(format!("nft chain {family} {table} {} (hook ingress)", chain.get_name().ok()?.to_str().ok()?))
}

fn names(hook: &IterableNftHookAttrs<'_>, device: &str) -> bool {
    let same = |name: &std::ffi::CStr| name.to_bytes() == device.as_bytes();
    hook.get_dev().is_ok_and(same) || hook.get_devs().is_ok_and(|devs| devs.get_name().any(same))
}

fn tc_filters(ifindex: u32) -> io::Result<Vec<String>> {
    let index = ifindex.cast_signed();
    let qdiscs = netlink::dump(RouteNetlinkMessage::GetQueueDiscipline(TcMessage::with_index(index)))?;
    let mut found = Vec::new();
    for qdisc in qdiscs {
        let RouteNetlinkMessage::NewQueueDiscipline(qdisc) = qdisc else { continue };
        let kind = kind(&qdisc);
        let parent = match kind.as_str() {
            "ingress" => TcHandle { major: 0xffff, minor: 0 },
            "clsact" => TcHandle { major: 0xffff, minor: TcHandle::MIN_INGRESS },
            _ => continue,
        };
        if qdisc.header.index != index {
            continue;
        }
        let mut request = TcMessage::with_index(index);
        request.header.parent = parent;
        let filters = netlink::dump(RouteNetlinkMessage::GetTrafficFilter(request))?;
        let mut kinds: Vec<String> = filters
            .iter()
            .filter_map(|filter| match filter {
                RouteNetlinkMessage::NewTrafficFilter(filter) => Some(self::kind(filter)),
                _ => None,
            })
            .collect();
        kinds.dedup();
        if !kinds.is_empty() {
            found.push(format!("tc filters ({}) at the {kind} qdisc", kinds.join(", ")));
        }
    }
    Ok(found)
}

fn kind(message: &TcMessage) -> String {
    let kind = message.attributes.iter().find_map(|attribute| match attribute {
        TcAttribute::Kind(kind) => Some(kind.clone()),
        _ => None,
    });
    kind.unwrap_or_default()
}
