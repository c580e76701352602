//! `pipe init`

use std::{fs, io::Write, path::PathBuf};

use clap::Args;

use crate::{
    failure::{EXIT_CODES, Failure},
    logging::Logging,
};

/// The default study: the file at the root of the repository.
pub(crate) const DEFAULT: &str = include_str!("../../pipeline.ron");

/// Write a commented pipeline.ron to start from
///
/// The study is a search on generated pictures. It takes a few minutes on two cores and needs no network.
#[derive(Debug, Args)]
#[command(after_help = EXIT_CODES)]
pub(crate) struct Init {
    /// The file to write
    #[arg(default_value = "pipeline.ron")]
    path: PathBuf,
    /// Overwrite the file if it exists
    #[arg(long)]
    force: bool,
}

impl Init {
    pub(crate) fn run(self, _: &Logging) -> Result<(), Failure> {
        let path = if self.path.is_dir() { self.path.join("pipeline.ron") } else { self.path };
        let mut options = fs::OpenOptions::new();
        options.write(true).create(true).truncate(true);
        if !self.force {
            options.create_new(true);
        }
        let written = options.open(&path).and_then(|mut file| file.write_all(DEFAULT.as_bytes()));
        written.map_err(|error| match error.kind() {
            std::io::ErrorKind::AlreadyExists => {
                Failure::usage(format!("`{}` exists already", path.display())).hint("`--force` overwrites it")
            }
            _ => Failure::work(format!("`{}` cannot be written: {error}", path.display())),
        })?;
        let file =
            if path.as_os_str() == "pipeline.ron" { String::new() } else { format!(" --file '{}'", path.display()) };
        eprintln!("wrote {}; run it with `pipe run{file}`", path.display());
        Ok(())
    }
}
