//! Peers to compare with, on real tokio: the shape of a tokio copying relay and ID server.
//! Own code; the original server is neither used nor read.
//!
//!   tokio_peer relay|udp|tcp PORT
//!
//! Prints "ready".
mod id;
mod relay;
mod wire;

use tokio::net::{TcpListener, UdpSocket};

#[tokio::main(flavor = "multi_thread")]
async fn main() {
    let arguments: Vec<String> = std::env::args().collect();
    let [_, mode, port] = &arguments[..] else { panic!("usage: tokio_peer relay|udp|tcp PORT") };
    let address = format!("0.0.0.0:{port}");
    if mode == "udp" {
        let socket = UdpSocket::bind(address).await.expect("bind");
        println!("ready");
        return id::run_udp(socket).await;
    }
    let listener = TcpListener::bind(address).await.expect("bind");
    println!("ready");
    match mode.as_str() {
        "relay" => relay::run(listener).await,
        "tcp" => id::run_tcp(listener).await,
        _ => panic!("unknown mode {mode}"),
    }
}
