//! Tests of declared parameters.

use serde_json::{Value, json};

use super::*;
use crate::{choices, parameters, problem::Problem};

choices! {
    /// A colour.
    #[derive(Copy, Eq)]
    enum Colour = Red {
        /// The first.
        Red,
        /// By its wavelength.
        Light(u32 [Domain::Whole(380..=750)]) = "light",
    }
}

parameters! {
    /// A brush.
    struct Brush where no_empty_names {
        /// How wide it is.
        width: Hyper<u32> [Domain::Whole(1..=9)],
        /// What it paints in:
        /// one colour.
        colour: Colour = Colour::Red,
        /// How much is left out.
        share: f64 [Domain::Share] = 0.5,
        /// Names.
        names: Vec<String> = Vec::new(),
        /// A second width.
        second: Option<Hyper<u32>> [Domain::Whole(1..=9)],
    }
}

impl Brush {
    fn no_empty_names(self, at: &crate::problem::Path, problems: &mut Vec<Problem>) -> Self {
        for (i, _) in self.names.iter().enumerate().filter(|(_, name)| name.is_empty()) {
            problems.push(Problem::new(at.name("names").index(i), "found no name"));
        }
        self
    }
}

fn brush(value: Value) -> Result<Brush, Vec<String>> {
    read(&value).map_err(|problems| problems.iter().map(ToString::to_string).collect())
}

#[track_caller]
fn refused(value: Value, expected: &[&str]) {
    assert_eq!(brush(value).unwrap_err(), expected);
}

#[test]
fn defaults_are_filled_in_when_read_and_left_out_when_written() {
    let short = brush(json!({ "width": 3 })).unwrap();
    let long = json!({ "width": 3, "colour": "Red", "share": 0.5, "names": [], "second": null });
    assert_eq!(brush(long.clone()).unwrap(), short);
    assert_eq!(serde_json::to_value(&short).unwrap(), json!({ "width": 3 }));
    assert_eq!(Value::from(short.all()), long);
    assert_eq!(serde_json::from_value::<Brush>(json!({ "width": 3 })).unwrap(), short);
    let other = json!({ "width": { "hp": "w" }, "colour": { "light": 500 }, "second": 2 });
    assert_eq!(serde_json::to_value(brush(other.clone()).unwrap()).unwrap(), other);
    // A list has the fields in their order.
    assert_eq!(brush(json!([3, "Red"])).unwrap(), short);
}

#[test]
fn every_problem_is_reported_with_its_place_and_what_is_allowed() {
    refused(
        json!({ "widht": 3, "colour": { "light": 7 }, "share": 1, "names": ["", 3, ""] }),
        &[
            "unknown field `widht`, expected `colour`, `names`, `second`, `share` or `width` (did you mean `width`?)",
            "`colour.light`: found `7`, expected a whole number of 380 to 750",
            "`share`: found `1`, expected a number at least 0 and below 1",
            "`names[1]`: found `3`, expected a string",
        ],
    );
    refused(
        json!({ "width": "3", "colour": "light", "names": ["a", ""], "second": 10 }),
        &[
            "`width`: found `\"3\"`, expected a whole number of 1 to 9, or `hp(\"label\")` in a search",
            "`colour`: found `light`, expected `light(..)`",
            "`second`: found `10`, expected a whole number of 1 to 9",
        ],
    );
    refused(
        json!({ "width": 0, "colour": "Rde", "names": [""] }),
        &[
            "`width`: found `0`, expected a whole number of 1 to 9",
            "unknown name `Rde`, expected `Red` or `light` (did you mean `Red`?)",
        ],
    );
    refused(
        json!({ "width": 1, "colour": { "Red": 1 } }),
        &["`colour.Red`: found `1`, expected `Red` without parentheses"],
    );
    refused(json!({}), &["missing field `width`, expected `width: ..` with a whole number of 1 to 9"]);
    refused(json!({ "width": 1, "names": [""] }), &["`names[0]`: found no name"]);
    refused(json!(3), &["found `3`, expected fields: `(..)`"]);
}

#[test]
fn serde_reports_the_first_problem() {
    let error = serde_json::from_value::<Brush>(json!({ "width": 0, "share": 2 })).unwrap_err().to_string();
    assert!(error.starts_with("`width`: found `0`, expected a whole number of 1 to 9"), "{error}");
}

#[test]
fn a_label_is_filled_in_only_with_an_allowed_value() {
    let brush = brush(json!({ "width": { "hp": "w" }, "second": { "hp": "v" } })).unwrap();
    let filled = |labels: Value| brush.filled_in(labels.as_object().unwrap());
    let both = filled(json!({ "w": 4.0, "v": 2 })).unwrap();
    assert_eq!((both.width.get(), both.second), (4, Some(Hyper::Value(2))));
    for (value, found) in [(json!(10), "10"), (json!(1.5), "1.5"), (json!("x"), "\"x\"")] {
        let expected = format!("label `w` proposes {found}, expected a whole number of 1 to 9");
        let refused = filled(json!({ "w": value, "v": 2 })).unwrap_err();
        assert!(matches!(&refused, Unfilled::Refused(why) if why.to_string() == expected), "{refused:?}");
    }
    let expected = "`second`: the proposal has no label `v`";
    let missing = filled(json!({ "w": 1 })).unwrap_err();
    assert!(matches!(&missing, Unfilled::Missing(why) if why.to_string() == expected), "{missing:?}");
}

#[test]
fn a_declaration_has_the_name_doc_default_and_content() {
    let colour = &Brush::declarations()[1];
    assert_eq!((colour.name, colour.doc.as_str()), ("colour", "What it paints in: one colour."));
    assert_eq!((colour.allowed.as_str(), &colour.default), ("`Red` or `light(..)`", &Some(json!("Red"))));
    assert_eq!(Brush::declarations()[0].default, None);
    let light = &Colour::choices()[1];
    assert_eq!((light.name, light.content.as_deref()), ("light", Some("integer, 380 to 750")));
    assert_eq!((Colour::default().name(), Colour::Light(400).name()), ("Red", "light"));
}
