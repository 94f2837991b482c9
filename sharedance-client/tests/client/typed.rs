//! Values of the program's own types.

use serde::{Deserialize, Serialize};

use crate::backends::each;
use sharedance_client::{Error, Ttl};

#[derive(Debug, PartialEq, Serialize, Deserialize)]
struct Cart {
    user: String,
    items: Vec<u32>,
}

#[test]
fn a_value_of_a_type_is_returned_as_that_type() {
    each(|client| {
        let cart = Cart { user: "ada".into(), items: vec![3, 4] };
        assert_eq!(client.get_json::<Cart>("cart").unwrap(), None);
        client.set_json("cart", &cart, Ttl::from_secs(60)).unwrap();
        assert_eq!(client.get_json("cart").unwrap(), Some(cart));
        assert_eq!(client.get("cart").unwrap().as_deref(), Some(&br#"{"user":"ada","items":[3,4]}"#[..]));
        let error = client.get_json::<u32>("cart").unwrap_err();
        assert!(matches!(error, Error::Decode { len: 28 }), "{error}");
    });
}
