//! Chunks that are stored with their axes in another order.

/// Elements of a side of the squares that are turned at once: two of them stay in the nearest cache.
const TILE: usize = 32;

/// Puts the elements of a chunk into C order. `shape` is that of the chunk, `order` says which of its
/// axes each stored axis is. `None` where there are not as many elements as the shape has.
pub(crate) fn undo<T: Copy>(
    stored: &[T],
    shape: &[usize],
    order: &[usize],
    target: &mut [T],
) -> Option<()> {
    let count = shape.iter().try_fold(1_usize, |count, n| count.checked_mul(*n))?;
    if stored.len() != count || target.len() != count || order.len() != shape.len() {
        return None;
    }
    // How far apart neighbours along each axis lie, where they are and where they go.
    let mut from = vec![0; shape.len()];
    let mut step = 1;
    for axis in order.iter().rev() {
        *from.get_mut(*axis)? = step;
        step *= shape.get(*axis)?;
    }
    let mut axes: Vec<Axis> = Vec::with_capacity(shape.len());
    let mut step = 1;
    for (length, from) in shape.iter().zip(&from).rev() {
        axes.push(Axis { length: *length, from: *from, to: step });
        step *= length;
    }
    if count == 0 {
        return Some(());
    }
    // Axes of one element lie nowhere.
    axes.retain(|axis| axis.length > 1);
    let Some(across) = axes.iter().position(|axis| axis.from == 1) else {
        target.copy_from_slice(stored);
        return Some(());
    };
    let across = axes.remove(across);
    if across.to == 1 {
        // The fastest axis is the same: rows are copied.
        return each(&axes, |from, to| {
            let row = stored.get(from..from.checked_add(across.length)?)?;
            target.get_mut(to..to.checked_add(across.length)?)?.copy_from_slice(row);
            Some(())
        });
    }
    let along = axes.remove(axes.iter().position(|axis| axis.to == 1)?);
    each(&axes, |from, to| {
        for low in (0..along.length).step_by(TILE) {
            for left in (0..across.length).step_by(TILE) {
                let high = along.length.min(low + TILE);
                for column in left..across.length.min(left + TILE) {
                    let start = to + column * across.to;
                    let row = target.get_mut(start + low..start + high)?;
                    let cells = stored.get(from + column + low * along.from..)?;
                    let cells = cells.iter().step_by(along.from);
                    row.iter_mut().zip(cells).for_each(|(to, from)| *to = *from);
                }
            }
        }
        Some(())
    })
}

#[derive(Debug, Clone, Copy)]
struct Axis {
    length: usize,
    from: usize,
    to: usize,
}

/// Calls `work` with the place in both of every combination of indices.
fn each(axes: &[Axis], mut work: impl FnMut(usize, usize) -> Option<()>) -> Option<()> {
    let mut indices = vec![0; axes.len()];
    let (mut from, mut to) = (0, 0);
    loop {
        work(from, to)?;
        let mut done = true;
        for (index, axis) in indices.iter_mut().zip(axes) {
            *index += 1;
            from += axis.from;
            to += axis.to;
            if *index < axis.length {
                done = false;
                break;
            }
            from -= axis.from * axis.length;
            to -= axis.to * axis.length;
            *index = 0;
        }
        if done {
            return Some(());
        }
    }
}

/// [`undo`] for elements of `size` bytes.
pub(crate) fn undo_bytes(
    stored: &[u8],
    shape: &[usize],
    order: &[usize],
    size: usize,
    target: &mut [u8],
) -> Option<()> {
    match size {
        1 => undo(stored, shape, order, target),
        2 => undo(stored.as_chunks::<2>().0, shape, order, target.as_chunks_mut::<2>().0),
        4 => undo(stored.as_chunks::<4>().0, shape, order, target.as_chunks_mut::<4>().0),
        8 => undo(stored.as_chunks::<8>().0, shape, order, target.as_chunks_mut::<8>().0),
        _ => {
            let elements: Vec<&[u8]> = stored.chunks_exact(size.max(1)).collect();
            let mut turned = vec![[].as_slice(); elements.len()];
            undo(&elements, shape, order, &mut turned)?;
            let cells = target.chunks_exact_mut(size.max(1));
            cells.zip(turned).for_each(|(to, from)| to.copy_from_slice(from));
            Some(())
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn shape_and_order() -> impl Strategy<Value = (Vec<usize>, Vec<usize>)> {
        prop_oneof![
            prop::collection::vec(0_usize..5, 0..5),
            prop::collection::vec(prop_oneof![Just(1_usize), 30_usize..70], 2..4),
        ]
        .prop_flat_map(|shape| {
            let axes: Vec<usize> = (0..shape.len()).collect();
            (Just(shape), Just(axes).prop_shuffle())
        })
    }

    proptest! {
        #[test]
        fn every_element_goes_where_its_indices_say((shape, order) in shape_and_order(), size in 1_usize..10) {
            let count: usize = shape.iter().product();
            let stored_shape: Vec<usize> = order.iter().map(|axis| shape[*axis]).collect();
            let mut target = vec![usize::MAX; count];
            let stored: Vec<usize> = (0..count).collect();
            undo(&stored, &shape, &order, &mut target).unwrap();
            for place in 0..count {
                // The indices of the stored element, then its place in C order.
                let mut rest = place;
                let mut indices = vec![0; shape.len()];
                for (axis, length) in order.iter().zip(&stored_shape).rev() {
                    indices[*axis] = rest % length;
                    rest /= length;
                }
                let to = indices.iter().zip(&shape).fold(0, |at, (index, length)| at * length + index);
                prop_assert_eq!(target[to], place);
            }
            let bytes: Vec<u8> = (0..count * size).map(|n| u8::try_from(n % 251).unwrap()).collect();
            let mut turned = vec![0; count * size];
            undo_bytes(&bytes, &shape, &order, size, &mut turned).unwrap();
            for (element, place) in turned.chunks(size).zip(target) {
                prop_assert_eq!(element, &bytes[place * size..(place + 1) * size]);
            }
        }
    }
}
