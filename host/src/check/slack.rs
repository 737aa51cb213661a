//! The part of `firebell check` that asks Slack. It posts nothing.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{SystemTime, UNIX_EPOCH};

use super::{Report, file_of};
use crate::config::{Config, Problem, SlackConfig, SlackMode};
use crate::delivery::slack::{Asked, Slack};
use crate::delivery::verdict::Verdict;
use crate::nearest::nearest;
use crate::policy::Policy;
use crate::rules::Rule;
use crate::target::Target;

/// Channels whose history is tried; Slack allows some fifty such questions a minute.
const HISTORY_CHANNELS_MAX: usize = 20;

/// Pages of channels that are read, a thousand each.
const LIST_PAGES_MAX: usize = 100;

/// A channel that something wants to post to.
struct Wanted {
    name: String,
    file: PathBuf,
    key: String,
}

/// Asks whether Slack takes the token, and whether the channels exist and can be read back.
pub(super) async fn check(
    path: &Path,
    config: &Config,
    (rules, policy): (&[Arc<Rule>], Option<&Policy>),
    report: &mut Report,
) {
    let Some(slack) = &config.slack else { return };
    let token = match &slack.mode {
        SlackMode::Bot { token, .. } => token.clone(),
        SlackMode::Webhook { .. } => {
            let note = "a webhook cannot be asked without posting, and is a reduced mode: one \
                        channel, no edits, no reading back";
            report.notes.push(Problem::new(note).file(path).key("slack"));
            return;
        }
    };
    let client = match Slack::bot(&slack.api_url, token, slack.request_timeout) {
        Ok(client) => client,
        Err(error) => {
            report.problems.push(Problem::new(error.to_string()).file(path).key("slack"));
            return;
        }
    };
    let asked = client.identity().await;
    match (asked.verdict(), &asked.value) {
        (Verdict::Sent, Some(identity)) => {
            let (team, user) = (&identity.team, &identity.user);
            report.passed.push(format!("Slack takes the token: {user} in {team}"));
        }
        (Verdict::Credentials, _) => {
            let problem = Problem::new(format!("Slack refuses the token: {}", asked.detail));
            let cure =
                "take the bot token (xoxb-…) from the app's page in Slack, OAuth & Permissions";
            report.problems.push(problem.file(path).key(token_key(slack)).cure(cure));
            return;
        }
        _ => {
            let message = format!("no answer from {}: {}", slack.api_url, asked.detail);
            let cure = "check the address and the network";
            report
                .unanswered
                .push(Problem::new(message).file(path).key("slack.api_url").cure(cure));
            return;
        }
    }
    let ids =
        look_up(path, slack, &client, wanted(path, config, slack, (rules, policy)), report).await;
    read_back(path, &client, &ids, report).await;
}

/// The key that the token comes from.
fn token_key(slack: &SlackConfig) -> &'static str {
    match &slack.mode {
        SlackMode::Bot { token_file: Some(_), .. } => "slack.token_file",
        _ => "slack.token_env",
    }
}

/// All channels that are named, and where.
fn wanted(
    path: &Path,
    config: &Config,
    slack: &SlackConfig,
    (rules, policy): (&[Arc<Rule>], Option<&Policy>),
) -> Vec<Wanted> {
    let own = |name: &String, key: &str| Wanted {
        name: name.clone(),
        file: path.to_owned(),
        key: key.to_owned(),
    };
    let mut wanted = vec![own(&slack.default_channel, "slack.default_channel")];
    wanted.extend(config.ops.iter().map(|ops| own(&ops.channel, "ops.channel")));
    let fallback = slack.fallback_channel.iter();
    wanted.extend(fallback.map(|name| own(name, "slack.fallback_channel")));
    for rule in rules {
        // A rule that names no channel has the default one, which is there already.
        let named = rule.channels.iter().filter(|name| **name != slack.default_channel);
        wanted.extend(named.map(|name| Wanted {
            name: name.clone(),
            file: file_of(config, &rule.name),
            key: "channels".into(),
        }));
    }
    if let (Some(policy), Some(file)) = (policy, &config.delivery.policy) {
        for (receiver, told) in policy.receivers() {
            wanted.extend(told.targets.iter().map(|name| Wanted {
                name: name.to_string(),
                file: file.clone(),
                key: format!("receivers.{receiver}.channels"),
            }));
        }
    }
    wanted.retain(|channel| !Target::is_sink(&channel.name));
    wanted
}

/// The ids of the wanted channels by name, as far as they can be found.
async fn look_up(
    path: &Path,
    slack: &SlackConfig,
    client: &Slack,
    wanted: Vec<Wanted>,
    report: &mut Report,
) -> BTreeMap<String, String> {
    let mut ids = BTreeMap::new();
    let mut unknown = Vec::new();
    for channel in wanted {
        match slack.channels.get(&channel.name) {
            Some(id) => drop(ids.insert(channel.name, id.clone())),
            None => unknown.push(channel),
        }
    }
    if unknown.is_empty() {
        return ids;
    }
    let listed = match list(client).await {
        Ok(listed) => listed,
        Err((verdict, detail)) => {
            let message = format!("channels cannot be looked up: {detail}");
            let cure = "give the bot the scope channels:read, or write NAME = \"ID\" under \
                        [slack.channels]";
            let problem = Problem::new(message).file(path).key("slack.channels").cure(cure);
            match verdict {
                Verdict::Credentials => report.problems.push(problem),
                _ => report.unanswered.push(problem),
            }
            return ids;
        }
    };
    for channel in unknown {
        if let Some(id) = listed.get(&channel.name) {
            ids.insert(channel.name, id.clone());
            continue;
        }
        let cure = match nearest(&channel.name, listed.keys().map(String::as_str)) {
            Some(near) => format!("did you mean \"{near}\"?"),
            None => "create it; if it is private, invite the bot and write its id under \
                     [slack.channels]"
                .into(),
        };
        let message = format!("there is no public channel `{}`", channel.name);
        report.problems.push(Problem::new(message).file(&channel.file).key(channel.key).cure(cure));
    }
    ids
}

/// All public channels, id by name.
async fn list(client: &Slack) -> Result<BTreeMap<String, String>, (Verdict, String)> {
    let mut listed = BTreeMap::new();
    let mut cursor = String::new();
    for _ in 0..LIST_PAGES_MAX {
        let asked = client.channels(&cursor).await;
        let verdict = asked.verdict();
        let Some(page) = asked.value else { return Err((verdict, asked.detail)) };
        listed.extend(page.items.into_iter().map(|channel| (channel.name, channel.id)));
        match page.next {
            Some(next) => cursor = next,
            None => break,
        }
    }
    Ok(listed)
}

/// Whether each channel's history can be read: else an unclear answer of Slack cannot be cleared.
async fn read_back(
    path: &Path,
    client: &Slack,
    ids: &BTreeMap<String, String>,
    report: &mut Report,
) {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    let oldest = format!("{}.000000", now.as_secs());
    let mut readable = Vec::new();
    for (name, id) in ids.iter().take(HISTORY_CHANNELS_MAX) {
        let asked = client.history(id, &oldest, "").await;
        match (asked.verdict(), asked.code()) {
            (Verdict::Sent, _) => readable.push(format!("#{name}")),
            (_, Some("channel_not_found")) => {
                let message = format!("there is no channel {id} that the bot can see");
                let cure = "check the id, and invite the bot if the channel is private";
                let key = format!("slack.channels.{name}");
                report.problems.push(Problem::new(message).file(path).key(key).cure(cure));
            }
            (_, Some("not_in_channel")) => {
                let message = format!("the bot is not in #{name}");
                let cure =
                    format!("write /invite @BOT into #{name}, or its messages may be refused");
                report.notes.push(Problem::new(message).file(path).key("slack").cure(cure));
            }
            (Verdict::Credentials, _) => {
                report.notes.push(cannot_read_back(path, &asked));
                return;
            }
            _ => {
                let message = format!("the history of #{name} was not told: {}", asked.detail);
                report.unanswered.push(Problem::new(message).file(path).key("slack"));
            }
        }
    }
    if !readable.is_empty() {
        report.passed.push(format!("channels that can be read back: {}", readable.join(", ")));
    }
}

fn cannot_read_back<T>(path: &Path, asked: &Asked<T>) -> Problem {
    Problem::new(format!("no channel's history can be read: {}", asked.detail))
        .file(path)
        .key("slack")
        .cure(
            "give the bot the scope channels:history (groups:history for private ones), or what \
             `on_ambiguous` says is done whenever Slack gives no clear answer",
        )
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Environment;
    use crate::demo::slack::{Options, SlackStandIn};

    /// What is found with a stand-in, the token and lines under `[slack]`.
    async fn found(slack: &SlackStandIn, token: &str, lines: &str) -> Report {
        let text = format!(
            "[kafka]\nbootstrap_servers = \"k:1\"\n[slack]\ntoken_env = \"T\"\napi_url = \"{}\"\n{lines}\n",
            slack.api_url()
        );
        let path = Path::new("firebell.toml");
        let config = Config::parse(path, &text, &Environment::of("h", 1, [("T", token)])).unwrap();
        let mut report = Report::default();
        check(path, &config, (&[], None), &mut report).await;
        report
    }

    fn shown(problems: &[Problem]) -> Vec<String> {
        problems.iter().map(ToString::to_string).collect()
    }

    const TOKEN: &str = "xoxb-stand-in";

    #[tokio::test]
    async fn a_good_token_and_channel_pass() {
        let slack = SlackStandIn::start(Options::default()).await.unwrap();
        let report = found(&slack, TOKEN, "default_channel = \"general\"").await;
        assert!(report.problems.is_empty() && report.unanswered.is_empty(), "{report:?}");
        assert!(report.passed[0].starts_with("Slack takes the token: "), "{report:?}");
        assert_eq!(report.passed[1], "channels that can be read back: #general");
        assert_eq!(slack.count(), 0, "nothing was posted");
    }

    #[tokio::test]
    async fn a_wrong_token_is_told_without_it() {
        let slack = SlackStandIn::start(Options::default()).await.unwrap();
        let report = found(&slack, "xoxb-SECRET", "default_channel = \"general\"").await;
        assert_eq!(
            shown(&report.problems),
            [
                "firebell.toml: slack.token_env: Slack refuses the token: invalid_auth; take the bot \
              token (xoxb-…) from the app's page in Slack, OAuth & Permissions"
            ]
        );
        assert!(!format!("{report:?}").contains("SECRET"));
    }

    #[tokio::test]
    async fn a_channel_that_does_not_exist_tells_the_nearest() {
        let slack = SlackStandIn::start(Options::default()).await.unwrap();
        let lines = "default_channel = \"genral\"\n[ops]\nchannel = \"firebell-ops\"\n\
                     [slack.channels]\nfirebell-ops = \"C999999999\"";
        let report = found(&slack, TOKEN, lines).await;
        assert_eq!(
            shown(&report.problems),
            [
                "firebell.toml: slack.default_channel: there is no public channel `genral`; did you mean \"general\"?",
                "firebell.toml: slack.channels.firebell-ops: there is no channel C999999999 that the bot can see; check the id, and invite the bot if the channel is private",
            ]
        );
    }

    #[tokio::test]
    async fn a_channel_of_the_policy_that_does_not_exist_is_found() {
        let slack = SlackStandIn::start(Options::default()).await.unwrap();
        let text = format!(
            "[kafka]\nbootstrap_servers = \"k:1\"\n[slack]\ntoken_env = \"T\"\napi_url = \"{}\"\n\
             default_channel = \"general\"\n[delivery]\npolicy = \"policy.toml\"\n",
            slack.api_url()
        );
        let path = Path::new("firebell.toml");
        let config = Config::parse(path, &text, &Environment::of("h", 1, [("T", TOKEN)])).unwrap();
        let text = "[receivers.all]\nchannels = [\"general\", \"genral\"]\n";
        let policy = Policy::parse(Path::new("policy.toml"), text).unwrap();
        let mut report = Report::default();
        check(path, &config, (&[], Some(&policy)), &mut report).await;
        assert_eq!(
            shown(&report.problems),
            [
                "policy.toml: receivers.all.channels: there is no public channel `genral`; did you mean \"general\"?"
            ]
        );
    }

    #[tokio::test]
    async fn a_history_that_cannot_be_read_is_a_note() {
        let slack = SlackStandIn::start(Options { history: false, ..Options::default() }).await;
        let report = found(&slack.unwrap(), TOKEN, "default_channel = \"general\"").await;
        assert!(report.problems.is_empty(), "{report:?}");
        assert!(report.notes[0].to_string().contains("scope channels:history"), "{report:?}");
    }

    #[tokio::test]
    async fn a_slack_that_does_not_answer_is_no_problem_of_the_configuration() {
        let lines = "default_channel = \"general\"";
        let text = format!(
            "[kafka]\nbootstrap_servers = \"k:1\"\n[slack]\ntoken_env = \"T\"\napi_url = \"http://127.0.0.1:1/\"\n{lines}\n"
        );
        let path = Path::new("firebell.toml");
        let config = Config::parse(path, &text, &Environment::of("h", 1, [("T", TOKEN)])).unwrap();
        let mut report = Report::default();
        check(path, &config, (&[], None), &mut report).await;
        assert!(report.problems.is_empty(), "{report:?}");
        assert!(
            report.unanswered[0]
                .to_string()
                .starts_with("firebell.toml: slack.api_url: no answer from http://127.0.0.1:1/: "),
            "{report:?}"
        );
    }
}
