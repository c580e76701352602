//! The values that a parameter may have.

use std::ops::RangeInclusive;

use serde_json::Value;

use super::notation;
use crate::words::one_of;

/// The values that a parameter may have.
#[derive(Debug, Clone, PartialEq)]
pub enum Domain {
    /// Every value of the parameter's type.
    Any,
    /// A whole number in the range.
    Whole(RangeInclusive<u32>),
    /// A number that is in the range once it is rounded. Quantised draws of a search are floating-point numbers.
    Rounded(RangeInclusive<u32>),
    /// A number of at least 0 and below 1.
    Share,
    /// A finite number above 0.
    Positive,
    /// A finite number of at least 0.
    NotNegative,
    /// A number from the first to the second, both included.
    Between(f64, f64),
    /// A number above the first and at most the second.
    AboveUpTo(f64, f64),
    /// A number above 0 and below 1.
    Fraction,
    /// True or false.
    Flag,
    /// One of these strings.
    Word(&'static [&'static str]),
    /// A list of the given length, each item in the domain.
    Each(usize, &'static Domain),
    /// `None`, or a value in the domain.
    Optional(&'static Domain),
}

impl Domain {
    /// Returns whether `value` is in the domain.
    pub fn has(&self, value: &Value) -> bool {
        let number = |fine: &dyn Fn(f64) -> bool| value.as_f64().is_some_and(fine);
        let within =
            |range: &RangeInclusive<u32>, x| (f64::from(*range.start())..=f64::from(*range.end())).contains(&x);
        match self {
            Self::Any => true,
            Self::Whole(range) => number(&|x| x.fract() == 0.0 && within(range, x)),
            Self::Rounded(range) => number(&|x| within(range, libm::rint(x))),
            Self::Share => number(&|x| (0.0..1.0).contains(&x)),
            Self::Positive => number(&|x| x > 0.0),
            Self::NotNegative => number(&|x| x >= 0.0),
            Self::Between(least, most) => number(&|x| (*least..=*most).contains(&x)),
            Self::AboveUpTo(below, most) => number(&|x| x > *below && x <= *most),
            Self::Fraction => number(&|x| x > 0.0 && x < 1.0),
            Self::Flag => value.is_boolean(),
            Self::Word(words) => value.as_str().is_some_and(|word| words.contains(&word)),
            Self::Each(n, domain) => {
                value.as_array().is_some_and(|items| items.len() == *n && items.iter().all(|item| domain.has(item)))
            }
            Self::Optional(domain) => value.is_null() || domain.has(value),
        }
    }

    /// Returns the domain in words.
    pub fn expected(&self) -> String {
        match self {
            Self::Any => "a value".into(),
            Self::Whole(range) | Self::Rounded(range) if *range.end() == u32::MAX => {
                format!("a whole number of at least {}", range.start())
            }
            Self::Whole(range) | Self::Rounded(range) => {
                format!("a whole number of {} to {}", range.start(), range.end())
            }
            Self::Share => "a number at least 0 and below 1".into(),
            Self::Positive => "a number above 0".into(),
            Self::NotNegative => "a number of at least 0".into(),
            Self::Between(least, most) => format!("a number of {least} to {most}"),
            Self::AboveUpTo(below, most) => format!("a number above {below} and at most {most}"),
            Self::Fraction => "a number above 0 and below 1".into(),
            Self::Flag => "true or false".into(),
            Self::Word(words) => one_of(words.iter().copied()),
            Self::Each(n, domain) => format!("a list of {n}, each {}", domain.expected()),
            Self::Optional(domain) => format!("{}, or `None`", domain.expected()),
        }
    }

    /// Returns the domain in few words, for a table. Words are quoted as a pipeline writes them.
    pub fn brief(&self) -> String {
        match self {
            Self::Any => "value".into(),
            Self::Whole(range) | Self::Rounded(range) if *range.end() == u32::MAX => {
                format!("integer, at least {}", range.start())
            }
            Self::Whole(range) | Self::Rounded(range) => format!("integer, {} to {}", range.start(), range.end()),
            Self::Share => "number, at least 0 and below 1".into(),
            Self::Positive => "number above 0".into(),
            Self::NotNegative => "number, at least 0".into(),
            Self::Between(least, most) => format!("number, {least} to {most}"),
            Self::AboveUpTo(below, most) => format!("number above {below} and at most {most}"),
            Self::Fraction => "number above 0 and below 1".into(),
            Self::Flag => "`true` or `false`".into(),
            Self::Word(words) => {
                let words: Vec<_> = words.iter().map(|word| notation(&(*word).into())).collect();
                one_of(words.iter().map(String::as_str))
            }
            Self::Each(n, domain) => format!("list of {n}, each {}", domain.brief()),
            Self::Optional(domain) => format!("{}, or `None`", domain.brief()),
        }
    }

    /// Returns some value in the domain.
    pub fn any(&self) -> Value {
        match self {
            Self::Any | Self::Optional(_) => Value::Null,
            Self::Whole(range) | Self::Rounded(range) => (*range.start()).into(),
            Self::Share | Self::NotNegative => 0.into(),
            Self::Positive => 1.into(),
            Self::Between(least, _) => (*least).into(),
            Self::AboveUpTo(_, most) => (*most).into(),
            Self::Fraction => 0.5.into(),
            Self::Flag => false.into(),
            Self::Word(words) => words[0].into(),
            Self::Each(n, domain) => vec![domain.any(); *n].into(),
        }
    }
}
