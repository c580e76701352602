//! A study in the formats of other programs: TensorBoard's event files, ONNX, and the result files of the study it is from.

mod names;
pub mod onnx;
mod protobuf;
pub mod results;
pub mod tensorboard;
