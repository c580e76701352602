//! The types of `cubecl-llvm` that `cubecl-cuda` mentions, without LLVM. See README.md.

use std::{convert::Infallible, ffi::c_char, fmt};

use cubecl_environment::backtrace::BackTrace;
use cubecl_ir::nvidia::SmArch;
use cubecl_runtime::{
    compiler::{CompilationError, Compiler},
    kernel::{BufferIOAttr, KernelDefinition},
};
use nvptx::ptx_version::PtxVersion;

/// The architectures for which kernels could be compiled.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum LlvmTarget {
    /// NVIDIA GPUs.
    #[default]
    Nvptx,
}

/// A compiler that refuses every kernel.
#[derive(Debug, Clone, Default)]
pub struct PlironCompiler {
    /// The architecture for which it does not compile.
    pub target: LlvmTarget,
}

/// The options of [`PlironCompiler`].
#[derive(Debug, Clone, Default)]
pub struct PlironOptions {
    /// The architecture of an AMD GPU: there is none.
    pub arch: Option<Infallible>,
    /// The architecture of an NVIDIA GPU.
    pub sm_arch: Option<SmArch>,
    /// The version of PTX.
    pub ptx_version: Option<PtxVersion>,
    /// Whether scalars are in the block of parameters.
    pub grid_constants: bool,
    /// Lets the struct be completed with `..Default::default()`.
    pub rest: (),
}

/// A compiled kernel for NVIDIA GPUs. There is none.
#[derive(Debug, Clone)]
pub struct NvptxModule {
    /// The assembly, with a NUL at its end.
    pub ptx: Vec<c_char>,
    /// The intermediate representation.
    pub ir: String,
    /// The shared memory of a launch, in bytes.
    pub shared_memory_size: usize,
    /// How each buffer is accessed.
    pub io: Vec<BufferIOAttr>,
    #[expect(dead_code, reason = "it makes values of this type impossible")]
    never: Infallible,
}

/// A compiled kernel. There is none.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub enum PlironArtifact {
    /// For NVIDIA GPUs.
    NvptxCode(NvptxModule),
}

impl fmt::Display for PlironArtifact {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self::NvptxCode(module) = self;
        f.write_str(&module.ir)
    }
}

impl Compiler for PlironCompiler {
    type Representation = PlironArtifact;
    type CompilationOptions = PlironOptions;

    fn compile(
        &mut self,
        _kernel: KernelDefinition,
        _options: &PlironOptions,
    ) -> Result<PlironArtifact, CompilationError> {
        Err(CompilationError::Generic {
            reason: "this build has no LLVM; enable the feature `cuda-cpp` of cubecl".to_owned(),
            backtrace: BackTrace::capture(),
        })
    }

    fn extension(&self) -> &'static str {
        "ll"
    }

    fn lang_tag(&self) -> &'static str {
        "llvm"
    }
}

pub mod nvptx {
    //! NVIDIA GPUs.

    pub mod ptx_version {
        //! Versions of PTX.

        use std::{convert::Infallible, fmt};

        /// A version of PTX. There is none.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
        pub struct PtxVersion(Infallible);

        impl PtxVersion {
            /// Returns the newest version that a driver loads: none, because nothing here writes PTX.
            pub fn for_driver(_driver: i32) -> Option<Self> {
                None
            }
        }

        impl fmt::Display for PtxVersion {
            fn fmt(&self, _f: &mut fmt::Formatter<'_>) -> fmt::Result {
                match self.0 {}
            }
        }
    }
}

pub mod shared {
    //! What the compilers for all GPUs share.

    pub mod lowered_features {
        //! The features of a device that LLVM could use.

        use cubecl_ir::DeviceProperties;

        /// The GPUs for which features are restricted.
        #[derive(Debug, Clone, Copy, PartialEq, Eq)]
        pub enum GpuTarget {
            /// NVIDIA GPUs.
            Nvptx,
        }

        /// Is only called where LLVM compiles the kernels.
        ///
        /// # Panics
        /// Always.
        pub fn restrict_features(_properties: &mut DeviceProperties, _target: GpuTarget) {
            panic!("this build has no LLVM; enable the feature `cuda-cpp` of cubecl");
        }
    }
}
