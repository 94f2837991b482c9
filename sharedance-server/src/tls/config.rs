//! The configuration of new TLS connections, which can be reloaded.

use std::sync::{Arc, Mutex, PoisonError};

use rustls::crypto::{CryptoProvider, aws_lc_rs};
use rustls::pki_types::CertificateDer;
use rustls::server::{NoServerSessionStorage, ProducesTickets, UnbufferedServerConnection};
use rustls::sign::{CertifiedKey, SingleCertAndKey};
use rustls::version::{TLS12, TLS13};
use rustls::{ServerConfig, SupportedProtocolVersion};

use super::error::TlsError;
use super::files::TlsFiles;
use crate::options::TlsOptions;
use crate::process::reload::{ReloadError, Reloadable, ReloadableFile};

const VERSIONS: &[&SupportedProtocolVersion] = &[&TLS13, &TLS12];

/// Tickets that a client gets after a handshake of TLS 1.3. A client that resumes gets a new one, so that one is enough; a
/// client that opens several connections at once can use a ticket more than once.
const TICKETS: usize = 1;

/// What new TLS connections use. Open connections keep what they began with.
#[derive(Debug)]
pub(crate) struct TlsConfig {
    provider: Arc<CryptoProvider>,
    files: TlsFiles,
    current: Mutex<Current>,
}

#[derive(Debug)]
struct Current {
    server: Arc<ServerConfig>,
    /// The authorities of client certificates; empty if clients need none.
    client_ca: Vec<CertificateDer<'static>>,
}

impl TlsConfig {
    /// Reads the files. Called before the process gives up its rights.
    ///
    /// # Errors
    /// A file cannot be read, or does not contain what it was named for.
    pub(crate) fn open(options: &TlsOptions) -> Result<TlsConfig, TlsError> {
        let files = TlsFiles::open(options)?;
        let provider = Arc::new(aws_lc_rs::default_provider());
        let (current, _) = load(&files, &provider, None)?;
        Ok(TlsConfig { provider, files, current: Mutex::new(current) })
    }

    /// A new connection, before its first byte.
    ///
    /// # Errors
    /// The library has failed.
    pub(crate) fn connection(&self) -> Result<UnbufferedServerConnection, rustls::Error> {
        UnbufferedServerConnection::new(self.server())
    }

    fn server(&self) -> Arc<ServerConfig> {
        Arc::clone(&self.current.lock().unwrap_or_else(PoisonError::into_inner).server)
    }
}

impl Reloadable for TlsConfig {
    fn name(&self) -> String {
        format!("the certificate {}", self.files.cert.path().display())
    }

    fn files(&self) -> Vec<ReloadableFile> {
        self.files.all()
    }

    fn reload(&self) -> Result<String, ReloadError> {
        // Read without the lock: workers wait for it at each new connection. Only this thread replaces the content.
        let tickets = {
            let current = self.current.lock().unwrap_or_else(PoisonError::into_inner);
            (Arc::clone(&current.server.ticketer), current.client_ca.clone())
        };
        let (current, description) = load(&self.files, &self.provider, Some(tickets))?;
        *self.current.lock().unwrap_or_else(PoisonError::into_inner) = current;
        Ok(description)
    }
}

/// Reads the files, and returns what they result in, and a description of that. `tickets` are the keys for tickets until
/// now, and the authorities of client certificates that those tickets were given out under.
fn load(
    files: &TlsFiles,
    provider: &Arc<CryptoProvider>,
    tickets: Option<(Arc<dyn ProducesTickets>, Vec<CertificateDer<'static>>)>,
) -> Result<(Current, String), TlsError> {
    let key = files.read_key(provider)?;
    let builder = ServerConfig::builder_with_provider(Arc::clone(provider)).with_protocol_versions(VERSIONS)?;
    let client_ca = files.read_client_ca()?;
    let builder = match client_ca.is_empty() {
        true => builder.with_no_client_auth(),
        false => builder.with_client_cert_verifier(files.client_verifier(&client_ca, provider)?),
    };
    let description = describe(&key, &client_ca);
    let mut server = builder.with_cert_resolver(Arc::new(SingleCertAndKey::from(key)));
    server.ticketer = match tickets {
        // A resumed session does not verify the client's certificate again: a ticket is valid only as long as the
        // authorities are the same.
        Some((ticketer, authorities)) if authorities == client_ca => ticketer,
        _ => aws_lc_rs::Ticketer::new()?,
    };
    // Tickets carry all of the state: nothing is kept for a client that may never return.
    server.session_storage = Arc::new(NoServerSessionStorage {});
    server.send_tls13_tickets = TICKETS;
    // Early data could be replayed by an attacker.
    server.max_early_data_size = 0;
    Ok((Current { server: Arc::new(server), client_ca }, description))
}

fn describe(key: &CertifiedKey, client_ca: &[CertificateDer<'_>]) -> String {
    let chain = key.cert.len();
    match client_ca.len() {
        0 => format!("{chain} certificates, clients need none"),
        authorities => format!("{chain} certificates, and {authorities} authorities of client certificates"),
    }
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::os::unix::fs::PermissionsExt;
    use std::path::Path;

    use super::*;

    struct Written {
        options: TlsOptions,
        _directory: tempfile::TempDir,
    }

    fn write(path: &Path, content: impl AsRef<[u8]>) {
        fs::write(path, content).unwrap();
        fs::set_permissions(path, PermissionsExt::from_mode(0o600)).unwrap();
    }

    fn write_pair(options: &TlsOptions) {
        let made = rcgen::generate_simple_self_signed(["localhost".to_owned()]).unwrap();
        write(&options.cert, made.cert.pem());
        write(&options.key, made.signing_key.serialize_pem());
    }

    fn written(with_client_ca: bool) -> Written {
        let directory = tempfile::tempdir().unwrap();
        let file = |name| directory.path().join(name);
        let client_ca = with_client_ca.then(|| file("client_ca"));
        let options = TlsOptions { cert: file("cert"), key: file("key"), client_ca };
        write_pair(&options);
        if let Some(client_ca) = &options.client_ca {
            write(client_ca, fs::read(&options.cert).unwrap());
        }
        Written { options, _directory: directory }
    }

    fn ticketer(config: &TlsConfig) -> Arc<dyn ProducesTickets> {
        Arc::clone(&config.server().ticketer)
    }

    #[test]
    fn a_broken_file_keeps_what_is_in_use_and_is_named() {
        let Written { options, _directory } = written(true);
        let config = TlsConfig::open(&options).unwrap();
        let before = config.server();
        let client_ca = options.client_ca.clone().unwrap();
        let another_key = rcgen::KeyPair::generate().unwrap().serialize_pem();
        for (path, content) in [
            (&options.cert, String::new()),
            (&options.cert, "-----BEGIN CERTIFICATE-----\nnot base64\n-----END CERTIFICATE-----\n".to_owned()),
            (&options.cert, fs::read_to_string(&options.key).unwrap()),
            (&options.key, String::new()),
            (&options.key, fs::read_to_string(&options.cert).unwrap()),
            (&options.key, another_key),
            (&client_ca, String::new()),
            (&client_ca, "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n".to_owned()),
        ] {
            let good = fs::read(path).unwrap();
            write(path, &content);
            let message = config.reload().unwrap_err().to_string();
            assert!(message.contains(&*path.to_string_lossy()), "{message}");
            assert!(TlsConfig::open(&options).is_err());
            assert!(Arc::ptr_eq(&before, &config.server()));
            write(path, good);
        }
        fs::set_permissions(&options.key, PermissionsExt::from_mode(0o644)).unwrap();
        assert!(config.reload().unwrap_err().to_string().contains("chmod"));
        write_pair(&options);
        config.reload().unwrap();
        assert!(!Arc::ptr_eq(&before, &config.server()));
    }

    /// A ticket that was given out to a client of another authority would let that client in.
    #[test]
    fn tickets_outlive_a_certificate_but_not_a_change_of_the_authorities() {
        let Written { options, _directory } = written(true);
        let config = TlsConfig::open(&options).unwrap();
        let first = ticketer(&config);
        write_pair(&options);
        config.reload().unwrap();
        assert!(Arc::ptr_eq(&first, &ticketer(&config)));
        write(options.client_ca.as_ref().unwrap(), fs::read(&options.cert).unwrap());
        config.reload().unwrap();
        assert!(!Arc::ptr_eq(&first, &ticketer(&config)));
    }
}
