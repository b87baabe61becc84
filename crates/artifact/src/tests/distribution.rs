//! A real registry (Debian's `docker-registry`, the CNCF distribution) on a free port of loopback.

use std::{
    fs,
    io::{BufRead, BufReader},
    path::Path,
    process::{Child, Command, Stdio},
    sync::mpsc,
    thread,
    time::Duration,
};

use tempfile::TempDir;

/// User and password that [`Distribution::with_password`] knows.
pub(super) const USER: (&str, &str) = ("edge-1", "s3cret-pass");
const HTPASSWD: &str = "edge-1:$2b$05$abcdefghijklmnopqrstuuV7fpPozvyqJfnY19y0802WTlXUm6Rjy\n";

const START_UP: Duration = Duration::from_secs(30);

/// Stopped when dropped.
pub(super) struct Distribution {
    pub(super) host: String,
    process: Child,
    _directory: TempDir,
}

impl Distribution {
    /// Open to everyone, without TLS.
    pub(super) fn open() -> Self {
        Self::start("", |_| {})
    }

    /// Only for [`USER`].
    pub(super) fn with_password() -> Self {
        Self::start("auth: {htpasswd: {realm: test, path: htpasswd}}", |directory| {
            fs::write(directory.join("htpasswd"), HTPASSWD).unwrap();
        })
    }

    /// With a certificate for `localhost` that nobody trusts yet. Returns it as PEM, too.
    pub(super) fn with_tls() -> (Self, String) {
        let issued = rcgen::generate_simple_self_signed(["localhost".to_owned()]).unwrap();
        let (certificate, key) = (issued.cert.pem(), issued.signing_key.serialize_pem());
        let registry = Self::start("  tls: {certificate: cert.pem, key: key.pem}", |directory| {
            fs::write(directory.join("cert.pem"), &certificate).unwrap();
            fs::write(directory.join("key.pem"), &key).unwrap();
        });
        (registry, certificate)
    }

    fn start(more: &str, prepare: impl FnOnce(&Path)) -> Self {
        let directory = tempfile::tempdir().unwrap();
        let http = "http:\n  addr: 127.0.0.1:0\n  secret: test";
        let config = format!("version: 0.1\nstorage: {{inmemory: {{}}}}\n{http}\n{more}\n");
        fs::write(directory.path().join("config.yml"), config).unwrap();
        prepare(directory.path());
        let process = Command::new("docker-registry")
            .args(["serve", "config.yml"])
            .current_dir(&directory)
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()
            .expect("docker-registry starts; `apt-get install docker-registry` installs it");
        let mut registry = Self {
            host: String::new(),
            process,
            _directory: directory,
        };
        registry.host = registry.address();
        registry
    }

    /// The address that it was given, which it logs once it listens. Its log is read to the end, or it would block on a full pipe.
    fn address(&mut self) -> String {
        let log = BufReader::new(self.process.stderr.take().unwrap());
        let (sender, receiver) = mpsc::channel();
        thread::spawn(move || {
            for line in log.lines().map_while(Result::ok) {
                if let Some((_, rest)) = line.split_once("listening on ") {
                    let end = rest.find([',', '"', ' ']).unwrap_or(rest.len());
                    let _ = sender.send(rest[..end].to_owned());
                }
            }
        });
        receiver
            .recv_timeout(START_UP)
            .expect("docker-registry logs the address that it listens on")
    }

    /// The port alone, for names of this machine that aren't `127.0.0.1`.
    pub(super) fn port(&self) -> &str {
        self.host.rsplit_once(':').unwrap().1
    }
}

impl Drop for Distribution {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}
