//! Codecs from bytes to bytes, and the filters of version 2: undone in reverse of the order in which
//! they were applied when writing.
//!
//! Formats: the codecs of the Zarr v3 specification (`gzip`, `blosc`, `zstd`, `crc32c`), and
//! numcodecs, whose names version 2 uses and version 3 knows with the prefix `numcodecs.`.

use super::arithmetic::{self, Numbers};
use super::crc32c;
use super::json::Json;
use crate::filters::shuffle::Planes;
use crate::filters::tools::{self, Codecs, Tools, room};
use crate::filters::{blosc, damaged, fletcher32, lz4};

/// One step of writing.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Codec {
    Zlib,
    Gzip,
    Zstd,
    Blosc,
    Lz4,
    Bz2,
    /// Of elements of so many bytes.
    Shuffle(usize),
    Fletcher32,
    Crc32c,
    /// Differences, stored as the second type, of numbers of the first.
    Delta(Numbers, Numbers),
    /// Numbers of the first type, less an offset and times a scale, rounded to the second type.
    ScaleOffset {
        decoded: Numbers,
        stored: Numbers,
        scale: f64,
        offset: f64,
    },
}

impl Codec {
    /// The codec of a name; `None` for one that changes nothing when reading.
    ///
    /// # Errors
    /// What is not supported.
    pub(crate) fn new(name: &str, configuration: Option<&Json>) -> Result<Option<Self>, String> {
        let name = name.strip_prefix("numcodecs.").unwrap_or(name);
        let unsupported = || format!("the codec {name}");
        let get = |key: &str| configuration?.get(key);
        let numbers = |key: &str| match get(key) {
            Some(dtype) => Numbers::new(dtype).map(Some),
            None => Ok(None),
        };
        let both = || {
            let decoded = numbers("dtype")?.ok_or_else(unsupported)?;
            let stored = numbers("astype")?.unwrap_or_else(|| decoded.clone());
            Ok::<_, String>((decoded, stored))
        };
        Ok(Some(match name {
            "zlib" => Self::Zlib,
            "gzip" => Self::Gzip,
            "zstd" => Self::Zstd,
            "blosc" => Self::Blosc,
            "lz4" => Self::Lz4,
            "bz2" => Self::Bz2,
            "fletcher32" => Self::Fletcher32,
            "crc32c" => match get("location").map(Json::text) {
                None | Some(Some("end")) => Self::Crc32c,
                _ => return Err(format!("{} at the start", unsupported())),
            },
            "shuffle" => {
                let width = get("elementsize").and_then(Json::integer).unwrap_or(4);
                Self::Shuffle(usize::try_from(width).map_err(|_| unsupported())?)
            }
            "delta" => {
                let (decoded, stored) = both()?;
                Self::Delta(decoded, stored)
            }
            "fixedscaleoffset" => {
                let (decoded, stored) = both()?;
                let number = |key| get(key).and_then(super::element::as_float);
                let (scale, offset) =
                    number("scale").zip(number("offset")).ok_or_else(unsupported)?;
                Self::ScaleOffset { decoded, stored, scale, offset }
            }
            // Values lose precision when they are written; nothing is to be undone.
            "bitround" => return Ok(None),
            "quantize" => {
                let (decoded, stored) = both()?;
                if decoded != stored {
                    return Err(format!("{} with another type", unsupported()));
                }
                return Ok(None);
            }
            _ => return Err(unsupported()),
        }))
    }

    /// Bytes that one byte can become, at most.
    fn most(&self) -> usize {
        match self {
            Self::Zlib | Self::Gzip => 1032,
            Self::Lz4 => 264,
            // A block of zstd of four bytes can be 128 KiB of one value; the others stay below.
            Self::Zstd | Self::Blosc | Self::Bz2 => 1 << 15,
            Self::Shuffle(_) | Self::Fletcher32 | Self::Crc32c => 1,
            Self::Delta(..) | Self::ScaleOffset { .. } => 8,
        }
    }

    /// Bytes it writes for so many; `None` where that depends on them.
    fn written(&self, bytes: usize) -> Option<usize> {
        match self {
            Self::Shuffle(_) => Some(bytes),
            Self::Fletcher32 | Self::Crc32c => bytes.checked_add(4),
            Self::Delta(decoded, stored) | Self::ScaleOffset { decoded, stored, .. } => {
                (bytes / decoded.size()).checked_mul(stored.size())
            }
            _ => None,
        }
    }

    /// Bytes that `input` becomes, where it says so itself.
    fn declared(&self, input: &[u8]) -> Option<usize> {
        let number = |bytes: &[u8]| {
            let bytes = bytes.try_into().ok().map(u32::from_le_bytes)?;
            usize::try_from(bytes).ok()
        };
        match self {
            Self::Lz4 => number(input.get(..4)?),
            Self::Blosc => number(input.get(4..8)?),
            Self::Gzip => number(input.get(input.len().checked_sub(4)?..)?),
            Self::Zstd => {
                let size = zstd::zstd_safe::get_frame_content_size(input).ok().flatten()?;
                usize::try_from(size).ok()
            }
            Self::Zlib | Self::Bz2 => None,
            Self::Shuffle(_) => Some(input.len()),
            Self::Fletcher32 | Self::Crc32c => input.len().checked_sub(4),
            Self::Delta(decoded, stored) | Self::ScaleOffset { decoded, stored, .. } => {
                (input.len() / stored.size()).checked_mul(decoded.size())
            }
        }
    }

    /// Undoes it into the front of `output`; gives the number of bytes.
    fn undo(
        &self,
        input: &[u8],
        output: &mut [u8],
        codecs: &mut Codecs,
        block: &mut Vec<u8>,
    ) -> Result<usize, String> {
        let plain = |bytes: &[u8], output: &mut [u8]| {
            let target = output.get_mut(..bytes.len())?;
            target.copy_from_slice(bytes);
            Some(bytes.len())
        };
        let words = |error: &dyn std::fmt::Display| error.to_string();
        match self {
            Self::Zlib => codecs.inflate.zlib_decompress(input, output).map_err(|e| words(&e)),
            Self::Gzip => codecs.inflate.gzip_decompress(input, output).map_err(|e| words(&e)),
            Self::Zstd => codecs.zstd.decompress_to_buffer(input, output).map_err(|e| words(&e)),
            Self::Blosc => blosc::undo(input, output, block, codecs).ok_or_else(damaged),
            Self::Lz4 => {
                let size = self.declared(input).ok_or_else(damaged)?;
                let target = output.get_mut(..size).ok_or_else(damaged)?;
                let stored = input.get(4..).unwrap_or_default();
                lz4::block_into(stored, target).map(|()| size).ok_or_else(damaged)
            }
            Self::Bz2 => Codecs::bunzip2(input, output).ok_or_else(damaged),
            Self::Shuffle(width) => match Planes::new(input, *width) {
                Some(planes) => {
                    let target = output.get_mut(..input.len()).ok_or_else(damaged)?;
                    planes.undo(target).map(|()| input.len()).ok_or_else(damaged)
                }
                None => plain(input, output).ok_or_else(damaged),
            },
            Self::Fletcher32 => plain(fletcher32::check(input)?, output).ok_or_else(damaged),
            Self::Crc32c => plain(crc32c::check(input)?, output).ok_or_else(damaged),
            Self::Delta(decoded, stored) => {
                arithmetic::sum(input, stored, output, decoded).ok_or_else(damaged)
            }
            Self::ScaleOffset { decoded, stored, scale, offset } => {
                arithmetic::unscale(input, stored, output, decoded, *scale, *offset)
                    .ok_or_else(damaged)
            }
        }
    }

    fn name(&self) -> &'static str {
        match self {
            Self::Zlib => "zlib",
            Self::Gzip => "gzip",
            Self::Zstd => "zstd",
            Self::Blosc => "blosc",
            Self::Lz4 => "lz4",
            Self::Bz2 => "bz2",
            Self::Shuffle(_) => "shuffle",
            Self::Fletcher32 => "fletcher32",
            Self::Crc32c => "crc32c",
            Self::Delta(..) => "delta",
            Self::ScaleOffset { .. } => "fixedscaleoffset",
        }
    }
}

/// The steps in the order they were applied when writing.
#[derive(Debug, Clone, Default, PartialEq)]
pub(crate) struct Chain(pub(crate) Vec<Codec>);

impl Chain {
    /// Names, in the same order.
    pub(crate) fn names(&self) -> impl Iterator<Item = &'static str> {
        self.0.iter().map(Codec::name)
    }

    /// Most bytes that `size` bytes are stored in: codecs add little where they gain nothing.
    pub(crate) fn most_stored(&self, size: usize) -> usize {
        // Differences may be stored wider.
        if self.0.is_empty() { size } else { size.saturating_mul(8).saturating_add(1 << 20) }
    }

    /// Fails if `stored` bytes cannot become `size`, which is found out before there is memory for
    /// them.
    ///
    /// # Errors
    /// What is wrong, in words.
    pub(crate) fn plausible(&self, stored: usize, size: usize) -> Result<(), String> {
        let most = self.0.iter().fold(stored, |most, codec| most.saturating_mul(codec.most()));
        if size > most { Err(format!("{stored} bytes cannot become {size}")) } else { Ok(()) }
    }

    /// Undoes all steps into `target`, which they must fill.
    ///
    /// # Errors
    /// What is wrong, in words.
    pub(crate) fn undo_into(&self, stored: &[u8], target: &mut [u8]) -> Result<(), String> {
        self.plausible(stored.len(), target.len())?;
        let length = tools::with(|tools| {
            let Some((first, later)) = self.0.split_first() else {
                let same = stored.len() == target.len();
                return Ok(if same {
                    target.copy_from_slice(stored);
                    target.len()
                } else {
                    stored.len()
                });
            };
            // What each step was given when writing, where that is known.
            let mut sizes = vec![Some(target.len())];
            for codec in &self.0 {
                sizes.push(sizes.last().copied().flatten().and_then(|bytes| codec.written(bytes)));
            }
            let limit = target.len().saturating_mul(8).saturating_add(4096);
            let length = Self::later(later, &sizes, limit, stored, tools)?;
            let Tools { codecs, front, block, .. } = tools;
            let input = match length {
                Some(length) => front.get(..length).unwrap_or_default(),
                None => stored,
            };
            first.undo(input, target, codecs, block).map_err(|problem| undoing(first, &problem))
        })?;
        if length == target.len() {
            return Ok(());
        }
        Err(format!("the chunk has {length} bytes in place of {}", target.len()))
    }

    /// Undoes all steps into memory of their own: no more than `limit` bytes.
    ///
    /// # Errors
    /// What is wrong, in words.
    pub(crate) fn undo(&self, stored: &[u8], limit: usize) -> Result<Vec<u8>, String> {
        if self.0.is_empty() {
            return Ok(stored.to_vec());
        }
        tools::with(|tools| {
            let length = Self::later(&self.0, &[], limit, stored, tools)?;
            Ok(tools.front.get(..length.unwrap_or(0)).unwrap_or_default().to_vec())
        })
    }

    /// Undoes `codecs`, whose results go to the tools' first memory; gives their length, or `None`
    /// where there is nothing to undo. `sizes` are those of what each was given, from one before.
    fn later(
        codecs: &[Codec],
        sizes: &[Option<usize>],
        limit: usize,
        stored: &[u8],
        tools: &mut Tools,
    ) -> Result<Option<usize>, String> {
        let mut now = None;
        for (place, codec) in codecs.iter().enumerate().rev() {
            let Tools { codecs, front, back, block } = &mut *tools;
            let input = match now {
                Some(length) => front.get(..length).unwrap_or_default(),
                None => stored,
            };
            let known = sizes.get(place + 1).copied().flatten();
            let length = grown(codec, input, known, limit, |input, size| {
                codec.undo(input, room(back, size), codecs, block)
            });
            now = Some(length.map_err(|problem| undoing(codec, &problem))?);
            std::mem::swap(front, back);
        }
        Ok(now)
    }
}

/// Runs `undo` with room for as many bytes as come out, if need be by trying.
fn grown(
    codec: &Codec,
    input: &[u8],
    known: Option<usize>,
    limit: usize,
    mut undo: impl FnMut(&[u8], usize) -> Result<usize, String>,
) -> Result<usize, String> {
    let most = input.len().saturating_mul(codec.most());
    if let Some(size) = known.or_else(|| codec.declared(input)) {
        if size > limit.min(most) {
            return Err(format!("{} bytes cannot become {size} here", input.len()));
        }
        // What does not keep to what it says fails below.
        if let Ok(length) = undo(input, size) {
            return Ok(length);
        }
    }
    let mut size = input.len().saturating_mul(4).max(4096);
    loop {
        let last = size >= limit.min(most);
        match undo(input, size.min(limit)) {
            Ok(length) => return Ok(length),
            Err(problem) if last => return Err(problem),
            Err(_) => size = size.saturating_mul(4),
        }
    }
}

fn undoing(codec: &Codec, problem: &str) -> String {
    format!("undoing {}: {problem}", codec.name())
}
