//! A station for a programmable controller: a Modbus TCP server with trigger, busy, done, verdict, code and counters.
//! docs/watch.md has the register map.

use crate::error::{Error, Result};
use rustix::net::sockopt;
use serde_json::{Map, Value};
use std::future::{Ready, ready};
use std::net::SocketAddr;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use tokio::net::{TcpListener, TcpStream};
use tokio_modbus::server::Service;
use tokio_modbus::server::tcp::Server;
use tokio_modbus::{ExceptionCode, Request, Response};

/// Controllers and panels that may be connected at a time.
const CONNECTIONS: usize = 16;
/// After a failed accept.
const PAUSE: Duration = Duration::from_millis(500);

/// `code` of a part that is not where it belongs.
const CODE_MISPLACED: u16 = 900;
/// `code` of a picture that cannot be read.
const CODE_UNREADABLE: u16 = 990;
/// `code` of a trigger to which no picture came.
const CODE_NO_PICTURE: u16 = 991;

/// The coil that asks for an inspection.
const TRIGGER: u16 = 0;
/// The coil that sets the counters to zero.
const RESET: u16 = 1;
const COILS: u16 = 2;
/// The bits of register 0, and the discrete inputs, in this order.
const BITS: usize = 6;
/// Registers that are read.
const WORDS: usize = 18;
/// The holding register whose bits are the coils, for controllers that write words only.
const COMMAND: u16 = 100;

/// What the last inspection said.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
struct Outcome {
    verdict: u16,
    code: u16,
    score: u16,
    threshold: u16,
    ms: u16,
    seq: u32,
}

/// What the registers show.
#[derive(Debug, Default)]
struct State {
    ready: bool,
    busy: bool,
    done: bool,
    trigger: bool,
    /// A trigger that is not answered yet.
    asked: bool,
    /// Counts the triggers: what is looked at for one answers no other.
    triggers: u32,
    outcome: Outcome,
    /// Parts, passes, fails, misplaced, errors.
    counters: [u32; 5],
}

impl State {
    fn bits(&self) -> [bool; BITS] {
        let verdict = |v: u16| self.done && self.outcome.verdict == v;
        [self.ready, self.busy, self.done, verdict(1), verdict(2) || verdict(3), verdict(4)]
    }

    fn words(&self) -> [u16; WORDS] {
        let status = self.bits().iter().enumerate().map(|(at, bit)| u16::from(*bit) << at).sum();
        let o = &self.outcome;
        let mut words = [0; WORDS];
        words[..6].copy_from_slice(&[status, o.verdict, o.code, o.score, o.threshold, o.ms]);
        for (at, number) in [o.seq].iter().chain(&self.counters).enumerate() {
            // High word first, as Modbus orders its bytes.
            words[6 + 2 * at] = (number >> 16) as u16;
            words[7 + 2 * at] = *number as u16;
        }
        words
    }

    fn write(&mut self, coil: u16, on: bool) {
        match coil {
            TRIGGER => {
                if on && !self.trigger {
                    self.asked = true;
                    self.triggers = self.triggers.wrapping_add(1);
                    self.done = false;
                    self.outcome = Outcome::default();
                }
                if !on {
                    self.done = false;
                    self.asked = false;
                }
                self.trigger = on;
            }
            _ => {
                if on {
                    self.counters = [0; 5];
                }
            }
        }
    }
}

/// What a controller sees of a station.
#[derive(Debug, Clone)]
pub struct Controller(Arc<Mutex<State>>);

impl Controller {
    /// Listens at `address`; a port that is taken is an error. Answers on a thread of its own until the process ends.
    pub fn listen(address: SocketAddr) -> Result<Self> {
        let controller = Controller(Arc::default());
        let taken = |e| Error::io(address.to_string(), "listen on", e);
        let listener = std::net::TcpListener::bind(address).map_err(taken)?;
        listener.set_nonblocking(true).map_err(taken)?;
        crate::cli::output::note(&format!("modbus on {}", listener.local_addr().map_err(taken)?));
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
        let runtime = runtime.map_err(|e| Error::Internal(format!("starting a thread: {e}")))?;
        let shared = controller.clone();
        let serve = move || {
            runtime.block_on(async {
                let Ok(listener) = TcpListener::from_std(listener) else { return };
                let server = Server::new(listener);
                let open = Arc::new(AtomicUsize::new(0));
                loop {
                    let connected = |stream: TcpStream, _| {
                        // A controller that was switched off does not say so: its place is free again after two minutes.
                        let _ = sockopt::set_socket_keepalive(&stream, true);
                        let _ = sockopt::set_tcp_keepidle(&stream, Duration::from_secs(60));
                        let _ = sockopt::set_tcp_keepintvl(&stream, Duration::from_secs(15));
                        let _ = sockopt::set_tcp_keepcnt(&stream, 4);
                        let connection = Connection::new(&shared, &open);
                        async move { Ok(connection.map(|c| (c, stream))) }
                    };
                    let ended = server.serve(&connected, |e| log::debug!("modbus: {e}")).await;
                    log::warn!("modbus: {ended:?}");
                    tokio::time::sleep(PAUSE).await;
                }
            });
        };
        std::thread::Builder::new()
            .name("modbus".into())
            .spawn(serve)
            .map_err(|e| Error::Internal(format!("starting a thread: {e}")))?;
        Ok(controller)
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The number of the trigger that asks for an inspection, if one does.
    pub fn asks(&self) -> Option<u32> {
        let state = self.state();
        state.asked.then_some(state.triggers)
    }

    /// The recipe is loaded.
    pub fn ready(&self) {
        self.state().ready = true;
    }

    /// An inspection begins.
    pub fn begin(&self) {
        let mut state = self.state();
        (state.busy, state.done) = (true, false);
    }

    /// Nothing is looked at.
    pub fn rest(&self) {
        self.state().busy = false;
    }

    /// An inspection ended, with this record. One for a trigger is shown if no other trigger came meanwhile.
    pub fn end(&self, record: &Map<String, Value>, trigger: Option<u32>) {
        self.show(outcome(record), trigger);
    }

    /// No picture came to a trigger.
    pub fn nothing(&self, trigger: u32) {
        self.show(Outcome { verdict: 4, code: CODE_NO_PICTURE, ..Outcome::default() }, Some(trigger));
    }

    fn show(&self, outcome: Outcome, trigger: Option<u32>) {
        let mut state = self.state();
        if trigger.is_none_or(|trigger| trigger == state.triggers) {
            state.outcome = outcome;
            (state.busy, state.done, state.asked) = (false, true, false);
        }
        let counted = [0, usize::from(outcome.verdict).min(4)];
        counted.iter().for_each(|at| state.counters[*at] = state.counters[*at].wrapping_add(1));
    }
}

fn outcome(record: &Map<String, Value>) -> Outcome {
    let thousandths = |key: &str| {
        let value = record.get(key).and_then(Value::as_f64).unwrap_or(0.0);
        (1000.0 * value).round().clamp(0.0, 65535.0) as u16
    };
    let failed = |region: &Value| region["verdict"] != "pass";
    let region = record.get("regions").and_then(Value::as_array).and_then(|all| all.iter().position(failed));
    let (verdict, code) = match record.get("verdict").and_then(Value::as_str) {
        Some("pass") => (1, 0),
        Some("fail") => (2, region.map_or(0, |at| at as u16 + 1)),
        Some(_) => (3, CODE_MISPLACED),
        None => (4, CODE_UNREADABLE),
    };
    Outcome {
        verdict,
        code,
        score: thousandths("score"),
        threshold: thousandths("threshold"),
        ms: record.get("ms").and_then(Value::as_f64).unwrap_or(0.0).round().clamp(0.0, 65535.0) as u16,
        seq: record.get("seq").and_then(Value::as_u64).unwrap_or(0) as u32,
    }
}

/// A controller that is connected; counted for as long as it is.
struct Connection {
    controller: Controller,
    open: Arc<AtomicUsize>,
}

impl Connection {
    fn new(controller: &Controller, open: &Arc<AtomicUsize>) -> Option<Self> {
        let connection = Connection { controller: controller.clone(), open: open.clone() };
        (open.fetch_add(1, Ordering::Relaxed) < CONNECTIONS).then_some(connection)
    }

    fn answer(&self, request: &Request<'_>) -> Result<Response, ExceptionCode> {
        let mut state = self.controller.state();
        let outside = ExceptionCode::IllegalDataAddress;
        let coils = [state.trigger, false];
        Ok(match request {
            Request::ReadCoils(start, count) => Response::ReadCoils(part(&coils, *start, *count)?),
            Request::ReadDiscreteInputs(start, count) => {
                Response::ReadDiscreteInputs(part(&state.bits(), *start, *count)?)
            }
            Request::ReadInputRegisters(start, count) => {
                Response::ReadInputRegisters(part(&state.words(), *start, *count)?)
            }
            Request::ReadHoldingRegisters(COMMAND, 1) => Response::ReadHoldingRegisters(vec![u16::from(state.trigger)]),
            Request::ReadHoldingRegisters(start, count) => {
                Response::ReadHoldingRegisters(part(&state.words(), *start, *count)?)
            }
            Request::WriteSingleCoil(coil, on) if *coil < COILS => {
                state.write(*coil, *on);
                Response::WriteSingleCoil(*coil, *on)
            }
            Request::WriteMultipleCoils(start, values) => {
                let end = usize::from(*start) + values.len();
                if values.is_empty() || end > usize::from(COILS) {
                    return Err(outside);
                }
                (*start..).zip(values.iter()).for_each(|(coil, on)| state.write(coil, *on));
                Response::WriteMultipleCoils(*start, values.len() as u16)
            }
            Request::WriteSingleRegister(COMMAND, word) => {
                command(&mut state, *word);
                Response::WriteSingleRegister(COMMAND, *word)
            }
            Request::WriteMultipleRegisters(COMMAND, words) if words.len() == 1 => {
                command(&mut state, words[0]);
                Response::WriteMultipleRegisters(COMMAND, 1)
            }
            Request::WriteSingleCoil(..) | Request::WriteSingleRegister(..) | Request::WriteMultipleRegisters(..) => {
                return Err(outside);
            }
            _ => return Err(ExceptionCode::IllegalFunction),
        })
    }
}

fn command(state: &mut State, word: u16) {
    [TRIGGER, RESET].iter().for_each(|coil| state.write(*coil, word >> coil & 1 == 1));
}

/// So many values from `start` on.
fn part<T: Clone>(all: &[T], start: u16, count: u16) -> Result<Vec<T>, ExceptionCode> {
    let start = usize::from(start);
    let range = all.get(start..start + usize::from(count)).filter(|r| !r.is_empty());
    range.map(<[T]>::to_vec).ok_or(ExceptionCode::IllegalDataAddress)
}

impl Drop for Connection {
    fn drop(&mut self) {
        self.open.fetch_sub(1, Ordering::Relaxed);
    }
}

impl Service for Connection {
    type Request = Request<'static>;
    type Response = Response;
    type Exception = ExceptionCode;
    type Future = Ready<Result<Response, ExceptionCode>>;

    fn call(&self, request: Self::Request) -> Self::Future {
        ready(self.answer(&request))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn connection() -> Connection {
        Connection::new(&Controller(Arc::default()), &Arc::default()).unwrap()
    }

    #[test]
    fn a_trigger_is_answered_step_by_step() {
        let connection = connection();
        let controller = &connection.controller;
        let bits = || match connection.answer(&Request::ReadDiscreteInputs(0, 6)).unwrap() {
            Response::ReadDiscreteInputs(bits) => bits.iter().map(|b| if *b { '1' } else { '0' }).collect::<String>(),
            other => panic!("{other:?}"),
        };
        assert_eq!(bits(), "000000");
        controller.ready();
        connection.answer(&Request::WriteSingleCoil(0, true)).unwrap();
        assert_eq!(controller.asks(), Some(1));
        controller.begin();
        assert_eq!(bits(), "110000");
        let Value::Object(record) = json!({
            "seq": 70000, "verdict": "fail", "score": 1.2345, "threshold": 1.0, "ms": 41.6,
            "regions": [{"verdict": "pass"}, {"verdict": "fail"}],
        }) else {
            unreachable!()
        };
        controller.end(&record, Some(1));
        assert_eq!(bits(), "101010");
        let Response::ReadInputRegisters(words) = connection.answer(&Request::ReadInputRegisters(0, 18)).unwrap()
        else {
            unreachable!()
        };
        assert_eq!(words, [21, 2, 2, 1235, 1000, 42, 1, 4464, 0, 1, 0, 0, 0, 1, 0, 0, 0, 0]);
        assert_eq!(controller.asks(), None);
        connection.answer(&Request::WriteSingleCoil(0, false)).unwrap();
        assert_eq!(bits(), "100000");
        connection.answer(&Request::WriteSingleRegister(100, 3)).unwrap();
        assert!(controller.asks() == Some(2) && controller.state().counters == [0; 5]);
        // What was looked at for the trigger before does not answer this one.
        controller.end(&record, Some(1));
        assert_eq!((controller.asks(), bits().as_str()), (Some(2), "100000"));
        controller.nothing(2);
        assert_eq!((bits().as_str(), controller.state().outcome.code), ("101001", 991));
    }

    #[test]
    fn what_is_not_there_is_refused() {
        let connection = connection();
        use ExceptionCode::{IllegalDataAddress, IllegalFunction};
        for (request, exception) in [
            (Request::ReadCoils(1, 2), IllegalDataAddress),
            (Request::ReadInputRegisters(17, 2), IllegalDataAddress),
            (Request::ReadHoldingRegisters(100, 2), IllegalDataAddress),
            (Request::ReadInputRegisters(0, 0), IllegalDataAddress),
            (Request::ReadDiscreteInputs(65535, 65535), IllegalDataAddress),
            (Request::WriteSingleCoil(2, true), IllegalDataAddress),
            (Request::WriteMultipleCoils(1, vec![true, true].into()), IllegalDataAddress),
            (Request::WriteSingleRegister(0, 1), IllegalDataAddress),
            (Request::ReportServerId, IllegalFunction),
        ] {
            assert_eq!(connection.answer(&request).unwrap_err(), exception, "{request:?}");
        }
        let more = || Connection::new(&connection.controller, &connection.open);
        let held: Vec<Connection> = (0..2 * CONNECTIONS).filter_map(|_| more()).collect();
        assert_eq!(held.len(), CONNECTIONS - 1);
        drop(held);
        assert!(more().is_some());
    }
}
