//! `ocellus serve` in a test.
#![allow(dead_code)]

use super::common::{at, ocellus, repo, run, temp};
use serde_json::Value;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::process::{Child, ChildStderr, Stdio};
use std::sync::LazyLock;
use std::time::{Duration, Instant};

/// A server of a test; killed with it.
pub struct Server {
    /// The process.
    pub child: Child,
    /// Where it listens.
    pub address: SocketAddr,
    /// What it says.
    pub stderr: BufReader<ChildStderr>,
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// An answer.
#[derive(Debug)]
pub struct Answer {
    pub status: u16,
    pub headers: ureq::http::HeaderMap,
    pub body: Vec<u8>,
}

impl Answer {
    pub fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap_or_else(|e| panic!("{e}: {}", String::from_utf8_lossy(&self.body)))
    }

    pub fn header(&self, name: &str) -> &str {
        self.headers.get(name).map_or("", |v| v.to_str().unwrap())
    }

    /// Asserts an error that says each of `words`.
    #[track_caller]
    pub fn assert_error(&self, status: u16, words: &[&str]) {
        let record = self.json();
        assert_eq!((self.status, record["status"].as_str()), (status, Some("error")), "{record}");
        let text = record["error"].as_str().unwrap();
        assert!(words.iter().all(|w| text.contains(w)), "{words:?}: {record}");
    }
}

pub fn agent() -> ureq::Agent {
    let config =
        ureq::Agent::config_builder().http_status_as_error(false).timeout_global(Some(Duration::from_secs(300)));
    config.build().into()
}

pub fn answer(response: Result<ureq::http::Response<ureq::Body>, ureq::Error>) -> Answer {
    let mut response = response.unwrap();
    let body = response.body_mut().with_config().limit(1 << 30).read_to_vec().unwrap();
    Answer { status: response.status().as_u16(), headers: response.headers().clone(), body }
}

impl Server {
    /// Starts one with `args` on a free port and waits until it listens.
    pub fn new<S: AsRef<str>>(args: &[S]) -> Self {
        let mut command = ocellus();
        command.args(["serve", "--listen", "127.0.0.1:0"]).args(args.iter().map(AsRef::as_ref));
        let mut child = command.stdin(Stdio::null()).stderr(Stdio::piped()).spawn().unwrap();
        let mut stderr = BufReader::new(child.stderr.take().unwrap());
        let mut line = String::new();
        stderr.read_line(&mut line).unwrap();
        let address = line.trim().rsplit_once('/').and_then(|(_, a)| a.parse().ok());
        Server { child, address: address.unwrap_or_else(|| panic!("{line:?}")), stderr }
    }

    /// Waits until all is loaded.
    pub fn ready(self) -> Self {
        let start = Instant::now();
        while self.get("/ready").status != 200 {
            assert!(start.elapsed() < Duration::from_secs(120));
            std::thread::sleep(Duration::from_millis(50));
        }
        self
    }

    pub fn url(&self, path: &str) -> String {
        format!("http://{}{path}", self.address)
    }

    pub fn get(&self, path: &str) -> Answer {
        answer(agent().get(self.url(path)).call())
    }

    pub fn delete(&self, path: &str) -> Answer {
        answer(agent().delete(self.url(path)).call())
    }

    /// Posts JSON.
    pub fn tell(&self, path: &str, members: &Value) -> Answer {
        self.post(path, members.to_string().as_bytes())
    }

    pub fn post(&self, path: &str, body: &[u8]) -> Answer {
        answer(agent().post(self.url(path)).send(body))
    }

    /// What it answers to these bytes, until it closes the connection.
    pub fn raw(&self, request: &[u8]) -> String {
        let mut stream = TcpStream::connect(self.address).unwrap();
        stream.set_read_timeout(Some(Duration::from_secs(60))).unwrap();
        stream.write_all(request).unwrap();
        let mut text = Vec::new();
        let _ = stream.read_to_end(&mut text);
        String::from_utf8_lossy(&text).into_owned()
    }

    pub fn terminate(&self) {
        let pid = self.child.id().to_string();
        assert!(std::process::Command::new("kill").args(["-TERM", &pid]).status().unwrap().success());
    }
}

/// A folder with the recipe `connector`, learned once.
pub static RECIPES: LazyLock<tempfile::TempDir> = LazyLock::new(|| {
    let folder = temp();
    let args =
        ["learn", "--quiet", "--out", &at(&folder, "connector"), &repo("examples/connector/good")].map(String::from);
    run(args).assert_quiet(0);
    folder
});
