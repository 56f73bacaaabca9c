// The live tail: lines of the log as they happen, newest first. What comes from the log is only ever set as text.
"use strict";

(() => {
  const HELD = 500;
  const SCROLLED = 120;
  const STATES = {
    "delivery.accepted": "accepted", "delivery.duplicate": "duplicate", "delivery.rejected": "rejected",
    "delivery.quarantined": "quarantined", "delivery.ignored": "ignored", "delivery.throttled": "throttled",
    "delivery.conflict": "conflict", "task.delivered": "delivered", "task.partial": "partial",
    "task.retry_scheduled": "waiting", "task.dead": "dead", "task.replayed": "replayed", "record.refused": "refused",
    "sink.paused": "paused", "sink.circuit_opened": "open", "sink.circuit_closed": "closed",
  };
  const LEVELS = { warning: "waiting", error: "failed", critical: "failed" };
  // In columns of their own, put first, or of no use to who reads along.
  const SHOWN = ["timestamp", "level", "event", "service", "source", "sink", "event_type", "records", "outcomes", "reason",
    "error", "delivery_id", "hint", "request_id", "task_id", "trace_id", "span_id", "http_status", "client_ip", "body_bytes",
    "authenticated_by", "partner_customer_id"];

  const one = (id) => document.getElementById(id);
  const root = one("live");
  if (!root || !window.EventSource) return;
  const lines = one("live-lines");
  const pause = one("live-pause");
  const fresh = one("live-new");
  const empty = one("live-empty");
  root.hidden = false;

  let held = [];
  let left = 0;
  let paused = false;

  // -- one line -----------------------------------------------------------------------------------------------------

  function element(name, text, className) {
    const made = document.createElement(name);
    if (text !== undefined) made.textContent = text;
    if (className) made.className = className;
    return made;
  }

  function stated(line) {
    const event = String(line.event);
    const word = STATES[event];
    const made = element("span", word ? word.replace("_", " ") : event, `state state-${word || LEVELS[line.level] || "note"}`);
    made.title = event;
    return made;
  }

  function said(value) {
    if (Array.isArray(value)) return value.join(", ");
    if (value !== null && typeof value === "object") {
      return Object.entries(value).map(([name, count]) => (typeof count === "number" ? `${count} ${name}` : `${name} ${count}`)).join(", ");
    }
    return String(value);
  }

  function named(name, value) {
    const unit = /_(ms|s|bytes)$/.exec(name);
    const words = (unit ? name.slice(0, unit.index) : name).replaceAll("_", " ");
    return unit ? `${words} ${Math.round(Number(value))} ${unit[1]}` : `${words} ${said(value)}`;
  }

  function details(line) {
    const parts = [];
    if (line.event_type) parts.push(line.event_type);
    if (line.outcomes) parts.push(said(line.outcomes));
    else if (line.records) parts.push(line.records === 1 ? "1 record" : `${line.records} records`);
    for (const name of ["reason", "error"]) if (line[name]) parts.push(said(line[name]));
    for (const [name, value] of Object.entries(line)) {
      const first = name === "attempt" && value === 1;
      if (!SHOWN.includes(name) && !first && value !== null && value !== "" && value !== 0) parts.push(named(name, value));
    }
    if (line.client_ip && !line.delivery_id) parts.push(`from ${line.client_ip}`);
    if (line.hint) parts.push(line.hint);
    return parts.join(" \u00b7 ");
  }

  function rowOf(line) {
    const row = document.createElement("tr");
    const when = element("time", String(line.timestamp).slice(11, 23));
    when.dateTime = when.title = String(line.timestamp);
    row.append(element("td"), element("td"), element("td"), element("td", details(line), "live-details"), element("td", undefined, "id"));
    row.children[0].append(when);
    row.children[1].append(stated(line));
    const [kind, name] = line.sink ? ["sinks", line.sink] : ["sources", line.source];
    if (name) {
      const arrow = line.sink ? "to " : "from ";
      const link = element("a", String(name));
      link.href = `/${kind}/${encodeURIComponent(name)}`;
      row.children[2].append(element("span", arrow, "muted"), link);
    }
    if (line.delivery_id) {
      const link = element("a", String(line.delivery_id).slice(-12));
      link.href = `/deliveries/${encodeURIComponent(line.delivery_id)}`;
      link.title = String(line.delivery_id);
      row.children[4].append(link);
    }
    return row;
  }

  function noteOf(text) {
    const row = document.createElement("tr");
    const cell = element("td", text, "live-gap");
    cell.colSpan = 5;
    row.append(cell);
    return row;
  }

  // -- showing and holding back -------------------------------------------------------------------------------------

  const holding = () => paused || window.scrollY > SCROLLED;

  function show() {
    const news = document.createDocumentFragment();
    if (left) news.prepend(noteOf(`${left} older lines went by while this was paused`));
    for (const row of held) news.prepend(row);
    held = [];
    left = 0;
    lines.prepend(news);
    while (lines.children.length > HELD) lines.lastElementChild.remove();
    empty.hidden = lines.children.length > 0;
    fresh.hidden = true;
  }

  function add(row) {
    held.push(row);
    if (held.length > HELD) left += held.splice(0, held.length - HELD).length;
    if (!holding()) show();
    else {
      fresh.textContent = `${held.length + left} new`;
      fresh.hidden = false;
    }
  }

  function setPaused(value) {
    paused = value;
    pause.setAttribute("aria-pressed", String(paused));
    pause.textContent = paused ? "Go on" : "Pause";
    if (!holding()) show();
  }

  pause.addEventListener("click", () => setPaused(!paused));
  fresh.addEventListener("click", () => {
    window.scrollTo({ top: 0 });
    const still = paused;
    show();
    if (still) pause.focus();
  });
  one("live-clear").addEventListener("click", () => {
    lines.replaceChildren();
    held = [];
    left = 0;
    show();
  });
  window.addEventListener("scroll", () => {
    if (held.length && !holding()) show();
  }, { passive: true });

  // -- the connection -----------------------------------------------------------------------------------------------

  const state = one("live-state");
  function connected(word, text) {
    if (state.textContent === text) return;
    state.className = `state state-${word}`;
    state.textContent = text;
  }

  function missed(gap) {
    const count = gap.missed === null ? "Some lines" : gap.missed === 1 ? "1 line" : `${gap.missed} lines`;
    const why = { rate: "more came than can be shown", overrun: "they came while nobody was connected", restarted: "the service was restarted" };
    return `${count} left out: ${why[gap.reason] || gap.reason}`;
  }

  const stream = new EventSource(root.dataset.stream);
  stream.addEventListener("ready", () => connected("ok", "connected"));
  stream.addEventListener("line", (event) => add(rowOf(JSON.parse(event.data))));
  stream.addEventListener("gap", (event) => add(noteOf(missed(JSON.parse(event.data)))));
  stream.addEventListener("bye", (event) => {
    const stopping = JSON.parse(event.data).reason === "stopping";
    connected("waiting", stopping ? "not connected: the service stops; trying again" : "connecting again");
  });
  stream.addEventListener("error", () => {
    if (stream.readyState === EventSource.CLOSED) {
      connected("failed", "not connected: load this page again; the session may have ended");
    } else connected("waiting", "not connected: trying again");
  });
})();
