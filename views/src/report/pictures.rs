//! The pictures of a study, embedded in the page, with counts of images and filters.

use std::collections::BTreeMap;

use base64::{Engine, engine::general_purpose::STANDARD};
use maud::{Markup, html};
use pipe_engine::{names::trial_number, pipeline::stages::is_of_search, study::StudyNode};
use pipe_stages::{
    StageName,
    records::{Counts, Duplicates, ExamplesRecord, Inventory, Statistics, Verdict},
    visualize_filters::FiltersRecord,
};
use pipe_store::Digest;

use super::page::{Page, heading};
use crate::{
    ViewError, natural,
    outputs::Outputs,
    show::png_size,
    text::{bytes, counted, grouped},
};

/// The most bytes of pictures in a page. With base64 and everything else, the page of the default study stays below 3 MB.
const BYTES: usize = 1_550_000;

/// With more layers than this, those that say most come first.
const OPEN: usize = 4;

/// What room a page has left for pictures, and what it shows already.
pub(super) struct Room {
    pub(super) left: usize,
    /// The pictures that are embedded, with what they were called.
    shown: BTreeMap<Digest, String>,
}

impl Default for Room {
    fn default() -> Self {
        Self { left: BYTES, shown: BTreeMap::new() }
    }
}

/// Returns the data sets with their counts and pictures, and previews of augmentations.
pub(super) fn data(page: &Page<'_>, room: &mut Room) -> Result<Option<Markup>, ViewError> {
    let nodes: Vec<_> = page.nodes(StageName::Decode).chain(page.nodes(StageName::Augment)).collect();
    of_nodes(page, nodes, room)
}

/// Returns the filter sheets with their counts.
pub(super) fn filters(page: &Page<'_>, room: &mut Room) -> Result<Option<Markup>, ViewError> {
    of_nodes(page, page.nodes(StageName::VisualizeFilters).collect(), room)
}

/// Returns the pictures of all other stages.
pub(super) fn others(page: &Page<'_>, room: &mut Room) -> Result<Option<Markup>, ViewError> {
    use StageName::{Augment, Decode, Fetch, Train, VisualizeFilters};
    let is_other = |(_, node): &(&String, &StudyNode)| match node.kind() {
        Some(Decode | Augment | VisualizeFilters) => false,
        // These stages write no pictures, and may have thousands of nodes.
        Some(stage) => !matches!(stage, Fetch | Train) && !is_of_search(stage),
        None => true,
    };
    of_nodes(page, page.found.study.nodes.iter().filter(is_other).collect(), room)
}

fn of_nodes(
    page: &Page<'_>,
    mut nodes: Vec<(&String, &StudyNode)>,
    room: &mut Room,
) -> Result<Option<Markup>, ViewError> {
    let mut parts = Vec::new();
    nodes.sort_by(|(a, _), (b, _)| natural::compare(a, b));
    for (name, node) in nodes {
        let Some(outputs) = Outputs::of(page.store, name, node)? else { continue };
        let mut facts = None;
        let mut first = Vec::new();
        match node.kind() {
            Some(StageName::Decode) => {
                let inventory = outputs.record()?;
                facts = outputs.record()?.map(|record| statistics(&record, inventory.as_ref()));
            }
            Some(StageName::VisualizeFilters) => {
                let examples: Option<ExamplesRecord> = outputs.record()?;
                if let Some(record) = outputs.record::<FiltersRecord>()? {
                    first = telling_sheets(&record, examples.as_ref());
                    facts = Some(filter_counts(&record, examples.as_ref()));
                }
            }
            _ => {}
        }
        let pictures = Sheets::of(name, &outputs, &first, room)?;
        if facts.is_some() || !pictures.is_empty() {
            let trial = node.kind().and_then(|kind| trial_number(name, &node.part_of, kind));
            parts.push(html! {
                div data-trial=[trial.map(|trial| format!("{}/{trial}", node.part_of))] {
                    (heading(true, name))
                    @if let Some(facts) = facts { (facts) }
                    (pictures.markup())
                }
            });
        }
    }
    Ok((!parts.is_empty()).then(|| html! { @for part in parts { (part) } }))
}

/// The pictures of a node.
struct Sheets {
    node: String,
    open: Vec<Markup>,
    folded: Vec<Markup>,
    /// The paths and sizes of those that have no room.
    left_out: Vec<(String, usize)>,
}

impl Sheets {
    /// Returns the pictures of `outputs`. If some are to come `first`, the others are folded.
    fn of(node: &str, outputs: &Outputs<'_>, first: &[String], room: &mut Room) -> Result<Self, ViewError> {
        let mut found = Self { node: node.to_owned(), open: Vec::new(), folded: Vec::new(), left_out: Vec::new() };
        let mut paths: Vec<(&str, Digest)> = outputs.pictures().collect();
        // Sheets of examples are by far the largest, so filters come first while there is room.
        let rank = |path: &str| first.iter().position(|known| known == path).unwrap_or(usize::MAX);
        paths.sort_by(|(a, _), (b, _)| {
            let kind = |path: &str| (is_of_examples(path), rank(path));
            kind(a).cmp(&kind(b)).then_with(|| natural::compare(a, b))
        });
        for (path, digest) in paths {
            let is_open = first.is_empty() || rank(path) < usize::MAX;
            let list = if is_open { &mut found.open } else { &mut found.folded };
            if let Some(other) = room.shown.get(&digest) {
                list.push(html! { figure { figcaption { (caption(path)) ": the same picture as " (other) } } });
                continue;
            }
            let png = outputs.bytes(path)?.expect("the path is one of the tree");
            if png.len() > room.left {
                found.left_out.push((path.to_owned(), png.len()));
                continue;
            }
            room.left -= png.len();
            room.shown.insert(digest, format!("{node}/{path}"));
            list.push(picture(node, path, &png));
        }
        Ok(found)
    }

    fn is_empty(&self) -> bool {
        self.open.is_empty() && self.folded.is_empty() && self.left_out.is_empty()
    }

    fn markup(&self) -> Markup {
        let size: usize = self.left_out.iter().map(|(_, size)| size).sum();
        html! {
            div.pictures { @for picture in &self.open { (picture) } }
            @if !self.folded.is_empty() {
                details { summary { (counted(self.folded.len(), "more sheet")) } div.pictures { @for picture in &self.folded { (picture) } } }
            }
            @match self.left_out.as_slice() {
                [] => {}
                [(path, size)] => p.quiet {
                    code { (self.node) "/" (path) } " (" (bytes(*size as u64)) ") is not in this page, to keep it small: "
                    code { "pipe export " (self.node) "/" (path) } " writes it to a file."
                },
                many => p.quiet {
                    (many.len()) " more sheets (" (bytes(size as u64)) ") are not in this page, to keep it small: "
                    code { "pipe export " (self.node) } " writes all of them to a folder."
                },
            }
        }
    }
}

/// Returns the sheets of the layers that say most: the first layer, which sees the pixels, the last, from which the classes are read,
/// and the one in the middle.
fn telling_sheets(record: &FiltersRecord, examples: Option<&ExamplesRecord>) -> Vec<String> {
    let drawn: Vec<_> = record.layers.iter().filter(|layer| layer.sheet.is_some()).collect();
    if drawn.len() <= OPEN {
        return Vec::new();
    }
    let layers = [0, drawn.len() / 2, drawn.len() - 1].map(|at| drawn[at]);
    let of_examples = |layer: &str| {
        let found = examples.iter().flat_map(|record| &record.layers).find(|examples| examples.layer == layer);
        found.map(|examples| examples.sheet.clone())
    };
    layers.iter().flat_map(|layer| layer.sheet.clone().into_iter().chain(of_examples(&layer.layer))).collect()
}

fn picture(node: &str, path: &str, png: &[u8]) -> Markup {
    let (caption, size) = (caption(path), png_size(png));
    // Small pictures are enlarged by a whole factor, so that all pixels have the same size.
    let scale = size.map_or(1, |(width, _)| (320 / width.max(1)).clamp(1, 3));
    let source = format!("data:image/png;base64,{}", STANDARD.encode(png));
    html! {
        figure {
            @match size {
                Some((width, height)) => {
                    img loading="lazy" src=(source) alt=(format!("{node}: {caption}")) width=(width * scale) height=(height.saturating_mul(scale));
                }
                None => img loading="lazy" src=(source) alt=(format!("{node}: {caption}"));,
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
            @let counts = html! { div.wide style="max-width: 34rem" {
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
            } };
            @if layers.len() > OPEN {
                details { summary { "How many filters each of the " (layers.len()) " layers has" } (counts) }
            } @else {
                (counts)
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
