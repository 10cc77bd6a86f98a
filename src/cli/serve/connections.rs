//! Connections: so many at a time, none that waits for ever, plain or TLS; at the end those that are open finish what they asked.

use crate::error::{Error, Result};
use axum::Router;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::server::graceful::GracefulShutdown;
use hyper_util::service::TowerToHyperService;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Semaphore;
use tokio_io_timeout::TimeoutStream;
use tokio_rustls::TlsAcceptor;

/// Connections that are open at a time; more wait to be accepted.
const MOST: usize = 256;
/// The time a client has for a handshake, for a request's head, and between two of its requests.
const HEAD: Duration = Duration::from_secs(10);
/// The time that an answer may wait for its reader.
const WRITE: Duration = Duration::from_secs(30);
/// How long to wait before accepting again when the system has no file descriptor left.
const PAUSE: Duration = Duration::from_millis(100);

/// TLS as `--tls-cert` and `--tls-key` (PEM) say.
pub fn tls(certificate: &Path, key: &Path) -> Result<TlsAcceptor> {
    let bad = |path: &Path, what: &str, why: String| {
        Error::Usage(format!("{}: expected {what} as PEM: {why}", path.display()))
    };
    let chain = CertificateDer::pem_file_iter(certificate)
        .and_then(Iterator::collect::<std::result::Result<Vec<_>, _>>)
        .map_err(|e| bad(certificate, "certificates", e.to_string()))?;
    let key_of = PrivateKeyDer::from_pem_file(key).map_err(|e| bad(key, "a private key", e.to_string()))?;
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config = rustls::ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .and_then(|c| c.with_no_client_auth().with_single_cert(chain, key_of))
        .map_err(|e| bad(certificate, "certificates that fit the key", e.to_string()))?;
    Ok(TlsAcceptor::from(Arc::new(config)))
}

/// Serves `app` on `listener` until `stop` counts a signal, then gives open requests `grace` to finish, or until the next signal. Whether all did.
pub async fn serve(
    listener: TcpListener,
    tls: Option<TlsAcceptor>,
    app: Router,
    mut stop: tokio::sync::watch::Receiver<usize>,
    grace: Duration,
) -> bool {
    let open = Arc::new(Semaphore::new(MOST));
    let graceful = GracefulShutdown::new();
    loop {
        let accepted = async {
            let permit = open.clone().acquire_owned().await;
            (listener.accept().await, permit)
        };
        let (stream, permit) = tokio::select! {
            (accepted, permit) = accepted => match accepted {
                Ok((stream, _)) => (stream, permit),
                Err(error) => {
                    log::warn!("accepting a connection: {error}");
                    tokio::time::sleep(PAUSE).await;
                    continue;
                }
            },
            _ = stop.changed() => break,
        };
        let (app, tls, watcher) = (app.clone(), tls.clone(), graceful.watcher());
        tokio::spawn(async move {
            let _permit = permit;
            let _ = stream.set_nodelay(true);
            match tls {
                None => talk(bounded(stream), app, watcher).await,
                Some(tls) => match tokio::time::timeout(HEAD, tls.accept(bounded(stream))).await {
                    Ok(Ok(stream)) => talk(stream, app, watcher).await,
                    Ok(Err(error)) => log::debug!("TLS: {error}"),
                    Err(_) => log::debug!("TLS: the handshake took too long"),
                },
            }
        });
    }
    drop(listener);
    tokio::select! {
        () = graceful.shutdown() => true,
        () = tokio::time::sleep(grace) => false,
        _ = stop.changed() => false,
    }
}

/// A stream whose writes do not wait for ever.
fn bounded(stream: TcpStream) -> std::pin::Pin<Box<TimeoutStream<TcpStream>>> {
    let mut stream = TimeoutStream::new(stream);
    stream.set_write_timeout(Some(WRITE));
    Box::pin(stream)
}

async fn talk<S>(stream: S, app: Router, watcher: hyper_util::server::graceful::Watcher)
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let mut http = hyper::server::conn::http1::Builder::new();
    http.timer(TokioTimer::new()).header_read_timeout(HEAD);
    let connection = http.serve_connection(TokioIo::new(stream), TowerToHyperService::new(app));
    if let Err(error) = watcher.watch(connection).await {
        log::debug!("connection: {error}");
    }
}
