//! S3 against files, and against another S3 server.
//!
//! The client here does as little as a client can: it signs before the clock starts, writes a body from memory into the
//! connection and reads an answer into memory, as the file's side writes from memory and reads into memory. Sides take turns,
//! so that all of them meet the same machine; medians are compared.

use std::{
    fs,
    io::{BufRead, BufReader, Read, Write},
    net::TcpStream,
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    time::{Duration, Instant, SystemTime, UNIX_EPOCH},
};

use sha2::{Digest, Sha256};
use tenantry_core::Timestamp;
use tenantry_sigv4::{Parts, Signer};

use crate::{Failure, Table, load::Keys, median, server::Instance};

const MIB: usize = 1024 * 1024;
/// Clients at a time where memory is measured.
const CROWD: usize = 50;
const LARGE: usize = 64 * MIB;

/// Fills the table; answers what is to be said below it.
///
/// # Errors
/// When a server refuses a request, or does not start.
pub fn rows(table: &mut Table, binary: &str, other: &str) -> Result<String, Failure> {
    let scratch = Scratch::new()?;
    let instance = Instance::serve(binary)?;
    let ours = Side { address: instance.address().to_owned(), keys: instance.keys("s3") };
    let other = Other::start(other, &scratch.0.join("s3s"))?;
    ours.connect()?.send("PUT", "/bench", b"", &hash(b""))?;
    other.side.connect()?.send("PUT", "/bench", b"", &hash(b""))?;
    for (name, size, rounds) in [("1 KiB", 1024, 300), ("64 MiB", LARGE, 12)] {
        eprintln!("objects of {name}");
        let times = turns(&ours, &other.side, &scratch.0, size, rounds)?;
        let (file, cached, theirs) = ("write and fsync of a new file", "read of a file (cached)", "s3s-fs, which does not fsync");
        table.times(&format!("PutObject of {name}, payload signed"), times.put, file, times.write);
        table.times(&format!("PutObject of {name}, payload not signed"), times.put_unsigned, file, times.write);
        table.times(&format!("GetObject of {name}"), times.get, file, times.write);
        table.times(&format!("GetObject of {name}"), times.get, cached, times.read);
        table.times(&format!("PutObject of {name}, payload signed"), times.put, theirs, times.their_put);
        table.times(&format!("GetObject of {name}"), times.get, "s3s-fs", times.their_get);
    }
    drop(other);
    eprintln!("{CROWD} clients at once");
    let before = instance.resident_bytes()? / MIB as u64;
    crowd(&ours)?;
    let peak = instance.peak_bytes()? / MIB as u64;
    Ok(format!(
        "Resident memory of the server: {before} MiB before, at most {peak} MiB while {CROWD} clients put an object of 64 MiB each at the same time \
         and then read it."
    ))
}

/// Medians.
struct Times {
    write: Duration,
    read: Duration,
    put: Duration,
    put_unsigned: Duration,
    get: Duration,
    their_put: Duration,
    their_get: Duration,
}

fn turns(ours: &Side, other: &Side, scratch: &Path, size: usize, rounds: usize) -> Result<Times, Failure> {
    let bytes: Vec<u8> = (0..size as u32).map(|n| (n.wrapping_mul(2_654_435_761) >> 13) as u8).collect();
    let signed = hash(&bytes);
    let file = scratch.join("file");
    let mut times: [Vec<Duration>; 7] = Default::default();
    let (mut ours, mut other) = (ours.connect()?, other.connect()?);
    for round in 0..rounds + 1 {
        let _gone = fs::remove_file(&file);
        let taken = [
            timed(|| {
                let mut file = fs::File::create(&file)?;
                file.write_all(&bytes)?;
                Ok(file.sync_all()?)
            })?,
            timed(|| same(fs::read(&file)?.len(), size))?,
            timed(|| ours.send("PUT", "/bench/object", &bytes, &signed).map(drop))?,
            timed(|| ours.send("PUT", "/bench/object", &bytes, "UNSIGNED-PAYLOAD").map(drop))?,
            timed(|| same(ours.send("GET", "/bench/object", b"", &hash(b""))?.len(), size))?,
            timed(|| other.send("PUT", "/bench/object", &bytes, &signed).map(drop))?,
            timed(|| same(other.send("GET", "/bench/object", b"", &hash(b""))?.len(), size))?,
        ];
        // The first round warms up.
        if round > 0 {
            times.iter_mut().zip(taken).for_each(|(times, taken)| times.push(taken));
        }
    }
    if ours.send("GET", "/bench/object", b"", &hash(b""))? != bytes {
        return Err("an object came back with other bytes".into());
    }
    let [write, read, put, put_unsigned, get, their_put, their_get] = times.map(median);
    Ok(Times { write, read, put, put_unsigned, get, their_put, their_get })
}

fn timed(work: impl FnOnce() -> Result<(), Failure>) -> Result<Duration, Failure> {
    let start = Instant::now();
    work()?;
    Ok(start.elapsed())
}

fn same(len: usize, size: usize) -> Result<(), Failure> {
    if len == size { Ok(()) } else { Err(format!("{len} bytes came back of {size}").into()) }
}

/// Many clients at the same time, each with an object of its own.
fn crowd(ours: &Side) -> Result<(), Failure> {
    let bytes = vec![7u8; LARGE];
    let signed = hash(&bytes);
    std::thread::scope(|scope| {
        let clients: Vec<_> = (0..CROWD)
            .map(|n| {
                let (bytes, signed) = (&bytes, &signed);
                scope.spawn(move || {
                    let mut connection = ours.connect()?;
                    connection.send("PUT", &format!("/bench/crowd-{n}"), bytes, signed)?;
                    connection.ask("GET", &format!("/bench/crowd-{n}"), b"", &hash(b""))?;
                    // Not into memory: this is about the server's.
                    same(usize::try_from(std::io::copy(&mut connection.body()?, &mut std::io::sink())?)?, LARGE)
                })
            })
            .collect();
        clients.into_iter().try_for_each(|client| client.join().map_err(|_| "a client died")?)
    })
}

fn hash(bytes: &[u8]) -> String {
    Sha256::digest(bytes).iter().map(|byte| format!("{byte:02x}")).collect()
}

/// A server and who one is there.
struct Side {
    address: String,
    keys: Keys,
}

/// A connection to it, kept.
struct Connection<'a> {
    side: &'a Side,
    stream: BufReader<TcpStream>,
    length: u64,
}

impl Side {
    fn connect(&self) -> Result<Connection<'_>, Failure> {
        let stream = TcpStream::connect(&self.address)?;
        stream.set_nodelay(true)?;
        stream.set_read_timeout(Some(Duration::from_secs(120)))?;
        Ok(Connection { side: self, stream: BufReader::new(stream), length: 0 })
    }
}

impl Connection<'_> {
    /// Sends a request and reads the head of a good answer.
    fn ask(&mut self, method: &str, path: &str, body: &[u8], hash: &str) -> Result<(), Failure> {
        let keys = &self.side.keys;
        let headers = [("host", self.side.address.as_str())];
        let parts = Parts { method, path, query: "", headers: &headers };
        let signer = Signer { access_key: &keys.access_key, secret: &keys.secret, token: None, region: "us-east-1", service: keys.service };
        let now = Timestamp::from_secs(SystemTime::now().duration_since(UNIX_EPOCH)?.as_secs().try_into()?);
        let mut head = format!("{method} {path} HTTP/1.1\r\nhost: {}\r\ncontent-length: {}\r\n", self.side.address, body.len());
        for (name, value) in tenantry_sigv4::sign(&parts, hash, &signer, now) {
            head += &format!("{name}: {value}\r\n");
        }
        head += "\r\n";
        self.stream.get_mut().write_all(head.as_bytes())?;
        self.stream.get_mut().write_all(body)?;
        let mut status = String::new();
        self.stream.read_line(&mut status)?;
        self.length = 0;
        loop {
            let mut line = String::new();
            if self.stream.read_line(&mut line)? == 0 || line == "\r\n" {
                break;
            }
            if let Some((name, value)) = line.split_once(':')
                && name.eq_ignore_ascii_case("content-length")
            {
                self.length = value.trim().parse()?;
            }
        }
        if status.starts_with("HTTP/1.1 200") {
            return Ok(());
        }
        let mut text = String::new();
        self.body()?.read_to_string(&mut text)?;
        Err(format!("{method} {path} at {}: {status}{text}", self.side.address).into())
    }

    fn body(&mut self) -> Result<impl Read + '_, Failure> {
        let length = self.length;
        Ok(self.stream.by_ref().take(length))
    }

    /// Sends a request and takes the whole answer.
    fn send(&mut self, method: &str, path: &str, body: &[u8], hash: &str) -> Result<Vec<u8>, Failure> {
        self.ask(method, path, body, hash)?;
        let mut answer = Vec::with_capacity(usize::try_from(self.length)?);
        self.body()?.read_to_end(&mut answer)?;
        Ok(answer)
    }
}

/// s3s-fs, a server of files.
struct Other {
    process: Child,
    side: Side,
}

impl Other {
    fn start(program: &str, root: &Path) -> Result<Self, Failure> {
        fs::create_dir_all(root)?;
        let port = std::net::TcpListener::bind("127.0.0.1:0")?.local_addr()?.port();
        let (access_key, secret) = ("bench-access-key".to_owned(), "bench-secret-key".to_owned());
        let process = Command::new(program)
            .args(["--host", "127.0.0.1", "--port", &port.to_string(), "--access-key", &access_key, "--secret-key", &secret])
            .arg(root)
            .env("RUST_LOG", "error")
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .map_err(|error| format!("{program}: {error}"))?;
        let side = Side { address: format!("127.0.0.1:{port}"), keys: Keys { access_key, secret, token: None, service: "s3" } };
        let other = Self { process, side };
        for _ in 0..100 {
            if TcpStream::connect(&other.side.address).is_ok() {
                return Ok(other);
            }
            std::thread::sleep(Duration::from_millis(100));
        }
        Err("s3s-fs does not answer".into())
    }
}

impl Drop for Other {
    fn drop(&mut self) {
        let _dead = self.process.kill();
        let _reaped = self.process.wait();
    }
}

/// A directory that goes with the run, on the file system that the instance's data is on.
struct Scratch(PathBuf);

impl Scratch {
    fn new() -> Result<Self, Failure> {
        let path = std::env::temp_dir().join(format!("tenantry-bench-objects-{}", std::process::id()));
        fs::create_dir_all(&path)?;
        Ok(Self(path))
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        let _gone = fs::remove_dir_all(&self.0);
    }
}
