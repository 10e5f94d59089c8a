//! The Grafana dashboard: a real Prometheus scrapes a switch that forwards, and every query of the dashboard finds
//! something there; and the dashboard is what Grafana's own types say that one is.
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test fails by panicking")]

mod picture;
mod scrape;

use std::fs;
use std::process::Command;

use picture::{Picture, SOON, address};
use scrape::LISTEN;
use serde_json::Value;
use testbed::{Namespace, Process, Switchd, ping, wait_until};

const DASHBOARD: &str = include_str!("../../config/grafana/switchd.json");

/// Where Prometheus listens.
const PROMETHEUS: &str = "127.0.0.1:9090";

fn dashboard() -> Value {
    serde_json::from_str(DASHBOARD).unwrap()
}

fn panels() -> Vec<Value> {
    dashboard()["panels"].as_array().unwrap().clone()
}

fn text(value: &Value) -> &str {
    value.as_str().unwrap()
}

/// A Prometheus that scrapes the switch four times a second.
fn prometheus(namespace: &Namespace, directory: &std::path::Path) -> Process {
    let file = directory.join("prometheus.yml");
    let scrape = format!(
        "scrape_configs:\n- job_name: switchd\n  scrape_interval: 250ms\n  scrape_timeout: 250ms\n  \
         static_configs:\n  - targets: [\"{LISTEN}\"]\n"
    );
    fs::write(&file, scrape).unwrap();
    let (file, data) = (file.display(), directory.join("data"));
    let line = format!(
        "prometheus --config.file={file} --storage.tsdb.path={} --web.listen-address={PROMETHEUS} --log.level=warn",
        data.display()
    );
    namespace.spawn(&line).expect("prometheus, of the Debian package of that name: cargo xtask setup")
}

/// What a query finds.
fn query(namespace: &Namespace, query: &str) -> Vec<Value> {
    let data = format!("query={query}");
    let url = format!("http://{PROMETHEUS}/api/v1/query");
    let output = namespace.exec("curl", &["-sS", "--data-urlencode", &data, &url]).unwrap();
    let Ok(answer) = serde_json::from_slice::<Value>(&output.stdout) else { return Vec::new() };
    assert_eq!(answer["status"], "success", "{query}: {answer}");
    answer["data"]["result"].as_array().unwrap().clone()
}

/// What Grafana puts in the place of variables.
fn filled(query: &str) -> String {
    let mut query = query.to_owned();
    for (variable, value) in
        [("$bridge", ".*"), ("$port", ".*"), ("$__rate_interval", "5s"), ("$__range", "1m")]
    {
        query = query.replace(variable, value);
    }
    assert!(!query.contains('$'), "{query}");
    query
}

#[test]
fn a_real_prometheus_finds_something_for_every_query_of_the_dashboard() {
    let picture = Picture::of(2);
    let config = format!("[metrics]\nlisten = \"{LISTEN}\"\n{}", picture.raw_ports());
    let _switchd = Switchd::start(&picture.switch, &config).unwrap();
    let directory = tempfile::tempdir().unwrap();
    let prometheus = prometheus(&picture.switch, directory.path());
    let ask = |text: &str| query(&picture.switch, text);
    // Each ping is a second look at a switch that forwards.
    let waited = wait_until(3 * SOON, "there is a rate of frames", || {
        ping(picture.host(1), &address(2), 2).unwrap();
        let rate = ask("rate(switchd_port_receive_frames_total[5s]) > 0");
        rate.len() == 2
    });
    assert!(waited.is_ok(), "{waited:?} {:?}", prometheus.lines());
    assert_eq!(ask("up{job=\"switchd\"}")[0]["value"][1], "1");
    let mut queries = 0;
    for panel in panels() {
        for target in panel["targets"].as_array().into_iter().flatten() {
            let expr = filled(text(&target["expr"]));
            let found = ask(&expr);
            assert!(!found.is_empty(), "{}: nothing for {expr}", panel["title"]);
            // Every label of the legend is there.
            let legend = text(&target["legendFormat"]).split("{{").skip(1);
            for label in legend.filter_map(|rest| rest.split("}}").next()) {
                let has = |series: &Value| series["metric"].get(label).is_some();
                assert!(
                    found.iter().any(has) || expr.contains(" or "),
                    "{}: no {label}: {found:?}",
                    panel["title"]
                );
            }
            queries += 1;
        }
    }
    assert!(queries > 20, "{queries}");
    // The variables of the dashboard have values.
    for variable in dashboard()["templating"]["list"].as_array().unwrap().iter().skip(1) {
        let query = text(&variable["query"]["query"]);
        let (series, label) = query
            .strip_prefix("label_values(")
            .unwrap()
            .strip_suffix(')')
            .unwrap()
            .rsplit_once(", ")
            .unwrap();
        assert!(ask(&filled(series)).iter().all(|series| series["metric"].get(label).is_some()), "{query}");
    }
    // No series is scraped without being valid: a scrape with a mistake in it counts for nothing.
    assert_eq!(ask("count_over_time((up{job=\"switchd\"} == 0)[1m:250ms])"), Vec::<Value>::new());
}

/// The enumerations of Grafana's types are words in a file.
const PLAIN: &str = "
type Plain<T> = T extends string ? `${T}` : T extends Array<infer U> ? Plain<U>[]
    : T extends object ? { [K in keyof T]: Plain<T[K]> } : T;
";

#[test]
fn the_dashboard_is_what_grafanas_types_say() {
    let home = testbed::target::target_directory().join("grafana");
    assert!(home.join("node_modules/@grafana/schema").exists(), "no @grafana/schema: cargo xtask setup");
    let directory = tempfile::tempdir_in(&home).unwrap();
    let mut source = String::from("import type { Dashboard } from '@grafana/schema';\n");
    for (kind, folder) in [("TimeSeries", "timeseries"), ("Stat", "stat"), ("Table", "table")] {
        source += &format!(
            "import type * as {folder} from '../node_modules/@grafana/schema/dist/esm/raw/composable/{folder}/panelcfg/x/{kind}PanelCfg_types.gen';\n"
        );
    }
    source += PLAIN;
    source += &format!("export const dashboard: Plain<Dashboard> = {DASHBOARD};\n");
    for panel in panels().iter().filter(|panel| panel["type"] != "row") {
        let (id, kind) = (&panel["id"], text(&panel["type"]));
        source += &format!("export const options{id}: Plain<{kind}.Options> = {};\n", panel["options"]);
        if let Some(custom) = panel["fieldConfig"]["defaults"].get("custom") {
            source += &format!("export const custom{id}: Plain<Partial<{kind}.FieldConfig>> = {custom};\n");
        }
    }
    let check = |name: &str, source: &str| {
        let file = directory.path().join(name);
        fs::write(&file, source).unwrap();
        let mut tsc = Command::new("node");
        tsc.arg(home.join("node_modules/typescript/bin/tsc")).arg(file);
        let options = "--noEmit --strict --skipLibCheck --module preserve --moduleResolution bundler";
        tsc.args(options.split(' ')).output().expect("node: cargo xtask setup")
    };
    let said = check("dashboard.ts", &source);
    assert!(said.status.success(), "{}", String::from_utf8_lossy(&said.stdout));
    // The types do tell what is right from what is not.
    for (right, wrong) in
        [("\"graphTooltip\": 1", "\"graphToolTip\": 1"), ("\"gridPos\"", "\"gridPosition\"")]
    {
        assert!(source.contains(right));
        assert!(!check("wrong.ts", &source.replacen(right, wrong, 1)).status.success(), "{wrong}");
    }
}
