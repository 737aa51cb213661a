use super::*;
use crate::delivery::http::CONNECT_TIMEOUT_MAX;
use crate::demo::slack::{Fault, Options, SlackStandIn};

/// One bare request, for the stand-in's own tests: status and JSON.
pub(crate) async fn post_json(url: &str, token: &str, body: Value) -> (u16, Value) {
    let client = client(url, Duration::from_secs(10)).unwrap();
    let request = client.post(url).bearer_auth(token).header(CONTENT_TYPE, JSON);
    let answer = request.body(body.to_string()).send().await.unwrap();
    (answer.status().as_u16(), answer.json().await.unwrap_or(Value::Null))
}

const TOKEN: &str = "xoxb-very-secret-token";

async fn stand_in() -> (SlackStandIn, Slack) {
    let options = Options { token: TOKEN.into(), ..Options::default() };
    let stand_in = SlackStandIn::start(options).await.unwrap();
    let timeout = Duration::from_millis(500);
    let slack = Slack::bot(&stand_in.api_url(), Secret::new(TOKEN), timeout).unwrap();
    (stand_in, slack)
}

fn message(text: &str) -> Message {
    let metadata = json!({
        "event_type": EVENT_TYPE, "event_payload": {"id": "ab", "intent": "T/0/1#r#0"},
    });
    Message { text: text.into(), blocks: None, metadata }
}

#[tokio::test]
async fn a_message_is_posted_changed_and_found_again() {
    let (stand_in, slack) = stand_in().await;
    let posted = slack.post("general", &message("one")).await;
    assert_eq!(posted.verdict(), Verdict::Sent);
    let place = posted.value.flatten().unwrap();
    assert_eq!(slack.update(&place, &message("two")).await.verdict(), Verdict::Sent);
    let messages = stand_in.messages();
    assert_eq!((messages.len(), messages[0].text.as_str(), messages[0].edits), (1, "two", 1));
    for (name, safe) in [
        ("parse", json!("none")),
        ("link_names", json!(false)),
        ("unfurl_links", json!(false)),
        ("unfurl_media", json!(false)),
        ("mrkdwn", json!(false)),
    ] {
        assert_eq!(messages[0].arguments[name], safe, "{name}");
    }
    let page = slack.history(&place.channel_id, "0", "").await.value.unwrap();
    let found = Found { ts: place.ts, alert: "ab".into(), opened_by: "T/0/1#r#0".into() };
    assert_eq!((page.items, page.next), (vec![found], None));
    let channels = slack.channels("").await.value.unwrap();
    assert_eq!(channels.items[0].name, "general");
    assert_eq!(slack.identity().await.value.unwrap().user, "firebell");
}

#[tokio::test]
async fn history_is_read_page_by_page() {
    let (stand_in, slack) = stand_in().await;
    for n in 0..450 {
        let message = Message { text: n.to_string(), ..message("") };
        assert_eq!(slack.post("general", &message).await.verdict(), Verdict::Sent);
    }
    let (mut cursor, mut sizes) = (String::new(), Vec::new());
    loop {
        let page = slack.history("C000000001", "0", &cursor).await.value.unwrap();
        sizes.push(page.items.len());
        let Some(next) = page.next else { break };
        cursor = next;
    }
    assert_eq!((sizes, stand_in.count()), (vec![200, 200, 50], 450));
}

#[tokio::test]
async fn every_fault_comes_back_as_what_it_is() {
    let (stand_in, slack) = stand_in().await;
    for (fault, expected, accepted) in [
        (
            Fault::RateLimited { retry_after: 7 },
            Verdict::Throttled(Some(Duration::from_secs(7))),
            false,
        ),
        (Fault::RatelimitedBody, Verdict::Throttled(None), false),
        (Fault::OkFalse("not_in_channel"), Verdict::PermanentChannel, false),
        (Fault::OkFalseAfterAccept("fatal_error"), Verdict::Ambiguous, true),
        (Fault::StatusBeforeAccept(500), Verdict::Ambiguous, false),
        (Fault::StatusAfterAccept(502), Verdict::Ambiguous, true),
        (Fault::StatusBeforeAccept(503), Verdict::RetryLater, false),
        (Fault::ResetBefore, Verdict::Ambiguous, false),
        (Fault::ResetAfterAccept, Verdict::Ambiguous, true),
        (Fault::Hang, Verdict::Ambiguous, false),
        (Fault::HangAfterAccept, Verdict::Ambiguous, true),
        (Fault::NotJson, Verdict::Ambiguous, false),
        (Fault::NotJsonAfterAccept, Verdict::Ambiguous, true),
        (Fault::Slow(Duration::from_millis(50)), Verdict::Sent, true),
    ] {
        let before = stand_in.count();
        stand_in.fail_next("chat.postMessage", fault.clone());
        let asked = slack.post("general", &message("x")).await;
        assert_eq!(asked.verdict(), expected, "{fault:?}: {}", asked.detail);
        assert_eq!(stand_in.count() - before, usize::from(accepted), "{fault:?}");
    }
    let address = stand_in.address();
    drop(stand_in);
    let nobody =
        Slack::bot(&format!("http://{address}/api/"), Secret::new(TOKEN), CONNECT_TIMEOUT_MAX);
    // The port was just given back: nobody listens there.
    let asked = nobody.unwrap().post("general", &message("x")).await;
    assert_eq!(asked.reply, Reply::NotSent, "{}", asked.detail);
}

#[tokio::test]
async fn no_secret_is_in_what_comes_back() {
    let (stand_in, slack) = stand_in().await;
    let webhook_url = stand_in.webhook_url();
    let timeout = Duration::from_millis(200);
    let webhook = Slack::webhook(Secret::new(&*webhook_url), timeout).unwrap();
    let (secret, token) = ("webhook-stand-in", TOKEN);
    let mut texts = vec![format!("{slack:?} {webhook:?}")];
    for fault in [Fault::ResetBefore, Fault::Hang, Fault::NotJson, Fault::StatusBeforeAccept(500)] {
        stand_in.fail_next("chat.postMessage", fault.clone());
        stand_in.fail_next("webhook", fault);
        texts.push(format!("{:?}", slack.post("general", &message("x")).await));
        texts.push(format!("{:?}", webhook.post("general", &message("x")).await));
    }
    drop(stand_in);
    texts.push(format!("{:?}", slack.post("general", &message("x")).await));
    texts.push(format!("{:?}", webhook.post("general", &message("x")).await));
    for address in
        ["no address webhook-stand-in", "http://webhook-stand-in.invalid/webhook-stand-in"]
    {
        let wrong = Slack::webhook(Secret::new(address), timeout).unwrap();
        texts.push(format!("{:?}", wrong.post("general", &message("x")).await));
    }
    let broken =
        Slack::bot("http://127.0.0.1:1/", Secret::new(format!("{TOKEN}\n")), timeout).unwrap();
    let asked = broken.post("general", &message("x")).await;
    assert_eq!(asked.verdict(), Verdict::Credentials);
    texts.push(format!("{asked:?}"));
    for text in texts {
        assert!(!text.contains(secret) && !text.contains(token), "{text}");
        assert!(!text.contains("/services/"), "{text}");
    }
}

#[tokio::test]
async fn a_webhook_posts_and_its_words_are_understood() {
    let (stand_in, _) = stand_in().await;
    let timeout = Duration::from_millis(500);
    let webhook = Slack::webhook(Secret::new(stand_in.webhook_url()), timeout).unwrap();
    assert_eq!(webhook.post("general", &message("x")).await.verdict(), Verdict::Sent);
    assert_eq!(stand_in.messages()[0].text, "x");
    let wrong = stand_in.webhook_url().replace("webhook-stand-in", "guessed");
    let wrong = Slack::webhook(Secret::new(wrong), timeout).unwrap();
    assert_eq!(wrong.post("general", &message("x")).await.verdict(), Verdict::Credentials);
    stand_in.archive("general");
    let asked = webhook.post("general", &message("x")).await;
    assert_eq!((asked.verdict(), asked.code()), (Verdict::PermanentChannel, Some("is_archived")));
}
