//! Layers, one file each. A file has the layer's settings, shape and cost, its computation on a CPU (forward and backward) and with
//! burn, its ONNX operator, its notation in `Layers([..])`, and its label in diagrams.

mod activation;
mod add;
mod avg_pool;
mod batch_norm;
#[cfg(any(feature = "gpu", test))]
pub(crate) mod burn_site;
mod concat;
mod conv;
mod convolution;
pub(crate) mod definition;
mod dense;
pub(crate) mod dropout;
mod flatten;
pub mod label;
mod max_pool;
pub(crate) mod notation;
pub mod onnx;
pub(crate) mod operation;
mod pool;
mod window;

use serde::{Deserialize, Serialize};

use self::{
    definition::Definition,
    label::LabelPart,
    notation::{Notated, Notation, Values},
    onnx::Operator,
};
use crate::params::Domain;

/// Declares [`LayerKind`] and what depends on the kind.
macro_rules! layers {
    ($($module:ident::$layer:ident,)*) => {
        $(pub use self::$module::$layer;)*

        /// A layer with its settings. In records `{"kind": "conv", "filters": 8, ..}`.
        #[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
        #[serde(tag = "kind", rename_all = "snake_case")]
        pub enum LayerKind {
            $(
                #[doc = concat!("See [`", stringify!($layer), "`].")]
                $layer($layer),
            )*
        }

        impl LayerKind {
            /// Returns the layer's name in records: `conv`.
            pub fn name(&self) -> &'static str {
                match self { $(Self::$layer(_) => stringify!($module),)* }
            }

            pub(crate) fn definition(&self) -> &dyn Definition {
                match self { $(Self::$layer(layer) => layer,)* }
            }
        }

        $(impl From<$layer> for LayerKind {
            fn from(layer: $layer) -> Self {
                Self::$layer(layer)
            }
        })*

        /// All layers that can be written in `Layers([..])`.
        pub(crate) static WRITTEN: &[Written] = &[$(Written {
            notation: <$layer as Notated>::NOTATION,
            layer: |values| <$layer as Notated>::of(values).map(LayerKind::$layer),
        },)*];
    };
}

// A layer's name in records is the name of its file.
layers! {
    conv::Conv,
    max_pool::MaxPool,
    avg_pool::AvgPool,
    batch_norm::BatchNorm,
    activation::Activation,
    dropout::Dropout,
    flatten::Flatten,
    dense::Dense,
    add::Add,
    concat::Concat,
}

/// A kind of layer that can be written in `Layers([..])`.
#[derive(Debug)]
pub(crate) struct Written {
    pub(crate) notation: Notation,
    /// Returns the layer with these settings, or `None` if it would do nothing.
    pub(crate) layer: fn(&Values) -> Option<LayerKind>,
}

impl LayerKind {
    /// Returns the first part of the layer's name, in the style of Keras: `conv2d`.
    pub fn prefix(&self) -> &'static str {
        self.definition().prefix()
    }

    /// Returns the ONNX operator that computes the layer, given the shapes of its inputs.
    pub fn onnx(&self, inputs: &[&[usize]]) -> Operator {
        self.definition().onnx(inputs)
    }

    /// Returns the settings that a diagram shows beside the layer's kind and shape.
    pub fn label(&self) -> Vec<LabelPart> {
        self.definition().label()
    }
}

/// One setting of a layer in `Layers([..])`, for the reference documentation.
#[derive(Debug, Clone, PartialEq)]
pub struct Reference {
    /// The layer: `Conv`.
    pub layer: &'static str,
    /// The setting: `filters`.
    pub setting: &'static str,
    /// The allowed values.
    pub domain: &'static Domain,
    /// The default as text. `None` if the setting is required.
    pub default: Option<String>,
    /// Its meaning, in one sentence for users.
    pub meaning: &'static str,
}

/// Returns every setting of every layer.
pub fn reference() -> Vec<Reference> {
    let of_layer = |Written { notation, .. }: &'static Written| {
        notation.settings.iter().map(|setting| Reference {
            layer: notation.name,
            setting: setting.name,
            domain: &setting.domain,
            default: setting.default.in_words(),
            meaning: setting.meaning,
        })
    };
    WRITTEN.iter().flat_map(of_layer).collect()
}

#[cfg(test)]
mod tests {
    use super::{notation::Default, *};

    #[test]
    fn every_setting_has_a_one_line_meaning_and_an_allowed_default() {
        let reference = reference();
        let stride = reference.iter().find(|one| (one.layer, one.setting) == ("MaxPool", "stride")).unwrap();
        assert_eq!(stride.default.as_deref(), Some("the `size`"));
        assert_eq!(stride.domain.expected(), "a whole number of 1 to 64");
        assert!(reference.iter().all(|one| one.meaning.ends_with('.') && !one.meaning.contains('\n')));
        for Written { notation, .. } in WRITTEN {
            for setting in notation.settings {
                let other = |name| notation.settings.iter().any(|setting| setting.name == name);
                match setting.default {
                    Default::Same(name) => assert!(other(name)),
                    Default::None => {}
                    _ => assert!(setting.domain.has(&setting.default(&serde_json::Map::new()).unwrap())),
                }
            }
        }
    }

    #[test]
    fn a_layers_name_in_records_is_the_name_of_its_file() {
        for (layer, record) in [
            (LayerKind::from(Add), r#"{"kind":"add"}"#),
            (Dense { units: 3 }.into(), r#"{"kind":"dense","units":3}"#),
            (
                BatchNorm { momentum: 0.5, epsilon: 0.25 }.into(),
                r#"{"kind":"batch_norm","momentum":0.5,"epsilon":0.25}"#,
            ),
        ] {
            assert_eq!(serde_json::to_string(&layer).unwrap(), record);
            assert_eq!(serde_json::from_str::<LayerKind>(record).unwrap(), layer);
            assert!(record.contains(&format!(r#""kind":"{}""#, layer.name())));
        }
    }
}
