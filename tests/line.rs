//! `ocellus watch` on a line: a controller (pymodbus), a broker (mosquitto) and a webhook are told of each part.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]
#![cfg(feature = "line")]

mod common;

use common::{at, ocellus, repo, run, temp};
use serde_json::Value;
use std::fs;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::path::Path;
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use std::sync::LazyLock;
use std::sync::mpsc::{Receiver, channel};
use std::time::{Duration, Instant};

const PATIENCE: Duration = Duration::from_secs(60);

static RECIPE: LazyLock<tempfile::TempDir> = LazyLock::new(|| {
    let folder = temp();
    let args = ["learn", "--quiet", "--method", "classical", "--out"].map(String::from);
    run(args.into_iter().chain([at(&folder, "recipe"), repo("examples/connector/good")])).assert_quiet(0);
    folder
});

/// A process that is ended with the test.
struct Running(Child);

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// Whether a program of Debian is there; on continuous integration it has to be.
fn is_there(program: &str, arguments: &[&str], package: &str) -> bool {
    let ran = Command::new(program).args(arguments).stdout(Stdio::null()).stderr(Stdio::null()).status();
    let there = ran.is_ok_and(|s| s.code().is_some_and(|c| c != 127 && (c == 0 || package == "mosquitto")));
    if !there {
        assert!(std::env::var("CI").as_deref() != Ok("true"), "{program} is missing: install the package {package}");
        eprintln!("\n*** SKIPPED: install the package {package} ***\n");
    }
    there
}

fn free_port() -> u16 {
    TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port()
}

fn wait_for(port: u16) {
    let start = Instant::now();
    while TcpStream::connect(("127.0.0.1", port)).is_err() {
        assert!(start.elapsed() < PATIENCE);
        std::thread::sleep(Duration::from_millis(20));
    }
}

fn place(folder: &Path, name: &str, to: &str) {
    let source = repo(&format!("examples/connector/test/{name}.jpg"));
    // As a camera's software does it: the name comes when the file is whole.
    let part = folder.join(format!(".{to}"));
    assert!(fs::copy(source, &part).unwrap() > 0);
    fs::rename(part, folder.join(to)).unwrap();
}

fn watch(folder: &Path, more: &[&str]) -> Running {
    fs::create_dir_all(folder.join("in")).unwrap();
    let recipe = at(&*RECIPE, "recipe");
    let mut command = ocellus();
    command.args(["watch", "--quiet", "--settle", "0", "--recipe", &recipe, "--out"]).arg(folder.join("out"));
    command.arg(folder.join("in")).args(more);
    Running(command.stdout(Stdio::null()).stderr(Stdio::inherit()).spawn().unwrap())
}

/// The controller.
struct Controller {
    _running: Running,
    stdin: ChildStdin,
    stdout: BufReader<ChildStdout>,
}

impl Controller {
    fn connect(port: u16) -> Self {
        let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/common/controller.py");
        let mut command = Command::new("/usr/bin/python3");
        command.arg(script).args(["127.0.0.1", &port.to_string()]).stdin(Stdio::piped()).stdout(Stdio::piped());
        let mut child = command.spawn().unwrap();
        let (stdin, stdout) = (child.stdin.take().unwrap(), child.stdout.take().unwrap());
        Controller { _running: Running(child), stdin, stdout: BufReader::new(stdout) }
    }

    fn ask(&mut self, command: &str) -> String {
        writeln!(self.stdin, "{command}").unwrap();
        let mut line = String::new();
        self.stdout.read_line(&mut line).unwrap();
        line.trim().to_string()
    }

    /// Verdict, code, the number of the record, and the counters.
    fn told(&mut self) -> (u64, u64, u64, Vec<u64>) {
        let text = self.ask("read");
        let words: Vec<u64> = text.split(' ').take(18).map(|w| w.parse().unwrap()).collect();
        let long = |at: usize| words[at] << 16 | words[at + 1];
        (words[1], words[2], long(6), (8..18).step_by(2).map(long).collect())
    }
}

#[test]
fn a_controller_triggers_and_is_told() {
    if !is_there("/usr/bin/python3", &["-c", "import pymodbus.client"], "python3-pymodbus") {
        return;
    }
    let folder = temp();
    let port = free_port();
    let address = format!("127.0.0.1:{port}");
    let _watch = watch(folder.path(), &["--modbus", &address, "--on-trigger", "1"]);
    wait_for(port);
    let incoming = folder.path().join("in");
    place(&incoming, "stain_01", "a.jpg");
    place(&incoming, "good_01", "b.jpg");
    let mut controller = Controller::connect(port);
    assert_eq!(controller.ask("wait 0"), "100000");
    // Pictures wait for the trigger.
    std::thread::sleep(Duration::from_millis(500));
    assert_eq!(controller.told(), (0, 0, 0, vec![0; 5]));
    let mut cycle = |trigger: &str, release: &str| {
        assert_eq!(controller.ask(trigger), "ok");
        let bits = controller.ask("wait 2");
        let told = controller.told();
        assert_eq!(controller.ask(release), "ok");
        assert_eq!(controller.ask("wait 0"), "100000");
        (bits, told)
    };
    assert_eq!(cycle("coil 0 1", "coil 0 0"), ("101010".into(), (2, 1, 1, vec![1, 0, 1, 0, 0])));
    assert_eq!(cycle("word 100 1", "word 100 0"), ("101100".into(), (1, 0, 2, vec![2, 1, 1, 0, 0])));
    // No picture came within a second.
    assert_eq!(cycle("coil 0 1", "coil 0 0"), ("101001".into(), (4, 991, 0, vec![3, 1, 1, 0, 1])));
    assert_eq!(controller.ask("coil 1 1"), "ok");
    assert_eq!(controller.told().3, [0; 5]);
    // What is not there is refused, and the connection lives on.
    for (wrong, exception) in [("holding 50 1", "error 2"), ("coil 7 1", "error 2"), ("word 3 1", "error 2")] {
        assert_eq!(controller.ask(wrong), exception, "{wrong}");
    }
    assert_eq!(controller.ask("holding 0 1"), "1");
    let records = fs::read_to_string(folder.path().join("out/audit.jsonl")).unwrap();
    assert_eq!(records.lines().count(), 2);
    let wrong = run(["watch", "--recipe", "r", "--out", &at(&folder, "o"), "--on-trigger", "1", "in"]);
    wrong.assert_error(&["--modbus"]);
}

/// A broker, with its messages under `plant/#` as lines of topic and text.
fn broker(folder: &Path, port: u16) -> (Running, Running, Receiver<String>) {
    let settings = folder.join("mosquitto.conf");
    // It keeps what comes for the listener, whose session outlives it, so that nothing is missed before that is back.
    let kept = "persistence true\nautosave_on_changes true\nautosave_interval 1\nuser root\n";
    let place = format!("persistence_location {}/\n", folder.display());
    fs::write(&settings, format!("listener {port} 127.0.0.1\nallow_anonymous true\n{kept}{place}")).unwrap();
    let mut command = Command::new("/usr/sbin/mosquitto");
    let child = command.arg("-c").arg(&settings).stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
    let running = Running(child);
    wait_for(port);
    let mut command = Command::new("mosquitto_sub");
    command.args([
        "-h",
        "127.0.0.1",
        "-p",
        &port.to_string(),
        "-q",
        "1",
        "-c",
        "-i",
        "listener",
        "-t",
        "plant/#",
        "-v",
    ]);
    let mut child = command.stdout(Stdio::piped()).spawn().unwrap();
    let lines = BufReader::new(child.stdout.take().unwrap()).lines();
    let (sender, messages) = channel();
    std::thread::spawn(move || lines.map_while(Result::ok).try_for_each(|line| sender.send(line)));
    (running, Running(child), messages)
}

/// The next message of a topic; others of it are passed over.
fn message(messages: &Receiver<String>, topic: &str) -> String {
    loop {
        let line = messages.recv_timeout(PATIENCE).unwrap();
        if let Some(("", text)) = line.split_once(&format!("{topic} ")) {
            return text.to_string();
        }
    }
}

fn path_of(record: &str) -> String {
    let record: Value = serde_json::from_str(record).unwrap();
    record["path"].as_str().unwrap().to_string()
}

#[test]
fn a_broker_that_was_away_misses_nothing() {
    if !is_there("/usr/sbin/mosquitto", &["-h"], "mosquitto") || !is_there("mosquitto_sub", &["--help"], "mosquitto") {
        return;
    }
    let folder = temp();
    let port = free_port();
    let address = format!("mqtt://127.0.0.1:{port}/plant/line-2");
    let (broker_running, listener, messages) = broker(folder.path(), port);
    let running = watch(folder.path(), &["--mqtt", &address]);
    assert_eq!(message(&messages, "plant/line-2/status"), "online");
    let incoming = folder.path().join("in");
    place(&incoming, "stain_01", "a.jpg");
    let record = message(&messages, "plant/line-2");
    assert_eq!(path_of(&record), "a.jpg");
    // It is the record, as it stands in the audit file.
    let audit = folder.path().join("out/audit.jsonl");
    assert_eq!(fs::read_to_string(&audit).unwrap().trim_end(), record);

    // The broker goes, parts come, and it comes back.
    drop((broker_running, listener));
    place(&incoming, "good_01", "b.jpg");
    place(&incoming, "good_02", "c.jpg");
    let start = Instant::now();
    while fs::read_to_string(&audit).unwrap().lines().count() < 3 {
        assert!(start.elapsed() < PATIENCE);
        std::thread::sleep(Duration::from_millis(50));
    }
    let (broker_running, listener, messages) = broker(folder.path(), port);
    // The last one may come twice, for nobody knows whether it came.
    let next = |messages: &Receiver<String>, before: &str| {
        let mut told = || path_of(&message(messages, "plant/line-2"));
        std::iter::repeat_with(&mut told).find(|path| path != before).unwrap()
    };
    assert_eq!(next(&messages, "a.jpg"), "b.jpg");
    assert_eq!(next(&messages, "b.jpg"), "c.jpg");
    // The process goes: the broker tells the last will.
    drop(running);
    while message(&messages, "plant/line-2/status") != "offline" {}
    // What came while it was gone is told after a restart.
    place(&incoming, "good_03", "d.jpg");
    let _running = watch(folder.path(), &["--mqtt", &address]);
    assert_eq!(next(&messages, "c.jpg"), "d.jpg");

    // A broker that takes a record and says nothing, and goes: the record is told to the one that comes back.
    let signal = |name: &str| {
        let pid = broker_running.0.id().to_string();
        assert!(Command::new("kill").args([name, &pid]).status().unwrap().success());
    };
    signal("-STOP");
    place(&incoming, "good_04", "e.jpg");
    place(&incoming, "stain_01", "f.jpg");
    let start = Instant::now();
    while fs::read_to_string(&audit).unwrap().lines().count() < 6 {
        assert!(start.elapsed() < PATIENCE);
        std::thread::sleep(Duration::from_millis(50));
    }
    std::thread::sleep(Duration::from_millis(500));
    drop((broker_running, listener));
    let (_broker, _listener, messages) = broker(folder.path(), port);
    assert_eq!(next(&messages, "d.jpg"), "e.jpg");
    assert_eq!(next(&messages, "e.jpg"), "f.jpg");
    let wrong = run([
        "watch",
        "--recipe",
        &at(&*RECIPE, "recipe"),
        "--out",
        &at(&folder, "o"),
        "--mqtt",
        "plant",
        &at(&folder, "in"),
    ]);
    wrong.assert_error(&["--mqtt", "mqtt://HOST/TOPIC"]);
}

#[test]
fn a_webhook_gets_each_record() {
    let folder = temp();
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}/hook", listener.local_addr().unwrap());
    let (sender, bodies) = channel();
    std::thread::spawn(move || {
        // Busy at first: it is asked again.
        for (at, stream) in listener.incoming().flatten().enumerate() {
            let mut reader = BufReader::new(stream.try_clone().unwrap());
            let (mut length, mut line) = (0, String::new());
            while reader.read_line(&mut line).unwrap() > 2 {
                let lower = line.to_lowercase();
                length = lower.strip_prefix("content-length:").map_or(length, |n| n.trim().parse().unwrap());
                line.clear();
            }
            let mut body = vec![0; length];
            reader.read_exact(&mut body).unwrap();
            let status = if at < 3 { "503 Busy" } else { "200 OK" };
            let answer = format!("HTTP/1.1 {status}\r\nContent-Length: 0\r\nConnection: close\r\n\r\n");
            (&stream).write_all(answer.as_bytes()).unwrap();
            if at >= 3 && sender.send(String::from_utf8(body).unwrap()).is_err() {
                return;
            }
        }
    });
    let incoming = folder.path().join("in");
    let _running = watch(folder.path(), &["--webhook", &url]);
    place(&incoming, "stain_01", "a.jpg");
    assert_eq!(path_of(&bodies.recv_timeout(PATIENCE).unwrap()), "a.jpg");
    place(&incoming, "good_01", "b.jpg");
    let record = bodies.recv_timeout(PATIENCE).unwrap();
    let audit = fs::read_to_string(folder.path().join("out/audit.jsonl")).unwrap();
    assert_eq!(audit.lines().last().unwrap(), record);
}
