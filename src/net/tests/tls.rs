//! TLS over a link, on both engines, against rustls's own blocking streams: every byte in order, ends that are ends and ends that aren't.

use std::io::{ErrorKind, Read, Write};
use std::net::{Shutdown, TcpStream};
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use rustls::{ClientConfig, ClientConnection, RootCertStore, ServerConfig, ServerConnection, StreamOwned};

use super::{BOUND, DUE, LATER, joined, on_each, pair};
use crate::net::{Deadlines, Failed, Link, Stream, Timer, Unsafe, pause, secure, secure_to};

// Good for 127.0.0.1 until the year 2126, by an authority of their own.
const CA: &[u8] = include_bytes!("../../../tests/gateway/auth/tls/own-ca.pem");
const CERT: &[u8] = include_bytes!("../../../tests/gateway/auth/tls/own.pem");
const KEY: &[u8] = include_bytes!("../../../tests/gateway/auth/tls/own.key");

type Client = StreamOwned<ClientConnection, TcpStream>;
type Server = StreamOwned<ServerConnection, TcpStream>;

fn provider() -> Arc<rustls::crypto::CryptoProvider> {
    Arc::new(rustls::crypto::aws_lc_rs::default_provider())
}

fn server_config() -> Arc<ServerConfig> {
    let builder = ServerConfig::builder_with_provider(provider()).with_safe_default_protocol_versions().unwrap();
    let chain = vec![CertificateDer::from_pem_slice(CERT).unwrap()];
    Arc::new(builder.with_no_client_auth().with_single_cert(chain, PrivateKeyDer::from_pem_slice(KEY).unwrap()).unwrap())
}

fn client_config(roots: &[u8]) -> Arc<ClientConfig> {
    let builder = ClientConfig::builder_with_provider(provider()).with_safe_default_protocol_versions().unwrap();
    let mut store = RootCertStore::empty();
    CertificateDer::pem_slice_iter(roots).for_each(|root| store.add(root.unwrap()).unwrap());
    Arc::new(builder.with_root_certificates(store).with_no_client_auth())
}

fn name() -> ServerName<'static> {
    ServerName::try_from("127.0.0.1").unwrap()
}

fn client(stream: TcpStream) -> Client {
    StreamOwned::new(ClientConnection::new(client_config(CA), name()).unwrap(), stream)
}

/// A safe link of the server's side, and a thread that does this as its client.
async fn served<T: Send + 'static>(act: impl FnOnce(Client) -> T + Send + 'static) -> (Timer, Link, std::thread::JoinHandle<T>) {
    let deadlines = Rc::<Deadlines>::default();
    let (timer, link, peer) = pair(&deadlines).await;
    let thread = std::thread::spawn(move || {
        let mut client = client(peer);
        while client.conn.is_handshaking() {
            client.conn.complete_io(&mut client.sock).unwrap();
        }
        act(client)
    });
    let link = secure(&link, server_config()).await.unwrap();
    (timer, link, thread)
}

/// Bytes of which no two neighbours of any usual size are alike.
fn content(length: usize) -> Vec<u8> {
    (0..length).map(|at| (at * 31 % 253) as u8).collect()
}

/// Receives until there are so many bytes.
async fn receive(link: &Link, count: usize, room: usize) -> Vec<u8> {
    let mut all = Vec::new();
    while all.len() < count {
        let (received, buf) = link.recv(Vec::with_capacity(room)).await;
        assert_eq!(received.unwrap(), buf.len());
        assert!(!buf.is_empty(), "the end after {} bytes", all.len());
        all.extend(buf);
    }
    all
}

#[test]
fn all_bytes_come_in_order_however_they_are_cut() {
    const LENGTH: usize = 150_000;
    on_each(|| async {
        for (step, room) in [(1, 1 << 14), (7, 100), (1009, 1 << 14), (40_000, 3), (1 << 20, 1 << 18)] {
            let length = if step == 1 || room == 3 { 20_000 } else { LENGTH };
            let (_timer, link, thread) = served(move |mut client| {
                let (mut left, mut wire) = (&content(length)[..], Vec::new());
                while !left.is_empty() {
                    let taken = client.conn.writer().write(left).unwrap();
                    left = &left[taken..];
                    while client.conn.wants_write() {
                        client.conn.write_tls(&mut wire).unwrap();
                    }
                }
                let mut echoed = vec![0; length];
                let mut sender = client.sock.try_clone().unwrap();
                let sending = std::thread::spawn(move || wire.chunks(step).for_each(|piece| sender.write_all(piece).unwrap()));
                client.read_exact(&mut echoed).unwrap();
                sending.join().unwrap();
                echoed
            })
            .await;
            let all = receive(&link, length, room).await;
            assert!(all == content(length), "up, by {step}");
            let (sent, _) = link.send(all, 0).await;
            assert_eq!(sent.unwrap(), length);
            assert!(joined(vec![thread]).await[0] == content(length), "down, by {step}");
        }
    });
}

#[test]
fn each_direction_ends_by_itself() {
    on_each(|| async {
        let (_timer, link, thread) = served(|mut client| {
            client.write_all(b"all").unwrap();
            client.conn.send_close_notify();
            client.flush().unwrap();
            let mut answer = Vec::new();
            client.read_to_end(&mut answer).map(|_| answer)
        })
        .await;
        assert_eq!(receive(&link, 3, 100).await, b"all");
        while !link.readable_now() {
            pause(Duration::from_millis(1)).await;
        }
        assert_eq!(link.recv(Vec::new()).await.0.unwrap(), 0);
        let (sent, _) = link.send(b"--answer".to_vec(), 2).await;
        assert_eq!(sent.unwrap(), 6);
        link.finish();
        let answer = joined(vec![thread]).await.remove(0);
        assert_eq!(answer.expect("an orderly end"), b"answer");
    });
}

#[test]
fn an_end_without_a_close_notify_is_none() {
    on_each(|| async {
        let (_timer, link, _thread) = served(|mut client| {
            client.write_all(b"half").unwrap();
            client.sock.shutdown(Shutdown::Both).unwrap();
        })
        .await;
        assert_eq!(receive(&link, 4, 100).await, b"half");
        assert_eq!(link.recv(Vec::new()).await.0.unwrap_err().kind(), ErrorKind::UnexpectedEof);
    });
}

#[test]
fn closing_is_orderly_unless_it_is_to_look_cut() {
    on_each(|| async {
        type Way = fn(&Link);
        let ways: [(Way, bool); 3] = [(|_| (), true), (Link::reset_on_close, false), (|link| link.abort(), false)];
        for (way, orderly) in ways {
            let (timer, link, thread) = served(|mut client| client.read_to_end(&mut Vec::new()).is_ok()).await;
            link.send(b"answer".to_vec(), 0).await.0.unwrap();
            way(&link);
            drop((timer, link));
            assert_eq!(joined(vec![thread]).await, [orderly]);
        }
    });
}

#[test]
fn what_is_no_record_ends_the_connection_with_an_alert() {
    on_each(|| async {
        let mut oversized = vec![23, 3, 3, 0x50, 0];
        oversized.resize(5 + 0x5000, 7);
        let forged = [&[23u8, 3, 3, 0, 40][..], &[9; 40]].concat();
        for wire in [b"GET / HTTP/1.1\r\n\r\n".to_vec(), oversized, forged] {
            let (_timer, link, thread) = served(move |mut client| {
                client.read_exact(&mut [0]).unwrap();
                let _ = client.sock.write_all(&wire);
                client.read(&mut [0]).unwrap_err().to_string()
            })
            .await;
            link.send(b"x".to_vec(), 0).await.0.unwrap();
            assert_eq!(link.recv(Vec::with_capacity(100)).await.0.unwrap_err().kind(), ErrorKind::InvalidData);
            link.finish();
            let told = joined(vec![thread]).await.remove(0);
            assert!(told.contains("fatal alert"), "{told}");
        }
    });
}

#[test]
fn keys_change_while_both_sides_send() {
    const LENGTH: usize = 3 << 20;
    on_each(|| async {
        let (_timer, link, thread) = served(|mut client| {
            let all = content(LENGTH);
            let (mut sent, mut received) = (0, Vec::with_capacity(LENGTH));
            let mut piece = vec![0; 30_000];
            while sent < LENGTH || received.len() < LENGTH {
                if sent < LENGTH {
                    let end = LENGTH.min(sent + 50_000);
                    client.write_all(&all[sent..end]).unwrap();
                    sent = end;
                    client.conn.refresh_traffic_keys().unwrap();
                    client.flush().unwrap();
                }
                if received.len() < LENGTH {
                    let count = client.read(&mut piece).unwrap();
                    received.extend_from_slice(&piece[..count]);
                }
            }
            received
        })
        .await;
        let shared = Rc::new(content(LENGTH));
        let sending = async {
            for at in (0..LENGTH).step_by(100_000) {
                link.send_shared(shared.clone(), at..LENGTH.min(at + 100_000)).await.unwrap();
            }
        };
        let ((), received) = crate::net::both(sending, receive(&link, LENGTH, 1 << 14)).await;
        assert!(received == content(LENGTH));
        assert!(joined(vec![thread]).await[0] == content(LENGTH));
    });
}

#[test]
fn a_handshake_ends_in_time() {
    on_each(|| async {
        for begun in [&[][..], &[22, 3, 1, 2, 0, 1, 0, 1, 0xfc][..]] {
            let deadlines = Rc::<Deadlines>::default();
            let (timer, link, mut peer) = pair(&deadlines).await;
            peer.write_all(begun).unwrap();
            timer.close_at(DUE);
            let swept = deadlines.clone();
            crate::net::spawn(async move {
                pause(Duration::from_millis(5)).await;
                assert_eq!(swept.sweep(LATER), 1);
            });
            assert!(matches!(secure(&link, server_config()).await, Err(Failed { why: Unsafe::Broken(_), asked: None })));
            assert!(timer.expired());
            peer.set_read_timeout(Some(BOUND)).unwrap();
            assert_eq!(peer.read(&mut [0]).unwrap(), 0);
        }
    });
}

#[test]
fn a_client_that_speaks_no_tls_or_too_much_is_told_apart() {
    on_each(|| async {
        // One message of 60000 bytes, in records of the largest size.
        let record = |bytes: &[u8]| [&[22, 3, 1, (bytes.len() >> 8) as u8, bytes.len() as u8], bytes].concat();
        let endless = [record(&[&[1, 0, 0xea, 0x60][..], &vec![3; 16_000]].concat()), record(&vec![3; 16_000])].concat();
        type Expected = fn(&Unsafe) -> bool;
        let cases: [(Vec<u8>, Expected); 4] = [
            (b"GET / HTTP/1.1\r\n\r\n".to_vec(), |error| matches!(error, Unsafe::Plain)),
            (endless, |error| matches!(error, Unsafe::HelloTooLarge)),
            (b"\x16nonsense".to_vec(), |error| matches!(error, Unsafe::Refused(_))),
            (Vec::new(), |error| matches!(error, Unsafe::Broken(_))),
        ];
        for (bytes, expected) in cases {
            let (_timer, link, mut peer) = pair(&Rc::default()).await;
            peer.write_all(&bytes).unwrap();
            peer.shutdown(Shutdown::Write).unwrap();
            let failed = secure(&link, server_config()).await.err().expect("no handshake");
            assert!(expected(&failed.why), "{failed:?}");
        }
    });
}

/// A safe link of the client's side, and a thread that does this as its server.
async fn asked<T: Send + 'static>(
    roots: &[u8],
    act: impl FnOnce(Server) -> T + Send + 'static,
) -> (Timer, Result<Link, Unsafe>, std::thread::JoinHandle<T>) {
    let (timer, link, peer) = pair(&Rc::default()).await;
    let thread = std::thread::spawn(move || act(StreamOwned::new(ServerConnection::new(server_config()).unwrap(), peer)));
    let link = secure_to(&link, client_config(roots), name()).await;
    (timer, link, thread)
}

#[test]
fn a_ticket_is_for_nobody_but_an_end_is() {
    on_each(|| async {
        for orderly in [true, false] {
            let (tell, told) = std::sync::mpsc::channel::<()>();
            let (_timer, link, thread) = asked(CA, move |mut server| {
                let mut byte = [0];
                server.read_exact(&mut byte).unwrap();
                told.recv().unwrap();
                server.write_all(b"x").unwrap();
                told.recv().unwrap();
                if orderly {
                    server.conn.send_close_notify();
                    server.flush().unwrap();
                    told.recv().unwrap();
                }
            })
            .await;
            let link = link.unwrap();
            link.send(b"?".to_vec(), 0).await.0.unwrap();
            // The server sends tickets once it has the client's last word of the handshake.
            link.readable().await.unwrap();
            assert!(!link.readable_now(), "tickets only");
            tell.send(()).unwrap();
            while !link.readable_now() {
                pause(Duration::from_millis(1)).await;
            }
            assert!(link.holds());
            assert_eq!(receive(&link, 1, 100).await, b"x");
            assert!(!link.readable_now());
            tell.send(()).unwrap();
            link.readable().await.unwrap();
            assert!(link.readable_now(), "an end, orderly: {orderly}");
            drop(tell);
            drop(thread);
        }
    });
}

#[test]
fn a_server_that_nobody_vouches_for_is_refused() {
    on_each(|| async {
        const OTHER: &[u8] = include_bytes!("../../../tests/gateway/auth/tls/other.pem");
        let (_timer, link, thread) = asked(OTHER, |mut server| server.read(&mut [0]).unwrap_err().to_string()).await;
        match link.err().expect("no connection") {
            Unsafe::Refused(error) => assert!(crate::net::is_untrusted(&error), "{error}"),
            error => panic!("{error}"),
        }
        let told = joined(vec![thread]).await.remove(0);
        assert!(told.contains("fatal alert"), "{told}");
    });
}

#[test]
fn an_idle_receive_ends_without_losing_a_byte() {
    on_each(|| async {
        let deadlines = Rc::<Deadlines>::default();
        let (timer, link, peer) = pair(&deadlines).await;
        let (tell, told) = std::sync::mpsc::channel::<()>();
        let thread = std::thread::spawn(move || {
            let mut client = client(peer);
            client.flush().unwrap();
            let mut wire = Vec::new();
            client.conn.writer().write_all(&content(5000)).unwrap();
            while client.conn.wants_write() {
                client.conn.write_tls(&mut wire).unwrap();
            }
            // The record in two parts; between them the wait is ended.
            client.sock.write_all(&wire[..1000]).unwrap();
            told.recv().unwrap();
            client.sock.write_all(&wire[1000..]).unwrap();
            told.recv().unwrap();
        });
        let link = secure(&link, server_config()).await.unwrap();
        timer.wake_at(DUE);
        let swept = deadlines.clone();
        crate::net::spawn(async move {
            pause(Duration::from_millis(10)).await;
            assert_eq!(swept.sweep(LATER), 1);
        });
        let (result, buf) = link.recv_idle(Vec::new(), &timer).await;
        assert!(result.unwrap_err().kind() == ErrorKind::TimedOut && buf.is_empty() && timer.expired());
        tell.send(()).unwrap();
        assert!(receive(&link, 5000, 100).await == content(5000));
        tell.send(()).unwrap();
        joined(vec![thread]).await;
    });
}
