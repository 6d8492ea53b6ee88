//! Which vector instructions the kernels use.
//!
//! Results do not depend on the instruction set: every kernel computes each value by the same operations in
//! the same order, whatever the width of a vector, and every `a b + c` is rounded once.

use std::env::VarError;
use std::fmt;
use std::sync::OnceLock;

use miette::Diagnostic;
use pulp::{Arch, Simd};

/// The variable that chooses the instruction set of a process.
pub const VARIABLE: &str = "RUNNER_VECTORS";

/// Every name that [`VARIABLE`] may have, on one machine or another.
const NAMES: [&str; 4] = ["avx512", "avx2", "neon", "plain"];

/// An instruction set that this machine has.
#[derive(Debug, Clone, Copy)]
pub struct Vectors(Arch);

/// A value of `RUNNER_VECTORS` that cannot be used.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error, Diagnostic)]
pub enum VectorsError {
    /// No instruction set has this name.
    #[error("RUNNER_VECTORS is `{found}`, expected one of {}", NAMES.join(", "))]
    #[diagnostic(help(
        "unset it to use the widest vectors of this CPU; results are the same with all of them"
    ))]
    Unknown {
        /// What the variable holds.
        found: String,
    },
    /// The CPU lacks it.
    #[error("RUNNER_VECTORS is `{found}`, which this CPU does not have; it has {available}")]
    #[diagnostic(help(
        "unset it to use the widest vectors of this CPU; results are the same with all of them"
    ))]
    NotHere {
        /// What the variable holds.
        found: String,
        /// Names of the sets that the CPU has.
        available: String,
    },
}

impl Vectors {
    /// Those of this machine, the widest first. The last is plain code, which every CPU of the architecture
    /// runs.
    pub fn available() -> Vec<Self> {
        let mut found = Vec::new();
        #[cfg(target_arch = "x86_64")]
        {
            found.extend(pulp::x86::V4::try_new().map(|simd| Self(Arch::V4(simd))));
            found.extend(pulp::x86::V3::try_new().map(|simd| Self(Arch::V3(simd))));
        }
        #[cfg(target_arch = "aarch64")]
        found.extend(pulp::aarch64::Neon::try_new().map(|simd| Self(Arch::Neon(simd))));
        found.push(Self(Arch::Scalar));
        found
    }

    /// The widest.
    pub fn widest() -> Self {
        Self::available().first().copied().unwrap_or(Self(Arch::Scalar))
    }

    /// Those of this process: what `RUNNER_VECTORS` names, the widest where it is unset or empty. Read once.
    ///
    /// # Errors
    /// A name that is unknown, or an instruction set that the CPU lacks.
    pub fn chosen() -> Result<Self, VectorsError> {
        static CHOSEN: OnceLock<Result<Vectors, VectorsError>> = OnceLock::new();
        let read = || match std::env::var(VARIABLE) {
            Ok(name) if !name.is_empty() => Self::named(&name),
            Err(VarError::NotUnicode(name)) => {
                Err(VectorsError::Unknown { found: name.to_string_lossy().into_owned() })
            }
            Ok(_) | Err(VarError::NotPresent) => Ok(Self::widest()),
        };
        CHOSEN.get_or_init(read).clone()
    }

    fn named(name: &str) -> Result<Self, VectorsError> {
        let available = Self::available();
        if let Some(found) = available.iter().find(|vectors| vectors.name() == name) {
            return Ok(*found);
        }
        let found = name.to_owned();
        if !NAMES.contains(&name) {
            return Err(VectorsError::Unknown { found });
        }
        let names: Vec<&str> = available.iter().map(|vectors| vectors.name()).collect();
        Err(VectorsError::NotHere { found, available: names.join(", ") })
    }

    /// Its name, as in `RUNNER_VECTORS`.
    pub fn name(self) -> &'static str {
        match self.0 {
            #[cfg(target_arch = "x86_64")]
            Arch::V4(_) => "avx512",
            #[cfg(target_arch = "x86_64")]
            Arch::V3(_) => "avx2",
            #[cfg(target_arch = "aarch64")]
            Arch::Neon(_) => "neon",
            _ => "plain",
        }
    }

    /// The value that kernels are dispatched by.
    pub(super) fn arch(self) -> Arch {
        self.0
    }
}

impl fmt::Display for Vectors {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// `a b + c`, rounded once. `pulp`'s `mul_add_e_f32s` rounds twice in plain code.
#[inline(always)]
pub fn fused<S: Simd>(simd: S, a: S::f32s, b: S::f32s, c: S::f32s) -> S::f32s {
    simd.mul_add_f32s(a, b, c)
}

/// The larger of two values; the second where neither is larger. This is the maximum of x86 vectors. Those of
/// other instruction sets differ for signed zeros and NaN.
#[inline(always)]
pub fn larger<S: Simd>(simd: S, a: S::f32s, b: S::f32s) -> S::f32s {
    if cfg!(target_arch = "x86_64") && S::F32_LANES > 1 {
        simd.max_f32s(a, b)
    } else {
        simd.select_f32s(simd.less_than_f32s(b, a), a, b)
    }
}

#[cfg(test)]
mod tests {
    use pulp::WithSimd;

    use super::*;

    #[test]
    fn names_are_read_and_others_are_refused_in_words() {
        for vectors in Vectors::available() {
            assert_eq!(Vectors::named(vectors.name()).unwrap().name(), vectors.name());
            assert!(NAMES.contains(&vectors.name()));
        }
        assert_eq!(Vectors::available().last().unwrap().name(), "plain");
        let unknown = Vectors::named("avx1024").unwrap_err().to_string();
        assert_eq!(unknown, "RUNNER_VECTORS is `avx1024`, expected one of avx512, avx2, neon, plain");
        let foreign = if cfg!(target_arch = "x86_64") { "neon" } else { "avx2" };
        let error = Vectors::named(foreign).unwrap_err().to_string();
        assert!(error.contains("this CPU does not have; it has ") && error.contains("plain"), "{error}");
    }

    /// `a b + c` and the larger of `a` and `b`, of 16 values each.
    struct Both<'a>(&'a [[f32; 16]; 3]);

    impl WithSimd for Both<'_> {
        type Output = [Vec<u32>; 2];

        #[inline(always)]
        fn with_simd<S: Simd>(self, simd: S) -> Self::Output {
            let mut found = [[0f32; 16]; 2];
            for at in (0..16).step_by(S::F32_LANES) {
                let [a, b, c] = [0, 1, 2].map(|i| S::as_simd_f32s(&self.0[i][at..at + S::F32_LANES]).0[0]);
                let values = [fused(simd, a, b, c), larger(simd, a, b)];
                for (found, value) in found.iter_mut().zip(values) {
                    S::as_mut_simd_f32s(&mut found[at..at + S::F32_LANES]).0[0] = value;
                }
            }
            found.map(|values| values.map(f32::to_bits).to_vec())
        }
    }

    #[test]
    fn every_instruction_set_rounds_once_and_has_one_maximum() {
        let tiny = f32::EPSILON;
        let a = [
            1.0 + tiny,
            1.0 - tiny,
            3.0,
            1e20,
            1e-30,
            -0.0,
            0.0,
            0.1,
            -0.1,
            f32::MIN_POSITIVE,
            1e-45,
            7.0,
            0.3,
            -1.5,
            f32::INFINITY,
            2.5,
        ];
        let b = [
            1.0 - tiny,
            1.0 - tiny,
            1.0 / 3.0,
            1e20,
            1e-30,
            0.0,
            -0.0,
            0.1,
            10.0,
            0.5,
            0.5,
            -7.0,
            0.7,
            -1.5,
            1.0,
            f32::NAN,
        ];
        let c = [
            -1.0, -1.0, -1.0, -1e38, 1e-45, 0.0, -0.0, -0.01, 1.0, -1e-45, 1e-45, 49.0, -0.21, -2.25, 1.0,
            0.0,
        ];
        let values = [a, b, c];
        let once: Vec<u32> = (0..15)
            .map(|i| f64::from(a[i]).mul_add(f64::from(b[i]), f64::from(c[i])) as f32)
            .map(f32::to_bits)
            .collect();
        for vectors in Vectors::available() {
            let [sums, largest] = vectors.arch().dispatch(Both(&values));
            // The product of two `f32` is exact in `f64`; none of these sums lies halfway between two `f32`.
            assert_eq!(sums[..15], once, "{vectors}");
            let expected = |i: usize| if a[i] > b[i] { a[i] } else { b[i] }.to_bits();
            assert_eq!(largest, (0..16).map(expected).collect::<Vec<_>>(), "{vectors}");
        }
    }
}
