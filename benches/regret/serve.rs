//! Evaluates functions for `baselines.py`, so that all samplers search exactly the same functions.
//!
//! The first line that it writes is an object of spaces by function. Then it answers each line `{"function", "seed", "trial", "values"}`
//! with `{"observed", "regret"}`. `observed` is null if the trial fails.

use std::io::{BufRead, Write};

use serde_json::{Map, Value, json};

use crate::functions;

pub(crate) fn serve() {
    let functions = functions::all();
    let mut output = std::io::stdout().lock();
    let mut answer = |value: Value| {
        writeln!(output, "{value}").and_then(|()| output.flush()).expect("the reader is there");
    };
    answer(functions.iter().map(|function| (function.name.to_owned(), function.space.clone())).collect());
    for line in std::io::stdin().lock().lines() {
        let question: Map<String, Value> =
            serde_json::from_str(&line.expect("the lines are text")).expect("a line is an object");
        let name = question["function"].as_str().expect("a name");
        let function = functions.iter().find(|function| function.name == name).expect("it is served");
        let values = question["values"].as_object().expect("an object");
        let number = |key: &str| question[key].as_u64().expect("an integer");
        let observed = function.observed(values, number("seed"), number("trial") as u32);
        let regret = (function.value)(values) - function.least;
        answer(json!({"observed": observed.is_finite().then_some(observed), "regret": regret}));
    }
}
