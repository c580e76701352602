//! `pipe predict`

use std::{
    collections::BTreeSet,
    fs, io,
    path::{Path, PathBuf},
};

use clap::Args;
use pipe_engine::unfinished;
use pipe_stages::{decode::PICTURE_FILE, pictures, stage::StageError};
use pipe_store::Digest;
use pipe_views::predict::{BATCH, Model, PredictError, Prediction};

use crate::{
    choice,
    failure::Failure,
    files,
    logging::Logging,
    output::{json, print},
    publish::{self, Existing, ExistingFolder, Folder},
    store_args::StoreArgs,
    talk,
};

/// Classify pictures with a trained network of the study
///
/// For example `pipe predict retrain_best cat.jpg`. The pictures are turned upright as Exif says, and scaled to the size of the
/// images that the network was trained on. Of a folder, all pictures below it are classified, sorted by path. A picture that cannot
/// be read is named, the others are classified, and the exit code is 1.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  pipe predict retrain_best cat.png dog.jpg
  pipe predict retrain_best photos --json
  pipe predict retrain_best cat.png --explain cat-explained.png")]
pub(crate) struct Predict {
    /// The training, such as `retrain_best` or `search/train/003`
    node: String,
    /// The pictures, or folders of them
    #[arg(required = true, value_name = "IMAGE|FOLDER")]
    images: Vec<PathBuf>,
    /// The number of classes to print
    #[arg(long, value_name = "N", default_value_t = 3, value_parser = clap::value_parser!(u16).range(1..))]
    top: u16,
    /// Draw what the network looked at, to a file `NAME.png` or a folder
    ///
    /// Beside each picture, what speaks for the most likely class of each head is light (Grad-CAM).
    #[arg(long, value_name = "FILE|FOLDER")]
    explain: Option<PathBuf>,
    /// Replace what `--explain` wrote before
    #[arg(long, requires = "explain")]
    force: bool,
    /// The study to look for the node in [default: the latest]
    #[arg(long, value_name = "STUDY")]
    study: Option<String>,
    #[command(flatten)]
    store: StoreArgs,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

/// A picture, or why there is none.
#[derive(serde::Serialize)]
#[serde(untagged)]
enum Answer {
    Found(Prediction),
    Unreadable { image: String, error: String },
}

/// A file that may be a picture.
struct Candidate {
    path: PathBuf,
    /// The path below the folder that was named, or the name of the file.
    name: PathBuf,
    /// Whether it was named itself. Others count only if they are pictures.
    is_named: bool,
}

impl Predict {
    pub(crate) fn run(self, _: &Logging) -> Result<(), Failure> {
        let store = self.store.open_existing()?;
        let found = unfinished::find(&store, self.study.as_deref())?;
        let name = choice::training(&found.study, &self.node)?;
        let model = Model::of_node(&store, &found.study, name)?;
        let candidates = self.candidates()?;
        let mut drawings = self.explain.as_deref().map(|dest| Drawings::new(dest, &candidates)).transpose()?;
        let mut answers = Vec::new();
        let (mut others, mut unreadable) = (0_usize, 0_usize);
        for candidates in candidates.chunks(BATCH) {
            let mut pictures = Vec::new();
            let mut broken = Vec::new();
            for Candidate { path, name, is_named } in candidates {
                let image = path.display().to_string();
                match files::read(path, PICTURE_FILE).map_err(|error| error.to_string()) {
                    Ok(bytes) if !is_named && !pictures::kind(&bytes).is_picture() => others += 1,
                    read => match read.and_then(|bytes| model.picture(&bytes)) {
                        Ok(pixels) => pictures.push((image, name, pixels)),
                        Err(error) => broken.push(Answer::Unreadable { image, error }),
                    },
                }
            }
            unreadable += broken.len();
            if let Some(drawings) = &mut drawings {
                let pixels: Vec<_> = pictures.iter().map(|(.., pixels)| pixels.clone()).collect();
                for ((_, name, _), png) in pictures.iter().zip(model.explain(&pixels)?) {
                    drawings.add(name, &png, self.force)?;
                }
            }
            let pictures = pictures.into_iter().map(|(image, _, pixels)| (image, pixels)).collect();
            let predictions = model.predict(pictures, usize::from(self.top))?.into_iter().map(Answer::Found);
            let of_batch: Vec<_> = predictions.chain(broken).collect();
            if self.json {
                answers.extend(of_batch);
            } else {
                of_batch.iter().try_for_each(|answer| self.say(&model, answer))?;
            }
        }
        if self.json {
            print(&json(&answers))?;
            answers.iter().filter(|answer| matches!(answer, Answer::Unreadable { .. })).for_each(say_unreadable);
        }
        drawings.map(|drawings| drawings.finish(self.force)).transpose()?;
        if others > 0 {
            talk::say(&format!("{others} {} no picture", if others == 1 { "file is" } else { "files are" }));
        }
        if unreadable > 0 { Err(Failure::silent(1)) } else { Ok(()) }
    }

    /// Returns the files that were named, and those below the folders that were named, sorted by path.
    fn candidates(&self) -> Result<Vec<Candidate>, Failure> {
        let mut all = Vec::new();
        for image in &self.images {
            if image.is_dir() {
                let mut files = Vec::new();
                below(image, Path::new(""), &mut files)
                    .map_err(|error| Failure::work(format!("`{}`: {error}", image.display())))?;
                files.sort();
                let of = |name: PathBuf| Candidate { path: image.join(&name), name, is_named: false };
                all.extend(files.into_iter().map(of));
            } else {
                let name = image.file_name().map_or_else(|| image.clone(), PathBuf::from);
                all.push(Candidate { path: image.clone(), name, is_named: true });
            }
        }
        Ok(all)
    }

    fn say(&self, model: &Model, answer: &Answer) -> Result<(), Failure> {
        let Answer::Found(prediction) = answer else {
            say_unreadable(answer);
            return Ok(());
        };
        let mut text = format!("{}\n", prediction.image);
        for head in model.heads() {
            let classes: Vec<_> = prediction.heads[head]
                .iter()
                .map(|found| format!("{} {:.1} %", found.class, found.probability * 100.0))
                .collect();
            text += &format!("  {head}: {}\n", classes.join(", "));
        }
        print(&text)
    }
}

fn say_unreadable(answer: &Answer) {
    if let Answer::Unreadable { image, error } = answer {
        talk::say(&format!("error: `{image}`: {error}"));
    }
}

/// Adds the paths of the files below a folder, from there. Links to folders are not followed.
fn below(root: &Path, folder: &Path, files: &mut Vec<PathBuf>) -> io::Result<()> {
    for entry in fs::read_dir(root.join(folder))? {
        let entry = entry?;
        let path = folder.join(entry.file_name());
        if entry.file_type()?.is_dir() {
            below(root, &path, files)?;
        } else if root.join(&path).is_file() {
            files.push(path);
        }
    }
    Ok(())
}

/// Where pictures of what the network looked at go.
enum Drawings {
    File(PathBuf),
    Folder {
        dest: PathBuf,
        folder: Folder,
        /// The paths that are taken.
        taken: BTreeSet<PathBuf>,
    },
}

impl Drawings {
    /// Starts them: a file if `dest` is called like one and there is one picture, otherwise a folder.
    fn new(dest: &Path, candidates: &[Candidate]) -> Result<Self, Failure> {
        let is_png = dest.extension().is_some_and(|extension| extension.eq_ignore_ascii_case("png"));
        match candidates {
            [one] if is_png && one.is_named => Ok(Self::File(dest.to_owned())),
            _ if is_png && !dest.is_dir() => {
                let message = format!("`{}` is one file, and there can be several pictures", dest.display());
                Err(Failure::usage(message).hint("name a folder, which gets a file for each picture"))
            }
            _ => Ok(Self::Folder { dest: dest.to_owned(), folder: Folder::named(dest)?, taken: BTreeSet::new() }),
        }
    }

    /// Adds the drawing of the picture called `name`.
    fn add(&mut self, name: &Path, png: &[u8], force: bool) -> Result<(), Failure> {
        match self {
            Self::File(dest) => {
                publish::file(dest, png, &Digest::of(png), if force { Existing::Force } else { Existing::Keep })?;
                talk::say(&dest.display().to_string());
            }
            Self::Folder { folder, taken, .. } => {
                // `a.jpg` and `a.png` may lie side by side.
                let stem = name.with_extension("");
                let numbered = |n: usize| if n == 1 { stem.clone() } else { format!("{}-{n}", stem.display()).into() };
                let path = (1..).map(numbered).find(|path| !taken.contains(path)).expect("some number is free");
                folder.add(&format!("{}.png", path.display()), png, &Digest::of(png))?;
                taken.insert(path);
            }
        }
        Ok(())
    }

    /// Gives a folder its name.
    fn finish(self, force: bool) -> Result<(), Failure> {
        if let Self::Folder { dest, folder, taken } = self {
            let existing = if force { ExistingFolder::ReplaceSameFiles } else { ExistingFolder::Keep };
            folder.publish(existing)?;
            let n = taken.len();
            talk::say(&format!("{}: {n} {}", dest.display(), if n == 1 { "picture" } else { "pictures" }));
        }
        Ok(())
    }
}

impl From<PredictError> for Failure {
    fn from(error: PredictError) -> Self {
        match error {
            PredictError::NoNetwork(_) => Self::usage(&error).hint("name a training, such as `retrain_best`"),
            PredictError::NoWeights(_) => Self::usage(&error).hint("`keep: [Best]` keeps them"),
            PredictError::NoMap => Self::usage(&error).hint("leave out `--explain`"),
            PredictError::View(error) => error.into(),
            PredictError::Stage(StageError::Input { source, .. }) => source.into(),
            error => Self::from_error(&error),
        }
    }
}
