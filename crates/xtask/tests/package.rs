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
        "bash-completion/completions/switchd",
        "bash-completion/completions/switchctl",
        "zsh/vendor-completions/_switchd",
        "zsh/vendor-completions/_switchctl",
        "fish/vendor_completions.d/switchd.fish",
        "fish/vendor_completions.d/switchctl.fish",
        "examples/switchd.toml",
    ] {
        assert!(files.contains(file), "{file} is not among\n{files}");
    }
    // Every option and command that the programs know is in what is installed of their manuals and completions.
    for program in ["switchd", "switchctl"] {
        let help = machine.run(&format!("{program} --help")).unwrap();
        let read = |path: &str| machine.run(&format!("sh -c 'zcat -f {path}*'")).unwrap().replace('\\', "");
        let commands = help.lines().skip_while(|line| *line != "Commands:").skip(1);
        let commands = commands
            .take_while(|line| line.starts_with("  "))
            .filter_map(|line| line.split_whitespace().next());
        let options = help.split_whitespace().filter(|word| word.starts_with("--"));
        let known: Vec<_> =
            commands.chain(options).map(|word| word.trim_end_matches([',', ']', '`', '.'])).collect();
        assert!(known.contains(&"--help") || known.contains(&"help"), "{help}");
        for place in [
            format!("/usr/share/man/man8/{program}.8"),
            format!("/usr/share/bash-completion/completions/{program}"),
        ] {
            let text = read(&place);
            for word in &known {
                assert!(text.contains(word), "{word} is not in {place}");
            }
        }
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
