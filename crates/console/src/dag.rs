//! Where the boxes of a graph stand: inputs above what reads them, and lines that neither cross nor run behind a box
//! where every box has one reader, as in most plans.

/// Size of a box and the space between two of them, in units of the drawing.
pub(crate) const BOX_WIDTH: i64 = 208;
pub(crate) const BOX_HEIGHT: i64 = 118;
const GAP_X: i64 = 28;
const GAP_Y: i64 = 46;
/// Around the whole, so that lines of the border are not cut.
const MARGIN: i64 = 4;

/// A graph that has been laid out.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Layout {
    pub(crate) width: i64,
    pub(crate) height: i64,
    /// The left upper corner of each box.
    pub(crate) corners: Vec<(i64, i64)>,
    /// The outline of each line, as the `d` of an SVG path, from an input down to its reader.
    pub(crate) paths: Vec<String>,
}

/// Lays out boxes of which the `i`-th reads from `inputs[i]`. Cycles, which no plan has, are drawn and do not hang.
pub(crate) fn layout(inputs: &[Vec<usize>]) -> Layout {
    let layers = layers(inputs);
    let columns = columns(inputs, &layers);
    let least = columns.iter().copied().reduce(f64::min).unwrap_or(0.0);
    let x = |column: f64| ((column - least) * (BOX_WIDTH + GAP_X) as f64).round() as i64;
    let y = |layer: usize| layer as i64 * (BOX_HEIGHT + GAP_Y);
    let corner = |(column, layer): (&f64, &usize)| (MARGIN + x(*column), MARGIN + y(*layer));
    let corners: Vec<(i64, i64)> = columns.iter().zip(&layers).map(corner).collect();
    let lines = inputs.iter().enumerate().flat_map(|(to, from)| from.iter().map(move |from| (*from, to)));
    let paths = lines.map(|(from, to)| path(corners[from], corners[to])).collect();
    let width = corners.iter().map(|(x, _)| x + BOX_WIDTH).max().unwrap_or(MARGIN) + MARGIN;
    let height = corners.iter().map(|(_, y)| y + BOX_HEIGHT).max().unwrap_or(MARGIN) + MARGIN;
    Layout { width, height, corners, paths }
}

/// A line from the lower edge of one box to the upper edge of another; its end leaves room for the arrow's head.
fn path(from: (i64, i64), to: (i64, i64)) -> String {
    let (x1, y1) = (from.0 + BOX_WIDTH / 2, from.1 + BOX_HEIGHT);
    let (x2, y2) = (to.0 + BOX_WIDTH / 2, to.1 - 2);
    let half = GAP_Y / 2;
    format!("M{x1} {y1}C{x1} {} {x2} {} {x2} {y2}", y1 + half, y2 - half)
}

/// The row of each box, from the top: directly above the first that reads it.
fn layers(inputs: &[Vec<usize>]) -> Vec<usize> {
    let mut readers = vec![Vec::new(); inputs.len()];
    for (to, from) in inputs.iter().enumerate() {
        from.iter().for_each(|from| readers[*from].push(to));
    }
    let above_the_end = longest_ways(&readers);
    let last = above_the_end.iter().copied().max().unwrap_or(0);
    above_the_end.into_iter().map(|way| last - way).collect()
}

/// Where each box stands from left to right, counted in boxes: one without inputs in a column of its own, any other in
/// the middle of its inputs. Boxes of one layer that would cover each other move apart.
fn columns(inputs: &[Vec<usize>], layers: &[usize]) -> Vec<f64> {
    let mut order = Vec::with_capacity(inputs.len());
    let mut seen = vec![false; inputs.len()];
    let is_read: Vec<bool> = (0..inputs.len()).map(|of| inputs.iter().any(|from| from.contains(&of))).collect();
    let ends = (0..inputs.len()).filter(|of| !is_read[*of]);
    // Boxes of a cycle have no end below them.
    for of in ends.chain(0..inputs.len()) {
        visit(inputs, of, &mut seen, &mut order);
    }
    let mut columns = vec![0.0; inputs.len()];
    let leaves = order.iter().filter(|of| inputs[**of].is_empty());
    leaves.enumerate().for_each(|(place, of)| columns[*of] = place as f64);
    for layer in 0..=layers.iter().copied().max().unwrap_or(0) {
        let mut row: Vec<usize> = order.iter().copied().filter(|of| layers[*of] == layer).collect();
        for of in &row {
            if !inputs[*of].is_empty() {
                let sum: f64 = inputs[*of].iter().map(|from| columns[*from]).sum();
                columns[*of] = sum / inputs[*of].len() as f64;
            }
        }
        row.sort_by(|a, b| columns[*a].total_cmp(&columns[*b]));
        move_apart(&row, &mut columns);
    }
    columns
}

/// Moves boxes of one row so that they do not cover each other; their middle stays.
fn move_apart(row: &[usize], columns: &mut [f64]) {
    let mut moved = 0.0;
    for two in row.windows(2) {
        let least = columns[two[0]] + 1.0;
        moved += (least - columns[two[1]]).max(0.0);
        columns[two[1]] = columns[two[1]].max(least);
    }
    row.iter().for_each(|of| columns[*of] -= moved / row.len() as f64);
}

/// Appends a box to `order` after all that it reads from.
fn visit(inputs: &[Vec<usize>], of: usize, seen: &mut [bool], order: &mut Vec<usize>) {
    if std::mem::replace(&mut seen[of], true) {
        return;
    }
    inputs[of].iter().for_each(|from| visit(inputs, *from, seen, order));
    order.push(of);
}

/// The longest way from a box without inputs to each box.
fn longest_ways(inputs: &[Vec<usize>]) -> Vec<usize> {
    let mut layers: Vec<Option<usize>> = vec![None; inputs.len()];
    loop {
        let mut moved = false;
        for (of, from) in inputs.iter().enumerate() {
            let above: Option<Vec<usize>> = from.iter().map(|i| layers[*i]).collect();
            if let (None, Some(above)) = (layers[of], above) {
                layers[of] = Some(above.into_iter().max().map_or(0, |deepest| deepest + 1));
                moved = true;
            }
        }
        if !moved {
            break;
        }
    }
    // What is left stands in a cycle or below one.
    let last = layers.iter().flatten().max().map_or(0, |deepest| deepest + 1);
    layers.into_iter().map(|layer| layer.unwrap_or(last)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    // By hand: a diamond has three layers, its two middle boxes beside each other, the others in the middle.
    #[test]
    fn a_diamond_has_three_rows_and_its_tips_stand_in_the_middle() {
        let drawn = layout(&[vec![], vec![0], vec![0], vec![1, 2]]);
        let (xs, ys): (Vec<i64>, Vec<i64>) = drawn.corners.iter().copied().unzip();
        assert_eq!(ys, [4, 168, 168, 332]);
        assert_eq!(xs, [122, 4, 240, 122]);
        assert_eq!((drawn.width, drawn.height), (452, 454));
        assert_eq!(drawn.paths.len(), 4);
        // From the middle of the lower edge of the first to just above the middle of the upper edge of the second.
        assert_eq!(drawn.paths[0], "M226 122C226 145 108 143 108 166");
    }

    #[test]
    fn a_box_stands_directly_above_its_reader_and_lines_do_not_cross() {
        // 0 and 1 are read by 2 and 3; 4 joins 3 with 0.
        let inputs = [vec![], vec![], vec![0], vec![1], vec![0, 3]];
        assert_eq!(layers(&inputs), [1, 0, 2, 1, 2]);
        let crossed = [vec![], vec![], vec![1], vec![0]];
        assert_eq!(columns(&crossed, &layers(&crossed)), [1.0, 0.0, 0.0, 1.0]);
        // A join of a long chain with a table: the table stands beside the end of the chain.
        let chain = [vec![], vec![0], vec![1], vec![], vec![2, 3]];
        assert_eq!(layers(&chain), [0, 1, 2, 2, 3]);
        assert_eq!(columns(&chain, &layers(&chain)), [0.0, 0.0, 0.0, 1.0, 0.5]);
    }

    #[test]
    fn nothing_and_cycles_are_drawn_too() {
        assert_eq!(layout(&[]), Layout { width: 8, height: 8, ..Layout::default() });
        let drawn = layout(&[vec![1], vec![0], vec![]]);
        assert_eq!((drawn.corners.len(), drawn.paths.len()), (3, 2));
    }
}
