//! `pipe import-trials`

use std::path::{Path, PathBuf};

use clap::Args;
use pipe_engine::{
    import,
    pipeline::{read, stages::search::SearchSpec},
};
use pipe_store::Digest;
use url::Url;

use crate::{
    failure::Failure,
    files,
    logging::Logging,
    output::print,
    publish::{self, Existing},
    talk,
};

/// Start a search from trials that were recorded elsewhere
///
/// Reads the output of `pipe trials --json`, or trials of Hyperopt, and checks that the space of the search could have
/// proposed them. Writes them to a record, and prints the two lines to add to the pipeline file. The sampler then treats them
/// as earlier trials and does not propose them again. The best trial is still chosen among the search's own trials.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  pipe import-trials old.json --search search")]
pub(crate) struct ImportTrials {
    /// The recorded trials (JSON)
    #[arg(value_name = "FILE")]
    trials: PathBuf,
    /// The search to start [default: the only one in the pipeline]
    #[arg(long, value_name = "NAME")]
    search: Option<String>,
    /// Where to write the record [default: FILE with the extension `.imported.json`]
    #[arg(long, value_name = "PATH")]
    out: Option<PathBuf>,
    /// Leave out trials that the space could not have proposed
    #[arg(long)]
    skip_misfits: bool,
    /// The pipeline file
    #[arg(long, short, value_name = "FILE", default_value = "pipeline.ron")]
    file: PathBuf,
}

impl ImportTrials {
    pub(crate) fn run(self, _: &Logging) -> Result<(), Failure> {
        let unreadable =
            |path: &PathBuf, error| Failure::usage(format!("`{}` cannot be read: {error}", path.display()));
        let bytes = files::read(&self.file, read::TEXT as u64).map_err(|error| unreadable(&self.file, error))?;
        let name = self.file.display().to_string();
        let pipeline = read::read(&name, &read::text(&name, bytes)?, &[])?;
        let searches: Vec<(&str, &SearchSpec)> = pipeline.stages.of_type().collect();
        let names = searches.iter().map(|(name, _)| *name).collect::<Vec<_>>().join(", ");
        let (search, spec) = match (&self.search, searches.as_slice()) {
            (None, [only]) => *only,
            (None, []) => return Err(Failure::usage(format!("`{}` has no search", self.file.display()))),
            (None, _) => {
                return Err(Failure::usage("the pipeline has several searches")
                    .hint(format!("name one with `--search`: {names}")));
            }
            (Some(wanted), _) => *searches.iter().find(|(name, _)| name == wanted).ok_or_else(|| {
                Failure::usage(format!("there is no search `{wanted}`")).hint(format!("searches are {names}"))
            })?,
        };
        let text = files::read_text(&self.trials, import::FILE).map_err(|error| unreadable(&self.trials, error))?;
        let import::Import { record, misfits } = import::read(&text, &spec.space()).map_err(|error| {
            Failure::work(format!("`{}`: {}", self.trials.display(), pipe_engine::run::with_causes(&error)))
        })?;
        let n = record.trials.len() + misfits.len();
        for (i, why) in misfits.iter().take(5) {
            talk::say(&format!("trial {i}: {why}"));
        }
        if !misfits.is_empty() && !self.skip_misfits || record.trials.is_empty() {
            let message = format!("`{search}` could not have proposed {} of the {n} trials", misfits.len());
            return Err(Failure::work(message).hint("widen its space, or leave them out with `--skip-misfits`"));
        }
        let bytes = pipe_stages::params::record(&record);
        let out = self.out.unwrap_or_else(|| self.trials.with_extension("imported.json"));
        publish::file(&out, &bytes, &Digest::of(&bytes), Existing::Replace)?;
        let path = std::path::absolute(&out).map_err(|error| Failure::work(format!("`{}`: {error}", out.display())))?;
        talk::say(&format!("{} of {n} trials are in `{}`; add to `{name}`", record.trials.len(), out.display()));
        print(&lines(search, &path, &bytes))
    }
}

/// Returns the lines to add to a pipeline file. `bytes` are in the file `path`, which is absolute.
fn lines(search: &str, path: &Path, bytes: &[u8]) -> String {
    // A name that is written has no slash and no full stop, unlike those of a `ForEach`.
    let name = format!("{}_imported", search.replace(['/', '.'], "-"));
    let url = Url::from_file_path(path).expect("an absolute path is a URL");
    let (url, size, blake3) = (url.as_str(), bytes.len(), Digest::of(bytes));
    format!("({name:?}, Fetch(Url(url: {url:?}, size: {size}, blake3: \"{blake3}\"))),\nimported: {name:?},\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_url_of_any_path_leads_back_to_it() {
        let check = |path: &str, expected: &str| {
            let text = lines("search", Path::new(path), b"{}");
            let url = text.split('"').nth(3).unwrap();
            assert_eq!(url, expected);
            assert_eq!(Url::parse(url).unwrap().to_file_path().as_deref(), Ok(Path::new(path)));
        };
        check("/home/me/old.imported.json", "file:///home/me/old.imported.json");
        check("/my trials/run #2.json", "file:///my%20trials/run%20%232.json");
        check("/100 %/\"a\".json", "file:///100%20%25/%22a%22.json");
    }

    #[test]
    fn the_lines_are_in_the_notation_of_a_pipeline_file() {
        let blake3 = Digest::of(b"{}");
        let expected = format!(
            "(\"s_imported\", Fetch(Url(url: \"file:///a%20b\", size: 2, blake3: \"{blake3}\"))),\nimported: \"s_imported\",\n"
        );
        assert_eq!(lines("s", Path::new("/a b"), b"{}"), expected);
    }
}
