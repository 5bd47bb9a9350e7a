//! HTTP/2 from either side: the `h2` crate as client and as endpoint, and frames put together by hand.

use std::future::{Future, poll_fn};
use std::io::{Read, Write};
use std::net::TcpStream;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering::SeqCst};
use std::thread::JoinHandle;

use bytes::Bytes;
use h2::client::SendRequest;
use h2::server::SendResponse;
use h2::{RecvStream, SendStream};
use http::{HeaderMap, Request, Response};
use tokio::runtime::{Builder, Runtime};

use super::BOUND;

/// An answer, whole.
#[derive(Debug)]
pub struct Answer {
    pub head: Response<()>,
    pub body: Vec<u8>,
    pub trailers: Option<HeaderMap>,
}

impl Answer {
    pub fn status(&self) -> u16 {
        self.head.status().as_u16()
    }

    pub fn field(&self, name: &str) -> Option<&str> {
        self.head.headers().get(name).map(|value| value.to_str().unwrap())
    }

    pub fn text(&self) -> &str {
        std::str::from_utf8(&self.body).unwrap()
    }

    pub fn json(&self) -> serde_json::Value {
        serde_json::from_slice(&self.body).unwrap_or_else(|error| panic!("{error}: {self:?}"))
    }

    /// The gateway's reason for a refusal.
    pub fn reason(&self) -> &str {
        self.text().lines().find_map(|line| line.strip_prefix("reason: ")).unwrap_or_else(|| panic!("no reason given: {self:?}"))
    }
}

/// A client's connection. Its frames move only while something is waited for.
pub struct Http2 {
    runtime: Runtime,
    sender: SendRequest<Bytes>,
}

impl Http2 {
    pub fn connect(address: &str) -> Http2 {
        Http2::with(address, &h2::client::Builder::new())
    }

    pub fn with(address: &str, builder: &h2::client::Builder) -> Http2 {
        let runtime = Builder::new_current_thread().enable_all().build().unwrap();
        let sender = runtime.block_on(async {
            let stream = tokio::net::TcpStream::connect(address).await.unwrap();
            stream.set_nodelay(true).unwrap();
            let (sender, connection) = builder.handshake(stream).await.unwrap();
            tokio::spawn(async move {
                let _ = connection.await;
            });
            sender
        });
        Http2 { runtime, sender }
    }

    /// Does `work` with what sends requests, for as long as anything here may take.
    #[track_caller]
    pub fn run<T>(&self, work: impl AsyncFnOnce(SendRequest<Bytes>) -> T) -> T {
        let sender = self.sender.clone();
        self.runtime.block_on(async { tokio::time::timeout(BOUND, work(sender)).await }).expect("in time")
    }

    #[track_caller]
    pub fn get(&self, path: &str) -> Answer {
        self.ask(request("GET", path, &[]), b"", None).unwrap()
    }

    /// Sends a request and receives the answer.
    pub fn ask(&self, request: Request<()>, body: &[u8], trailers: Option<HeaderMap>) -> Result<Answer, h2::Error> {
        self.run(async |sender| {
            let mut sender = sender.ready().await?;
            let ends = body.is_empty() && trailers.is_none();
            let (response, mut send) = sender.send_request(request, ends)?;
            let sending = async {
                if !ends && send_all(&mut send, body, trailers.is_none()).await.is_ok() {
                    trailers.map(|trailers| send.send_trailers(trailers));
                }
            };
            futures_util::future::join(whole(response), sending).await.0
        })
    }
}

/// A request for this path.
pub fn request(method: &str, path: &str, fields: &[(&str, &str)]) -> Request<()> {
    let mut request = Request::builder().method(method).uri(format!("http://a.example{path}"));
    for (name, value) in fields {
        request = request.header(*name, *value);
    }
    request.body(()).unwrap()
}

/// Receives an answer to its end.
pub async fn whole(response: h2::client::ResponseFuture) -> Result<Answer, h2::Error> {
    let (head, body) = response.await?.into_parts();
    let (body, trailers) = rest(body).await?;
    Ok(Answer { head: Response::from_parts(head, ()), body, trailers })
}

/// Receives a body, and what follows it.
pub async fn rest(mut body: RecvStream) -> Result<(Vec<u8>, Option<HeaderMap>), h2::Error> {
    let mut all = Vec::new();
    while let Some(piece) = body.data().await {
        let piece = piece?;
        all.extend_from_slice(&piece);
        body.flow_control().release_capacity(piece.len())?;
    }
    Ok((all, body.trailers().await?))
}

/// Sends as the peer lets it.
pub async fn send_all(send: &mut SendStream<Bytes>, mut bytes: &[u8], last: bool) -> Result<(), h2::Error> {
    while !bytes.is_empty() {
        send.reserve_capacity(bytes.len());
        let room = match poll_fn(|cx| send.poll_capacity(cx)).await {
            Some(room) => room?.min(bytes.len()),
            None => return Err(h2::Reason::CANCEL.into()),
        };
        let (front, back) = bytes.split_at(room);
        bytes = back;
        send.send_data(Bytes::copy_from_slice(front), last && bytes.is_empty())?;
    }
    Ok(())
}

/// An endpoint that speaks nothing but HTTP/2.
pub struct Http2Origin {
    pub address: String,
    /// Connections so far.
    pub connections: Arc<AtomicUsize>,
    stop: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl Http2Origin {
    /// Does `serve` with each stream.
    pub fn start<F: Future<Output = ()> + Send + 'static>(
        serve: impl Fn(Request<RecvStream>, SendResponse<Bytes>) -> F + Send + Clone + 'static,
    ) -> Http2Origin {
        Http2Origin::with(h2::server::Builder::new(), usize::MAX, serve)
    }

    /// As `start`; each connection is for so many streams, and says goodbye then.
    pub fn with<F: Future<Output = ()> + Send + 'static>(
        builder: h2::server::Builder,
        streams: usize,
        serve: impl Fn(Request<RecvStream>, SendResponse<Bytes>) -> F + Send + Clone + 'static,
    ) -> Http2Origin {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        listener.set_nonblocking(true).unwrap();
        let address = listener.local_addr().unwrap().to_string();
        let (connections, stop) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicBool::new(false)));
        let (count, stopped) = (connections.clone(), stop.clone());
        let work = async move {
            let listener = tokio::net::TcpListener::from_std(listener).unwrap();
            while let Ok((stream, _)) = listener.accept().await {
                if stopped.load(SeqCst) {
                    return;
                }
                count.fetch_add(1, SeqCst);
                let (builder, serve) = (builder.clone(), serve.clone());
                tokio::spawn(async move {
                    let mut connection = builder.handshake(stream).await?;
                    let mut opened = 0;
                    while let Some(next) = connection.accept().await {
                        let (request, respond) = next?;
                        tokio::spawn(serve(request, respond));
                        opened += 1;
                        if opened == streams {
                            connection.graceful_shutdown();
                        }
                    }
                    Ok::<_, h2::Error>(())
                });
            }
        };
        let thread = std::thread::spawn(|| Builder::new_current_thread().enable_all().build().unwrap().block_on(work));
        Http2Origin { address, connections, stop, thread: Some(thread) }
    }
}

impl Drop for Http2Origin {
    fn drop(&mut self) {
        self.stop.store(true, SeqCst);
        drop(TcpStream::connect(&self.address));
        let _ = self.thread.take().map(JoinHandle::join);
    }
}

/// A client's connection made of frames put together by hand.
pub struct Frames {
    stream: TcpStream,
}

impl Frames {
    /// Connects, with the preface and empty settings.
    pub fn connect(address: &str) -> Frames {
        let mut frames = Frames::after_preface(address);
        frames.send(SETTINGS, 0, 0, b"").unwrap();
        frames
    }

    /// Connects, with the preface alone.
    pub fn after_preface(address: &str) -> Frames {
        let stream = TcpStream::connect(address).unwrap();
        stream.set_nodelay(true).unwrap();
        stream.set_read_timeout(Some(BOUND)).unwrap();
        stream.set_write_timeout(Some(BOUND)).unwrap();
        let mut frames = Frames { stream };
        frames.raw(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n").unwrap();
        frames
    }

    pub fn raw(&mut self, bytes: &[u8]) -> std::io::Result<()> {
        self.stream.write_all(bytes)
    }

    pub fn send(&mut self, kind: u8, flags: u8, stream: u32, payload: &[u8]) -> std::io::Result<()> {
        self.raw(&frame(kind, flags, stream, payload))
    }

    /// The next frame's type, flags, stream and payload; none at the end.
    pub fn next(&mut self) -> Option<(u8, u8, u32, Vec<u8>)> {
        let mut head = [0; 9];
        self.stream.read_exact(&mut head).ok()?;
        let mut payload = vec![0; usize::from(head[0]) << 16 | usize::from(head[1]) << 8 | usize::from(head[2])];
        self.stream.read_exact(&mut payload).ok()?;
        Some((head[3], head[4], u32::from_be_bytes(head[5..].try_into().unwrap()), payload))
    }

    /// Reads to the connection's end.
    #[track_caller]
    pub fn end(&mut self) {
        if let Err(error) = self.stream.read_to_end(&mut Vec::new()) {
            assert_eq!(error.kind(), std::io::ErrorKind::ConnectionReset, "it hasn't ended");
        }
    }

    /// Reads until a GOAWAY; its error code, or none if the connection ends without one.
    pub fn goaway(&mut self) -> Option<u32> {
        loop {
            let (kind, _, _, payload) = self.next()?;
            if kind == GOAWAY {
                return Some(u32::from_be_bytes(payload[4..8].try_into().unwrap()));
            }
        }
    }

    /// Reads until an answer's head; its status, which must be one that has an index (RFC 7541 appendix A).
    #[track_caller]
    pub fn status(&mut self) -> u16 {
        loop {
            let (kind, _, _, payload) = self.next().expect("a frame");
            if kind == HEADERS {
                return [200, 204, 206, 304, 400, 404, 500][usize::from(payload[0]) - 0x88];
            }
        }
    }

    /// Reads until a stream is reset, or the connection is; the error code.
    #[track_caller]
    pub fn reset(&mut self) -> u32 {
        loop {
            let (kind, _, _, payload) = self.next().expect("a frame");
            match kind {
                RST_STREAM => return u32::from_be_bytes(payload.try_into().unwrap()),
                GOAWAY => return u32::from_be_bytes(payload[4..8].try_into().unwrap()),
                _ => {}
            }
        }
    }
}

/// One frame (RFC 9113 section 4.1).
pub fn frame(kind: u8, flags: u8, stream: u32, payload: &[u8]) -> Vec<u8> {
    let length = u32::try_from(payload.len()).unwrap().to_be_bytes();
    [&length[1..], &[kind, flags], &stream.to_be_bytes(), payload].concat()
}

/// Fields as HPACK writes them without tables (RFC 7541 section 6.2.2).
pub fn block(fields: &[(&str, &str)]) -> Vec<u8> {
    let text = |text: &str| [&[u8::try_from(text.len()).unwrap()][..], text.as_bytes()].concat();
    fields.iter().flat_map(|(name, value)| [vec![0], text(name), text(value)].concat()).collect()
}

/// A plain request's fields.
pub const GET: &[(&str, &str)] = &[(":method", "GET"), (":scheme", "http"), (":authority", "a.example"), (":path", "/")];

pub const DATA: u8 = 0;
pub const HEADERS: u8 = 1;
pub const PRIORITY: u8 = 2;
pub const RST_STREAM: u8 = 3;
pub const SETTINGS: u8 = 4;
pub const PING: u8 = 6;
pub const GOAWAY: u8 = 7;
pub const WINDOW_UPDATE: u8 = 8;
pub const CONTINUATION: u8 = 9;
pub const END_STREAM: u8 = 1;
pub const END_HEADERS: u8 = 4;
