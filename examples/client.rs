//! A command-line program that uses the client crate.
//!
//! ```text
//! cargo run -p sharedance-client --example client -- localhost:1042 set KEY VALUE
//! cargo run -p sharedance-client --example client -- localhost:1042 set KEY < FILE
//! cargo run -p sharedance-client --example client -- localhost:1042 get KEY > FILE
//! cargo run -p sharedance-client --example client -- localhost:1042 delete KEY
//! cargo run -p sharedance-client --example client -- localhost:1042 lock KEY COMMAND [ARGUMENT...]
//! ```
//!
//! Pairs live for half an hour. `lock` waits up to a minute for the lock of the key, and runs the command while it
//! holds it. Commas separate several servers; a URL such as `sharedance://one,two/?operation_timeout=2s` is accepted
//! too.
//!
//! Exit status: 0 success; 1 there is no such pair, or the lock was not granted; 2 failure, reported on standard error.

use std::env;
use std::error::Error;
use std::ffi::OsString;
use std::io::{self, Read, Write};
use std::process::{Command, ExitCode};
use std::time::Duration;

use sharedance_client::{Client, LockOptions, Ttl};

const USAGE: &str = "usage: client HOST:PORT[,...] set KEY [VALUE] | get KEY | delete KEY | lock KEY COMMAND...\n\
                     Without VALUE, the value is read from standard input.";

const TTL: Ttl = Ttl::from_secs(30 * 60);
const LOCK_WAIT: Duration = Duration::from_secs(60);
const LOCK_TTL: Duration = Duration::from_secs(10 * 60);

fn main() -> ExitCode {
    let arguments: Vec<OsString> = env::args_os().skip(1).collect();
    match run(&arguments) {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::from(1),
        Err(error) => {
            eprintln!("{error}");
            ExitCode::from(2)
        }
    }
}

/// Returns true if the pair exists, was set, or the lock was held.
fn run(arguments: &[OsString]) -> Result<bool, Box<dyn Error>> {
    let bytes: Vec<&[u8]> = arguments.iter().map(|argument| argument.as_encoded_bytes()).collect();
    let [servers, rest @ ..] = &bytes[..] else {
        return Err(USAGE.into());
    };
    let client = Client::builder(String::from_utf8_lossy(servers)).build()?;
    match *rest {
        [b"set", key, value] => client.set(key, value, TTL)?,
        [b"set", key] => {
            let mut value = Vec::new();
            io::stdin().read_to_end(&mut value)?;
            client.set(key, &value, TTL)?;
        }
        [b"get", key] => match client.get(key)? {
            Some(value) => io::stdout().write_all(&value)?,
            None => return Ok(false),
        },
        [b"delete", key] => return Ok(client.delete(key)?),
        [b"lock", key, _, ..] => {
            let Some(lock) = client.lock(key, LockOptions::new().wait(LOCK_WAIT).ttl(LOCK_TTL))? else {
                return Ok(false);
            };
            let status = Command::new(&arguments[3]).args(&arguments[4..]).status()?;
            if !lock.release()? {
                return Err("the lock expired before the command ended".into());
            }
            return if status.success() { Ok(true) } else { Err(format!("the command ended with {status}").into()) };
        }
        _ => return Err(USAGE.into()),
    }
    Ok(true)
}
