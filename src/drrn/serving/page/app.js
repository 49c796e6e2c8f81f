// The page: a list of pictures, the options for those that wait, and the picture that is looked at.

import { get, listen, post, remove, send, signIn } from "./api.js";
import { crop } from "./compare.js";
import { recipe, showOptions } from "./options.js";
import { $, bytes, duration, node, percent, t } from "./text.js";

const pictures = []; // the first is shown on top
let about = { models: [], formats: [], limits: {} };
let shown = null;
let stamp = 0; // of the options: an answer to older ones is not looked at

const compare = $("compare");

function say(sentence) {
  $("say").textContent = sentence;
}

function alarm(sentence) {
  $("alarm").textContent = sentence;
  $("alarm").hidden = !sentence;
}

// ---- options ----

let planning;
function optionsChanged() {
  if (!showOptions()) return;
  stamp += 1;
  clearTimeout(planning);
  planning = setTimeout(planAll, 250);
}

async function planAll() {
  const now = stamp;
  for (const picture of pictures.filter((each) => !each.job && each.source)) {
    if (now !== stamp) return;
    await plan(picture);
  }
  if (shown && !shown.job) look(shown, true);
}

/** Ask what a picture would become by the options as they are. */
async function plan(picture) {
  const now = stamp;
  const query = recipe();
  // not every picture can have a quality: one that can't is planned without
  if (query.quality && !query.format && !/JPEG|WebP/.test(picture.plan?.format ?? "")) delete query.quality;
  if (picture.plan && !picture.plan.can_preview) delete query.check; // only single pictures can be checked
  try {
    const headers = { source: picture.source, ...query };
    const answer = await (await post("api/plan", headers, picture.name)).json();
    if (now !== stamp || picture.job) return; // the options have changed, or it was started meanwhile
    Object.assign(picture, { plan: answer, query, stamp: now, state: "ready", error: "" });
  } catch (error) {
    if (now !== stamp || picture.job) return;
    Object.assign(picture, { state: error.status === 404 ? "gone" : "refused", error: error.message });
  }
  draw(picture);
}

// ---- pictures come in ----

function add(picture) {
  pictures.push(picture);
  picture.row = node("li");
  $("list").append(picture.row);
  draw(picture);
  return picture;
}

async function take(files) {
  const taken = [...files].map((file) => add({ name: file.name || "pasted.png", file, state: "sending", share: 0 }));
  if (taken.length && (!shown || shown.job)) look(taken[0]);
  for (const picture of taken) await upload(picture);
}

async function upload(picture) {
  const now = stamp;
  Object.assign(picture, { state: "sending", share: 0, error: "" });
  draw(picture);
  try {
    const named = picture.file.name ? picture.file : new File([picture.file], picture.name);
    picture.plan = await send(named, {}, (share) => {
      picture.share = share;
      draw(picture);
    });
    picture.source = picture.plan.source;
    picture.state = "ready";
    await plan(picture);
    if (now !== stamp) await plan(picture);
  } catch (error) {
    Object.assign(picture, { state: "refused", error: error.message || t("silent") });
    say(t("said", { name: picture.name, state: error.message }));
  }
  draw(picture);
  if (picture === shown) look(picture);
}

// ---- jobs ----

const wait = (seconds) => new Promise((resolve) => setTimeout(resolve, seconds * 1000));

async function start(picture) {
  while (pictures.includes(picture)) {
    try {
      const query = { source: picture.source, ...picture.query };
      picture.isStarting = true;
      answered(await (await post("api/jobs", query, picture.name)).json(), picture);
      return;
    } catch (error) {
      Object.assign(picture, { error: error.message });
      if (error.status === 404 && picture.file) return upload(picture);
      if (error.status !== 429) {
        picture.state = "refused";
        return draw(picture);
      }
      draw(picture);
      await wait(3);
    } finally {
      picture.isStarting = false;
    }
  }
}

async function startAll() {
  for (const picture of pictures.filter((each) => each.state === "ready")) {
    if (picture.stamp !== stamp) await plan(picture); // by the options as they are, not as they were planned
    if (picture.state === "ready") await start(picture);
  }
}

/** A job, as the stream of events tells of it: in order. */
function known(job, picture = pictures.find((each) => each.job?.id === job.id)) {
  // the stream can be faster than the answer to the request
  picture ??= pictures.find((each) => each.isStarting && each.source === job.source);
  picture ??= { name: job.name || job.id.slice(0, 8) };
  const before = picture.job?.state;
  const source = job.source || picture.source;
  Object.assign(picture, { job, plan: job, state: job.state, source, error: job.error ?? "" });
  if (pictures.includes(picture)) draw(picture);
  else add(picture);
  if (job.state !== before && ["done", "failed"].includes(job.state) && before) {
    say(t("said", { name: picture.name, state: status(picture) }));
    if (picture === shown) look(picture, true);
  }
}

const stage = (job) => ({ queued: 0, running: 1 })[job.state] ?? 2;

/** A job, as an answer tells of it: that can be older than what the stream has told. */
function answered(job, picture = pictures.find((each) => each.job?.id === job.id)) {
  if (picture?.job?.id !== job.id || stage(job) >= stage(picture.job)) known(job, picture);
}

async function forget(picture) {
  const job = picture.job;
  const index = pictures.indexOf(picture);
  const active = job && ["queued", "running"].includes(job.state);
  try {
    if (job) await remove(`api/jobs/${job.id}`);
  } catch (error) {
    if (error.status !== 404) alarm(error.message);
  }
  if (!active) drop(index);
}

function drop(index) {
  const [picture] = pictures.splice(index, 1);
  const focused = picture.row.contains(document.activeElement);
  picture.row.remove();
  if (focused) (pictures[Math.min(index, pictures.length - 1)]?.row.querySelector("button") ?? $("files")).focus();
  if (picture === shown) look(pictures[Math.min(index, pictures.length - 1)] ?? null);
  drawAll();
}

/** Back to where its options can be changed. */
async function again(picture) {
  Object.assign(picture, { job: null, state: "sending", share: 1 });
  draw(picture);
  await plan(picture);
  if (picture.state === "gone" && picture.file) await upload(picture);
  look(picture);
}

async function retry(picture) {
  picture.job = null;
  if (picture.file) await upload(picture);
  else if (picture.source) await plan(picture);
  if (picture.state === "ready") await start(picture);
}

// ---- what is seen ----

function status(picture) {
  const { state, plan: of, job, error } = picture;
  if (state === "sending") return picture.share < 1 ? t("sending", { percent: percent(picture.share) }) : t("reading");
  if (error) return error;
  if (state === "queued") return t("queued", { place: job.place });
  if (state === "running") {
    return job.share ? t("running", { percent: percent(job.share), time: duration(job.seconds_left) }) : t("starting");
  }
  if (state === "done") return t("done", { model: job.model, size: bytes(job.bytes), time: duration(job.took) });
  if (state === "canceled") return t("canceled");
  return t("about", { model: of.model, time: duration(of.seconds) });
}

function sizes({ plan: of }) {
  if (!of?.width) return "";
  const from = of.source_width ? `${of.source_width} \u00d7 ${of.source_height}` : "";
  return t("becomes", { from, to: `${of.width} \u00d7 ${of.height}` });
}

function draw(picture) {
  const { row, state, job, name } = picture;
  const bar = row.querySelector("progress");
  const share = state === "running" ? job.share : picture.share;
  if (bar && row.className === state) {
    // the buttons stay: a click on one that is replaced meanwhile would be lost
    row.querySelector(".state").textContent = status(picture);
    bar.value = share;
    bar.ariaLabel = t("said", { name, state: status(picture) });
    row.querySelector(".select").ariaCurrent = picture === shown ? "true" : null;
    return drawAll();
  }
  const focused = row.contains(document.activeElement) ? document.activeElement.dataset.act : null;
  const bad = ["refused", "failed", "gone"].includes(state);
  const act = (key, action, symbol) =>
    node("button", { class: "quiet", "data-act": key, "aria-label": t(key, { name }), title: t(key, { name }), onclick: action }, symbol);
  const select = node(
    "button",
    { class: "select", "data-act": "select", "aria-current": picture === shown ? "true" : null, onclick: () => look(picture) },
    node("span", { class: "name" }, name),
    node("span", { class: "faint" }, sizes(picture)),
    node("span", { class: bad ? "bad" : "state" }, status(picture)),
  );
  if (state === "ready" && picture.plan.why) select.append(node("span", { class: "faint why" }, picture.plan.why));
  const parts = [select];
  const active = ["queued", "running"].includes(state);
  const actions = node("div", { class: "actions" });
  if (state === "done") {
    const link = { class: "button quiet", href: `api/jobs/${job.id}/result`, download: job.name, "data-act": "download" };
    actions.append(node("a", { ...link, "aria-label": t("download", { name: job.name }), title: job.name }, "\u2193"));
  }
  if ((bad && (picture.file || picture.source)) || state === "canceled") {
    actions.append(act("retry", () => retry(picture), "\u21bb"));
  }
  if (state === "done" && (picture.file || picture.source)) {
    actions.append(act("again", () => again(picture), "\u21bb"));
  }
  actions.append(act(active ? "cancel" : "remove", () => forget(picture), "\u00d7"));
  parts.push(actions);
  if (["running", "sending"].includes(state)) {
    parts.push(node("progress", { max: 1, value: share, "aria-label": t("said", { name, state: status(picture) }) }));
  }
  row.className = state;
  row.replaceChildren(...parts);
  if (focused) (row.querySelector(`[data-act=${focused}]`) ?? row.querySelector("button")).focus();
  drawAll();
}

function drawAll() {
  const ready = pictures.filter((each) => each.state === "ready");
  const done = pictures.filter((each) => each.state === "done");
  $("go").disabled = !ready.length;
  $("go").textContent = ready.length > 1 ? t("goMany", { count: ready.length }) : t("go");
  const seconds = ready.reduce((sum, each) => sum + each.plan.seconds, 0);
  $("total").textContent = ready.length > 1 ? t("total", { time: duration(seconds) }) : "";
  $("all").hidden = !pictures.length;
  $("zip").hidden = !done.length;
  const ids = done.length <= 100 ? done.map((each) => `id=${each.job.id}`).join("&") : "";
  $("zip").href = `api/results.zip?${ids}`;
}

/** Whether a browser can show pictures of this kind. */
const canShow = (of) => ["image", "animation"].includes(of.kind);

function look(picture, again = false) {
  const was = shown;
  shown = picture;
  for (const each of [was, picture]) if (each && pictures.includes(each)) draw(each);
  drawAll();
  const of = picture?.plan;
  $("empty").hidden = Boolean(of?.width);
  $("view").hidden = !of?.width;
  if (!of?.width) return;
  const visible = canShow(of);
  $("copy").hidden = !visible || picture.state !== "done";
  for (const id of ["compare", "zooms"]) $(id).hidden = !visible;
  $("plain").hidden = visible;
  $("plain").textContent = picture.state === "done" ? t("finished") : t("plainly");
  $("warning").hidden = !of.warning;
  $("warning").textContent = of.warning ?? "";
  if (!visible) return caption();
  const same = again && was === picture && compare.size.width === of.width && compare.size.height === of.height;
  if (same) {
    compare.ask();
  } else {
    const final = picture.state === "done";
    compare.open(of.width, of.height, final && was !== picture ? "fit" : 1);
  }
  caption();
}

function caption(working = false) {
  const of = shown.plan;
  const parts = [`${of.width} \u00d7 ${of.height}`];
  if (shown.state === "done") parts.unshift(t("final"));
  else if (of.can_preview) parts.unshift(t("preview"));
  else if (canShow(of)) parts.push(t("moving"));
  if (working) parts.push(t("working"));
  else if (of.check) {
    const psnr = of.check.psnr ?? t("same");
    parts.push(t("checked", { psnr, bicubic: of.check.bicubic.psnr ?? t("same") }));
  }
  if (of.changes?.length) parts.push(t("changes", { changes: of.changes.join(", ") }));
  $("caption").textContent = parts.join(" \u00b7 ");
  $("view").setAttribute("aria-busy", String(working));
}

let busy = false;
let wanted = null;
compare.addEventListener("region", async (event) => {
  for (const button of document.querySelectorAll("[data-zoom]")) {
    const { zoom } = button.dataset;
    button.setAttribute("aria-pressed", String(compare.zoom === (zoom === "fit" ? compare.fit : +zoom)));
  }
  wanted = event.detail;
  if (busy) return;
  busy = true;
  while (wanted && shown) {
    const region = wanted;
    wanted = null;
    try {
      await (shown.state === "done" ? showResult(shown, region) : showPreview(shown, region));
    } catch (error) {
      if (shown && error.status !== 404) $("caption").textContent = error.message;
    }
  }
  busy = false;
});

function whole(of) {
  return { left: 0, top: 0, width: of.width, height: of.height };
}

async function showResult(picture, region) {
  const { job, file } = picture;
  if (!job.can_preview) {
    if (file) await compare.show("before", URL.createObjectURL(file), whole(job));
    await compare.show("after", `api/jobs/${job.id}/result`, whole(job));
    return caption();
  }
  const { left, top, width, height, scale } = region;
  for (const side of ["after", "before"]) {
    const query = new URLSearchParams({ side, region: [left, top, width, height], width: Math.ceil(width * scale) });
    await compare.show(side, `api/jobs/${job.id}/view?${query}`, region);
    if (picture !== shown) return;
  }
  caption();
}

async function showPreview(picture, region) {
  const { plan: of, source, query } = picture;
  if (picture.state === "sending" || picture.state === "refused" || !query) return;
  if (picture.file && !compare.querySelector(".back")) {
    for (const side of ["before", "after"]) {
      await compare.show(side, URL.createObjectURL(picture.file), whole(of), "back"); // which revokes it
    }
  }
  if (!of.can_preview) return caption();
  caption(true);
  const part = crop(region, about.models.find((each) => each.name === of.model)?.megapixels_per_second);
  const place = `${part.width}x${part.height}+${part.left}+${part.top}`;
  for (const side of ["before", "after"]) {
    const answer = await post("api/preview", { source, ...query, crop: place, side }, picture.name);
    const url = URL.createObjectURL(await answer.blob());
    if (picture !== shown || picture.plan !== of) return;
    await compare.show(side, url, part, "exact");
  }
  $("view").dataset.previewed = place;
  caption();
}

async function copyShown() {
  const { job } = shown;
  const path = job.format === "PNG" && job.bytes < 3e7 ? "result" : "view?side=after";
  const png = fetch(`api/jobs/${job.id}/${path}`).then((answer) => answer.blob());
  await navigator.clipboard.write([new ClipboardItem({ "image/png": png })]);
  say(t("copied"));
  $("copy").textContent = t("copied");
  setTimeout(() => ($("copy").textContent = t("copy")), 2000);
}

// ---- the beginning ----

function translate() {
  for (const each of document.querySelectorAll("[data-text]")) each.textContent = t(each.dataset.text);
  for (const each of document.querySelectorAll("[data-label]")) each.setAttribute("aria-label", t(each.dataset.label));
  compare.texts({ before: t("before"), after: t("after"), slider: t("slider"), area: t("area") });
}

function wire() {
  for (const id of ["scale", "exact", "model", "format", "quality", "metadata", "check"]) {
    $(id).addEventListener("input", optionsChanged);
  }
  $("options").addEventListener("submit", (event) => {
    event.preventDefault();
    startAll();
  });
  $("files").addEventListener("change", () => {
    take($("files").files);
    $("files").value = "";
  });
  addEventListener("dragover", (event) => {
    event.preventDefault();
    document.body.classList.add("dragged");
  });
  addEventListener("dragleave", (event) => event.relatedTarget ?? document.body.classList.remove("dragged"));
  addEventListener("drop", (event) => {
    event.preventDefault();
    document.body.classList.remove("dragged");
    take(event.dataTransfer.files);
  });
  addEventListener("paste", (event) => take(event.clipboardData.files));
  for (const button of document.querySelectorAll("[data-zoom]")) {
    button.addEventListener("click", () => compare.setZoom(button.dataset.zoom === "fit" ? "fit" : +button.dataset.zoom));
  }
  $("copy").addEventListener("click", () => copyShown().catch((error) => alarm(error.message)));
  $("clear").addEventListener("click", async () => {
    for (const picture of [...pictures]) {
      await forget(picture);
      if (pictures.includes(picture)) await forget(picture);
    }
  });
}

function happened(kind, job) {
  if (kind === "gone") {
    const index = pictures.findIndex((each) => each.job?.id === job.id);
    if (index >= 0) drop(index);
  } else known(job);
}

async function begin() {
  translate();
  wire();
  const marks = [...new URLSearchParams(location.hash.slice(1))];
  if (location.hash) history.replaceState(null, "", location.pathname);
  const token = marks.find(([key]) => key === "token");
  if (token) await signIn(token[1]);
  about = await get("api/about");
  for (const model of about.models) {
    const text = t("speed", { name: model.name, speed: model.megapixels_per_second });
    $("model").append(node("option", { value: model.name }, text));
  }
  $("model").prepend(node("option", { value: "auto", selected: true }, t("auto")));
  for (const form of ["keep", "png", "jpg", "webp", "tif"]) {
    $("format").append(node("option", { value: form }, form === "keep" ? t("keep") : form.toUpperCase()));
  }
  document.querySelector("[data-text=private]").textContent = t("private", { keep: duration(about.limits.keep_seconds) });
  showOptions();
  drawAll();
  for (const job of await get("api/jobs")) answered(job);
  let name = null;
  for (const [key, value] of marks.reverse()) {
    if (key === "name") name = value;
    if (key === "picture") {
      const picture = add({ name: name ?? value, source: value, state: "sending", share: 1 });
      plan(picture).then(() => (!shown || shown === picture) && look(picture));
    }
  }
  if (pictures.length && !shown) look(pictures.at(-1));
  listen(happened, () => alarm(t("lost")), async () => {
    alarm("");
    for (const job of await get("api/jobs")) answered(job); // what happened while nothing was heard
  });
  document.body.dataset.ready = "true";
}

begin().catch((error) => alarm(error.status === 401 ? t("token") : t("failed", { sentence: error.message })));
