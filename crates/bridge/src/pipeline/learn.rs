//! **learn**: the source of what was admitted is behind the ingress port.

use frame::MacAddr;

use super::{Admitted, Taught, Teaches};
use crate::bridge::Bridge;
use crate::deliveries::Deliveries;
use crate::event::Event;
use crate::fdb::{Found, Heard, Lesson, Way};
use crate::port::PortId;
use crate::vlans::Classified;

impl Bridge {
    /// The source is behind the ingress port.
    #[inline(always)]
    pub(crate) fn learn<'f>(&mut self, admitted: Admitted<'f>, out: &mut Deliveries) -> Taught<'f> {
        let &Admitted { ingress, source, vlan, teaches, .. } = &admitted;
        let key = vlan.key(source);
        let lesson = if teaches == Teaches::Station && self.fdb.refresh(key, ingress) {
            Lesson::Known
        } else {
            self.learn_anew(teaches, ingress, vlan, source, out)
        };
        Taught { admitted, lesson }
    }

    /// The slow half of learning: all but a station that is known here.
    #[cold]
    fn learn_anew(
        &mut self,
        teaches: Teaches,
        ingress: PortId,
        vlan: Classified,
        source: u64,
        out: &mut Deliveries,
    ) -> Lesson {
        let limit = self.ports.get(ingress).and_then(|port| port.settings.max_macs);
        let key = vlan.key(source);
        let lesson = match (teaches, self.without_vlan(vlan, source)) {
            (Teaches::Nothing, _) => Lesson::NotAsked,
            (_, Some(Found { port, way: Way::Host | Way::Kernel })) => Lesson::Own(port),
            (Teaches::Station | Teaches::Locked, _) => {
                let locked = teaches == Teaches::Locked;
                self.fdb.hear(Heard { key, port: ingress, limit, locked })
            }
        };
        self.note(lesson, ingress, vlan, source, out);
        lesson
    }

    /// Counts and tells what is remarkable.
    fn note(&mut self, lesson: Lesson, ingress: PortId, vlan: Classified, source: u64, out: &mut Deliveries) {
        let vid = if vlan.fid() == 0 { 0 } else { vlan.vid() };
        let mac = MacAddr::from_u64(source);
        let Some(port) = self.ports.get_mut(ingress) else { return };
        match lesson {
            Lesson::Moved(from) => {
                port.counters.moved += 1;
                out.tell(Event::MacMoved { mac, from, to: ingress, vid });
            }
            // The host speaks with its own address through its own port.
            Lesson::Own(owner) if owner == ingress && port.settings.host => {}
            Lesson::Own(_) => {
                port.counters.own_source += 1;
                out.tell(Event::OwnSource { mac, port: ingress, vid });
            }
            Lesson::Limited => port.counters.limited += 1,
            Lesson::Damped(_) => port.counters.damped += 1,
            Lesson::NotAsked
            | Lesson::Off
            | Lesson::Full
            | Lesson::Postponed
            | Lesson::Known
            | Lesson::New
            | Lesson::Sticky(_)
            | Lesson::Blackhole => {}
        }
    }
}
