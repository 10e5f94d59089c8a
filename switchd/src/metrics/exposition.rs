//! What is known, as text: every metric with its name, its help and its values. Names are those of Prometheus'
//! conventions; counters end in `_total`, which the encoder adds.

use std::fmt::{Error, Write};
use std::sync::Arc;

use bridge::{DropReason, PortCounters, PortState, Side};
use ports::device;
use prometheus_client::collector::Collector;
use prometheus_client::encoding::{DescriptorEncoder, MetricEncoder, NoLabelSet, text};
use prometheus_client::metrics::MetricType;
use prometheus_client::registry::Registry;

use super::snapshot::{Port, Snapshot};
use crate::pace::Histogram;

/// In front of every name.
const PREFIX: &str = "switchd";

/// The counters of a port: name, help, and where they stand.
type PortCounter = (&'static str, &'static str, fn(&PortCounters) -> u64);

const PORT_COUNTERS: [PortCounter; 11] = [
    ("port_receive_frames", "Frames that came in at the port", |of| of.rx_frames),
    ("port_receive_bytes", "Bytes of the frames that came in at the port", |of| of.rx_bytes),
    ("port_forwarded_frames", "Frames from the port that were meant for at least one other port", |of| {
        of.forwarded
    }),
    ("port_copies", "Frames of other ports that were meant for the port", |of| of.copies),
    ("port_transmit_frames", "Frames that were handed to the kernel at the port", |of| of.tx_frames),
    ("port_transmit_bytes", "Bytes of the frames that were handed to the kernel at the port", |of| {
        of.tx_bytes
    }),
    ("port_transmit_segments", "Pieces in which the frames were handed to the kernel at the port", |of| {
        of.tx_segments
    }),
    ("port_stations_moved", "Stations that were known on another port and spoke at the port", |of| of.moved),
    ("port_own_source_frames", "Frames that came in with an address of this bridge as their source", |of| {
        of.own_source
    }),
    ("port_limited_frames", "Frames whose source was not learned because of max_macs", |of| of.limited),
    ("port_damped_frames", "Frames whose source did not move because of move_damping", |of| of.damped),
];

/// The states of a port, by their words.
const STATES: [(PortState, &str); 5] = [
    (PortState::Disabled, "disabled"),
    (PortState::Blocking, "blocking"),
    (PortState::Listening, "listening"),
    (PortState::Learning, "learning"),
    (PortState::Forwarding, "forwarding"),
];

/// As OpenMetrics 1.0.
pub(super) fn openmetrics(snapshot: &Arc<Snapshot>) -> String {
    let labels = [("bridge".into(), snapshot.bridge.clone().into())];
    let mut registry = Registry::with_prefix_and_labels(PREFIX, labels.into_iter());
    registry.register_collector(Box::new(Arc::clone(snapshot)));
    let mut text = String::new();
    // A String takes all that is written into it.
    let _ = text::encode(&mut text, &registry);
    text
}

/// The same in Prometheus' older format: there a counter has its whole name in the lines that describe it.
pub(super) fn prometheus(openmetrics: &str) -> String {
    let mut text = String::with_capacity(openmetrics.len() + 1024);
    let mut lines = openmetrics.lines().peekable();
    while let Some(line) = lines.next() {
        let described = line.strip_prefix("# HELP ").and_then(|rest| rest.split_once(' '));
        match (described, lines.peek().and_then(|next| next.strip_prefix("# TYPE "))) {
            (Some((name, help)), Some(kind)) if kind.strip_suffix(" counter") == Some(name) => {
                let _ = writeln!(text, "# HELP {name}_total {help}\n# TYPE {name}_total counter");
                lines.next();
            }
            _ if line == "# EOF" => {}
            _ => {
                let _ = writeln!(text, "{line}");
            }
        }
    }
    text
}

impl Collector for Snapshot {
    fn encode(&self, encoder: DescriptorEncoder<'_>) -> Result<(), Error> {
        let known = self;
        let mut page = Page(encoder);
        page.gauge("build_info", "The version that runs", [([("version", env!("CARGO_PKG_VERSION"))], 1.0)])?;
        page.plain_counter(
            "restarts",
            "Times that a new process took up where another had ended",
            known.restarts,
        )?;
        let reloads =
            [([("result", "done")], known.reloads.done), ([("result", "refused")], known.reloads.refused)];
        page.counter("config_reloads", "Times that the configuration was read again", reloads)?;
        let good = if known.reloads.last_refused { 0.0 } else { 1.0 };
        page.plain_gauge("config_last_reload_successful", "Whether the last of them was right", good)?;
        fdb(&mut page, known)?;
        pace(&mut page, known)?;
        ports(&mut page, &known.ports)
    }
}

fn fdb(page: &mut Page<'_>, known: &Snapshot) -> Result<(), Error> {
    let settings = &known.settings;
    page.plain_gauge("fdb_entries", "Entries of the FDB, of all kinds", known.entries as f64)?;
    page.plain_gauge("fdb_dynamic_entries", "Entries of the FDB that were learned", known.dynamic as f64)?;
    page.plain_gauge("fdb_max_entries", "Entries that the FDB holds at most", settings.fdb_max as f64)?;
    let ageing = settings.ageing_time.0 as f64 / 1e3;
    page.plain_gauge("fdb_ageing_time_seconds", "How long a silent station is remembered", ageing)?;
    page.plain_counter("fdb_learned", "Stations that were learned", known.fdb.learned)?;
    page.plain_counter("fdb_moved", "Stations that moved to another port", known.fdb.moved)?;
    page.plain_counter("fdb_aged", "Stations that were forgotten after their ageing time", known.fdb.aged)?;
    page.plain_counter("fdb_evicted", "Stations that made room for others in a full FDB", known.fdb.evicted)?;
    page.plain_counter("fdb_refused", "Times that a station found no room in the FDB", known.fdb.refused)?;
    page.plain_counter(
        "fdb_postponed",
        "Times that learning waited for a later frame as another worker was far behind",
        known.fdb.postponed,
    )
}

fn pace(page: &mut Page<'_>, known: &Snapshot) -> Result<(), Error> {
    page.histogram(
        "loop_turn_duration_seconds",
        "How long a turn of the forwarding loop lasts: a frame that comes meanwhile waits at most so long",
        1e9,
        known.pace.iter().map(|pace| &pace.turns),
    )?;
    page.histogram(
        "batch_frames",
        "How many frames are taken from a port at once",
        1.0,
        known.pace.iter().map(|pace| &pace.batches),
    )
}

fn ports(page: &mut Page<'_>, ports: &[Port]) -> Result<(), Error> {
    let of = |port| [("port", name(port))];
    let info = ports
        .iter()
        .map(|port| ([("port", name(port)), ("device", port.device.as_str()), ("kind", port.kind)], 1.0));
    page.gauge("port_info", "Each port with its interface", info)?;
    let flag = |on: bool| if on { 1.0 } else { 0.0 };
    let attached = ports.iter().map(|port| (of(port), flag(port.attached)));
    page.gauge("port_attached", "Whether the port has its interface, or waits for it", attached)?;
    let up = ports.iter().map(|port| (of(port), flag(port.up)));
    page.gauge("port_up", "Whether the port's interface is up and has carrier", up)?;
    let states = ports.iter().flat_map(|port| {
        STATES
            .iter()
            .map(move |(state, word)| ([("port", name(port)), ("state", *word)], flag(*state == port.state)))
    });
    page.gauge("port_state", "The state of the port: 1 for the one that it is in", states)?;
    let stations = ports.iter().map(|port| (of(port), port.stations as f64));
    page.gauge("port_stations", "Stations that were learned at the port", stations)?;
    for (metric, help, counter) in PORT_COUNTERS {
        page.counter(metric, help, ports.iter().map(|port| (of(port), counter(&port.counters))))?;
    }
    let drops = ports.iter().flat_map(|port| {
        DropReason::ALL.iter().map(move |reason| {
            let side = match reason.side() {
                Side::Ingress => "ingress",
                Side::Egress => "egress",
            };
            let labels = [("port", name(port)), ("side", side), ("reason", reason.name())];
            (labels, port.counters.dropped(*reason))
        })
    });
    page.counter("port_dropped_frames", "Frames that were dropped at the port, by reason", drops)?;
    let socket = ports.iter().map(|port| (of(port), port.socket_lost));
    page.counter(
        "port_socket_lost_frames",
        "Frames that the kernel lost as the port's socket was full",
        socket,
    )?;
    let device = ports.iter().filter_map(|port| {
        let counters = device::counters(port.ifindex?).ok().flatten()?;
        Some((of(port), counters.tx_dropped))
    });
    let help = "Frames that the kernel took and the port's interface did not deliver";
    page.counter("port_device_transmit_dropped_frames", help, device)
}

fn name(port: &Port) -> &str {
    &port.name
}

/// Labels of a value.
type Labels<'l, const N: usize> = [(&'static str, &'l str); N];

/// What is written to.
struct Page<'e>(DescriptorEncoder<'e>);

impl Page<'_> {
    fn describe(
        &mut self,
        name: &str,
        help: &str,
        kind: MetricType,
        write: impl FnOnce(MetricEncoder<'_>) -> Result<(), Error>,
    ) -> Result<(), Error> {
        write(self.0.encode_descriptor(name, help, None, kind)?)
    }

    fn plain_gauge(&mut self, name: &str, help: &str, value: f64) -> Result<(), Error> {
        self.describe(name, help, MetricType::Gauge, |mut metric| metric.encode_gauge(&value))
    }

    fn plain_counter(&mut self, name: &str, help: &str, value: u64) -> Result<(), Error> {
        self.describe(name, help, MetricType::Counter, |mut metric| {
            metric.encode_counter::<NoLabelSet, _, u64>(&value, None)
        })
    }

    fn gauge<'l, const N: usize>(
        &mut self,
        name: &str,
        help: &str,
        values: impl IntoIterator<Item = (Labels<'l, N>, f64)>,
    ) -> Result<(), Error> {
        self.describe(name, help, MetricType::Gauge, |mut metric| {
            values
                .into_iter()
                .try_for_each(|(labels, value)| metric.encode_family(&labels)?.encode_gauge(&value))
        })
    }

    fn counter<'l, const N: usize>(
        &mut self,
        name: &str,
        help: &str,
        values: impl IntoIterator<Item = (Labels<'l, N>, u64)>,
    ) -> Result<(), Error> {
        self.describe(name, help, MetricType::Counter, |mut metric| {
            values.into_iter().try_for_each(|(labels, value)| {
                metric.encode_family(&labels)?.encode_counter::<NoLabelSet, _, u64>(&value, None)
            })
        })
    }

    /// One for each worker; what the metric says is a value of it divided by `by`.
    fn histogram<'h, const N: usize>(
        &mut self,
        name: &str,
        help: &str,
        by: f64,
        workers: impl Iterator<Item = &'h Histogram<N>>,
    ) -> Result<(), Error> {
        self.describe(name, help, MetricType::Histogram, |mut metric| {
            for (worker, histogram) in workers.enumerate() {
                let worker = worker.to_string();
                let bounded = |(bound, count): (Option<u64>, u64)| {
                    (bound.map_or(f64::INFINITY, |bound| bound as f64 / by), count)
                };
                let buckets: Vec<_> = histogram.ranges().map(bounded).collect();
                let labels = [("worker", worker.as_str())];
                let sum = histogram.sum() as f64 / by;
                metric.encode_family(&labels)?.encode_histogram::<NoLabelSet>(
                    sum,
                    histogram.count(),
                    &buckets,
                    None,
                )?;
            }
            Ok(())
        })
    }
}
