"use strict";
// Asks twice a second what is new and shows it beside the host's counters. `rendered` and `make` are
// in blocks.js.

const INTERVAL_MS = 500;
const LOST_MS = 3000;
// As many as the host keeps.
const MESSAGES_MAX = 200;
const LINES_MAX = 15;
const ORDINARY_MAX = 3;
const SPARK_POINTS = 60;
const ALL = "all";
const TIME = { hour: "2-digit", minute: "2-digit", second: "2-digit" };

const at = (id) => document.getElementById(id);
const whole = new Intl.NumberFormat("en", { maximumFractionDigits: 0 });
const short = new Intl.NumberFormat("en", { notation: "compact", maximumFractionDigits: 1 });
const count = (n) => (n < 100000 ? whole : short).format(n);

function duration(seconds) {
  if (!Number.isFinite(seconds)) return "–";
  if (seconds < 1) return `${(seconds * 1e3).toFixed(seconds < 0.01 ? 1 : 0)} ms`;
  return `${seconds.toFixed(1)} s`;
}

// Messages, by channel and ts, in the order in which they came.
const shown = new Map();
let seen = { revision: 0, line: 0 };
let selected = ALL;

const list = at("messages");
const atEnd = () => list.scrollHeight - list.scrollTop - list.clientHeight < 48;

function toEnd() {
  list.scrollTop = list.scrollHeight;
  at("newest").hidden = true;
}

function avatar() {
  const svg = document.createElementNS("http://www.w3.org/2000/svg", "svg");
  svg.setAttribute("viewBox", "0 0 24 24");
  svg.setAttribute("class", "avatar");
  svg.setAttribute("aria-hidden", "true");
  const path = document.createElementNS("http://www.w3.org/2000/svg", "path");
  path.setAttribute("d", "M12 2a1.5 1.5 0 0 0-1.5 1.6A6.6 6.6 0 0 0 5.5 10v5L3 18v1h18v-1l-2.5-3v-5a6.6 6.6 0 0 0-5-6.4A1.5 1.5 0 0 0 12 2Zm-2.6 18.2a2.7 2.7 0 0 0 5.2 0Z");
  svg.append(path);
  return svg;
}

function item(post) {
  const time = make("time", "", new Date(Number(post.ts) * 1000).toLocaleTimeString([], TIME));
  const head = make("div", "head", make("b", "", "Firebell"), make("span", "app", "APP"), time);
  if (selected === ALL) head.append(make("span", "channel", `#${post.channel}`));
  const body = make("div", "body", ...rendered(post));
  if (post.edits > 0) body.append(make("span", "edited", "(edited)"));
  const made = make("li", "message", avatar(), head, body);
  made.hidden = selected !== ALL && selected !== post.channel;
  return made;
}

function showPosts(posts) {
  if (posts.length === 0) return;
  const follow = atEnd();
  const first = shown.size === 0;
  if (first) list.replaceChildren();
  for (const post of posts) {
    const key = `${post.channel} ${post.ts}`;
    const node = item(post);
    const before = shown.get(key);
    if (before) before.node.replaceWith(node);
    else list.append(node);
    if (!first) node.classList.add("new");
    shown.set(key, { post, node });
  }
  for (const [key, { node }] of shown) {
    if (shown.size <= MESSAGES_MAX) break;
    node.remove();
    shown.delete(key);
  }
  showChannels();
  if (follow) toEnd();
  else at("newest").hidden = false;
}

function showChannels() {
  const counts = new Map();
  for (const { post } of shown.values()) counts.set(post.channel, (counts.get(post.channel) ?? 0) + 1);
  const button = (name, label, n) => {
    const made = make("button", "", label, make("small", "", count(n)));
    made.type = "button";
    made.setAttribute("aria-pressed", String(name === selected));
    made.addEventListener("click", () => select(name));
    return made;
  };
  const names = [...counts.keys()].sort();
  at("channels").replaceChildren(
    button(ALL, "All channels", shown.size),
    ...names.map((name) => button(name, `#${name}`, counts.get(name))),
  );
}

function select(name) {
  selected = name;
  for (const entry of shown.values()) {
    const node = item(entry.post);
    entry.node.replaceWith(node);
    entry.node = node;
  }
  showChannels();
  toEnd();
}

// All that ring and a few others: fifty lines a second cannot be read.
function sample(lines, others) {
  return lines.filter((line) => line.attempt || line.topic !== "SYSLOG" || others-- > 0);
}

function showLines(lines) {
  const target = at("lines");
  const others = target.childElementCount > 0 ? ORDINARY_MAX : LINES_MAX;
  target.append(...sample(lines, others).slice(-LINES_MAX).map(({ topic, text, attempt }) => {
    const told = topic !== "SYSLOG";
    return make("li", attempt ? "attempt" : told ? "told" : "", told ? `${topic} ${text}` : text);
  }));
  while (target.childElementCount > LINES_MAX) target.firstElementChild.remove();
}

const history = [];
let samples = [];

// Records a second over the last two seconds.
function rate(now_ms, records) {
  if (samples.length && records < samples.at(-1).records) samples = [];
  samples.push({ now_ms, records });
  while (samples.length > 2 && now_ms - samples[0].now_ms > 2100) samples.shift();
  const seconds = (now_ms - samples[0].now_ms) / 1000;
  return seconds > 0 ? (records - samples[0].records) / seconds : null;
}

function spark(value) {
  history.push(value);
  if (history.length > SPARK_POINTS) history.shift();
  const most = Math.max(...history, 1) * 1.15;
  const x = (i) => (i * 240) / Math.max(history.length - 1, 1);
  const points = history.map((v, i) => `${x(i).toFixed(1)},${(47 - (44 * v) / most).toFixed(1)}`);
  at("spark-line").setAttribute("d", `M${points.join("L")}`);
  at("spark-area").setAttribute("d", `M${x(0).toFixed(1)},48L${points.join("L")}L240,48Z`);
}

function tile(name, value, small, className) {
  const dd = make("dd", className ?? "", value);
  if (small) dd.append(make("small", "", small));
  return make("div", "", make("dt", "", name), dd);
}

function showStatus(status) {
  const c = status.counts;
  const now = rate(status.now_ms, c.records);
  if (now !== null) {
    at("rate").textContent = count(now);
    spark(now);
  }
  const failures = c.call_failures + c.dead_letters;
  const refused = Object.values(status.delivery.errors).reduce((total, n) => total + n, 0);
  at("tiles").replaceChildren(
    tile("records", count(c.records)),
    tile("matched", count(c.matched)),
    tile("posted", count(c.delivered), c.delivered ? `${duration(c.delivery_seconds / c.delivered)} each` : ""),
    tile("waiting", count(c.outbox_pending), "1/s a channel"),
    tile("failures", count(failures), refused ? `${count(refused)} of Slack` : "", failures ? "bad" : ""),
    tile("lag", count(c.lag_records), "records"),
  );
  const ready = at("ready");
  ready.textContent = status.ready ? "running" : "starting";
  ready.className = `pill ${status.ready ? "good" : "warn"}`;
  at("generation").textContent = `generation ${count(status.generation)}`;
  const row = (tag, ...cells) => make("tr", "", ...cells.map((cell, i) => make(tag, i > 1 ? "number" : "", cell)));
  at("rules").replaceChildren(
    row("th", "rule", "state", "matched", "sent"),
    ...status.rules.map((rule) => row("td", rule.name, rule.state, count(rule.matched), count(rule.notifications))),
  );
  at("problems").replaceChildren(...status.problems.map((problem) => make("li", "", problem.message)));
}

async function ask(address) {
  const answer = await fetch(address, { signal: AbortSignal.timeout(4000) });
  if (!answer.ok) throw new Error(`${answer.status}`);
  return answer.json();
}

async function refresh() {
  let wait = INTERVAL_MS;
  try {
    const [board, status] = await Promise.all([
      ask(`/demo/board?revision=${seen.revision}&line=${seen.line}`),
      ask("/api/status"),
    ]);
    if (board.revision < seen.revision) {
      shown.clear();
    }
    seen = { revision: board.revision, line: board.line };
    at("rules-dir").textContent = board.rules_dir;
    showLines(board.lines);
    showPosts(board.posts);
    showStatus(status);
    at("lost").hidden = true;
  } catch {
    at("lost").hidden = false;
    at("ready").textContent = "ended";
    at("ready").className = "pill bad";
    wait = LOST_MS;
  }
  setTimeout(refresh, wait);
}

list.addEventListener("scroll", () => { if (atEnd()) at("newest").hidden = true; });
at("newest").addEventListener("click", toEnd);
refresh();
