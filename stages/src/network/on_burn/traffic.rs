//! All copies between the host and a device go through this file, and are counted in tests of a GPU.

use burn::tensor::{Device, Tensor, TensorData};
#[cfg(feature = "gpu")]
use burn::tensor::{Int, Transaction};

/// Copies numbers to `device`.
pub(crate) fn upload<const D: usize>(values: Vec<f32>, shape: [usize; D], device: &Device) -> Tensor<D> {
    #[cfg(all(test, feature = "gpu"))]
    counted(device, |traffic| traffic.uploads.push(values.len()));
    Tensor::from_data(TensorData::new(values, shape), device)
}

/// Copies words to `device`.
#[cfg(feature = "gpu")]
pub(crate) fn upload_words(values: Vec<u32>, device: &Device) -> Tensor<1, Int> {
    #[cfg(all(test, feature = "gpu"))]
    counted(device, |traffic| traffic.uploads.push(values.len()));
    let data = TensorData::new(values.iter().map(|word| word.cast_signed()).collect::<Vec<i32>>(), [values.len()]);
    Tensor::from_data(data, device)
}

/// Returns the elements of a tensor, in row-major order. Waits for the device.
pub(crate) fn numbers<const D: usize>(tensor: Tensor<D>) -> Vec<f32> {
    #[cfg(all(test, feature = "gpu"))]
    counted(&tensor.device(), |traffic| traffic.reads += 1);
    tensor.into_data().try_into_vec::<f32>().expect("networks compute with f32")
}

/// Reads tensors at once: waits for the device once. The error says what the device says.
#[cfg(feature = "gpu")]
pub(crate) fn read_all(tensors: impl Iterator<Item = Tensor<1>>) -> Result<Vec<Vec<f32>>, String> {
    let tensors: Vec<_> = tensors.collect();
    #[cfg(test)]
    counted(&tensors[0].device(), |traffic| traffic.reads += 1);
    let transaction = tensors.into_iter().fold(Transaction::default(), |all, tensor| all.register(tensor));
    let read = transaction.try_execute().map_err(|error| error.to_string())?;
    Ok(read.into_iter().map(|data| data.try_into_vec::<f32>().expect("networks compute with f32")).collect())
}

/// What was copied to and from GPUs. Only one test at a time has one, and other tests use burn on the processor meanwhile, which is not
/// counted.
#[cfg(all(test, feature = "gpu"))]
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Traffic {
    /// The numbers or words of each copy to a GPU.
    pub(crate) uploads: Vec<usize>,
    /// The times that the host waited for a GPU.
    pub(crate) reads: usize,
}

#[cfg(all(test, feature = "gpu"))]
static TRAFFIC: std::sync::Mutex<Traffic> = std::sync::Mutex::new(Traffic { uploads: Vec::new(), reads: 0 });

#[cfg(all(test, feature = "gpu"))]
fn counted(device: &Device, count: impl FnOnce(&mut Traffic)) {
    if super::kernels::is_cube(device) {
        count(&mut TRAFFIC.lock().expect("no count panics"));
    }
}

/// Returns what was copied since the last call.
#[cfg(all(test, feature = "gpu"))]
pub(crate) fn taken() -> Traffic {
    std::mem::take(&mut *TRAFFIC.lock().expect("no count panics"))
}
