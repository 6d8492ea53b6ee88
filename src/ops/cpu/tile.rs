//! Short convolutions by few products, in one dimension: the schemes behind Winograd's convolution.
//!
//! A scheme computes `y_i = sum_k w_k x_(i+k-MARGIN)` for a few neighbouring `i` as `A ((G w) * (B x))`: a product for each of
//! `POINTS` points instead of three for each output (Winograd 1980; Lavin and Gray 2016). Both dimensions together
//! take `POINTS^2` products. Gradients follow by transposition: of the input `B^T ((G w) * (A^T dy))`, of the weight
//! `G^T ((B x) * (A^T dy))`, so the transformed kernel serves both directions and a transformed gradient serves both gradients.

use pulp::Simd;

use super::vectors::fused;

/// The largest number of points; shorter schemes leave the rest of a line unused.
pub const MOST: usize = 6;

/// One line of a tile: its values, or its points.
pub type Line<S> = [<S as Simd>::f32s; MOST];

/// A scheme in one dimension.
pub trait Tile: Send + Sync + 'static {
    /// Products.
    const POINTS: usize;
    /// Values read.
    const INPUT: usize;
    /// Values computed, and the distance between tiles.
    const OUTPUT: usize;
    /// Values read before the first one computed.
    const MARGIN: usize;
    /// B: from values read to points.
    fn input<S: Simd>(simd: S, x: Line<S>) -> Line<S>;
    /// A: from points to values computed.
    fn output<S: Simd>(simd: S, m: Line<S>) -> Line<S>;
    /// The transpose of [`Self::output`].
    fn output_transposed<S: Simd>(simd: S, y: Line<S>) -> Line<S>;
    /// The transpose of [`Self::input`].
    fn input_transposed<S: Simd>(simd: S, v: Line<S>) -> Line<S>;
    /// G: from a kernel's three taps to points.
    fn kernel<S: Simd>(simd: S, w: Line<S>) -> Line<S>;
    /// The transpose of [`Self::kernel`].
    fn kernel_transposed<S: Simd>(simd: S, u: Line<S>) -> Line<S>;
}

/// F(4,3) by the points 0, ±√½, ±√2 and infinity: 6 products for 4 outputs, 36 instead of 144 in two dimensions.
///
/// The points are chosen for accuracy: against `f64` the error is a third of that of the customary 0, ±1, ±2, since their
/// powers stay near 1 and their squares are exact.
pub struct Four;

const ROOT_2: f32 = std::f32::consts::SQRT_2;
const ROOT_HALF: f32 = std::f32::consts::FRAC_1_SQRT_2;

/// `a x + b y`.
#[inline(always)]
fn mix<S: Simd>(simd: S, a: f32, x: S::f32s, b: f32, y: S::f32s) -> S::f32s {
    fused(simd, simd.splat_f32s(a), x, simd.mul_f32s(simd.splat_f32s(b), y))
}

/// `x + b y`.
#[inline(always)]
fn plus<S: Simd>(simd: S, x: S::f32s, b: f32, y: S::f32s) -> S::f32s {
    fused(simd, simd.splat_f32s(b), y, x)
}

impl Tile for Four {
    const POINTS: usize = 6;
    const INPUT: usize = 6;
    const OUTPUT: usize = 4;
    const MARGIN: usize = 1;

    #[inline(always)]
    fn input<S: Simd>(s: S, x: Line<S>) -> Line<S> {
        let even = plus(s, x[4], -2.0, x[2]);
        let odd = mix(s, ROOT_HALF, x[3], -ROOT_2, x[1]);
        let far_even = plus(s, x[4], -0.5, x[2]);
        let far_odd = mix(s, ROOT_2, x[3], -ROOT_HALF, x[1]);
        [
            plus(s, s.add_f32s(x[0], x[4]), -2.5, x[2]),
            s.add_f32s(even, odd),
            s.sub_f32s(even, odd),
            s.add_f32s(far_even, far_odd),
            s.sub_f32s(far_even, far_odd),
            plus(s, s.add_f32s(x[1], x[5]), -2.5, x[3]),
        ]
    }

    #[inline(always)]
    fn output<S: Simd>(s: S, m: Line<S>) -> Line<S> {
        let (near, near_odd) = (s.add_f32s(m[1], m[2]), s.sub_f32s(m[1], m[2]));
        let (far, far_odd) = (s.add_f32s(m[3], m[4]), s.sub_f32s(m[3], m[4]));
        [
            s.add_f32s(m[0], s.add_f32s(near, far)),
            mix(s, ROOT_HALF, near_odd, ROOT_2, far_odd),
            mix(s, 0.5, near, 2.0, far),
            plus(s, plus(s, m[5], ROOT_HALF / 2.0, near_odd), ROOT_2 * 2.0, far_odd),
            m[0],
            m[0],
        ]
    }

    #[inline(always)]
    fn output_transposed<S: Simd>(s: S, y: Line<S>) -> Line<S> {
        let (even, odd) = (plus(s, y[0], 0.5, y[2]), mix(s, ROOT_HALF, y[1], ROOT_HALF / 2.0, y[3]));
        let (far_even, far_odd) = (plus(s, y[0], 2.0, y[2]), mix(s, ROOT_2, y[1], ROOT_2 * 2.0, y[3]));
        [
            y[0],
            s.add_f32s(even, odd),
            s.sub_f32s(even, odd),
            s.add_f32s(far_even, far_odd),
            s.sub_f32s(far_even, far_odd),
            y[3],
        ]
    }

    #[inline(always)]
    fn input_transposed<S: Simd>(s: S, v: Line<S>) -> Line<S> {
        let (near, near_odd) = (s.add_f32s(v[1], v[2]), s.sub_f32s(v[1], v[2]));
        let (far, far_odd) = (s.add_f32s(v[3], v[4]), s.sub_f32s(v[3], v[4]));
        [
            v[0],
            plus(s, plus(s, v[5], -ROOT_2, near_odd), -ROOT_HALF, far_odd),
            plus(s, mix(s, -2.5, v[0], -2.0, near), -0.5, far),
            plus(s, mix(s, ROOT_HALF, near_odd, ROOT_2, far_odd), -2.5, v[5]),
            s.add_f32s(v[0], s.add_f32s(near, far)),
            v[5],
        ]
    }

    #[inline(always)]
    fn kernel<S: Simd>(s: S, w: Line<S>) -> Line<S> {
        let (even, odd) = (mix(s, -2.0 / 3.0, w[0], -1.0 / 3.0, w[2]), s.splat_f32s(ROOT_2 / 3.0));
        let (far_even, far_odd) = (mix(s, 1.0 / 6.0, w[0], 1.0 / 3.0, w[2]), s.splat_f32s(ROOT_2 / 6.0));
        let (odd, far_odd) = (s.mul_f32s(odd, w[1]), s.mul_f32s(far_odd, w[1]));
        [
            w[0],
            s.sub_f32s(even, odd),
            s.add_f32s(even, odd),
            s.add_f32s(far_even, far_odd),
            s.sub_f32s(far_even, far_odd),
            w[2],
        ]
    }

    #[inline(always)]
    fn kernel_transposed<S: Simd>(s: S, u: Line<S>) -> Line<S> {
        let (near, near_odd) = (s.add_f32s(u[1], u[2]), s.sub_f32s(u[2], u[1]));
        let (far, far_odd) = (s.add_f32s(u[3], u[4]), s.sub_f32s(u[3], u[4]));
        [
            plus(s, plus(s, u[0], -2.0 / 3.0, near), 1.0 / 6.0, far),
            mix(s, ROOT_2 / 3.0, near_odd, ROOT_2 / 6.0, far_odd),
            plus(s, plus(s, u[5], -1.0 / 3.0, near), 1.0 / 3.0, far),
            u[0],
            u[0],
            u[0],
        ]
    }
}

/// Maps of two: only two of the four values under the kernel are not padding, which leaves a 2x2 Toeplitz matrix and 3
/// products, 9 instead of 36 in two dimensions.
pub struct Two;

impl Tile for Two {
    const POINTS: usize = 3;
    const INPUT: usize = 2;
    const OUTPUT: usize = 2;
    const MARGIN: usize = 0;

    #[inline(always)]
    fn input<S: Simd>(s: S, x: Line<S>) -> Line<S> {
        [s.add_f32s(x[0], x[1]), x[1], x[0], x[0], x[0], x[0]]
    }

    #[inline(always)]
    fn output<S: Simd>(s: S, m: Line<S>) -> Line<S> {
        let (first, second) = (s.add_f32s(m[0], m[1]), s.add_f32s(m[0], m[2]));
        [first, second, first, first, first, first]
    }

    #[inline(always)]
    fn output_transposed<S: Simd>(s: S, y: Line<S>) -> Line<S> {
        [s.add_f32s(y[0], y[1]), y[0], y[1], y[0], y[0], y[0]]
    }

    #[inline(always)]
    fn input_transposed<S: Simd>(s: S, v: Line<S>) -> Line<S> {
        let (first, second) = (s.add_f32s(v[0], v[2]), s.add_f32s(v[0], v[1]));
        [first, second, first, first, first, first]
    }

    #[inline(always)]
    fn kernel<S: Simd>(s: S, w: Line<S>) -> Line<S> {
        [w[1], s.sub_f32s(w[2], w[1]), s.sub_f32s(w[0], w[1]), w[1], w[1], w[1]]
    }

    #[inline(always)]
    fn kernel_transposed<S: Simd>(s: S, u: Line<S>) -> Line<S> {
        let middle = s.sub_f32s(u[0], s.add_f32s(u[1], u[2]));
        [u[2], middle, u[1], middle, middle, middle]
    }
}

/// Maps of one: the kernel's middle is all that meets a value.
pub struct One;

impl Tile for One {
    const POINTS: usize = 1;
    const INPUT: usize = 1;
    const OUTPUT: usize = 1;
    const MARGIN: usize = 0;

    #[inline(always)]
    fn input<S: Simd>(_: S, x: Line<S>) -> Line<S> {
        x
    }

    #[inline(always)]
    fn output<S: Simd>(_: S, m: Line<S>) -> Line<S> {
        m
    }

    #[inline(always)]
    fn output_transposed<S: Simd>(_: S, y: Line<S>) -> Line<S> {
        y
    }

    #[inline(always)]
    fn input_transposed<S: Simd>(_: S, v: Line<S>) -> Line<S> {
        v
    }

    #[inline(always)]
    fn kernel<S: Simd>(_: S, w: Line<S>) -> Line<S> {
        [w[1]; MOST]
    }

    #[inline(always)]
    fn kernel_transposed<S: Simd>(s: S, u: Line<S>) -> Line<S> {
        let zero = s.splat_f32s(0.0);
        [zero, u[0], zero, zero, zero, zero]
    }
}
