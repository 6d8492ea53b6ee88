//! Where the boxes of a directed graph without cycles lie: in layers, so that every edge goes down, with few crossings.
//!
//! The method of Sugiyama, Tagawa and Toda (1981): longest paths make the layers; an edge over several layers becomes a chain
//! with a bend in each; layers are ordered by the middle of their neighbours, down and up in turn, and the order with the
//! fewest crossings stays; at last each box moves as near to the middle of its neighbours as its own neighbours let it,
//! by isotonic regression.

/// A box or a bend of an edge.
#[derive(Debug, Clone)]
struct Vertex {
    layer: usize,
    width: f64,
    x: f64,
    above: Vec<usize>,
    below: Vec<usize>,
}

/// Where everything lies.
#[derive(Debug, Clone, PartialEq)]
pub struct Layout {
    /// Layer and middle of each box.
    pub places: Vec<(usize, f64)>,
    /// The middles that each edge passes through, one a layer, from its upper box to its lower one.
    pub routes: Vec<Vec<f64>>,
    /// How many layers there are.
    pub layers: usize,
    /// How wide everything is, from 0 on.
    pub width: f64,
}

/// Between boxes of a layer.
const GAP: f64 = 18.0;
/// What a bend takes of a layer.
const BEND: f64 = 10.0;
/// How often layers are ordered anew, and places moved.
const ROUNDS: usize = 24;

/// Lays out boxes of these widths; an edge `(a, b)` goes down from `a` to `b`, and `a` is less than `b`.
pub fn layout(widths: &[f64], edges: &[(usize, usize)]) -> Layout {
    let mut vertices: Vec<Vertex> = layers(widths.len(), edges)
        .into_iter()
        .zip(widths)
        .map(|(layer, width)| Vertex { layer, width: *width, x: 0.0, above: vec![], below: vec![] })
        .collect();
    let chains: Vec<Vec<usize>> = edges.iter().map(|edge| chain(&mut vertices, *edge)).collect();
    let count = vertices.iter().map(|vertex| vertex.layer + 1).max().unwrap_or(0);
    let mut rows: Vec<Vec<usize>> = vec![Vec::new(); count];
    for (at, vertex) in vertices.iter().enumerate() {
        rows[vertex.layer].push(at);
    }
    order(&vertices, &mut rows);
    place(&mut vertices, &rows);
    let left = vertices.iter().map(|vertex| vertex.x - vertex.width / 2.0).fold(f64::INFINITY, f64::min);
    let right = vertices.iter().map(|vertex| vertex.x + vertex.width / 2.0).fold(f64::NEG_INFINITY, f64::max);
    let x = |at: usize| vertices[at].x - left;
    Layout {
        places: (0..widths.len()).map(|at| (vertices[at].layer, x(at))).collect(),
        routes: chains.iter().map(|chain| chain.iter().map(|at| x(*at)).collect()).collect(),
        layers: count,
        width: (right - left).max(0.0),
    }
}

/// The longest path that leads to each box.
fn layers(boxes: usize, edges: &[(usize, usize)]) -> Vec<usize> {
    let mut layers = vec![0; boxes];
    let mut sorted = edges.to_vec();
    sorted.sort_by_key(|edge| edge.1);
    for (from, to) in sorted {
        layers[to] = layers[to].max(layers[from] + 1);
    }
    layers
}

/// Makes the bends of an edge, and gives all that it passes through.
fn chain(vertices: &mut Vec<Vertex>, (from, to): (usize, usize)) -> Vec<usize> {
    let mut chain = vec![from];
    for layer in vertices[from].layer + 1..vertices[to].layer {
        vertices.push(Vertex { layer, width: BEND, x: 0.0, above: vec![], below: vec![] });
        chain.push(vertices.len() - 1);
    }
    chain.push(to);
    for pair in chain.windows(2) {
        vertices[pair[0]].below.push(pair[1]);
        vertices[pair[1]].above.push(pair[0]);
    }
    chain
}

/// Orders the layers such that few edges cross.
fn order(vertices: &[Vertex], rows: &mut Vec<Vec<usize>>) {
    let mut best = (crossings(vertices, rows), rows.clone());
    for round in 0..ROUNDS {
        let down = round % 2 == 0;
        let mut positions = positions(vertices.len(), rows);
        let turns: Vec<usize> =
            if down { (0..rows.len()).collect() } else { (0..rows.len()).rev().collect() };
        for row in turns {
            let middle = |at: usize| {
                let near = if down { &vertices[at].above } else { &vertices[at].below };
                let sum: usize = near.iter().map(|other| positions[*other]).sum();
                // What has no neighbours there stays where it is.
                if near.is_empty() { positions[at] as f64 } else { sum as f64 / near.len() as f64 }
            };
            let mut keyed: Vec<(f64, usize)> = rows[row].iter().map(|at| (middle(*at), *at)).collect();
            keyed.sort_by(|a, b| a.0.total_cmp(&b.0));
            rows[row] = keyed.into_iter().map(|(_, at)| at).collect();
            rows[row].iter().enumerate().for_each(|(place, at)| positions[*at] = place);
        }
        let found = crossings(vertices, rows);
        if found < best.0 {
            best = (found, rows.clone());
        }
    }
    *rows = best.1;
}

fn positions(count: usize, rows: &[Vec<usize>]) -> Vec<usize> {
    let mut positions = vec![0; count];
    for row in rows {
        row.iter().enumerate().for_each(|(place, at)| positions[*at] = place);
    }
    positions
}

/// How many pairs of edges between neighbouring layers cross.
fn crossings(vertices: &[Vertex], rows: &[Vec<usize>]) -> usize {
    let positions = positions(vertices.len(), rows);
    let of_row = |row: &Vec<usize>| {
        let ends: Vec<(usize, usize)> = row
            .iter()
            .flat_map(|at| vertices[*at].below.iter().map(|below| (positions[*at], positions[*below])))
            .collect();
        let crossed = |(at, a): (usize, &(usize, usize))| {
            ends[at + 1..].iter().filter(|b| a.0 < b.0 && a.1 > b.1 || a.0 > b.0 && a.1 < b.1).count()
        };
        ends.iter().enumerate().map(crossed).sum::<usize>()
    };
    rows.iter().map(of_row).sum()
}

/// Moves boxes to the middle of their neighbours, in the order of their layer.
fn place(vertices: &mut [Vertex], rows: &[Vec<usize>]) {
    for row in rows {
        let mut x = 0.0;
        for at in row {
            vertices[*at].x = x + vertices[*at].width / 2.0;
            x += vertices[*at].width + GAP;
        }
    }
    for round in 0..5 * ROUNDS {
        let down = round % 2 == 0;
        let turns: Vec<usize> =
            if down { (0..rows.len()).collect() } else { (0..rows.len()).rev().collect() };
        for row in turns.into_iter().map(|row| &rows[row]) {
            // At first towards one side, which moves whole branches; then to the middle of both, which settles them; at
            // last once up, which puts every box over what it leads to, so that chains are straight.
            let settling = (2 * ROUNDS..5 * ROUNDS - 1).contains(&round);
            let wanted: Vec<f64> = row
                .iter()
                .map(|at| {
                    let (above, below) = (&vertices[*at].above, &vertices[*at].below);
                    let near = above
                        .iter()
                        .filter(|_| settling || down)
                        .chain(below.iter().filter(|_| settling || !down));
                    let (count, sum) =
                        near.fold((0, 0.0), |(count, sum), other| (count + 1, sum + vertices[*other].x));
                    if count == 0 { vertices[*at].x } else { sum / f64::from(count) }
                })
                .collect();
            let widths: Vec<f64> = row.iter().map(|at| vertices[*at].width).collect();
            let found = apart(&wanted, &widths);
            row.iter().zip(found).for_each(|(at, x)| vertices[*at].x = x);
        }
    }
}

/// The middles nearest to `wanted`, in the sense of least squares, at which boxes of these widths stay in order and apart.
fn apart(wanted: &[f64], widths: &[f64]) -> Vec<f64> {
    // Without the room that those before need, the middles only have to rise: isotonic regression by pooling.
    let mut offset = 0.0;
    let offsets: Vec<f64> = widths
        .iter()
        .enumerate()
        .map(|(at, width)| {
            offset += if at == 0 { 0.0 } else { f64::midpoint(widths[at - 1], *width) + GAP };
            offset
        })
        .collect();
    let mut pools: Vec<(f64, usize)> = Vec::new();
    for (wanted, offset) in wanted.iter().zip(&offsets) {
        let mut pool = (wanted - offset, 1);
        while let Some(last) = pools.last().filter(|last| last.0 > pool.0) {
            let count = last.1 + pool.1;
            pool = ((last.0 * last.1 as f64 + pool.0 * pool.1 as f64) / count as f64, count);
            pools.pop();
        }
        pools.push(pool);
    }
    let level = pools.iter().flat_map(|(mean, count)| std::iter::repeat_n(*mean, *count));
    level.zip(&offsets).map(|(level, offset)| level + offset).collect()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn edges_go_down_and_boxes_stay_apart(
            widths in prop::collection::vec(20.0f64..200.0, 1..20),
            pairs in prop::collection::vec((0usize..20, 0usize..20), 0..30),
        ) {
            let count = widths.len();
            let mut edges: Vec<(usize, usize)> = pairs
                .into_iter()
                .map(|(a, b)| (a % count, b % count))
                .filter(|(a, b)| a < b)
                .collect();
            edges.sort_unstable();
            edges.dedup();
            let found = layout(&widths, &edges);
            for ((from, to), route) in edges.iter().zip(&found.routes) {
                let (upper, lower) = (found.places[*from], found.places[*to]);
                prop_assert!(upper.0 < lower.0);
                prop_assert_eq!(route.len(), lower.0 - upper.0 + 1);
                prop_assert_eq!((route[0], route[route.len() - 1]), (upper.1, lower.1));
            }
            for a in 0..count {
                let (layer, x) = found.places[a];
                prop_assert!(x - widths[a] / 2.0 >= -1e-6 && x + widths[a] / 2.0 <= found.width + 1e-6);
                for b in 0..a {
                    let apart = (found.places[b].1 - x).abs() - f64::midpoint(widths[a], widths[b]);
                    prop_assert!(found.places[b].0 != layer || apart >= GAP - 1e-6, "{a} and {b}: {apart}");
                }
            }
        }
    }

    #[test]
    fn a_chain_is_straight_and_crossed_ends_are_uncrossed() {
        let found = layout(&[50.0, 80.0, 60.0], &[(0, 1), (1, 2)]);
        assert!(found.places.iter().all(|place| (place.1 - found.places[0].1).abs() < 1e-6), "{found:?}");
        // Two chains from one box.
        let found = layout(&[70.0; 7], &[(0, 1), (0, 2), (1, 3), (2, 4), (3, 5), (4, 6)]);
        let x = |at: usize| found.places[at].1;
        let straight = |chain: [usize; 3]| chain.iter().all(|at| (x(*at) - x(chain[0])).abs() < 1e-6);
        assert!(straight([1, 3, 5]) && straight([2, 4, 6]), "{found:?}");
        assert!((x(0) - f64::midpoint(x(1), x(2))).abs() < 1e-6, "{found:?}");
        // 0 and 1 lead to 3 and 2: with 2 before 3 their edges would cross.
        let found = layout(&[50.0; 4], &[(0, 3), (1, 2)]);
        let x = |at: usize| found.places[at].1;
        assert_eq!(x(0) < x(1), x(3) < x(2));
    }
}
