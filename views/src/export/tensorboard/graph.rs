//! A network as TensorBoard's graph: a node per layer, with its kind, its inputs and its output's shape. Nodes are called
//! `<layer>.<kind>`: TensorBoard would join nodes whose names differ only in a number at their end.

use std::collections::BTreeMap;

use pipe_stages::network::{Architecture, Layer};
use serde_json::Value;

use super::proto::{Attr, AttrValue, Dim, GraphDef, ListValue, NodeDef, TensorShapeProto, VersionDef};

/// Returns the graph of a network.
pub(super) fn graph(network: &Architecture) -> GraphDef {
    let input = node("input", "Placeholder", Vec::new(), &network.input, &Value::Null);
    let records: BTreeMap<&str, Value> =
        network.layers.iter().map(|layer| (layer.name.as_str(), record(layer))).collect();
    let named = |name: &str| match records.get(name) {
        Some(record) => format!("{name}.{}", kind(record)),
        None => name.to_owned(),
    };
    let layers = network.layers.iter().map(|layer| {
        let record = &records[layer.name.as_str()];
        let inputs = layer.inputs.iter().map(|input| named(input)).collect();
        node(&named(&layer.name), kind(record), inputs, &layer.shape, record)
    });
    GraphDef { node: std::iter::once(input).chain(layers).collect(), versions: Some(VersionDef { producer: 22 }) }
}

/// Returns a layer's kind with its settings.
fn record(layer: &Layer) -> Value {
    serde_json::to_value(&layer.kind).expect("a layer is plain data")
}

fn kind(record: &Value) -> &str {
    record.get("kind").and_then(Value::as_str).unwrap_or_default()
}

fn node(name: &str, kind: &str, input: Vec<String>, shape: &[usize], record: &Value) -> NodeDef {
    // The batch comes first and has no fixed size.
    let sides = std::iter::once(-1).chain(shape.iter().map(|side| *side as i64));
    let shape = TensorShapeProto { dim: sides.map(|size| Dim { size }).collect() };
    let shapes = ("_output_shapes".to_owned(), Attr::List(ListValue { shape: vec![shape] }));
    let settings = record.as_object().into_iter().flatten().filter(|(key, _)| *key != "kind");
    let settings = settings.map(|(key, value)| (key.clone(), attribute(value)));
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
