//! Values of the program's own types, stored as JSON.

use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::error::Error;

pub(crate) fn encode(value: &impl Serialize) -> Result<Vec<u8>, Error> {
    serde_json::to_vec(value).map_err(|_| Error::Encode)
}

pub(crate) fn decode<T: DeserializeOwned>(value: &[u8]) -> Result<T, Error> {
    serde_json::from_slice(value).map_err(|_| Error::Decode { len: value.len() })
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;
    use crate::Delivery;

    #[test]
    fn a_value_that_is_not_of_the_type_is_refused_without_showing_it() {
        assert_eq!(decode::<Vec<u8>>(&encode(&[1, 2]).unwrap()).unwrap(), [1, 2]);
        let error = decode::<u32>(b"\"secret\"").unwrap_err();
        assert!(matches!(error, Error::Decode { len: 8 }) && !format!("{error} {error:?}").contains("secret"));
        let error = encode(&BTreeMap::from([(vec!["secret"], 1)])).unwrap_err();
        assert!(matches!(error, Error::Encode) && error.delivery() == Delivery::NotSent);
    }
}
