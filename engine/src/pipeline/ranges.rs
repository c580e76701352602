//! Values out of range as problems at their places. What is wrong arrives as "found, expected allowed": see `complain`.

use super::{
    node::Node,
    path::{self, locate},
    problem::Problem,
};

/// Complains about values out of range, each "found, expected allowed" at a path inside `node`; what is said of an objective is
/// said of `objective` if that stands elsewhere.
pub(super) fn complain(
    node: &Node,
    found: Vec<(String, String)>,
    objective: Option<&Node>,
    problems: &mut Vec<Problem>,
) {
    for (at, message) in found {
        let place = match objective {
            Some(objective) if at == "objective" => objective,
            _ => locate(node, &path::parse(&at).unwrap_or_default()),
        };
        let split = [", expected ", "; expected ", ", allowed: "].iter().find_map(|by| message.split_once(by));
        let (found, expected) = match split.or_else(|| message.strip_prefix("expected ").map(|rest| ("", rest))) {
            Some((found, expected)) => (found, Some(expected)),
            None => (message.as_str(), None),
        };
        let field = at.rsplit('.').next().filter(|field| !field.is_empty() && !found.starts_with('`'));
        let field = field.map(|field| format!("`{field}`: ")).unwrap_or_default();
        let found = match found {
            "" => format!("found {}", place.to_json()),
            found if found.starts_with(|c: char| c.is_ascii_digit() || c == '-') => format!("found {found}"),
            found => found.to_owned(),
        };
        let mut problem = Problem::at(place.span, field + &found);
        problem.expected = expected.map(str::to_owned);
        problems.push(problem);
    }
}

/// Complains about a network that cannot be built, at `path` inside `node`.
pub(super) fn complain_about_misfit(node: &Node, path: &str, message: &str, problems: &mut Vec<Problem>) {
    let at = locate(node.content(), &path::parse(path).unwrap_or_default());
    let (found, expected) = message.split_once(", expected ").unwrap_or((message, "a window that fits"));
    problems.push(Problem::at(at.span, found).expected(expected));
}
