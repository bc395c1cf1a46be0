//! What server, jailer and init say to each other over a Unix stream: a length, JSON, descriptors.

use std::{
    io::{self, Read, Write},
    os::{
        fd::{AsFd, BorrowedFd, OwnedFd},
        unix::net::UnixStream,
    },
};

use serde::{Deserialize, Serialize, de::DeserializeOwned};

use crate::{
    spec::{Exit, Spec},
    sys,
};

/// No message is longer. A `Spec` with the largest environment that AWS accepts is well below.
const MAX_MESSAGE: usize = 4 << 20;

/// From the server to the jailer, and (`Terminate` only) on to init.
#[derive(Debug, Serialize, Deserialize)]
pub enum Order {
    /// The first message. With [`crate::Network::Joined`] two descriptors follow: network and user namespace.
    Start(Box<Spec>),
    /// SIGTERM to the payload.
    Terminate,
    /// The end of everything inside.
    Kill,
    /// A TCP socket of the sandbox's network, please.
    Socket {
        /// IPv6 instead of IPv4.
        v6: bool,
    },
}

/// From init to the jailer, and on to the server.
#[derive(Debug, Serialize, Deserialize)]
pub enum Report {
    /// The payload runs. Descriptors: network namespace, user namespace, then the listeners; none without namespaces.
    Started,
    /// It could not be started; nothing runs.
    Failed {
        /// What was tried.
        step: String,
        /// Why it failed.
        error: String,
    },
    /// One descriptor follows, unless there is an error.
    Socket {
        /// Why there is none.
        error: Option<String>,
    },
    /// The payload ended and nothing of it is left.
    Ended(Exit),
}

/// Sends one message.
pub fn send(socket: &UnixStream, message: &impl Serialize, fds: &[BorrowedFd<'_>]) -> io::Result<()> {
    let body = serde_json::to_vec(message)?;
    if body.len() > MAX_MESSAGE {
        return Err(io::Error::new(io::ErrorKind::InvalidInput, "the sandbox's specification is larger than 4 MiB"));
    }
    let mut bytes = (body.len() as u32).to_le_bytes().to_vec();
    bytes.extend(body);
    let sent = sys::send_with_fds(socket.as_fd(), &bytes, fds)?;
    let mut rest = socket;
    rest.write_all(&bytes[sent..])
}

/// Receives one message; `None` when the other side is gone.
pub fn receive<T: DeserializeOwned>(socket: &UnixStream) -> io::Result<Option<(T, Vec<OwnedFd>)>> {
    let mut fds = Vec::new();
    let mut length = [0u8; 4];
    let mut got = 0;
    while got < length.len() {
        match sys::receive_with_fds(socket.as_fd(), &mut length[got..], &mut fds) {
            Ok(0) => return Ok(None),
            Ok(count) => got += count,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) if error.kind() == io::ErrorKind::ConnectionReset => return Ok(None),
            Err(error) => return Err(error),
        }
    }
    let length = u32::from_le_bytes(length) as usize;
    if length > MAX_MESSAGE {
        return Err(io::Error::new(io::ErrorKind::InvalidData, "message too long"));
    }
    let mut body = vec![0; length];
    let mut rest = socket;
    rest.read_exact(&mut body)?;
    Ok(Some((serde_json::from_slice(&body)?, fds)))
}
