//! How images climb: the classic way, or that of Olah et al.

use std::fmt;

use serde::{Deserialize, Deserializer, Serialize, de};

use crate::params::is_default;

/// The way to a filter's image. In JSON `"Classic"`, `"Fourier"` or `{"Fourier":{"steps":64}}`, defaults left out.
#[derive(Debug, Clone, PartialEq, Default)]
pub enum Method {
    /// Pixels move along their gradient, from grey noise.
    #[default]
    Classic,
    /// The coefficients of a Fourier basis move, of decorrelated colours, under jitter and against total variation.
    Fourier(Fourier),
}

/// Settings of [`Method::Fourier`].
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Fourier {
    /// Steps of the ascent. 1 to 10,000.
    #[serde(skip_serializing_if = "steps::is")]
    pub steps: u32,
    /// Adam's learning rate, of scaled coefficients. Above 0, at most 10.
    #[serde(skip_serializing_if = "learning_rate::is")]
    pub learning_rate: f64,
    /// Before each step an image is rolled by up to so many pixels, in both directions. At most 100.
    #[serde(skip_serializing_if = "jitter::is")]
    pub jitter: u32,
    /// Weight of the gradient of an image's total variation beside that of the activation, whose root mean square is made
    /// 1. At least 0, at most 100.
    #[serde(skip_serializing_if = "total_variation::is")]
    pub total_variation: f64,
}

crate::defaults! {
    steps: u32 = 128;
    learning_rate: f64 = 0.05;
    jitter: u32 = 2;
    total_variation: f64 = 0.25;
}

impl Default for Fourier {
    fn default() -> Self {
        Self {
            steps: steps::value(),
            learning_rate: learning_rate::value(),
            jitter: jitter::value(),
            total_variation: total_variation::value(),
        }
    }
}

impl Method {
    const NAMES: &'static [&'static str] = &["Classic", "Fourier"];

    /// Returns whether it is the default, which is left out of actions.
    pub fn is_classic(&self) -> bool {
        *self == Self::Classic
    }
}

impl Fourier {
    /// Returns what is wrong with the values: (path, what was found and what is allowed).
    pub(super) fn problems(&self) -> Vec<(String, String)> {
        let values: [(&str, f64, bool, &str); 4] = [
            ("steps", self.steps.into(), (1..=10_000).contains(&self.steps), "1 to 10000"),
            (
                "learning_rate",
                self.learning_rate,
                self.learning_rate > 0.0 && self.learning_rate <= 10.0,
                "above 0 and at most 10",
            ),
            ("jitter", self.jitter.into(), self.jitter <= 100, "0 to 100"),
            ("total_variation", self.total_variation, (0.0..=100.0).contains(&self.total_variation), "0 to 100"),
        ];
        let wrong = values.into_iter().filter(|(_, _, fine, _)| !fine);
        wrong
            .map(|(name, found, _, allowed)| {
                (format!("method.Fourier.{name}"), format!("found {found}, allowed: {allowed}"))
            })
            .collect()
    }
}

impl Serialize for Method {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self {
            Self::Classic => serializer.serialize_str("Classic"),
            // Without settings it is its name: however it is written, one record.
            Self::Fourier(settings) if is_default(settings) => serializer.serialize_str("Fourier"),
            Self::Fourier(settings) => serializer.collect_map([("Fourier", settings)]),
        }
    }
}

impl<'de> Deserialize<'de> for Method {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct NameOrSettings;

        impl<'de> de::Visitor<'de> for NameOrSettings {
            type Value = Method;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a method: `Classic`, `Fourier` or `Fourier(..)`")
            }

            fn visit_str<E: de::Error>(self, name: &str) -> Result<Method, E> {
                match name {
                    "Classic" => Ok(Method::Classic),
                    "Fourier" => Ok(Method::Fourier(Fourier::default())),
                    other => Err(E::unknown_variant(other, Method::NAMES)),
                }
            }

            fn visit_map<A: de::MapAccess<'de>>(self, mut map: A) -> Result<Method, A::Error> {
                match map.next_key::<String>()?.as_deref() {
                    Some("Fourier") => map.next_value().map(Method::Fourier),
                    other => Err(de::Error::unknown_variant(other.unwrap_or(""), Method::NAMES)),
                }
            }
        }

        deserializer.deserialize_any(NameOrSettings)
    }
}
