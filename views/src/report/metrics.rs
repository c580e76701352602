//! The metrics of programs: the numbers in their files of metrics.

use std::collections::{BTreeMap, BTreeSet};

use maud::{Markup, html};
use pipe_engine::study::StudyNode;
use pipe_stages::StageName;
use serde_json::Value;

use super::page::Page;
use crate::{ViewError, natural, outputs::Outputs, outputs::numbers, text::significant};

/// With more metrics than this, metrics are rows and nodes are columns.
const COLUMNS: usize = 8;
/// The most rows and columns of a table.
const MOST: usize = 200;

/// The numbers of one program.
struct Numbers {
    node: String,
    /// Whether it may read what is held out.
    is_final: bool,
    by_name: BTreeMap<String, f64>,
}

pub(super) fn section(page: &Page<'_>) -> Result<Option<Markup>, ViewError> {
    let mut groups: Vec<(String, Vec<Numbers>)> = Vec::new();
    let mut nodes: Vec<_> = page.nodes(StageName::Command).collect();
    nodes.sort_by(|(a, _), (b, _)| natural::compare(a, b));
    for (name, node) in nodes {
        let Some(numbers) = of_node(page, name, node)? else { continue };
        // The copies of a `ForEach` are the rows of one table.
        let group = name.split_once('/').map_or(name.as_str(), |(group, _)| group).to_owned();
        match groups.iter_mut().find(|(known, of_group)| *known == group && of_group[0].same_names(&numbers)) {
            Some((_, of_group)) => of_group.push(numbers),
            None => groups.push((group, vec![numbers])),
        }
    }
    Ok((!groups.is_empty()).then(|| {
        html! {
            p.quiet { "The numbers in the files of metrics that programs wrote. A program reports what it measured; nothing here checks it." }
            @for (_, of_group) in &groups { (table(of_group)) }
        }
    }))
}

impl Numbers {
    fn same_names(&self, other: &Self) -> bool {
        self.by_name.keys().eq(other.by_name.keys())
    }
}

/// Returns the numbers of a program, or None if it has no files of metrics.
fn of_node(page: &Page<'_>, name: &str, node: &StudyNode) -> Result<Option<Numbers>, ViewError> {
    let stages = &page.pipeline.stages;
    let Some(program) = stages.get(&node.part_of).and_then(|stage| stage.program(stages)) else { return Ok(None) };
    let Some(outputs) = Outputs::of(page.store, name, node)? else { return Ok(None) };
    let files: Vec<&String> = program.command.metrics.iter().filter(|path| outputs.digest(path).is_some()).collect();
    let mut by_name = BTreeMap::new();
    for path in &files {
        let bytes = outputs.bytes(path)?.expect("the file is one of the tree");
        let record: Value = serde_json::from_slice(&bytes).map_err(|error| outputs.not_a_record(path, &error))?;
        let prefix = if files.len() > 1 { format!("{path}: ") } else { String::new() };
        by_name.extend(numbers(&record).into_iter().map(|(name, number)| (format!("{prefix}{name}"), number)));
    }
    let numbers = Numbers { node: name.to_owned(), is_final: program.is_final(), by_name };
    Ok((!numbers.by_name.is_empty()).then_some(numbers))
}

fn table(rows: &[Numbers]) -> Markup {
    let names: BTreeSet<&String> = rows.iter().flat_map(|row| row.by_name.keys()).collect();
    let names: Vec<&String> = names.into_iter().take(MOST).collect();
    let shown = &rows[..rows.len().min(MOST)];
    let number = |row: &Numbers, name: &String| row.by_name.get(name).map(|number| significant(*number, 5));
    let is_final = |row: &Numbers| html! { @if row.is_final { " " span.tag { "final: may read held-out data" } } };
    let spread = rows.len() > 1;
    html! {
        @if rows.len() > 1 && rows.len() > MOST { p.quiet { "The first " (MOST) " of " (rows.len()) " programs." } }
        div.wide.narrow {
            @if names.len() <= COLUMNS {
                table.sortable {
                    thead { tr { th { "node" } @for name in &names { th.number { (name) } } } }
                    tbody {
                        @for row in shown {
                            tr {
                                th scope="row" { (row.node) (is_final(row)) }
                                @for name in &names { td.number { (number(row, name).unwrap_or_default()) } }
                            }
                        }
                    }
                    @if spread { tfoot {
                        tr { th scope="row" { "mean ± standard deviation" } @for name in &names { td.number { (mean(rows, name)) } } }
                    } }
                }
            } @else {
                table.sortable {
                    thead { tr {
                        th { "metric" }
                        @for row in shown { th.number { (row.node) (is_final(row)) } }
                        @if spread { th.number { "mean ± standard deviation" } }
                    } }
                    tbody {
                        @for name in &names {
                            tr {
                                th scope="row" { (name) }
                                @for row in shown { td.number { (number(row, name).unwrap_or_default()) } }
                                @if spread { td.number { (mean(rows, name)) } }
                            }
                        }
                    }
                }
            }
        }
    }
}

/// Returns the mean and the standard deviation (n - 1) of a metric over several programs.
fn mean(rows: &[Numbers], name: &str) -> String {
    let numbers: Vec<f64> = rows.iter().filter_map(|row| row.by_name.get(name).copied()).collect();
    let n = numbers.len() as f64;
    let mean = numbers.iter().sum::<f64>() / n;
    let deviation = (numbers.iter().map(|number| (number - mean).powi(2)).sum::<f64>() / (n - 1.0)).sqrt();
    format!("{} ± {}", significant(mean, 5), significant(deviation, 2))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_mean_and_the_deviation_are_those_of_a_sample() {
        let row = |value| Numbers { node: "fold/0".into(), is_final: false, by_name: [("x".to_owned(), value)].into() };
        assert_eq!(mean(&[row(1.0), row(2.0), row(4.5)], "x"), "2.5 ± 1.8");
    }
}
