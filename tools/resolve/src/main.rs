//! Does this binary find hosts by name? It asks the C library for `localhost` and for every name in /etc/hosts, prints
//! the addresses, and exits with 1 if an answer is not the one in the file.
//!
//! A static glibc cannot load the host's name service modules in general; the two that matter, `files` and `dns`, have
//! been part of the C library itself since glibc 2.34. `tools/arm-test.sh` runs this on each static binary.

use std::collections::BTreeMap;
use std::net::{IpAddr, ToSocketAddrs};
use std::process::ExitCode;

fn main() -> ExitCode {
    let hosts = std::fs::read_to_string("/etc/hosts").unwrap_or_default();
    let mut expected: BTreeMap<&str, Vec<IpAddr>> = BTreeMap::new();
    for line in hosts.lines() {
        let mut words = line.split('#').next().unwrap_or_default().split_whitespace();
        let Some(Ok(address)) = words.next().map(str::parse) else { continue };
        words.for_each(|name| expected.entry(name).or_default().push(address));
    }
    expected.entry("localhost").or_default().extend([IpAddr::from([127, 0, 0, 1]), "::1".parse().expect("an address")]);

    let mut wrong = 0;
    for (name, addresses) in &expected {
        match (*name, 80).to_socket_addrs() {
            Ok(found) => {
                let found: Vec<IpAddr> = found.map(|socket| socket.ip()).collect();
                let right = found.iter().any(|ip| addresses.contains(ip));
                println!("{name}: {found:?}{}", if right { "" } else { "  WRONG" });
                wrong += usize::from(!right);
            }
            Err(error) => {
                println!("{name}: {error}  WRONG");
                wrong += 1;
            }
        }
    }
    ExitCode::from(u8::from(wrong > 0))
}
