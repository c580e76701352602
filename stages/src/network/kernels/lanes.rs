//! Sixteen numbers side by side, on whatever this processor computes them with.
//!
//! A kernel is written once, for sixteen lanes, and compiled for each instruction set. What a lane computes does not depend on
//! the set: multiplications with addition are fused everywhere (one rounding, IEEE 754), nothing is reassociated, and no
//! reduction is over fewer or more lanes because registers are narrower or wider. So results are equal bit for bit.

use std::fmt;

/// Lanes in a vector; channels are padded to a multiple of it.
pub const LANES: usize = 16;

/// A vector of [`LANES`] numbers.
pub trait Lanes: Copy {
    /// Vectors of columns that a tile of a matrix product is wide at most: as many as leave registers for the rows.
    const WIDTH: usize;

    /// Returns `x` in every lane.
    fn splat(x: f32) -> Self;

    /// Returns the numbers at `from`.
    ///
    /// # Safety
    /// There are 16 numbers at `from`, and this processor has the instruction set.
    unsafe fn load(from: *const f32) -> Self;

    /// Writes the numbers to `to`.
    ///
    /// # Safety
    /// There is room for 16 numbers at `to`, and this processor has the instruction set.
    unsafe fn store(self, to: *mut f32);

    /// Returns `self * factor + addend`, rounded once.
    fn mul_add(self, factor: Self, addend: Self) -> Self;
}

/// An instruction set that kernels are compiled for. There are values only of those that this processor has.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Isa(Set);

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Set {
    /// What every processor has, with the fused operations as function calls where there is no instruction. The oracle of the
    /// others.
    Plain,
    #[cfg(target_arch = "x86_64")]
    Avx2,
    #[cfg(target_arch = "x86_64")]
    Avx512,
    #[cfg(target_arch = "aarch64")]
    Neon,
}

/// A computation that is written for any [`Lanes`].
pub trait Kernel {
    type Output;

    /// Computes. To be marked `#[inline(always)]`, with all that it calls: only what is inlined is compiled for the set.
    fn run<L: Lanes>(self) -> Self::Output;
}

impl Isa {
    /// Returns the best set that this processor has.
    pub fn detect() -> Self {
        *Self::available().last().expect("every processor has the plain set")
    }

    /// Returns the sets that this processor has, the best last.
    pub fn available() -> &'static [Self] {
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
    pub fn run<K: Kernel>(self, kernel: K) -> K::Output {
        match self.0 {
            Set::Plain => kernel.run::<Plain>(),
            // SAFETY: there is no such value where the processor has no such instructions.
            #[cfg(target_arch = "x86_64")]
            Set::Avx2 => unsafe { x86::with_avx2(kernel) },
            // SAFETY: as above.
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

/// Defines a function in plain Rust that is compiled for each instruction set; its first argument says for which it is called.
/// The compiler vectorises the body, and may neither fuse nor reassociate: bits are equal on every set.
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
                // SAFETY: there is no such value where the processor has no such instructions.
                #[cfg(target_arch = "x86_64")]
                $crate::network::kernels::lanes::Set::Avx2 => unsafe { avx2($($argument),*) },
                // SAFETY: as above.
                #[cfg(target_arch = "x86_64")]
                $crate::network::kernels::lanes::Set::Avx512 => unsafe { avx512($($argument),*) },
                // NEON is part of its architecture: the plain form is compiled for it.
                _ => body($($argument),*),
            }
        }
    };
}
pub(crate) use kernel;

/// Sixteen numbers in an array.
#[derive(Clone, Copy)]
pub struct Plain([f32; LANES]);

impl Lanes for Plain {
    const WIDTH: usize = 1;

    #[inline(always)]
    fn splat(x: f32) -> Self {
        Self([x; LANES])
    }

    #[inline(always)]
    unsafe fn load(from: *const f32) -> Self {
        // SAFETY: the caller's.
        Self(unsafe { from.cast::<[f32; LANES]>().read_unaligned() })
    }

    #[inline(always)]
    unsafe fn store(self, to: *mut f32) {
        // SAFETY: the caller's.
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

    #[derive(Clone, Copy)]
    pub struct Avx2([__m256; 2]);

    // SAFETY, of all its functions: only `with_avx2` names the type, and its caller has asked the processor.
    impl Lanes for Avx2 {
        const WIDTH: usize = 1;

        #[inline(always)]
        fn splat(x: f32) -> Self {
            Self(unsafe { [_mm256_set1_ps(x); 2] })
        }

        #[inline(always)]
        unsafe fn load(from: *const f32) -> Self {
            Self(unsafe { [_mm256_loadu_ps(from), _mm256_loadu_ps(from.add(8))] })
        }

        #[inline(always)]
        unsafe fn store(self, to: *mut f32) {
            unsafe {
                _mm256_storeu_ps(to, self.0[0]);
                _mm256_storeu_ps(to.add(8), self.0[1]);
            }
        }

        #[inline(always)]
        fn mul_add(self, factor: Self, addend: Self) -> Self {
            let half = |i: usize| unsafe { _mm256_fmadd_ps(self.0[i], factor.0[i], addend.0[i]) };
            Self([half(0), half(1)])
        }
    }

    #[derive(Clone, Copy)]
    pub struct Avx512(__m512);

    // SAFETY, of all its functions: only `with_avx512` names the type, and its caller has asked the processor.
    impl Lanes for Avx512 {
        const WIDTH: usize = 4;

        #[inline(always)]
        fn splat(x: f32) -> Self {
            Self(unsafe { _mm512_set1_ps(x) })
        }

        #[inline(always)]
        unsafe fn load(from: *const f32) -> Self {
            Self(unsafe { _mm512_loadu_ps(from) })
        }

        #[inline(always)]
        unsafe fn store(self, to: *mut f32) {
            unsafe { _mm512_storeu_ps(to, self.0) };
        }

        #[inline(always)]
        fn mul_add(self, factor: Self, addend: Self) -> Self {
            Self(unsafe { _mm512_fmadd_ps(self.0, factor.0, addend.0) })
        }
    }
}

#[cfg(target_arch = "aarch64")]
mod arm {
    use std::arch::aarch64::{float32x4_t, vdupq_n_f32, vfmaq_f32, vld1q_f32, vst1q_f32};

    use super::Lanes;

    /// Every processor of this architecture has it.
    #[derive(Clone, Copy)]
    pub struct Neon([float32x4_t; 4]);

    // SAFETY, of all its functions: the instructions are part of the architecture.
    impl Lanes for Neon {
        const WIDTH: usize = 1;

        #[inline(always)]
        fn splat(x: f32) -> Self {
            Self(unsafe { [vdupq_n_f32(x); 4] })
        }

        #[inline(always)]
        unsafe fn load(from: *const f32) -> Self {
            Self(std::array::from_fn(|i| unsafe { vld1q_f32(from.add(4 * i)) }))
        }

        #[inline(always)]
        unsafe fn store(self, to: *mut f32) {
            for (i, quarter) in self.0.into_iter().enumerate() {
                unsafe { vst1q_f32(to.add(4 * i), quarter) };
            }
        }

        #[inline(always)]
        fn mul_add(self, factor: Self, addend: Self) -> Self {
            Self(std::array::from_fn(|i| unsafe { vfmaq_f32(addend.0[i], self.0[i], factor.0[i]) }))
        }
    }
}
