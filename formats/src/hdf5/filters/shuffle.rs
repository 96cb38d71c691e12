//! Shuffle (filter 2): the bytes of all elements sorted by their place in the element.

/// Puts the bytes of each element together again. Bytes that make no whole element stand at the end
/// as they are.
pub(super) fn undo(input: &[u8], element: usize) -> Vec<u8> {
    let count = input.len().checked_div(element).unwrap_or(0);
    if element <= 1 || count <= 1 {
        return input.to_vec();
    }
    let mut output = input.to_vec();
    for (place, plane) in input.chunks_exact(count).take(element).enumerate() {
        for (target, byte) in output.iter_mut().skip(place).step_by(element).zip(plane) {
            *target = *byte;
        }
    }
    output
}

#[cfg(test)]
mod tests {
    #[test]
    fn elements_are_put_together_again() {
        assert_eq!(super::undo(b"ABCabc!", 2), b"AaBbCc!");
        assert_eq!(super::undo(b"abc", 1), b"abc");
        assert_eq!(super::undo(b"", 4), b"");
    }
}
