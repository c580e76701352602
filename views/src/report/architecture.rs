//! The architecture of each trained network, layer by layer.

use std::collections::BTreeSet;

use maud::{Markup, html};
use pipe_stages::{StageName, network::Architecture, records::Record};

use super::page::{Page, legible};
use crate::{ViewError, outputs::Outputs, plot::diagram::Diagram, text::grouped};

/// Returns the network of each training outside of searches; if there is none, those of the best trials.
pub(super) fn section(page: &Page<'_>) -> Result<Option<Markup>, ViewError> {
    let mut names: Vec<_> = page.nodes(StageName::Train).map(|(name, _)| name.clone()).collect();
    if names.is_empty() {
        names = page.trials.iter().filter(|row| row.best).map(|row| row.node.clone()).collect();
    }
    let mut seen = BTreeSet::new();
    let mut parts = Vec::new();
    for name in &names {
        let Some(outputs) = Outputs::of(page.store, name, &page.found.study.nodes[name])? else { continue };
        let is_new = outputs.digest(Architecture::FILE).is_some_and(|digest| seen.insert(digest));
        if let Some(network) = outputs.record()?.filter(|_| is_new) {
            parts.push(drawn(name, &network));
        }
    }
    Ok((!parts.is_empty()).then(|| html! { @for part in parts { (part) } }))
}

fn drawn(name: &str, network: &Architecture) -> Markup {
    let diagram = Diagram::new(name, network).draw();
    let number = |n: u64| if n > 0 { grouped(n) } else { String::new() };
    html! {
        h3 { "Network of " (name) }
        figure {
            (legible(&diagram))
            figcaption { "The network, from its input to its heads. " (diagram.note) }
        }
        p.quiet { "Shapes are [channels, height, width] or [units] of one image. A multiplication with addition counts as two operations (FLOPs)." }
        div.wide {
            table {
                thead {
                    tr { th { "layer" } th { "kind" } th { "reads" } th { "output shape" } th.number { "parameters" } th.number { "FLOPs" } }
                }
                tbody {
                    tr { th scope="row" { "input" } td {} td {} td { (format!("{:?}", network.input)) } td {} td {} }
                    @for layer in &network.layers {
                        tr {
                            th scope="row" { (layer.name) }
                            td { (layer.kind.name().replace('_', " ")) }
                            td { (layer.inputs.join(", ")) }
                            td { (format!("{:?}", layer.shape)) }
                            td.number { (number(layer.parameters + layer.statistics)) }
                            td.number { (number(layer.flops)) }
                        }
                    }
                }
                tfoot {
                    tr {
                        th scope="row" { "total" } td { (network.layers.len()) " layers" } td {} td {}
                        td.number { (grouped(network.parameters)) } td.number { (grouped(network.flops)) }
                    }
                }
            }
        }
    }
}
