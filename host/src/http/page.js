"use strict";
// Asks for /api/status once a second and shows it. What rules, records and Slack say is untrusted:
// it only ever becomes a text node.

const INTERVAL_MS = 1000;
const SPARK_POINTS = 120;

const at = (id) => document.getElementById(id);
const whole = new Intl.NumberFormat("en", { maximumFractionDigits: 0 });
const short = new Intl.NumberFormat("en", { notation: "compact", maximumFractionDigits: 2 });

function count(n) { return n < 100000 ? whole.format(n) : short.format(n); }

function duration(seconds) {
  if (!Number.isFinite(seconds)) return "–";
  if (seconds === 0) return "0 s";
  if (seconds < 0.001) return `${(seconds * 1e6).toFixed(0)} µs`;
  if (seconds < 1) return `${(seconds * 1e3).toFixed(seconds < 0.01 ? 1 : 0)} ms`;
  if (seconds < 120) return `${seconds.toFixed(1)} s`;
  if (seconds < 7200) return `${(seconds / 60).toFixed(0)} min`;
  return seconds < 172800 ? `${(seconds / 3600).toFixed(0)} h` : `${(seconds / 86400).toFixed(0)} d`;
}

function element(tag, text, className) {
  const made = document.createElement(tag);
  if (text !== undefined && text !== null) made.textContent = String(text);
  if (className) made.className = className;
  return made;
}

function show(id, text, className) {
  const target = at(id);
  target.textContent = text ?? "";
  if (className !== undefined) target.className = className;
  if (target.classList.contains("banner")) target.hidden = !text;
}

function table(id, heads, rows, none) {
  const target = at(id);
  if (rows.length === 0) {
    target.replaceChildren(row([element("td", none, "quiet")]));
    return;
  }
  const cells = heads.map(([text, kind]) => element("th", text, kind));
  target.replaceChildren(row(cells), ...rows.map(row));
}

function row(cells) {
  const made = document.createElement("tr");
  made.append(...cells);
  return made;
}

const number = (text) => element("td", text, "number");

const STATES = { active: "good", shadow: "quiet", paused: "quiet", quarantined: "bad", rejected: "bad" };

function sum(counts) { return Object.values(counts).reduce((total, n) => total + n, 0); }

function words(counts) {
  return Object.entries(counts).map(([word, n]) => `${count(n)} ${word}`).join(", ") || "–";
}

const history = [];
let before = null;

function rates(now) {
  const seconds = before ? (now.now_ms - before.now_ms) / 1000 : 0;
  const same = before && before.started_ms === now.started_ms && seconds > 0;
  return (key) => (same ? Math.max(0, now.counts[key] - before.counts[key]) / seconds : null);
}

function spark(value) {
  history.push(value);
  if (history.length > SPARK_POINTS) history.shift();
  const most = Math.max(...history, 1);
  const x = (i) => ((SPARK_POINTS - history.length + i) * 240) / (SPARK_POINTS - 1);
  const points = history.map((v, i) => `${x(i).toFixed(1)},${(46 - (44 * v) / most).toFixed(1)}`);
  at("spark-line").setAttribute("d", `M${points.join("L")}`);
  at("spark-area").setAttribute("d", `M${x(0).toFixed(1)},48L${points.join("L")}L240,48Z`);
}

function tile(name, value, small, className) {
  const box = document.createElement("div");
  const dd = element("dd", value, className);
  if (small) dd.append(element("small", small));
  box.append(element("dt", name), dd);
  return box;
}

function tiles(c, rate) {
  const per = (key) => (rate(key) === null ? "" : `${count(rate(key))} a second`);
  const mean = (total, n) => (n > 0 ? `${duration(total / n)} on average` : "");
  at("tiles").replaceChildren(
    tile("records", count(c.records), `${count(c.undecodable)} undecodable`),
    tile("matched", count(c.matched), per("matched")),
    tile("calls of rules", count(c.calls), per("calls")),
    tile("failed calls", count(c.call_failures), `${count(c.dead_letters)} dead letters`, c.call_failures ? "bad" : ""),
    tile("lag", count(c.lag_records), `${duration(c.lag_seconds)} behind`, c.lag_seconds > 60 ? "warn" : ""),
    tile("notifications", count(c.notifications), per("notifications")),
    tile("sent", count(c.delivered), mean(c.delivery_seconds, c.delivered)),
    tile("waiting for Slack", count(c.outbox_pending)),
    tile("records written", count(c.emitted)),
    tile("commits", count(c.commits), mean(c.commit_seconds, c.commits)),
    ...(c.canary_age_seconds === null ? [] : [
      tile("canary", duration(c.canary_age_seconds), "since it was last seen", c.canary_age_seconds > 300 ? "bad" : ""),
    ]),
  );
}

// A row of its own, as wide as the table: a long reason makes no column wide, nor is it squeezed.
function note(text, columns) {
  const cell = element("td", undefined, "about-row-above");
  cell.colSpan = columns;
  cell.append(element("div", text, "note"));
  return cell;
}

function rules(list) {
  const number_ = "number";
  const heads = [["rule"], ["state"], ["version"], ["topics"], ["matched", number_], ["calls", number_],
    ["a call", number_], ["failed", number_], ["notified", number_]];
  const rows = list.flatMap((r) => {
    const version = document.createElement("td");
    version.append(element("code", r.version.slice(0, 8) || "–"));
    const failed = sum(r.failures);
    const failures = number(count(failed));
    if (failed) { failures.classList.add("bad"); failures.title = words(r.failures); }
    const cells = [element("td", r.name), element("td", r.state, STATES[r.state]), version, element("td", r.topics.join(", ")),
      number(count(r.matched)), number(count(r.calls)),
      number(r.calls ? duration(r.call_seconds / r.calls) : "–"), failures, number(count(r.notifications))];
    return r.problem ? [cells, [note(r.problem, heads.length)]] : [cells];
  });
  table("rules", heads, rows, "There are no rules: put a component into the rules folder.");
}

function topics(list) {
  const heads = [["topic"], ["records", "number"], ["undecodable", "number"], ["partitions here", "number"],
    ["lag", "number"], ["behind", "number"]];
  const rows = list.map((t) => {
    const lag = t.partitions.reduce((total, p) => total + p.records, 0);
    const behind = t.partitions.reduce((most, p) => Math.max(most, p.seconds), 0);
    const cell = number(count(lag));
    cell.title = t.partitions.map((p) => `partition ${p.partition}: ${p.records}`).join("\n");
    return [element("td", t.name), number(count(t.records)), number(count(t.undecodable)),
      number(t.partitions.length), cell, number(duration(behind))];
  });
  table("topics", heads, rows, "No record was read yet.");
}

function delivery(d) {
  show("delivery", d.paused ? "paused" : d.mode, `pill ${d.paused ? "bad" : d.mode === "off" ? "quiet" : "good"}`);
  const errors = sum(d.errors) ? `Errors so far: ${words(d.errors)}` : "";
  show("paused", d.paused ? `Paused: ${d.paused}` : errors);
  const rows = d.channels.map((c) => [element("td", c.name), element("td", words(c.posts))]);
  table("channels", [["channel"], ["messages"]], rows, "Nothing was sent yet.");
}

function matcher(m) {
  return `${m.name} ${m.isEqual ? "=" : "!"}${m.isRegex ? "~" : m.isEqual ? "" : "="} ${JSON.stringify(m.value)}`;
}

function silences(list) {
  const rows = list.filter((s) => s.status.state !== "expired").map((s) => {
    const id = element("td");
    id.append(element("code", s.id.slice(0, 8)));
    return [element("td", s.matchers.map(matcher).join(", ")), element("td", s.status.state),
      element("td", new Date(s.endsAt).toLocaleString()), element("td", s.createdBy), element("td", s.comment), id];
  });
  table("silences", [["what"], ["state"], ["until"], ["by"], ["why"], ["id"]], rows, "Nothing is silenced.");
}

function problems(list) {
  const items = list.map((p) => {
    const item = element("li");
    const time = new Date(p.at_ms);
    // What is about a file begins with its name.
    const message = p.message.startsWith(p.source) ? p.message.slice(p.source.length) : `  ${p.message}`;
    item.append(element("span", `${time.toLocaleTimeString()}  `, "quiet"), element("b", p.source), message);
    if (p.count > 1) item.append(element("span", `  ${count(p.count)} times`, "quiet"));
    return item;
  });
  at("problems").replaceChildren(...(items.length ? items : [element("li", "None.", "quiet")]));
}

function render(s) {
  const rate = rates(s);
  const perSecond = rate("records");
  if (perSecond !== null) {
    spark(perSecond);
    show("rate", count(perSecond));
  }
  show("ready", s.ready ? "ready" : "not ready", `pill ${s.ready ? "good" : "bad"}`);
  const reasons = s.parts.filter((part) => part.reason).map((part) => element("li", `${part.name}: ${part.reason}`));
  at("reasons").replaceChildren(...reasons);
  at("reasons").hidden = reasons.length === 0;
  show("instance", `${s.group_id} · ${s.instance_id} · up ${duration((s.now_ms - s.started_ms) / 1000)}`);
  show("generation", `generation ${s.generation}`);
  show("version", `version ${s.version}`);
  tiles(s.counts, rate);
  rules(s.rules);
  topics(s.topics);
  delivery(s.delivery);
  problems(s.problems);
  before = s;
}

async function json(path) {
  const answer = await fetch(path, { cache: "no-store", signal: AbortSignal.timeout(5000) });
  return answer.json();
}

async function ask() {
  try {
    render(await json("/api/status"));
    silences(await json("/api/silences"));
    at("lost").hidden = true;
  } catch {
    at("lost").hidden = false;
    show("ready", "no answer", "pill bad");
  }
  setTimeout(ask, INTERVAL_MS);
}

ask();
