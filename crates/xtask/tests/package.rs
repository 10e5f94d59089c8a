//! The Debian package on Debian 12: installed, upgraded with traffic flowing, removed and purged.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use testbed::service::{CONFIG, Service};
use testbed::{Stream, wait_until};

/// Packs the debug builds as this version.
fn package(version: &str, to: &Path) -> PathBuf {
    let mut pack = Command::new(env!("CARGO_BIN_EXE_xtask"));
    pack.args(["deb", "--built", "dev", "--deb-version", version, "--output"]).arg(to);
    testbed::command::output(&mut pack).unwrap();
    to.join(format!("switchd_{version}_amd64.deb"))
}

#[test]
fn the_package_is_installed_upgraded_removed_and_purged() {
    let directory = tempfile::TempDir::with_prefix("package-").unwrap();
    let service = Service::bare("package").unwrap();
    let machine = &service.machine;
    for (number, version) in ["1.0.0", "1.0.1"].iter().enumerate() {
        machine.install(&package(version, directory.path()), &format!("/opt/{number}.deb")).unwrap();
    }
    machine.run("dpkg -i /opt/0.deb").unwrap();
    assert_eq!(machine.run("systemctl is-enabled switchd").unwrap().trim(), "enabled");
    let files = machine.run("dpkg -L switchd").unwrap();
    for file in [
        "man8/switchd.8",
        "man8/switchctl.8",
        "bash-completion/completions/switchctl",
        "examples/switchd.toml",
    ] {
        assert!(files.contains(file), "{file} is not among\n{files}");
    }
    let manual = machine.run("sh -c 'zcat -f /usr/share/man/man8/switchd.8*'").unwrap().replace('\\', "");
    for option in
        machine.run("switchd --help").unwrap().split_whitespace().filter(|word| word.starts_with("--"))
    {
        let option = option.trim_end_matches([',', ']', '`']);
        assert!(manual.contains(option), "{option} is not in the manual page");
    }
    for example in ["two-vms-and-uplink", "host-port", "switchd"] {
        machine
            .run(&format!("switchd --check --config /usr/share/doc/switchd/examples/{example}.toml"))
            .unwrap();
    }

    // Without a configuration there is nothing to start, and that is no failure.
    assert_eq!(service.property("ActiveState"), "inactive");
    machine.write("/etc/switchd/switchd.toml", CONFIG).unwrap();
    service.systemctl("start switchd").unwrap();
    service.wire_tap().unwrap();
    service.pings().unwrap();
    let pid = service.property("MainPID");
    let stream = Stream::start(&service.host1, &service.host2, "198.18.0.2", 5_000).unwrap();
    machine.run("dpkg -i /opt/1.deb").unwrap();
    let streamed = stream.stop().unwrap();
    assert_eq!(streamed.lost(), 0, "{streamed:?}\n{}", service.journal());
    assert_eq!(machine.run("dpkg-query -W -f ${Version} switchd").unwrap(), "1.0.1");
    assert_ne!(service.property("MainPID"), pid);
    assert!(machine.run("switchctl port show").unwrap().contains("lan"));

    machine.run("dpkg -r switchd").unwrap();
    let gone = wait_until(Duration::from_secs(15), "it has ended", || {
        !machine.exec("pgrep -x switchd").unwrap().status.success()
    });
    assert!(gone.is_ok(), "{}", service.journal());
    assert!(
        !machine.path("/usr/sbin/switchd").exists() && machine.path("/etc/switchd/switchd.toml").exists()
    );
    machine.run("dpkg -P switchd").unwrap();
    assert!(!machine.path("/etc/switchd").exists());
}
