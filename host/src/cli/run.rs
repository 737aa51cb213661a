//! `firebell run`.

use std::process::ExitCode;
use std::sync::Arc;

use anyhow::Context as _;
use firebell::causes::with_causes;
use firebell::config::{Config, ConfigErrors, Problem};
use firebell::run::{Only, Options, RunError, run as run_host};
use firebell::telemetry::{Metrics, Readiness};

use super::{ConfigFile, Failure, Global, logs, signals};

/// Arguments of `firebell run`.
#[derive(Debug, clap::Args)]
pub(super) struct Arguments {
    #[command(flatten)]
    file: ConfigFile,
    /// Run only one half; the outbox topic is between them.
    #[arg(long, value_enum, value_name = "HALF")]
    only: Option<Half>,
}

#[derive(Debug, Clone, Copy, clap::ValueEnum)]
enum Half {
    /// Consume, match, evaluate, commit.
    Evaluate,
    /// Deliver what is in the outbox.
    Deliver,
}

/// Runs until SIGTERM or SIGINT.
pub(super) fn run(global: Global, arguments: &Arguments) -> Result<ExitCode, Failure> {
    let config = Arc::new(Config::load(&arguments.file.config)?);
    if config.targets().is_empty() && !matches!(arguments.only, Some(Half::Evaluate)) {
        let problem = Problem::new(
            "there is no [slack] and no other target, so nothing can be delivered",
        )
        .file(&arguments.file.config)
        .cure(
            "write token_env and default_channel under [slack], or a target of docs/sinks.md, or \
                 only evaluate: firebell run --only evaluate",
        );
        return Err(ConfigErrors { problems: vec![problem] }.into());
    }
    let metrics = Metrics::new();
    logs::start(global.log_format, "info", Some(metrics.recent_problems()));
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()
        .context("cannot start the tokio runtime")?;
    let only = match arguments.only {
        None => Only::Both,
        Some(Half::Evaluate) => Only::Evaluate,
        Some(Half::Deliver) => Only::Deliver,
    };
    let options = Options {
        config,
        only,
        partitions: None,
        front: None,
        server: None,
        metrics,
        readiness: Readiness::default(),
    };
    let result = runtime.block_on(async {
        let shutdown = signals::shutdown_token().context("cannot listen to signals")?;
        Ok::<_, anyhow::Error>(run_host(options, shutdown).await)
    });
    runtime.shutdown_background();
    match result? {
        Ok(()) => Ok(ExitCode::SUCCESS),
        // What the operator must change is no failure of the host: it need not be started again.
        Err(RunError::Policy(errors)) => Err(errors.into()),
        Err(error @ RunError::Rules(_)) => {
            let problem = Problem::new(with_causes(&error)).key("rules.dir");
            Err(ConfigErrors { problems: vec![problem] }.into())
        }
        Err(error) => Err(anyhow::Error::from(error).context("the host ended").into()),
    }
}
