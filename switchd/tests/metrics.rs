//! Metrics over HTTP: they say what `switchctl` says, in the form that Prometheus wants, where the file says.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod picture;
mod scrape;

use std::fs;
use std::io::Write;
use std::os::unix::net::UnixStream;
use std::process::{Command, Stdio};

use picture::{BROADCAST, Picture, SOON, address, frame, mac, wait_for_ping};
use scrape::{LISTEN, OPENMETRICS, connect, get, metrics, value};
use testbed::service::{CONFIG, Service};
use testbed::switchd::binary;
use testbed::{Signal, Switchd, wait_until};

fn config(picture: &Picture, listen: &str) -> String {
    format!("[metrics]\nlisten = \"{listen}\"\n{}", picture.raw_ports())
}

#[test]
fn metrics_say_what_switchctl_says() {
    let picture = Picture::of(2);
    let text = config(&picture, LISTEN) + "[ports.p3]\ntype = \"raw\"\nstate = \"learning\"\n";
    let switchd = Switchd::start(&picture.switch, &text).unwrap();
    let mut client = switchd.control().unwrap();
    wait_for_ping(picture.host(1), &address(2));
    // From a source that no station has: dropped.
    picture.socket(1).send(&frame(mac(2), BROADCAST, "no")).unwrap();
    wait_until(SOON, "the frame is dropped", || !client.show_port("p1").unwrap().drops.is_empty()).unwrap();
    let shown = client.show_ports(None).unwrap();
    let labels = "bridge=\"switchd\",port=\"p1\",side=\"ingress\",reason=\"source_group\"";
    let (series, mut text) = (format!("switchd_port_dropped_frames_total{{{labels}}}"), String::new());
    wait_until(SOON, "it is among the metrics", || {
        text = metrics(&picture.switch);
        value(&text, &series) > 0.0
    })
    .unwrap();
    for port in &shown[..2] {
        let of = |metric: &str| {
            value(&text, &format!("switchd_port_{metric}{{bridge=\"switchd\",port=\"{}\"}}", port.name))
        };
        let counted = |metric: &str| of(metric) as u64;
        assert_eq!(counted("receive_frames_total"), port.counters.rx_frames);
        assert_eq!(counted("receive_bytes_total"), port.counters.rx_bytes);
        assert_eq!(counted("transmit_frames_total"), port.counters.tx_frames);
        assert_eq!(counted("copies_total"), port.counters.copies);
        assert_eq!((counted("up"), counted("attached"), counted("stations")), (1, 1, 1));
        assert_eq!(
            (counted("socket_lost_frames_total"), counted("device_transmit_dropped_frames_total")),
            (0, 0)
        );
    }
    let dropped = |reason: &str| {
        let labels = format!("bridge=\"switchd\",port=\"p1\",side=\"ingress\",reason=\"{reason}\"");
        value(&text, &format!("switchd_port_dropped_frames_total{{{labels}}}"))
    };
    assert_eq!((dropped("source_group"), dropped("runt")), (1.0, 0.0));
    let waiting = |metric: &str| value(&text, &format!("switchd_port_{metric}"));
    assert_eq!(waiting("attached{bridge=\"switchd\",port=\"p3\"}"), 0.0);
    assert_eq!(waiting("state{bridge=\"switchd\",port=\"p3\",state=\"learning\"}"), 1.0);
    assert_eq!(waiting("state{bridge=\"switchd\",port=\"p3\",state=\"forwarding\"}"), 0.0);
    assert_eq!(waiting("info{bridge=\"switchd\",port=\"p3\",device=\"p3\",kind=\"raw\"}"), 1.0);
    let bridge = client.show_bridge().unwrap();
    let whole = |metric: &str| value(&text, &format!("switchd_{metric}{{bridge=\"switchd\"}}"));
    assert_eq!(whole("fdb_learned_total") as u64, bridge.fdb_counters.learned);
    assert_eq!((whole("fdb_dynamic_entries"), whole("fdb_ageing_time_seconds")), (2.0, 300.0));
    // All frames came in some batch, and the loop has turned.
    let received: u64 = shown.iter().map(|port| port.counters.rx_frames).sum();
    let of_worker =
        |metric: &str| value(&text, &format!("switchd_{metric}{{bridge=\"switchd\",worker=\"0\"}}"));
    assert_eq!(of_worker("batch_frames_sum") as u64, received);
    assert!(of_worker("loop_turn_duration_seconds_count") >= of_worker("batch_frames_count"));
    let within = "loop_turn_duration_seconds_bucket{bridge=\"switchd\",le=\"0.1\",worker=\"0\"}";
    assert!(value(&text, &format!("switchd_{within}")) > 0.0);
}

#[test]
fn both_formats_are_what_their_readers_want() {
    let picture = Picture::of(2);
    let switchd = Switchd::start(&picture.switch, &config(&picture, LISTEN)).unwrap();
    let text = metrics(&picture.switch);
    let mut promtool = Command::new("promtool")
        .args(["check", "metrics"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("promtool, of the Debian package prometheus: cargo xtask setup");
    promtool.stdin.take().unwrap().write_all(text.as_bytes()).unwrap();
    let said = promtool.wait_with_output().unwrap();
    assert!(said.status.success(), "{}\n{text}", String::from_utf8_lossy(&said.stderr));
    assert!(said.stderr.is_empty(), "{}", String::from_utf8_lossy(&said.stderr));

    let (status, head, open) = get(connect(&picture.switch, LISTEN).unwrap(), "/metrics", OPENMETRICS);
    assert_eq!(status, 200);
    assert!(head.contains("Content-Type: application/openmetrics-text; version=1.0.0"), "{head}");
    assert!(
        open.ends_with("# EOF\n") && open.contains("# TYPE switchd_port_receive_frames counter\n"),
        "{open}"
    );
    let (status, ..) = get(connect(&picture.switch, LISTEN).unwrap(), "/secrets", "*/*");
    assert_eq!(status, 404);
    // Every metric is told of in the documentation, and no other.
    let described: Vec<_> =
        text.lines().filter_map(|line| line.strip_prefix("# TYPE ")?.split(' ').next()).collect();
    let documentation = include_str!("../../docs/metrics.md").split("## What to watch").next().unwrap();
    let rows: Vec<_> = documentation
        .lines()
        .filter_map(|line| line.strip_prefix("| `switchd_")?.split(['`', '{']).next())
        .collect();
    let rows: Vec<_> = rows.into_iter().map(|name| format!("switchd_{name}")).collect();
    assert_eq!(rows, described);
    drop(switchd);
}

#[test]
fn where_nobody_can_listen_nothing_is_started_and_the_reason_told() {
    let picture = Picture::of(1);
    let taken = picture.switch.enter(|| std::net::TcpListener::bind(LISTEN).unwrap()).unwrap();
    for (listen, why) in [
        (LISTEN, "can't serve metrics at 127.0.0.1:9817: Address already in use"),
        ("198.18.7.7:9817", "it is no address of this host: choose another in [metrics]"),
        ("unix:/nowhere/metrics", "the directory must be there before"),
    ] {
        let text = config(&picture, listen);
        let mut refused = Switchd::launch(&binary().unwrap(), &picture.switch, Some(&text), &[]).unwrap();
        refused.wait_for_log(why, SOON).unwrap();
        assert!(!refused.process().wait(SOON).unwrap().success());
    }
    drop(taken);
}

#[test]
fn a_reload_goes_to_another_address_and_stays_where_that_can_t_be_had() {
    let picture = Picture::of(1);
    let mut switchd = Switchd::start(&picture.switch, &picture.raw_ports()).unwrap();
    assert!(connect(&picture.switch, LISTEN).is_err(), "off by default");
    let mut client = switchd.control().unwrap();
    let file = switchd.directory().join("switchd.toml");
    let write = |listen: &str| fs::write(&file, config(&picture, listen)).unwrap();
    write(LISTEN);
    assert_eq!(client.reload().unwrap().changes, ["metrics: listen default -> \"127.0.0.1:9817\""]);
    assert_eq!(
        value(&metrics(&picture.switch), "switchd_config_reloads_total{bridge=\"switchd\",result=\"done\"}"),
        1.0
    );
    write("198.18.7.7:9817");
    assert!(client.reload().unwrap_err().to_string().contains("it is no address of this host"));
    let text = metrics(&picture.switch);
    assert_eq!(value(&text, "switchd_config_reloads_total{bridge=\"switchd\",result=\"refused\"}"), 1.0);
    assert_eq!(value(&text, "switchd_config_last_reload_successful{bridge=\"switchd\"}"), 0.0);
    // The same port on more addresses; then a Unix socket.
    write("0.0.0.0:9817");
    client.reload().unwrap();
    switchd.wait_for_log("by everybody who can reach this host", SOON).unwrap();
    metrics(&picture.switch);
    let socket = switchd.directory().join("metrics");
    write(&format!("unix:{}", socket.display()));
    client.reload().unwrap();
    assert!(connect(&picture.switch, LISTEN).is_err());
    let (status, _, body) = get(UnixStream::connect(&socket).unwrap(), "/metrics", "*/*");
    assert_eq!((status, value(&body, "switchd_port_up{bridge=\"switchd\",port=\"p1\"}")), (200, 1.0));
    let shown = client.show_config().unwrap();
    assert!(shown.contains(&format!("[metrics]\nlisten = \"unix:{}\"\n", socket.display())), "{shown}");
    switchd.signal(Signal::INT).unwrap();
    assert!(switchd.process().wait(SOON).unwrap().success());
    assert!(!socket.exists(), "nothing is left behind");
}

#[test]
fn over_a_restart_and_a_takeover_counters_go_on_and_each_is_counted() {
    let text = format!("{CONFIG}\n[metrics]\nlisten = \"{LISTEN}\"\n");
    let service = Service::start("metrics", &binary().unwrap(), &text).unwrap();
    let namespace = service.machine.namespace();
    service.pings().unwrap();
    let series = "switchd_port_receive_frames_total{bridge=\"switchd\",port=\"wire\"}";
    let restarts = |text: &str| value(text, "switchd_restarts_total{bridge=\"switchd\"}");
    let before = metrics(namespace);
    assert_eq!(restarts(&before), 0.0);
    service.systemctl("restart switchd").unwrap();
    let after = metrics(namespace);
    assert!(value(&after, series) >= value(&before, series));
    assert_eq!(restarts(&after), 1.0);
    service.take_over().unwrap();
    wait_until(SOON, "the new process serves metrics", || {
        connect(namespace, LISTEN).is_ok_and(|stream| {
            let (status, _, text) = get(stream, "/metrics", "*/*");
            status == 200 && restarts(&text) == 2.0
        })
    })
    .unwrap();
    assert!(!service.journal().contains("can't serve metrics"), "{}", service.journal());
}
