//! An ID server in the shape of a tokio server: UdpFramed in one loop, devices behind two
//! async locks; a task for each TCP connection.  Parsed by hand, and no rules: kinder than
//! the real thing.
use crate::wire::{bytes_of, field, put_varint, LengthCodec};
use bytes::Bytes;
use futures_util::{SinkExt, StreamExt};
use std::collections::HashMap;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio::net::{TcpListener, TcpStream, UdpSocket};
use tokio::sync::RwLock;
use tokio_util::codec::{BytesCodec, Framed};
use tokio_util::udp::UdpFramed;

const REGISTER_PEER: u64 = 6;
const REGISTER_PK: u64 = 15;
const TEST_NAT_REQUEST: u64 = 20;
const ONLINE_REQUEST: u64 = 23;
const PUNCH_HOLE_REQUEST: u64 = 8;
const ID_NOT_EXIST: &[u8] = b"\x5a\x00";
const FRAME_WAIT: Duration = Duration::from_secs(30);

#[allow(dead_code)] // what a server would read later
struct Device {
    address: SocketAddr,
    heard: Instant,
}

type Devices = RwLock<HashMap<String, Arc<RwLock<Device>>>>;

async fn answer(devices: &Devices, datagram: &[u8], address: SocketAddr) -> Option<Bytes> {
    let (kind, body) = field(&mut &datagram[..])?;
    let id = std::str::from_utf8(bytes_of(body, 1)?).ok()?.to_owned();
    let known = devices.read().await.get(&id).cloned();
    match (kind, known) {
        (REGISTER_PEER, Some(device)) => {
            let mut device = device.write().await;
            device.address = address;
            device.heard = Instant::now();
            Some(Bytes::from_static(&[0x3a, 0x00]))
        }
        (REGISTER_PEER, None) => Some(Bytes::from_static(&[0x3a, 0x02, 0x10, 0x01])),
        (REGISTER_PK, _) => {
            let device = Device { address, heard: Instant::now() };
            devices.write().await.insert(id, Arc::new(RwLock::new(device)));
            Some(Bytes::from_static(&[0x82, 0x01, 0x00]))
        }
        _ => None,
    }
}

pub async fn run_udp(socket: UdpSocket) {
    let mut framed = UdpFramed::new(socket, BytesCodec::new());
    let devices: Arc<Devices> = Default::default();
    let mut tick = tokio::time::interval(Duration::from_secs(3));
    loop {
        tokio::select! {
            _ = tick.tick() => {}
            received = framed.next() => if let Some(Ok((datagram, address))) = received {
                if let Some(reply) = answer(&devices, &datagram, address).await {
                    framed.send((reply, address)).await.ok();
                }
            }
        }
    }
}

fn nat_answer(port: u16) -> Bytes {
    let mut number = vec![0x08];
    put_varint(&mut number, port as u64);
    let mut message = vec![0xaa, 0x01, number.len() as u8];
    message.extend(number);
    message.into()
}

/// Nobody is online.
fn online_answer(mut request: &[u8]) -> Bytes {
    let mut ids = 0;
    while let Some((number, _)) = field(&mut request) {
        ids += (number == 2) as usize;
    }
    let size = ids.div_ceil(8).min(50);
    let mut message = vec![0xc2, 0x01, size as u8 + 2, 0x0a, size as u8];
    message.resize(5 + size, 0);
    message.into()
}

async fn serve(stream: TcpStream, address: SocketAddr) {
    let mut framed = Framed::new(stream, LengthCodec::new());
    let Ok(Some(Ok(frame))) = tokio::time::timeout(FRAME_WAIT, framed.next()).await else { return };
    let reply = if let Some(request) = bytes_of(&frame, ONLINE_REQUEST) {
        online_answer(request)
    } else if bytes_of(&frame, TEST_NAT_REQUEST).is_some() {
        nat_answer(address.port())
    } else if bytes_of(&frame, PUNCH_HOLE_REQUEST).is_some() {
        Bytes::from_static(ID_NOT_EXIST)
    } else {
        return;
    };
    framed.send(reply).await.ok();
}

pub async fn run_tcp(listener: TcpListener) {
    loop {
        let (stream, address) = listener.accept().await.expect("accept");
        stream.set_nodelay(true).ok();
        tokio::spawn(serve(stream, address));
    }
}
