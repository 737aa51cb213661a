"use strict";
// Slack's Block Kit as nodes, as far as this host uses it and a little more. What it says is
// untrusted: it only ever becomes a text node. A link's address must be http(s).

const EMOJI = { white_check_mark: "✅", warning: "⚠️", rotating_light: "🚨", bell: "🔔", fire: "🔥", x: "❌" };
const STYLES = { bold: "strong", italic: "em", strike: "s", code: "code" };

function make(tag, className, ...children) {
  const made = document.createElement(tag);
  if (className) made.className = className;
  made.append(...children);
  return made;
}

const said = (value) => (typeof value === "string" ? value : "");
const listed = (value) => (Array.isArray(value) ? value : []);

function styled(node, style) {
  for (const [name, tag] of Object.entries(STYLES)) if (style?.[name] === true) node = make(tag, "", node);
  return node;
}

function link(address, label) {
  let url = null;
  try { url = new URL(address); } catch { /* shown as text */ }
  if (!url || !["http:", "https:"].includes(url.protocol)) return document.createTextNode(label || address);
  const made = make("a", "", label || address);
  made.href = url.href;
  made.rel = "noopener noreferrer";
  made.target = "_blank";
  return made;
}

function inline(e) {
  switch (e?.type) {
    case "text": return styled(document.createTextNode(said(e.text)), e.style);
    case "link": return styled(link(said(e.url), said(e.text)), e.style);
    case "emoji": return document.createTextNode(EMOJI[e.name] ?? `:${said(e.name)}:`);
    case "broadcast": return make("span", "mention", `@${said(e.range)}`);
    case "user": return make("span", "mention", `@${said(e.user_id)}`);
    case "usergroup": return make("span", "mention", `@${said(e.usergroup_id)}`);
    case "channel": return make("span", "mention", `#${said(e.channel_id)}`);
    case "date": return document.createTextNode(dated(e));
    default: return document.createTextNode(said(e?.fallback) || said(e?.text));
  }
}

function dated(e) {
  const at = new Date(Number(e.timestamp) * 1000);
  return Number.isNaN(at.getTime()) ? said(e.fallback) : at.toLocaleString();
}

function rich(e) {
  switch (e?.type) {
    case "rich_text_preformatted": return make("pre", "", ...listed(e.elements).map(inline));
    case "rich_text_quote": return make("blockquote", "", ...listed(e.elements).map(inline));
    case "rich_text_list": return make("ul", "", ...listed(e.elements).map((item) => make("li", "", ...listed(item?.elements).map(inline))));
    default: return make("p", "", ...listed(e?.elements).map(inline));
  }
}

// `plain_text` is shown as it is. Of `mrkdwn` only the escapes are undone: this host writes no markup.
function words(object) {
  const text = said(object?.text);
  return object?.type === "mrkdwn" ? unescaped(text) : text;
}

function unescaped(text) {
  return text.replaceAll("&lt;", "<").replaceAll("&gt;", ">").replaceAll("&amp;", "&");
}

function block(b) {
  switch (b?.type) {
    case "rich_text": return listed(b.elements).map(rich);
    case "header": return [make("p", "header", make("strong", "", words(b.text)))];
    case "section": {
      const parts = b.text ? [make("p", "", words(b.text))] : [];
      const fields = listed(b.fields).map((field) => make("p", "", words(field)));
      return fields.length ? [...parts, make("div", "fields", ...fields)] : parts;
    }
    case "context": return [make("p", "context", listed(b.elements).map(words).join("  "))];
    case "divider": return [make("hr")];
    default: return [make("p", "", `[${said(b?.type) || "block"}]`)];
  }
}

// A message's body: its blocks, or its text where it has none.
function rendered(post) {
  const blocks = listed(post.blocks).flatMap(block);
  return blocks.length ? blocks : [make("p", "", unescaped(said(post.text)))];
}
