//! The axum example over real HTTP: log in, view, log out.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};

use crate::axum_sessions::app;
use crate::peer::AMPLE;
use crate::sharedanced::Sharedanced;
use sharedance_client::sessions::Sessions;
use sharedance_client::tokio::Client;
use tokio::net::TcpListener;

/// Starts an app on a free port that stores its sessions on that server.
async fn start(server: &Sharedanced) -> SocketAddr {
    let client = Client::builder(server.address()).operation_timeout(AMPLE).build().unwrap();
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(axum::serve(listener, app(Sessions::new(client))).into_future());
    address
}

/// A browser with one cookie.
struct Browser {
    cookie: Option<String>,
}

impl Browser {
    /// Sends a request, and returns the status and the body.
    async fn ask(&mut self, app: SocketAddr, head: &str, body: &str) -> (u16, String) {
        let cookie = self.cookie.as_ref().map_or(String::new(), |cookie| format!("Cookie: {cookie}\r\n"));
        let request = format!(
            "{head} HTTP/1.1\r\nHost: app\r\nConnection: close\r\n{cookie}\
             Content-Type: application/x-www-form-urlencoded\r\nContent-Length: {}\r\n\r\n{body}",
            body.len()
        );
        let response = tokio::task::spawn_blocking(move || {
            let mut stream = TcpStream::connect(app).unwrap();
            stream.set_read_timeout(Some(AMPLE)).unwrap();
            stream.write_all(request.as_bytes()).unwrap();
            let mut response = String::new();
            stream.read_to_string(&mut response).unwrap();
            response
        });
        let response = response.await.unwrap();
        let (head, body) = response.split_once("\r\n\r\n").unwrap();
        let cookie = head.lines().find_map(|line| line.strip_prefix("set-cookie: "));
        if let Some(cookie) = cookie {
            self.cookie = cookie.split(';').next().map(str::to_owned);
        }
        let status = head.split(' ').nth(1).unwrap().parse().unwrap();
        (status, body.to_owned())
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn log_in_view_and_log_out_on_two_apps_that_share_sessions() {
    let server = Sharedanced::start();
    let (first, second) = (start(&server).await, start(&server).await);
    let mut browser = Browser { cookie: None };

    assert_eq!(browser.ask(first, "GET /", "").await.0, 401);
    let welcome = browser.ask(first, "POST /login", "name=ada").await;
    assert_eq!(welcome, (200, "welcome, ada\n".to_owned()));
    assert_eq!(browser.ask(first, "GET /", "").await, (200, "ada, visit 1\n".to_owned()));
    assert_eq!(browser.ask(second, "GET /", "").await, (200, "ada, visit 2\n".to_owned()));

    let mut stolen = Browser { cookie: browser.cookie.clone() };
    assert_eq!(browser.ask(second, "POST /logout", "").await, (200, "logged out\n".to_owned()));
    assert_eq!(browser.ask(first, "GET /", "").await.0, 401);
    assert_eq!(stolen.ask(first, "GET /", "").await.0, 401);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_id_from_before_the_login_is_invalid_after_it() {
    let server = Sharedanced::start();
    let app = start(&server).await;
    let mut planted = Browser { cookie: Some("id=AAAAAAAAAAAAAAAAAAAAAA".to_owned()) };
    let mut browser = Browser { cookie: planted.cookie.clone() };
    assert_eq!(browser.ask(app, "POST /login", "name=ada").await.0, 200);
    assert_ne!(browser.cookie, planted.cookie);
    assert_eq!(browser.ask(app, "GET /", "").await.0, 200);
    assert_eq!(planted.ask(app, "GET /", "").await.0, 401);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn without_the_server_the_app_returns_an_error_without_the_id() {
    let server = Sharedanced::start();
    let app = start(&server).await;
    let mut browser = Browser { cookie: None };
    assert_eq!(browser.ask(app, "POST /login", "name=ada").await.0, 200);
    drop(server);
    let (status, body) = browser.ask(app, "GET /", "").await;
    assert!(status >= 500, "{status}");
    assert!(!body.contains(&browser.cookie.unwrap()[3..]), "{body}");
}
