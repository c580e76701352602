//! Finds the stage that carries out an action, and says what this build can compute on.

use serde::de::DeserializeOwned;
use serde_json::Value;

use crate::{
    augment::Augment,
    decode::Decode,
    evaluate::Evaluate,
    fetch::FetchAction,
    search::{History, Promote, Propose, Select, Split},
    stage::Stage,
    train::Train,
    visualize_filters::VisualizeFilters,
};

/// Returns the stage called `name` with these parameters.
///
/// # Errors
/// If this build has no such stage or version, or the parameters do not fit: the text says which.
pub fn instantiate(name: &str, version: u32, params: &Value) -> Result<Box<dyn Stage>, String> {
    let stage: Box<dyn Stage> = match name {
        "fetch" => read::<FetchAction>(name, params)?,
        "decode" => read::<Decode>(name, params)?,
        "augment" => read::<Augment>(name, params)?,
        "propose" => read::<Propose>(name, params)?,
        "promote" => read::<Promote>(name, params)?,
        "history" => read::<History>(name, params)?,
        "split" => read::<Split>(name, params)?,
        "select" => read::<Select>(name, params)?,
        "train" => read::<Train>(name, params)?,
        "evaluate" => read::<Evaluate>(name, params)?,
        "visualize_filters" => read::<VisualizeFilters>(name, params)?,
        _ => return Err(format!("this build has no stage `{name}`")),
    };
    let known = stage.id();
    debug_assert_eq!(known.name, name, "stages are listed by their names");
    if known.version != version {
        return Err(format!("this build has version {} of the stage `{name}`, not version {version}", known.version));
    }
    Ok(stage)
}

fn read<S: Stage + DeserializeOwned + 'static>(name: &str, params: &Value) -> Result<Box<dyn Stage>, String> {
    let stage: S = serde_json::from_value(params.clone())
        .map_err(|error| format!("the parameters of `{name}` do not fit: {error}"))?;
    Ok(Box::new(stage))
}

/// Returns the name of the numerics class, which is part of an action. On CPUs the same class gives the same bits on every
/// machine; on GPUs it gives the same numbers within a tolerance. The name covers how dropout masks are drawn, too.
pub fn numerics(cuda: bool) -> &'static str {
    if cuda { "f32 tf32 burn-cuda-0.22.1 masks-2" } else { crate::network::numerics() }
}

/// Makes this process compute with `threads` threads. Call it once, before anything is computed: a later call has no effect.
/// The number of threads changes how long things take and nothing else.
pub fn use_threads(threads: usize) {
    if let Err(error) = rayon::ThreadPoolBuilder::new().num_threads(threads).build_global() {
        tracing::debug!("threads: {error}");
    }
}

/// Returns how many CUDA devices there are.
///
/// # Errors
/// If this build has no CUDA; the text says so.
pub fn cuda_devices() -> Result<usize, &'static str> {
    #[cfg(feature = "cuda")]
    return Ok(burn::tensor::Device::enumerate(burn::tensor::DeviceType::Cuda).len());
    #[cfg(not(feature = "cuda"))]
    Err("this build of `pipe` has no CUDA")
}
