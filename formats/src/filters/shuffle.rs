//! Shuffle (filter 2): the bytes of all elements sorted by their place in the element.
//!
//! A shuffled chunk of N elements of W bytes is W planes of N bytes: plane k holds byte k of every
//! element. Bytes that make no whole element stand behind the planes as they are.
#![expect(
    clippy::inline_always,
    reason = "a loop has to be inlined to be compiled for the machine's vector instructions"
)]

use crate::simd::{self, Kernel};
use arrow::buffer::MutableBuffer;
use std::ops::Range;

/// Bytes of a chunk that is still shuffled.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Planes<'a> {
    bytes: &'a [u8],
    /// Bytes of an element.
    width: usize,
    /// Elements.
    count: usize,
}

impl<'a> Planes<'a> {
    /// `None` where shuffling changed nothing.
    pub(crate) fn new(bytes: &'a [u8], width: usize) -> Option<Self> {
        let count = bytes.len().checked_div(width).unwrap_or(0);
        (width > 1 && count > 1).then_some(Self { bytes, width, count })
    }

    /// The part of each plane that holds the bytes of `elements`.
    fn planes<const W: usize>(&self, elements: &Range<usize>) -> Option<[&'a [u8]; W]> {
        let mut planes = [[].as_slice(); W];
        for (part, plane) in planes.iter_mut().zip(self.bytes.chunks_exact(self.count)) {
            *part = plane.get(elements.clone())?;
        }
        Some(planes)
    }

    /// Writes `elements`, which are in the planes, to `target`, which has just their bytes.
    /// `None` where they are not, or it has not.
    pub(super) fn write(&self, elements: Range<usize>, target: &mut [u8]) -> Option<()> {
        let bytes = elements.len().checked_mul(self.width)?;
        if elements.end > self.count || bytes != target.len() {
            return None;
        }
        match self.width {
            2 => simd::run(Write(self.planes::<2>(&elements)?, target)),
            4 => simd::run(Write(self.planes::<4>(&elements)?, target)),
            8 => simd::run(Write(self.planes::<8>(&elements)?, target)),
            _ => {
                for (place, plane) in
                    self.bytes.chunks_exact(self.count).take(self.width).enumerate()
                {
                    let cells = target.iter_mut().skip(place).step_by(self.width);
                    cells.zip(plane.get(elements.clone())?).for_each(|(cell, byte)| *cell = *byte);
                }
            }
        }
        Some(())
    }

    /// `elements` in memory of their own, which is not cleared before. `None` where they are not in
    /// the planes.
    pub(super) fn collect(&self, elements: Range<usize>) -> Option<MutableBuffer> {
        if elements.end > self.count {
            return None;
        }
        Some(match self.width {
            2 => simd::run(Collect(self.planes::<2>(&elements)?)).into(),
            4 => simd::run(Collect(self.planes::<4>(&elements)?)).into(),
            8 => simd::run(Collect(self.planes::<8>(&elements)?)).into(),
            _ => {
                let bytes = elements.len().checked_mul(self.width)?;
                let mut buffer = MutableBuffer::from_len_zeroed(bytes);
                self.write(elements, &mut buffer)?;
                buffer
            }
        })
    }

    /// Writes all bytes, the ones behind the planes too, to `target`, which has room for just them.
    pub(crate) fn undo(&self, target: &mut [u8]) -> Option<()> {
        let whole = self.count.checked_mul(self.width)?;
        let (elements, rest) = target.split_at_mut_checked(whole)?;
        let tail = self.bytes.get(whole..).filter(|tail| tail.len() == rest.len())?;
        rest.copy_from_slice(tail);
        self.write(0..self.count, elements)
    }
}

/// Eight rows as the bytes of as many elements of eight bytes, which fill `target`.
pub(super) fn interleave(rows: [&[u8]; 8], target: &mut [u8]) {
    simd::run(Write(rows, target));
}

/// The elements that planes make, as arrays of bytes.
trait Cells<const W: usize> {
    fn cells(self) -> impl Iterator<Item = [u8; W]>;
}

impl Cells<2> for [&[u8]; 2] {
    #[inline(always)]
    fn cells(self) -> impl Iterator<Item = [u8; 2]> {
        let [a, b] = self;
        a.iter().zip(b).map(|(a, b)| [*a, *b])
    }
}

impl Cells<4> for [&[u8]; 4] {
    #[inline(always)]
    fn cells(self) -> impl Iterator<Item = [u8; 4]> {
        let [a, b, c, d] = self;
        a.iter().zip(b).zip(c).zip(d).map(|(((a, b), c), d)| [*a, *b, *c, *d])
    }
}

impl Cells<8> for [&[u8]; 8] {
    #[expect(clippy::many_single_char_names, reason = "eight planes, in order")]
    #[inline(always)]
    fn cells(self) -> impl Iterator<Item = [u8; 8]> {
        let [a, b, c, d, e, f, g, h] = self;
        let cells = a.iter().zip(b).zip(c).zip(d).zip(e).zip(f).zip(g).zip(h);
        cells.map(|(((((((a, b), c), d), e), f), g), h)| [*a, *b, *c, *d, *e, *f, *g, *h])
    }
}

/// Elements put together in the bytes given.
struct Write<'a, const W: usize>([&'a [u8]; W], &'a mut [u8]);

impl<const W: usize> Kernel for Write<'_, W>
where
    for<'p> [&'p [u8]; W]: Cells<W>,
{
    type Output = ();
    #[inline(always)]
    fn run(self) {
        let (target, _) = self.1.as_chunks_mut::<W>();
        target.iter_mut().zip(self.0.cells()).for_each(|(cell, bytes)| *cell = bytes);
    }
}

/// Elements put together in new memory, as numbers so that it is aligned for them.
struct Collect<'a, const W: usize>([&'a [u8]; W]);

impl Kernel for Collect<'_, 2> {
    type Output = Vec<u16>;
    #[inline(always)]
    fn run(self) -> Vec<u16> {
        self.0.cells().map(u16::from_ne_bytes).collect()
    }
}

impl Kernel for Collect<'_, 4> {
    type Output = Vec<u32>;
    #[inline(always)]
    fn run(self) -> Vec<u32> {
        self.0.cells().map(u32::from_ne_bytes).collect()
    }
}

impl Kernel for Collect<'_, 8> {
    type Output = Vec<u64>;
    /// Through a block on the stack: eight planes straight into new memory do not become vector
    /// instructions (4 GB/s against 10).
    #[expect(clippy::many_single_char_names, reason = "eight planes, in order")]
    #[inline(always)]
    fn run(self) -> Vec<u64> {
        const BLOCK: usize = 256;
        let mut words = Vec::with_capacity(self.0.first().map_or(0, |plane| plane.len()));
        let mut block = [[0; 8]; BLOCK];
        let [a, b, c, d, e, f, g, h] = self.0.map(|plane| plane.chunks(BLOCK));
        let parts = a.zip(b).zip(c).zip(d).zip(e).zip(f).zip(g).zip(h);
        for (((((((a, b), c), d), e), f), g), h) in parts {
            let cells = [a, b, c, d, e, f, g, h].cells();
            block.iter_mut().zip(cells).for_each(|(cell, bytes)| *cell = bytes);
            words.extend(block.iter().take(a.len()).map(|cell| u64::from_ne_bytes(*cell)));
        }
        words
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// Unshuffling by its definition.
    fn defined(bytes: &[u8], width: usize) -> Vec<u8> {
        let count = bytes.len() / width;
        let mut elements = bytes.to_vec();
        for element in 0..count {
            for place in 0..width {
                elements[element * width + place] = bytes[place * count + element];
            }
        }
        elements
    }

    #[test]
    fn elements_are_put_together_again() {
        let mut target = [0; 7];
        Planes::new(b"ABCabc!", 2).unwrap().undo(&mut target).unwrap();
        assert_eq!(&target, b"AaBbCc!");
        assert!(Planes::new(b"abc", 1).is_none());
        assert!(Planes::new(b"", 4).is_none());
        let planes = Planes::new(b"ABCabc", 2).unwrap();
        assert_eq!(planes.write(1..4, &mut [0; 6]), None);
        assert_eq!(planes.write(1..3, &mut [0; 5]), None);
        assert!(planes.collect(2..4).is_none());
    }

    proptest! {
        #[test]
        fn every_part_is_what_the_definition_gives(
            bytes in prop::collection::vec(any::<u8>(), 0..2000),
            width in 1_usize..10,
            cut in any::<(prop::sample::Index, prop::sample::Index)>(),
        ) {
            let expected = defined(&bytes, width);
            let Some(planes) = Planes::new(&bytes, width) else {
                prop_assert_eq!(expected, bytes);
                return Ok(());
            };
            let mut all = vec![0xaa; bytes.len()];
            planes.undo(&mut all).unwrap();
            prop_assert_eq!(&all, &expected);
            let count = bytes.len() / width;
            let (a, b) = (cut.0.index(count + 1), cut.1.index(count + 1));
            let part = a.min(b)..a.max(b);
            let expected = &expected[part.start * width..part.end * width];
            let mut target = vec![0xaa; expected.len()];
            planes.write(part.clone(), &mut target).unwrap();
            prop_assert_eq!(&target, expected);
            let collected = planes.collect(part).unwrap();
            prop_assert_eq!(collected.as_slice(), expected);
        }
    }
}
