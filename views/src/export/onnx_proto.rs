//! The messages of `onnx.proto3` that are used. Tags are the field numbers of that file.

use prost::{Enumeration, Message, Oneof};

/// A model: its graph, and the version of the operators that the graph's nodes name.
#[derive(Clone, PartialEq, Message)]
pub struct ModelProto {
    #[prost(int64, tag = "1")]
    pub ir_version: i64,
    #[prost(string, tag = "2")]
    pub producer_name: String,
    #[prost(string, tag = "3")]
    pub producer_version: String,
    #[prost(message, optional, tag = "7")]
    pub graph: Option<GraphProto>,
    #[prost(message, repeated, tag = "8")]
    pub opset_import: Vec<OperatorSetIdProto>,
    #[prost(message, repeated, tag = "14")]
    pub metadata_props: Vec<StringStringEntryProto>,
}

/// A named text that says something about a model.
#[derive(Clone, PartialEq, Eq, Message)]
pub struct StringStringEntryProto {
    #[prost(string, tag = "1")]
    pub key: String,
    #[prost(string, tag = "2")]
    pub value: String,
}

/// A set of operators. The empty domain is that of ONNX itself.
#[derive(Clone, PartialEq, Eq, Message)]
pub struct OperatorSetIdProto {
    #[prost(string, tag = "1")]
    pub domain: String,
    #[prost(int64, tag = "2")]
    pub version: i64,
}

/// A graph. Each node comes after the nodes whose outputs it reads.
#[derive(Clone, PartialEq, Message)]
pub struct GraphProto {
    #[prost(message, repeated, tag = "1")]
    pub node: Vec<NodeProto>,
    #[prost(string, tag = "2")]
    pub name: String,
    #[prost(message, repeated, tag = "5")]
    pub initializer: Vec<TensorProto>,
    #[prost(message, repeated, tag = "11")]
    pub input: Vec<ValueInfoProto>,
    #[prost(message, repeated, tag = "12")]
    pub output: Vec<ValueInfoProto>,
}

/// One operation. Its inputs and outputs are names of values.
#[derive(Clone, PartialEq, Message)]
pub struct NodeProto {
    #[prost(string, repeated, tag = "1")]
    pub input: Vec<String>,
    #[prost(string, repeated, tag = "2")]
    pub output: Vec<String>,
    #[prost(string, tag = "3")]
    pub name: String,
    #[prost(string, tag = "4")]
    pub op_type: String,
    #[prost(message, repeated, tag = "5")]
    pub attribute: Vec<AttributeProto>,
}

/// A setting of an operation. `type` says which of the values is set.
#[derive(Clone, PartialEq, Message)]
pub struct AttributeProto {
    #[prost(string, tag = "1")]
    pub name: String,
    #[prost(float, optional, tag = "2")]
    pub f: Option<f32>,
    #[prost(int64, optional, tag = "3")]
    pub i: Option<i64>,
    #[prost(int64, repeated, tag = "8")]
    pub ints: Vec<i64>,
    #[prost(enumeration = "AttributeType", tag = "20")]
    pub r#type: i32,
}

/// The kinds of attributes that are written.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Enumeration)]
#[repr(i32)]
pub enum AttributeType {
    Undefined = 0,
    Float = 1,
    Int = 2,
    Ints = 7,
}

impl AttributeProto {
    /// Returns a floating-point attribute.
    pub fn float(name: &str, value: f32) -> Self {
        Self { f: Some(value), ..Self::of(name, AttributeType::Float) }
    }

    /// Returns an integer attribute.
    pub fn int(name: &str, value: i64) -> Self {
        Self { i: Some(value), ..Self::of(name, AttributeType::Int) }
    }

    /// Returns an attribute that is a list of integers.
    pub fn ints(name: &str, values: impl IntoIterator<Item = i64>) -> Self {
        Self { ints: values.into_iter().collect(), ..Self::of(name, AttributeType::Ints) }
    }

    fn of(name: &str, kind: AttributeType) -> Self {
        Self { name: name.to_owned(), r#type: kind.into(), ..Self::default() }
    }
}

/// A constant. `raw_data` holds its numbers as little-endian bytes.
#[derive(Clone, PartialEq, Eq, Message)]
pub struct TensorProto {
    #[prost(int64, repeated, tag = "1")]
    pub dims: Vec<i64>,
    #[prost(enumeration = "ElementType", tag = "2")]
    pub data_type: i32,
    #[prost(string, tag = "8")]
    pub name: String,
    #[prost(bytes = "vec", tag = "9")]
    pub raw_data: Vec<u8>,
}

/// `TensorProto.DataType`: the types that are used.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Enumeration)]
#[repr(i32)]
pub enum ElementType {
    Undefined = 0,
    Float = 1,
    Int64 = 7,
}

impl TensorProto {
    /// Returns a constant of 32-bit floats.
    pub fn floats(name: &str, dims: &[usize], values: &[f32]) -> Self {
        Self::of(name, dims, ElementType::Float, values.iter().flat_map(|value| value.to_le_bytes()).collect())
    }

    /// Returns a constant of 64-bit integers, as a vector.
    pub fn int64s(name: &str, values: &[i64]) -> Self {
        Self::of(
            name,
            &[values.len()],
            ElementType::Int64,
            values.iter().flat_map(|value| value.to_le_bytes()).collect(),
        )
    }

    fn of(name: &str, dims: &[usize], kind: ElementType, raw_data: Vec<u8>) -> Self {
        let dims = dims.iter().map(|side| *side as i64).collect();
        Self { dims, data_type: kind.into(), name: name.to_owned(), raw_data }
    }
}

/// An input or an output of a graph.
#[derive(Clone, PartialEq, Eq, Message)]
pub struct ValueInfoProto {
    #[prost(string, tag = "1")]
    pub name: String,
    #[prost(message, optional, tag = "2")]
    pub r#type: Option<TypeProto>,
}

/// The type of a value. Of the variants of `TypeProto.value`, only tensors are used.
#[derive(Clone, PartialEq, Eq, Message)]
pub struct TypeProto {
    #[prost(message, optional, tag = "1")]
    pub tensor_type: Option<TensorType>,
}

/// `TypeProto.Tensor`
#[derive(Clone, PartialEq, Eq, Message)]
pub struct TensorType {
    #[prost(enumeration = "ElementType", tag = "1")]
    pub elem_type: i32,
    #[prost(message, optional, tag = "2")]
    pub shape: Option<TensorShape>,
}

/// `TensorShapeProto`
#[derive(Clone, PartialEq, Eq, Message)]
pub struct TensorShape {
    #[prost(message, repeated, tag = "1")]
    pub dim: Vec<Dimension>,
}

/// `TensorShapeProto.Dimension`
#[derive(Clone, PartialEq, Eq, Message)]
pub struct Dimension {
    #[prost(oneof = "Side", tags = "1, 2")]
    pub value: Option<Side>,
}

/// One side of a tensor: a size, or a name for any size.
#[derive(Clone, PartialEq, Eq, Oneof)]
pub enum Side {
    #[prost(int64, tag = "1")]
    Value(i64),
    #[prost(string, tag = "2")]
    Param(String),
}

impl ValueInfoProto {
    /// Returns a value of 32-bit floats, [n, ..sides], for any `n`.
    pub fn batch_of_floats(name: &str, sides: &[usize]) -> Self {
        let sides = sides.iter().map(|side| Side::Value(*side as i64));
        let dim = std::iter::once(Side::Param("n".to_owned())).chain(sides).map(|side| Dimension { value: Some(side) });
        let tensor =
            TensorType { elem_type: ElementType::Float.into(), shape: Some(TensorShape { dim: dim.collect() }) };
        Self { name: name.to_owned(), r#type: Some(TypeProto { tensor_type: Some(tensor) }) }
    }
}
