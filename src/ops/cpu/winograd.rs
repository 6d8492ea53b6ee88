//! 3x3 convolutions with a padding of 1 and both their gradients, by products of points.
//!
//! For each point of a tile there is one matrix product, tiles x channels by channels x channels. A piece of the batch goes
//! through all its steps (activation, to points, products, from points) while it is in the cache.

use std::marker::PhantomData;
use std::ops::Range;

use rayon::prelude::*;

use super::buffers::Buffer;
use super::cut::Cut;
use super::gemm::{Left, Product, Right, padded};
use super::kernels::{Kernels, gradient_from_points};
use super::layer::{Active, Gradient, Outgoing, Sums};
use super::maps::HostMaps;
use super::points::{Forward, Frame, FromPoints, Grid, Input, Output, ToPoints};
use super::tile::Tile;
use super::{Cpu, Planes, Spread};

/// Points of the tiles of a block: for each point, tiles x channels.
struct Points {
    planes: Planes,
    stride: usize,
}

impl Points {
    fn new(cpu: &Cpu, count: usize, tiles: usize, channels: usize) -> Self {
        let stride = padded(channels);
        Self { planes: Planes::new(&cpu.buffers, count, tiles * stride), stride }
    }

    /// Those of each image of a block.
    fn by_image(&mut self, tiles: usize, images: usize) -> Vec<Vec<&mut [f32]>> {
        self.planes.across(tiles * images * self.stride, tiles * self.stride)
    }

    /// Some tiles of a point.
    fn tiles(&self, point: usize, tiles: Range<usize>) -> &[f32] {
        &self.planes.plane(point)[tiles.start * self.stride..tiles.end * self.stride]
    }
}

/// `out = points kernels`, for every point.
fn multiply(
    cpu: &Cpu,
    spread: Spread,
    points: &Points,
    depth: usize,
    kernels: &Kernels,
    tiles: usize,
    out: &mut Points,
) {
    /// Parts of the work below which threads would wait for each other.
    const PARTS: usize = 32;
    let (count, stride) = (points.planes.count(), out.stride);
    let rows = match spread {
        Spread::Parts => tiles.div_ceil(PARTS.div_ceil(count)).max(24),
        Spread::Pieces => tiles,
    };
    let mut parts = Vec::with_capacity(count * tiles.div_ceil(rows.max(1)));
    for (point, out) in out.planes.planes_mut().enumerate() {
        for (part, out) in out[..tiles * stride].chunks_mut((rows * stride).max(1)).enumerate() {
            parts.push((point, part * rows, out));
        }
    }
    spread.each(parts, |(point, first, out)| {
        Product {
            rows: out.len() / stride,
            depth,
            columns: stride,
            left: Left::rows(points.tiles(point, first..tiles), points.stride),
            right: kernels.right(point),
            out,
            out_stride: stride,
            add: false,
        }
        .compute(cpu.arch);
    });
}

/// The tiles of an image, in some of its rows.
fn to_points<T: Tile, D: Forward<T>>(
    cpu: &Cpu,
    (values, frame): (&[f32], Frame),
    stride: usize,
    (grid, rows): (Grid, Range<usize>),
    points: &mut [&mut [f32]],
) {
    ToPoints::<T, D> { values, frame, stride, rows, across: grid.across, points, kind: PhantomData }
        .run(cpu.arch);
}

/// The images of a piece and their values in `maps`.
fn pieces(maps: &mut HostMaps, images: usize) -> Vec<(Range<usize>, &mut [f32])> {
    let (size, batch) = (maps.size(), maps.batch);
    let values = maps.values_mut().chunks_mut((images * size).max(1));
    values
        .enumerate()
        .map(|(piece, values)| (piece * images..((piece + 1) * images).min(batch), values))
        .collect()
}

/// Blocks of rows of tiles.
fn blocks(grid: Grid, rows: usize) -> impl Iterator<Item = Range<usize>> {
    (0..grid.down).step_by(rows.max(1)).map(move |first| first..(first + rows).min(grid.down))
}

/// Runs `body` on every piece, beside each other or one by one, and puts the results in order.
fn run_pieces<P: Send, R: Send>(
    spread: Spread,
    pieces: Vec<P>,
    body: impl Fn(P) -> Vec<R> + Send + Sync,
) -> Vec<R> {
    match spread {
        Spread::Parts => pieces.into_iter().flat_map(body).collect(),
        Spread::Pieces => {
            let results: Vec<Vec<R>> = pieces.into_par_iter().with_max_len(1).map(body).collect();
            results.into_iter().flatten().collect()
        }
    }
}

/// The convolution of an activation, and the moments of the result where they are wanted.
pub fn forward<T: Tile>(
    cpu: &Cpu,
    input: &Active,
    kernels: &Kernels,
    outputs: usize,
    with_moments: bool,
) -> (HostMaps, Option<Sums>) {
    let (height, width) = input.size();
    let (batch, inputs) = (input.x.batch, input.x.channels);
    let grid = Grid::of::<T>(height, width);
    let frame = Frame::input::<T>(grid);
    let image_frame = Frame { height, width, margin: 0 };
    let mut y = HostMaps::new(&cpu.buffers, batch, (height, width), outputs);
    let (size, in_stride, out_stride) = (y.size(), input.x.stride(), y.stride());
    let count = T::POINTS * T::POINTS;
    let bytes = count * (in_stride + out_stride) * size_of::<f32>();
    let cut = Cut::new(grid, bytes, count * inputs * out_stride * size_of::<f32>(), batch);
    let sums = run_pieces(cut.spread, pieces(&mut y, cut.images), |(images, values)| {
        let most = cut.rows * grid.across;
        let mut points = Points::new(cpu, count, most * images.len(), inputs);
        let mut products = Points::new(cpu, count, most * images.len(), outputs);
        let mut kept: Option<Buffer> = None;
        for rows in blocks(grid, cut.rows) {
            let tiles = rows.len() * grid.across;
            let whole = rows.len() == grid.down;
            if whole {
                let parts = points.by_image(tiles, images.len()).into_iter().zip(images.clone()).collect();
                cut.spread.each(parts, |(mut points, image): (Vec<&mut [f32]>, usize)| {
                    let mut framed = cpu.buffers.take(frame.size(in_stride));
                    input.activate(cpu, image, frame, &mut framed);
                    to_points::<T, Input>(
                        cpu,
                        (&framed, frame),
                        in_stride,
                        (grid, rows.clone()),
                        &mut points,
                    );
                });
            } else {
                let framed = kept.get_or_insert_with(|| {
                    let mut framed = cpu.buffers.take(frame.size(in_stride));
                    input.activate(cpu, images.start, frame, &mut framed);
                    framed
                });
                for mut points in points.by_image(tiles, 1) {
                    to_points::<T, Input>(cpu, (framed, frame), in_stride, (grid, rows.clone()), &mut points);
                }
            }
            let all = tiles * images.len();
            multiply(cpu, cut.spread, &points, inputs, kernels, all, &mut products);
            let parts = values.chunks_exact_mut(size.max(1)).enumerate().collect();
            cut.spread.each(parts, |(image, values): (usize, &mut [f32])| {
                let points = image_points(&products, image * tiles..(image + 1) * tiles);
                let (rows, across) = (rows.clone(), grid.across);
                let (frame, stride, kind) = (image_frame, out_stride, PhantomData);
                FromPoints::<T, Output> { points: &points, values, frame, stride, rows, across, kind }
                    .run(cpu.arch);
            });
        }
        if !with_moments {
            return Vec::new();
        }
        image_sums(cut.spread, values, size, |_, image| Sums::moments(cpu, image, outputs))
    });
    let sums = with_moments.then(|| Sums::total(outputs, &sums));
    (y, sums)
}

/// Something of every image of a piece, in order.
fn image_sums<R: Send>(
    spread: Spread,
    values: &[f32],
    size: usize,
    body: impl Fn(usize, &[f32]) -> R + Send + Sync,
) -> Vec<R> {
    match spread {
        Spread::Parts => values
            .par_chunks_exact(size.max(1))
            .enumerate()
            .map(|(image, values)| body(image, values))
            .collect(),
        Spread::Pieces => {
            values.chunks_exact(size.max(1)).enumerate().map(|(image, values)| body(image, values)).collect()
        }
    }
}

/// The points of some tiles.
fn image_points(points: &Points, tiles: Range<usize>) -> Vec<&[f32]> {
    (0..points.planes.count()).map(|point| points.tiles(point, tiles.clone())).collect()
}

/// What [`backward`] computes.
#[derive(Debug, Default)]
pub struct Gradients {
    /// Of the input's activation.
    pub input: Option<Gradient>,
    /// Of the weight, `out x in x 3 x 3`.
    pub weight: Option<Vec<f32>>,
}

/// The gradients of a convolution's input (where `kernels` are given) and weight (where it is wanted).
pub fn backward<T: Tile>(
    cpu: &Cpu,
    input: &Active,
    outgoing: &Outgoing<'_>,
    kernels: Option<&Kernels>,
    weight: bool,
) -> Gradients {
    let (height, width) = input.size();
    let (batch, inputs, outputs) = (input.x.batch, input.x.channels, outgoing.active.x.channels);
    let grid = Grid::of::<T>(height, width);
    let (in_frame, out_frame) = (Frame::input::<T>(grid), Frame::output::<T>(grid));
    let (in_stride, out_stride) = (padded(inputs), padded(outputs));
    let count = T::POINTS * T::POINTS;
    let tile_points = if weight { 2 * in_stride + out_stride } else { in_stride + out_stride };
    let bytes = count * tile_points * size_of::<f32>();
    let cut = if weight {
        Cut::shared(grid, bytes, batch)
    } else {
        Cut::new(grid, bytes, count * outputs * in_stride * size_of::<f32>(), batch)
    };
    let mut dx = HostMaps::new(&cpu.buffers, batch, (height, width), inputs);
    let size = dx.size();
    let mut dweight = weight.then(|| Planes::new(&cpu.buffers, count, inputs * out_stride));
    let piece = |(images, values): (Range<usize>, &mut [f32]), dweight: Option<&mut Planes>| {
        let most = cut.rows * grid.across * images.len();
        let mut gradients = Points::new(cpu, count, most, outputs);
        let mut products = kernels.map(|_| Points::new(cpu, count, most, inputs));
        let mut dweight = dweight;
        let mut kept: Option<Buffer> = None;
        let mut framed_dx: Option<Buffer> = None;
        for rows in blocks(grid, cut.rows) {
            let tiles = rows.len() * grid.across;
            let all = tiles * images.len();
            let whole = rows.len() == grid.down;
            if whole {
                let parts = gradients.by_image(tiles, images.len()).into_iter().zip(images.clone()).collect();
                cut.spread.each(parts, |(mut points, image): (Vec<&mut [f32]>, usize)| {
                    let mut framed = cpu.buffers.take(out_frame.size(out_stride));
                    outgoing.differentiate(cpu, image, out_frame, &mut framed);
                    let tiles = (grid, rows.clone());
                    to_points::<T, Output>(cpu, (&framed, out_frame), out_stride, tiles, &mut points);
                });
            } else {
                let framed = kept.get_or_insert_with(|| {
                    let mut framed = cpu.buffers.take(out_frame.size(out_stride));
                    outgoing.differentiate(cpu, images.start, out_frame, &mut framed);
                    framed
                });
                for mut points in gradients.by_image(tiles, 1) {
                    let tiles = (grid, rows.clone());
                    to_points::<T, Output>(cpu, (framed, out_frame), out_stride, tiles, &mut points);
                }
            }
            if let Some(dweight) = dweight.as_deref_mut() {
                let mut points = Points::new(cpu, count, all, inputs);
                let parts = points.by_image(tiles, images.len()).into_iter().zip(images.clone()).collect();
                cut.spread.each(parts, |(mut points, image): (Vec<&mut [f32]>, usize)| {
                    let mut framed = cpu.buffers.take(in_frame.size(in_stride));
                    input.activate(cpu, image, in_frame, &mut framed);
                    let tiles = (grid, rows.clone());
                    to_points::<T, Input>(cpu, (&framed, in_frame), in_stride, tiles, &mut points);
                });
                let first = images.start == 0;
                accumulate(cpu, &points, &gradients, all, dweight, !first);
            }
            let (Some(kernels), Some(products)) = (kernels, &mut products) else { continue };
            multiply(cpu, cut.spread, &gradients, outputs, kernels, all, products);
            let scatter = |image: usize, framed: &mut [f32]| {
                let points = image_points(products, image * tiles..(image + 1) * tiles);
                let (rows, across) = (rows.clone(), grid.across);
                let (frame, stride, kind) = (in_frame, in_stride, PhantomData);
                FromPoints::<T, Input> { points: &points, values: framed, frame, stride, rows, across, kind }
                    .run(cpu.arch);
            };
            if whole {
                let parts = values.chunks_exact_mut(size.max(1)).enumerate().collect();
                cut.spread.each(parts, |(image, values): (usize, &mut [f32])| {
                    let mut framed = cpu.buffers.take(in_frame.size(in_stride));
                    framed.fill(0.0);
                    scatter(image, &mut framed);
                    crop(&framed, in_frame, values, (height, width), in_stride);
                });
            } else {
                let framed = framed_dx.get_or_insert_with(|| {
                    let mut framed = cpu.buffers.take(in_frame.size(in_stride));
                    framed.fill(0.0);
                    framed
                });
                scatter(0, framed);
            }
        }
        if let Some(framed) = framed_dx {
            crop(&framed, in_frame, values, (height, width), in_stride);
        }
        if kernels.is_none() {
            return Vec::new();
        }
        image_sums(cut.spread, values, size, |image, dy| input.gradient_sums(cpu, images.start + image, dy))
    };
    let all = pieces(&mut dx, cut.images);
    let sums = match &mut dweight {
        None => run_pieces(cut.spread, all, |part| piece(part, None)),
        Some(dweight) => all.into_iter().flat_map(|part| piece(part, Some(dweight))).collect(),
    };
    Gradients {
        input: kernels.map(|_| Gradient { dy: dx, sums: Sums::total(inputs, &sums) }),
        weight: dweight.map(|points| {
            let mut gradient = vec![0f32; outputs * inputs * 9];
            gradient_from_points::<T>(&points, (outputs, inputs), &mut gradient, cpu.arch);
            gradient
        }),
    }
}

/// Adds to `out` (for each point: inputs x outputs) the products of the input's points with those of the gradient.
fn accumulate(cpu: &Cpu, points: &Points, gradients: &Points, tiles: usize, out: &mut Planes, add: bool) {
    /// Rows of a part; the rows of a whole part fill the registers evenly.
    const ROWS: usize = 96;
    let stride = gradients.stride;
    let mut parts = Vec::new();
    for (point, out) in out.planes_mut().enumerate() {
        for (part, out) in out.chunks_mut(ROWS * stride).enumerate() {
            parts.push((point, part * ROWS, out));
        }
    }
    Spread::Parts.each(parts, |(point, first, out)| {
        Product {
            rows: out.len() / stride,
            depth: tiles,
            columns: stride,
            left: Left::transposed(&points.tiles(point, 0..tiles)[first..], points.stride),
            right: Right::Rows(gradients.tiles(point, 0..tiles), stride),
            out,
            out_stride: stride,
            add,
        }
        .compute(cpu.arch);
    });
}

/// Copies the image out of a frame.
fn crop(framed: &[f32], frame: Frame, image: &mut [f32], (height, width): (usize, usize), stride: usize) {
    for row in 0..height {
        let from = ((row + frame.margin) * frame.width + frame.margin) * stride;
        image[row * width * stride..(row + 1) * width * stride]
            .copy_from_slice(&framed[from..from + width * stride]);
    }
}
