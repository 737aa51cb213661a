use super::fault::Faults;
use super::*;
use crate::delivery::slack::tests::post_json as call;
use serde_json::{Value, json};

#[tokio::test]
async fn messages_are_kept_edited_and_paged() {
    let slack = SlackStandIn::start(Options::default()).await.unwrap();
    let api = |method: &str| format!("{}{method}", slack.api_url());
    let token = "xoxb-stand-in";
    let mut ts = Vec::new();
    for n in 0..5 {
        let metadata = json!({"event_type": "e", "event_payload": {"n": n}});
        let body = json!({"channel": "general", "text": format!("m{n}"), "metadata": metadata});
        let (_, answer) = call(&api("chat.postMessage"), token, body).await;
        assert_eq!(answer["channel"], "C000000001");
        ts.push(answer["ts"].as_str().unwrap().to_owned());
    }
    let edit = json!({"channel": "C000000001", "ts": ts[4], "text": "edited"});
    assert_eq!(call(&api("chat.update"), token, edit).await.1["ok"], true);
    let (mut cursor, mut seen) = (String::new(), Vec::new());
    loop {
        let body = json!({
            "channel": "C000000001", "oldest": ts[0], "limit": 2, "cursor": cursor,
            "include_all_metadata": true,
        });
        let (_, answer) = call(&api("conversations.history"), token, body).await;
        seen.extend(answer["messages"].as_array().unwrap().clone());
        cursor = answer["response_metadata"]["next_cursor"].as_str().unwrap().to_owned();
        if cursor.is_empty() {
            assert_eq!(answer["has_more"], false);
            break;
        }
    }
    let texts: Vec<_> = seen.iter().map(|message| message["text"].as_str().unwrap()).collect();
    assert_eq!(texts, ["edited", "m3", "m2", "m1"]);
    assert_eq!(seen[3]["metadata"]["event_payload"]["n"], 1);
}

#[tokio::test]
async fn it_refuses_as_slack_does() {
    let slack = SlackStandIn::start(Options::default()).await.unwrap();
    let api = |method: &str| format!("{}{method}", slack.api_url());
    let token = "xoxb-stand-in";
    let refused = async |token: &str, method: &str, body: Value| {
        let (status, answer) = call(&api(method), token, body).await;
        assert_eq!((status, &answer["ok"]), (200, &Value::Bool(false)));
        answer["error"].as_str().unwrap().to_owned()
    };
    let post = "chat.postMessage";
    assert_eq!(refused("x", post, json!({})).await, "invalid_auth");
    assert_eq!(refused(token, post, json!({"channel": "x"})).await, "channel_not_found");
    assert_eq!(refused(token, post, json!({"channel": "general"})).await, "no_text");
    let empty = json!([{"type": "section", "text": {"type": "plain_text", "text": ""}}]);
    let body = json!({"channel": "general", "text": "x", "blocks": empty});
    assert_eq!(refused(token, post, body).await, "invalid_blocks");
    let body = json!({"channel": "C000000001", "ts": "1.2", "text": "x"});
    assert_eq!(refused(token, "chat.update", body).await, "message_not_found");
    slack.archive("general");
    assert_eq!(refused(token, post, json!({"channel": "general"})).await, "is_archived");
    slack.set_history(false);
    let body = json!({"channel": "C000000001"});
    assert_eq!(refused(token, "conversations.history", body).await, "missing_scope");
    assert_eq!(slack.count(), 0);
}

#[tokio::test]
async fn it_limits_each_channel_and_fails_on_demand() {
    let options = Options { messages_per_second: Some(0.5), burst: 2, ..Options::default() };
    let slack = SlackStandIn::start(options).await.unwrap();
    slack.fail_next("chat.postMessage", Fault::StatusAfterAccept(500));
    let url = format!("{}chat.postMessage", slack.api_url());
    let mut statuses = Vec::new();
    for _ in 0..3 {
        let body = json!({"channel": "general", "text": "x"});
        statuses.push(call(&url, "xoxb-stand-in", body).await.0);
    }
    assert_eq!(statuses, [500, 200, 429]);
    assert_eq!((slack.count(), slack.requests().len(), slack.faults_left()), (2, 3, 0));
}

#[tokio::test]
async fn a_webhook_answers_in_words_and_knows_its_secret() {
    let slack = SlackStandIn::start(Options::default()).await.unwrap();
    let mut events = slack.subscribe();
    assert_eq!(call(&slack.webhook_url(), "", json!({"text": "hello"})).await.0, 200);
    let Event::Posted(message) = events.recv().await.unwrap() else { panic!("not a post") };
    assert_eq!((message.channel.as_str(), message.text.as_str()), ("general", "hello"));
    let wrong = slack.webhook_url().replace("webhook-stand-in", "guessed");
    assert_eq!(call(&wrong, "", json!({"text": "hello"})).await.0, 403);
    assert!(slack.wait_for(1, Duration::ZERO).await);
}

#[test]
fn random_faults_repeat_with_their_seed() {
    let draw = || {
        let mut faults = Faults::default();
        let kinds = vec![Fault::Hang, Fault::NotJson];
        faults.at_random(Some(RandomFaults {
            seed: 7,
            per_mille: 300,
            methods: vec!["chat.update".into()],
            faults: kinds,
        }));
        assert_eq!(faults.take("chat.postMessage"), None);
        (0..1_000).filter_map(|_| faults.take("chat.update")).collect::<Vec<_>>()
    };
    assert_eq!(draw(), draw());
    assert!((250..350).contains(&draw().len()), "{}", draw().len());
}

#[tokio::test]
async fn it_forgets_what_it_need_not_keep() {
    let slack = SlackStandIn::start(Options { keep: Some(2), ..Options::default() }).await.unwrap();
    let url = format!("{}chat.postMessage", slack.api_url());
    for n in 0..9 {
        let body = json!({"channel": "general", "text": n.to_string()});
        assert_eq!(call(&url, "xoxb-stand-in", body).await.1["ok"], true);
        assert!(slack.count() <= 4 && slack.requests().len() <= 4);
    }
    let texts: Vec<_> = slack.messages().into_iter().map(|message| message.text).collect();
    assert!(texts.len() >= 2 && texts.ends_with(&["7".into(), "8".into()]), "{texts:?}");
}
