//! Telling a broker: MQTT 3.1.1 over TCP, each record once at least (QoS 1), and a last will for when the line goes dead.

use crate::error::{Error, Result};
use crate::models::sha256_hex;
use rumqttc::{Client, Connection, Event, LastWill, MqttOptions, Outgoing, Packet, QoS};
use std::sync::mpsc::{Receiver, RecvTimeoutError, channel};
use std::time::{Duration, Instant};
use ureq::http::Uri;

/// The port of MQTT without TLS.
const PORT: u16 = 1883;
/// A broker that hears nothing for one and a half times as long tells the last will.
const KEEP_ALIVE: Duration = Duration::from_secs(10);
/// So long an acknowledgement is waited for before it is said that the broker is away.
const PATIENCE: Duration = Duration::from_secs(10);
/// Between two tries to connect.
const PAUSE: Duration = Duration::from_secs(1);
/// Longest record; the largest inspection of hundreds of regions has a tenth of it.
const LARGEST: usize = 4 << 20;

/// A broker and a topic.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Address {
    host: String,
    port: u16,
    login: Option<(String, String)>,
    topic: String,
}

impl Address {
    /// Of `mqtt://[USER:PASSWORD@]HOST[:PORT]/TOPIC`.
    ///
    /// # Errors
    /// Another address, a topic with a wildcard.
    pub fn parse(text: &str) -> Result<Self> {
        let wrong = || {
            Error::Usage(
                "--mqtt is no address, expected mqtt://HOST/TOPIC or mqtt://USER:PASSWORD@HOST:1883/TOPIC".into(),
            )
        };
        let uri: Uri = text.trim().parse().map_err(|_| wrong())?;
        let authority = uri.authority().filter(|_| uri.scheme_str() == Some("mqtt")).ok_or_else(wrong)?;
        let login = authority.as_str().rsplit_once('@').map(|(login, _)| login);
        let login = login.map(|l| l.split_once(':').unwrap_or((l, ""))).map(|(u, p)| (u.to_string(), p.to_string()));
        let topic = uri.path().trim_matches('/').to_string();
        let plain = !topic.is_empty() && !text.contains(['+', '#']) && uri.query().is_none();
        let host = authority.host().trim_matches(['[', ']']).to_string();
        (plain && !host.is_empty())
            .then(|| Address { host, port: authority.port_u16().unwrap_or(PORT), login, topic })
            .ok_or_else(wrong)
    }

    /// Without the password.
    fn shown(&self) -> String {
        format!("mqtt://{}:{}/{}", self.host, self.port, self.topic)
    }
}

/// What the connection tells.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Signal {
    /// It was made anew: what was under way is lost.
    Connected,
    /// The broker has all that was sent.
    Acknowledged,
}

/// A connection to a broker, made again whenever it breaks.
pub struct Publisher {
    client: Client,
    address: Address,
    signals: Receiver<Signal>,
    /// Whether a record was handed over and is not acknowledged yet.
    open: bool,
}

impl Publisher {
    /// Begins to connect. `TOPIC/status` is told `online` at each connection, and `offline` by the broker when it is lost.
    pub fn start(address: Address) -> Result<Self> {
        // The same after a restart, so that the broker ends a connection that it believes to be alive.
        let name = format!("ocellus-{}", sha256_hex(address.topic.as_bytes()).get(..12).unwrap_or_default());
        let mut options = MqttOptions::new(name, &address.host, address.port);
        let status = format!("{}/status", address.topic);
        options.set_keep_alive(KEEP_ALIVE).set_max_packet_size(LARGEST, LARGEST);
        options.set_last_will(LastWill::new(&status, "offline", QoS::AtLeastOnce, true));
        if let Some((user, password)) = &address.login {
            options.set_credentials(user, password);
        }
        let (client, connection) = Client::new(options, 10);
        let (sender, signals) = channel();
        let greeter = client.clone();
        let told = address.shown();
        std::thread::Builder::new()
            .name("mqtt".into())
            .spawn(move || drive(connection, &greeter, &status, &told, |signal| sender.send(signal).is_ok()))
            .map_err(|e| Error::Internal(format!("starting a thread: {e}")))?;
        Ok(Publisher { client, address, signals, open: false })
    }

    /// Publishes a record and waits until the broker has it.
    ///
    /// # Errors
    /// No acknowledgement in time. The record is kept for when the broker is back: the next call goes on waiting for it.
    pub fn tell(&mut self, record: &str) -> Result<()> {
        let away = |text: &str| Error::Server(format!("{}: {text}", self.address.shown()));
        let publish = || {
            let sent = self.client.try_publish(&self.address.topic, QoS::AtLeastOnce, false, record);
            sent.map_err(|e| away(&e.to_string()))
        };
        if !self.open {
            // Of records before this one.
            while self.signals.try_recv().is_ok() {}
            publish()?;
            self.open = true;
        }
        let end = Instant::now() + PATIENCE;
        loop {
            match self.signals.recv_timeout(end.saturating_duration_since(Instant::now())) {
                // Without a session the broker knows nothing of what was sent before, nor does the client send it again.
                Ok(Signal::Connected) => publish()?,
                Ok(Signal::Acknowledged) => {
                    self.open = false;
                    return Ok(());
                }
                Err(RecvTimeoutError::Timeout) => return Err(away("the broker does not answer")),
                Err(RecvTimeoutError::Disconnected) => return Err(away("the connection's thread is gone")),
            }
        }
    }
}

/// Keeps the connection and signals what becomes of records.
fn drive(mut connection: Connection, greeter: &Client, status: &str, shown: &str, signal: impl Fn(Signal) -> bool) {
    // Records that are sent and not acknowledged: one, or two copies of it after a break.
    let mut under_way = 0_u32;
    for event in connection.iter() {
        match event {
            Ok(Event::Incoming(Packet::ConnAck(_))) => {
                log::info!("{shown}: connected");
                // Not acknowledged, so that it is never taken for a record.
                let _ = greeter.try_publish(status, QoS::AtMostOnce, true, "online");
                under_way = 0;
                if !signal(Signal::Connected) {
                    return;
                }
            }
            Ok(Event::Outgoing(Outgoing::Publish(number))) if number > 0 => under_way += 1,
            Ok(Event::Incoming(Packet::PubAck(_))) => {
                under_way = under_way.saturating_sub(1);
                if under_way == 0 && !signal(Signal::Acknowledged) {
                    return;
                }
            }
            Ok(_) => {}
            Err(error) => {
                log::debug!("{shown}: {error}");
                std::thread::sleep(PAUSE);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_are_taken_apart() {
        let address = Address::parse("mqtt://line:s3cret@broker.plant:1884/plant/line-2/ocellus").unwrap();
        assert_eq!(
            (address.host.as_str(), address.port, address.topic.as_str()),
            ("broker.plant", 1884, "plant/line-2/ocellus")
        );
        assert_eq!(address.login, Some(("line".into(), "s3cret".into())));
        assert!(!address.shown().contains("s3cret"));
        let plain = Address::parse("mqtt://[::1]/a").unwrap();
        assert_eq!((plain.host.as_str(), plain.port, plain.login), ("::1", 1883, None));
        for wrong in [
            "",
            "broker/topic",
            "mqtt://broker",
            "mqtt://broker/",
            "http://broker/a",
            "mqtt://broker/a/#",
            "mqtt:///a",
            "mqtt://me:secret@/a",
        ] {
            let text = Address::parse(wrong).unwrap_err().to_string();
            assert!(text.contains("--mqtt") && !text.contains("secret"), "{wrong}: {text}");
        }
    }
}
