//! The colours of pages and pictures in light mode, dark mode and print, and the style rules that use them.

/// A colour: its name, and its value in light mode, dark mode and print.
type Colour = (&'static str, &'static str, &'static str, &'static str);

/// `r0` to `r4` are the steps of a ramp, from the weakest to the strongest. `k0` to `k7` distinguish kinds, and differ in
/// lightness as well as in hue.
const COLOURS: [Colour; 23] = [
    ("paper", "#fcfcfb", "#16181b", "#ffffff"),
    ("ink", "#1d2024", "#e3e5e8", "#000000"),
    ("quiet", "#5b626b", "#9aa2ab", "#444444"),
    ("rule", "#d9dcdf", "#363b41", "#bbbbbb"),
    ("tint", "#f1f2f3", "#1f2226", "#f3f3f3"),
    ("mark", "#e6eef7", "#21334a", "#e8e8e8"),
    ("one", "#1f5f9e", "#7fb6ee", "#1f5f9e"),
    ("two", "#b2500f", "#f0a466", "#b2500f"),
    ("three", "#3d7a3a", "#8fca86", "#3d7a3a"),
    ("faint", "#9aa1a9", "#6c747d", "#999999"),
    ("r0", "#9da8b2", "#68727c", "#a4a4a4"),
    ("r1", "#7ba7cf", "#5a81a8", "#7ba7cf"),
    ("r2", "#5594cb", "#5f97cc", "#5594cb"),
    ("r3", "#2a6cab", "#86bdf0", "#2a6cab"),
    ("r4", "#0c3866", "#d3e8fd", "#0c3866"),
    ("k0", "#1f5f9e", "#7fb6ee", "#1f5f9e"),
    ("k1", "#d9822b", "#f0a466", "#d9822b"),
    ("k2", "#2f6b3a", "#8fca86", "#2f6b3a"),
    ("k3", "#c25a86", "#e79abb", "#c25a86"),
    ("k4", "#5d4a99", "#b3a3e6", "#5d4a99"),
    ("k5", "#57b0b8", "#86d5db", "#57b0b8"),
    ("k6", "#7a5230", "#c9a27f", "#7a5230"),
    ("k7", "#8b9096", "#a9afb6", "#8b9096"),
];

/// The style rules of pictures, by class. Colours are written as `var(--name)`.
pub(crate) const RULES: &str = include_str!("style.css");

/// Returns the colours as CSS variables for a page.
pub(crate) fn variables() -> String {
    let block = |of: fn(&Colour) -> &'static str| {
        COLOURS.iter().map(|colour| format!("--{}:{};", colour.0, of(colour))).collect::<String>()
    };
    format!(
        ":root{{color-scheme:light dark;{}}}\n@media (prefers-color-scheme:dark){{:root{{{}}}}}\n@media print{{:root{{{}}}}}\n",
        block(|colour| colour.1),
        block(|colour| colour.2),
        block(|colour| colour.3)
    )
}

/// Returns the style rules of a standalone picture, without variables, which many SVG viewers do not support. Two sets of rules
/// have the light and the dark colours.
pub(super) fn literal_rules() -> String {
    let rules = |of: fn(&Colour) -> &'static str| {
        COLOURS
            .iter()
            .fold(RULES.to_owned(), |rules, colour| rules.replace(&format!("var(--{})", colour.0), of(colour)))
    };
    format!("{}@media (prefers-color-scheme:dark){{\n{}}}\n", rules(|colour| colour.1), rules(|colour| colour.2))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_standalone_picture_has_no_variables() {
        let rules = literal_rules();
        assert!(!rules.contains("var(") && rules.contains("#1f5f9e") && rules.contains("#7fb6ee"));
    }
}
