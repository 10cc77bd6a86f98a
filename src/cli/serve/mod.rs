//! `ocellus serve`: the pipelines over HTTP, loaded once, for a box that runs for years.
//!
//! A request goes through `guard`, which asks for the token and counts, to its route in `api`; `upload` reads the picture, `query`
//! the parameters, `pool` has it looked at. `connections` bounds what clients may hold on to. With `--state` there is a station
//! beside it: `parts` puts pictures on record, `drafts` makes recipes, `kiosk` is the page for both.

mod api;
mod connections;
mod drafts;
mod guard;
mod kiosk;
mod members;
mod metrics;
mod openapi;
mod parts;
mod pool;
mod query;
mod recipes;
mod upload;

use super::station::{self, Station};
use super::{batch, detection, masks, output, watch};
use crate::error::{Error, Result};
use crate::input::Limits;
use crate::models;
use crate::tasks::detect::Detector;
use crate::tasks::embed::Embedder;
use crate::tasks::mask::Masker;
use crate::tasks::ocr::Reader;
use axum::Router;
use axum::extract::DefaultBodyLimit;
use axum::http::StatusCode;
use axum::routing::{delete, get, post};
use metrics::Metrics;
use pool::Pool;
use std::collections::HashSet;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, OnceLock};
use std::time::Duration;
use upload::Bodies;

/// How a server is set up.
#[derive(Debug)]
pub struct Config {
    /// Where it listens.
    pub listen: SocketAddr,
    /// The folder of recipes.
    pub recipes: Option<PathBuf>,
    /// The station, if parts are put on record.
    pub station: Option<station::Settings>,
    /// The folder that is watched for it.
    pub watch: Option<Watched>,
    /// The file of the token.
    pub token_file: Option<PathBuf>,
    /// Certificate and key.
    pub tls: Option<(PathBuf, PathBuf)>,
    /// Detector of `/v1/detect` and `/v1/mask`; the embedded ones if absent.
    pub detect_model: Option<String>,
    /// See there.
    pub mask_model: Option<String>,
    /// Threads and bounds of pictures.
    pub options: batch::Options,
    /// Pictures that may wait.
    pub queue: usize,
    /// Largest body in bytes.
    pub body: usize,
    /// The time that a request may take.
    pub timeout: Duration,
}

/// A folder whose pictures are inspected as they come.
#[derive(Debug, Clone)]
pub struct Watched {
    /// The folder.
    pub folder: PathBuf,
    /// The recipe's name.
    pub recipe: String,
    /// Whether pictures are taken into the station's store.
    pub moving: bool,
}

/// Bodies of the largest size that wait beside those that are looked at; of usual pictures these are many.
const HELD: usize = 4;

/// What all requests share.
#[derive(Debug)]
pub struct Server {
    pool: Pool,
    bodies: Bodies,
    limits: Limits,
    options: batch::Options,
    token: Option<guard::Token>,
    metrics: Metrics,
    recipes: recipes::Recipes,
    networks: Networks,
    /// Where parts are put on record, and the folder that it keeps them in.
    station: Option<Station>,
    state: Option<PathBuf>,
    watched: Option<Watched>,
    /// Held while a draft changes.
    drafting: Mutex<()>,
    /// What senders call the requests that are being answered.
    under_way: Mutex<HashSet<String>>,
    /// Whether networks and recipes are loaded.
    ready: AtomicBool,
}

/// A network that is loaded once, or why it is not: a build may lack it, and the others work all the same.
#[derive(Debug)]
struct Lazy<T>(OnceLock<Result<T, String>>);

impl<T> Default for Lazy<T> {
    fn default() -> Self {
        Lazy(OnceLock::new())
    }
}

impl<T> Lazy<T> {
    fn get(&self, what: &str, load: impl FnOnce() -> Result<T>) -> Result<&T> {
        let loaded = self.0.get_or_init(|| load().map_err(|e| e.one_line()));
        loaded.as_ref().map_err(|why| Error::model(what, why.clone()))
    }
}

/// How long a file of the watched folder has to stay as it is.
const SETTLE: Duration = Duration::from_secs(1);

/// The networks of all routes.
#[derive(Debug, Default)]
struct Networks {
    detect_model: Option<String>,
    mask_model: Option<String>,
    detector: Lazy<Detector>,
    masker: Lazy<Masker>,
    reader: Lazy<Reader>,
    embedder: Lazy<(String, Embedder)>,
}

impl Networks {
    fn detector(&self) -> Result<&Detector> {
        self.detector.get("detect", || detection::detector(self.detect_model.as_deref()))
    }

    fn masker(&self) -> Result<&Masker> {
        self.masker.get("mask", || masks::masker(self.mask_model.as_deref()))
    }

    fn reader(&self) -> Result<&Reader> {
        self.reader.get("ocr", Reader::new)
    }

    fn embedder(&self) -> Result<&(String, Embedder)> {
        self.embedder.get("embed", || {
            let model = models::default_for("features")?;
            Ok((model.info.id.clone(), Embedder::new(model)?))
        })
    }

    /// Loads all; those that cannot be are told of.
    fn load(&self) {
        let results = [
            self.detector().map(|_| ()),
            self.masker().map(|_| ()),
            self.reader().map(|_| ()),
            self.embedder().map(|_| ()),
        ];
        results.iter().filter_map(|r| r.as_ref().err()).for_each(output::complain);
    }
}

/// The routes. `openapi.rs` describes them.
fn routes(server: Arc<Server>) -> Router {
    let unknown = || async { api::refusal(StatusCode::NOT_FOUND, "no such address; see /openapi.json") };
    let method = || async { api::refusal(StatusCode::METHOD_NOT_ALLOWED, "not this method; see /openapi.json") };
    Router::new()
        .route("/v1/detect", post(api::detect))
        .route("/v1/mask", post(api::mask))
        .route("/v1/ocr", post(api::ocr))
        .route("/v1/embed", post(api::embed))
        .route("/v1/inspect/{recipe}", post(api::inspect))
        .route("/v1/models", get(api::models))
        .route("/v1/recipes", get(api::recipes))
        .route("/v1/recipes/{recipe}/golden", get(api::golden))
        .route("/v1/recipes/{recipe}/rollback", post(parts::roll_back))
        .route("/v1/station", get(kiosk::station))
        .route("/v1/parts", get(parts::list))
        // A part's number, or for a new one its recipe's name: both stand in one place of the address.
        .route("/v1/parts/{part}", get(parts::one).post(parts::add))
        .route("/v1/parts/{part}/thumbnail", get(parts::thumbnail))
        .route("/v1/parts/{part}/findings", get(parts::findings))
        .route("/v1/parts/{part}/picture", get(parts::picture))
        .route("/v1/parts/{part}/judgement", post(parts::judge))
        .route("/v1/parts/{part}/learn", post(parts::learn))
        .route("/v1/counters", get(parts::counters))
        .route("/v1/drafts", get(drafts::list))
        .route("/v1/drafts/{draft}", delete(drafts::delete))
        .route("/v1/drafts/{draft}/goods", post(drafts::add_good))
        .route("/v1/drafts/{draft}/goods/{number}", get(drafts::get_good).delete(drafts::delete_good))
        .route("/v1/drafts/{draft}/learn", post(drafts::learn))
        .route("/v1/drafts/{draft}/try", post(drafts::try_out))
        .route("/v1/drafts/{draft}/publish", post(drafts::publish))
        .route("/", get(kiosk::page))
        .route("/kiosk.css", get(kiosk::style))
        .route("/kiosk.js", get(kiosk::script))
        .route("/health", get(api::health))
        .route("/ready", get(api::ready))
        .route("/metrics", get(api::metrics))
        .route("/openapi.json", get(api::openapi))
        .fallback(unknown)
        .method_not_allowed_fallback(method)
        // `upload` bounds bodies, as the user says.
        .layer(DefaultBodyLimit::disable())
        .layer(axum::middleware::from_fn_with_state(server.clone(), guard::guard))
        .with_state(server)
}

/// Serves until SIGTERM or Ctrl-C, then finishes what was asked.
///
/// # Errors
/// A configuration that cannot be used, an address that is taken.
pub fn run(config: Config) -> Result<()> {
    let Config { listen, options, .. } = config;
    if !listen.ip().is_loopback() && config.token_file.is_none() {
        return Err(Error::Usage(format!(
            "--listen {listen} can be reached from other machines: say by --token-file who may ask, or listen on 127.0.0.1"
        )));
    }
    let tls = config.tls.as_ref().map(|(cert, key)| connections::tls(cert, key)).transpose()?;
    let networks = Networks { detect_model: config.detect_model, mask_model: config.mask_model, ..Networks::default() };
    // What was asked for by name has to be there.
    networks.detect_model.as_ref().map(|_| networks.detector()).transpose()?;
    networks.mask_model.as_ref().map(|_| networks.masker()).transpose()?;
    let state = config.station.as_ref().map(|s| s.out.clone());
    let recipes = config.recipes.or(state.as_ref().map(|s| s.join("recipes")));
    if let Some(recipes) = state.as_ref().and(recipes.as_ref()) {
        output::check_folder(recipes)?;
    }
    if let Some((watched, state)) = config.watch.as_ref().zip(state.as_ref()) {
        output::check_folder(state)?;
        watch::check_folders(&watched.folder, state)?;
    }
    let mut done = watch::Done::default();
    let station = config.station.map(|settings| Station::open(settings, |record| done.add(record))).transpose()?;
    let server = Arc::new(Server {
        pool: Pool::new(options.threads, config.queue, config.timeout),
        bodies: Bodies::new(config.body, options.threads + HELD),
        limits: options.limits,
        token: config.token_file.as_deref().map(guard::Token::read).transpose()?,
        metrics: Metrics::default(),
        recipes: recipes::Recipes::new(recipes, options.limits),
        networks,
        options,
        station,
        state,
        watched: config.watch,
        drafting: Mutex::default(),
        under_way: Mutex::default(),
        ready: AtomicBool::new(false),
    });
    server.recipes.names()?;
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build();
    let runtime = runtime.map_err(|e| Error::Internal(format!("starting the server's threads: {e}")))?;
    let result = runtime.block_on(async {
        let taken = |e| Error::io(listen.to_string(), "listen on", e);
        let listener = tokio::net::TcpListener::bind(listen).await.map_err(taken)?;
        let address = listener.local_addr().map_err(taken)?;
        let scheme = if tls.is_some() { "https" } else { "http" };
        output::note(&format!("listening on {scheme}://{address}"));
        start_watching(&server, done)?;
        let loading = server.clone();
        // Requests may come before all is loaded; each waits for what it needs.
        tokio::task::spawn_blocking(move || {
            let load = std::panic::AssertUnwindSafe(|| {
                loading.networks.load();
                loading.recipes.read()
            });
            let loaded = std::panic::catch_unwind(load);
            let loaded = loaded.unwrap_or_else(|panic| Err(Error::Internal(batch::panic_text(&*panic))));
            if let Err(error) = loaded {
                output::complain(&error);
            }
            loading.ready.store(true, Ordering::Release);
            #[cfg(feature = "line")]
            loading.station.iter().filter_map(Station::controller).for_each(|c| c.ready());
            if !options.quiet {
                output::note("ready");
            }
        });
        let done = connections::serve(listener, tls, routes(server.clone()), stop_signals()?, config.timeout).await;
        if !done {
            output::note("some requests were not done in time and were cut off");
        }
        Ok(())
    });
    // Work that nobody waits for any more is not waited for.
    runtime.shutdown_background();
    server.station.iter().for_each(Station::finish);
    result
}

/// After an error of a watched folder or its recipe.
const PAUSE: Duration = Duration::from_secs(5);

/// Inspects what comes into the watched folder, on a thread of its own, for as long as the process lives.
fn start_watching(server: &Arc<Server>, done: watch::Done) -> Result<()> {
    let Some(watched) = server.watched.clone() else { return Ok(()) };
    let server = server.clone();
    let work = move || {
        let Some(station) = &server.station else { return };
        let config = watch::Config {
            folder: watched.folder,
            moving: watched.moving,
            settle: SETTLE,
            once: false,
            on_trigger: None,
            options: server.options,
        };
        let (recipes, name) = (&server.recipes, watched.recipe);
        let missing = || Error::Input(format!("--watch-recipe: there is no recipe {name:?}"));
        let recipe: watch::Current = Box::new(|| recipes.get(&name)?.ok_or_else(missing));
        let metrics = &server.metrics;
        let tell: watch::Tell = Box::new(|_, judged, result| {
            match result {
                Ok(_) => metrics.judged(&name, judged.verdict),
                Err(error) => output::complain(error),
            }
            Ok(())
        });
        let mut watch = watch::Watch::new(config, station, done, recipe, tell);
        let mut said = String::new();
        loop {
            let run = std::panic::AssertUnwindSafe(|| watch.run());
            let ended = std::panic::catch_unwind(run).unwrap_or_else(|p| Err(Error::Internal(batch::panic_text(&*p))));
            if let Err(error) = ended
                && error.one_line() != said
            {
                output::complain(&error);
                said = error.one_line();
            }
            std::thread::sleep(PAUSE);
        }
    };
    let started = std::thread::Builder::new().name("watch".into()).spawn(work);
    started.map(|_| ()).map_err(|e| Error::Internal(format!("starting a thread: {e}")))
}

/// Tells when SIGTERM or Ctrl-C comes, each time that it does.
fn stop_signals() -> Result<tokio::sync::watch::Receiver<usize>> {
    use tokio::signal::unix::{SignalKind, signal};
    let on = |kind| signal(kind).map_err(|e| Error::Internal(format!("waiting for signals: {e}")));
    let (mut terminate, mut interrupt) = (on(SignalKind::terminate())?, on(SignalKind::interrupt())?);
    let (sender, receiver) = tokio::sync::watch::channel(0);
    tokio::spawn(async move {
        loop {
            tokio::select! {
                _ = terminate.recv() => {}
                _ = interrupt.recv() => {}
            }
            sender.send_modify(|count| *count += 1);
        }
    });
    Ok(receiver)
}
