//! A real browser, driven over the DevTools protocol through two pipes: messages are JSON with a NUL behind.
#![allow(dead_code)]

use serde_json::{Value, json};
use std::io::{BufRead, BufReader, Write};
use std::path::Path;
use std::process::{Child, ChildStdin, Command, Stdio};
use std::sync::mpsc::{Receiver, channel};
use std::time::{Duration, Instant};

/// No page takes longer than this on a busy machine.
const PATIENCE: Duration = Duration::from_secs(60);
const NAMES: [&str; 4] = ["chromium", "chromium-browser", "google-chrome", "chrome"];

/// A Chromium with one page. It is ended when this is dropped.
pub struct Browser {
    child: Child,
    pipe: ChildStdin,
    messages: Receiver<Value>,
    session: String,
    number: u64,
    /// What the browser told of its own accord.
    pub events: Vec<Value>,
    /// Where its page comes from, if from a server.
    pub server: Option<String>,
}

/// The program: `OCELLUS_BROWSER`, or a Chromium on the path. None if there is none; on continuous integration that is an
/// error (Debian's package is `chromium`).
fn program() -> Option<String> {
    let on_path = |name: &&str| {
        std::env::split_paths(&std::env::var_os("PATH").unwrap_or_default()).any(|folder| folder.join(name).is_file())
    };
    let found = std::env::var("OCELLUS_BROWSER").ok().or(NAMES.iter().find(|n| on_path(n)).map(|n| n.to_string()));
    if found.is_none() {
        assert!(std::env::var("CI").as_deref() != Ok("true"), "no browser: install the package chromium");
        eprintln!("\n*** SKIPPED: no browser found ({}); install the package chromium ***\n", NAMES.join(", "));
    }
    found
}

impl Browser {
    /// Starts one with its profile in `folder`, where downloads go to as well; None if no browser is installed.
    pub fn start(folder: &Path) -> Option<Browser> {
        let program = program()?;
        // The protocol is spoken on the file descriptors 3 and 4.
        let script = "exec \"$0\" \"$@\" 3<&0 4>&1 </dev/null >/dev/null 2>&1";
        let mut child = Command::new("sh")
            .args(["-c", script, &program, "--remote-debugging-pipe", "--headless", "--no-sandbox", "--disable-gpu"])
            .args(["--disable-quic", "--no-first-run", "--disable-background-networking", "--disable-component-update"])
            .args(["--use-fake-device-for-media-stream", "--use-fake-ui-for-media-stream"])
            .args(["--disable-sync", "--disable-dev-shm-usage", "--window-size=1400,900"])
            .arg(format!("--user-data-dir={}", folder.join("profile").display()))
            .arg("about:blank")
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .expect("cannot start the browser");
        let (pipe, out) = (child.stdin.take().expect("stdin"), child.stdout.take().expect("stdout"));
        let (sender, messages) = channel();
        std::thread::spawn(move || {
            for message in BufReader::new(out).split(0).map_while(Result::ok) {
                if sender.send(serde_json::from_slice(&message).expect("JSON")).is_err() {
                    break;
                }
            }
        });
        let mut browser =
            Browser { child, pipe, messages, session: String::new(), number: 0, events: Vec::new(), server: None };
        let page = browser.call("Target.createTarget", json!({ "url": "about:blank" }));
        let attached = json!({ "targetId": page["targetId"], "flatten": true });
        browser.session = text(&browser.call("Target.attachToTarget", attached)["sessionId"]);
        for domain in ["Page", "Runtime", "Log", "Network", "DOM"] {
            browser.call(&format!("{domain}.enable"), json!({}));
        }
        let to = json!({ "behavior": "allow", "downloadPath": folder });
        browser.call("Browser.setDownloadBehavior", to);
        Some(browser)
    }

    /// Calls a method of the protocol.
    #[track_caller]
    pub fn call(&mut self, method: &str, params: Value) -> Value {
        self.number += 1;
        let mut message = json!({ "id": self.number, "method": method, "params": params });
        if !self.session.is_empty() && !method.starts_with("Browser.") && !method.starts_with("Target.") {
            message["sessionId"] = json!(self.session);
        }
        self.pipe.write_all(format!("{message}\0").as_bytes()).expect("the browser is gone");
        loop {
            let answer = self.messages.recv_timeout(PATIENCE).unwrap_or_else(|e| panic!("{method}: {e}"));
            if answer["id"] == self.number {
                assert!(answer.get("error").is_none(), "{method}: {answer}");
                return answer["result"].clone();
            }
            self.events.push(answer);
        }
    }

    /// Opens a file and waits until it is there; opening the same again is a new visit.
    pub fn open(&mut self, page: &Path) {
        self.call("Page.navigate", json!({ "url": "about:blank" }));
        self.wait("location.href === 'about:blank'");
        self.call("Page.navigate", json!({ "url": format!("file://{}", page.display()) }));
        self.wait("location.protocol === 'file:' && document.readyState === 'complete'");
    }

    /// Opens the page of a server.
    pub fn visit(&mut self, url: &str) {
        self.server = Some(url.trim_end_matches('/').to_string());
        self.call("Page.navigate", json!({ "url": url }));
        self.wait("location.protocol.startsWith('http') && document.readyState === 'complete'");
    }

    /// What can be seen, as PNG; written into the folder `OCELLUS_SHOTS` names, for who wants to look.
    pub fn shot(&mut self, name: &str) {
        let Some(folder) = std::env::var_os("OCELLUS_SHOTS") else { return };
        // What moves comes to rest.
        std::thread::sleep(Duration::from_millis(800));
        let picture = text(&self.call("Page.captureScreenshot", json!({ "format": "png" }))["data"]);
        let bytes = base64::Engine::decode(&base64::engine::general_purpose::STANDARD, picture).expect("base64");
        std::fs::write(Path::new(&folder).join(format!("{name}.png")), bytes).expect("cannot write the picture");
    }

    /// The value of an expression in the page.
    #[track_caller]
    pub fn eval(&mut self, expression: &str) -> Value {
        let params = json!({ "expression": expression, "returnByValue": true });
        let result = self.call("Runtime.evaluate", params);
        assert!(result.get("exceptionDetails").is_none(), "{expression}: {result}");
        result["result"]["value"].clone()
    }

    /// Waits until an expression is true.
    #[track_caller]
    pub fn wait(&mut self, expression: &str) {
        let start = Instant::now();
        while self.eval(expression) != true {
            assert!(start.elapsed() < PATIENCE, "not true: {expression}");
            std::thread::sleep(Duration::from_millis(20));
        }
    }

    /// Presses and releases a key, named as in KeyboardEvent.key.
    #[track_caller]
    pub fn press(&mut self, key: &str) {
        let code = match key {
            "Enter" => 13,
            "Escape" => 27,
            "Backspace" => 8,
            "ArrowLeft" => 37,
            "ArrowUp" => 38,
            "ArrowRight" => 39,
            "ArrowDown" => 40,
            "Home" => 36,
            "End" => 35,
            // Letters and digits are their own codes; other signs have those of a keyboard's layout.
            _ => key.to_uppercase().chars().next().filter(char::is_ascii_alphanumeric).map_or(0, u32::from),
        };
        let mut down = json!({ "type": "keyDown", "key": key, "windowsVirtualKeyCode": code });
        if key.chars().count() == 1 {
            down["text"] = json!(key);
        } else if key == "Enter" {
            down["text"] = json!("\r");
        }
        self.call("Input.dispatchKeyEvent", down);
        self.call("Input.dispatchKeyEvent", json!({ "type": "keyUp", "key": key, "windowsVirtualKeyCode": code }));
    }

    /// Presses the keys of a text, one after the other.
    #[track_caller]
    pub fn type_text(&mut self, text: &str) {
        text.chars().for_each(|c| self.press(&c.to_string()));
    }

    /// Clicks on the middle of the first element that `selector` finds.
    #[track_caller]
    pub fn click(&mut self, selector: &str) {
        let place = format!(
            "(() => {{ const r = document.querySelector({selector:?}).getBoundingClientRect();
              return [r.x + r.width / 2, r.y + r.height / 2]; }})()"
        );
        let at = self.eval(&place);
        for kind in ["mouseMoved", "mousePressed", "mouseReleased"] {
            let button = if kind == "mouseMoved" { "none" } else { "left" };
            let event = json!({ "type": kind, "x": at[0], "y": at[1], "button": button, "clickCount": 1 });
            self.call("Input.dispatchMouseEvent", event);
        }
    }

    /// Drags from one place of the window to another.
    pub fn drag(&mut self, from: [f64; 2], to: [f64; 2]) {
        let middle = [(from[0] + to[0]) / 2.0, (from[1] + to[1]) / 2.0];
        for (kind, at) in [
            ("mouseMoved", from),
            ("mousePressed", from),
            ("mouseMoved", middle),
            ("mouseMoved", to),
            ("mouseReleased", to),
        ] {
            let event =
                json!({ "type": kind, "x": at[0], "y": at[1], "button": "left", "buttons": 1, "clickCount": 1 });
            self.call("Input.dispatchMouseEvent", event);
        }
    }

    /// Gives a file to a file input.
    pub fn choose_file(&mut self, selector: &str, file: &Path) {
        self.choose_files(selector, &[file.to_path_buf()]);
    }

    /// Gives files to a file input.
    pub fn choose_files(&mut self, selector: &str, files: &[std::path::PathBuf]) {
        let document = self.call("DOM.getDocument", json!({}));
        let found =
            self.call("DOM.querySelector", json!({ "nodeId": document["root"]["nodeId"], "selector": selector }));
        self.call("DOM.setFileInputFiles", json!({ "nodeId": found["nodeId"], "files": files }));
    }

    /// Messages of errors, and of everything that was to be fetched but files and data.
    pub fn faults(&self) -> Vec<String> {
        let fault = |e: &Value| match e["method"].as_str().unwrap_or_default() {
            "Runtime.exceptionThrown" | "Log.entryAdded" => Some(e["params"].to_string()),
            "Network.requestWillBeSent" => {
                let url = text(&e["params"]["request"]["url"]);
                let own = ["file:", "data:", "about:", "blob:"].iter().any(|kind| url.starts_with(kind))
                    || self.server.as_ref().is_some_and(|server| url.starts_with(server.as_str()));
                (!own).then_some(url)
            }
            _ => None,
        };
        self.events.iter().filter_map(fault).collect()
    }
}

fn text(value: &Value) -> String {
    value.as_str().unwrap_or_default().to_string()
}

impl Drop for Browser {
    fn drop(&mut self) {
        let close = json!({ "id": 0, "method": "Browser.close" });
        let told = self.pipe.write_all(format!("{close}\0").as_bytes());
        let start = Instant::now();
        while told.is_ok() && start.elapsed() < Duration::from_secs(10) {
            if matches!(self.child.try_wait(), Ok(Some(_))) {
                return;
            }
            std::thread::sleep(Duration::from_millis(20));
        }
        drop(self.child.kill());
        drop(self.child.wait());
    }
}
