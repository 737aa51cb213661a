//! Secrets are named in the configuration, never written there: a variable or a file holds them.

use std::io;
use std::path::PathBuf;

use super::Context;
use super::reader::Table;
use crate::secret::Secret;

/// Bytes that a secret's file may have; a larger one is another file.
const FILE_BYTES_MAX: u64 = 64 * 1024;

/// Stands for a secret that is not here. Some secrets are addresses, so it is one, of no host (RFC 2606).
const ASSUMED: &str = "https://secret.invalid";

/// What is wrong with where a secret should come from, and the cure.
pub(super) struct NoSecret {
    pub(super) message: String,
    pub(super) cure: String,
}

/// The secret in an environment variable.
pub(super) fn from_variable(name: &str, context: Context<'_>) -> Result<Secret, NoSecret> {
    let legal = |c: char| c.is_ascii_alphanumeric() || c == '_';
    if !name.chars().all(legal) || name.starts_with(|c: char| c.is_ascii_digit()) {
        // It may well be the secret itself: it is not repeated.
        return Err(NoSecret {
            message: "takes the name of an environment variable, and this is none".into(),
            cure:
                "write a name such as \"SLACK_BOT_TOKEN\" and put the secret into that variable; \
                   if the secret itself stood here, take a new one"
                    .into(),
        });
    }
    match context.environment.variable(name) {
        None if context.environment.assume(format!("environment variable {name}")) => {
            Ok(Secret::new(ASSUMED))
        }
        None => Err(NoSecret {
            message: format!("environment variable {name} is not set"),
            cure: format!("set it before the start: export {name}=…"),
        }),
        Some(value) if value.trim().is_empty() => Err(NoSecret {
            message: format!("environment variable {name} is empty"),
            cure: "give it the secret".into(),
        }),
        Some(value) => Ok(Secret::new(value.trim())),
    }
}

/// The secret in a file, without the white space around it.
pub(super) fn from_file(
    written: &str,
    context: Context<'_>,
) -> Result<(PathBuf, Secret), NoSecret> {
    let path = context.path(written);
    let cannot = |reason: String| NoSecret {
        message: format!("cannot read {}: {reason}", path.display()),
        cure: "name a file that this user may read and that holds the secret and nothing else"
            .into(),
    };
    let size = match std::fs::metadata(&path) {
        Ok(metadata) => metadata.len(),
        Err(error)
            if error.kind() == io::ErrorKind::NotFound
                && context.environment.assume(format!("file {}", path.display())) =>
        {
            return Ok((path, Secret::new(ASSUMED)));
        }
        Err(error) => return Err(cannot(error.to_string())),
    };
    if size > FILE_BYTES_MAX {
        return Err(cannot(format!("{size} bytes are no secret")));
    }
    let text = std::fs::read_to_string(&path).map_err(|error| cannot(error.to_string()))?;
    match text.trim() {
        "" => Err(cannot("it is empty".into())),
        secret => Ok((path, Secret::new(secret))),
    }
}

/// A secret that is told by `KEY_env` or `KEY_file`.
#[derive(Clone)]
pub(super) struct Told {
    pub(super) secret: Secret,
    pub(super) file: Option<PathBuf>,
}

/// The secret of one of two keys of a table; a problem where it cannot be read.
///
/// The outer `None` = neither key is there; the inner one = it is there, and wrong.
pub(super) fn told(
    table: &mut Table<'_, '_>,
    env_key: &'static str,
    file_key: &'static str,
    context: Context<'_>,
) -> Option<Option<Told>> {
    let (has_env, has_file) = (table.has(env_key), table.has(file_key));
    let (env, file) = (table.text(env_key), table.text(file_key));
    if has_env && has_file {
        let message = format!("`{env_key}` and `{file_key}` are both there");
        table.problem(file_key, message, "keep one of them");
        return Some(None);
    }
    let read = match (env, file) {
        (Some(name), _) => {
            let told = from_variable(name, context).map(|secret| Told { secret, file: None });
            (env_key, told)
        }
        (_, Some(written)) => {
            let told = from_file(written, context);
            (file_key, told.map(|(path, secret)| Told { secret, file: Some(path) }))
        }
        (None, None) => return (has_env || has_file).then_some(None),
    };
    let (key, told) = read;
    match told {
        Ok(told) => Some(Some(told)),
        Err(error) => {
            table.problem(key, error.message, error.cure);
            Some(None)
        }
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use crate::config::tests::{GOOD, environment, parse, problems};
    use crate::config::{Config, SlackMode};

    #[test]
    fn secrets_that_are_not_here_can_be_taken_as_there() {
        let text = "[kafka]\nbootstrap_servers = \"k:9092\"\n[kafka.properties]\n\"security.protocol\" = \"SASL_SSL\"\n\"sasl.mechanism\" = \"PLAIN\"\n\"sasl.username\" = \"u\"\n\"sasl.password\" = { file = \"password\" }\n[slack]\nwebhook_url_env = \"URL\"\ndefault_channel = \"general\"\n[webhooks.pager]\nurl_env = \"EMPTY\"\n";
        let environment = environment().assuming_secrets();
        let errors = Config::parse(Path::new("/etc/f.toml"), text, &environment).unwrap_err();
        let problems: Vec<_> = errors.problems.iter().map(ToString::to_string).collect();
        // One that is here and wrong is a problem as ever.
        assert_eq!(
            problems,
            [
                "/etc/f.toml:12: webhooks.pager.url_env: environment variable EMPTY is empty; give it the secret",
            ]
        );
        assert_eq!(environment.assumed(), ["environment variable URL", "file /etc/password"]);
    }

    #[test]
    fn a_secret_that_cannot_be_had_tells_where_it_was_looked_for() {
        let good = |line: &str| GOOD.replace("token_env = \"TOKEN\"", line);
        assert_eq!(
            problems(&good("token_env = \"NOPE\"")),
            [
                "firebell.toml:4: slack.token_env: environment variable NOPE is not set; set it before the start: export NOPE=…",
            ]
        );
        assert_eq!(
            problems(&good("token_env = \"EMPTY\"")),
            [
                "firebell.toml:4: slack.token_env: environment variable EMPTY is empty; give it the secret",
            ]
        );
        assert_eq!(
            problems(&good("token_file = \"/nowhere/token\"")),
            [
                "firebell.toml:4: slack.token_file: cannot read /nowhere/token: No such file or directory (os error 2); name a file that this user may read and that holds the secret and nothing else",
            ]
        );
        assert_eq!(
            problems(&good("token_env = \"TOKEN\"\ntoken_file = \"t\"")),
            [
                "firebell.toml:5: slack.token_file: `token_env` and `token_file` are both there; keep one of them",
            ]
        );
        assert_eq!(
            problems(&good("token_env = \"TOKEN\"\nwebhook_url_env = \"HOOK\"")),
            [
                "firebell.toml:5: slack.webhook_url_env: a token and a webhook are both there; keep the token (edits, threads, many channels) or the webhook (one channel)",
            ]
        );
        assert_eq!(
            problems(&good("webhook_url_env = \"PASSWORD\"")),
            [
                "firebell.toml:4: slack.webhook_url_env: what it holds is not an http(s) address; copy it from the webhook's page in Slack",
            ]
        );
    }

    #[test]
    fn a_secret_written_into_the_file_is_not_repeated() {
        let errors = parse(&GOOD.replace("\"TOKEN\"", "\"xoxb-SECRET-1\"")).unwrap_err();
        assert!(
            errors
                .to_string()
                .contains("takes the name of an environment variable, and this is none")
        );
        assert!(!errors.to_string().contains("SECRET"), "{errors}");
        let config = parse(&GOOD.replace(
            "[slack]",
            "[kafka.properties]\n\"security.protocol\" = \"SASL_SSL\"\n\"sasl.mechanism\" = \"PLAIN\"\n\"sasl.username\" = \"u\"\n\"sasl.password\" = { env = \"PASSWORD\" }\n[slack]",
        ))
        .unwrap();
        assert!(!format!("{config:?}").contains("xoxb"), "{config:?}");
    }

    #[test]
    fn a_token_comes_from_a_file_beside_the_configuration_without_white_space() {
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join("token"), "xoxb-2\n").unwrap();
        let text = GOOD.replace("token_env = \"TOKEN\"", "token_file = \"token\"");
        let config =
            Config::parse(&folder.path().join("firebell.toml"), &text, &environment()).unwrap();
        let SlackMode::Bot { token, token_file } = config.slack.unwrap().mode else {
            panic!("no bot")
        };
        assert_eq!((token.reveal(), token_file), ("xoxb-2", Some(folder.path().join("token"))));
    }
}
