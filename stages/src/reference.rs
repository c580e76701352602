//! The reference tables of the documentation, made from the declarations of parameters.

use crate::{
    augment::{Augment, Normalise},
    decode::{Decode, Folders, Names, Table as LabelTable},
    evaluate::Evaluate,
    fetch::Remote,
    images::{Augmentation, ColourJitter, Edges, Erased, RandomErasing},
    network::{
        TABLES, Table,
        families::TRAINING,
        layers,
        training::{Cosine, EarlyStopping, Staircase},
    },
    params::reference::{choices, default, fields, table},
    search::{GaussianProcess, Grid, Hyperband, NoImprovement, RegretBound, SuccessiveHalving, Tpe},
    train::{Limits, Train},
    visualize_filters::{Fourier, VisualizeFilters},
    words::one_of,
};

/// Returns the tables with their names. A page of the documentation shows a table in a region of that name.
pub fn tables() -> Vec<(&'static str, String)> {
    let mut tables = vec![
        ("train", fields::<Train>()),
        ("decode", fields::<Decode>()),
        ("folders", fields::<Folders>()),
        ("labels", fields::<LabelTable>()),
        ("names", fields::<Names>()),
        ("augment", fields::<Augment>()),
        ("normalise", choices::<Normalise>()),
        ("augmentations", choices::<Augmentation>()),
        ("fill", choices::<Edges>()),
        ("colour_jitter", fields::<ColourJitter>()),
        ("random_erasing", fields::<RandomErasing>()),
        ("erased", choices::<Erased>()),
        ("evaluate", fields::<Evaluate>()),
        ("visualize_filters", fields::<VisualizeFilters>()),
        ("fourier", fields::<Fourier>()),
        ("fetch_file", fields::<Remote>()),
        ("schedule_step", fields::<Staircase>()),
        ("schedule_cosine", fields::<Cosine>()),
        ("early_stopping", fields::<EarlyStopping>()),
        ("tpe", fields::<Tpe>()),
        ("gaussian_process", fields::<GaussianProcess>()),
        ("grid", fields::<Grid>()),
        ("hyperband", fields::<Hyperband>()),
        ("successive_halving", fields::<SuccessiveHalving>()),
        ("no_improvement", fields::<NoImprovement>()),
        ("regret_bound", fields::<RegretBound>()),
        ("limits", fields::<Limits>()),
        ("steering", rows(TRAINING.iter())),
        ("layers", of_layers()),
    ];
    tables.extend(TABLES.iter().map(|table| (table.name, of_family(table))));
    tables
}

/// Returns the table of a family's own hyperparameters. Those of the training are common to all families.
fn of_family(family: &'static Table) -> String {
    rows(family.rows.iter())
}

fn rows(rows: impl Iterator<Item = &'static crate::network::families::Row>) -> String {
    let row = |row: &'static crate::network::families::Row| {
        let keys = match row.keys {
            [first, .., last] => format!("`{first}` .. `{last}`"),
            keys => one_of(keys.iter().copied()),
        };
        let fixed = if row.is_searched { "" } else { ", not searched" };
        let default = row.default.map(|value| default(&value())).unwrap_or_default();
        [keys, row.domain.brief() + fixed, default, row.doc.to_owned()]
    };
    table(["key", "allowed values", "default", ""], rows.map(row))
}

fn of_layers() -> String {
    let mut before = "";
    let row = |one: layers::Reference| {
        let layer = if one.layer == before { String::new() } else { format!("`{}`", one.layer) };
        before = one.layer;
        // The default is a value, or the name of another setting in a sentence.
        let quoted = |text: String| if text.contains('`') { text } else { format!("`{text}`") };
        let default = one.default.map(quoted).unwrap_or_default();
        [layer, format!("`{}`", one.setting), one.domain.brief(), default, one.meaning.to_owned()]
    };
    table(["layer", "setting", "allowed values", "default", ""], layers::reference().into_iter().map(row))
}
