//! A proxy between a runner and its S3 server that does harm on the way.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::{Arc, Mutex};
use std::time::Duration;

/// What is done to an answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Harm {
    /// Nothing.
    None,
    /// The connection breaks off in the middle of the body.
    Break,
    /// A bit of the body is flipped.
    Flip,
    /// The server has too much to do.
    Busy,
    /// Nothing is ever answered.
    Silence,
    /// The body comes byte by byte, for ever.
    Drip,
    /// The head claims an exabyte.
    Exabyte,
    /// The body is longer than it was.
    Longer,
    /// Access is denied, with the request repeated in the answer.
    Denied,
    /// Another machine is at the same file.
    Conflict,
}

/// A request: its line, headers and body.
#[derive(Debug, Clone)]
pub struct Request {
    pub line: String,
    headers: Vec<String>,
    body: Vec<u8>,
}

impl Request {
    /// Whether it puts a file only where there is none.
    pub fn creates(&self) -> bool {
        self.headers.iter().any(|header| header.to_ascii_lowercase().starts_with("if-none-match:"))
    }

    pub fn gets(&self, room: &str) -> bool {
        self.line.starts_with("GET") && self.line.contains(room)
    }

    pub fn puts(&self, room: &str) -> bool {
        self.line.starts_with("PUT") && self.line.contains(room)
    }
}

/// A proxy until the test ends.
pub struct Proxy {
    pub endpoint: String,
    requests: Arc<Mutex<Vec<Request>>>,
}

impl Proxy {
    /// In front of `server`; `harm` says what becomes of the answer to each request, by the number of those before it.
    pub fn start(server: &str, harm: impl Fn(&Request, usize) -> Harm + Send + Sync + 'static) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let endpoint = format!("http://{}", listener.local_addr().unwrap());
        let (requests, harm) = (Arc::new(Mutex::new(Vec::new())), Arc::new(harm));
        let (seen, server) = (requests.clone(), server.to_owned());
        std::thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let (seen, harm, server) = (seen.clone(), harm.clone(), server.clone());
                std::thread::spawn(move || {
                    let request = read(&stream)?;
                    let before = {
                        let mut seen = seen.lock().unwrap();
                        seen.push(request.clone());
                        seen.len() - 1
                    };
                    answer(stream, &request, &server, harm(&request, before))
                });
            }
        });
        Self { endpoint, requests }
    }

    /// What was asked so far.
    pub fn requests(&self) -> Vec<Request> {
        self.requests.lock().unwrap().clone()
    }
}

fn read(stream: &TcpStream) -> std::io::Result<Request> {
    let mut reader = BufReader::new(stream);
    let mut next = || {
        let mut line = String::new();
        reader.read_line(&mut line).map(|_| line.trim_end().to_owned())
    };
    let line = next()?;
    let mut headers = Vec::new();
    loop {
        let header = next()?;
        if header.is_empty() {
            break;
        }
        headers.push(header);
    }
    let length = headers.iter().find_map(|header| {
        let (name, value) = header.split_once(':')?;
        name.eq_ignore_ascii_case("content-length").then(|| value.trim().parse().unwrap())
    });
    let mut body = vec![0; length.unwrap_or(0)];
    reader.read_exact(&mut body)?;
    Ok(Request { line, headers, body })
}

fn answer(mut stream: TcpStream, request: &Request, server: &str, harm: Harm) -> std::io::Result<()> {
    let own = |status: &str, body: &str| {
        let head =
            format!("HTTP/1.1 {status}\r\nConnection: close\r\nContent-Length: {}\r\n\r\n", body.len());
        if request.line.starts_with("HEAD") { head } else { head + body }
    };
    match harm {
        Harm::Busy => {
            return stream.write_all(own("503 Slow Down", "<Error><Code>SlowDown</Code></Error>").as_bytes());
        }
        Harm::Denied => {
            // As real servers do, it tells what it was asked.
            let body =
                format!("<Error><Code>SignatureDoesNotMatch</Code>{}</Error>", request.headers.join("\n"));
            return stream.write_all(own("403 Forbidden", &body).as_bytes());
        }
        Harm::Conflict => {
            let body = "<Error><Code>ConditionalRequestConflict</Code></Error>";
            return stream.write_all(own("409 Conflict", body).as_bytes());
        }
        Harm::Silence => {
            std::thread::sleep(Duration::from_secs(120));
            return Ok(());
        }
        _ => {}
    }
    let (head, mut body) = forward(request, server)?;
    let length = |length: u64| {
        let lines = head.lines().map(|line| match line.split_once(':') {
            Some((name, _)) if name.eq_ignore_ascii_case("content-length") => format!("{name}: {length}"),
            _ => line.to_owned(),
        });
        lines.collect::<Vec<_>>().join("\r\n") + "\r\n\r\n"
    };
    match harm {
        Harm::Break => {
            stream.write_all((head + "\r\n\r\n").as_bytes())?;
            stream.write_all(&body[..body.len() / 2])
        }
        Harm::Drip => {
            stream.write_all((head + "\r\n\r\n").as_bytes())?;
            for byte in body {
                stream.write_all(&[byte])?;
                std::thread::sleep(Duration::from_millis(300));
            }
            Ok(())
        }
        Harm::Exabyte => {
            stream.write_all(length(1 << 60).as_bytes())?;
            stream.write_all(&body)
        }
        Harm::Longer => {
            body.extend_from_slice(b"and more");
            stream.write_all(length(body.len() as u64).as_bytes())?;
            stream.write_all(&body)
        }
        Harm::Flip => {
            let middle = body.len() / 2;
            if let Some(byte) = body.get_mut(middle) {
                *byte ^= 1;
            }
            stream.write_all((head + "\r\n\r\n").as_bytes())?;
            stream.write_all(&body)
        }
        _ => {
            stream.write_all((head + "\r\n\r\n").as_bytes())?;
            stream.write_all(&body)
        }
    }
}

/// Asks the server, and gives the head of its answer without the empty line, and the body.
fn forward(request: &Request, server: &str) -> std::io::Result<(String, Vec<u8>)> {
    let mut upstream = TcpStream::connect(server)?;
    let mut head = format!("{}\r\n", request.line);
    for header in
        request.headers.iter().filter(|header| !header.to_ascii_lowercase().starts_with("connection:"))
    {
        head += &format!("{header}\r\n");
    }
    upstream.write_all((head + "Connection: close\r\n\r\n").as_bytes())?;
    upstream.write_all(&request.body)?;
    let mut answer = Vec::new();
    upstream.read_to_end(&mut answer)?;
    let end = answer.windows(4).position(|four| four == b"\r\n\r\n").unwrap_or(answer.len());
    let body = answer.get(end + 4..).unwrap_or_default().to_vec();
    let lines = String::from_utf8_lossy(&answer[..end]).into_owned();
    let lines: Vec<&str> =
        lines.lines().filter(|line| !line.to_ascii_lowercase().starts_with("connection:")).collect();
    Ok((lines.join("\r\n") + "\r\nConnection: close", body))
}
