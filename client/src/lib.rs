//! Training streams of a Tarn node, read in Rust.
//!
//! A [`Lake`] is a node's Flight address; [`Lake::stream`] asks it for a stream, and a [`BatchStream`] gives the
//! batches with their [`Cursor`](tarn_schemas::cursor::Cursor)s. After a cut, or a restart of the node, it goes on
//! behind the last whole batch: nothing is lost and nothing comes twice.
//!
//! The rows of a batch lie where they were put as they came from the socket: in memory that is used again once the
//! batch is dropped.
//!
//! ```no_run
//! # async fn read() -> Result<(), tarn_client::ClientError> {
//! use tarn_client::{Address, Lake, Request};
//!
//! let lake = Lake::new(Address::parse("grpc://127.0.0.1:8815")?, None)?;
//! let request = Request::new("lab.name.table")?.with("seed", 7)?.with("batch_size", 64)?;
//! let mut stream = lake.stream(request).await?;
//! while let Some((batch, cursor)) = stream.next().await? {
//!     println!("{} rows, go on at {}", batch.num_rows(), cursor.next_position);
//! }
//! # Ok(())
//! # }
//! ```

mod address;
mod error;
mod lake;
mod message;
mod pool;
mod request;
mod stream;
mod transport;

pub use address::Address;
pub use error::ClientError;
pub use lake::Lake;
pub use request::Request;
pub use stream::BatchStream;
