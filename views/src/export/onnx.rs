//! A trained network as an ONNX model, for onnxruntime and other runtimes. The input is an image as decoded from a file: the
//! model contains the normalisation, so that callers do not repeat it.

use pipe_engine::study::Study;
use pipe_stages::{
    images::Normalisation,
    network::{Architecture, Layer, Weights, architecture::Output, layers::onnx::Attribute},
};
use pipe_store::Store;
use prost::Message;
use serde_json::json;

use super::onnx_proto::{
    AttributeProto, GraphProto, ModelProto, NodeProto, OperatorSetIdProto, StringStringEntryProto, TensorProto,
    ValueInfoProto,
};
use crate::predict::{PredictError, Trained};

/// The version of the ONNX operators. Every runtime since 2022 supports it.
const OPSET: i64 = 17;
const IR_VERSION: i64 = 8;

/// Returns the network that the node `name` trained as a model, with its best weights, or the last ones if the best were not
/// kept.
///
/// # Errors
/// If the node has no network or no weights, or one of its files cannot be read.
pub fn of_node(store: &Store, study: &Study, name: &str) -> Result<Vec<u8>, PredictError> {
    let Trained { architecture, weights, policy, labels, .. } = Trained::of_node(store, study, name)?;
    let normalisation = policy.normalisation();
    let mut about = vec![("study".to_owned(), study.hash().to_string()), ("node".to_owned(), name.to_owned())];
    about.push((
        "normalisation".to_owned(),
        json!({ "scale": normalisation.scale, "offset": normalisation.offset }).to_string(),
    ));
    let classes = labels.heads.iter().map(|head| (format!("classes.{}", head.name), json!(head.classes).to_string()));
    about.extend(classes);
    Ok(model(&architecture, &weights, normalisation, about))
}

/// Returns the model. The input `images` is [n, channels, height, width], 32-bit floats from 0 to 255. Each head has two
/// outputs [n, classes]: the probabilities, called like the head, and `<head>_logits`. `about` are names and texts, for `metadata_props`.
///
/// # Panics
/// If an array of the architecture is missing in the weights.
pub fn model(
    network: &Architecture,
    weights: &Weights,
    normalisation: &Normalisation,
    about: Vec<(String, String)>,
) -> Vec<u8> {
    let mut graph = Graph { network, weights, nodes: Vec::new(), constants: Vec::new() };
    graph.normalise(normalisation);
    for layer in &network.layers {
        graph.layer(layer);
    }
    for head in &network.heads {
        graph.head(&head.name, head.output);
    }
    let outputs = network.heads.iter().flat_map(|head| {
        [head.name.clone(), logits(&head.name)].map(|name| ValueInfoProto::batch_of_floats(&name, &[head.classes]))
    });
    let graph = GraphProto {
        node: graph.nodes,
        name: "network".to_owned(),
        initializer: graph.constants,
        input: vec![ValueInfoProto::batch_of_floats(IMAGES, &network.input)],
        output: outputs.collect(),
    };
    let model = ModelProto {
        ir_version: IR_VERSION,
        producer_name: "pipe".to_owned(),
        producer_version: env!("CARGO_PKG_VERSION").to_owned(),
        graph: Some(graph),
        opset_import: vec![OperatorSetIdProto { domain: String::new(), version: OPSET }],
        metadata_props: about.into_iter().map(|(key, value)| StringStringEntryProto { key, value }).collect(),
    };
    model.encode_to_vec()
}

const IMAGES: &str = "images";

fn logits(head: &str) -> String {
    format!("{head}_logits")
}

/// A graph under construction.
struct Graph<'a> {
    network: &'a Architecture,
    weights: &'a Weights,
    nodes: Vec<NodeProto>,
    constants: Vec<TensorProto>,
}

impl Graph<'_> {
    /// Adds the normalisation: a byte `x` of channel `c` becomes `x * scale[c] + offset[c]`.
    fn normalise(&mut self, normalisation: &Normalisation) {
        let c = normalisation.scale.len();
        self.constant("scale", &[1, c, 1, 1], &normalisation.scale);
        self.constant("offset", &[1, c, 1, 1], &normalisation.offset);
        self.node("scaled", "Mul", &[IMAGES, "scale"], []);
        self.node("input", "Add", &["scaled", "offset"], []);
    }

    /// Adds a layer. Its output is called like the layer, or like the logits if the layer is a head.
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
                self.constants.push(TensorProto::int64s(&axes, &[1]));
                self.node(&sum, "ReduceSum", &[&sigmoids, &axes], [int("keepdims", 1)]);
                self.node(name, "Div", &[&sigmoids, &sum], []);
            }
        }
    }

    fn constant(&mut self, name: &str, shape: &[usize], values: &[f32]) {
        self.constants.push(TensorProto::floats(name, shape, values));
    }

    fn node(
        &mut self,
        output: &str,
        kind: &str,
        inputs: &[&str],
        attributes: impl IntoIterator<Item = AttributeProto>,
    ) {
        self.nodes.push(NodeProto {
            input: inputs.iter().map(|input| (*input).to_owned()).collect(),
            output: vec![output.to_owned()],
            name: output.to_owned(),
            op_type: kind.to_owned(),
            attribute: attributes.into_iter().collect(),
        });
    }
}

fn attribute((name, value): &(&str, Attribute)) -> AttributeProto {
    match value {
        Attribute::Float(value) => AttributeProto::float(name, *value),
        Attribute::Int(value) => int(name, *value),
        Attribute::Ints(values) => AttributeProto::ints(name, values.iter().copied()),
    }
}

fn int(name: &str, value: i64) -> AttributeProto {
    AttributeProto::int(name, value)
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

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
        let weights = Weights::initial(&network, 7);
        let model = ModelProto::decode(&*model(&network, &weights, &normalisation, Vec::new())).unwrap();
        let graph = model.graph.unwrap();
        let constants: BTreeMap<_, _> = graph.initializer.iter().map(|tensor| (&tensor.name, tensor)).collect();
        for (name, weight) in &weights.0 {
            assert_eq!(constants[name], &TensorProto::floats(name, &weight.shape, &weight.values));
        }
        let kinds: Vec<_> = graph.node.iter().map(|node| node.op_type.as_str()).collect();
        let expected =
            ["Mul", "Add", "Conv", "BatchNormalization", "Identity", "Flatten", "Gemm", "Sigmoid", "ReduceSum", "Div"];
        assert_eq!(kinds, expected);
        let outputs: Vec<_> = graph.output.iter().map(|output| output.name.as_str()).collect();
        assert_eq!(outputs, ["fine", "fine_logits"]);
    }

    #[test]
    fn a_model_says_from_which_study_it_is_and_what_its_classes_are() {
        let (store, study) = crate::testing::Builder::whole(4).done();
        let model = ModelProto::decode(&*of_node(&store, &study, "retrain_best").unwrap()).unwrap();
        let props: BTreeMap<_, _> = model.metadata_props.into_iter().map(|entry| (entry.key, entry.value)).collect();
        assert_eq!((&props["study"], props["node"].as_str()), (&study.hash().to_string(), "retrain_best"));
        let Trained { labels, policy, .. } = Trained::of_node(&store, &study, "retrain_best").unwrap();
        for head in &labels.heads {
            let classes: Vec<String> = serde_json::from_str(&props[&format!("classes.{}", head.name)]).unwrap();
            assert_eq!(classes, head.classes);
        }
        let normalisation: serde_json::Value = serde_json::from_str(&props["normalisation"]).unwrap();
        assert_eq!(normalisation["scale"], json!(policy.normalisation().scale));
        assert_eq!(props.len(), 3 + labels.heads.len());
    }
}
