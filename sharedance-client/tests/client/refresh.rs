//! Values that one caller computes again while the others use the old one.

use std::cell::Cell;

use crate::backends::each;
use sharedance_client::{Client, Error, RefreshOptions, Ttl};

const HOUR: Ttl = Ttl::from_secs(3600);

/// Each call computes the value again, because its remaining TTL is always less than two hours.
fn options() -> RefreshOptions {
    RefreshOptions::new(HOUR).before(std::time::Duration::from_secs(7200))
}

fn fresh(client: &Client, value: &str) -> Vec<u8> {
    client.get_or_refresh("key", options(), || Ok::<_, Error>(value.into())).unwrap()
}

fn not_chosen(client: &Client) -> Vec<u8> {
    client
        .get_or_refresh("key", options(), || -> Result<Vec<u8>, Error> { panic!("another caller was chosen") })
        .unwrap()
}

#[test]
fn one_caller_computes_a_value_again_while_the_others_get_the_old_one() {
    each(|client| {
        let never = RefreshOptions::new(HOUR).before(std::time::Duration::ZERO);
        assert_eq!(fresh(client, "1"), b"1");
        let value = client.get_or_refresh("key", options(), || {
            for _ in 0..3 {
                assert_eq!(not_chosen(client), b"1");
            }
            Ok::<_, Error>(b"2".to_vec())
        });
        assert_eq!(value.unwrap(), b"2");
        assert_eq!(client.get("key").unwrap().as_deref(), Some(&b"2"[..]));
        let value = client.get_or_refresh("key", never, || -> Result<Vec<u8>, Error> { panic!("the value is fresh") });
        assert_eq!(value.unwrap(), b"2");
    });
}

#[test]
fn a_value_that_is_stored_while_another_is_computed_stays() {
    each(|client| {
        for before in [None, Some("old")] {
            client.delete("key").unwrap();
            if let Some(before) = before {
                client.set("key", before, HOUR).unwrap();
            }
            let value = client.get_or_refresh("key", options(), || {
                client.set("key", "stored meanwhile", HOUR)?;
                Ok::<_, Error>(b"computed".to_vec())
            });
            assert_eq!(value.unwrap(), b"computed");
            assert_eq!(client.get("key").unwrap().as_deref(), Some(&b"stored meanwhile"[..]));
        }
    });
}

#[test]
fn if_computing_fails_the_old_value_stays_and_the_next_caller_is_chosen() {
    #[derive(Debug)]
    struct Failed;
    impl From<Error> for Failed {
        fn from(error: Error) -> Failed {
            panic!("{error}");
        }
    }
    each(|client| {
        client.set("key", "old", HOUR).unwrap();
        for _ in 0..2 {
            let failed = Cell::new(false);
            let result = client.get_or_refresh("key", options(), || {
                assert_eq!(not_chosen(client), b"old");
                failed.set(true);
                Err::<Vec<u8>, Failed>(Failed)
            });
            assert!(matches!(result, Err(Failed)) && failed.get());
        }
        assert_eq!(fresh(client, "new"), b"new");
    });
}

#[test]
fn a_value_that_was_marked_as_stale_is_computed_again() {
    each(|client| {
        let never = RefreshOptions::new(HOUR).before(std::time::Duration::ZERO);
        assert!(!client.invalidate("key").unwrap());
        client.set("key", "old", HOUR).unwrap();
        assert!(client.invalidate("key").unwrap());
        let value = client.get_or_refresh("key", never, || {
            assert_eq!(not_chosen(client), b"old");
            Ok::<_, Error>(b"new".to_vec())
        });
        assert_eq!(value.unwrap(), b"new");
    });
}
