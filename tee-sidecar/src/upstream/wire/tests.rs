//! Against engines that do exactly what a test wants, over real connections.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, channel};
use std::thread::{sleep, spawn};
use std::time::Instant;

use futures_util::StreamExt;
use hyper::http::response::Parts;

use super::*;

const SOON: Duration = Duration::from_secs(20);
const WHOLE: &[u8] = b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok";
const CHUNKED: &[u8] = b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n1\r\na\r\n";

/// An engine that does this with each connection, the n-th.
fn engine(serve: impl Fn(usize, TcpStream) + Clone + Send + 'static) -> Arc<Site> {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}/v", listener.local_addr().unwrap());
    spawn(move || {
        for (n, stream) in listener.incoming().enumerate() {
            let serve = serve.clone();
            spawn(move || serve(n, stream.unwrap()));
        }
    });
    Arc::new(Site::at(&url).unwrap())
}

/// Reads a request; `None` where none comes any more.
fn request(mut stream: &TcpStream) -> Option<String> {
    let mut reader = BufReader::with_capacity(1, &mut stream);
    let mut head = String::new();
    while !head.ends_with("\r\n\r\n") {
        if reader.read_line(&mut head).ok()? == 0 {
            return None;
        }
    }
    let length = head.lines().find_map(|line| line.strip_prefix("content-length: "));
    let mut body = vec![0; length.unwrap().parse().unwrap()];
    reader.read_exact(&mut body).ok()?;
    Some(head + std::str::from_utf8(&body).unwrap())
}

/// An engine that says this to every request on a connection, and then closes it.
fn saying(answers: &'static [&'static [u8]]) -> Arc<Site> {
    engine(move |_, mut stream| {
        for answer in answers {
            request(&stream).unwrap();
            stream.write_all(answer).unwrap();
        }
    })
}

fn millis(millis: u64) -> Duration {
    Duration::from_millis(millis)
}

async fn asked(site: &Arc<Site>, body: &[u8], silence: Duration) -> (Tried, bool) {
    let begun = Arc::new(AtomicBool::default());
    let bytes = Bytes::copy_from_slice(body);
    let request = Request::post("/v").body(Outgoing { bytes, begun: begun.clone() }).unwrap();
    let tried = post(site, request, Patience { connect: SOON, silence }).await;
    (tried.map(Response::into_parts), begun.load(Ordering::Relaxed))
}

type Tried = Result<(Parts, Body), UpstreamError>;

async fn ask(site: &Arc<Site>) -> Tried {
    asked(site, b"{}", SOON).await.0
}

/// All of a body, and what went wrong with it.
async fn all(mut body: Body) -> (Vec<u8>, Option<UpstreamError>) {
    let mut bytes = Vec::new();
    while let Some(piece) = body.next().await {
        match piece {
            Ok(piece) => bytes.extend_from_slice(&piece),
            Err(error) => {
                assert!(body.next().await.is_none());
                return (bytes, Some(error));
            }
        }
    }
    (bytes, None)
}

async fn whole(site: &Arc<Site>) -> Vec<u8> {
    let (bytes, error) = all(ask(site).await.unwrap().1).await;
    assert_eq!(error, None);
    bytes
}

#[tokio::test]
async fn an_answer_that_ends_too_early_is_an_error_and_never_an_end() {
    for (said, came) in [
        (CHUNKED, "a"),
        (b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n5\r\nab", "ab"),
        (b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n1\r\na\r\n0\r\n", "a"),
        (b"HTTP/1.1 200 OK\r\ncontent-length: 3\r\n\r\nab", "ab"),
        (b"HTTP/1.1 200 OK\r\ncontent-length: 3\r\n\r\n", ""),
        (b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n1\r\naXX", "a"),
    ] {
        let site = saying(Box::leak(Box::new([said])));
        let (bytes, error) = all(ask(&site).await.unwrap().1).await;
        assert_eq!(bytes, came.as_bytes());
        assert!(matches!(error, Some(UpstreamError::Broken(_))), "{error:?}");
    }
    // Only where nothing says how long it is does it end with the connection.
    assert_eq!(whole(&saying(&[b"HTTP/1.0 200 OK\r\n\r\nall of it"])).await, b"all of it");
}

#[tokio::test]
async fn what_went_wrong_before_an_answer_is_told_apart() {
    for (said, expected) in [
        (b"".as_slice(), "Gone"),
        (b"HTTP/1.1 200 OK\r\ncontent-le", "Gone"),
        (b"HTTP/1.1 100 Continue\r\n\r\n", "Gone"),
        (b"zz no http\r\n\r\n", "Broken"),
        (b"HTTP/1.1 101 Switching\r\n\r\n", "Broken"),
    ] {
        let (tried, begun) = asked(&saying(Box::leak(Box::new([said]))), b"{}", SOON).await;
        let told = format!("{:?}", tried.map(|_| ()).unwrap_err());
        assert!(told.starts_with(expected) && begun, "{told}: {said:?}");
    }
    let nobody = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let site = Arc::new(Site::at(&format!("http://{nobody}")).unwrap());
    let (tried, begun) = asked(&site, b"{}", SOON).await;
    assert!(matches!(tried.map(|_| ()), Err(UpstreamError::Connect(_))) && !begun);
}

#[tokio::test]
async fn silence_ends_a_stream_and_a_long_stream_or_a_slow_reader_does_not() {
    // Never silent for long, but longer than that all in all.
    let site = engine(|_, mut stream| {
        request(&stream).unwrap();
        stream.write_all(CHUNKED).unwrap();
        for _ in 0..12 {
            sleep(millis(50));
            stream.write_all(b"1\r\nb\r\n").unwrap();
        }
        sleep(SOON);
    });
    let (tried, _) = asked(&site, b"{}", millis(400)).await;
    let mut body = tried.unwrap().1;
    assert_eq!(body.next().await.unwrap().unwrap(), "a");
    // Who does not ask is not kept waiting by the engine: it gets what came meanwhile, and then
    // the engine has its time from the asking on.
    tokio::time::sleep(millis(1000)).await;
    let mut came = Vec::new();
    let waited = Instant::now();
    let error = loop {
        match body.next().await.unwrap() {
            Ok(piece) => came.extend_from_slice(&piece),
            Err(error) => break error,
        }
    };
    assert_eq!(came, [b'b'; 12]);
    assert!(matches!(error, UpstreamError::Timeout(_)), "{error:?}");
    assert!(waited.elapsed() >= millis(400) && waited.elapsed() < SOON, "{:?}", waited.elapsed());
    // A head that comes a byte at a time is no answer either.
    let site = engine(|_, mut stream| {
        request(&stream).unwrap();
        stream.write_all(b"HTTP/1.1 200 OK\r\nx: ").unwrap();
        while stream.write_all(b"y").is_ok() {
            sleep(millis(20));
        }
    });
    let began = Instant::now();
    let slow = engine(|_, stream| drop((request(&stream), sleep(SOON))));
    for site in [site, slow] {
        let (tried, _) = asked(&site, b"{}", millis(300)).await;
        let error = tried.map(|_| ()).unwrap_err();
        assert!(matches!(error, UpstreamError::Timeout(_)), "{error:?}");
    }
    assert!(began.elapsed() < millis(5000));
}

#[tokio::test]
async fn a_connection_is_used_again_and_one_that_was_closed_meanwhile_is_not() {
    let (tell, told) = channel();
    let site = engine(move |n, mut stream| {
        for _ in 0..2 {
            let text = request(&stream).unwrap();
            tell.send((n, text)).unwrap();
            stream.write_all(WHOLE).unwrap();
        }
        // The engine leaves, as vLLM leaves connections that nobody uses.
        stream.shutdown(Shutdown::Both).unwrap();
        tell.send((n, "closed".into())).unwrap();
    });
    for _ in 0..2 {
        assert_eq!(whole(&site).await, b"ok");
    }
    let next = || told.recv_timeout(SOON).unwrap();
    let text = "POST /v HTTP/1.1\r\ncontent-length: 2\r\n\r\n{}".to_owned();
    assert_eq!([next(), next()], [(0, text.clone()), (0, text.clone())]);
    assert_eq!(next(), (0, "closed".into()));
    // The runtime has seen it.
    tokio::time::sleep(millis(50)).await;
    assert_eq!(whole(&site).await, b"ok");
    assert_eq!(next(), (1, text));
}

#[tokio::test]
async fn a_connection_is_used_again_after_a_stream_however_its_end_arrives() {
    for pause in [0, 30] {
        let (tell, told) = channel();
        let site = engine(move |n, mut stream| {
            while request(&stream).is_some() {
                tell.send(n).unwrap();
                stream.write_all(CHUNKED).unwrap();
                sleep(millis(pause));
                stream.write_all(b"1\r\nb\r\n").unwrap();
                sleep(millis(pause));
                stream.write_all(b"0\r\n\r\n").unwrap();
            }
        });
        for _ in 0..3 {
            assert_eq!(whole(&site).await, b"ab");
            assert_eq!(told.recv_timeout(SOON).unwrap(), 0, "{pause} ms between the chunks");
        }
    }
}

#[tokio::test]
async fn a_connection_that_cannot_be_trusted_is_not_used_again() {
    for said in [
        b"HTTP/1.1 200 OK\r\nconnection: close\r\ncontent-length: 2\r\n\r\nok".as_slice(),
        b"HTTP/1.0 200 OK\r\ncontent-length: 2\r\n\r\nok",
        b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nokHTTP/1.1 200 OK\r\n",
        b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n2\r\nok\r\n0\r\n\r\nHTTP/1.1",
        b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\nconnection: close\r\n\r\n\
          2\r\nok\r\n0\r\n\r\n",
        b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\ntransfer-encoding: chunked\r\n\r\n\
          2\r\nok\r\n0\r\n\r\n",
    ] {
        let (tell, told) = channel();
        let site = engine(move |n, mut stream| {
            while request(&stream).is_some() {
                tell.send(n).unwrap();
                stream.write_all(said).unwrap();
            }
        });
        for n in 0..2 {
            assert_eq!(whole(&site).await, b"ok");
            assert_eq!(told.recv_timeout(SOON).unwrap(), n, "{said:?}");
        }
    }
}

#[tokio::test]
async fn connections_that_nobody_uses_are_closed() {
    let (tell, told) = channel();
    let site = engine(move |_, mut stream| {
        request(&stream).unwrap();
        stream.write_all(WHOLE).unwrap();
        tell.send(request(&stream)).unwrap();
    });
    assert_eq!(whole(&site).await, b"ok");
    tokio::time::pause();
    tokio::time::sleep(2 * POOL_IDLE).await;
    assert_eq!(told.recv_timeout(SOON).unwrap(), None);
    assert!(site.take().is_none());
}

/// An engine that begins a stream and tells when its client has gone.
fn endless() -> (Arc<Site>, Receiver<()>) {
    let (tell, told) = channel();
    let site = engine(move |_, mut stream| {
        request(&stream).unwrap();
        stream.write_all(CHUNKED).unwrap();
        while stream.write_all(b"1\r\nb\r\n").is_ok() {
            sleep(millis(5));
        }
        tell.send(()).unwrap();
    });
    (site, told)
}

#[tokio::test]
async fn who_drops_an_answer_ends_the_engine_s_work() {
    let (site, told) = endless();
    let mut body = ask(&site).await.unwrap().1;
    assert!(body.next().await.unwrap().is_ok());
    drop(body);
    told.recv_timeout(SOON).unwrap();
    // And who gives up before there is one.
    let (tell, told) = channel();
    let site = engine(move |_, mut stream| {
        request(&stream).unwrap();
        tell.send(stream.read(&mut [0]).unwrap_or(0)).unwrap();
    });
    assert!(tokio::time::timeout(millis(200), ask(&site)).await.is_err());
    assert_eq!(told.recv_timeout(SOON).unwrap(), 0);
}

// A limit would queue requests behind streams that take hours.
#[tokio::test]
async fn as_many_connections_are_open_as_there_are_requests() {
    let (site, _told) = endless();
    let mut streams = Vec::new();
    for _ in 0..150 {
        let mut body = ask(&site).await.unwrap().1;
        assert!(body.next().await.unwrap().is_ok());
        streams.push(body);
    }
}

#[tokio::test]
async fn an_answer_that_comes_before_the_request_was_taken_is_the_answer() {
    let much = vec![b'x'; 8 << 20];
    let site = engine(|_, mut stream| {
        stream.read_exact(&mut [0; 4]).unwrap();
        stream.write_all(b"HTTP/1.1 413 No\r\ncontent-length: 2\r\n\r\nno").unwrap();
        sleep(millis(300));
        let _ = request(&stream);
    });
    let (tried, begun) = asked(&site, &much, SOON).await;
    let (head, body) = tried.unwrap();
    assert_eq!((head.status.as_u16(), begun), (413, true));
    assert_eq!(all(body).await, (b"no".to_vec(), None));
    assert!(site.take().is_none(), "half a request was sent on this connection");
    // One that is read comes whole, however long.
    let (tell, told) = channel();
    let site = engine(move |_, mut stream| {
        let text = request(&stream).unwrap();
        stream.write_all(WHOLE).unwrap();
        tell.send(text.len()).unwrap();
    });
    let (tried, _) = asked(&site, &much, SOON).await;
    assert_eq!(all(tried.unwrap().1).await.0, b"ok");
    assert!(told.recv_timeout(SOON).unwrap() > much.len());
}
