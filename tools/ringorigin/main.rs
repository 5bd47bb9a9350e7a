//! The scripted endpoint as a program: reads its arguments, listens, answers until it is told to stop.

mod origin;

use std::ffi::OsString;
use std::io::{self, Read, Write};
use std::net::{SocketAddr, TcpListener};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Arc;

use lexopt::{Arg, Parser, ValueExt};
use ringway::net;
use rustls::ServerConfig;
use rustls::crypto::aws_lc_rs;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use signal_hook::consts::{SIGINT, SIGTERM};

use origin::Origin;

/// Keeps memory of a thread on that thread.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// The command line is wrong.
const BAD_USAGE: u8 = 2;
/// It could not start.
const NO_START: u8 = 3;
/// Connections that wait to be accepted.
const BACKLOG: u32 = 4096;

const USAGE: &str = "\
ringorigin: an HTTP endpoint that does what each request asks for: for tests, never for strangers.
It speaks HTTP/1.1, HTTP/2 (as the client begins), gRPC and WebSockets; the latter two get back what they send.

USAGE
    ringorigin [--listen ADDRESS:PORT]... [--unix PATH]... [--name NAME] [--threads N] [--cert FILE --key FILE] [--quiet]

OPTIONS
    -l, --listen ADDRESS:PORT   listen there; port 0 takes a free one (127.0.0.1:9001 if nothing is given)
    -u, --unix PATH             listen on a Unix socket; one that is left over is replaced
    -n, --name NAME             its name, in each answer (else `origin`)
    -t, --threads N             threads (else 1)
        --cert FILE             speak TLS, with this certificate and those that it was issued by (PEM); HTTP/2 by ALPN
        --key FILE              its private key (PEM)
    -q, --quiet                 write no line a request to standard error

It prints `listening on http://ADDRESS` (https with TLS, or `unix:PATH`) for each listener to standard output. SIGTERM and SIGINT end it
at once, with exit code 0.

";

/// What the arguments say.
#[derive(Debug, PartialEq)]
struct Arguments {
    listen: Vec<SocketAddr>,
    unix: Vec<PathBuf>,
    name: String,
    threads: usize,
    cert: Option<PathBuf>,
    key: Option<PathBuf>,
    quiet: bool,
    help: bool,
}

/// A place to accept connections; clones share it.
enum Listener {
    Tcp(TcpListener),
    Unix(UnixListener),
}

impl Listener {
    fn share(&self) -> io::Result<Listener> {
        Ok(match self {
            Listener::Tcp(listener) => Listener::Tcp(listener.try_clone()?),
            Listener::Unix(listener) => Listener::Unix(listener.try_clone()?),
        })
    }

    /// Accepts on the calling thread's engine.
    fn serve(self, nonblocking: bool, origin: Arc<Origin>) -> io::Result<()> {
        match self {
            Listener::Tcp(listener) => origin::spawn_tcp(listener, nonblocking, origin),
            Listener::Unix(listener) => {
                listener.set_nonblocking(nonblocking)?;
                net::spawn(origin::serve(monoio::net::UnixListener::from_std(listener)?, origin));
                Ok(())
            }
        }
    }
}

fn main() -> ExitCode {
    let arguments = match read(std::env::args_os().skip(1)) {
        Ok(arguments) => arguments,
        Err(problem) => {
            eprintln!("ringorigin: {problem}\nhint: see `ringorigin --help`");
            return ExitCode::from(BAD_USAGE);
        }
    };
    if arguments.help {
        let _ = write!(io::stdout(), "{USAGE}{}", origin::help());
        return ExitCode::SUCCESS;
    }
    match run(&arguments) {
        Ok(()) => ExitCode::SUCCESS,
        Err(problem) => {
            eprintln!("ringorigin: {problem}");
            ExitCode::from(NO_START)
        }
    }
}

/// Reads the arguments that follow the program's name.
fn read(words: impl Iterator<Item = OsString>) -> Result<Arguments, lexopt::Error> {
    let mut arguments = Arguments {
        listen: Vec::new(),
        unix: Vec::new(),
        name: "origin".into(),
        threads: 1,
        cert: None,
        key: None,
        quiet: false,
        help: false,
    };
    let mut parser = Parser::from_args(words);
    while let Some(word) = parser.next()? {
        match word {
            Arg::Short('l') | Arg::Long("listen") => arguments.listen.push(parser.value()?.parse()?),
            Arg::Short('u') | Arg::Long("unix") => arguments.unix.push(parser.value()?.into()),
            Arg::Short('n') | Arg::Long("name") => arguments.name = parser.value()?.string()?,
            Arg::Short('t') | Arg::Long("threads") => arguments.threads = parser.value()?.parse::<usize>()?.max(1),
            Arg::Long("cert") => arguments.cert = Some(parser.value()?.into()),
            Arg::Long("key") => arguments.key = Some(parser.value()?.into()),
            Arg::Short('q') | Arg::Long("quiet") => arguments.quiet = true,
            Arg::Short('h') | Arg::Long("help") => arguments.help = true,
            other => return Err(other.unexpected()),
        }
    }
    if arguments.cert.is_some() != arguments.key.is_some() {
        return Err("TLS needs both --cert and --key".into());
    }
    if arguments.listen.is_empty() && arguments.unix.is_empty() {
        arguments.listen.push(SocketAddr::from(([127, 0, 0, 1], 9001)));
    }
    Ok(arguments)
}

/// Listens and answers until a signal comes.
fn run(arguments: &Arguments) -> Result<(), String> {
    // Before the first line is printed, so that whoever reads it can stop this at once.
    let (mut signal, raised) = UnixStream::pair().map_err(|error| format!("cannot handle signals: {error}"))?;
    for number in [SIGTERM, SIGINT] {
        let raised = raised.try_clone().map_err(|error| format!("cannot handle signals: {error}"))?;
        signal_hook::low_level::pipe::register(number, raised).map_err(|error| format!("cannot handle signals: {error}"))?;
    }
    net::set_descriptor_limit();
    let tls = match (&arguments.cert, &arguments.key) {
        (Some(cert), Some(key)) => Some(Arc::new(tls(cert, key)?)),
        _ => None,
    };
    let scheme = if tls.is_some() { "https" } else { "http" };
    let mut listeners = Vec::new();
    for address in &arguments.listen {
        let listener = net::bind(*address, BACKLOG, false).map_err(|error| format!("cannot listen on {address}: {error}"))?;
        let bound = listener.local_addr().map_err(|error| error.to_string())?;
        println!("listening on {scheme}://{bound}");
        listeners.push(Listener::Tcp(listener));
    }
    for path in &arguments.unix {
        // Refused connections show that nobody listens there any more.
        if UnixStream::connect(path).is_err_and(|error| error.kind() == io::ErrorKind::ConnectionRefused) {
            let _ = std::fs::remove_file(path);
        }
        let listener = UnixListener::bind(path).map_err(|error| format!("cannot listen on {}: {error}", path.display()))?;
        println!("listening on unix:{}", path.display());
        listeners.push(Listener::Unix(listener));
    }
    let origin = Arc::new(Origin::new(&arguments.name, !arguments.quiet, tls));
    for _ in 0..arguments.threads {
        let shared: io::Result<Vec<Listener>> = listeners.iter().map(Listener::share).collect();
        let shared = shared.map_err(|error| format!("cannot share listeners among threads: {error}"))?;
        let origin = origin.clone();
        std::thread::spawn(move || {
            let start = |nonblocking| shared.into_iter().try_for_each(|listener| listener.serve(nonblocking, origin.clone()));
            if let Err(error) = origin::run(start) {
                eprintln!("ringorigin: a thread cannot start: {error}");
                std::process::exit(NO_START.into());
            }
        });
    }
    let _ = signal.read(&mut [0]);
    for path in &arguments.unix {
        let _ = std::fs::remove_file(path);
    }
    Ok(())
}

/// What clients are served TLS with: HTTP/2 if they know it.
fn tls(cert: &Path, key: &Path) -> Result<ServerConfig, String> {
    let told = |path: &Path, error: &dyn std::fmt::Display| format!("cannot read {}: {error}", path.display());
    let chain = CertificateDer::pem_file_iter(cert).and_then(Iterator::collect::<Result<Vec<_>, _>>).map_err(|error| told(cert, &error))?;
    let secret = PrivateKeyDer::from_pem_file(key).map_err(|error| told(key, &error))?;
    let builder = ServerConfig::builder_with_provider(Arc::new(aws_lc_rs::default_provider()));
    let builder = builder.with_safe_default_protocol_versions().map_err(|error| error.to_string())?.with_no_client_auth();
    let mut config = builder.with_single_cert(chain, secret).map_err(|error| told(cert, &error))?;
    config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
    Ok(config)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn arguments_are_read() {
        let words = |line: &str| read(line.split_whitespace().map(OsString::from));
        let arguments = words("--listen 127.0.0.1:0 -l [::1]:9 --unix /tmp/a --name b -t 0 -q").unwrap();
        assert_eq!(arguments.listen, ["127.0.0.1:0".parse().unwrap(), "[::1]:9".parse().unwrap()]);
        assert_eq!((arguments.unix, arguments.name.as_str()), (vec![PathBuf::from("/tmp/a")], "b"));
        assert_eq!((arguments.threads, arguments.quiet), (1, true));
        assert_eq!(words("").unwrap().listen, ["127.0.0.1:9001".parse().unwrap()]);
        assert_eq!(words("--unix a").unwrap().listen, []);
        for wrong in ["--listen 9001", "--threads many", "--nmae a", "stray", "--cert a", "--key a"] {
            assert!(words(wrong).is_err(), "{wrong}");
        }
    }
}
