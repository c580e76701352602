//! `pipe ui`

use clap::Args;

use crate::{failure::Failure, logging::Logging, output::print, store_args::StoreArgs, talk, ui::Server};

/// Show a study in the browser while it runs
///
/// The page shows the stages of the pipeline with their states, what is being executed with its curves, trials as they end, logs, and the
/// report. It is served on 127.0.0.1 alone, to whoever has the address with its token. It reads the store and changes nothing, so it can
/// be started before, during and after a run, and on another machine that sees the store. ^C ends it.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  pipe ui
  pipe ui shapes --port 8765")]
pub(crate) struct Ui {
    /// A study's name or hash [default: the one that was begun last]
    study: Option<String>,
    #[command(flatten)]
    store: StoreArgs,
    /// The port [default: a free one]
    #[arg(long, value_name = "PORT", default_value_t = 0, hide_default_value = true)]
    port: u16,
}

impl Ui {
    pub(crate) fn run(self, _: &Logging) -> Result<(), Failure> {
        let port = self.port;
        let server = Server::start(self.store.root(), self.study, port).map_err(|error| {
            let failure = Failure::work(format!("port {port} of 127.0.0.1 cannot be used: {error}"));
            failure.hint("`pipe ui` without `--port` takes a free one")
        })?;
        print(&format!("{}\n", server.address()))?;
        talk::say("open it in a browser; ^C ends it");
        server.serve();
        Ok(())
    }
}
