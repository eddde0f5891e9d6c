//! A relay for WebSocket in the shape of a tokio server, on the tungstenite of its time:
//! a message is copied out of one side and into the other.  No key, no limits, no lists.
//! Own code; the original server is neither used nor read.
//!
//!   tokio_ws_peer PORT [slices]
//!
//! TCP on PORT, WebSocket on PORT+2.  Prints "ready".  What goes out by TCP is appended to
//! the buffer by `extend`, which is the shape that the goals were set for, and takes it byte
//! by byte; with "slices" it is copied at once, for comparison.
#[path = "../../tokio/src/wire.rs"]
#[allow(dead_code)] // an ID server needs more of it
mod wire;

use crate::wire::{bytes_of, LengthCodec};
use bytes::{Bytes, BytesMut};
use futures_util::{SinkExt, StreamExt};
use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Mutex;
use tokio_tungstenite::{accept_async, WebSocketStream};
use tokio_util::codec::Framed;
use tungstenite::Message;

const REQUEST_RELAY: u64 = 18;
const UUID: u64 = 2;
const WAIT: Duration = Duration::from_secs(30);

enum Leg {
    Frames(Framed<TcpStream, LengthCodec>),
    Messages(WebSocketStream<TcpStream>),
}

type Waiting = Arc<Mutex<HashMap<Vec<u8>, Leg>>>;

impl Leg {
    /// The next frame or message, empty if it is none of Binary; None at the end.
    async fn receive(&mut self) -> Option<BytesMut> {
        match self {
            Leg::Frames(framed) => framed.next().await?.ok(),
            Leg::Messages(socket) => match socket.next().await?.ok()? {
                Message::Binary(data) => Some(data[..].into()),
                _ => Some(BytesMut::new()),
            },
        }
    }

    async fn send(&mut self, data: Bytes) -> Option<()> {
        match self {
            Leg::Frames(framed) => framed.send(data).await.ok(),
            Leg::Messages(socket) => socket.send(Message::Binary(data.to_vec())).await.ok(),
        }
    }
}

async fn carry(mut a: Leg, mut b: Leg) -> Option<()> {
    loop {
        let (data, to) = tokio::select! {
            data = a.receive() => (data?, &mut b),
            data = b.receive() => (data?, &mut a),
        };
        if !data.is_empty() {
            to.send(data.into()).await?;
        }
    }
}

async fn serve(mut leg: Leg, waiting: Waiting) -> Option<()> {
    let first = tokio::time::timeout(WAIT, leg.receive()).await.ok()??;
    let uuid = bytes_of(bytes_of(&first, REQUEST_RELAY)?, UUID)?.to_vec();
    let mut table = waiting.lock().await;
    if let Some(partner) = table.remove(&uuid) {
        drop(table);
        return carry(leg, partner).await;
    }
    table.insert(uuid.clone(), leg);
    drop(table);
    tokio::time::sleep(WAIT).await;
    waiting.lock().await.remove(&uuid);
    None
}

async fn upgrade(stream: TcpStream, waiting: Waiting) -> Option<()> {
    let socket = tokio::time::timeout(WAIT, accept_async(stream)).await.ok()?.ok()?;
    serve(Leg::Messages(socket), waiting).await
}

#[tokio::main(flavor = "multi_thread")]
async fn main() {
    let arguments: Vec<String> = std::env::args().collect();
    let (port, bytewise) = match &arguments[..] {
        [_, port] => (port, true),
        [_, port, how] if how == "slices" => (port, false),
        _ => panic!("usage: tokio_ws_peer PORT [slices]"),
    };
    let port: u16 = port.parse().expect("port");
    let tcp = TcpListener::bind(("0.0.0.0", port)).await.expect("bind");
    let websocket = TcpListener::bind(("0.0.0.0", port + 2)).await.expect("bind");
    let waiting = Waiting::default();
    println!("ready");
    loop {
        tokio::select! {
            accepted = tcp.accept() => {
                let (stream, _) = accepted.expect("accept");
                stream.set_nodelay(true).ok();
                let mut codec = LengthCodec::new();
                codec.bytewise = bytewise;
                let leg = Leg::Frames(Framed::new(stream, codec));
                tokio::spawn(serve(leg, waiting.clone()));
            }
            accepted = websocket.accept() => {
                let (stream, _) = accepted.expect("accept");
                stream.set_nodelay(true).ok();
                tokio::spawn(upgrade(stream, waiting.clone()));
            }
        }
    }
}
