//! A web server of a few lines that does what a test asks: breaks off, forgets ranges, changes its files.

use std::collections::BTreeMap;
use std::io::{BufRead, BufReader, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::{Arc, Mutex};
use std::time::Duration;

/// What a client asked for.
#[derive(Debug, Clone)]
pub struct Request {
    /// Method and path.
    pub line: String,
    /// Headers, their names in small letters.
    pub headers: BTreeMap<String, String>,
}

impl Request {
    /// The Range header.
    pub fn range(&self) -> Option<&str> {
        self.headers.get("range").map(String::as_str)
    }

    /// The If-Range header.
    pub fn if_range(&self) -> Option<&str> {
        self.headers.get("if-range").map(String::as_str)
    }

    fn start(&self) -> Option<usize> {
        self.range()?.strip_prefix("bytes=")?.strip_suffix('-')?.parse().ok()
    }
}

/// What it gets.
#[derive(Debug, Clone, Default)]
pub struct Reply {
    status: u16,
    headers: Vec<(&'static str, String)>,
    body: Vec<u8>,
    cut: Option<usize>,
    stall: Option<Duration>,
    pause: Option<Duration>,
}

impl Reply {
    /// A status without a body.
    pub fn status(status: u16) -> Self {
        Self { status, ..Self::default() }.header("Content-Length", 0)
    }

    /// The whole file, whatever was asked for.
    pub fn whole(content: &[u8]) -> Self {
        let reply = Self { status: 200, body: content.to_vec(), ..Self::default() };
        reply.header("Content-Length", content.len())
    }

    /// The whole file, of which it does not say how long it is.
    pub fn unmeasured(content: &[u8]) -> Self {
        Self { status: 200, body: content.to_vec(), ..Self::default() }
    }

    /// As a good server: the part that was asked for, if the file still has that tag, else the whole.
    pub fn file(content: &[u8], tag: &str, request: &Request) -> Self {
        match request.start() {
            Some(start) if request.if_range().is_none_or(|known| known == tag) => {
                Self::part(content, start).header("ETag", tag)
            }
            _ => Self::whole(content).header("ETag", tag),
        }
    }

    /// The bytes from `start` on.
    pub fn part(content: &[u8], start: usize) -> Self {
        if start >= content.len() {
            return Self::status(416).header("Content-Range", format!("bytes */{}", content.len()));
        }
        let reply = Self { status: 206, body: content[start..].to_vec(), ..Self::default() };
        let range = format!("bytes {start}-{}/{}", content.len() - 1, content.len());
        reply.header("Content-Length", content.len() - start).header("Content-Range", range)
    }

    /// With a header.
    pub fn header(mut self, name: &'static str, value: impl ToString) -> Self {
        self.headers.push((name, value.to_string()));
        self
    }

    /// Breaks off after so many bytes of the body.
    pub fn cut(mut self, at: usize) -> Self {
        self.cut = Some(at);
        self
    }

    /// Keeps the connection so long once all is sent that will be.
    pub fn stall(mut self, time: Duration) -> Self {
        self.stall = Some(time);
        self
    }

    /// Takes so long a pause in the middle of the body.
    pub fn pause(mut self, time: Duration) -> Self {
        self.pause = Some(time);
        self
    }

    fn send(&self, mut stream: TcpStream) -> std::io::Result<()> {
        let mut head = format!("HTTP/1.1 {} Whatever\r\nConnection: close\r\n", self.status);
        for (name, value) in &self.headers {
            head += &format!("{name}: {value}\r\n");
        }
        stream.write_all((head + "\r\n").as_bytes())?;
        let body = &self.body[..self.cut.unwrap_or(self.body.len()).min(self.body.len())];
        let (first, rest) = body.split_at(body.len() / 2);
        stream.write_all(first)?;
        std::thread::sleep(self.pause.unwrap_or_default());
        stream.write_all(rest)?;
        std::thread::sleep(self.stall.unwrap_or_default());
        Ok(())
    }
}

/// A server until the test ends.
#[derive(Debug)]
pub struct Server {
    /// Its address, without a slash at the end.
    pub url: String,
    requests: Arc<Mutex<Vec<Request>>>,
}

impl Server {
    /// Answers with what `answer` makes of each request and the number of those before it.
    pub fn start(answer: impl Fn(&Request, usize) -> Reply + Send + Sync + 'static) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let requests = Arc::new(Mutex::new(Vec::new()));
        let (seen, answer) = (requests.clone(), Arc::new(answer));
        std::thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let (seen, answer) = (seen.clone(), answer.clone());
                std::thread::spawn(move || {
                    let request = read(&stream)?;
                    let before = {
                        let mut seen = seen.lock().unwrap();
                        seen.push(request.clone());
                        seen.len() - 1
                    };
                    answer(&request, before).send(stream)
                });
            }
        });
        Self { url, requests }
    }

    /// What was asked so far.
    pub fn requests(&self) -> Vec<Request> {
        self.requests.lock().unwrap().clone()
    }
}

fn read(stream: &TcpStream) -> std::io::Result<Request> {
    let mut lines = BufReader::new(stream).lines();
    let line = lines.next().unwrap_or_else(|| Ok(String::new()))?;
    let mut headers = BTreeMap::new();
    for line in lines {
        let line = line?;
        let Some((name, value)) = line.split_once(':') else { break };
        headers.insert(name.to_lowercase(), value.trim().to_owned());
    }
    Ok(Request { line, headers })
}
