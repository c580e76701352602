//! `pipe plot`

use std::path::PathBuf;

use clap::{Args, ValueEnum};
use pipe_engine::unfinished;
use pipe_store::{Digest, Store};
use pipe_views::{
    node_network::{self, NetworkError},
    plot::{self, Picture, ShownColumns, TrialPicture, Trim, diagram::Diagram, timeline},
    trials,
};

use crate::{
    choice,
    failure::Failure,
    files,
    logging::Logging,
    output::{print, print_bytes},
    publish::{self, Existing},
    store_args::StoreArgs,
    talk,
};

/// The most bytes of a proposal.
const PROPOSAL: u64 = 1 << 20;

/// Draw a picture of a study as SVG: its trials, a network or a timeline
///
/// A column is `value` (the metric that was optimised), a hyperparameter, a metric such as `end.valid.loss`, or one of
/// `trial`, `loss`, `best_epoch`, `epochs` and `parameters`. By default, the most important hyperparameters are shown.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  pipe plot history --out history.svg
  pipe plot architecture retrain_best")]
pub(crate) struct Plot {
    /// What to draw
    #[arg(value_enum)]
    kind: PlotKind,
    /// A study's name or hash [default: the latest], or a search of the latest; a training or proposal for `architecture`
    ///
    /// With `--proposal`, `architecture` takes a search or a training.
    #[arg(value_name = "STUDY|NODE")]
    what: Option<String>,
    /// The study to look for a node in [default: the latest]
    #[arg(long, value_name = "STUDY")]
    study: Option<String>,
    /// Draw the network with the hyperparameters in this JSON file
    #[arg(long, value_name = "FILE")]
    proposal: Option<PathBuf>,
    #[command(flatten)]
    store: StoreArgs,
    /// Write to this file; `-` is standard output
    #[arg(long, short, value_name = "FILE", default_value = "-")]
    out: PathBuf,
    /// The search, if the study has several
    #[arg(long, value_name = "STAGE")]
    search: Option<String>,
    /// The hyperparameters of a scatter matrix, parallel coordinates or slices, separated by commas
    #[arg(long, value_name = "COLUMNS", value_delimiter = ',')]
    columns: Vec<String>,
    /// The column along the x axis of a contour, a cloud or histograms
    #[arg(long, value_name = "COLUMN")]
    x: Option<String>,
    /// The column along the y axis of a contour or a cloud
    #[arg(long, value_name = "COLUMN")]
    y: Option<String>,
    /// The column along the z axis of a cloud
    #[arg(long, value_name = "COLUMN")]
    z: Option<String>,
    /// The column that the marks of a cloud show, or that divides histograms into rows
    #[arg(long, alias = "color", value_name = "COLUMN")]
    colour: Option<String>,
    /// The metric of learning curves, such as `valid.loss` [default: the optimised metric]
    #[arg(long, value_name = "METRIC")]
    metric: Option<String>,
    /// Leave out trials with these values: `learning_rate=0.01,0.005`, `value=0..0.1` (repeatable)
    #[arg(long, value_name = "COLUMN=LEVEL[,LEVEL]")]
    trim: Vec<Trim>,
    /// Rotate a cloud by this angle [default: -55]
    #[arg(long, value_name = "DEGREES", allow_hyphen_values = true)]
    turn: Option<f64>,
}

#[derive(Debug, Clone, Copy, ValueEnum)]
enum PlotKind {
    /// The objective of each trial, and the best so far
    History,
    /// Learning curves of all trials, the best one highlighted
    Curves,
    /// Hyperparameters against each other and against the objective
    ScatterMatrix,
    /// Parallel coordinates: a line per trial through its hyperparameters to the objective
    Parallel,
    /// The objective against each hyperparameter
    Slice,
    /// The objective over two hyperparameters
    Contour,
    /// A cloud of points: three columns as axes, a fourth as marks
    #[value(name = "scatter3d")]
    Scatter3d,
    /// The distribution of a column, for each level of another
    Histograms,
    /// Configurations that were tried several times, with 95 % intervals
    Repeats,
    /// How much each hyperparameter mattered, and the number of trials behind it
    Importance,
    /// The empirical distribution function of the objective
    Edf,
    /// Pairs of hyperparameters, with trials marked by their rank
    Rank,
    /// The best so far, against what a random search finds with as many trials
    Convergence,
    /// When each node was executed, and how long it took
    Timeline,
    /// The layers of a trained or proposed network, with shapes and numbers of parameters
    Architecture,
}

impl PlotKind {
    /// Returns the kind of picture of trials, or None if it is not a picture of trials.
    fn of_trials(self) -> Option<TrialPicture> {
        Some(match self {
            Self::History => TrialPicture::History,
            Self::Curves => TrialPicture::Curves,
            Self::ScatterMatrix => TrialPicture::ScatterMatrix,
            Self::Parallel => TrialPicture::Parallel,
            Self::Slice => TrialPicture::Slice,
            Self::Contour => TrialPicture::Contour,
            Self::Scatter3d => TrialPicture::Scatter3d,
            Self::Histograms => TrialPicture::Histograms,
            Self::Repeats => TrialPicture::Repeats,
            Self::Importance => TrialPicture::Importances,
            Self::Edf => TrialPicture::Edf,
            Self::Rank => TrialPicture::Rank,
            Self::Convergence => TrialPicture::Convergence,
            Self::Timeline | Self::Architecture => return None,
        })
    }
}

impl Plot {
    pub(crate) fn run(self, _: &Logging) -> Result<(), Failure> {
        if self.out.extension().is_some_and(|extension| extension.eq_ignore_ascii_case("png")) {
            let svg = self.out.with_extension("svg");
            let (svg, png) = (svg.display(), self.out.display());
            return Err(Failure::usage(format!("`{png}`: pictures are written as SVG"))
                .hint(format!("write `{svg}`, then `rsvg-convert --zoom 2 {svg} --output {png}`")));
        }
        let store = self.store.open_existing()?;
        if matches!(self.kind, PlotKind::Architecture) {
            return self.architecture(&store);
        }
        let what = self.what.as_deref().or(self.study.as_deref());
        let (found, search) = choice::study_and_search(&store, what, self.search.clone())?;
        let Some(kind) = self.kind.of_trials() else {
            let executions = timeline::executions(&store, &found.study)?;
            return self.write(&timeline::Timeline::new(executions).draw());
        };
        let all = trials::table(&store, &found.study)?;
        let trials = choice::search(&all, search.as_deref())?;
        let choice = ShownColumns {
            columns: self.columns.clone(),
            x: self.x.clone(),
            y: self.y.clone(),
            z: self.z.clone(),
            colour: self.colour.clone(),
            metric: self.metric.clone(),
            trims: self.trim.clone(),
            turn: self.turn,
        };
        self.write(&plot::draw(kind, &store, &found.study, trials, &choice)?)
    }

    fn architecture(&self, store: &Store) -> Result<(), Failure> {
        let found = unfinished::find(store, self.study.as_deref())?;
        let what = self.what.as_deref().ok_or_else(|| {
            Failure::usage("`architecture` needs a node")
                .hint("name a training or a proposal, such as `search/train/003`")
        })?;
        let (name, network) = match &self.proposal {
            None => {
                let name = found.study.resolve(what)?;
                (name.to_owned(), node_network::of_node(store, &found.study, name)?)
            }
            Some(path) => {
                let name = path.display().to_string();
                let text = files::read(path, PROPOSAL)
                    .map_err(|error| Failure::usage(format!("`{name}` cannot be read: {error}")))?;
                let proposal = node_network::parse_proposal(&text)
                    .map_err(|error| Failure::usage(format!("`{name}` is not a proposal: {error}")))?;
                let network = node_network::of_proposal(store, &found.study, &name, what, &proposal)?;
                (name, network)
            }
        };
        self.write(&Diagram::new(&name, &network).draw())
    }

    fn write(&self, picture: &Picture) -> Result<(), Failure> {
        if !picture.note.is_empty() {
            talk::say(&picture.note);
        }
        if self.out.as_os_str() == "-" {
            return print_bytes(picture.document().as_bytes());
        }
        let document = picture.document();
        publish::file(&self.out, document.as_bytes(), &Digest::of(document.as_bytes()), Existing::Replace)?;
        print(&format!("{}\n", self.out.display()))
    }
}

impl From<NetworkError> for Failure {
    fn from(error: NetworkError) -> Self {
        match error {
            NetworkError::View(error) => error.into(),
            NetworkError::NoData(_) => Self::usage(&error).hint("`pipe run --stage` brings in the stage it names"),
            NetworkError::None(_) => {
                Self::usage(&error).hint("name a training or a proposal, such as `search/train/003`")
            }
            error => Self::usage(&error),
        }
    }
}
