//! A network as TensorBoard's graph: a node per layer, with its kind, its inputs and its output's shape. Nodes are called
//! `<layer>.<kind>`: of names that end in numbers TensorBoard would make one node.

use std::collections::BTreeMap;

use pipe_stages::network::{Architecture, Layer};
use serde_json::Value;

use crate::export::protobuf::Message;

/// Returns the `GraphDef` of a network.
pub(super) fn graph(network: &Architecture) -> Message {
    let input = node("input", "Placeholder", &[], &network.input, &Value::Null);
    let records: BTreeMap<&str, Value> =
        network.layers.iter().map(|layer| (layer.name.as_str(), record(layer))).collect();
    let named = |name: &str| match records.get(name) {
        Some(record) => format!("{name}.{}", kind(record)),
        None => name.to_owned(),
    };
    let layers = network.layers.iter().map(|layer| {
        let record = &records[layer.name.as_str()];
        let inputs: Vec<String> = layer.inputs.iter().map(|input| named(input)).collect();
        node(&named(&layer.name), kind(record), &inputs, &layer.shape, record)
    });
    // GraphDef: node 1, versions 4 (producer 1)
    Message::default().messages(1, std::iter::once(input).chain(layers)).message(4, Message::default().int(1, 22))
}

/// Returns a layer's kind with its settings.
fn record(layer: &Layer) -> Value {
    serde_json::to_value(&layer.kind).expect("a layer is plain data")
}

fn kind(record: &Value) -> &str {
    record.get("kind").and_then(Value::as_str).unwrap_or_default()
}

/// Returns a `NodeDef`: name 1, op 2, input 3, device 4, attr 5.
fn node(name: &str, kind: &str, inputs: &[String], shape: &[usize], record: &Value) -> Message {
    let node = Message::default().text(1, name).text(2, kind).texts(3, inputs.iter().map(String::as_str));
    // The batch comes first and has no fixed size.
    let sides = std::iter::once(-1).chain(shape.iter().map(|side| *side as i64));
    let shape = Message::default().messages(2, sides.map(|side| Message::default().int(1, side)));
    // AttrValue.list 1, ListValue.shape 7
    let shapes = Message::default().message(1, Message::default().message(7, shape));
    let settings = record.as_object().into_iter().flatten().filter(|(key, _)| *key != "kind");
    let settings = settings.map(|(key, value)| attribute(key, value));
    node.messages(5, std::iter::once(entry("_output_shapes", shapes)).chain(settings))
}

/// Returns a layer's setting as an attribute: `AttrValue` s 2, i 3, f 4.
fn attribute(key: &str, value: &Value) -> Message {
    let attribute = match (value, value.as_i64(), value.as_f64()) {
        (Value::String(text), ..) => Message::default().text(2, text),
        (_, Some(whole), _) => Message::default().int(3, whole),
        (_, _, Some(number)) => Message::default().float(4, number as f32),
        _ => Message::default().text(2, &value.to_string()),
    };
    entry(key, attribute)
}

/// Returns an entry of a map of attributes.
fn entry(key: &str, value: Message) -> Message {
    Message::default().text(1, key).message(2, value)
}
