//! The frame of a page: its head, its style, the list of its sections and its script.

use maud::{DOCTYPE, Markup, PreEscaped, html};

use crate::plot::{is_forbidden, palette};

/// The script of a page. Every part is whole on its own, but `trials.js` defines what the others use.
const SCRIPT: &str = concat!(include_str!("trials.js"), include_str!("tables.js"), include_str!("charts.js"));

/// A section of a page. It is left out if it has no content.
pub(crate) struct Section {
    pub(crate) id: &'static str,
    pub(crate) title: &'static str,
    pub(crate) content: Option<Markup>,
}

/// The head of a page.
pub(crate) struct Head<'a> {
    /// What wrote it.
    pub(crate) generator: &'a str,
    pub(crate) title: &'a str,
    /// Whether a browser loads it again by itself.
    pub(crate) refreshes: bool,
    /// What comes before the list of sections.
    pub(crate) header: Markup,
}

/// Returns the style of a page: its colours, its rules, and those of the pictures in it.
pub fn style() -> String {
    format!("{}{}{}", palette::variables(), include_str!("style.css"), palette::RULES)
}

/// Returns a whole page, which loads nothing.
pub(crate) fn write(head: &Head<'_>, sections: &[Section]) -> String {
    let shown = || sections.iter().filter_map(|section| Some((section, section.content.as_ref()?)));
    let page = html! {
        (DOCTYPE)
        html lang="en" {
            head {
                meta charset="utf-8";
                meta name="viewport" content="width=device-width, initial-scale=1";
                meta name="generator" content=(head.generator);
                @if head.refreshes { meta http-equiv="refresh" content="5"; }
                title { (head.title) }
                style { (PreEscaped(style())) }
            }
            body {
                header {
                    (head.header)
                    nav aria-label="Sections" {
                        @for (section, _) in shown() { a href=(format!("#{}", section.id)) { (section.title) } }
                    }
                }
                main {
                    @for (section, content) in shown() {
                        section id=(section.id) {
                            h2 { (section.title) }
                            (content)
                        }
                    }
                }
                script { (PreEscaped(SCRIPT)) }
            }
        }
    };
    // A class or a file can have any name.
    page.into_string().replace(is_forbidden, "\u{fffd}")
}
