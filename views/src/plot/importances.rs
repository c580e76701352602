//! The importance of each hyperparameter as a bar, the largest at the top, with the number of trials that it is based on.

use maud::html;

use super::{
    frame::Frame,
    svg::{Picture, px, shortened},
};
use crate::{
    ViewError,
    importance::SearchImportances,
    text::{counted, significant},
};

const LEFT: f64 = 210.0;
const WIDTH: f64 = 820.0;
const ROW: f64 = 22.0;
const TOP: f64 = 30.0;
/// The right ends of the columns of numbers.
const SHARE: f64 = WIDTH - 140.0;
const TRIALS: f64 = WIDTH - 82.0;
const BEST: f64 = WIDTH - 8.0;
/// The most hyperparameters that are drawn.
const ROWS: usize = 40;
/// With fewer of the best trials than this, a note warns that the importances are unreliable.
const FEW: usize = 5;

/// Returns the picture of a search's importances.
///
/// # Errors
/// If there are too few trials for importances.
pub(super) fn draw(found: &SearchImportances) -> Result<Picture, ViewError> {
    if let Some(why) = found.too_few() {
        return Err(ViewError::Nothing(why));
    }
    let rows: Vec<_> = found.shares().take(ROWS).collect();
    let longest = rows[0].1;
    let (end, step) = scale(longest);
    let bottom = TOP + ROW * rows.len() as f64;
    let frame = Frame { left: LEFT, right: SHARE - 62.0, top: TOP, bottom };
    let body = html! {
        text.small x=(px(SHARE)) y="18" text-anchor="end" { "share" }
        text.small x=(px(TRIALS)) y="18" text-anchor="end" { "trials" }
        text.small x=(px(BEST)) y="18" text-anchor="end" { "of the best" }
        @for tick in (0..).map(|i| f64::from(i) * step).take_while(|tick| *tick <= end + 1e-9) {
            @let x = px(frame.x(tick / end));
            line.grid x1=(x) x2=(x) y1=(px(TOP)) y2=(px(bottom)) {}
            text.small x=(x) y=(px(bottom + 16.0)) text-anchor="middle" { (significant(100.0 * tick, 4)) " %" }
        }
        @for (i, (label, share)) in rows.iter().enumerate() {
            @let y = TOP + ROW * i as f64;
            text.axis x=(px(LEFT - 8.0)) y=(px(y + 15.0)) text-anchor="end" { (shortened(&label.label, 32)) }
            @if *share > 0.0 {
                rect.kind.k0 x=(px(LEFT)) y=(px(y + 4.0)) width=(px(frame.x(share / end) - LEFT)) height=(px(ROW - 8.0)) {}
            }
            text.small x=(px(SHARE)) y=(px(y + 15.0)) text-anchor="end" { (format!("{:.1} %", 100.0 * share)) }
            text.small x=(px(TRIALS)) y=(px(y + 15.0)) text-anchor="end" { (label.trials) }
            text.small x=(px(BEST)) y=(px(y + 15.0)) text-anchor="end" { (label.best) }
        }
        line.frame x1=(px(LEFT)) x2=(px(LEFT)) y1=(px(TOP)) y2=(px(bottom)) {}
        (frame.x_title("share of all importances"))
    };
    let title = format!("Importances of {} hyperparameters of {}", found.labels.len(), found.search);
    Ok(Picture { title, width: WIDTH, height: bottom + 44.0, body, note: note(found) })
}

/// Returns the end of an axis for shares up to `longest`, and the distance between its ticks.
fn scale(longest: f64) -> (f64, f64) {
    let step = [0.01, 0.02, 0.05, 0.1].into_iter().find(|step| longest <= 5.0 * step).unwrap_or(0.2);
    let end = step * (longest / step).ceil().max(1.0);
    (end.min(1.0), step)
}

/// Returns the note: the number of trials behind the importances, and what is not drawn.
fn note(found: &SearchImportances) -> String {
    let best = found.labels.iter().map(|label| label.best).max().unwrap_or(0);
    let (trials, best_trials) = (counted(found.trials, "trial"), counted(best, "trial"));
    let mut note = format!(
        "{} of {trials} have a score. The best tenth of them, {best_trials}, is compared with all.",
        found.scored
    );
    if best < FEW {
        note += " With so few trials the importances are unreliable.";
    }
    let left_out = found.labels.len().saturating_sub(ROWS);
    if left_out > 0 {
        note += &format!(" {left_out} less important hyperparameters are not drawn.");
    }
    note
}

#[cfg(test)]
mod tests {
    use pipe_stages::search::Importance;

    use super::*;

    fn found(importances: &[f64]) -> SearchImportances {
        let label = |(i, importance): (usize, &f64)| Importance {
            label: format!("label_{i}"),
            importance: *importance,
            trials: 20_usize.saturating_sub(i),
            best: 2,
        };
        let labels = importances.iter().enumerate().map(label).collect();
        SearchImportances { search: "search".into(), scored: 20, trials: 23, labels }
    }

    #[test]
    fn bars_show_shares_with_the_number_of_trials() {
        let picture = draw(&found(&[0.03, 0.01, 0.0])).unwrap();
        let svg = picture.document();
        for part in ["label_0", ">75.0 %<", ">25.0 %<", ">0.0 %<", ">18<"] {
            assert!(svg.contains(part), "no `{part}` in {svg}");
        }
        // An importance of 0 has no bar.
        assert_eq!(svg.matches("kind k0\"").count(), 2);
        assert_eq!(
            picture.note,
            "20 of 23 trials have a score. The best tenth of them, 2 trials, is compared with all. With so few trials the importances are unreliable."
        );
    }

    #[test]
    fn the_longest_bar_fits() {
        for (longest, end, step) in [(0.0, 0.01, 0.01), (0.04, 0.04, 0.01), (0.12, 0.15, 0.05), (0.75, 0.8, 0.2)] {
            let found = scale(longest);
            assert!((found.0 - end).abs() < 1e-9 && found.1 == step, "{longest}: {found:?}");
        }
        assert_eq!(scale(1.0).0, 1.0);
    }

    #[test]
    fn without_trials_nothing_is_drawn_and_many_labels_are_cut_off() {
        let few = SearchImportances { scored: 10, ..found(&[0.1]) };
        let error = draw(&few).err().unwrap().to_string();
        assert_eq!(error, "importances need at least 11 trials with a score, and 10 have one");
        let picture = draw(&found(&[1.0; 43])).unwrap();
        assert!(picture.note.ends_with("3 less important hyperparameters are not drawn."));
    }

    #[test]
    fn without_any_importance_all_shares_are_zero() {
        let svg = draw(&found(&[0.0, 0.0])).unwrap().document();
        assert!(!svg.contains("NaN") && svg.matches(">0.0 %<").count() == 2);
    }
}
