//! Replies in the thread of an alert's message: it got worse, it is over. Nobody is notified of a changed
//! message. Each is told once, as posts are: where nobody can say, the thread is read.

use super::{Courier, Job, Next, Outcome, Tries};
use crate::config::OnAmbiguous;
use crate::delivery::blocks::{Message, Story, reply, reply_plain};
use crate::delivery::common::{Stopped, now_ms};
use crate::delivery::decision::{News, Step, news, step};
use crate::delivery::ports::Ports;
use crate::delivery::readback::{Thread, read_thread};
use crate::delivery::suppression::open_labels;
use crate::delivery::verdict::{Method, is_thread_gone};
use crate::ledger::{Entry as Known, Place, Told};

impl<P: Ports> Courier<P> {
    /// The message that an entry would change.
    pub(in crate::delivery) fn changes(&self, job: &Job) -> Option<Place> {
        match step(&job.entry, job.record.offset, self.book.known(&job.entry).as_ref()) {
            Step::Update(place) => Some(place),
            _ => None,
        }
    }

    /// Whether an entry fires what is open.
    pub(in crate::delivery) fn is_duplicate(&self, job: &Job) -> bool {
        let known = self.book.known(&job.entry);
        step(&job.entry, job.record.offset, known.as_ref()) == Step::Duplicate
    }

    /// Says at once that an alert got worse, where the change of its message must wait.
    ///
    /// # Errors
    /// When work on the partition ends before; the entry stays in the outbox.
    pub(in crate::delivery) async fn warn(&mut self, job: &Job) -> Result<(), Stopped> {
        let Some(known) = self.book.known(&job.entry) else { return Ok(()) };
        let diverted = job.as_it_went(&known);
        let job = diverted.as_ref().unwrap_or(job);
        let (Some(place), Some(news @ News::Worse(_))) = (&known.place, self.news(job, &known))
        else {
            return Ok(());
        };
        if !self.reply(job, &known, place, news).await? {
            return Ok(());
        }
        // Not the offset: the message is still to be changed.
        let severity = job.entry.notification.severity;
        let known = Known {
            labels: open_labels(&job.entry, known.state),
            told: known.told.map(|told| Told { severity, ..told }),
            last_reply: Some(job.entry.intent.to_string()),
            updated_ms: now_ms(),
            ..known
        };
        self.common.keep(self.book.note(known), &self.ending).await
    }

    /// A message was changed: what is news is said in its thread, then both are noted.
    pub(super) async fn changed(
        &mut self,
        job: &Job,
        known: Option<&Known>,
        place: &Place,
    ) -> Result<Outcome, Stopped> {
        let news = known.and_then(|known| Some((known, self.news(job, known)?)));
        let replied = match news {
            Some((known, news)) => self.reply(job, known, place, news).await?,
            None => false,
        };
        self.note_reply(job, known, Some(place.clone()), replied).await?;
        Ok(Outcome::Updated)
    }

    /// What an entry has to say in the thread. What is silenced or muted is no news.
    fn news(&self, job: &Job, known: &Known) -> Option<News> {
        let news = news(&job.entry, job.record.offset, known)?;
        self.common.suppression.of(&job.entry, now_ms()).is_none().then_some(news)
    }

    /// Replies, once. False = there is no thread to reply in, or Slack will not take it: the change of
    /// the message says the same.
    async fn reply(
        &mut self,
        job: &Job,
        known: &Known,
        place: &Place,
        news: News,
    ) -> Result<bool, Stopped> {
        let broadcast = self.common.broadcast_worsening && matches!(news, News::Worse(_));
        let story = Story {
            opened_by: &known.opened_by,
            opened_ms: known.told.as_ref().map(|told| told.opened_ms),
            ..Story::default()
        };
        let manners = self.common.manners.clone();
        let form = |is_plain| {
            let form = if is_plain { reply_plain } else { reply };
            form(&job.entry, &manners, &story, news)
        };
        self.say_in_thread(job, place, broadcast, &form).await
    }

    /// The same with any message, in its full or its plain form.
    pub(super) async fn say_in_thread(
        &mut self,
        job: &Job,
        place: &Place,
        broadcast: bool,
        form: &(dyn Fn(bool) -> Message + Sync),
    ) -> Result<bool, Stopped> {
        if job.unclear {
            let settled = self.since + self.common.patience.settle;
            self.ending.idle(tokio::time::sleep_until(settled)).await?;
            if let Some(told) = self.look_into_thread(job, place).await? {
                return Ok(told);
            }
        }
        let channel = job.target();
        let ending = self.ending.clone();
        ending.idle(self.ready(channel, job.entry.notification.severity)).await?;
        self.use_up(channel);
        let mut tries = self.tries();
        loop {
            self.ending.idle(self.common.gate.pass(Method::Post)).await?;
            let message = form(tries.plain);
            let asked = self.common.slack.reply(place, &message, broadcast);
            let asked = self.ending.busy(asked).await?;
            if asked.code().is_some_and(is_thread_gone) {
                return Ok(false);
            }
            match self.next(&asked, &mut tries, job) {
                Next::Done => return Ok(true),
                Next::Again => self.rest(&asked, &mut tries).await?,
                Next::GiveUp(refusal) => {
                    let intent = &job.entry.intent;
                    tracing::warn!(%intent, "a reply is given up: {}", refusal.message);
                    return Ok(false);
                }
                Next::Unclear | Next::Repost => {
                    // From here on a stop leaves behind a reply that may have been posted.
                    let looked = self.look_again_into_thread(job, place, &mut tries).await;
                    let looked = looked.map_err(|_| Stopped { unclear: true })?;
                    if let Some(told) = looked {
                        return Ok(told);
                    }
                }
            }
        }
    }

    async fn look_again_into_thread(
        &self,
        job: &Job,
        place: &Place,
        tries: &mut Tries,
    ) -> Result<Option<bool>, Stopped> {
        let wait = tries.backoff.failed().max(self.common.patience.settle);
        self.ending.idle(tokio::time::sleep(wait)).await?;
        self.look_into_thread(job, place).await
    }

    /// Whether a reply is there; `None` = it is to be told.
    async fn look_into_thread(&self, job: &Job, place: &Place) -> Result<Option<bool>, Stopped> {
        let severity = job.entry.notification.severity;
        let policy = self.common.on_ambiguous.of(severity);
        let (decision, told) = match read_thread(&self.common, place, &self.ending).await? {
            Thread::Read(told) if told.contains(&job.entry.intent.to_string()) => {
                ("found", Some(true))
            }
            Thread::Read(_) => ("absent", None),
            Thread::Gone => ("absent", Some(false)),
            Thread::Unreadable(why) => {
                let channel = &job.entry.channel;
                tracing::warn!(channel, why, "the thread of a message cannot be read");
                (policy.as_str(), (policy == OnAmbiguous::Drop).then_some(false))
            }
        };
        self.common.metrics.slack_unclear(severity.as_str(), decision);
        Ok(told)
    }
}
