//! The telling of a group: its message, what is news in the thread, that it is open still, its end.

use std::collections::{BTreeMap, HashSet};
use std::time::Duration;

use super::{Courier, Job, lines, milliseconds};
use crate::delivery::attempt::Outcome;
use crate::delivery::attempt::tally::Changed;
use crate::delivery::blocks::group_reply;
use crate::delivery::blocks::groups::Saying;
use crate::delivery::common::{Stopped, now_ms};
use crate::delivery::ports::Ports;
use crate::group::{Group, Lines, OVER, REPEAT, RULE, Said, Stands};
use crate::history::What;
use crate::ledger::{Entry as Known, State};
use crate::notification::{AlertId, Severity};

/// What became of telling a group.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::delivery) enum GroupTelling {
    /// Its message says what the ledger has.
    Told {
        /// When there is more to do without news, milliseconds since the Unix epoch; `None` = never.
        next_ms: Option<i64>,
        /// How bad it is.
        worst: Severity,
    },
    /// Not now.
    Later,
    /// Its message stands and may say something old.
    Again,
    /// It is over.
    Closed,
}

/// A group that is to be told.
struct Now {
    alert: AlertId,
    known: Known,
    group: Group,
    members: Vec<Known>,
    lines: Lines,
    now_ms: i64,
    /// Whether all have ended.
    is_over: bool,
}

impl Now {
    fn saying(&self) -> Saying {
        // Events have no end that could be told.
        if self.is_over && self.lines.count(Stands::Ended) > 0 {
            Saying::Over
        } else {
            Saying::Stands
        }
    }

    /// What the message shows when it is told now.
    fn shows(&self) -> String {
        let over = if self.saying() == Saying::Over { "." } else { "" };
        format!("{}{over}", self.lines.shows())
    }

    fn news(&self) -> Lines {
        self.lines.news(self.group.next_turn())
    }

    /// Whether the telling that comes next has somebody's news, told already or not.
    fn has_turn(&self) -> bool {
        let turn = Some(self.group.next_turn());
        self.members.iter().any(|known| known.member.as_ref().is_some_and(|of| of.turn == turn))
    }

    /// How bad it is what somebody waits for: a change that notifies nobody is not urgent.
    fn urgency(&self, saying: Saying) -> Severity {
        let news = self.news();
        match saying {
            Saying::Over => self.lines.worst(),
            _ if news.is_empty() => Severity::Info,
            _ => news.worst(),
        }
    }

    fn is_unsaid(&self) -> bool {
        self.has_turn() || self.group.said.as_ref().is_none_or(|said| said.shows != self.shows())
    }
}

impl<P: Ports> Courier<P> {
    /// Whether telling a group is a post: its message is not there, or cannot be changed.
    pub(in crate::delivery) fn is_group_post(&self, group: &AlertId) -> bool {
        let Some(known) = self.book.group(group, &self.channel) else { return false };
        let is_told = known.group.is_some_and(|group| group.said.is_some());
        let is_fixed = known.place.is_none() || !self.can_change();
        is_fixed && (is_told || self.is_group_untold(group))
    }

    /// Whether telling a group is a post as well, beside the change of its message: a reply that tells
    /// its news, its end, or that it is open still.
    pub(in crate::delivery) fn has_group_reply(&self, group: &AlertId) -> bool {
        let known = self.book.group(group, &self.channel).and_then(|known| known.group);
        let Some(of) = known.filter(|of| of.said.is_some()) else { return false };
        let (now_ms, next) = (now_ms(), Some(of.next_turn()));
        let is_again = of.again_ms().is_some_and(|at| at <= now_ms);
        let (mut fires, mut has_ended) = (false, false);
        let is_news = |known: &Known| {
            let stands = known.stands();
            (fires, has_ended) =
                (fires || stands == Stands::Fires, has_ended || stands == Stands::Ended);
            let is_news = known.member.as_ref().is_some_and(|of| of.is_news || of.turn == next);
            let is_open = stands != Stands::Ended && is_news;
            is_open && self.suppressed_in_group(known, now_ms).is_none()
        };
        let is_news = self.book.any_member(group, is_news);
        is_news || (is_again && fires) || (has_ended && !fires)
    }

    /// Tells of a group what may be told now.
    ///
    /// # Errors
    /// When work on the partition ends before.
    pub(in crate::delivery) async fn tell_group(
        &mut self,
        alert: &AlertId,
    ) -> Result<GroupTelling, Stopped> {
        let Some(known) = self.book.group(alert, &self.channel).filter(Known::is_open_group) else {
            return Ok(GroupTelling::Closed);
        };
        let Some(group) = known.group.clone() else { return Ok(GroupTelling::Closed) };
        let now_ms = now_ms();
        let may_tell = now_ms >= group.due_ms(self.least_ms());
        if may_tell {
            self.prepare(alert, &group, now_ms).await?;
        }
        let mut now = self.now((*alert, known, group), now_ms);
        if now.lines.is_empty() && now.is_over && may_tell {
            return self.close_group(&now).await;
        }
        if may_tell && !now.lines.is_empty() && now.is_unsaid() {
            match self.say(&mut now).await? {
                GroupTelling::Told { .. } => {}
                other => return Ok(other),
            }
        }
        if now.is_over && may_tell {
            return self.close_group(&now).await;
        }
        self.say_again(&mut now).await?;
        if now.group.said.is_some() {
            // What another life may have said was looked up.
            self.inherited.remove(alert);
        }
        // What is held counts as well: it may be told any moment.
        let worst = self.worst_of_group(alert);
        Ok(GroupTelling::Told { next_ms: self.next_ms(&now), worst })
    }

    fn now(&self, (alert, known, group): (AlertId, Known, Group), now_ms: i64) -> Now {
        let members = self.book.members(&alert);
        let lines = lines(&members, self.book.folded(&alert));
        let waits =
            |known: &Known| known.is_held() || known.member.as_ref().is_some_and(|of| of.is_news);
        let is_calm = !members.iter().any(waits) && lines.count(Stands::Fires) == 0;
        // What is an event may have company for a while.
        let has_ended = lines.count(Stands::Ended) > 0 || lines.is_empty();
        let is_told = group.said.as_ref().is_some_and(|said| said.shows == lines.shows());
        let is_over = is_calm && (has_ended || is_told);
        Now { alert, known, group, members, lines, now_ms, is_over }
    }

    /// A message is not changed more often.
    fn least_ms(&self) -> i64 {
        milliseconds(self.common.patience.edits)
    }

    /// Writes down what is told next: whose news, and who is not told since it is silenced, inhibited or
    /// muted. After a crash nothing is added to what was written down before it.
    async fn prepare(&self, alert: &AlertId, group: &Group, now_ms: i64) -> Result<(), Stopped> {
        let (members, turn) = (self.book.members(alert), group.next_turn());
        let turn_of = |known: &Known| known.member.as_ref().and_then(|member| member.turn);
        if members.iter().any(|known| turn_of(known) == Some(turn)) {
            return Ok(());
        }
        let is_news = |known: &Known| known.member.as_ref().is_some_and(|member| member.is_news);
        let (mut changed, mut gone) = (Vec::new(), Vec::new());
        let mut tells = group.said.is_some();
        for known in members.into_iter().filter(is_news) {
            let reason = self.suppressed_in_group(&known, now_ms);
            match (known.stands(), turn_of(&known), reason) {
                (Stands::Ended, None, None) => gone.push(known),
                (Stands::Ended, Some(_), _) | (_, Some(_), Some(_)) => {
                    changed.push(said(known, None))
                }
                (Stands::Ended | Stands::Event, None, Some(reason)) => {
                    self.count_suppressed(&reason);
                    changed.push(self.untold_member(known, &reason.to_string()));
                }
                (Stands::Fires, None, Some(reason)) => {
                    let why = Some(reason.to_string());
                    if !known.is_held() || known.why != why {
                        self.count_suppressed(&reason);
                        let held = Known { state: State::Suppressed, why, ..known };
                        self.note_member(&held, What::Waits { why: reason.to_string() });
                        changed.push(held);
                    }
                }
                (_, _, None) => {
                    tells = true;
                    if known.is_held() {
                        self.note_member(&known, What::ended(Outcome::Grouped.as_str(), ""));
                    }
                    changed.push(said(known, Some(turn)));
                }
            }
        }
        // What came and went is told only beside others.
        changed.extend(gone.into_iter().map(|known| match tells {
            true => said(known, Some(turn)),
            false => self.untold_member(known, "it ended before its group was told"),
        }));
        let stamp = |known| self.book.note(Known { updated_ms: now_ms, ..known });
        self.keep_all(changed.into_iter().map(stamp).collect()).await
    }

    /// An alert of a group that will never be told.
    pub(super) fn untold_member(&self, known: Known, why: &str) -> Known {
        self.end_member_untold(&known, why);
        let known = said(known, None);
        Known { state: State::Suppressed, labels: None, why: Some(why.to_owned()), ..known }
    }

    /// Posts or changes the message, and says in its thread what is news.
    async fn say(&mut self, now: &mut Now) -> Result<GroupTelling, Stopped> {
        let saying = now.saying();
        let intent = self.intent_of_group(&now.group, RULE, 0);
        let told = now.lines.told();
        let job = self.group_job((&now.alert, &now.group), &told, (saying, intent));
        let is_notified = match now.known.place.clone().filter(|_| self.can_change()) {
            Some(place) => {
                let manner = (now.urgency(saying), saying == Saying::Over);
                match self.change_told(&job, &now.known, &place, manner).await? {
                    Changed::Later => return Ok(GroupTelling::Later),
                    Changed::Posted => true,
                    // What was posted and not written down as said has no news beside its own.
                    Changed::Done if now.group.said.is_some() => self.say_news(now, saying).await?,
                    Changed::Done => true,
                }
            }
            None => {
                let outcome = self.post(&job, Some(&now.known)).await?;
                self.tell(&job.entry, outcome, "");
                if outcome == Outcome::Found {
                    return Ok(GroupTelling::Again);
                }
                true
            }
        };
        let before = now.group.said.as_ref();
        let turn =
            if now.has_turn() { now.group.next_turn() } else { before.map_or(0, |b| b.turn) };
        let told_ms = now_ms();
        let notified_ms = before.filter(|_| !is_notified).map_or(told_ms, |said| said.notified_ms);
        let said = Said { turn, shows: now.shows(), told_ms, notified_ms };
        self.change_group(now, |group| group.said = Some(said)).await?;
        self.fold_over(now, &told).await?;
        Ok(GroupTelling::Told { next_ms: None, worst: now.lines.worst() })
    }

    /// Writes down of alerts that are over, and whose message only counts them, that this is all that is
    /// kept of them for the group.
    async fn fold_over(&self, now: &Now, told: &Lines) -> Result<(), Stopped> {
        let shown: HashSet<AlertId> = told.iter().map(|line| line.alert).collect();
        let is_counted = |known: &&Known| {
            let is_told = known.member.as_ref().is_some_and(|of| of.turn.is_some() && !of.is_news);
            let is_over = known.stands() != Stands::Fires && known.state != State::Suppressed;
            is_told && is_over && !shown.contains(&known.alert)
        };
        let fold = |known: &Known| {
            let mut known = known.clone();
            if let Some(member) = &mut known.member {
                (member.is_folded, member.labels) = (true, BTreeMap::new());
            }
            self.book.note(known)
        };
        self.keep_all(now.members.iter().filter(is_counted).map(fold).collect()).await
    }

    /// Says in the thread what is news; true = somebody was notified.
    async fn say_news(&mut self, now: &Now, saying: Saying) -> Result<bool, Stopped> {
        let mut is_notified = false;
        let news = now.news();
        if !news.is_empty() {
            let intent = self.intent_of_group(&now.group, RULE, now.group.next_turn());
            let job = self.group_job((&now.alert, &now.group), &news, (Saying::News, intent));
            is_notified |= self.reply_about(&job, now, self.common.broadcast_worsening).await?;
        }
        let is_news = |known: &Known| self.suppressed_in_group(known, now.now_ms).is_none();
        if saying == Saying::Over && now.members.iter().any(is_news) {
            let intent = self.intent_of_group(&now.group, OVER, 0);
            let lines = now.lines.told();
            let job = self.group_job((&now.alert, &now.group), &lines, (Saying::Over, intent));
            let told = self.reply_about(&job, now, false).await;
            // What was said before it is written down after it.
            is_notified |= told.map_err(|of| Stopped { unclear: of.unclear || is_notified })?;
        }
        Ok(is_notified)
    }

    /// Tells a group again that is open still and of which nobody was notified for long: in its thread,
    /// shown in the channel.
    async fn say_again(&mut self, now: &mut Now) -> Result<(), Stopped> {
        let Some(said) = now.group.said.clone() else { return Ok(()) };
        if now.group.again_ms().is_none_or(|at| now.now_ms < at) {
            return Ok(());
        }
        let firing = now.lines.firing();
        let is_told = |known: &Known| {
            known.stands() == Stands::Fires && self.suppressed_in_group(known, now.now_ms).is_none()
        };
        if firing.is_empty() || !now.members.iter().any(is_told) {
            return Ok(());
        }
        // It names what was told last: so it is said once, whatever crashes, until something is told.
        let number = u32::try_from(said.notified_ms / 1_000).unwrap_or(u32::MAX);
        let intent = self.intent_of_group(&now.group, REPEAT, number);
        let job = self.group_job((&now.alert, &now.group), &firing, (Saying::Again, intent));
        if self.can_change() {
            self.reply_about(&job, now, true).await?;
        } else {
            let outcome = self.post(&job, Some(&now.known)).await?;
            self.tell(&job.entry, outcome, "");
        }
        let said = Said { notified_ms: now_ms(), ..said };
        self.change_group(now, |group| group.said = Some(said)).await
    }

    async fn reply_about(
        &mut self,
        job: &Job,
        now: &Now,
        broadcast: bool,
    ) -> Result<bool, Stopped> {
        let Some(known) = self.book.group(&now.alert, &self.channel) else { return Ok(false) };
        let Some(place) = known.place.clone() else { return Ok(false) };
        let diverted = job.as_it_went(&known);
        let job = diverted.as_ref().unwrap_or(job);
        let manners = self.common.manners.clone();
        let form = |is_plain| group_reply(&job.entry, &manners, is_plain);
        self.say_in_thread(job, &place, broadcast, &form).await
    }

    async fn close_group(&mut self, now: &Now) -> Result<GroupTelling, Stopped> {
        self.inherited.remove(&now.alert);
        self.note_closed(&now.alert).await?;
        Ok(GroupTelling::Closed)
    }

    async fn change_group(
        &self,
        now: &mut Now,
        change: impl FnOnce(&mut Group),
    ) -> Result<(), Stopped> {
        change(&mut now.group);
        let Some(known) = self.book.group(&now.alert, &self.channel) else { return Ok(()) };
        let known = Known { group: Some(now.group.clone()), updated_ms: now_ms(), ..known };
        now.known = known.clone();
        self.common.keep(self.book.note(known), &self.ending).await
    }

    /// When there is more to do without news.
    fn next_ms(&self, now: &Now) -> Option<i64> {
        let (due, soon) = (now.group.due_ms(self.least_ms()), self.look_ms(now.now_ms));
        let is_held = now.members.iter().any(Known::is_held);
        let waits = now.members.iter().filter(|known| !known.is_held());
        let mut is_news = waits.filter_map(|known| Some(known.member.as_ref()?.is_news));
        let is_open = now.lines.count(Stands::Fires) > 0;
        // An event's group closes when nothing came for a while.
        let is_due = now.is_unsaid() || is_news.any(|is| is) || !is_open && !is_held;
        let again = now.group.again_ms().filter(|_| is_open).map(|at| at.max(soon));
        let nexts = [is_due.then_some(due.max(soon)), is_held.then_some(due.max(soon)), again];
        nexts.into_iter().flatten().min()
    }

    fn look_ms(&self, now_ms: i64) -> i64 {
        let look: Duration = self.common.patience.suppressed;
        now_ms.saturating_add(milliseconds(look))
    }
}

/// An alert of a group whose news is told with a telling, or `None` = with none.
fn said(mut known: Known, turn: Option<u32>) -> Known {
    if let Some(member) = &mut known.member {
        member.is_news = false;
        member.turn = turn.or(member.turn);
    }
    if turn.is_some() && known.is_held() {
        return Known { state: State::Open, why: None, ..known };
    }
    known
}
