//! What an answer of Slack means: one table, from answer to decision.
//!
//! Pure. Who asks what (`slack.rs`) and what is then done (`attempt.rs`) are elsewhere.
//! The codes are those of Slack's reference for `chat.postMessage`, `chat.update` and incoming
//! webhooks, and some that were only seen live.

use std::time::Duration;

/// What was asked of Slack.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Method {
    /// `chat.postMessage`
    Post,
    /// `chat.update`
    Update,
    /// `conversations.history` and `conversations.replies`
    History,
    /// `conversations.list`
    List,
    /// `auth.test`
    Auth,
    /// An incoming webhook
    Webhook,
}

impl Method {
    /// The word for people.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Post => "post",
            Self::Update => "update",
            Self::History => "read the history",
            Self::List => "list the channels",
            Self::Auth => "test the token",
            Self::Webhook => "post by webhook",
        }
    }
}

/// What came back.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Reply {
    /// An HTTP answer.
    Answer {
        /// The HTTP status.
        status: u16,
        /// Its body.
        body: Body,
        /// The header `Retry-After`.
        retry_after: Option<Duration>,
    },
    /// No connection could be made: nothing was sent.
    NotSent,
    /// Who answered has a certificate that is not trusted: nothing was sent.
    Untrusted,
    /// The request was, or may have been, sent; no whole answer came (timeout, reset).
    Broken,
}

/// What an answer's body says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Body {
    /// `"ok": true`, or a webhook's `ok`.
    Ok,
    /// `"ok": false` with this code, or a webhook's word.
    Code(String),
    /// Neither: a proxy's page, a cut answer, nothing.
    Unreadable,
}

/// What is to be done about an answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict {
    /// Slack has it.
    Sent,
    /// Too fast: wait, then the same again. No attempt is counted.
    Throttled(Option<Duration>),
    /// The workspace sends too much altogether: wait long, then the same again. No attempt is counted.
    WorkspaceLimit(Option<Duration>),
    /// Slack has it not, and may take it later.
    RetryLater,
    /// Slack may have it: look before the next attempt.
    Ambiguous,
    /// Slack will never take this message in this form.
    PermanentMessage,
    /// Slack will take nothing for this channel.
    PermanentChannel,
    /// Slack does not take anything from us until an operator helps.
    Credentials,
    /// The message cannot be changed; post it anew.
    Repost,
    /// A code that is in no list: some attempts, then as [`Verdict::PermanentMessage`].
    Unknown,
}

impl Verdict {
    /// The word for logs and the label `class` of metrics.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Sent => "sent",
            Self::Throttled(_) => "throttled",
            Self::WorkspaceLimit(_) => "workspace_limit",
            Self::RetryLater => "transient",
            Self::Ambiguous => "ambiguous",
            Self::PermanentMessage => "message",
            Self::PermanentChannel => "channel",
            Self::Credentials => "credentials",
            Self::Repost => "repost",
            Self::Unknown => "unknown",
        }
    }
}

/// The workspace sends too much altogether.
pub const WORKSPACE_LIMIT: &str = "message_limit_exceeded";

/// What a reply to `method` means.
pub fn verdict(method: Method, reply: &Reply) -> Verdict {
    match reply {
        Reply::NotSent | Reply::Untrusted => Verdict::RetryLater,
        Reply::Broken => Verdict::Ambiguous,
        // A proxy in between may say 429 with any body.
        Reply::Answer { status: 429, body, retry_after } => match body {
            Body::Code(code) if code == WORKSPACE_LIMIT => Verdict::WorkspaceLimit(*retry_after),
            _ => Verdict::Throttled(*retry_after),
        },
        Reply::Answer { body: Body::Code(code), retry_after, status } => {
            match (by_code(method, code, *retry_after), *status) {
                // A 5xx with a code that nobody knows is first of all a 5xx.
                (Verdict::Unknown, 500..) => by_status(*status),
                (verdict, _) => verdict,
            }
        }
        Reply::Answer { status: 200..=299, body: Body::Ok, .. } => Verdict::Sent,
        // Something between us and Slack answered yes: who knows what became of the message.
        Reply::Answer { status: 200..=299, body: Body::Unreadable, .. } => Verdict::Ambiguous,
        Reply::Answer { status, .. } => by_status(*status),
    }
}

/// The decision for an HTTP status without a code that says more. Slack itself answers 200 to what
/// it refuses, so these come from its edge, from a proxy, or from a wrong address.
fn by_status(status: u16) -> Verdict {
    match status {
        401 | 403 | 407 => Verdict::Credentials,
        // Too long in one way or another: the same bytes will not get through.
        413 | 414 | 431 => Verdict::PermanentMessage,
        400 | 409 | 415 | 422 | 451 => Verdict::Unknown,
        429 => Verdict::Throttled(None),
        // 501 and 505: not understood, so not done. 503: Slack's "come back later".
        501 | 503 | 505 => Verdict::RetryLater,
        500.. => Verdict::Ambiguous,
        // Redirections, 404 and 405 of a wrong `slack.api_url`, 408: nobody took it.
        _ => Verdict::RetryLater,
    }
}

/// Whether a code says that there is no thread to reply in: somebody deleted its message, or it is of a
/// kind that has none.
pub fn is_thread_gone(code: &str) -> bool {
    matches!(code, "thread_not_found" | "message_not_found" | "cannot_reply_to_message")
}

fn by_code(method: Method, code: &str, retry_after: Option<Duration>) -> Verdict {
    match code {
        "ratelimited" | "rate_limited" => Verdict::Throttled(retry_after),
        WORKSPACE_LIMIT => Verdict::WorkspaceLimit(retry_after),

        "service_unavailable"
        | "request_timeout"
        | "team_added_to_org"
        | "org_login_required"
        | "external_channel_migrating"
        | "update_failed" => Verdict::RetryLater,

        "fatal_error" | "internal_error" | "rollup_error" => Verdict::Ambiguous,

        "no_text"
        | "invalid_blocks"
        | "invalid_blocks_format"
        | "msg_too_long"
        | "msg_blocks_too_long"
        | "too_many_attachments"
        | "attachment_payload_limit_exceeded"
        | "metadata_too_large"
        | "markdown_text_conflict"
        | "invalid_arg_name"
        | "invalid_array_arg"
        | "invalid_charset"
        | "invalid_form_data"
        | "invalid_post_type"
        | "invalid_json"
        | "json_not_object"
        | "missing_post_type"
        | "invalid_arguments"
        | "invalid_payload"
        | "invalid_attachments" => Verdict::PermanentMessage,
        _ if code.starts_with("invalid_metadata_") => Verdict::PermanentMessage,

        // A message that is gone or closed is no reason to be silent.
        "message_not_found"
        | "cant_update_message"
        | "edit_window_closed"
        | "is_inactive"
        | "block_mismatch"
        | "streaming_state_conflict"
            if method == Method::Update =>
        {
            Verdict::Repost
        }

        "channel_not_found"
        | "not_in_channel"
        | "is_archived"
        | "channel_is_archived"
        | "cannot_reply_to_message"
        | "messages_tab_disabled"
        | "team_not_found"
        | "user_not_found"
        | "action_prohibited"
        | "posting_to_general_channel_denied" => Verdict::PermanentChannel,
        _ if code.starts_with("restricted_action") || code.starts_with("slack_connect_") => {
            Verdict::PermanentChannel
        }

        "not_authed"
        | "invalid_auth"
        | "account_inactive"
        | "token_revoked"
        | "token_expired"
        | "missing_scope"
        | "no_permission"
        | "not_allowed_token_type"
        | "access_denied"
        | "accesslimited"
        | "ekm_access_denied"
        | "enterprise_is_restricted"
        | "two_factor_setup_required"
        | "app_access_restricted"
        | "invalid_token"
        | "no_service"
        | "no_service_id"
        | "no_active_hooks"
        | "team_disabled" => Verdict::Credentials,

        _ => Verdict::Unknown,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use Verdict::{
        Ambiguous, Credentials, PermanentChannel, PermanentMessage, Repost, RetryLater, Sent,
        Throttled, Unknown, WorkspaceLimit,
    };

    fn answer(status: u16, body: Body) -> Reply {
        Reply::Answer { status, body, retry_after: None }
    }

    fn coded(method: Method, code: &str) -> Verdict {
        verdict(method, &answer(200, Body::Code(code.into())))
    }

    #[test]
    fn every_code_of_the_reference_has_its_class() {
        let table: &[(Verdict, &str)] = &[
            (Throttled(None), "ratelimited rate_limited"),
            (WorkspaceLimit(None), "message_limit_exceeded"),
            (
                RetryLater,
                "service_unavailable request_timeout team_added_to_org org_login_required",
            ),
            (Ambiguous, "fatal_error internal_error"),
            (
                PermanentMessage,
                "no_text invalid_blocks invalid_blocks_format msg_too_long msg_blocks_too_long \
                 too_many_attachments attachment_payload_limit_exceeded metadata_too_large \
                 invalid_metadata_format invalid_metadata_schema markdown_text_conflict \
                 invalid_arg_name invalid_array_arg invalid_charset invalid_form_data \
                 invalid_post_type",
            ),
            (
                PermanentChannel,
                "channel_not_found not_in_channel is_archived restricted_action \
                 restricted_action_read_only_channel restricted_action_thread_only_channel \
                 cannot_reply_to_message messages_tab_disabled team_not_found \
                 slack_connect_file_link_sharing_blocked",
            ),
            (
                Credentials,
                "not_authed invalid_auth account_inactive token_revoked token_expired \
                 missing_scope no_permission not_allowed_token_type access_denied accesslimited \
                 ekm_access_denied enterprise_is_restricted two_factor_setup_required \
                 app_access_restricted",
            ),
            (Unknown, "a_code_of_tomorrow message_not_found"),
        ];
        for (expected, codes) in table {
            for code in codes.split_whitespace() {
                assert_eq!(coded(Method::Post, code), *expected, "{code}");
            }
        }
    }

    #[test]
    fn an_update_that_cannot_be_is_posted_anew() {
        for code in [
            "message_not_found",
            "cant_update_message",
            "edit_window_closed",
            "is_inactive",
            "block_mismatch",
            "streaming_state_conflict",
        ] {
            assert_eq!(coded(Method::Update, code), Repost, "{code}");
        }
        for code in ["external_channel_migrating", "update_failed"] {
            assert_eq!(coded(Method::Update, code), RetryLater, "{code}");
        }
        assert_eq!(coded(Method::Update, "msg_too_long"), PermanentMessage);
    }

    #[test]
    fn every_word_of_a_webhook_has_its_class() {
        for (status, word, expected) in [
            (400, "invalid_payload", PermanentMessage),
            (400, "user_not_found", PermanentChannel),
            (400, "no_text", PermanentMessage),
            (400, "too_many_attachments", PermanentMessage),
            (403, "action_prohibited", PermanentChannel),
            (403, "posting_to_general_channel_denied", PermanentChannel),
            (403, "invalid_token", Credentials),
            (404, "channel_not_found", PermanentChannel),
            (404, "no_service", Credentials),
            (404, "no_service_id", Credentials),
            (404, "no_active_hooks", Credentials),
            (403, "team_disabled", Credentials),
            (410, "channel_is_archived", PermanentChannel),
            (500, "rollup_error", Ambiguous),
        ] {
            let reply = answer(status, Body::Code(word.into()));
            assert_eq!(verdict(Method::Webhook, &reply), expected, "{status} {word}");
        }
        assert_eq!(verdict(Method::Webhook, &answer(200, Body::Ok)), Sent);
    }

    #[test]
    fn a_thread_that_is_gone_is_no_reason_to_give_a_channel_up() {
        for code in ["thread_not_found", "message_not_found", "cannot_reply_to_message"] {
            assert!(is_thread_gone(code), "{code}");
        }
        assert!(!is_thread_gone("channel_not_found") && !is_thread_gone("is_archived"));
    }

    #[test]
    fn every_http_status_has_a_decision() {
        for status in 100..=599 {
            let expected = match status {
                200..=299 => Ambiguous,
                401 | 403 | 407 => Credentials,
                413 | 414 | 431 => PermanentMessage,
                400 | 409 | 415 | 422 | 451 => Unknown,
                429 => Throttled(None),
                501 | 503 | 505 => RetryLater,
                500..=599 => Ambiguous,
                _ => RetryLater,
            };
            for method in [Method::Post, Method::Update, Method::Webhook, Method::History] {
                assert_eq!(
                    verdict(method, &answer(status, Body::Unreadable)),
                    expected,
                    "{status}"
                );
            }
            let yes = verdict(Method::Post, &answer(status, Body::Ok));
            let believed = (200..=299).contains(&status);
            assert_eq!(yes == Sent, believed, "a yes with {status}");
            // A code says more than the status it came with, but for 429.
            let code = verdict(Method::Post, &answer(status, Body::Code("not_in_channel".into())));
            let expected = if status == 429 { Throttled(None) } else { PermanentChannel };
            assert_eq!(code, expected, "{status}");
            // An unknown code never hides that a message may have been taken.
            let unknown = verdict(Method::Post, &answer(status, Body::Code("new".into())));
            if status >= 500 {
                assert_eq!(unknown, by_status(status), "{status}");
            }
        }
    }

    #[test]
    fn a_wait_that_slack_names_is_kept() {
        let wait = Duration::from_secs(30);
        for (status, body, expected) in [
            (429, Body::Unreadable, Throttled(Some(wait))),
            (429, Body::Code("ratelimited".into()), Throttled(Some(wait))),
            (200, Body::Code("ratelimited".into()), Throttled(Some(wait))),
            (429, Body::Code("message_limit_exceeded".into()), WorkspaceLimit(Some(wait))),
            (200, Body::Code("message_limit_exceeded".into()), WorkspaceLimit(Some(wait))),
        ] {
            let reply = Reply::Answer { status, body, retry_after: Some(wait) };
            assert_eq!(verdict(Method::Post, &reply), expected);
        }
    }

    #[test]
    fn a_broken_connection_may_have_delivered_and_a_refused_one_has_not() {
        assert_eq!(verdict(Method::Post, &Reply::NotSent), RetryLater);
        assert_eq!(verdict(Method::Post, &Reply::Broken), Ambiguous);
    }
}
