//! The pictures of a study, embedded in the page, with counts of images and filters.

use base64::{Engine, engine::general_purpose::STANDARD};
use maud::{Markup, html};
use pipe_engine::{pipeline::stages::is_of_search, study::StudyNode};
use pipe_stages::{
    StageName,
    records::{Counts, Duplicates, ExamplesRecord, Inventory, Statistics, Verdict},
    visualize_filters::FiltersRecord,
};

use super::page::{Page, heading};
use crate::{
    ViewError,
    outputs::Outputs,
    show::png_size,
    text::{bytes, counted, grouped},
};

/// The most bytes of pictures in a page.
pub(super) const BUDGET: usize = 8_000_000;

/// Returns the data sets with their counts and pictures, and previews of augmentations.
pub(super) fn data(page: &Page<'_>, budget: &mut usize) -> Result<Option<Markup>, ViewError> {
    let nodes: Vec<_> = page.nodes(StageName::Decode).chain(page.nodes(StageName::Augment)).collect();
    of_nodes(page, &nodes, budget)
}

/// Returns the filter sheets with their counts.
pub(super) fn filters(page: &Page<'_>, budget: &mut usize) -> Result<Option<Markup>, ViewError> {
    of_nodes(page, &page.nodes(StageName::VisualizeFilters).collect::<Vec<_>>(), budget)
}

/// Returns the pictures of all other stages.
pub(super) fn others(page: &Page<'_>, budget: &mut usize) -> Result<Option<Markup>, ViewError> {
    use StageName::{Augment, Decode, Fetch, Train, VisualizeFilters};
    let is_other = |(_, node): &(&String, &StudyNode)| match node.kind() {
        Some(Decode | Augment | VisualizeFilters) => false,
        // These stages write no pictures, and may have thousands of nodes.
        Some(stage) => !matches!(stage, Fetch | Train) && !is_of_search(stage),
        None => true,
    };
    of_nodes(page, &page.found.study.nodes.iter().filter(is_other).collect::<Vec<_>>(), budget)
}

fn of_nodes(page: &Page<'_>, nodes: &[(&String, &StudyNode)], budget: &mut usize) -> Result<Option<Markup>, ViewError> {
    let mut parts = Vec::new();
    for (name, node) in nodes {
        let Some(outputs) = Outputs::of(page.store, name, node)? else { continue };
        let facts = match node.kind() {
            Some(StageName::Decode) => {
                let inventory = outputs.record()?;
                outputs.record()?.map(|record| statistics(&record, inventory.as_ref()))
            }
            Some(StageName::VisualizeFilters) => {
                let examples = outputs.record()?;
                outputs.record()?.map(|record| filter_counts(&record, examples.as_ref()))
            }
            _ => None,
        };
        let mut pictures = Vec::new();
        let mut paths: Vec<&str> = outputs.pictures().map(|(path, _)| path).collect();
        // Sheets of examples are by far the largest, so filters come first while the budget lasts.
        paths.sort_by_key(|path| is_of_examples(path));
        for path in paths {
            let png = outputs.bytes(path)?.expect("the path is one of the tree");
            pictures.push(picture(name, path, &png, budget));
        }
        if facts.is_some() || !pictures.is_empty() {
            parts.push(html! {
                (heading(true, name))
                @if let Some(facts) = facts { (facts) }
                div.pictures { @for picture in pictures { (picture) } }
            });
        }
    }
    Ok((!parts.is_empty()).then(|| html! { @for part in parts { (part) } }))
}

fn picture(node: &str, path: &str, png: &[u8], budget: &mut usize) -> Markup {
    let (caption, size) = (caption(path), png_size(png));
    if png.len() > *budget {
        return html! {
            figure { p.quiet { code { (node) "/" (path) } " (" (bytes(png.len() as u64)) ") is not in this page, to keep it small: "
                code { "pipe export " (node) "/" (path) } " writes it to a file." } }
        };
    }
    *budget -= png.len();
    // Small pictures are enlarged by a whole factor, so that all pixels have the same size.
    let scale = size.map_or(1, |(width, _)| (320 / width.max(1)).clamp(1, 3));
    let source = format!("data:image/png;base64,{}", STANDARD.encode(png));
    html! {
        figure {
            @match size {
                Some((width, height)) => {
                    img src=(source) alt=(format!("{node}: {caption}")) width=(width * scale) height=(height.saturating_mul(scale));
                }
                None => img src=(source) alt=(format!("{node}: {caption}"));,
            }
            figcaption { (caption) }
        }
    }
}

/// Returns the caption of a picture: its name, and the meaning of its rows if that is not plain to see.
fn caption(path: &str) -> String {
    let name = path.trim_end_matches(".png");
    let rows = match name {
        _ if is_of_examples(path) => ": a filter, and what excites it most",
        "near_duplicates" => ": in each row an image and one of another split that looks like it",
        _ => "",
    };
    format!("{name}{rows}")
}

fn is_of_examples(path: &str) -> bool {
    path.ends_with("_examples.png")
}

/// Returns the number of images in each split, of images that are pixel-equal to another or look like one, and of the entries of the
/// source that are no images.
fn statistics(record: &Statistics, inventory: Option<&Inventory>) -> Markup {
    let duplicates = duplicates(&record.duplicates);
    let near = record.near_duplicates.iter().flat_map(|near| &near.images).filter(|(_, n)| **n > 0);
    let near: Vec<String> = near
        .filter_map(|(pair, n)| Some((pair.split_once('/')?, n)))
        .map(|((one, other), n)| format!("{n} of {one} like one of {other}"))
        .collect();
    html! {
        div.wide style="max-width: 34rem" {
            table {
                thead { tr { th { "split" } th.number { "images" } th { "classes" } } }
                tbody {
                    // Neither alphabetical nor by size.
                    @for (split, counts) in ["train", "validation", "test"].iter().filter_map(|split| record.splits.get_key_value(*split)) {
                        tr {
                            th scope="row" { (split) }
                            td.number { (grouped(counts.images as u64)) }
                            td { (classes(counts)) }
                        }
                    }
                }
            }
        }
        @if !duplicates.is_empty() { p.quiet { "Pixel-equal images: " (duplicates.join(", ")) "." } }
        @if !near.is_empty() { p.quiet { "Images that look alike: " (near.join(", ")) "." } }
        @if let Some(inventory) = inventory { (entries(inventory)) }
    }
}

/// Returns what the entries of a source are.
fn entries(inventory: &Inventory) -> Markup {
    let counted = |(verdict, n): (&Verdict, &usize)| {
        let [one, many] = verdict.words();
        format!("{} {}", grouped(*n as u64), if *n == 1 { one } else { many })
    };
    let verdicts: Vec<String> = inventory.verdicts.iter().map(counted).collect();
    let unused = inventory.unused.iter().map(|(why, n)| format!("{} not used ({why})", grouped(*n as u64)));
    html! {
        p.quiet { "Entries of the source: " (verdicts.join(", ")) "." }
        @for line in unused { p.quiet { (line) "." } }
        @if !inventory.empty.is_empty() { p.quiet { "Folders without a picture: " (inventory.empty.join(", ")) "." } }
    }
}

fn classes(counts: &Counts) -> String {
    counts.classes.iter().map(|(name, classes)| format!("{} {name}", classes.len())).collect::<Vec<_>>().join(", ")
}

/// Returns the counts of equal images, without zeros.
fn duplicates(found: &Duplicates) -> Vec<String> {
    let Duplicates { within, conflicting, across } = found;
    let groups = [("across", across), ("conflicting", conflicting), ("within", within)];
    let counts = groups.into_iter().flat_map(|(group, counts)| counts.iter().map(move |(name, n)| (group, name, *n)));
    let count = |(group, name, n): (&str, &String, usize)| format!("{n} {group} {}", name.replace(['.', '_'], " "));
    counts.filter(|(_, _, n)| *n > 0).map(count).collect()
}

/// Returns the number of filters of each layer that are drawn and dead, and what the sheets show.
fn filter_counts(record: &FiltersRecord, examples: Option<&ExamplesRecord>) -> Markup {
    let layers = &record.layers;
    let dead: usize = layers.iter().map(|layer| layer.dead).sum();
    html! {
        @if !layers.is_empty() {
            p.quiet {
                "Each tile is an image that makes one filter respond most, found by gradient ascent"
                @if !record.method.is_classic() {
                    " in a Fourier basis, with decorrelated colours, jitter and a weight on total variation"
                }
                ". "
                (counted(dead, "dead filter")) ", which no image excites, not drawn."
                @if let Some(text) = examples.and_then(of_examples) { " " (text) }
            }
            div.wide style="max-width: 34rem" {
                table {
                    thead { tr { th { "layer" } th.number { "filters" } th.number { "drawn" } th.number { "dead" } } }
                    tbody {
                        @for layer in layers {
                            tr {
                                th scope="row" { (layer.layer) }
                                td.number { (grouped(layer.filters as u64)) }
                                td.number { (grouped(layer.drawn as u64)) }
                                td.number { (grouped(layer.dead as u64)) }
                            }
                        }
                    }
                }
            }
        }
    }
}

/// Returns a sentence that says what the sheets of examples show.
fn of_examples(record: &ExamplesRecord) -> Option<String> {
    let filters = record.layers.iter().flat_map(|layer| &layer.filters);
    let most = filters.map(|filter| filter.images.len()).max()?;
    Some(format!(
        "The sheets of examples have the same filters in the same order, each with the {most} of the {} validation images \
         with its highest mean activations, the highest first.",
        grouped(record.images as u64)
    ))
}
