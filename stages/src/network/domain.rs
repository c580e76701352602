//! What a hyperparameter may be.

use std::ops::RangeInclusive;

use serde::de;
use serde_json::Value;

use crate::words::one_of;

/// What a hyperparameter may be.
#[derive(Debug, Clone)]
pub enum Domain {
    /// A whole number.
    Whole(RangeInclusive<u32>),
    /// A number at least 0 and below 1.
    Share,
    /// A finite number above 0.
    Positive,
    /// A finite number of at least 0.
    NotNegative,
    /// One of these texts.
    Word(&'static [&'static str]),
}

impl Domain {
    /// Returns whether `value` is of the domain.
    pub fn has(&self, value: &Value) -> bool {
        let number = |fine: &dyn Fn(f64) -> bool| value.as_f64().is_some_and(fine);
        match self {
            Self::Whole(range) => {
                let range = f64::from(*range.start())..=f64::from(*range.end());
                number(&|x| x.fract() == 0.0 && range.contains(&x))
            }
            Self::Share => number(&|x| (0.0..1.0).contains(&x)),
            Self::Positive => number(&|x| x > 0.0),
            Self::NotNegative => number(&|x| x >= 0.0),
            Self::Word(words) => value.as_str().is_some_and(|word| words.contains(&word)),
        }
    }

    /// Returns `value` as it is recorded: whole numbers as integers, other numbers as floating point.
    ///
    /// # Errors
    /// If it is not a number, or a word, of the domain's type. It may be out of range.
    pub(crate) fn read(&self, value: Value) -> Result<Value, serde_json::Error> {
        match self {
            Self::Whole(_) => serde_json::from_value::<u32>(value).map(Value::from),
            Self::Share | Self::Positive | Self::NotNegative => serde_json::from_value::<f64>(value).map(Value::from),
            Self::Word(words) => match serde_json::from_value::<String>(value)? {
                word if words.contains(&word.as_str()) => Ok(word.into()),
                word => Err(de::Error::unknown_variant(&word, words)),
            },
        }
    }

    /// Returns a value of the domain.
    pub(crate) fn any(&self) -> Value {
        match self {
            Self::Whole(range) => (*range.start()).into(),
            Self::Share | Self::NotNegative => 0.into(),
            Self::Positive => 1.into(),
            Self::Word(words) => words[0].into(),
        }
    }

    /// Returns the domain in words.
    pub fn expected(&self) -> String {
        match self {
            Self::Whole(range) => format!("a whole number of {} to {}", range.start(), range.end()),
            Self::Share => "a number at least 0 and below 1".into(),
            Self::Positive => "a number above 0".into(),
            Self::NotNegative => "a number of at least 0".into(),
            Self::Word(words) => one_of(words.iter().copied()),
        }
    }
}
