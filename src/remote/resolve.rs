//! Host names to addresses in a binary with the C library linked in. That library's own lookup loads the modules which
//! /etc/nsswitch.conf names; they belong to the C library of the machine, and two versions of it in one process may crash.
//! So /etc/hosts and the name servers of /etc/resolv.conf are asked here.

use std::io::{self, Error, ErrorKind};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, UdpSocket};
use std::time::{Duration, Instant};
use ureq::config::Config;
use ureq::http::Uri;
use ureq::unversioned::resolver::{ResolvedSocketAddrs, Resolver};
use ureq::unversioned::transport::NextTimeout;

/// How long one name server may take for one answer.
const PATIENCE: Duration = Duration::from_secs(2);

/// How long a lookup may take at the most.
const LONGEST: Duration = Duration::from_secs(60);

/// How often all name servers are asked.
const ROUNDS: usize = 2;

/// More addresses of a host are not tried.
const MOST_ADDRESSES: usize = 8;

/// Types of records: IPv4 and IPv6 addresses.
const A: u16 = 1;
const AAAA: u16 = 28;

/// Looks names up by files and name servers.
#[derive(Debug)]
pub struct Names;

impl Resolver for Names {
    fn resolve(&self, uri: &Uri, _: &Config, timeout: NextTimeout) -> Result<ResolvedSocketAddrs, ureq::Error> {
        let host = uri.host().unwrap_or_default().trim_start_matches('[').trim_end_matches(']');
        let port = uri.port_u16().unwrap_or(if uri.scheme_str() == Some("https") { 443 } else { 80 });
        let read = |path| std::fs::read_to_string(path).unwrap_or_default();
        let servers = Servers::parse(&read("/etc/resolv.conf"));
        let found = lookup(host, &read("/etc/hosts"), &servers, Instant::now() + (*timeout.after).min(LONGEST));
        let found = found.map_err(|e| match e.kind() {
            ErrorKind::NotFound => ureq::Error::HostNotFound,
            ErrorKind::TimedOut => ureq::Error::Timeout(ureq::Timeout::Resolve),
            _ => ureq::Error::Io(e),
        })?;
        let mut addresses = self.empty();
        found.into_iter().take(MOST_ADDRESSES).for_each(|ip| addresses.push(SocketAddr::new(ip, port)));
        Ok(addresses)
    }
}

/// The addresses of `host`, at least one, IPv4 before IPv6. Errors: `NotFound`, `TimedOut`.
fn lookup(host: &str, hosts: &str, servers: &Servers, deadline: Instant) -> io::Result<Vec<IpAddr>> {
    if let Ok(ip) = host.parse() {
        return Ok(vec![ip]);
    }
    let listed = listed(host, hosts);
    if !listed.is_empty() {
        return Ok(listed);
    }
    if host.trim_end_matches('.').eq_ignore_ascii_case("localhost") {
        return Ok(vec![Ipv4Addr::LOCALHOST.into(), Ipv6Addr::LOCALHOST.into()]);
    }
    let mut silent = false;
    for name in servers.candidates(host) {
        let mut found = Vec::new();
        for kind in [A, AAAA] {
            match servers.ask(&name, kind, deadline) {
                Ok(addresses) => found.extend(addresses),
                Err(e) if e.kind() == ErrorKind::NotFound => break,
                Err(_) => silent = true,
            }
        }
        if !found.is_empty() {
            return Ok(found);
        }
    }
    Err(if silent { ErrorKind::TimedOut } else { ErrorKind::NotFound }.into())
}

/// The addresses that the text of /etc/hosts has for `host`.
fn listed(host: &str, hosts: &str) -> Vec<IpAddr> {
    let address = |line: &str| {
        let mut words = line.split('#').next()?.split_whitespace();
        let ip = words.next()?.parse().ok()?;
        words.any(|name| name.eq_ignore_ascii_case(host.trim_end_matches('.'))).then_some(ip)
    };
    let mut found: Vec<IpAddr> = hosts.lines().filter_map(address).collect();
    found.sort_by_key(IpAddr::is_ipv6);
    found
}

/// What /etc/resolv.conf says.
#[derive(Debug, PartialEq)]
struct Servers {
    servers: Vec<SocketAddr>,
    search: Vec<String>,
    /// Names with so many dots are tried as they are before `search`.
    dots: usize,
}

impl Servers {
    fn parse(text: &str) -> Servers {
        let mut found = Servers { servers: Vec::new(), search: Vec::new(), dots: 1 };
        for line in text.lines() {
            let mut words = line.split(['#', ';']).next().unwrap_or_default().split_whitespace();
            match words.next() {
                Some("nameserver") => {
                    let ip = words.next().and_then(|w| w.parse::<IpAddr>().ok());
                    found.servers.extend(ip.map(|ip| SocketAddr::new(ip, 53)));
                }
                Some("search" | "domain") => found.search = words.map(str::to_string).collect(),
                Some("options") => {
                    let dots = words.filter_map(|w| w.strip_prefix("ndots:")?.parse().ok()).next_back();
                    found.dots = dots.unwrap_or(found.dots);
                }
                _ => {}
            }
        }
        if found.servers.is_empty() {
            found.servers.push(SocketAddr::new(Ipv4Addr::LOCALHOST.into(), 53));
        }
        found
    }

    /// The full names that `host` may stand for, in the order in which they are tried.
    fn candidates(&self, host: &str) -> Vec<String> {
        if let Some(full) = host.strip_suffix('.') {
            return vec![full.to_string()];
        }
        let mut names: Vec<String> = self.search.iter().map(|domain| format!("{host}.{domain}")).collect();
        let first = host.matches('.').count() >= self.dots;
        names.insert(if first { 0 } else { names.len() }, host.to_string());
        names
    }

    /// The records of one type of a full name; `NotFound` if there is no such name, `TimedOut` if no server tells.
    fn ask(&self, name: &str, kind: u16, deadline: Instant) -> io::Result<Vec<IpAddr>> {
        let query = query(name, kind, fastrand::u16(..)).ok_or(ErrorKind::NotFound)?;
        for server in std::iter::repeat_n(&self.servers, ROUNDS).flatten() {
            let left = deadline.saturating_duration_since(Instant::now()).min(PATIENCE);
            if left.is_zero() {
                break;
            }
            match exchange(*server, &query, kind, left) {
                Ok(addresses) => return Ok(addresses),
                Err(e) if e.kind() == ErrorKind::NotFound => return Err(e),
                Err(e) => log::debug!("name server {server}: {e}"),
            }
        }
        Err(ErrorKind::TimedOut.into())
    }
}

/// A question for the records of type `kind` (RFC 1035, 4.1); none if the name cannot be asked for.
fn query(name: &str, kind: u16, id: u16) -> Option<Vec<u8>> {
    let mut bytes = id.to_be_bytes().to_vec();
    // Recursion desired; one question.
    bytes.extend([1, 0, 0, 1, 0, 0, 0, 0, 0, 0]);
    for label in name.split('.') {
        bytes.push(u8::try_from(label.len()).ok().filter(|n| (1..64).contains(n))?);
        bytes.extend(label.bytes());
    }
    bytes.push(0);
    bytes.extend(kind.to_be_bytes());
    bytes.extend([0, 1]);
    (name.len() < 254).then_some(bytes)
}

fn exchange(server: SocketAddr, query: &[u8], kind: u16, patience: Duration) -> io::Result<Vec<IpAddr>> {
    let own: IpAddr = if server.is_ipv4() { Ipv4Addr::UNSPECIFIED.into() } else { Ipv6Addr::UNSPECIFIED.into() };
    let socket = UdpSocket::bind((own, 0))?;
    // Takes answers of this server alone.
    socket.connect(server)?;
    socket.send(query)?;
    let end = Instant::now() + patience;
    let mut bytes = [0; 4096];
    loop {
        let left = end.saturating_duration_since(Instant::now());
        if left.is_zero() {
            return Err(ErrorKind::TimedOut.into());
        }
        socket.set_read_timeout(Some(left))?;
        let length = match socket.recv(&mut bytes) {
            Err(e) if e.kind() == ErrorKind::Interrupted => continue,
            other => other?,
        };
        // Late answers to other questions are passed over.
        if bytes[..length].starts_with(&query[..2]) {
            return addresses(&bytes[..length], query, kind);
        }
    }
}

/// The addresses in an answer to `query`. `NotFound`: there is no such name.
fn addresses(answer: &[u8], query: &[u8], kind: u16) -> io::Result<Vec<IpAddr>> {
    let odd = || Error::new(ErrorKind::InvalidData, "an answer that cannot be read");
    // Flag "answer", and the question repeated; names come back in the case in which they were sent or another.
    let question = answer.get(12..query.len()).ok_or_else(odd)?;
    if answer[2] & 0x80 == 0 || !question.eq_ignore_ascii_case(&query[12..]) {
        return Err(odd());
    }
    match answer[3] & 15 {
        0 => {}
        3 => return Err(ErrorKind::NotFound.into()),
        code => return Err(Error::other(format!("error {code}"))),
    }
    let mut found = Vec::new();
    let mut rest = &answer[query.len()..];
    for _ in 0..u16::from_be_bytes([answer[6], answer[7]]) {
        // Name, type, class, time to live, length, data; an answer that was cut short may end within.
        let Some((head, tail)) = after_name(rest).and_then(|r| r.split_at_checked(10)) else { break };
        let length = u16::from_be_bytes([head[8], head[9]]) as usize;
        let Some((data, next)) = tail.split_at_checked(length) else { break };
        if head[..2] == kind.to_be_bytes() {
            let ipv4 = <[u8; 4]>::try_from(data).map(IpAddr::from);
            found.extend(ipv4.or_else(|_| <[u8; 16]>::try_from(data).map(IpAddr::from)));
        }
        rest = next;
    }
    Ok(found)
}

/// What follows a name: labels up to an empty one or to a reference.
fn after_name(mut bytes: &[u8]) -> Option<&[u8]> {
    loop {
        match *bytes.first()? {
            0 => return bytes.get(1..),
            n if n >= 0xc0 => return bytes.get(2..),
            n => bytes = bytes.get(n as usize + 1..)?,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const HOSTS: &str = "127.0.0.1 localhost # 10.0.0.1 GPU\n\n::1 localhost\nfe80::1%lo odd\n10.0.0.7\tgpu-node GPU\n";

    fn soon() -> Instant {
        Instant::now() + Duration::from_secs(5)
    }

    /// The low byte of the flags, and records: type and data.
    type Answer = (u8, Vec<(u16, Vec<u8>)>);

    /// A name server for as many questions as there are answers; gives back what it was asked.
    fn server(answers: Vec<Answer>) -> (Servers, std::thread::JoinHandle<Vec<(String, u16)>>) {
        let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
        let servers = Servers { servers: vec![socket.local_addr().unwrap()], search: vec!["house".into()], dots: 1 };
        let thread = std::thread::spawn(move || {
            let mut asked = Vec::new();
            for (flags, records) in answers {
                let mut bytes = [0; 512];
                let (length, from) = socket.recv_from(&mut bytes).unwrap();
                let mut answer = bytes[..length].to_vec();
                let name: Vec<u8> = answer[12..length - 5].iter().map(|&b| if b < 32 { b'.' } else { b }).collect();
                asked.push((String::from_utf8(name).unwrap(), answer[length - 3] as u16));
                (answer[2], answer[3], answer[7]) = (0x81, flags, records.len() as u8);
                for (kind, data) in records {
                    answer.extend([0xc0, 12]);
                    answer.extend(kind.to_be_bytes());
                    answer.extend([0, 1, 0, 0, 0, 60, 0, data.len() as u8]);
                    answer.extend(data);
                }
                // An answer to another question comes first.
                socket.send_to(&[answer[0] ^ 1, 0, 0x81, 0], from).unwrap();
                socket.send_to(&answer, from).unwrap();
            }
            asked
        });
        (servers, thread)
    }

    #[test]
    fn files_come_before_servers() {
        // A server that never answers: it is not asked.
        let none = Servers { servers: vec!["127.0.0.1:1".parse().unwrap()], search: vec![], dots: 1 };
        let found = |host: &str| lookup(host, HOSTS, &none, soon()).unwrap().iter().map(IpAddr::to_string).collect();
        let cases: [(&str, Vec<&str>); 5] = [
            ("gpu", vec!["10.0.0.7"]),
            ("GPU-node.", vec!["10.0.0.7"]),
            ("localhost", vec!["127.0.0.1", "::1"]),
            ("192.168.1.2", vec!["192.168.1.2"]),
            ("fe80::2", vec!["fe80::2"]),
        ];
        for (host, expected) in cases {
            let found: Vec<String> = found(host);
            assert_eq!(found, expected, "{host}");
        }
        assert_eq!(lookup("localhost", "", &none, soon()).unwrap().len(), 2);
    }

    #[test]
    fn servers_are_asked_for_both_kinds_and_along_the_search_list() {
        let v6 = Ipv6Addr::LOCALHOST.octets().to_vec();
        let alias = (5, b"\x01x\xc0\x0c".to_vec());
        let (servers, thread) = server(vec![
            // There is no gpu.house, but a gpu: an alias and two addresses.
            (3, vec![]),
            (0, vec![alias, (A, vec![10, 0, 0, 7]), (A, vec![10, 0, 0, 8])]),
            (0, vec![(AAAA, v6)]),
        ]);
        let found = lookup("gpu", HOSTS.lines().next().unwrap(), &servers, soon()).unwrap();
        assert_eq!(found.iter().map(IpAddr::to_string).collect::<Vec<_>>(), ["10.0.0.7", "10.0.0.8", "::1"]);
        let asked = thread.join().unwrap();
        assert_eq!(asked, [(".gpu.house".into(), A), (".gpu".into(), A), (".gpu".into(), AAAA)]);
    }

    #[test]
    fn no_such_name_and_no_answer_are_told_apart() {
        let (servers, thread) = server(vec![(3, vec![]), (3, vec![])]);
        assert_eq!(lookup("a.b", "", &servers, soon()).unwrap_err().kind(), ErrorKind::NotFound);
        assert_eq!(thread.join().unwrap().iter().map(|a| a.0.as_str()).collect::<Vec<_>>(), [".a.b", ".a.b.house"]);
        // A failing server is asked once more.
        let (servers, thread) = server(vec![(2, vec![]), (0, vec![(A, vec![10, 0, 0, 7])]), (0, vec![])]);
        assert_eq!(lookup("gpu.house.", "", &servers, soon()).unwrap().len(), 1);
        assert_eq!(thread.join().unwrap().len(), 3);
        let silent = UdpSocket::bind("127.0.0.1:0").unwrap();
        let servers = Servers { servers: vec![silent.local_addr().unwrap()], search: vec![], dots: 1 };
        let deadline = Instant::now() + Duration::from_millis(50);
        assert_eq!(lookup("gpu", "", &servers, deadline).unwrap_err().kind(), ErrorKind::TimedOut);
        for name in ["a..b", &"x".repeat(64), &"x.".repeat(130)] {
            assert_eq!(lookup(name, "", &servers, soon()).unwrap_err().kind(), ErrorKind::NotFound);
        }
    }

    #[test]
    fn resolv_conf() {
        let text = "# by hand\nnameserver 10.0.0.53 ; first\nnameserver fe80::1%eth0\nnameserver ::1\nsearch a.b c\n\
            options timeout:1 ndots:2\n";
        let servers = Servers::parse(text);
        assert_eq!(servers.servers, ["10.0.0.53:53".parse().unwrap(), "[::1]:53".parse().unwrap()]);
        assert_eq!(servers.candidates("x.y"), ["x.y.a.b", "x.y.c", "x.y"]);
        assert_eq!(servers.candidates("x.y.z"), ["x.y.z", "x.y.z.a.b", "x.y.z.c"]);
        assert_eq!(servers.candidates("x."), ["x"]);
        assert_eq!(Servers::parse("").servers, ["127.0.0.1:53".parse().unwrap()]);
    }

    #[test]
    fn damaged_answers_are_no_answers() {
        let query = query("gpu", A, 7).unwrap();
        let mut answer = query.clone();
        (answer[2], answer[7]) = (0x81, 1);
        answer.extend([0xc0, 12, 0, 1, 0, 1, 0, 0, 0, 60, 0, 4, 10, 0, 0, 7]);
        assert_eq!(addresses(&answer, &query, A).unwrap().len(), 1);
        for end in 0..answer.len() {
            assert!(addresses(&answer[..end], &query, A).is_ok_and(|a| a.is_empty()) == (end >= query.len()), "{end}");
        }
        for at in 0..answer.len() {
            let mut damaged = answer.clone();
            damaged[at] = 0xff;
            let _ = addresses(&damaged, &query, A);
        }
    }
}
