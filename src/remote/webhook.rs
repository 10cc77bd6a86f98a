//! Telling another machine: a record goes by POST to an address of the user's.

use super::agent::agent;
use super::wire::cut;
use crate::error::{Error, Result};
use std::time::Duration;
use ureq::Agent;
use ureq::http::{Uri, header};
use ureq::tls::RootCerts;

/// How long resolving a name and connecting may take, each.
const CONNECT: Duration = Duration::from_secs(5);
/// How long a request may take as a whole.
const TIMEOUT: Duration = Duration::from_secs(10);
/// Before the second and last try.
const PAUSE: Duration = Duration::from_secs(1);

/// An address that records are sent to.
#[derive(Debug)]
pub struct Webhook {
    agent: Agent,
    url: String,
    /// Scheme, host and port: the rest may be a secret and is not repeated.
    shown: String,
}

impl Webhook {
    /// Prepares; nothing is sent yet. Errors: an address that is none.
    pub fn new(url: &str) -> Result<Self> {
        let shown = shown(url.trim())?;
        let agent = agent(RootCerts::WebPki, CONNECT, TIMEOUT);
        Ok(Webhook { agent, url: url.trim().to_string(), shown })
    }

    /// Sends a JSON text; blocks until it is answered. Tried twice, but for an answer that would be the same again.
    ///
    /// # Errors
    /// [`Error::Server`]: no answer, or another than 2xx.
    pub fn send(&self, record: &str) -> Result<()> {
        let again = match self.ask(record) {
            Ok(()) => return Ok(()),
            Err((text, false)) => return Err(self.fault(&text)),
            Err((text, true)) => text,
        };
        log::debug!("{}: {again}; tried again", self.shown);
        std::thread::sleep(PAUSE);
        self.ask(record).map_err(|(text, _)| self.fault(&format!("{text} (tried twice)")))
    }

    /// One try; what went wrong, and whether another may help.
    fn ask(&self, record: &str) -> Result<(), (String, bool)> {
        let request = self.agent.post(&self.url).header(header::CONTENT_TYPE, "application/json");
        let answer = request.send(record.as_bytes()).map_err(|e| (cut(&e.to_string()), true))?;
        let status = answer.status();
        match status.as_u16() {
            200..300 => Ok(()),
            300..400 => Err((format!("answers {status}: redirects are not followed"), false)),
            408 | 429 | 500.. => Err((format!("answers {status}"), true)),
            _ => Err((format!("answers {status}"), false)),
        }
    }

    fn fault(&self, text: &str) -> Error {
        Error::Server(format!("webhook {}: {text}", self.shown))
    }
}

/// The part of an address that can be shown; an error says what one looks like.
fn shown(url: &str) -> Result<String> {
    let uri: Option<Uri> = url.parse().ok();
    let parts = uri.as_ref().and_then(|uri| Some((uri.scheme_str()?, uri.authority()?)));
    match parts {
        Some((_, authority)) if authority.as_str().contains('@') => {
            Err(Error::Usage("--webhook holds a user name; put a token into the path or the query instead".into()))
        }
        Some((scheme @ ("http" | "https"), authority)) if !authority.host().is_empty() => {
            Ok(format!("{scheme}://{authority}"))
        }
        _ => Err(Error::Usage("--webhook is no address, expected http://HOST/PATH or https://HOST/PATH".into())),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn secrets_are_not_shown() {
        assert_eq!(shown("https://plant.house:8443/hook?token=secret").unwrap(), "https://plant.house:8443");
        for wrong in ["", "plant/hook", "ftp://plant/", "http://", "http://me:secret@plant/"] {
            let text = shown(wrong).unwrap_err().to_string();
            assert!(text.contains("--webhook") && !text.contains("secret"), "{text}");
        }
    }
}
