//! What Prometheus reads: requests, how long they took, verdicts, the pool, memory.

use super::pool::Pool;
use crate::error::{Error, Result};
use prometheus_client::encoding::{EncodeLabelSet, text};
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::Histogram;
use prometheus_client::registry::{Registry, Unit};
use std::time::Duration;

/// Bounds of the latency histograms in seconds: from an embedding on a fast machine to a large drawing on a slow one.
const SECONDS: [f64; 12] = [0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0];

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Answered {
    route: String,
    status: u16,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Route {
    route: String,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Judged {
    recipe: String,
    verdict: &'static str,
}

/// The counters of a server.
#[derive(Debug)]
pub struct Metrics {
    registry: Registry,
    requests: Family<Answered, Counter>,
    seconds: Family<Route, Histogram, fn() -> Histogram>,
    verdicts: Family<Judged, Counter>,
    waiting: Gauge,
    busy: Gauge,
    memory: Gauge,
    stored: Gauge,
    full: Gauge,
}

impl Default for Metrics {
    fn default() -> Self {
        let mut registry = Registry::with_prefix("ocellus");
        let seconds: fn() -> Histogram = || Histogram::new(SECONDS);
        let metrics = Metrics {
            requests: Family::default(),
            seconds: Family::new_with_constructor(seconds),
            verdicts: Family::default(),
            waiting: Gauge::default(),
            busy: Gauge::default(),
            memory: Gauge::default(),
            stored: Gauge::default(),
            full: Gauge::default(),
            registry: Registry::default(),
        };
        registry.register("requests", "Requests answered", metrics.requests.clone());
        let help = "Time from a request's head to its answer";
        registry.register_with_unit("request_duration", help, Unit::Seconds, metrics.seconds.clone());
        registry.register("verdicts", "Inspections by recipe and verdict", metrics.verdicts.clone());
        registry.register("queue_waiting", "Pictures that wait for a thread", metrics.waiting.clone());
        registry.register("queue_busy", "Pictures that are looked at", metrics.busy.clone());
        registry.register_with_unit("resident_memory", "Memory of the process", Unit::Bytes, metrics.memory.clone());
        registry.register_with_unit("stored", "Pictures and records on disk", Unit::Bytes, metrics.stored.clone());
        registry.register("storage_full", "1 if there was no room for the last part", metrics.full.clone());
        Metrics { registry, ..metrics }
    }
}

impl Metrics {
    /// Counts a request to `route` (its pattern, so that addresses do not multiply the series).
    pub fn answered(&self, route: &str, status: u16, time: Duration) {
        self.requests.get_or_create(&Answered { route: route.into(), status }).inc();
        self.seconds.get_or_create(&Route { route: route.into() }).observe(time.as_secs_f64());
    }

    /// Counts an inspection.
    pub fn judged(&self, recipe: &str, verdict: &'static str) {
        self.verdicts.get_or_create(&Judged { recipe: recipe.into(), verdict }).inc();
    }

    /// All of them, as OpenMetrics text; `kept` are the bytes on disk, and whether there is no room for more.
    pub fn text(&self, pool: &Pool, kept: (u64, bool)) -> Result<String> {
        self.stored.set(kept.0 as i64);
        self.full.set(i64::from(kept.1));
        self.waiting.set(pool.waiting() as i64);
        self.busy.set(pool.busy() as i64);
        self.memory.set(crate::cli::process::memory().unwrap_or(0) as i64);
        let mut out = String::new();
        text::encode(&mut out, &self.registry).map_err(|e| Error::Internal(format!("writing metrics: {e}")))?;
        Ok(out)
    }
}
