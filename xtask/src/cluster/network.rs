//! The wire between a node and this machine: a pair of virtual interfaces, one end in the node's own network.
//!
//! A network of its own means that a node's bridge, routes and packet filter rules are not this machine's, and that the
//! kernel takes them away with the node's last process.

use std::fs;
use std::net::Ipv4Addr;
use std::process::Command;
use std::time::Duration;

use anyhow::{Context as _, bail};
use serde::{Deserialize, Serialize};

use super::node_files::BRIDGE;
use super::process::Process;
use super::requirements::system;
use super::wait;

/// The end in the node.
const INSIDE: &str = "eth0";
/// How long the wire may take to be seen from inside.
const PATIENCE: Duration = Duration::from_secs(15);

/// How a node and this machine reach each other.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(super) struct Network {
    /// The interface on this machine.
    pub(super) interface: String,
    /// This machine's address.
    pub(super) host: Ipv4Addr,
    /// The node's address.
    pub(super) node: Ipv4Addr,
}

/// The networks to choose from: 10.89.0.0/30, 10.89.1.0/30 and so on.
fn candidate(number: u8) -> Network {
    Network {
        interface: format!("aphex{number}"),
        host: Ipv4Addr::new(10, 89, number, 1),
        node: Ipv4Addr::new(10, 89, number, 2),
    }
}

/// Chooses a network that this machine has no route to yet.
pub(super) fn choose() -> anyhow::Result<Network> {
    let output = system("ip").args(["-o", "-4", "addr", "show"]).output().context("cannot run ip")?;
    let links = system("ip").args(["-o", "link", "show"]).output().context("cannot run ip")?;
    let taken =
        String::from_utf8_lossy(&output.stdout).into_owned() + &String::from_utf8_lossy(&links.stdout);
    (0..=u8::MAX)
        .map(candidate)
        .find(|network| is_free(network, &taken))
        .context("all networks in 10.89.0.0/16 are taken")
}

fn is_free(network: &Network, taken: &str) -> bool {
    let octets = network.host.octets();
    let start = format!(" {}.{}.{}.", octets[0], octets[1], octets[2]);
    !taken.contains(&start)
        && !taken.contains(&format!(" {}:", network.interface))
        && !taken.contains(&format!(" {}@", network.interface))
}

/// Lays the wire into the network of a process.
pub(super) fn connect(network: &Network, process: Process) -> anyhow::Result<()> {
    let pid = process.pid().to_string();
    let interface = network.interface.as_str();
    ip(&["link", "add", interface, "type", "veth", "peer", "name", INSIDE, "netns", &pid])?;
    ip(&["addr", "add", &format!("{}/30", network.host), "dev", interface])?;
    ip(&["link", "set", interface, "up"])
}

/// Takes the wire away. The kernel would do it too, but only when it gets round to it, which can be a while after the
/// node's last process.
pub(super) fn disconnect(network: &Network) -> anyhow::Result<()> {
    let there = || fs::exists(format!("/sys/class/net/{}", network.interface)).unwrap_or(false);
    match ip(&["link", "del", &network.interface]) {
        Err(error) if there() => Err(error),
        _ => Ok(()),
    }
}

/// Sets up the network from inside of the node, once the wire is there.
pub(super) fn inside(host: Ipv4Addr, node: Ipv4Addr) -> anyhow::Result<()> {
    wait::until("the node's interface", PATIENCE, || {
        // Unlike /sys, /proc tells of the network of the process that reads.
        let interfaces =
            fs::read_to_string("/proc/self/net/dev").context("cannot read /proc/self/net/dev")?;
        Ok(interfaces.contains(&format!("{INSIDE}:")).then_some(()))
    })?;
    ip(&["link", "set", "lo", "up"])?;
    ip(&["addr", "add", &format!("{node}/30"), "dev", INSIDE])?;
    ip(&["link", "set", INSIDE, "up"])?;
    ip(&["route", "add", "default", "via", &host.to_string()])?;
    // Also the network plugin would make the bridge, but the node's address lies on it from the start.
    ip(&["link", "add", "cni0", "type", "bridge"])?;
    ip(&["addr", "add", &format!("{BRIDGE}/16"), "dev", "cni0"])?;
    ip(&["link", "set", "cni0", "up"])?;
    fs::write("/proc/sys/net/ipv4/ip_forward", "1").context("cannot let the node forward packets")
}

fn ip(arguments: &[&str]) -> anyhow::Result<()> {
    run(system("ip").args(arguments))
}

/// Runs a system program; its complaint is the error.
pub(super) fn run(command: &mut Command) -> anyhow::Result<()> {
    let output = command
        .output()
        .with_context(|| format!("cannot run {}", command.get_program().to_string_lossy()))?;
    if !output.status.success() {
        let arguments: Vec<_> = command.get_args().map(|word| word.to_string_lossy().into_owned()).collect();
        bail!(
            "{} {} failed: {}",
            command.get_program().to_string_lossy(),
            arguments.join(" "),
            String::from_utf8_lossy(&output.stderr).trim()
        );
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_network_is_free_when_neither_its_address_nor_its_interface_is_there() {
        let one = candidate(1);
        assert!(is_free(&one, "2: eth0    inet 10.0.0.2/24\n5: aphex12@if2: <UP>"));
        assert!(!is_free(&one, "9: x    inet 10.89.1.1/30 scope global"));
        assert!(!is_free(&one, "5: aphex1@if2: <UP>"));
        assert!(is_free(&one, "9: x    inet 10.89.12.1/30 scope global"));
    }
}
