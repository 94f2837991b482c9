//! Calls and locks that are cancelled.

use std::io::{BufRead, BufReader, Write};
use std::sync::mpsc;
use std::time::Duration;

use crate::ample;
use crate::peer::listen;
use sharedance_client::{LockOptions, Ttl};

#[tokio::test]
async fn the_response_to_a_cancelled_call_is_not_returned_to_another_one() {
    // The first response arrives after its call has been cancelled.
    let (asked, is_asked) = mpsc::channel();
    let (go_on, may_go_on) = mpsc::channel();
    let may_go_on = std::sync::Arc::new(std::sync::Mutex::new(may_go_on));
    let address = listen(move |stream| {
        for line in BufReader::new(stream.try_clone()?).lines() {
            let line = line?;
            let words: Vec<&str> = line.split(' ').collect();
            let _ = asked.send(());
            may_go_on.lock().unwrap().recv().unwrap();
            let (value, tag) = (words[1], words[3]);
            (&stream).write_all(format!("VA {} {tag}\r\n{value}\r\n", value.len()).as_bytes())?;
        }
        Ok(())
    });
    let client = ample(&address).build().unwrap();
    let first = tokio::spawn({
        let client = client.clone();
        async move { client.get("hers").await }
    });
    tokio::task::spawn_blocking(move || {
        is_asked.recv().unwrap();
        is_asked
    })
    .await
    .unwrap();
    first.abort();
    assert!(first.await.unwrap_err().is_cancelled());
    go_on.send(()).unwrap();
    go_on.send(()).unwrap();
    assert_eq!(client.get("his").await.unwrap().as_deref(), Some(&b"his"[..]));
}

#[tokio::test]
async fn a_dropped_lock_is_released_and_its_connection_is_kept() {
    let (said, hears) = mpsc::channel();
    let address = listen(move |stream| {
        for line in BufReader::new(stream.try_clone()?).lines() {
            let line = line?;
            let answer = match line.split(' ').next() {
                Some("lock") => "LOCKED\r\n".to_owned(),
                Some("unlock_all") => format!("UNLOCKED 1 {}\r\n", line.split(' ').next_back().unwrap()),
                // It is slow.
                Some("ms" | "value") => String::new(),
                _ => format!("EN {}\r\n", line.split(' ').next_back().unwrap()),
            };
            let _ = said.send(line);
            (&stream).write_all(answer.as_bytes())?;
        }
        let _ = said.send("closed".into());
        Ok(())
    });
    let client = ample(&address).build().unwrap();
    let lock =
        client.lock("key", LockOptions::new().wait(Duration::from_secs(1)).ttl(Duration::from_secs(9))).await.unwrap();
    drop(lock);
    assert_eq!(client.get("other").await.unwrap(), None);
    let mut locked = client
        .lock_and_get("key", LockOptions::new().wait(Duration::ZERO).ttl(Duration::from_secs(9)))
        .await
        .unwrap()
        .unwrap();
    assert_eq!(locked.1, None);
    assert_eq!(locked.0.get().await.unwrap(), None);
    // Cancelling a call closes the connection, and so ends the lock.
    let mut set = Box::pin(locked.0.set("value", Ttl::Never));
    assert!(std::future::poll_fn(|context| std::task::Poll::Ready(set.as_mut().poll(context).is_pending())).await);
    drop(set);
    assert!(locked.0.get().await.is_err());

    let heard: Vec<String> = hears.iter().take_while(|line| line != "closed").collect();
    let tagless: Vec<&str> = heard.iter().map(|line| line.split(" O").next().unwrap()).collect();
    let expected = ["lock key 1000 9", "unlock_all 1", "mg other v", "lock key 0 9", "mg key c v H", "mg key c v H"];
    assert_eq!(tagless[..6], expected);
}
