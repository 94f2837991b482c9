//! An axum application with its sessions on a sharedanced server, which any number of such applications can share.
//!
//! ```text
//! cargo run -p sharedance-client --features tower-sessions --example axum_sessions -- localhost:1042 127.0.0.1:8080
//! curl -c jar -b jar -d name=ada http://127.0.0.1:8080/login
//! curl -c jar -b jar http://127.0.0.1:8080/
//! curl -c jar -b jar -X POST http://127.0.0.1:8080/logout
//! ```

use std::env;
use std::error::Error;

use axum::extract::Form;
use axum::http::StatusCode;
use axum::routing::{get, post};
use axum::{Router, serve};
use sharedance_client::sessions::Sessions;
use sharedance_client::tokio::Client;
use tokio::net::TcpListener;
use tower_sessions::cookie::time::Duration;
use tower_sessions::{Expiry, Session, SessionManagerLayer};

const USER: &str = "user";
const VISITS: &str = "visits";

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Box<dyn Error>> {
    let mut arguments = env::args().skip(1);
    let server = arguments.next().unwrap_or_else(|| "localhost:1042".into());
    let listen = arguments.next().unwrap_or_else(|| "127.0.0.1:0".into());

    let sessions = Sessions::new(Client::builder(server).build()?);
    let listener = TcpListener::bind(listen).await?;
    eprintln!("listening on http://{}", listener.local_addr()?);
    serve(listener, app(sessions)).await?;
    Ok(())
}

/// Returns the application, which stores its sessions in `sessions`.
pub(crate) fn app(sessions: Sessions) -> Router {
    let layer = SessionManagerLayer::new(sessions)
        // This example uses HTTP. Remove this line for HTTPS.
        .with_secure(false)
        .with_expiry(Expiry::OnInactivity(Duration::minutes(30)));
    Router::new().route("/", get(look)).route("/login", post(login)).route("/logout", post(logout)).layer(layer)
}

#[derive(serde::Deserialize)]
struct Login {
    name: String,
}

async fn login(session: Session, Form(login): Form<Login>) -> Result<String, StatusCode> {
    // A new id, so that an id that was known before the login gives no access.
    session.cycle_id().await.map_err(unavailable)?;
    session.insert(USER, &login.name).await.map_err(unavailable)?;
    Ok(format!("welcome, {}\n", login.name))
}

async fn look(session: Session) -> Result<String, StatusCode> {
    let Some(user) = session.get::<String>(USER).await.map_err(unavailable)? else {
        return Err(StatusCode::UNAUTHORIZED);
    };
    let visits = session.get::<u32>(VISITS).await.map_err(unavailable)?.unwrap_or(0) + 1;
    session.insert(VISITS, visits).await.map_err(unavailable)?;
    Ok(format!("{user}, visit {visits}\n"))
}

async fn logout(session: Session) -> Result<&'static str, StatusCode> {
    session.flush().await.map_err(unavailable)?;
    Ok("logged out\n")
}

fn unavailable(error: tower_sessions::session::Error) -> StatusCode {
    eprintln!("{error}");
    StatusCode::SERVICE_UNAVAILABLE
}
