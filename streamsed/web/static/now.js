// The Now view: every source with its state, level, highest scores and open events.
// Whatever comes over the wire is put in as text.

const FLOOR_DBFS = -80;
const RETRY_MS = 3000;

function element(tag, className, text) {
  const made = document.createElement(tag);
  if (className) made.className = className;
  if (text !== undefined) made.textContent = text;
  return made;
}

function meter(label, value, shown, options = {}) {
  const row = element("div", "row");
  const bar = element("meter");
  bar.min = 0;
  bar.max = 1;
  bar.value = value;
  bar.setAttribute("aria-label", label);
  const track = element("span", "track");
  track.append(bar);
  if (options.enter !== undefined) {
    const mark = element("span", "mark");
    mark.style.left = `${options.enter * 100}%`;
    mark.title = `threshold ${options.enter}`;
    track.append(mark);
  }
  row.append(element("span", "label", label), track, element("span", "value", shown));
  return row;
}

function level(source) {
  const { rms_dbfs: rms } = source.level ?? {};
  if (rms === undefined || rms === null) return meter("level", 0, "silent");
  return meter("level", Math.max(0, 1 - rms / FLOOR_DBFS), `${rms.toFixed(1)} dBFS`);
}

function card(source, thresholds, open) {
  const made = element("section", "source");
  made.dataset.source = source.source;
  const head = element("div", "head");
  head.append(element("h2", "", source.source), element("span", `state ${source.state}`, source.state));
  made.append(head);
  if (source.message) made.append(element("p", "message", source.message));
  made.append(level(source));
  for (const { label, score } of source.level?.top ?? [])
    made.append(meter(label, score, score.toFixed(2), { enter: thresholds[label] }));
  const list = element("ul", "open");
  for (const event of open) list.append(element("li", "", `${event.label} since ${new Date(event.onset.utc).toLocaleTimeString()}`));
  made.append(open.length ? list : element("p", "none", "no open events"));
  return made;
}

function show({ status, open, thresholds }) {
  document.querySelector("#sources").replaceChildren(
    ...status.sources.map((source) => card(source, thresholds, open[source.source] ?? [])),
  );
}

const connection = document.querySelector("#connection");

function open() {
  const stream = new EventSource("/api/now");
  stream.onopen = () => { connection.textContent = "connected"; };
  stream.onmessage = ({ data }) => show(JSON.parse(data));
  stream.onerror = () => {
    connection.textContent = "no connection to the daemon; trying again";
    // A refusal, as of too many browsers, ends an EventSource for good; a lost connection does not.
    if (stream.readyState === EventSource.CLOSED) setTimeout(open, RETRY_MS);
  };
}

open();
