//! The classic dialect: one request per connection, in length-prefixed frames. The response is bytes without a frame, and
//! the server closes the connection after it.
//!
//! Both directions, without I/O: a server uses [`decode_request`] and [`encode_response`], a client uses
//! [`encode_request`] (or [`encode_header`], to send a large value without a copy) and [`decode_response`].
//!
//! ```text
//! store   'S'  key length  value length  key  value
//! fetch   'F'  key length  key
//! delete  'D'  key length  key
//!          1        4            4                     bytes; lengths are unsigned and big-endian
//! ```
//!
//! A refusal is final: if a prefix of the input is refused, every longer input is refused for the same reason. A
//! well-formed request is not refused later, unless bytes follow it.

mod key;
mod request;
mod response;

pub use key::check_key;
pub(super) use request::starts_request;
pub use request::{
    EncodeError, Header, SHORT_HEADER_LEN, STORE_HEADER_LEN, decode_request, encode_header, encode_request,
};
pub use response::{OK, ResponseError, decode_response, encode_response};
