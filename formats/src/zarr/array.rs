//! What the metadata of one array say: shape, type, chunks, codecs.
//!
//! Specification: "Zarr storage specification version 2", Arrays; "Zarr core specification version 3",
//! Array metadata, and the specifications of its codecs.

use super::codecs::{Chain, Codec};
use super::element::Element;
use super::json::Json;
use crate::elements::ByteOrder;

/// Most dimensions.
const MOST_DIMENSIONS: usize = 32;

/// An array of a store.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Array {
    /// Key of its metadata without the last part; empty for the root.
    pub(crate) key: String,
    pub(crate) shape: Vec<u64>,
    /// Names of the dimensions, where all have one or none.
    pub(crate) dimensions: Vec<Option<String>>,
    pub(crate) element: Element,
    /// What is where nothing was written: an element as it is stored, or the text or bytes.
    pub(crate) fill: Vec<u8>,
    /// Whether the fill value is named, and stands for a missing value too.
    pub(crate) fill_is_missing: bool,
    /// Shape of what is decoded at once: a chunk, or an inner chunk of a shard.
    pub(crate) chunk: Vec<u64>,
    pub(crate) keys: ChunkKeys,
    /// Axis `k` of a stored chunk is axis `order[k]` of the array; `None` if they are the same.
    pub(crate) order: Option<Vec<usize>>,
    pub(crate) chain: Chain,
    pub(crate) shard: Option<Shard>,
    pub(crate) attributes: Vec<(String, Json)>,
}

/// Chunks of which many share a key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Shard {
    /// Chunks along each dimension.
    pub(crate) chunks: Vec<u64>,
    /// Whether the index stands behind the chunks; otherwise it stands before them.
    pub(crate) index_at_end: bool,
    pub(crate) index_order: ByteOrder,
    pub(crate) index_checksum: bool,
}

/// How the keys of chunks are made.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct ChunkKeys {
    separator: &'static str,
    /// `c/0/0`, as version 3 has it; otherwise `0.0`.
    prefixed: bool,
}

impl ChunkKeys {
    /// The key of a chunk below that of its array.
    pub(crate) fn key(&self, array: &str, place: &[u64]) -> String {
        let mut parts: Vec<String> = place.iter().map(ToString::to_string).collect();
        if self.prefixed {
            parts.insert(0, "c".to_owned());
        } else if parts.is_empty() {
            parts.push("0".to_owned());
        }
        let key = parts.join(self.separator);
        if array.is_empty() { key } else { format!("{array}/{key}") }
    }
}

impl Array {
    /// An array of version 2, by `.zarray` and `.zattrs`.
    ///
    /// # Errors
    /// What is wrong or not supported.
    pub(crate) fn of_version_2(
        key: &str,
        zarray: &Json,
        zattrs: Option<&Json>,
    ) -> Result<Self, String> {
        let (shape, chunk) = shapes(zarray.get("shape"), zarray.get("chunks"))?;
        let of = |name: &str| zarray.get(name);
        let filters = of("filters").and_then(Json::list).unwrap_or_default();
        let ids: Vec<&str> =
            filters.iter().map(|f| f.get("id").and_then(Json::text).unwrap_or_default()).collect();
        let dtype = of("dtype").ok_or("no dtype in its metadata")?;
        let element = Element::of_version_2(dtype, &ids)?;
        // The first filter turns texts into bytes.
        let filters = filters.iter().skip(usize::from(element.is_variable()));
        let mut chain = Chain::default();
        for codec in filters.chain(of("compressor")) {
            let id = codec.get("id").and_then(Json::text).ok_or("a codec without id")?;
            chain.0.extend(Codec::new(id, Some(codec))?);
        }
        let order = match of("order").and_then(Json::text) {
            Some("C") => None,
            Some("F") => Some((0..shape.len()).rev().collect()),
            _ => return Err("an order that is neither C nor F".to_owned()),
        };
        let separator = match of("dimension_separator").map(Json::text) {
            None | Some(Some(".")) => ".",
            Some(Some("/")) => "/",
            Some(_) => return Err("a dimension_separator that is neither . nor /".to_owned()),
        };
        let attributes = zattrs.and_then(Json::members).unwrap_or_default().to_vec();
        let fill = of("fill_value");
        Ok(Self {
            key: key.to_owned(),
            dimensions: named(&attributes, zarray, shape.len()),
            fill: element.fill(fill)?,
            fill_is_missing: fill.is_some(),
            order: order.filter(|_| shape.len() > 1),
            shape,
            element,
            chunk,
            keys: ChunkKeys { separator, prefixed: false },
            chain,
            shard: None,
            attributes,
        })
    }

    /// An array of version 3, by `zarr.json`.
    ///
    /// # Errors
    /// What is wrong or not supported.
    pub(crate) fn of_version_3(key: &str, metadata: &Json) -> Result<Self, String> {
        let of = |name: &str| metadata.get(name);
        let grid = of("chunk_grid").ok_or("no chunk_grid in its metadata")?;
        let (name, configuration) = extension(grid)?;
        if name != "regular" {
            return Err(format!("the chunk grid {name}"));
        }
        let chunks = configuration.and_then(|configuration| configuration.get("chunk_shape"));
        let (shape, outer) = shapes(of("shape"), chunks)?;
        let transformers = of("storage_transformers").and_then(Json::list).unwrap_or_default();
        if let Some(transformer) = transformers.first() {
            return Err(format!("the storage transformer {}", extension(transformer)?.0));
        }
        let keys = of("chunk_key_encoding").ok_or("no chunk_key_encoding in its metadata")?;
        let (name, configuration) = extension(keys)?;
        let separator = configuration.and_then(|c| c.get("separator")).and_then(Json::text);
        let keys = match (name, separator) {
            ("default", None | Some("/")) => ChunkKeys { separator: "/", prefixed: true },
            ("default", Some(".")) => ChunkKeys { separator: ".", prefixed: true },
            ("v2", None | Some(".")) => ChunkKeys { separator: ".", prefixed: false },
            ("v2", Some("/")) => ChunkKeys { separator: "/", prefixed: false },
            _ => return Err(format!("the chunk key encoding {keys}")),
        };
        let data_type = of("data_type").ok_or("no data_type in its metadata")?;
        let mut element = Element::of_version_3(data_type)?;
        let codecs = of("codecs").and_then(Json::list).ok_or("no codecs in its metadata")?;
        let mut stages = Stages::new(codecs, &mut element, shape.len())?;
        let mut shard = None;
        let mut chunk = outer;
        if let Some(configuration) = stages.shard.take() {
            if stages.order.is_some() || !stages.chain.0.is_empty() {
                return Err("codecs around shards".to_owned());
            }
            let (inner, layout) = Shard::new(configuration, &chunk)?;
            let codecs = configuration.get("codecs").and_then(Json::list);
            let codecs = codecs.ok_or("shards without codecs")?;
            stages = Stages::new(codecs, &mut element, shape.len())?;
            if stages.shard.is_some() {
                return Err("shards inside shards".to_owned());
            }
            (chunk, shard) = (inner, Some(layout));
        }
        let attributes = of("attributes").and_then(Json::members).unwrap_or_default().to_vec();
        let names = of("dimension_names").and_then(Json::list).unwrap_or_default();
        let mut dimensions: Vec<_> = names.iter().map(|n| n.text().map(str::to_owned)).collect();
        if dimensions.len() != shape.len() {
            dimensions = named(&attributes, metadata, shape.len());
        }
        Ok(Self {
            key: key.to_owned(),
            fill: element.fill(of("fill_value"))?,
            fill_is_missing: false,
            shape,
            dimensions,
            element,
            chunk,
            keys,
            order: stages.order,
            chain: stages.chain,
            shard,
            attributes,
        })
    }

    /// Bytes of a decoded chunk of elements of fixed length; `None` on overflow.
    pub(crate) fn chunk_bytes(&self) -> Option<u64> {
        let element = u64::try_from(self.element.size).ok()?;
        self.chunk.iter().try_fold(element, |bytes, n| bytes.checked_mul(*n))
    }
}

/// Shape and chunk shape, which have as many dimensions. Chunks of nothing are none.
fn shapes(shape: Option<&Json>, chunk: Option<&Json>) -> Result<(Vec<u64>, Vec<u64>), String> {
    let shape = shape.and_then(Json::counts).ok_or("no shape in its metadata")?;
    let chunk = chunk.and_then(Json::counts).ok_or("no chunk shape in its metadata")?;
    if shape.len() != chunk.len() {
        return Err(format!("chunks of shape {chunk:?} of an array of shape {shape:?}"));
    }
    if shape.len() > MOST_DIMENSIONS {
        return Err(format!("{} dimensions", shape.len()));
    }
    let sizes = shape.iter().zip(&chunk);
    if sizes.clone().any(|(length, chunk)| *chunk == 0 && *length > 0) {
        return Err(format!("chunks of shape {chunk:?}"));
    }
    let chunk = sizes.map(|(_, chunk)| (*chunk).max(1)).collect();
    Ok((shape, chunk))
}

/// Names of dimensions: xarray's attribute, or what NCZarr adds to the metadata.
fn named(attributes: &[(String, Json)], metadata: &Json, rank: usize) -> Vec<Option<String>> {
    let attribute = |name: &str| attributes.iter().find(|(own, _)| own == name).map(|(_, v)| v);
    let texts = |names: &Json| -> Option<Vec<String>> {
        names.list()?.iter().map(|name| name.text().map(str::to_owned)).collect()
    };
    let plain = || texts(attribute("_ARRAY_DIMENSIONS")?);
    let qualified = || {
        let nczarr = attribute("_nczarr_array").or_else(|| metadata.get("_NCZARR_ARRAY"))?;
        let paths = texts(nczarr.get("dimrefs").or_else(|| nczarr.get("dimension_references"))?)?;
        Some(paths.iter().map(|p| p.rsplit('/').next().unwrap_or(p).to_owned()).collect())
    };
    let names: Option<Vec<String>> = plain().or_else(qualified);
    match names.filter(|names| names.len() == rank) {
        Some(names) => names.into_iter().map(Some).collect(),
        None => vec![None; rank],
    }
}

/// Name and configuration of an extension point of version 3: a name, or an object.
fn extension(value: &Json) -> Result<(&str, Option<&Json>), String> {
    let name = value.text().or_else(|| value.get("name")?.text());
    let name = name.ok_or_else(|| format!("{value}, which has no name"))?;
    Ok((name, value.get("configuration")))
}

/// The codecs of version 3, sorted by what they do.
struct Stages<'a> {
    order: Option<Vec<usize>>,
    shard: Option<&'a Json>,
    chain: Chain,
}

impl<'a> Stages<'a> {
    /// Sets the order of bytes of `element`.
    fn new(codecs: &'a [Json], element: &mut Element, rank: usize) -> Result<Self, String> {
        let mut order: Vec<usize> = (0..rank).collect();
        let (mut shard, mut chain, mut in_bytes) = (None, Chain::default(), false);
        for codec in codecs {
            let (name, configuration) = extension(codec)?;
            let name = name.strip_prefix("numcodecs.").unwrap_or(name);
            if in_bytes {
                chain.0.extend(Codec::new(name, configuration)?);
                continue;
            }
            match (name, element.is_variable()) {
                ("transpose", _) => {
                    let next = configuration.and_then(|c| c.get("order"));
                    order = transposed(&order, next).ok_or_else(|| format!("the codec {codec}"))?;
                }
                ("bytes", false) => {
                    let endian = configuration.and_then(|c| c.get("endian")).and_then(Json::text);
                    element.order = match endian {
                        Some("big") => ByteOrder::Big,
                        _ => ByteOrder::Little,
                    };
                    in_bytes = true;
                }
                ("vlen-utf8" | "vlen-bytes", true) => in_bytes = true,
                ("sharding_indexed", _) => {
                    shard = Some(configuration.ok_or("shards without configuration")?);
                    in_bytes = true;
                }
                // numcodecs' filters work on numbers in this machine's order before they are bytes.
                ("delta" | "fixedscaleoffset" | "bitround" | "quantize", false) => {
                    chain.0.extend(Codec::new(name, configuration)?);
                }
                _ => return Err(format!("the codec {name}")),
            }
        }
        if !in_bytes {
            return Err("codecs that make no bytes".to_owned());
        }
        let plain = order.iter().enumerate().all(|(axis, from)| axis == *from);
        Ok(Self { order: (!plain).then_some(order), shard, chain })
    }
}

/// The order after one more transposition.
fn transposed(order: &[usize], next: Option<&Json>) -> Option<Vec<usize>> {
    let next = next?;
    let next: Vec<usize> = match next.text() {
        Some("C") => return Some(order.to_vec()),
        Some("F") => (0..order.len()).rev().collect(),
        Some(_) => return None,
        None => {
            next.counts()?.into_iter().map(|n| usize::try_from(n).ok()).collect::<Option<_>>()?
        }
    };
    let mut axes = next.clone();
    axes.sort_unstable();
    let is_permutation = axes.into_iter().eq(0..order.len());
    is_permutation.then(|| next.iter().filter_map(|axis| order.get(*axis).copied()).collect())
}

impl Shard {
    /// The shape of the chunks in a shard of shape `outer`, and where they are.
    fn new(configuration: &Json, outer: &[u64]) -> Result<(Vec<u64>, Self), String> {
        let inner = configuration.get("chunk_shape").and_then(Json::counts);
        let inner = inner.filter(|inner| inner.len() == outer.len() && !inner.contains(&0));
        let inner = inner.ok_or("shards without a chunk_shape that fits")?;
        let axes = outer.iter().zip(&inner);
        if axes.clone().any(|(outer, inner)| !outer.is_multiple_of(*inner)) {
            return Err(format!("shards of shape {outer:?} of chunks of shape {inner:?}"));
        }
        let chunks = axes.map(|(outer, inner)| outer / inner).collect();
        let index_at_end = match configuration.get("index_location").map(Json::text) {
            None | Some(Some("end")) => true,
            Some(Some("start")) => false,
            Some(_) => return Err("shards with an index that is nowhere".to_owned()),
        };
        let codecs = configuration.get("index_codecs").and_then(Json::list);
        let mut element = Element::of_version_3(&Json::Text("uint64".to_owned()))?;
        let index = Stages::new(codecs.ok_or("shards without index_codecs")?, &mut element, 0)?;
        let index_checksum = match index.chain.0.as_slice() {
            [] => false,
            [Codec::Crc32c] => true,
            _ => return Err("shards with a compressed index".to_owned()),
        };
        if index.shard.is_some() {
            return Err("shards with an index in shards".to_owned());
        }
        let shard = Self { chunks, index_at_end, index_order: element.order, index_checksum };
        Ok((inner, shard))
    }

    /// Chunks of a shard; `None` on overflow.
    pub(crate) fn count(&self) -> Option<u64> {
        self.chunks.iter().try_fold(1_u64, |count, n| count.checked_mul(*n))
    }
}
