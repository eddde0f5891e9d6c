//! A relay in the shape of a tokio server: Framed streams behind a box, one task and one
//! select! for both directions, a counter, a tick.  No key, no limits, no lists.
use crate::wire::{bytes_of, LengthCodec};
use futures_util::{SinkExt, StreamExt};
use std::collections::HashMap;
use std::io::Result;
use std::pin::Pin;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::{Duration, Instant};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Mutex;
use tokio_util::codec::Framed;

const REQUEST_RELAY: u64 = 18;
const UUID: u64 = 2;
const WAIT: Duration = Duration::from_secs(30);

trait Stream: AsyncRead + AsyncWrite + Unpin {}
impl<T: AsyncRead + AsyncWrite + Unpin> Stream for T {}

struct Boxed(Box<dyn Stream + Send + Sync>);

impl AsyncRead for Boxed {
    fn poll_read(mut self: Pin<&mut Self>, context: &mut Context<'_>, buffer: &mut ReadBuf<'_>) -> Poll<Result<()>> {
        Pin::new(&mut self.0).poll_read(context, buffer)
    }
}

impl AsyncWrite for Boxed {
    fn poll_write(mut self: Pin<&mut Self>, context: &mut Context<'_>, data: &[u8]) -> Poll<Result<usize>> {
        Pin::new(&mut self.0).poll_write(context, data)
    }
    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Result<()>> {
        Pin::new(&mut self.0).poll_flush(context)
    }
    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Result<()>> {
        Pin::new(&mut self.0).poll_shutdown(context)
    }
}

type Leg = Framed<Boxed, LengthCodec>;
type Waiting = Arc<Mutex<HashMap<Vec<u8>, Leg>>>;

static TOTAL_BYTES: AtomicUsize = AtomicUsize::new(0);

async fn carry(mut a: Leg, mut b: Leg) -> Result<()> {
    a.codec_mut().raw = true;
    b.codec_mut().raw = true;
    let mut tick = tokio::time::interval(Duration::from_secs(3));
    let mut heard = Instant::now();
    loop {
        tokio::select! {
            received = b.next() => match received {
                Some(Ok(data)) => {
                    heard = Instant::now();
                    TOTAL_BYTES.fetch_add(data.len(), Ordering::SeqCst);
                    a.send(data.into()).await?;
                }
                _ => return Ok(()),
            },
            received = a.next() => match received {
                Some(Ok(data)) => {
                    heard = Instant::now();
                    TOTAL_BYTES.fetch_add(data.len(), Ordering::SeqCst);
                    b.send(data.into()).await?;
                }
                _ => return Ok(()),
            },
            _ = tick.tick() => if heard.elapsed() > WAIT { return Ok(()); },
        }
    }
}

async fn serve(stream: TcpStream, waiting: Waiting) {
    let mut leg = Framed::new(Boxed(Box::new(stream)), LengthCodec::new());
    let Ok(Some(Ok(first))) = tokio::time::timeout(WAIT, leg.next()).await else { return };
    let Some(uuid) = bytes_of(&first, REQUEST_RELAY).and_then(|request| bytes_of(request, UUID)) else { return };
    let uuid = uuid.to_vec();
    let mut table = waiting.lock().await;
    if let Some(partner) = table.remove(&uuid) {
        drop(table);
        carry(leg, partner).await.ok();
        return;
    }
    table.insert(uuid.clone(), leg);
    drop(table);
    tokio::time::sleep(WAIT).await;
    waiting.lock().await.remove(&uuid);
}

pub async fn run(listener: TcpListener) {
    let waiting = Waiting::default();
    loop {
        let (stream, _) = listener.accept().await.expect("accept");
        stream.set_nodelay(true).ok();
        tokio::spawn(serve(stream, waiting.clone()));
    }
}
