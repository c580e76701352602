//! Images with what was said of them: the worst mistakes, those that the network was least sure of, and examples of classes.

use std::collections::{BTreeMap, BTreeSet};

use base64::{Engine, engine::general_purpose::STANDARD};
use maud::{Markup, html};

use super::super::pictures::Room;
use crate::{
    evaluation::{self, Head, Judged, Thumbnail, Thumbnails},
    text::significant,
};

/// The numbers of images that are shown.
const WORST: usize = 24;
const LEAST_SURE: usize = 12;
/// The most classes with examples: those with the lowest F1.
const CLASSES: usize = 30;
/// The most bytes of images of one evaluation.
const BYTES: usize = 450_000;
/// The shortest longest side of a shown image, in CSS pixels.
const SIDE: usize = 64;

/// The images of one evaluation that a page shows. Each is embedded once, however often it is shown.
pub(super) struct Gallery<'a> {
    node: String,
    images: Option<&'a Thumbnails>,
    /// The bytes that are left for images of this evaluation, and of the page.
    left: usize,
    room: &'a mut Room,
    embedded: BTreeMap<usize, Thumbnail>,
}

impl<'a> Gallery<'a> {
    /// Returns a gallery for the evaluation `node` that takes room from that of the page.
    pub(super) fn new(node: &str, images: Option<&'a Thumbnails>, room: &'a mut Room) -> Self {
        Self { node: node.to_owned(), images, left: BYTES, room, embedded: BTreeMap::new() }
    }

    /// Embeds an image, and returns whether it can be shown.
    fn embed(&mut self, image: usize) -> bool {
        if self.embedded.contains_key(&image) {
            return true;
        }
        let found = self.images.and_then(|images| images.get(image));
        let Some(found) = found.filter(|found| found.png.len() <= self.left.min(self.room.left)) else { return false };
        self.left -= found.png.len();
        self.room.left -= found.png.len();
        self.embedded.insert(image, found);
        true
    }

    fn id(&self, image: usize) -> String {
        let letter = |c: char| if c.is_ascii_alphanumeric() { c.to_string() } else { format!("_{:x}", u32::from(c)) };
        format!("image-{}-{image}", self.node.chars().map(letter).collect::<String>())
    }

    /// Returns the images that are shown anywhere, out of sight.
    pub(super) fn definitions(&self) -> Markup {
        html! {
            @if !self.embedded.is_empty() {
                svg.defs width="0" height="0" aria-hidden="true" {
                    @for (image, Thumbnail { width, height, png }) in &self.embedded {
                        symbol id=(self.id(*image)) viewBox=(format!("0 0 {width} {height}")) {
                            image width=(width) height=(height) href=(format!("data:image/png;base64,{}", STANDARD.encode(png))) {}
                        }
                    }
                }
            }
        }
    }

    /// Returns an image, enlarged by a whole factor if it is small.
    fn shown(&self, image: usize, description: &str) -> Markup {
        let Some(Thumbnail { width, height, .. }) = self.embedded.get(&image) else { return html! {} };
        let factor = (SIDE / width.max(height)).max(1);
        let (width, height) = (width * factor, height * factor);
        html! {
            svg.image width=(width) height=(height) role="img" aria-label=(description) {
                title { (description) }
                use href=(format!("#{}", self.id(image))) {}
            }
        }
    }
}

/// Returns the images that are classified wrongly with the highest probabilities.
pub(super) fn worst(judged: &Judged, head: &Head, gallery: &mut Gallery<'_>) -> Markup {
    let images = evaluation::worst(head, WORST);
    row("Worst mistakes", "Wrong, and the surest of it first.", judged, head, &images, gallery)
}

/// Returns the images whose predictions have the lowest probabilities.
pub(super) fn least_sure(judged: &Judged, head: &Head, gallery: &mut Gallery<'_>) -> Markup {
    let images = evaluation::least_sure(head, LEAST_SURE);
    row("Least sure", "The probability of what was said is lowest.", judged, head, &images, gallery)
}

fn row(title: &str, text: &str, judged: &Judged, head: &Head, images: &[usize], gallery: &mut Gallery<'_>) -> Markup {
    let shown: Vec<usize> = images.iter().copied().filter(|image| gallery.embed(*image)).collect();
    html! {
        @if !shown.is_empty() {
            h4 { (title) }
            p.quiet { (text) }
            div.thumbs { @for image in &shown { (thumb(judged, head, *image, gallery)) } }
        } @else if !images.is_empty() && gallery.images.is_none() && title == "Worst mistakes" {
            p.quiet { "The images of the " (judged.split.as_str().to_lowercase()) " split are no longer in this store, so none is shown." }
        }
    }
}

/// Returns an image with what is true and what was said.
fn thumb(judged: &Judged, head: &Head, image: usize, gallery: &Gallery<'_>) -> Markup {
    let said = &head.said[image];
    let right = head.is_right(image);
    let label = usize::try_from(said.label).map_or("", |label| head.class(label));
    let probability = format!("{}\u{a0}%", significant(100.0 * f64::from(said.probability), 3));
    let description = format!(
        "image {image} of the {} split: {label}, said {} with {probability}",
        judged.split.as_str().to_lowercase(),
        head.class(said.prediction)
    );
    html! {
        figure.thumb {
            (gallery.shown(image, &description))
            figcaption {
                b { (breakable(label)) }
                @if right { span.right { "✓ " (probability) } }
                @else { span.wrong { "✗\u{a0}" (breakable(head.class(said.prediction))) ", " (probability) } }
            }
        }
    }
}

/// Returns the name of a class that may be broken after a slash.
fn breakable(name: &str) -> Markup {
    html! { @for (at, part) in name.split('/').enumerate() { @if at > 0 { "/" wbr; } (part) } }
}

/// Returns a few images of each class, or of those with the lowest F1 if there are many.
pub(super) fn of_classes(judged: &Judged, head: &Head, gallery: &mut Gallery<'_>) -> Markup {
    let confusion = &head.confusion;
    let mut classes: Vec<usize> = (0..confusion.classes()).filter(|class| confusion.support(*class) > 0).collect();
    let with_images = classes.len();
    classes.sort_by(|a, b| {
        let f1 = |class: usize| confusion.f1(class).unwrap_or(0.0);
        f1(*a).total_cmp(&f1(*b)).then(a.cmp(b))
    });
    classes.truncate(CLASSES);
    let kept: BTreeSet<usize> = classes.into_iter().collect();
    let mut rows = Vec::new();
    for class in kept {
        let images: Vec<usize> =
            evaluation::of_class(head, class).into_iter().filter(|image| gallery.embed(*image)).collect();
        if !images.is_empty() {
            rows.push(images);
        }
    }
    html! {
        @if !rows.is_empty() {
            details {
                summary {
                    "Examples of " (rows.len()) " classes"
                    @if rows.len() < with_images { ", of those with the lowest F1" }
                }
                p.quiet { "Of each class the image that is most surely right, the one that is most surely wrong, and the least sure one of the others." }
                div.examples {
                    @for images in &rows {
                        div.thumbs { @for image in images { (thumb(judged, head, *image, gallery)) } }
                    }
                }
            }
        }
    }
}
