//! How fast a variable of a file or Zarr store is read: every chunk of it over a number of threads, as GB of cells.
//!
//! `cargo run --release --workspace --example scan -- FILE VARIABLE THREADS [--limit-loop] [--decode]`
//!
//! - Without a flag: [`tarn_formats::Reader::read`] of one chunk after another, which gives Arrow arrays.
//! - `--decode`: and then the decoding of CF.
//! - `--limit-loop`: what the machine can do at best, which is the bar. The same chunks by `pread`,
//!   libdeflate and an unshuffle of hand-written AVX2 into memory that is used again; no arrays, no
//!   checks. Only for deflate, shuffle and nothing, and on x86-64 with AVX2.
//!
//! The best of seven rounds is printed, with the time that all threads together were running. The sum
//! of all cells tells whether two ways read the same; it is made in one more round, which is not timed.
#![expect(
    clippy::unwrap_used,
    clippy::panic,
    clippy::print_stdout,
    reason = "a program that measures"
)]
#![expect(clippy::indexing_slicing, reason = "a program that measures")]

use arrow::array::AsArray;
use arrow::compute::{cast, sum};
use arrow::datatypes::{DataType, Float64Type};
use std::fs::File;
use std::os::unix::fs::FileExt;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};
use tarn_formats::cf::Decoder;
use tarn_formats::{LocalFile, LocalKeys, OpenOptions, Region, Source, Variable};

/// Cells of a piece of data without chunks.
const PIECE: u64 = 1 << 20;
const ROUNDS: usize = 7;

fn main() {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let (flags, words): (Vec<&str>, Vec<&str>) =
        arguments.iter().map(String::as_str).partition(|argument| argument.starts_with("--"));
    let [path, name, threads] = words[..] else {
        panic!("scan FILE VARIABLE THREADS [--limit-loop] [--decode]")
    };
    let threads: usize = threads.parse().unwrap();
    // No reader keeps a chunk from one round to the next: whole chunks are not kept.
    let source = if Path::new(path).is_dir() {
        Source::Store(Arc::new(LocalKeys::open(path).unwrap()))
    } else {
        Source::File(Arc::new(LocalFile::open(path).unwrap()))
    };
    let reader = source.open(&OpenOptions::default()).unwrap();
    let variable = reader.contents().variable(name).unwrap();
    let regions = regions(variable);
    let cells: u64 = regions.iter().map(|region| region.cells().unwrap()).sum();
    let bytes = cells * variable.data_type.primitive_width().unwrap() as u64;

    let decoder = Decoder::new(reader.location(), variable, None).unwrap();
    let read = |region: &Region| {
        let stored = reader.read(&variable.path, region).unwrap();
        if flags.contains(&"--decode") { decoder.decode(&stored).unwrap() } else { stored }
    };
    if flags.contains(&"--limit-loop") {
        let limit = limit::Loop::new(Path::new(path), variable);
        report("limit loop", bytes, threads, limit.chunks.len(), |scratch, at| {
            limit.one(scratch, at);
        });
        return;
    }
    let what = if flags.contains(&"--decode") { "read + decode" } else { "read" };
    report(what, bytes, threads, regions.len(), |_, at| {
        std::hint::black_box(read(&regions[at]));
    });
    let total: f64 = regions
        .iter()
        .map(|region| {
            let cells = cast(&read(region), &DataType::Float64).unwrap();
            sum(cells.as_primitive::<Float64Type>()).unwrap_or(0.0)
        })
        .sum();
    println!("sum {total:.3}");
}

/// One region for each chunk, or slabs where there are none.
fn regions(variable: &Variable) -> Vec<Region> {
    let shape = variable.shape();
    let chunk = match &variable.chunk_shape {
        Some(chunk) if chunk.iter().product::<u64>() > 4096 => chunk.clone(),
        _ => {
            let row: u64 = shape.iter().skip(1).product();
            let mut slab = shape.clone();
            slab[0] = (PIECE / row.max(1)).max(1);
            slab
        }
    };
    let mut regions = vec![vec![]];
    for (length, step) in shape.iter().zip(&chunk) {
        let step = usize::try_from(*step).unwrap();
        regions = regions
            .iter()
            .flat_map(|outer: &Vec<std::ops::Range<u64>>| {
                (0..*length).step_by(step).map(move |start| {
                    let range = start..(start + step as u64).min(*length);
                    [outer.clone(), vec![range]].concat()
                })
            })
            .collect();
    }
    regions.into_iter().map(Region::new).collect()
}

/// Memory of a thread.
#[derive(Default)]
struct Scratch {
    stored: Vec<u8>,
    planes: Vec<u8>,
    cells: Vec<u8>,
    inflate: Option<libdeflater::Decompressor>,
}

fn report(
    what: &str,
    bytes: u64,
    threads: usize,
    pieces: usize,
    one: impl Fn(&mut Scratch, usize) + Sync,
) {
    let (mut wall, mut cpu) = (f64::MAX, f64::MAX);
    for _ in 0..ROUNDS {
        let next = AtomicUsize::new(0);
        let (began, before) = (Instant::now(), processor());
        std::thread::scope(|scope| {
            for _ in 0..threads {
                scope.spawn(|| {
                    let mut scratch = Scratch::default();
                    loop {
                        let at = next.fetch_add(1, Ordering::Relaxed);
                        if at >= pieces {
                            break;
                        }
                        one(&mut scratch, at);
                    }
                });
            }
        });
        wall = wall.min(began.elapsed().as_secs_f64());
        cpu = cpu.min(processor().saturating_sub(before).as_secs_f64());
    }
    let size = bytes as f64 / 1e9;
    println!(
        "{what:14} threads {threads} pieces {pieces} GB {size:.3}: wall {wall:.4} s {:.3} GB/s, cpu {cpu:.4} s {:.3} GB/cpu-s",
        size / wall,
        size / cpu
    );
}

/// Time that all threads of the process have been running, in steps of Linux's 10 ms.
fn processor() -> Duration {
    let stat = std::fs::read_to_string("/proc/self/stat").unwrap();
    // The name of the program may hold spaces; user and system time are the 12th and 13th after it.
    let (_, fields) = stat.rsplit_once(')').unwrap();
    let ticks = fields.split_whitespace().skip(11).take(2).map(|n| n.parse::<u64>().unwrap());
    Duration::from_millis(10 * ticks.sum::<u64>())
}

/// The bar.
#[cfg(target_arch = "x86_64")]
mod limit {
    #![expect(
        unsafe_code,
        clippy::wildcard_imports,
        reason = "hand-written instructions to measure against"
    )]
    use super::*;
    use std::arch::x86_64::*;

    pub(crate) struct Loop {
        file: File,
        /// First byte and length of each chunk.
        pub(crate) chunks: Vec<(u64, usize)>,
        size: usize,
        element: usize,
        shuffle: bool,
        deflate: bool,
    }

    impl Loop {
        pub(crate) fn new(path: &Path, variable: &Variable) -> Self {
            let filters: Vec<&str> = variable.filters.iter().map(String::as_str).collect();
            assert!(filters.iter().all(|f| ["deflate", "shuffle"].contains(f)), "{filters:?}");
            let element = variable.data_type.primitive_width().unwrap();
            let chunk = variable.chunk_shape.as_ref().unwrap();
            let cells: u64 = chunk.iter().product();
            let chunks = chunks(path, &variable.path);
            Self {
                file: File::open(path).unwrap(),
                chunks,
                size: usize::try_from(cells).unwrap() * element,
                element,
                shuffle: filters.contains(&"shuffle"),
                deflate: filters.contains(&"deflate"),
            }
        }

        pub(crate) fn one(&self, scratch: &mut Scratch, at: usize) {
            let (start, length) = self.chunks[at];
            let Scratch { stored, planes, cells, inflate } = scratch;
            let inflate = inflate.get_or_insert_default();
            stored.resize(stored.len().max(length), 0);
            planes.resize(self.size, 0);
            cells.resize(self.size, 0);
            self.file.read_exact_at(&mut stored[..length], start).unwrap();
            let mut now: &[u8] = &stored[..length];
            if self.deflate {
                assert_eq!(inflate.zlib_decompress(now, planes).unwrap(), self.size);
                now = planes;
            }
            if self.shuffle {
                assert_eq!(self.element, 4, "the loop knows four bytes only");
                // SAFETY: the processors this is measured on have AVX2.
                unsafe { unshuffle(now, cells) };
            }
            std::hint::black_box(&cells);
        }
    }

    /// Where the chunks are, asked of another parser of HDF5.
    fn chunks(path: &Path, name: &str) -> Vec<(u64, usize)> {
        let script = "import h5py,sys\nd=h5py.File(sys.argv[1])[sys.argv[2]]\nd.id.chunk_iter(lambda c: print(c.byte_offset, c.size))";
        let python = std::env::var("TARN_TEST_PYTHON").unwrap_or_else(|_| {
            format!("{}/.cache/tarn/venv/bin/python", std::env::var("HOME").unwrap())
        });
        let output = std::process::Command::new(python)
            .args(["-c", script])
            .arg(path)
            .arg(name)
            .output()
            .unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        let text = String::from_utf8(output.stdout).unwrap();
        let pair = |line: &str| {
            let (start, length) = line.split_once(' ').unwrap();
            (start.parse().unwrap(), length.parse().unwrap())
        };
        text.lines().map(pair).collect()
    }

    #[target_feature(enable = "avx2")]
    fn unshuffle(planes: &[u8], cells: &mut [u8]) {
        let count = planes.len() / 4;
        let planes: Vec<&[u8]> = planes.chunks_exact(count).collect();
        let (a, b, c, d) = (planes[0], planes[1], planes[2], planes[3]);
        for (block, cells) in cells.as_chunks_mut::<128>().0.iter_mut().enumerate() {
            let load = |plane: &[u8]| {
                let part: &[u8] = &plane[block * 32..block * 32 + 32];
                // SAFETY: the slice has 32 bytes, and the load needs no alignment.
                unsafe { _mm256_loadu_si256(part.as_ptr().cast()) }
            };
            let (a, b, c, d) = (load(a), load(b), load(c), load(d));
            let (ab, ab2) = (_mm256_unpacklo_epi8(a, b), _mm256_unpackhi_epi8(a, b));
            let (cd, cd2) = (_mm256_unpacklo_epi8(c, d), _mm256_unpackhi_epi8(c, d));
            let parts = [
                (_mm256_unpacklo_epi16(ab, cd), _mm256_unpackhi_epi16(ab, cd)),
                (_mm256_unpacklo_epi16(ab2, cd2), _mm256_unpackhi_epi16(ab2, cd2)),
            ];
            for (at, (x, y)) in parts.into_iter().enumerate() {
                let (low, high) = cells.split_at_mut(64);
                // SAFETY: both halves have 64 bytes, of which 32 are written at 0 or 32.
                unsafe {
                    _mm256_storeu_si256(
                        low[at * 32..].as_mut_ptr().cast(),
                        _mm256_permute2x128_si256(x, y, 0x20),
                    );
                    _mm256_storeu_si256(
                        high[at * 32..].as_mut_ptr().cast(),
                        _mm256_permute2x128_si256(x, y, 0x31),
                    );
                }
            }
        }
        let done = count / 32 * 32;
        for (at, cell) in cells.as_chunks_mut::<4>().0.iter_mut().enumerate().skip(done) {
            *cell = [a[at], b[at], c[at], d[at]];
        }
    }
}
