//! A picture as SVG, inside a page or as a standalone document.

use maud::{Markup, PreEscaped, html};

use super::palette;

/// A picture.
pub struct Picture {
    /// A description for screen readers.
    pub title: String,
    /// Size in CSS pixels; text is 12 of them high.
    pub width: f64,
    pub height: f64,
    pub body: Markup,
    /// An explanation that is printed below it. May be empty.
    pub note: String,
}

impl Picture {
    /// Returns the picture for a page with the style rules and colours of `palette`.
    pub fn inline(&self) -> Markup {
        let (width, height) = (px(self.width), px(self.height));
        html! {
            svg.chart viewBox=(format!("0 0 {width} {height}")) role="img" aria-label=(self.title)
                style=(format!("max-width:{width}px")) { (self.body) }
        }
    }

    /// Returns the picture as a standalone SVG document, which follows the viewer's light or dark mode.
    pub fn document(&self) -> String {
        let (width, height) = (px(self.width), px(self.height));
        let document = html! {
            svg.chart xmlns="http://www.w3.org/2000/svg" viewBox=(format!("0 0 {width} {height}")) width=(width) height=(height)
                role="img" aria-label=(self.title) {
                title { (self.title) }
                style { (PreEscaped(palette::literal_rules())) }
                rect.paper width="100%" height="100%" {}
                (self.body)
            }
        };
        // A document with such a character could not be read at all. A label can have any.
        document.into_string().replace(is_forbidden, "\u{fffd}") + "\n"
    }
}

/// Returns whether XML does not allow a character. A terminal could take it for a command.
pub(crate) fn is_forbidden(c: char) -> bool {
    c.is_control() && !matches!(c, '\n' | '\t') || matches!(c, '\u{fffe}' | '\u{ffff}')
}

/// Returns a length with at most one decimal.
pub(super) fn px(length: f64) -> String {
    let text = format!("{length:.1}");
    match text.strip_suffix(".0") {
        Some("-0") => "0".to_owned(),
        Some(whole) => whole.to_owned(),
        None => text,
    }
}

/// Returns dots as a path of lines without length, whose round ends are the dots.
pub(super) fn dots(places: impl Iterator<Item = (f64, f64)>) -> String {
    places.map(|(x, y)| format!("M{} {}h0", px(x), px(y))).collect()
}

/// Returns a cross, centred on a point.
pub(super) fn cross(x: f64, y: f64) -> String {
    let (l, r, t, b) = (px(x - 4.0), px(x + 4.0), px(y - 4.0), px(y + 4.0));
    format!("M{l} {t}L{r} {b}M{l} {b}L{r} {t}")
}

/// Returns a line through points.
pub(super) fn polyline(places: impl Iterator<Item = (f64, f64)>) -> String {
    places.enumerate().map(|(i, (x, y))| format!("{}{} {}", if i == 0 { "M" } else { "L" }, px(x), px(y))).collect()
}

/// Returns the approximate width of a text in pixels.
pub(super) fn text_width(text: &str) -> f64 {
    6.0 * text.chars().count() as f64
}

/// Returns a text, shortened to at most `n` characters.
pub(super) fn shortened(text: &str, n: usize) -> String {
    if text.chars().count() <= n {
        return text.to_owned();
    }
    text.chars().take(n - 1).chain(['…']).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lengths_have_at_most_one_decimal() {
        assert_eq!([1.0, 1.25, -0.04, 3.96].map(px), ["1", "1.2", "0", "4"]);
    }

    #[test]
    fn a_document_has_a_title() {
        let picture = Picture { title: "a < b".into(), width: 10.0, height: 5.5, body: html! {}, note: String::new() };
        let document = picture.document();
        assert!(document.starts_with("<svg class=\"chart\" xmlns="), "{document}");
        assert!(document.contains("<title>a &lt; b</title>") && document.contains("viewBox=\"0 0 10 5.5\""));
        assert!(!picture.inline().into_string().contains("xmlns"));
    }

    #[test]
    fn a_document_can_be_read_whatever_a_label_contains() {
        let title = "\u{1b}[2J\0\r\u{ffff}é".to_owned();
        let body = html! { text { (title) } };
        let document = Picture { title, width: 1.0, height: 1.0, body, note: String::new() }.document();
        assert!(!document.contains(is_forbidden), "{document:?}");
        assert_eq!(document.matches("\u{fffd}[2J\u{fffd}\u{fffd}\u{fffd}é").count(), 3, "{document:?}");
    }
}
