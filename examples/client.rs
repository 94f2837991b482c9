//! A command line around the client crate.
//!
//! ```text
//! cargo run -p sharedance-client --example client -- localhost:1042 store KEY VALUE
//! cargo run -p sharedance-client --example client -- localhost:1042 store KEY < FILE
//! cargo run -p sharedance-client --example client -- localhost:1042 fetch KEY > FILE
//! cargo run -p sharedance-client --example client -- localhost:1042 delete KEY
//! ```
//!
//! Exit status: 0 done, 1 there is no such pair, 2 it went wrong and stderr says why.

use std::env;
use std::error::Error;
use std::ffi::OsString;
use std::io::{self, Read, Write};
use std::process::ExitCode;

use sharedance_client::classic::Client;

const USAGE: &str = "usage: client HOST:PORT store KEY [VALUE] | fetch KEY | delete KEY\n\
                     A value that is not given is read from the standard input.";

fn main() -> ExitCode {
    let arguments: Vec<Vec<u8>> = env::args_os().skip(1).map(OsString::into_encoded_bytes).collect();
    let arguments: Vec<&[u8]> = arguments.iter().map(Vec::as_slice).collect();
    match run(&arguments) {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::from(1),
        Err(error) => {
            eprintln!("{error}");
            ExitCode::from(2)
        }
    }
}

/// Whether the pair was there, or is now.
fn run(arguments: &[&[u8]]) -> Result<bool, Box<dyn Error>> {
    let [server, rest @ ..] = arguments else {
        return Err(USAGE.into());
    };
    let client = Client::builder(String::from_utf8_lossy(server)).build()?;
    match *rest {
        [b"store", key, value] => client.store(key, value)?,
        [b"store", key] => {
            let mut value = Vec::new();
            io::stdin().read_to_end(&mut value)?;
            client.store(key, &value)?;
        }
        [b"fetch", key] => match client.fetch(key)? {
            Some(value) => io::stdout().write_all(&value)?,
            None => return Ok(false),
        },
        [b"delete", key] => return Ok(client.delete(key)?),
        _ => return Err(USAGE.into()),
    }
    Ok(true)
}
