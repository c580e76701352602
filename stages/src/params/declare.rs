//! The macros that declare parameters: [`parameters!`](crate::parameters) for fields and [`choices!`](crate::choices) for
//! names. A declaration makes the type, its reader, its writer, and its entry in the reference documentation.

use serde_json::{Map, Value};

use super::{Domain, Read, Unfilled, notation};
use crate::words::one_of;

/// The declaration of one parameter.
#[derive(Debug, Clone, PartialEq)]
pub struct Declaration {
    /// The parameter's name.
    pub name: &'static str,
    /// The values that are allowed.
    pub domain: Domain,
    /// The values that are allowed, in few words.
    pub allowed: String,
    /// Whether the value may be `hp("label")`.
    pub takes_a_label: bool,
    /// The value if the parameter is left out. `None` if it is required.
    pub default: Option<Value>,
    /// The doc comment, as one line.
    pub doc: String,
}

/// The declaration of one of several names.
#[derive(Debug, Clone, PartialEq)]
pub struct Choice {
    /// The name, as it is written.
    pub name: &'static str,
    /// The text in its parentheses, such as `over_epochs, warmup_epochs: 0`. `None` if it has no parentheses.
    pub inside: Option<String>,
    /// The number of fields in its parentheses. 0 if its content has no fields.
    pub n_fields: usize,
    /// The values that are allowed in its parentheses, in few words. `None` if it has no parentheses.
    pub content: Option<String>,
    /// Whether a value in its parentheses may be `hp("label")`.
    pub takes_a_label: bool,
    /// The doc comment, as one line.
    pub doc: String,
}

/// A type with declared fields, made by [`parameters!`](crate::parameters).
pub trait Declared: Read {
    /// The names of the fields, in the order of their declaration.
    const NAMES: &'static [&'static str];

    /// Returns the declarations of the fields, in order.
    fn declarations() -> Vec<Declaration>;

    /// Returns the parameters with each label replaced by the value proposed for it.
    ///
    /// # Errors
    /// If `labels` has no value for a label, or the value is not allowed.
    fn filled_in(&self, labels: &Map<String, Value>) -> Result<Self, Unfilled>;

    /// Returns every field with its value, including those at their defaults.
    fn all(&self) -> Map<String, Value>;
}

/// A type with declared names, made by [`choices!`](crate::choices).
pub trait Choices: Read {
    /// Returns the declarations of the names, in order.
    fn choices() -> Vec<Choice>;
}

/// Returns the domain of the field `name`.
///
/// # Panics
/// If there is no such field.
pub fn domain<T: Declared>(name: &str) -> Domain {
    let declaration = T::declarations().into_iter().find(|declaration| declaration.name == name);
    declaration.unwrap_or_else(|| panic!("there is no field `{name}`")).domain
}

/// Returns the fields as text, each with its default: `over_epochs, warmup_epochs: 0`.
pub fn written<T: Declared>() -> String {
    let field = |declaration: Declaration| match declaration.default {
        Some(default) => format!("{}: {}", declaration.name, notation(&default)),
        None => declaration.name.to_owned(),
    };
    T::declarations().into_iter().map(field).collect::<Vec<_>>().join(", ")
}

/// Returns the names as text: "`Constant` or `Cosine(over_epochs)`". Content of more than two fields, or any content if more than
/// three names have some, is left to a table of its own.
pub fn one_of_choices<T: Choices>() -> String {
    let choices = T::choices();
    let are_many = choices.iter().filter(|choice| choice.inside.is_some()).count() > 3;
    let choice = |choice: Choice| match choice.inside {
        Some(_) if choice.n_fields > 2 && !are_many => format!("{}(..)", choice.name),
        Some(inside) if !are_many => format!("{}({inside})", choice.name),
        _ => choice.name.to_owned(),
    };
    let names: Vec<_> = choices.into_iter().map(choice).collect();
    one_of(names.iter().map(String::as_str))
}

/// Returns the lines of a doc comment as one line.
pub fn one_line(lines: &[&str]) -> String {
    lines.iter().map(|line| line.trim()).collect::<Vec<_>>().join(" ").trim().to_owned()
}

/// Declares a struct of parameters. A field is declared as
///
/// ```text
/// /// What it means.
/// name: Type [domain] = default,
/// ```
///
/// - Without `[domain]`, every value of the type is allowed.
/// - Without `= default`, the field is required. A field of type `Option` is `None` if it is left out.
/// - `struct Type;` has no fields.
/// - `struct Type = defaults` implements `Default`. Every field must have a default.
/// - `struct Type where check` calls `fn check(self, at: &Path, problems: &mut Vec<Problem>) -> Self` after all fields are
///   read, for rules that involve several fields.
///
/// Fields at their defaults are left out when the struct is written, so that adding a parameter changes no existing key.
#[macro_export]
macro_rules! parameters {
    (
        $(#[doc = $about:literal])*
        $(#[derive($($derive:ident),*)])?
        $vis:vis struct $name:ident $(= $defaults:ident)? $(where $check:ident)? {
            $( $(#[doc = $doc:literal])* $field:ident: $type:ty $([$domain:expr])? $(= $default:expr)?, )*
        }
    ) => {
        $(#[doc = $about])*
        #[derive(Debug, Clone, PartialEq $($(, $derive)*)?)]
        $vis struct $name {
            $( $(#[doc = $doc])* pub $field: $type, )*
        }

        $(
            impl Default for $name {
                fn default() -> Self {
                    let $defaults = <Self as $crate::params::Read>::bare();
                    $defaults.expect("every field has a default")
                }
            }
        )?

        impl $crate::params::Read for $name {
            fn read(
                value: &serde_json::Value,
                _: &$crate::params::Domain,
                at: &$crate::problem::Path,
                problems: &mut Vec<$crate::problem::Problem>,
            ) -> Option<Self> {
                let fields = $crate::params::Fields::of(value, <Self as $crate::params::Declared>::NAMES, at, problems)?;
                $(
                    let $field = fields.read::<$type>(
                        stringify!($field),
                        &$crate::parameters!(@domain $($domain)?),
                        $crate::parameters!(@default $type $(, $default)?),
                        problems,
                    );
                )*
                let read = Self { $( $field: $field?, )* };
                if fields.has_unknown() {
                    return None;
                }
                $( let read = read.$check(at, problems); )?
                Some(read)
            }

            fn expected(_: &$crate::params::Domain) -> String {
                "fields: `(..)`".to_owned()
            }

            fn brief(_: &$crate::params::Domain) -> String {
                format!("`({})`", Self::inside())
            }

            fn inside() -> String {
                $crate::params::written::<Self>()
            }

            fn fields() -> &'static [&'static str] {
                <Self as $crate::params::Declared>::NAMES
            }

            fn bare() -> Option<Self> {
                Some(Self { $( $field: $crate::parameters!(@default $type $(, $default)?)?, )* })
            }

            fn takes_a_label() -> bool {
                false $(|| <$type as $crate::params::Read>::takes_a_label())*
            }

            fn settled(
                &self,
                _: &$crate::params::Domain,
                _: &str,
                labels: &serde_json::Map<String, serde_json::Value>,
            ) -> Result<Self, $crate::params::Unfilled> {
                $crate::params::Declared::filled_in(self, labels)
            }

            fn uses(&self, _: &$crate::params::Domain, uses: &mut Vec<$crate::params::LabelUse>) {
                $(
                    let domain = $crate::parameters!(@domain $($domain)?);
                    $crate::params::Read::uses(&self.$field, &domain, uses);
                )*
            }
        }

        impl $crate::params::Declared for $name {
            const NAMES: &'static [&'static str] = &[$( stringify!($field) ),*];

            fn declarations() -> Vec<$crate::params::Declaration> {
                vec![$( {
                    let domain = $crate::parameters!(@domain $($domain)?);
                    $crate::params::Declaration {
                        name: stringify!($field),
                        allowed: <$type as $crate::params::Read>::brief(&domain),
                        takes_a_label: <$type as $crate::params::Read>::takes_a_label(),
                        default: $crate::parameters!(@default $type $(, $default)?)
                            .map(|default| serde_json::json!(default)),
                        doc: $crate::params::one_line(&[$($doc),*]),
                        domain,
                    }
                } ),*]
            }

            fn filled_in(
                &self,
                labels: &serde_json::Map<String, serde_json::Value>,
            ) -> Result<Self, $crate::params::Unfilled> {
                Ok(Self { $(
                    $field: $crate::params::Read::settled(
                        &self.$field,
                        &$crate::parameters!(@domain $($domain)?),
                        stringify!($field),
                        labels,
                    )?,
                )* })
            }

            fn all(&self) -> serde_json::Map<String, serde_json::Value> {
                [$( (stringify!($field).to_owned(), serde_json::json!(self.$field)) ),*].into_iter().collect()
            }
        }

        impl serde::Serialize for $name {
            fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                use serde::ser::SerializeMap as _;
                let mut map = serializer.serialize_map(None)?;
                $(
                    if $crate::parameters!(@default $type $(, $default)?).as_ref() != Some(&self.$field) {
                        map.serialize_entry(stringify!($field), &self.$field)?;
                    }
                )*
                map.end()
            }
        }

        impl<'de> serde::Deserialize<'de> for $name {
            fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                $crate::params::deserialize(deserializer)
            }
        }
    };
    ($(#[doc = $about:literal])* $(#[derive($($derive:ident),*)])? $vis:vis struct $name:ident;) => {
        $(#[doc = $about])*
        #[derive(Debug, Clone, PartialEq, Default, serde::Serialize $($(, $derive)*)?)]
        $vis struct $name;

        impl $crate::params::Read for $name {
            fn read(
                value: &serde_json::Value,
                _: &$crate::params::Domain,
                at: &$crate::problem::Path,
                problems: &mut Vec<$crate::problem::Problem>,
            ) -> Option<Self> {
                $crate::params::Fields::of(value, &[], at, problems).map(|_| Self)
            }

            fn expected(_: &$crate::params::Domain) -> String {
                "nothing".to_owned()
            }

            fn bare() -> Option<Self> {
                Some(Self)
            }
        }
    };
    (@domain) => { $crate::params::Domain::Any };
    (@domain $domain:expr) => { $domain };
    (@default $type:ty) => { <$type as $crate::params::Read>::absent() };
    (@default $type:ty, $default:expr) => { Some::<$type>($default) };
}

/// Declares an enum of names, one of which is the value of a parameter. A name is declared as
///
/// ```text
/// /// What it means.
/// Name(Type [domain]) = "written",
/// ```
///
/// - Without `(Type)`, the name has no content.
/// - Without `[domain]`, every value of the type is allowed.
/// - Without `= "written"`, the name is written like the variant.
/// - `enum Type = Name` implements `Default`.
/// - `unwritten enum` does not implement `Serialize`, so that you can implement it yourself.
///
/// In JSON, as with serde, a name is `"Name"` or `{"Name": content}`.
#[macro_export]
macro_rules! choices {
    (
        $(#[doc = $about:literal])*
        $(#[derive($($derive:ident),*)])?
        $vis:vis enum $name:ident $(= $default:ident)? {
            $( $(#[doc = $doc:literal])* $variant:ident $(($type:ty $([$domain:expr])?))? $(= $word:literal)?, )*
        }
    ) => {
        $crate::choices! {
            $(#[doc = $about])*
            $(#[derive($($derive),*)])?
            $vis unwritten enum $name $(= $default)? {
                $( $(#[doc = $doc])* $variant $(($type $([$domain])?))? $(= $word)?, )*
            }
        }

        impl serde::Serialize for $name {
            fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                match self {
                    $( $crate::choices!(@pattern $variant content $($type)?) =>
                        $crate::choices!(@serialize self, serializer, content $($type)?), )*
                }
            }
        }
    };
    (
        $(#[doc = $about:literal])*
        $(#[derive($($derive:ident),*)])?
        $vis:vis unwritten enum $name:ident $(= $default:ident)? {
            $( $(#[doc = $doc:literal])* $variant:ident $(($type:ty $([$domain:expr])?))? $(= $word:literal)?, )*
        }
    ) => {
        $(#[doc = $about])*
        #[derive(Debug, Clone, PartialEq $($(, $derive)*)?)]
        $vis enum $name {
            $( $(#[doc = $doc])* $variant $(($type))?, )*
        }

        $(
            impl Default for $name {
                fn default() -> Self {
                    Self::$default
                }
            }
        )?

        impl $name {
            /// The names, as they are written.
            $vis const NAMES: &'static [&'static str] = &[$( $crate::choices!(@word $variant $($word)?) ),*];

            /// Returns the name, as it is written.
            $vis fn name(&self) -> &'static str {
                match self {
                    $( $crate::choices!(@pattern $variant _ $($type)?) => $crate::choices!(@word $variant $($word)?), )*
                }
            }
        }

        impl $crate::params::Read for $name {
            fn read(
                value: &serde_json::Value,
                _: &$crate::params::Domain,
                at: &$crate::problem::Path,
                problems: &mut Vec<$crate::problem::Problem>,
            ) -> Option<Self> {
                let (known, content) = $crate::params::named(value, Self::NAMES, at, problems)?;
                let name = Self::NAMES[known];
                $(
                    if name == $crate::choices!(@word $variant $($word)?) {
                        return $crate::choices!(@read $variant, name, content, at, problems $(, $type [$($domain)?])?);
                    }
                )*
                unreachable!("the name is one of them")
            }

            fn expected(_: &$crate::params::Domain) -> String {
                $crate::words::one_of(Self::NAMES.iter().copied())
            }

            fn brief(_: &$crate::params::Domain) -> String {
                $crate::params::one_of_choices::<Self>()
            }

            fn settled(
                &self,
                _: &$crate::params::Domain,
                _: &str,
                labels: &serde_json::Map<String, serde_json::Value>,
            ) -> Result<Self, $crate::params::Unfilled> {
                // Not used if no name has content.
                let _ = labels;
                Ok(match self {
                    $( $crate::choices!(@pattern $variant content $($type)?) =>
                        $crate::choices!(@settled $variant, labels, content $(, $type [$($domain)?])?), )*
                })
            }

            fn uses(&self, _: &$crate::params::Domain, uses: &mut Vec<$crate::params::LabelUse>) {
                let _ = &uses;
                match self {
                    $( $crate::choices!(@pattern $variant content $($type)?) =>
                        $crate::choices!(@uses uses, content $(, $type [$($domain)?])?), )*
                }
            }
        }

        impl $crate::params::Choices for $name {
            fn choices() -> Vec<$crate::params::Choice> {
                vec![$( $crate::params::Choice {
                    name: $crate::choices!(@word $variant $($word)?),
                    inside: $crate::choices!(@inside $($type)?),
                    n_fields: 0 $( + <$type as $crate::params::Read>::fields().len())?,
                    content: $crate::choices!(@content $($type [$($domain)?])?),
                    takes_a_label: false $( || <$type as $crate::params::Read>::takes_a_label())?,
                    doc: $crate::params::one_line(&[$($doc),*]),
                } ),*]
            }
        }

        impl<'de> serde::Deserialize<'de> for $name {
            fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                $crate::params::deserialize(deserializer)
            }
        }
    };
    (@word $variant:ident) => { stringify!($variant) };
    (@word $variant:ident $word:literal) => { $word };
    (@pattern $variant:ident $binding:tt) => { Self::$variant };
    (@pattern $variant:ident _ $type:ty) => { Self::$variant(_) };
    (@pattern $variant:ident $binding:ident $type:ty) => { Self::$variant($binding) };
    (@serialize $self:ident, $serializer:ident, $binding:ident) => { $serializer.serialize_str($self.name()) };
    (@serialize $self:ident, $serializer:ident, $binding:ident $type:ty) => {
        $serializer.collect_map([($self.name(), $binding)])
    };
    (@settled $variant:ident, $labels:ident, $content:ident) => { Self::$variant };
    (@settled $variant:ident, $labels:ident, $content:ident, $type:ty [$($domain:expr)?]) => {
        Self::$variant($crate::params::Read::settled(
            $content,
            &$crate::parameters!(@domain $($domain)?),
            stringify!($variant),
            $labels,
        )?)
    };
    (@uses $uses:ident, $content:ident) => { {} };
    (@uses $uses:ident, $content:ident, $type:ty [$($domain:expr)?]) => {
        $crate::params::Read::uses($content, &$crate::parameters!(@domain $($domain)?), $uses)
    };
    (@read $variant:ident, $name:ident, $content:ident, $at:ident, $problems:ident) => {
        $crate::params::no_content($name, $content, $at, $problems).map(|()| Self::$variant)
    };
    (@read $variant:ident, $name:ident, $content:ident, $at:ident, $problems:ident, $type:ty [$($domain:expr)?]) => {
        $crate::params::content::<$type>(
            $name,
            $content,
            &$crate::parameters!(@domain $($domain)?),
            $at,
            $problems,
        )
        .map(Self::$variant)
    };
    (@inside) => { None };
    (@inside $type:ty) => { Some(<$type as $crate::params::Read>::inside()) };
    (@content) => { None };
    (@content $type:ty [$($domain:expr)?]) => {
        Some(<$type as $crate::params::Read>::brief(&$crate::parameters!(@domain $($domain)?)))
    };
}
