//! A study in the formats of other programs: TensorBoard's event files, MLflow's file store, Trackio's inbox, ONNX, and the result files of the study
//! it is from.

pub mod mlflow;
pub mod onnx;
pub mod onnx_proto;
pub mod results;
pub mod tensorboard;
pub mod trackio;
