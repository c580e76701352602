//! The networks that were trained, layer by layer.

use std::collections::BTreeSet;

use maud::{Markup, html};
use pipe_stages::StageName;
use serde_json::Value;

use super::Page;
use crate::{ViewError, outputs::Outputs, plot::architecture::Diagram, text::grouped};

/// Width of the page, in CSS pixels.
const PAGE: f64 = 1088.0;

/// Returns the network of each training that is no trial; where there is none, those of the best trials.
pub(super) fn section(page: &Page<'_>) -> Result<Option<Markup>, ViewError> {
    let mut names: Vec<_> = page.nodes(StageName::Train).map(|(name, _)| name.clone()).collect();
    if names.is_empty() {
        names = page.trials.iter().filter(|row| row.best).map(|row| row.node.clone()).collect();
    }
    let mut seen = BTreeSet::new();
    let mut parts = Vec::new();
    for name in &names {
        let Some(outputs) = Outputs::of(page.store, name, &page.found.study.nodes[name])? else { continue };
        let is_new = outputs.digest("architecture.json").is_some_and(|digest| seen.insert(digest));
        if let Some(record) = outputs.json("architecture.json")?.filter(|_| is_new) {
            parts.push(network(name, &record));
        }
    }
    Ok((!parts.is_empty()).then(|| html! { @for part in parts { (part) } }))
}

fn network(name: &str, record: &Value) -> Markup {
    let empty = Vec::new();
    let layers = record.get("layers").and_then(Value::as_array).unwrap_or(&empty);
    let count = |record: &Value, key: &str| record.get(key).and_then(Value::as_u64);
    let number = |n: Option<u64>| n.map(grouped).unwrap_or_default();
    let own = |layer: &Value| count(layer, "parameters").map(|n| n + count(layer, "statistics").unwrap_or(0));
    let text = |layer: &Value, key: &str| layer.get(key).and_then(Value::as_str).unwrap_or_default().to_owned();
    let diagram = serde_json::from_value(record.clone()).ok().map(|network| Diagram::new(name, &network).draw());
    html! {
        h3 { "Network of " (name) }
        @if let Some(diagram) = &diagram {
            figure {
                // Large networks are scrolled rather than shrunk beyond reading.
                div.wide { div style=(format!("min-width:{}px", diagram.width.min(1.6 * PAGE).round())) { (diagram.inline()) } }
                figcaption { "The network, from its input to its heads. " (diagram.note) }
            }
        }
        p.quiet { "Shapes are [channels, height, width] or [units] of one image. A multiplication with addition counts as two operations (FLOPs)." }
        div.wide {
            table {
                thead {
                    tr { th { "layer" } th { "kind" } th { "reads" } th { "output shape" } th.number { "parameters" } th.number { "FLOPs" } }
                }
                tbody {
                    tr { th scope="row" { "input" } td {} td {} td { (shape(record.get("input"))) } td {} td {} }
                    @for layer in layers {
                        tr {
                            th scope="row" { (text(layer, "name")) }
                            td { (text(layer, "kind").replace('_', " ")) }
                            td { (strings(layer.get("inputs"))) }
                            td { (shape(layer.get("shape"))) }
                            td.number { (number(own(layer).filter(|n| *n > 0))) }
                            td.number { (number(count(layer, "flops").filter(|n| *n > 0))) }
                        }
                    }
                }
                tfoot {
                    tr {
                        th scope="row" { "total" } td { (layers.len()) " layers" } td {} td {}
                        td.number { (number(count(record, "parameters"))) } td.number { (number(count(record, "flops"))) }
                    }
                }
            }
        }
    }
}

fn shape(value: Option<&Value>) -> String {
    let sides = value.and_then(Value::as_array).map(|sides| sides.iter().map(Value::to_string).collect::<Vec<_>>());
    sides.map(|sides| format!("[{}]", sides.join(", "))).unwrap_or_default()
}

fn strings(value: Option<&Value>) -> String {
    let texts = value.and_then(Value::as_array).map(|texts| texts.iter().filter_map(Value::as_str).collect::<Vec<_>>());
    texts.map(|texts| texts.join(", ")).unwrap_or_default()
}
