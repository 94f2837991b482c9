//! The contract of a session store of the middleware.

use crate::peer::{AMPLE, listen};
use crate::sharedanced::Sharedanced;
use sharedance_client::sessions::Sessions;
use sharedance_client::tokio::Client;
use sharedance_server::ServerOptions;
use tower_sessions::SessionStore;
use tower_sessions::cookie::time::{Duration, OffsetDateTime};
use tower_sessions::session::{Id, Record};
use tower_sessions::session_store::Error;

fn sessions() -> (Sharedanced, Client, Sessions) {
    let server = Sharedanced::start();
    let client = client(&server);
    let sessions = Sessions::new(client.clone());
    (server, client, sessions)
}

fn client(server: &Sharedanced) -> Client {
    Client::builder(server.address()).operation_timeout(AMPLE).build().unwrap()
}

fn record(id: i128, user: &str) -> Record {
    let expiry_date = OffsetDateTime::now_utc() + Duration::minutes(30);
    Record { id: Id(id), data: [("user".to_owned(), user.into())].into(), expiry_date }
}

#[tokio::test]
async fn created_saved_loaded_deleted() {
    let (_server, client, sessions) = sessions();
    let mut session = record(1, "ada");
    assert_eq!(sessions.load(&session.id).await.unwrap(), None);
    sessions.create(&mut session).await.unwrap();
    assert_eq!(sessions.load(&session.id).await.unwrap().as_ref(), Some(&session));

    session.data.insert("cart".to_owned(), 3.into());
    sessions.save(&session).await.unwrap();
    assert_eq!(sessions.load(&session.id).await.unwrap().as_ref(), Some(&session));
    let entry = client.get_entry(format!("tower-{}", session.id)).await.unwrap().unwrap();
    assert!(entry.expires_in.unwrap().abs_diff(std::time::Duration::from_secs(1800)) < AMPLE);

    sessions.delete(&session.id).await.unwrap();
    assert_eq!(sessions.load(&session.id).await.unwrap(), None);
    sessions.delete(&session.id).await.unwrap();
}

#[tokio::test]
async fn an_id_that_is_in_use_is_not_given_to_another_session() {
    let (_server, _client, sessions) = sessions();
    let (mut first, mut second) = (record(7, "ada"), record(7, "eve"));
    sessions.create(&mut first).await.unwrap();
    sessions.create(&mut second).await.unwrap();
    assert_eq!(first.id, Id(7));
    assert_ne!(second.id, Id(7));
    assert_eq!(sessions.load(&first.id).await.unwrap(), Some(first));
    assert_eq!(sessions.load(&second.id).await.unwrap(), Some(second));
}

#[tokio::test]
async fn a_deleted_session_is_not_restored_by_a_late_save() {
    let (_server, _client, sessions) = sessions();
    let mut session = record(1, "ada");
    sessions.create(&mut session).await.unwrap();
    sessions.delete(&session.id).await.unwrap();
    sessions.save(&session).await.unwrap();
    assert_eq!(sessions.load(&session.id).await.unwrap(), None);
}

#[tokio::test]
async fn an_expired_session_is_not_loaded() {
    let (_server, _client, sessions) = sessions();
    let mut session = record(1, "ada");
    session.expiry_date = OffsetDateTime::now_utc() - Duration::seconds(1);
    sessions.create(&mut session).await.unwrap();
    assert_eq!(sessions.load(&session.id).await.unwrap(), None);

    let mut session = record(2, "ada");
    sessions.create(&mut session).await.unwrap();
    session.expiry_date = OffsetDateTime::now_utc() - Duration::seconds(1);
    sessions.save(&session).await.unwrap();
    assert_eq!(sessions.load(&session.id).await.unwrap(), None);
}

#[tokio::test]
async fn programs_with_other_prefixes_do_not_share_sessions() {
    let (_server, _client, sessions) = sessions();
    let shop = sessions.clone().prefix("shop-");
    let mut session = record(1, "ada");
    sessions.create(&mut session).await.unwrap();
    assert_eq!(shop.load(&session.id).await.unwrap(), None);
    shop.create(&mut session).await.unwrap();
    sessions.delete(&session.id).await.unwrap();
    assert_eq!(shop.load(&session.id).await.unwrap(), Some(session));
}

#[tokio::test]
async fn a_session_that_grew_too_large_is_reported_and_stays_as_it_was() {
    const LIMIT: usize = 100_000;
    let server = Sharedanced::start_with(ServerOptions { maxreadsize: LIMIT, ..ServerOptions::default() });
    let strict = Client::builder(server.address()).operation_timeout(AMPLE).max_request_len(LIMIT).build().unwrap();
    // One session is refused by the server, the other by the client.
    for (id, client) in [(1, client(&server)), (2, strict)] {
        let sessions = Sessions::new(client);
        let mut session = record(id, "ada");
        sessions.create(&mut session).await.unwrap();
        let mut grown = session.clone();
        grown.data.insert("cart".to_owned(), "x".repeat(LIMIT).into());
        let error = sessions.save(&grown).await.unwrap_err();
        assert!(matches!(error, Error::Backend(_)), "{error}");
        assert_eq!(sessions.load(&session.id).await.unwrap(), Some(session));
    }
}

#[tokio::test]
async fn errors_are_reported_without_the_id() {
    let (server, client, sessions) = sessions();
    let session = record(1, "ada");
    client.set(format!("tower-{}", session.id), "no session", Duration::MINUTE.unsigned_abs()).await.unwrap();
    let error = sessions.load(&session.id).await.unwrap_err();
    assert!(matches!(error, Error::Decode(_)), "{error}");
    drop(server);
    let error = sessions.load(&session.id).await.unwrap_err();
    assert!(matches!(error, Error::Backend(_)), "{error}");
    assert!(!format!("{error} {error:?} {sessions:?}").contains(&session.id.to_string()));
}

#[tokio::test]
async fn a_session_that_expired_within_the_last_second_is_not_loaded() {
    let (_server, client, sessions) = sessions();
    let mut session = record(1, "ada");
    sessions.create(&mut session).await.unwrap();
    // The expiry, which is encoded first, is set to the current time: the server keeps the session longer than its TTL,
    // as it does for a fraction of a second.
    let key = format!("tower-{}", session.id);
    let value = client.get(&key).await.unwrap().unwrap();
    let mut parts: serde_json::Value = serde_json::from_slice(&value).unwrap();
    parts[0] = OffsetDateTime::now_utc().unix_timestamp().into();
    parts[1] = 0.into();
    client.set(&key, parts.to_string(), AMPLE).await.unwrap();
    assert_eq!(sessions.load(&session.id).await.unwrap(), None);
}

/// Sessions on two servers: one that works, and the one at this address.
fn with_another(address: impl AsRef<str>) -> (Sharedanced, Sessions) {
    let server = Sharedanced::start();
    let client = Client::builder(server.address()).server(address).operation_timeout(AMPLE);
    (server, Sessions::new(client.build().unwrap()))
}

#[tokio::test]
async fn with_one_of_two_servers_down_each_new_session_is_created_on_the_other() {
    // An address without a listener, and a server that closes each connection.
    for down in ["127.0.0.1:1".to_owned(), listen(|_| Ok(()))] {
        let (_server, sessions) = with_another(down);
        for user in 0..40 {
            let mut session = record(user, "ada");
            sessions.create(&mut session).await.unwrap();
            assert_eq!(sessions.load(&session.id).await.unwrap(), Some(session));
        }
    }
}

#[tokio::test]
async fn if_every_server_is_down_creating_fails() {
    let client = Client::builder("127.0.0.1:1").server("127.0.0.1:2").build().unwrap();
    let error = Sessions::new(client).create(&mut record(1, "ada")).await.unwrap_err();
    assert!(matches!(&error, Error::Backend(said) if said.contains("cannot reach 127.0.0.1:")), "{error}");
}
