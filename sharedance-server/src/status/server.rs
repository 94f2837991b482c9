//! The socket and the thread of the status listener.

use std::convert::Infallible;
use std::io;
use std::net::{SocketAddr, TcpListener};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use http_body_util::Full;
use hyper::body::{Bytes, Incoming};
use hyper::header::{self, HeaderValue};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper::{Method, Request, Response, StatusCode};
use hyper_util::rt::{TokioIo, TokioTimer};
use log::warn;
use tokio::sync::{Semaphore, watch};
use tokio::time::{MissedTickBehavior, interval, sleep, timeout};

use super::exposition::Format;
use super::history::{History, INTERVAL};
use super::metrics::metrics;
use super::page::{Page, nonce};
use super::snapshot::{Readiness, Source};

/// How many connections are served at a time. Others wait.
const MAX_CONNECTIONS: usize = 32;

/// How long a connection may be open, and how long it may take to send the head of a request.
const MAX_CONNECTION_TIME: Duration = Duration::from_secs(60);
const MAX_HEAD_TIME: Duration = Duration::from_secs(10);

/// How long the thread rests after a connection could not be accepted.
const REST_AFTER_FAILURE: Duration = Duration::from_millis(100);

const PLAIN_TEXT: &str = "text/plain; charset=utf-8";

/// The bound socket.
#[derive(Debug)]
pub(crate) struct StatusListener {
    socket: TcpListener,
    address: SocketAddr,
}

impl StatusListener {
    /// Listens on `address`, HOST:PORT.
    ///
    /// # Errors
    /// The address is malformed or unknown, or the system refuses it.
    pub(crate) fn bind(address: &str) -> io::Result<StatusListener> {
        let socket = TcpListener::bind(address)?;
        socket.set_nonblocking(true)?;
        Ok(StatusListener { address: socket.local_addr()?, socket })
    }

    pub(crate) fn address(&self) -> SocketAddr {
        self.address
    }

    /// Serves what `source` says, in a thread of its own, until the result is dropped.
    ///
    /// # Errors
    /// The system refuses a thread, or what its runtime needs.
    pub(crate) fn start(self, source: Source) -> io::Result<StatusServer> {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_io().enable_time().build()?;
        let (stop, stopped) = watch::channel(());
        let thread = thread::Builder::new().name("status".to_owned()).spawn(move || {
            if let Err(error) = runtime.block_on(serve(self.socket, Arc::new(Status::new(source)), stopped)) {
                warn!("the status listener has ended: {error}");
            }
        })?;
        Ok(StatusServer { stop: Some(stop), thread: Some(thread) })
    }
}

/// The thread that serves the status. Dropping this ends it.
#[derive(Debug)]
pub(crate) struct StatusServer {
    stop: Option<watch::Sender<()>>,
    thread: Option<JoinHandle<()>>,
}

impl Drop for StatusServer {
    fn drop(&mut self) {
        drop(self.stop.take());
        if let Some(thread) = self.thread.take() {
            // A thread that panicked has printed that on stderr.
            let _ = thread.join();
        }
    }
}

/// What the requests need.
struct Status {
    source: Source,
    history: Mutex<History>,
}

impl Status {
    fn new(source: Source) -> Status {
        let history = Mutex::new(History::new(source.snapshot()));
        Status { source, history }
    }

    fn take_snapshot(&self) {
        let snapshot = self.source.snapshot();
        self.history.lock().unwrap_or_else(PoisonError::into_inner).push(snapshot);
    }

    fn page(&self) -> Page {
        let now = self.source.snapshot();
        Page::new(&self.source, &self.history.lock().unwrap_or_else(PoisonError::into_inner), &now)
    }
}

/// Serves until `stopped` has no sender.
async fn serve(socket: TcpListener, status: Arc<Status>, mut stopped: watch::Receiver<()>) -> io::Result<()> {
    let socket = tokio::net::TcpListener::from_std(socket)?;
    let permits = Arc::new(Semaphore::new(MAX_CONNECTIONS));
    let mut snapshots = interval(INTERVAL);
    snapshots.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        let accept = async {
            // The semaphore is never closed.
            let permit = Arc::clone(&permits).acquire_owned().await;
            (permit, socket.accept().await)
        };
        tokio::select! {
            _ = stopped.changed() => return Ok(()),
            _ = snapshots.tick() => status.take_snapshot(),
            (permit, accepted) = accept => match accepted {
                Ok((stream, _)) => {
                    let status = Arc::clone(&status);
                    tokio::spawn(async move {
                        let service = service_fn(|request| {
                            let response = respond(&request, &status);
                            async move { Ok::<_, Infallible>(response) }
                        });
                        let connection = http1::Builder::new()
                            .timer(TokioTimer::new())
                            .header_read_timeout(MAX_HEAD_TIME)
                            .serve_connection(TokioIo::new(stream), service);
                        // Failures and slow peers concern this connection alone.
                        let _ = timeout(MAX_CONNECTION_TIME, connection).await;
                        drop(permit);
                    });
                }
                // Descriptors have run out, for example.
                Err(_) => sleep(REST_AFTER_FAILURE).await,
            },
        }
    }
}

fn respond(request: &Request<Incoming>, status: &Status) -> Response<Full<Bytes>> {
    if ![Method::GET, Method::HEAD].contains(request.method()) {
        let mut response = response(StatusCode::METHOD_NOT_ALLOWED, PLAIN_TEXT, "read only: use GET\n".to_owned());
        response.headers_mut().insert(header::ALLOW, HeaderValue::from_static("GET, HEAD"));
        return response;
    }
    match request.uri().path() {
        "/" => {
            let nonce = nonce();
            let mut response = response(StatusCode::OK, "text/html; charset=utf-8", status.page().html(&nonce));
            let policy = format!(
                "default-src 'none'; style-src 'nonce-{nonce}'; script-src 'nonce-{nonce}'; connect-src 'self'; \
                 img-src data:; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
            );
            if let Ok(policy) = HeaderValue::from_str(&policy) {
                response.headers_mut().insert(header::CONTENT_SECURITY_POLICY, policy);
            }
            response
        }
        "/status.json" => response(StatusCode::OK, "application/json", status.page().json()),
        "/metrics" => {
            let accept = request.headers().get(header::ACCEPT).and_then(|accept| accept.to_str().ok());
            let format = Format::accepted_by(accept.unwrap_or_default());
            response(StatusCode::OK, format.content_type(), metrics(&status.source.snapshot(), format))
        }
        "/healthz" => response(StatusCode::OK, PLAIN_TEXT, "alive\n".to_owned()),
        "/readyz" => {
            let readiness = status.source.readiness();
            let code = if readiness == Readiness::Ready { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE };
            response(code, PLAIN_TEXT, format!("{}\n", readiness.as_str()))
        }
        _ => {
            let paths = "there is /, /metrics, /healthz, /readyz and /status.json\n";
            response(StatusCode::NOT_FOUND, PLAIN_TEXT, paths.to_owned())
        }
    }
}

fn response(code: StatusCode, content_type: &'static str, body: String) -> Response<Full<Bytes>> {
    let mut response = Response::new(Full::new(Bytes::from(body)));
    *response.status_mut() = code;
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(content_type));
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    headers.insert(header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    headers.insert(header::REFERRER_POLICY, HeaderValue::from_static("no-referrer"));
    response
}
