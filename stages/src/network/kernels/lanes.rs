//! Vectors of sixteen numbers, in the registers of this processor.
//!
//! A kernel is written once, for sixteen lanes, and compiled for each instruction set. The result of a lane does not depend on the
//! set: multiply-adds are fused everywhere (one rounding, IEEE 754), nothing is reassociated, and a reduction always covers sixteen
//! lanes, whatever the width of the registers. Results are therefore equal bit for bit.

use std::fmt;

/// The number of lanes of a vector. Channels are padded to a multiple of it.
pub(crate) const LANES: usize = 16;

/// A vector of [`LANES`] numbers.
///
/// Only [`Isa::run`] chooses the implementation, so a processor that runs code for some `L: Lanes` has the instruction set of `L`.
pub(crate) trait Lanes: Copy {
    /// The maximum number of column vectors in a tile of a matrix product. It leaves registers for the rows.
    const WIDTH: usize;

    /// Returns `x` in every lane.
    fn splat(x: f32) -> Self;

    /// Returns the numbers at `from`.
    ///
    /// # Safety
    /// `from` must point to [`LANES`] readable numbers.
    unsafe fn load(from: *const f32) -> Self;

    /// Writes the numbers to `to`.
    ///
    /// # Safety
    /// `to` must point to [`LANES`] writable numbers.
    unsafe fn store(self, to: *mut f32);

    /// Returns `self * factor + addend`, rounded once.
    fn mul_add(self, factor: Self, addend: Self) -> Self;
}

/// An instruction set that kernels are compiled for.
///
/// Invariant: this processor has the set. [`Isa::available`] is the only source of values.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Isa(Set);

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Set {
    /// Runs on every processor. Fused operations are function calls if the processor has no instruction for them. The other sets are
    /// tested against this one.
    Plain,
    #[cfg(target_arch = "x86_64")]
    Avx2,
    #[cfg(target_arch = "x86_64")]
    Avx512,
    #[cfg(target_arch = "aarch64")]
    Neon,
}

/// A computation that is generic over [`Lanes`].
pub(crate) trait Kernel {
    type Output;

    /// Runs the computation. Mark it and everything that it calls `#[inline(always)]`, because only inlined code is compiled for the
    /// instruction set.
    fn run<L: Lanes>(self) -> Self::Output;
}

impl Isa {
    /// Returns the best set of this processor.
    pub(crate) fn detect() -> Self {
        *Self::available().last().expect("every processor has the plain set")
    }

    /// Returns the sets of this processor, the best one last.
    pub(crate) fn available() -> &'static [Self] {
        #[cfg(target_arch = "x86_64")]
        {
            const ALL: [Isa; 3] = [Isa(Set::Plain), Isa(Set::Avx2), Isa(Set::Avx512)];
            if !(is_x86_feature_detected!("avx2") && is_x86_feature_detected!("fma")) {
                return &ALL[..1];
            }
            if is_x86_feature_detected!("avx512f") && is_x86_feature_detected!("avx512dq") { &ALL } else { &ALL[..2] }
        }
        #[cfg(target_arch = "aarch64")]
        return &[Self(Set::Plain), Self(Set::Neon)];
        #[cfg(not(any(target_arch = "x86_64", target_arch = "aarch64")))]
        return &[Self(Set::Plain)];
    }

    pub(crate) fn set(self) -> Set {
        self.0
    }

    /// Runs `kernel`, compiled for this set.
    #[inline]
    pub(crate) fn run<K: Kernel>(self, kernel: K) -> K::Output {
        match self.0 {
            Set::Plain => kernel.run::<Plain>(),
            // SAFETY: an `Isa` exists only if the processor has its instructions.
            #[cfg(target_arch = "x86_64")]
            Set::Avx2 => unsafe { x86::with_avx2(kernel) },
            // SAFETY: an `Isa` exists only if the processor has its instructions.
            #[cfg(target_arch = "x86_64")]
            Set::Avx512 => unsafe { x86::with_avx512(kernel) },
            #[cfg(target_arch = "aarch64")]
            Set::Neon => kernel.run::<arm::Neon>(),
        }
    }
}

impl fmt::Display for Isa {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self.0 {
            Set::Plain => "plain",
            #[cfg(target_arch = "x86_64")]
            Set::Avx2 => "AVX2",
            #[cfg(target_arch = "x86_64")]
            Set::Avx512 => "AVX-512",
            #[cfg(target_arch = "aarch64")]
            Set::Neon => "NEON",
        })
    }
}

impl fmt::Debug for Isa {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// Defines a function in plain Rust that is compiled for each instruction set. Its first argument, an `Isa`, selects the version to
/// call. The compiler vectorises the body but must neither fuse nor reassociate operations, so the results of all versions are equal
/// bit for bit.
macro_rules! kernel {
    (
        $(#[$meta:meta])*
        $vis:vis fn $name:ident($($argument:ident: $type:ty),* $(,)?) $(-> $output:ty)? $body:block
    ) => {
        $(#[$meta])*
        $vis fn $name(isa: $crate::network::kernels::lanes::Isa, $($argument: $type),*) $(-> $output)? {
            #[inline(always)]
            fn body($($argument: $type),*) $(-> $output)? $body

            #[cfg(target_arch = "x86_64")]
            #[target_feature(enable = "avx2,fma")]
            fn avx2($($argument: $type),*) $(-> $output)? {
                body($($argument),*)
            }

            #[cfg(target_arch = "x86_64")]
            #[target_feature(enable = "avx512f,avx512dq,avx2,fma")]
            fn avx512($($argument: $type),*) $(-> $output)? {
                body($($argument),*)
            }

            match isa.set() {
                // SAFETY: an `Isa` exists only if the processor has its instructions.
                #[cfg(target_arch = "x86_64")]
                $crate::network::kernels::lanes::Set::Avx2 => unsafe { avx2($($argument),*) },
                // SAFETY: an `Isa` exists only if the processor has its instructions.
                #[cfg(target_arch = "x86_64")]
                $crate::network::kernels::lanes::Set::Avx512 => unsafe { avx512($($argument),*) },
                // NEON is part of its architecture, so the plain version already uses it.
                _ => body($($argument),*),
            }
        }
    };
}
pub(crate) use kernel;

/// A vector for every processor.
#[derive(Clone, Copy)]
struct Plain([f32; LANES]);

impl Lanes for Plain {
    const WIDTH: usize = 1;

    #[inline(always)]
    fn splat(x: f32) -> Self {
        Self([x; LANES])
    }

    #[inline(always)]
    unsafe fn load(from: *const f32) -> Self {
        // SAFETY: the caller promises that there are `LANES` numbers.
        Self(unsafe { from.cast::<[f32; LANES]>().read_unaligned() })
    }

    #[inline(always)]
    unsafe fn store(self, to: *mut f32) {
        // SAFETY: the caller promises that there is room for `LANES` numbers.
        unsafe { to.cast::<[f32; LANES]>().write_unaligned(self.0) };
    }

    #[inline(always)]
    fn mul_add(self, factor: Self, addend: Self) -> Self {
        Self(std::array::from_fn(|lane| self.0[lane].mul_add(factor.0[lane], addend.0[lane])))
    }
}

#[cfg(target_arch = "x86_64")]
mod x86 {
    use std::arch::x86_64::{
        __m256, __m512, _mm256_fmadd_ps, _mm256_loadu_ps, _mm256_set1_ps, _mm256_storeu_ps, _mm512_fmadd_ps,
        _mm512_loadu_ps, _mm512_set1_ps, _mm512_storeu_ps,
    };

    use super::{Kernel, Lanes};

    #[target_feature(enable = "avx2,fma")]
    pub(super) fn with_avx2<K: Kernel>(kernel: K) -> K::Output {
        kernel.run::<Avx2>()
    }

    #[target_feature(enable = "avx512f,avx512dq,avx2,fma")]
    pub(super) fn with_avx512<K: Kernel>(kernel: K) -> K::Output {
        kernel.run::<Avx512>()
    }

    /// A vector in two AVX registers. Only [`with_avx2`] may use it.
    #[derive(Clone, Copy)]
    struct Avx2([__m256; 2]);

    impl Lanes for Avx2 {
        const WIDTH: usize = 1;

        #[inline(always)]
        fn splat(x: f32) -> Self {
            // SAFETY: `with_avx2` runs only where the processor has AVX2.
            Self(unsafe { [_mm256_set1_ps(x); 2] })
        }

        #[inline(always)]
        unsafe fn load(from: *const f32) -> Self {
            // SAFETY: the processor as in `splat`; the caller promises that there are `LANES` numbers.
            Self(unsafe { [_mm256_loadu_ps(from), _mm256_loadu_ps(from.add(8))] })
        }

        #[inline(always)]
        unsafe fn store(self, to: *mut f32) {
            // SAFETY: the processor as in `splat`; the caller promises that there is room for `LANES` numbers.
            unsafe {
                _mm256_storeu_ps(to, self.0[0]);
                _mm256_storeu_ps(to.add(8), self.0[1]);
            }
        }

        #[inline(always)]
        fn mul_add(self, factor: Self, addend: Self) -> Self {
            // SAFETY: `with_avx2` runs only where the processor has FMA.
            let half = |i: usize| unsafe { _mm256_fmadd_ps(self.0[i], factor.0[i], addend.0[i]) };
            Self([half(0), half(1)])
        }
    }

    /// A vector in one AVX-512 register. Only [`with_avx512`] may use it.
    #[derive(Clone, Copy)]
    struct Avx512(__m512);

    impl Lanes for Avx512 {
        const WIDTH: usize = 4;

        #[inline(always)]
        fn splat(x: f32) -> Self {
            // SAFETY: `with_avx512` runs only where the processor has AVX-512F.
            Self(unsafe { _mm512_set1_ps(x) })
        }

        #[inline(always)]
        unsafe fn load(from: *const f32) -> Self {
            // SAFETY: the processor as in `splat`; the caller promises that there are `LANES` numbers.
            Self(unsafe { _mm512_loadu_ps(from) })
        }

        #[inline(always)]
        unsafe fn store(self, to: *mut f32) {
            // SAFETY: the processor as in `splat`; the caller promises that there is room for `LANES` numbers.
            unsafe { _mm512_storeu_ps(to, self.0) };
        }

        #[inline(always)]
        fn mul_add(self, factor: Self, addend: Self) -> Self {
            // SAFETY: `with_avx512` runs only where the processor has AVX-512F.
            Self(unsafe { _mm512_fmadd_ps(self.0, factor.0, addend.0) })
        }
    }
}

#[cfg(target_arch = "aarch64")]
mod arm {
    use std::arch::aarch64::{float32x4_t, vdupq_n_f32, vfmaq_f32, vld1q_f32, vst1q_f32};

    use super::Lanes;

    /// A vector in four NEON registers, which every processor of this architecture has.
    #[derive(Clone, Copy)]
    pub(super) struct Neon([float32x4_t; 4]);

    impl Lanes for Neon {
        const WIDTH: usize = 1;

        #[inline(always)]
        fn splat(x: f32) -> Self {
            // SAFETY: the instructions are part of the architecture.
            Self(unsafe { [vdupq_n_f32(x); 4] })
        }

        #[inline(always)]
        unsafe fn load(from: *const f32) -> Self {
            // SAFETY: the processor as in `splat`; the caller promises that there are `LANES` numbers.
            Self(std::array::from_fn(|i| unsafe { vld1q_f32(from.add(4 * i)) }))
        }

        #[inline(always)]
        unsafe fn store(self, to: *mut f32) {
            for (i, quarter) in self.0.into_iter().enumerate() {
                // SAFETY: the processor as in `splat`; the caller promises that there is room for `LANES` numbers.
                unsafe { vst1q_f32(to.add(4 * i), quarter) };
            }
        }

        #[inline(always)]
        fn mul_add(self, factor: Self, addend: Self) -> Self {
            // SAFETY: the instructions are part of the architecture.
            Self(std::array::from_fn(|i| unsafe { vfmaq_f32(addend.0[i], self.0[i], factor.0[i]) }))
        }
    }
}
