//! A trained network as an ONNX model, which onnxruntime and many servers run. Its input is an image as it stands in its
//! file: normalisation belongs to the model, so that nobody need repeat it.

use pipe_engine::study::StudyNode;
use pipe_stages::{
    images::{Normalisation, Policy, dataset::Labels},
    network::{Architecture, Layer, Weights, architecture::Output, layers::onnx::Attribute},
    stage::Inputs,
};
use pipe_store::Store;

use super::protobuf::Message;
use crate::predict::{self, PredictError};

/// The version of ONNX's operators that is written; every runtime since 2022 knows it.
const OPSET: i64 = 17;
const IR_VERSION: i64 = 8;

/// Returns the network that the node `name` trained, with its best weights, or the last ones where no others were kept.
///
/// # Errors
/// If the node has no network or no weights, or one of its files cannot be read.
pub fn of_node(store: &Store, name: &str, node: &StudyNode) -> Result<Vec<u8>, PredictError> {
    let slots = predict::slots(store, name, node)?;
    let inputs = Inputs::new(&slots, store);
    let labels: Labels = inputs.json("labels")?;
    let policy = Policy::of_inputs(&inputs, labels.image)?;
    let network: Architecture = inputs.json("architecture")?;
    let weights = Weights::read(&network, inputs.bytes("weights")?)?;
    Ok(model(&network, &weights, policy.normalisation()))
}

/// Returns the model. Its input `images` is [n, channels, height, width], 32-bit floats from 0 to 255; each head has two
/// outputs [n, classes]: the probabilities under its name, and `<head>_logits`.
///
/// # Panics
/// If the weights are not the architecture's.
pub fn model(network: &Architecture, weights: &Weights, normalisation: &Normalisation) -> Vec<u8> {
    let mut graph = Graph { network, weights, nodes: Vec::new(), constants: Vec::new() };
    graph.normalise(normalisation);
    for layer in &network.layers {
        graph.layer(layer);
    }
    for head in &network.heads {
        graph.head(&head.name, head.output);
    }
    let [c, h, w] = network.input.map(|side| side as i64);
    let outputs = network.heads.iter().flat_map(|head| {
        let classes = head.classes as i64;
        [head.name.clone(), logits(&head.name)].map(|name| value_info(&name, &[classes]))
    });
    // GraphProto: node 1, name 2, initializer 5, input 11, output 12
    let graph = Message::default()
        .messages(1, graph.nodes)
        .text(2, "network")
        .messages(5, graph.constants)
        .message(11, value_info(IMAGES, &[c, h, w]))
        .messages(12, outputs);
    // ModelProto: ir_version 1, producer_name 2, producer_version 3, graph 7, opset_import 8 (version 2)
    Message::default()
        .int(1, IR_VERSION)
        .text(2, "pipe")
        .text(3, env!("CARGO_PKG_VERSION"))
        .message(7, graph)
        .message(8, Message::default().text(1, "").int(2, OPSET))
        .finish()
}

const IMAGES: &str = "images";

fn logits(head: &str) -> String {
    format!("{head}_logits")
}

/// A graph in the making: `NodeProto`s and `TensorProto`s.
struct Graph<'a> {
    network: &'a Architecture,
    weights: &'a Weights,
    nodes: Vec<Message>,
    constants: Vec<Message>,
}

impl Graph<'_> {
    /// A byte `x` of channel `c` is `x * scale[c] + offset[c]`.
    fn normalise(&mut self, normalisation: &Normalisation) {
        let c = normalisation.scale.len();
        self.constant("scale", &[1, c, 1, 1], &normalisation.scale);
        self.constant("offset", &[1, c, 1, 1], &normalisation.offset);
        self.node("scaled", "Mul", &[IMAGES, "scale"], []);
        self.node("input", "Add", &["scaled", "offset"], []);
    }

    /// Adds a layer. The value it gives has its name; a head's has the name of its logits.
    fn layer(&mut self, layer: &Layer) {
        let is_head = self.network.heads.iter().any(|head| head.name == layer.name);
        let name = if is_head { logits(&layer.name) } else { layer.name.clone() };
        let operator = layer.kind.onnx(&self.network.input_shapes(layer));
        let arrays: Vec<String> = operator.arrays.iter().map(|part| format!("{}.{part}", layer.name)).collect();
        for array in &arrays {
            let weight = &self.weights.0[array];
            self.constant(array, &weight.shape, &weight.values);
        }
        let inputs: Vec<&str> = layer.inputs.iter().chain(&arrays).map(String::as_str).collect();
        self.node(&name, operator.name, &inputs, operator.attributes.iter().map(attribute));
    }

    /// Adds the probabilities of a head, given its logits.
    fn head(&mut self, name: &str, output: Output) {
        let logits = logits(name);
        match output {
            Output::Softmax => self.node(name, "Softmax", &[&logits], [int("axis", 1)]),
            Output::NormalisedSigmoid => {
                let (sigmoids, sum, axes) = (format!("{name}_sigmoids"), format!("{name}_sum"), format!("{name}_axes"));
                self.node(&sigmoids, "Sigmoid", &[&logits], []);
                self.constants.push(tensor(&axes, INT64, &[1], &1_i64.to_le_bytes()));
                self.node(&sum, "ReduceSum", &[&sigmoids, &axes], [int("keepdims", 1)]);
                self.node(name, "Div", &[&sigmoids, &sum], []);
            }
        }
    }

    fn constant(&mut self, name: &str, shape: &[usize], values: &[f32]) {
        let bytes: Vec<u8> = values.iter().flat_map(|value| value.to_le_bytes()).collect();
        self.constants.push(tensor(name, FLOAT, shape, &bytes));
    }

    /// Adds a `NodeProto`: input 1, output 2, name 3, op_type 4, attribute 5.
    fn node(&mut self, output: &str, kind: &str, inputs: &[&str], attributes: impl IntoIterator<Item = Message>) {
        let node = Message::default().texts(1, inputs.iter().copied()).text(2, output).text(3, output).text(4, kind);
        self.nodes.push(node.messages(5, attributes));
    }
}

// TensorProto.DataType
const FLOAT: i64 = 1;
const INT64: i64 = 7;

/// Returns a `TensorProto`: dims 1, data_type 2, name 8, raw_data 9.
fn tensor(name: &str, kind: i64, shape: &[usize], bytes: &[u8]) -> Message {
    Message::default().ints(1, shape.iter().map(|side| *side as i64)).int(2, kind).text(8, name).bytes(9, bytes)
}

/// Returns a `ValueInfoProto` of floats, [n, ..sides]: name 1, type 2.
fn value_info(name: &str, sides: &[i64]) -> Message {
    // TensorShapeProto.Dimension: dim_value 1, dim_param 2
    let batch = Message::default().text(2, "n");
    let dims = std::iter::once(batch).chain(sides.iter().map(|side| Message::default().int(1, *side)));
    // TypeProto.tensor_type 1: elem_type 1, shape 2
    let tensor = Message::default().int(1, FLOAT).message(2, Message::default().messages(1, dims));
    Message::default().text(1, name).message(2, Message::default().message(1, tensor))
}

// AttributeProto: name 1, f 2, i 3, ints 8, type 20.

fn attribute((name, value): &(&str, Attribute)) -> Message {
    match value {
        Attribute::Float(value) => Message::default().text(1, name).float(2, *value).int(20, 1),
        Attribute::Int(value) => int(name, *value),
        Attribute::Ints(values) => Message::default().text(1, name).ints(8, values.iter().copied()).int(20, 7),
    }
}

fn int(name: &str, value: i64) -> Message {
    Message::default().text(1, name).int(3, value).int(20, 2)
}

#[cfg(test)]
mod tests {
    use pipe_stages::network::{
        Builder, Padding,
        architecture::Head,
        layers::{BatchNorm, Conv, Dropout, Flatten},
    };

    use super::*;

    #[test]
    fn every_layer_is_a_node_and_every_array_a_constant() {
        let mut builder = Builder::new([3, 8, 8]);
        let conv = builder.add(Conv { filters: 4, kernel: 2, stride: 1, padding: Padding::Same }, &["input"]);
        let norm = builder.add(BatchNorm { momentum: 0.9, epsilon: 1e-3 }, &[&conv]);
        let drop = builder.add(Dropout { p: 0.5 }, &[&norm]);
        let flat = builder.add(Flatten, &[&drop]);
        let head = Head { name: "fine".into(), classes: 3, output: Output::NormalisedSigmoid };
        let network = builder.finish(&flat, &[head]).unwrap();
        let normalisation = Normalisation { scale: vec![1.0 / 255.0; 3], offset: vec![-0.5; 3] };
        let model = model(&network, &Weights::initial(&network, 7), &normalisation);
        let has = |text: &str| model.windows(text.len()).any(|window| window == text.as_bytes());
        for name in network.parameter_shapes().iter().map(|array| array.name.as_str()) {
            assert!(has(name), "{name}");
        }
        for kind in ["Mul", "Conv", "BatchNormalization", "Identity", "Flatten", "Gemm", "Sigmoid", "ReduceSum", "Div"]
        {
            assert!(has(kind), "{kind}");
        }
        assert!(has("fine_logits") && model.len() > 4 * network.parameters as usize);
    }
}
