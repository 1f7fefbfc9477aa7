"use strict";
// Whatever comes from a file or a model reaches the page through textContent and through nothing else.
const data = JSON.parse(document.getElementById("data").textContent);
const TONES = ["--accent", "--aside", "--good", "--warn", "--bad", "--quiet"];
const BOOKS = {captioned: "--good", filtered: "--aside", quarantined: "--bad", remaining: "--line"};

function make(tag, kind, ...inner) {
  const made = document.createElement(tag);
  if (kind) made.className = kind;
  made.append(...inner.filter((each) => each !== null && each !== ""));
  return made;
}

const whole = (number) => number.toLocaleString("en");
const rounded = (number, digits = 2) => number.toLocaleString("en", {maximumFractionDigits: digits});
const pace = (number) => number < 0.1 ? number.toLocaleString("en", {maximumSignificantDigits: 2}) : rounded(number);
const measured = (number, unit) => number === null ? "" : `${rounded(number, 3)} ${unit}`;
const percent = (share) => `${Math.round(100 * share)} %`;
const plain = (name) => name.replaceAll("_", " ");

// The account

function figures(pairs) {
  const cells = pairs.map(([name, value, note]) =>
    make("div", "", make("dt", "", name), make("dd", "", value, note ? make("small", "", ` ${note}`) : null)));
  return make("dl", "figures", ...cells);
}

function bar(parts) {
  const pieces = parts.map(([, share, tone]) => {
    const piece = make("i");
    piece.style.width = `${100 * share}%`;
    piece.style.background = `var(${tone})`;
    return piece;
  });
  return make("div", "bar", ...pieces);
}

function legend(parts) {
  return make("div", "legend", ...parts.map(([words, , tone]) => {
    const item = make("span", "", words);
    item.style.setProperty("--tone", `var(${tone})`);
    return item;
  }));
}

function books() {
  const {clips, vanished, ...counts} = data.books;
  const parts = Object.entries(BOOKS).filter(([name]) => counts[name]).map(([name, tone]) =>
    [`${name} ${whole(counts[name])}`, counts[name] / clips, tone]);
  const more = Object.entries(data.translated).map(([language, number]) => [`in ${language}`, whole(number)]);
  if (vanished) more.push(["vanished", whole(vanished)]);
  const reasons = Object.entries(data.reasons).map(([reason, number]) =>
    make("tr", "", make("th", "mono", reason), make("td", "", whole(number))));
  return make("section", "panel", make("h2", "", "Books"), figures([["clips", whole(clips)], ...more]),
    bar(parts), legend(parts), reasons.length ? make("table", "", make("tbody", "", ...reasons)) : null);
}

function flags() {
  const {before, after} = data.flags;
  const names = [...new Set([...Object.keys(after), ...Object.keys(before)])];
  names.sort((one, other) => (after[other] || 0) - (after[one] || 0) || (one < other ? -1 : 1));
  const head = make("tr", "", ...["", "first attempts", "kept"].map((word) => make("th", "", word)));
  const lines = names.map((name) => make("tr", "", make("th", "mono", name),
    make("td", "quiet", whole(before[name] || 0)), make("td", "", whole(after[name] || 0))));
  const table = make("table", "", make("thead", "", head), make("tbody", "", ...lines));
  return make("section", "panel", make("h2", "", "Flags, by captions and translations"),
    names.length ? table : make("p", "quiet", "None was raised."));
}

function pool(name, {busy, shares}) {
  const parts = Object.entries(shares).filter(([, share]) => share >= 0.005).map(([part, share], place) =>
    [`${plain(part)} ${percent(share)}`, share, part.startsWith("waiting") ? "--line" : TONES[place % TONES.length]]);
  return make("div", "pool", `${name} pool, ${percent(busy)} busy`, bar(parts), legend(parts));
}

const PHASES = ["planning", "starting", "calibrating", "working", "translating", "finishing"];

function speed() {
  const found = data.speed;
  const heading = make("h2", "", "Speed of the last run");
  if (!found) return make("section", "panel", heading, make("p", "quiet", "It captioned nothing, or left no report."));
  const ceiling = found.ceiling;
  const captioned = Object.keys(found.pools).length > 0;
  const rates = captioned ? [["clips/s", pace(found.clips_per_s)]] : [];
  const whose = ceiling?.is_own_pace ? "the run's own pace: it was calibrated to be slower" : "";
  if (ceiling) rates.push(["ceiling", pace(ceiling.clips_per_s), whose], ["reached", percent(ceiling.share)]);
  const phases = PHASES.filter((name) => found[`${name}_s`])
    .map((name) => `${rounded(found[`${name}_s`], 1)} ${name}`);
  rates.push(["seconds", rounded(found.seconds, 1), phases.join(", ")]);
  if (found.clips_per_gpu_hour_held) rates.push(["clips per GPU-hour", rounded(found.clips_per_gpu_hour_held, 0),
    `${rounded(found.clips_per_gpu_hour_provisioned, 0)} provisioned`]);
  const tokens = `${rounded(found.prompt_tokens_per_s, 0)} prompt and ${rounded(found.output_tokens_per_s, 0)} output tokens/s`;
  const bound = ceiling ? `; bound by ${ceiling.bound_by}` : "; no ceiling was measured";
  return make("section", "panel", heading, figures(rates), captioned ? make("p", "legend", tokens + bound) : null,
    make("div", "pools", ...Object.entries(found.pools).map(([name, each]) => pool(name, each))));
}

function account() {
  const line = make("p", "quiet", "generation ", make("code", "", data.generation), ", captions ",
    make("code", "", data.caption_key), ", review ", make("code", "", data.review_key));
  document.getElementById("account").append(make("h1", "", data.output), line,
    make("div", "panels", books(), flags(), speed()));
}

// The rows

function tag(kind, words = kind) {
  return make("span", `tag ${kind}`, words);
}

const flagTags = (names) => names.map((name) => tag("flag", plain(name)));

function film(strip) {
  if (!strip) return null;
  if (strip.missing) return make("p", "missing", `No frames: ${strip.missing}`);
  const image = make("img");
  Object.assign(image, {width: strip.width, height: strip.height, alt: `${strip.times_s.length} frames of the clip`});
  const times = make("div", "times", ...strip.times_s.map((time) => make("span", "", `${time.toFixed(2)} s`)));
  const frames = make("div", "frames", image);
  frames.style.setProperty("--frames", strip.times_s.length);
  const inner = make("div", "", frames, times);
  inner.style.maxWidth = `${Math.round(1.25 * strip.width)}px`;
  coming.observe(image);
  pictures.set(image, strip.jpeg);
  return make("div", "film", inner);
}

const pictures = new WeakMap();
const coming = new IntersectionObserver((seen) => {
  for (const {isIntersecting, target} of seen) {
    if (!isIntersecting) continue;
    target.src = `data:image/jpeg;base64,${pictures.get(target)}`;
    coming.unobserve(target);
  }
}, {rootMargin: "1200px"});

function text(caption) {
  const best = caption.scores.length ? Math.max(...caption.scores).toFixed(2) : null;
  const head = make("div", "", make("b", "", caption.language), caption.source_sha ? null : caption.prompt,
    caption.verdict ? tag(caption.verdict === "fail" ? "fail" : "pass", caption.verdict) : null, best, ...flagTags(caption.flags));
  const words = make("p", "", caption.text);
  Object.assign(words, {lang: caption.language, dir: "auto"});
  const repair = caption.repairs ? make("div", "repair", `Asked for again: ${caption.scores.map((each) => each.toFixed(2)).join(", then ")}. The first had `,
    ...(caption.flags_before.length ? flagTags(caption.flags_before) : ["no flag"])) : null;
  const made = make("div", "text", head, words, repair);
  made.dataset.language = caption.language;
  return made;
}

function span({start_s: start, end_s: end}) {
  if (start === null && end === null) return null;
  return make("span", "quiet", `${measured(start, "s") || "start"} to ${measured(end, "s") || "end"}`);
}

function facts(entry) {
  const texts = entry.texts.flat();
  const listed = {
    clip: entry.clip_id, ordinal: entry.ordinal,
    model: [...new Set(texts.map((each) => `${each.model} (${each.language})`))].join(", "),
    ended: texts.map((each) => `${each.language} ${each.finish_reason} after ${each.output_tokens} tokens`).join(", "),
    file: [entry.width && `${entry.width}×${entry.height}`, entry.codec, measured(entry.fps, "fps"), measured(entry.duration_s, "s")]
      .filter(Boolean).join(", "),
    decoder: entry.decoder, coverage: entry.coverage === null ? "" : percent(entry.coverage),
    "frame times (s)": entry.frame_times_s.map((time) => rounded(time, 3)).join("  "),
    caption_key: entry.caption_key, review_key: entry.review_key,
  };
  const pairs = [...Object.entries(listed), ...Object.entries(entry.columns)].filter(([, value]) => value !== "").flatMap(([name, value]) =>
    [make("dt", "", name), make("dd", /key$|^clip$/.test(name) ? "mono" : "", String(value))]);
  return make("dl", "facts", ...pairs);
}

function provenance(entry) {
  const made = make("details", "", make("summary", "", "Provenance"));
  made.addEventListener("toggle", () => made.append(facts(entry)), {once: true});
  return made;
}

function card(entry) {
  const top = make("div", "top", make("span", "uri", entry.uri), span(entry), tag(entry.status),
    ...flagTags(entry.flags), make("span", "push quiet", `#${entry.ordinal}`));
  const error = entry.error_stage
    ? make("p", "error", make("code", "", `${entry.error_stage}/${entry.error_kind}`), ` ${entry.error_message}`) : null;
  const texts = entry.texts.map((each) => make("div", "texts", ...each.map(text)));
  return make("article", "", top, film(entry.strip), error, ...texts, provenance(entry));
}

// The filters: values of one kind are alternatives, kinds narrow one another, and a language leaves its own texts only.

const chosen = {status: new Set(), verdict: new Set(), flag: new Set(), language: new Set()};
let sought = "";

function spoken(entry) {
  const texts = entry.texts.flat();
  return chosen.language.size ? texts.filter((each) => chosen.language.has(each.language)) : texts;
}

const VALUES = {
  status: (entry) => [entry.status],
  verdict: (entry) => spoken(entry).map((each) => each.verdict).filter(Boolean),
  flag: (entry) => [...entry.flags, ...spoken(entry).flatMap((each) => each.flags)],
  language: (entry) => entry.texts.flat().map((each) => each.language),
};

function matches(entry, except) {
  return (!sought || entry.haystack.includes(sought)) && Object.entries(chosen).every(([kind, wanted]) =>
    kind === except || !wanted.size || VALUES[kind](entry).some((value) => wanted.has(value)));
}

function apply() {
  let shown = 0;
  for (const entry of data.entries) {
    entry.card.hidden = !matches(entry);
    shown += !entry.card.hidden;
    for (const cell of entry.card.querySelectorAll("[data-language]")) {
      cell.hidden = chosen.language.size > 0 && !chosen.language.has(cell.dataset.language);
    }
  }
  for (const chip of chips) {
    const number = data.entries.filter((entry) => matches(entry, chip.kind) && VALUES[chip.kind](entry).includes(chip.value)).length;
    chip.button.lastChild.textContent = whole(number);
    chip.button.toggleAttribute("data-empty", !number);
    chip.button.setAttribute("aria-pressed", chosen[chip.kind].has(chip.value));
  }
  const held = data.books.clips - data.books.remaining;
  const rest = held > data.entries.length ? ` worst of ${whole(held)}` : "";
  document.getElementById("count").textContent = `${whole(shown)} of the ${whole(data.entries.length)}${rest} rows, worst first`;
  document.getElementById("nothing").hidden = shown > 0;
}

const chips = [];

function facet(kind) {
  const found = [...new Set(data.entries.flatMap(VALUES[kind]))].sort();
  const buttons = found.map((value) => {
    const button = make("button", "", plain(value), make("small"));
    button.type = "button";
    Object.assign(button.dataset, {kind, value});
    button.addEventListener("click", () => {
      if (!chosen[kind].delete(value)) chosen[kind].add(value);
      apply();
    });
    chips.push({kind, value, button});
    return button;
  });
  return buttons.length ? make("fieldset", "", make("legend", "", kind), ...buttons) : null;
}

function search() {
  const field = make("input");
  Object.assign(field, {type: "search", id: "search", placeholder: "Search uri, text, error …", ariaLabel: "Search"});
  field.addEventListener("input", () => {
    sought = field.value.trim().toLowerCase();
    apply();
  });
  return field;
}

function haystack(entry) {
  const parts = [entry.uri, entry.clip_id, entry.error_stage, entry.error_kind, entry.error_message,
    ...entry.texts.flat().map((each) => each.text), ...Object.values(entry.columns)];
  return parts.join("\n").toLowerCase();
}

function main() {
  for (const entry of data.entries) entry.haystack = haystack(entry);
  account();
  const count = make("span");
  count.id = "count";
  document.getElementById("filters").append(make("div", "", ...Object.keys(VALUES).map(facet), search(), count));
  for (const entry of data.entries) entry.card = card(entry);
  const nothing = make("p", "", "No row matches.");
  nothing.id = "nothing";
  document.getElementById("rows").append(...data.entries.map((entry) => entry.card), nothing);
  apply();
}

main();
