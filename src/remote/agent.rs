//! The HTTP client that everything here uses: no proxy, no redirects, times that end.

use super::resolve::Names;
use std::time::Duration;
use ureq::Agent;
use ureq::tls::{RootCerts, TlsConfig};
use ureq::unversioned::transport::DefaultConnector;

/// Connections idle for five seconds are closed by usual servers; they are not used up to then.
const MOST_IDLE: Duration = Duration::from_secs(3);

/// An agent that trusts `roots`; `connect` bounds resolving a name and connecting, each, `timeout` a request as a whole.
pub fn agent(roots: RootCerts, connect: Duration, timeout: Duration) -> Agent {
    let config = Agent::config_builder()
        // What is sent goes where the user says and nowhere else, whatever the environment or an answer may say.
        .proxy(None)
        .max_redirects(0)
        .max_redirects_will_error(false)
        .http_status_as_error(false)
        .tls_config(TlsConfig::builder().root_certs(roots).build())
        .timeout_resolve(Some(connect))
        .timeout_connect(Some(connect))
        .timeout_global(Some(timeout))
        .max_idle_age(MOST_IDLE)
        .user_agent(concat!("ocellus/", env!("CARGO_PKG_VERSION")));
    // See there.
    if cfg!(all(target_env = "gnu", target_feature = "crt-static")) {
        Agent::with_parts(config.build(), DefaultConnector::default(), Names)
    } else {
        Agent::new_with_config(config.build())
    }
}
