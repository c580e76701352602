//! `pipe predict`

use std::path::PathBuf;

use clap::Args;
use pipe_engine::unfinished;
use pipe_stages::{decode::PICTURE_FILE, stage::StageError};
use pipe_views::predict::{Model, PredictError};

use crate::{
    failure::Failure,
    files,
    logging::Logging,
    output::{json, print},
    store_args::StoreArgs,
};

/// Classify pictures with a trained network of the study
///
/// For example `pipe predict retrain_best cat.jpg`. The pictures are turned upright as Exif says, and scaled to the size of the
/// images that the network was trained on.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  pipe predict retrain_best cat.png dog.jpg")]
pub(crate) struct Predict {
    /// The training, such as `retrain_best` or `search/train/003`
    node: String,
    /// The pictures
    #[arg(required = true, value_name = "IMAGE")]
    images: Vec<PathBuf>,
    /// The number of classes to print
    #[arg(long, value_name = "N", default_value_t = 3, value_parser = clap::value_parser!(u16).range(1..))]
    top: u16,
    /// The study to look for the node in [default: the latest]
    #[arg(long, value_name = "STUDY")]
    study: Option<String>,
    #[command(flatten)]
    store: StoreArgs,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

impl Predict {
    pub(crate) fn run(self, _: &Logging) -> Result<(), Failure> {
        let store = self.store.open_existing()?;
        let found = unfinished::find(&store, self.study.as_deref())?;
        let name = found.study.resolve(&self.node)?;
        let model = Model::of_node(&store, &found.study, name)?;
        let mut pictures = Vec::new();
        for path in &self.images {
            let read = files::read(path, PICTURE_FILE)
                .map_err(|error| error.to_string())
                .and_then(|bytes| model.picture(&bytes));
            let pixels = read.map_err(|error| Failure::usage(format!("`{}`: {error}", path.display())))?;
            pictures.push((path.display().to_string(), pixels));
        }
        let predictions = model.predict(pictures, usize::from(self.top))?;
        if self.json {
            return print(&json(&predictions));
        }
        let mut text = String::new();
        for prediction in &predictions {
            text += &format!("{}\n", prediction.image);
            for head in model.heads() {
                let classes: Vec<_> = prediction.heads[head]
                    .iter()
                    .map(|found| format!("{} {:.1} %", found.class, found.probability * 100.0))
                    .collect();
                text += &format!("  {head}: {}\n", classes.join(", "));
            }
        }
        print(&text)
    }
}

impl From<PredictError> for Failure {
    fn from(error: PredictError) -> Self {
        match error {
            PredictError::NoNetwork(_) => Self::usage(&error).hint("name a training, such as `retrain_best`"),
            PredictError::NoWeights(_) => Self::usage(&error).hint("`keep: [Best]` keeps them"),
            PredictError::View(error) => error.into(),
            PredictError::Stage(StageError::Input { source, .. }) => source.into(),
            error => Self::from_error(&error),
        }
    }
}
