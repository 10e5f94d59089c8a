//! The order in which dynamic entries were last refreshed: one doubly linked list per port, threaded
//! through one slab of nodes. Oldest at the head, so ageing and eviction only ever look at heads.
//!
//! Every operation but [`Lru::fullest`] takes constant time. The slab is allocated once.

use crate::moment::Moment;
use crate::port::{MAX_PORTS, PortId};

/// No node.
const NIL: u32 = u32::MAX;
/// The key of a free node, which is that of no entry.
const FREE: u64 = u64::MAX;

/// Index of a node in the slab.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct NodeId(pub(super) u32);

#[derive(Clone, Copy, Debug)]
struct Node {
    key: u64,
    updated: Moment,
    prev: u32,
    /// The next younger one; in a free node, the next free one.
    next: u32,
}

#[derive(Clone, Copy, Debug)]
struct List {
    head: u32,
    tail: u32,
    len: u32,
}

impl List {
    const EMPTY: Self = Self { head: NIL, tail: NIL, len: 0 };
}

/// The lists of all ports.
#[derive(Clone, Debug)]
pub(super) struct Lru {
    nodes: Vec<Node>,
    free: u32,
    len: usize,
    /// Indexed by port, as long as the highest port that ever had an entry.
    lists: Vec<List>,
}

impl Lru {
    /// Room for `max` nodes and `ports` lists.
    pub(super) fn new(max: usize, ports: usize) -> Self {
        Self { nodes: Vec::with_capacity(max), free: NIL, len: 0, lists: Vec::with_capacity(ports) }
    }

    /// The same lists, with room for `max` nodes.
    pub(super) fn copy(&self, max: usize) -> Self {
        let mut nodes = Vec::with_capacity(max);
        nodes.extend_from_slice(&self.nodes);
        let mut lists = Vec::with_capacity(MAX_PORTS);
        lists.extend_from_slice(&self.lists);
        Self { nodes, lists, ..*self }
    }

    /// Makes the lists as long as those of another, as far as their lengths say: of an excerpt, which has
    /// only some of the nodes.
    pub(super) fn count_as(&mut self, whole: &Self) {
        self.len = whole.len;
        self.lists.resize(whole.lists.len(), List::EMPTY);
        for (list, whole) in self.lists.iter_mut().zip(&whole.lists) {
            list.len = whole.len;
        }
    }

    /// Number of nodes in all lists.
    pub(super) fn len(&self) -> usize {
        self.len
    }

    /// Number of nodes of one port.
    pub(super) fn len_of(&self, port: PortId) -> usize {
        self.lists.get(usize::from(port.0)).map_or(0, |list| list.len as usize)
    }

    /// Appends a new node to a port's list. The caller keeps [`Lru::len`] below the room it asked for.
    pub(super) fn insert(&mut self, port: PortId, key: u64, updated: Moment) -> NodeId {
        let node = Node { key, updated, prev: NIL, next: NIL };
        let id = if self.free == NIL {
            self.nodes.push(node);
            (self.nodes.len() - 1) as u32
        } else {
            let id = self.free;
            self.free = self.nodes[id as usize].next;
            self.nodes[id as usize] = node;
            id
        };
        self.len += 1;
        self.link(port, id);
        NodeId(id)
    }

    /// Takes a node out of its port's list and frees it.
    pub(super) fn remove(&mut self, port: PortId, NodeId(id): NodeId) {
        self.unlink(port, id);
        let node = &mut self.nodes[id as usize];
        (node.key, node.next) = (FREE, self.free);
        self.free = id;
        self.len -= 1;
    }

    /// Makes a node the youngest of `to`, which may be the port it was on.
    pub(super) fn refresh(&mut self, from: PortId, to: PortId, NodeId(id): NodeId, updated: Moment) {
        self.unlink(from, id);
        self.nodes[id as usize].updated = updated;
        self.link(to, id);
    }

    /// The oldest node of a port: its key and when it was last refreshed.
    pub(super) fn oldest(&self, port: PortId) -> Option<(u64, Moment)> {
        let list = self.lists.get(usize::from(port.0))?;
        let node = self.nodes.get(list.head as usize)?;
        Some((node.key, node.updated))
    }

    /// When a node was last refreshed.
    pub(super) fn updated(&self, NodeId(id): NodeId) -> Moment {
        self.nodes[id as usize].updated
    }

    /// The key of a node; `None` if it is free.
    pub(super) fn key(&self, NodeId(id): NodeId) -> Option<u64> {
        self.nodes.get(id as usize).map(|node| node.key).filter(|key| *key != FREE)
    }

    /// The port with most nodes; among equals `preferred`, else the first. Looks at every list: 30 ports
    /// fit into six cache lines.
    pub(super) fn fullest(&self, preferred: PortId) -> PortId {
        let mut best = (preferred, self.lists.get(usize::from(preferred.0)).map_or(0, |list| list.len));
        for (port, list) in self.lists.iter().enumerate() {
            if list.len > best.1 {
                best = (PortId(port as u16), list.len);
            }
        }
        best.0
    }

    /// Ports that may have nodes.
    pub(super) fn ports(&self) -> impl Iterator<Item = PortId> + use<> {
        (0..self.lists.len() as u16).map(PortId)
    }

    fn link(&mut self, port: PortId, id: u32) {
        let place = usize::from(port.0);
        if place >= self.lists.len() {
            self.lists.resize(place + 1, List::EMPTY);
        }
        let list = &mut self.lists[place];
        let tail = std::mem::replace(&mut list.tail, id);
        list.len += 1;
        match tail {
            NIL => list.head = id,
            tail => self.nodes[tail as usize].next = id,
        }
        let node = &mut self.nodes[id as usize];
        (node.prev, node.next) = (tail, NIL);
    }

    fn unlink(&mut self, port: PortId, id: u32) {
        let Node { prev, next, .. } = self.nodes[id as usize];
        let list = &mut self.lists[usize::from(port.0)];
        list.len -= 1;
        match prev {
            NIL => list.head = next,
            prev => self.nodes[prev as usize].next = next,
        }
        match next {
            NIL => list.tail = prev,
            next => self.nodes[next as usize].prev = prev,
        }
    }
}
