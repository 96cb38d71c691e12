//! A door in front of a lab through which everything takes longer, as over a wide network.

use std::net::SocketAddr;
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::mpsc;
use tokio::time::Instant;

/// Bytes that are read at once, and pieces that are on their way: more wait at the sender, as in a network.
const PIECE: usize = 64 << 10;
const ON_THE_WAY: usize = 64;

/// Passes connections on to an address; every byte arrives `latency` after it was sent. Runs until it is dropped.
pub(super) async fn pass_on(listener: TcpListener, to: SocketAddr, latency: Duration) {
    loop {
        let Ok((from, _)) = listener.accept().await else {
            // Too many open files end some day.
            tokio::time::sleep(Duration::from_millis(50)).await;
            continue;
        };
        tokio::spawn(async move {
            // A lab that is down refuses: the connection ends, as it would without the door.
            let Ok(to) = TcpStream::connect(to).await else { return };
            let _ = (from.set_nodelay(true), to.set_nodelay(true));
            let ((from_read, from_write), (to_read, to_write)) =
                (from.into_split(), to.into_split());
            tokio::join!(
                slowly(from_read, to_write, latency),
                slowly(to_read, from_write, latency)
            );
        });
    }
}

async fn slowly(
    mut from: impl AsyncReadExt + Unpin,
    mut to: impl AsyncWriteExt + Unpin,
    latency: Duration,
) {
    let (sent, mut arriving) = mpsc::channel::<(Instant, Vec<u8>)>(ON_THE_WAY);
    let reads = async move {
        let mut piece = vec![0; PIECE];
        while let Ok(length @ 1..) = from.read(&mut piece).await {
            let bytes = piece.get(..length).unwrap_or_default().to_vec();
            if sent.send((Instant::now() + latency, bytes)).await.is_err() {
                break;
            }
        }
    };
    let writes = async move {
        while let Some((due, bytes)) = arriving.recv().await {
            tokio::time::sleep_until(due).await;
            if to.write_all(&bytes).await.is_err() {
                break;
            }
        }
        // The other side hears the end; if it is gone already, it needs not.
        let _ = to.shutdown().await;
    };
    tokio::join!(reads, writes);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn what_passes_arrives_whole_and_late() {
        let echo = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let to = echo.local_addr().unwrap();
        tokio::spawn(async move {
            let (stream, _) = echo.accept().await.unwrap();
            let (mut read, mut write) = stream.into_split();
            tokio::io::copy(&mut read, &mut write).await.unwrap();
        });
        let door = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = door.local_addr().unwrap();
        let passing = tokio::spawn(pass_on(door, to, Duration::from_millis(40)));
        let mut stream = TcpStream::connect(address).await.unwrap();
        let started = Instant::now();
        let text: Vec<u8> = (0..200_000_u32).flat_map(u32::to_be_bytes).collect();
        let (mut read, mut write) = stream.split();
        let all = text.clone();
        let ((), back) = tokio::join!(
            async {
                write.write_all(&all).await.unwrap();
                write.shutdown().await.unwrap();
            },
            async {
                let mut back = Vec::new();
                read.read_to_end(&mut back).await.unwrap();
                back
            }
        );
        assert_eq!(back, text);
        assert!(started.elapsed() >= Duration::from_millis(80), "{:?}", started.elapsed());
        passing.abort();
    }
}
