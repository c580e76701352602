//! A network as a graph for TensorBoard: a node per layer, with its kind, inputs and output shape. Nodes are called
//! `<layer>.<kind>` because TensorBoard merges nodes whose names differ only in a number at the end.

use pipe_stages::network::{Architecture, Layer};
use serde_json::{Map, Value};

use super::proto::{Attr, AttrValue, Dim, GraphDef, ListValue, NodeDef, TensorShapeProto, VersionDef};

/// Returns the graph of a network.
pub(super) fn graph(network: &Architecture) -> GraphDef {
    let input = node("input", "Placeholder", Vec::new(), &network.input, &Map::new());
    let named = |name: &str| match network.layer(name) {
        Some(layer) => format!("{name}.{}", layer.kind.name()),
        None => name.to_owned(),
    };
    let layers = network.layers.iter().map(|layer| {
        let inputs = layer.inputs.iter().map(|input| named(input)).collect();
        node(&named(&layer.name), layer.kind.name(), inputs, &layer.shape, &settings(layer))
    });
    GraphDef { node: std::iter::once(input).chain(layers).collect(), versions: Some(VersionDef { producer: 22 }) }
}

/// Returns a layer's settings, by name.
fn settings(layer: &Layer) -> Map<String, Value> {
    let Ok(Value::Object(mut settings)) = serde_json::to_value(&layer.kind) else {
        unreachable!("the kind of a layer is an object");
    };
    settings.remove("kind");
    settings
}

fn node(name: &str, kind: &str, input: Vec<String>, shape: &[usize], settings: &Map<String, Value>) -> NodeDef {
    // The batch comes first and has no fixed size.
    let sides = std::iter::once(-1).chain(shape.iter().map(|side| *side as i64));
    let shape = TensorShapeProto { dim: sides.map(|size| Dim { size }).collect() };
    let shapes = ("_output_shapes".to_owned(), Attr::List(ListValue { shape: vec![shape] }));
    let settings = settings.iter().map(|(key, value)| (key.clone(), attribute(value)));
    let attr = std::iter::once(shapes).chain(settings).map(|(key, value)| (key, AttrValue { value: Some(value) }));
    NodeDef { name: name.to_owned(), op: kind.to_owned(), input, attr: attr.collect() }
}

/// Returns a layer's setting as an attribute.
fn attribute(value: &Value) -> Attr {
    match (value, value.as_i64(), value.as_f64()) {
        (Value::String(text), ..) => Attr::Text(text.clone().into_bytes()),
        (_, Some(whole), _) => Attr::Int(whole),
        (_, _, Some(number)) => Attr::Float(number as f32),
        _ => Attr::Text(value.to_string().into_bytes()),
    }
}
