//! Handshakes: a plain connection becomes one with TLS, as the server's or as the client's side.

use std::fmt;
use std::io;
use std::sync::Arc;

use rustls::pki_types::ServerName;
use rustls::server::{Accepted, Acceptor};
use rustls::{ClientConfig, ClientConnection, Connection, HandshakeKind, ServerConfig};

use super::Link;
use super::tls::{Tls, give_scratch, scratch};
use super::wire::Wire;

/// What both sides have agreed on.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Agreed {
    /// The peer's certificate (DER), which was verified.
    pub certificate: Option<Vec<u8>>,
    /// An earlier session was resumed.
    pub resumed: bool,
    /// What is spoken above it (ALPN, RFC 7301), if that was agreed on.
    pub protocol: Option<Vec<u8>>,
}

/// Why a connection could not be made safe.
#[derive(Debug)]
pub enum Unsafe {
    /// The peer doesn't speak TLS, but HTTP it seems.
    Plain,
    /// The client's first message exceeds [`HELLO_MAX`].
    HelloTooLarge,
    /// The peers don't agree, or one of them isn't who it should be.
    Refused(rustls::Error),
    /// The connection ended, or broke.
    Broken(io::Error),
}

impl fmt::Display for Unsafe {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Unsafe::Plain => f.write_str("the peer speaks HTTP without TLS"),
            Unsafe::HelloTooLarge => write!(f, "the client's first message has more than {HELLO_MAX} bytes"),
            Unsafe::Refused(error) => write!(f, "{error}{}", advice(error)),
            Unsafe::Broken(error) if error.kind() == io::ErrorKind::UnexpectedEof => f.write_str("the peer closed the connection"),
            Unsafe::Broken(error) => write!(f, "{error}"),
        }
    }
}

impl std::error::Error for Unsafe {}

/// What is behind those errors whose names say little to who hasn't written a verifier.
fn advice(error: &rustls::Error) -> &'static str {
    let rustls::Error::InvalidCertificate(why) = error else { return "" };
    if *why == rustls::CertificateError::UnknownIssuer {
        return ": no authority that is trusted here has signed it, or a certificate between the two is missing";
    }
    // The verifier's own errors have no other name than that of their type's `Debug`.
    let why = format!("{why:?}");
    if why.contains("CaUsedAsEndEntity") {
        ": it says that it is an authority's (CA:TRUE), so it can't be a server's or client's own"
    } else if why.contains("UnsupportedCertVersion") {
        ": it isn't of X.509 version 3; `openssl x509 -req` makes version 1 unless it is given extensions (-extfile)"
    } else {
        ""
    }
}

impl From<Unsafe> for io::Error {
    /// A deadline's doing stays that.
    fn from(error: Unsafe) -> Self {
        io::Error::new(io::ErrorKind::InvalidData, error)
    }
}

/// A client's handshake that failed.
#[derive(Debug)]
pub struct Failed {
    /// Why.
    pub why: Unsafe,
    /// The name that the client had asked for (SNI), if it came to that.
    pub asked: Option<String>,
}

impl From<Unsafe> for Failed {
    fn from(why: Unsafe) -> Self {
        Failed { why, asked: None }
    }
}

/// Whether the peer isn't who it should be, as its certificate goes.
pub fn is_untrusted(error: &rustls::Error) -> bool {
    use rustls::Error::{InvalidCertificate, NoCertificatesPresented};
    matches!(error, InvalidCertificate(_) | NoCertificatesPresented)
}

impl From<io::Error> for Unsafe {
    fn from(error: io::Error) -> Self {
        match error.downcast::<rustls::Error>() {
            Ok(error) => Unsafe::Refused(error),
            Err(error) => Unsafe::Broken(error),
        }
    }
}

impl Link {
    /// What was agreed on, if it has TLS.
    pub fn agreed(&self) -> Option<Agreed> {
        let session = self.tls()?.session().borrow();
        Some(Agreed {
            certificate: session.peer_certificates().and_then(|chain| Some(chain.first()?.to_vec())),
            resumed: session.handshake_kind() == Some(HandshakeKind::Resumed),
            protocol: session.alpn_protocol().map(<[u8]>::to_vec),
        })
    }
}

/// Makes a client's connection safe; the link's deadline bounds it, and ends what comes of it too.
///
/// # Errors
/// Why not. The client has been told by an alert where there is one for it.
pub async fn secure(link: &Link, config: Arc<ServerConfig>) -> Result<Link, Failed> {
    let wire = link.wire().expect("a socket without TLS").clone();
    let (accepted, left) = hello(&wire).await?;
    let tls = match accepted.into_connection(config) {
        Ok(session) => Tls::new(wire, session.into()),
        Err((error, mut alert)) => {
            let mut out = Vec::new();
            alert.write_all(&mut out).map_err(Unsafe::from)?;
            let _ = wire.send(out, 0).await;
            return Err(Unsafe::Refused(error).into());
        }
    };
    if let Err(error) = tls.handshake(&left).await {
        let asked = match &*tls.session().borrow() {
            Connection::Server(session) => session.server_name().map(str::to_owned),
            Connection::Client(_) => None,
        };
        return Err(Failed { why: error.into(), asked });
    }
    Ok(Link::of_tls(tls))
}

/// Receives a client's first message, and what came with it. Until it is there, nothing else is held for the client.
async fn hello(wire: &Wire) -> Result<(Accepted, Vec<u8>), Unsafe> {
    let mut acceptor = Acceptor::default();
    let mut buf = scratch();
    let mut total = 0;
    loop {
        buf.clear();
        let result;
        (result, buf) = wire.recv(buf).await;
        match result? {
            0 => return Err(io::Error::from(io::ErrorKind::UnexpectedEof).into()),
            // The letter that an HTTP method begins with; a record of a handshake begins with 22.
            _ if total == 0 && buf[0].is_ascii_uppercase() => return Err(Unsafe::Plain),
            received => total += received,
        }
        let mut left = &buf[..];
        while !left.is_empty() {
            acceptor.read_tls(&mut left)?;
            match acceptor.accept() {
                Ok(None) if total > HELLO_MAX => return Err(Unsafe::HelloTooLarge),
                Ok(None) => {}
                Ok(Some(accepted)) => {
                    let left = left.to_vec();
                    give_scratch(buf);
                    return Ok((accepted, left));
                }
                Err((error, mut alert)) => {
                    let mut out = Vec::new();
                    alert.write_all(&mut out)?;
                    let _ = wire.send(out, 0).await;
                    return Err(Unsafe::Refused(error));
                }
            }
        }
    }
}

/// Makes a connection to this server safe; the link's deadline bounds it, and ends what comes of it too.
///
/// # Errors
/// Why not: the server has no certificate for this name that the configuration trusts, above all.
pub async fn secure_to(link: &Link, config: Arc<ClientConfig>, server: ServerName<'static>) -> Result<Link, Unsafe> {
    let wire = link.wire().expect("a socket without TLS").clone();
    let session = ClientConnection::new(config, server).map_err(Unsafe::Refused)?;
    let tls = Tls::new(wire, session.into());
    tls.handshake(&[]).await?;
    Ok(Link::of_tls(tls))
}

/// Bytes of a client's first message, at most. Browsers send up to two thousand, where it is short.
pub const HELLO_MAX: usize = 16 << 10;
