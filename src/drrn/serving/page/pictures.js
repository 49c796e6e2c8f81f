// The pictures of the list: they are sent, planned, enlarged as jobs, and removed.
//
// A picture has a `name`; a `state`: sending, ready, refused, gone, or that of its job; a `file` if it comes from this
// page; the `source` by which the service knows it; the `plan` for the options in `query`; and its `job`.

import { post, remove, send } from "./api.js";
import { recipe } from "./options.js";
import { drawRow, drawTotals, status } from "./rows.js";
import { $, announce, node, showError, t } from "./text.js";
import { isShown, show } from "./viewer.js";

const pictures = [];
let version = 0; // of the options: plans for older options are dropped

const wait = (seconds) => new Promise((resolve) => setTimeout(resolve, seconds * 1000));

// ---- the list ----

export function add(picture) {
  pictures.push(picture);
  picture.row = node("li");
  $("list").append(picture.row);
  draw(picture);
  return picture;
}

function draw(picture) {
  drawRow(picture, isShown(picture), { look, forget, retry, redo });
  drawTotals(pictures);
}

function look(picture, keepPlace = false) {
  const previous = pictures.find(isShown);
  show(picture, keepPlace);
  for (const each of [previous, picture]) if (pictures.includes(each)) draw(each);
}

/** Show the newest picture, if none is shown. */
export function lookAtNewest() {
  if (pictures.length && !pictures.some(isShown)) look(pictures.at(-1));
}

function drop(index) {
  const [picture] = pictures.splice(index, 1);
  const hadFocus = picture.row.contains(document.activeElement);
  picture.row.remove();
  const neighbor = pictures[Math.min(index, pictures.length - 1)];
  if (hadFocus) (neighbor?.row.querySelector("button") ?? $("files")).focus();
  if (isShown(picture)) look(neighbor ?? null);
  drawTotals(pictures);
}

/** Cancel the job of a picture; if it is over or there is none, remove the picture. */
async function forget(picture) {
  const { job } = picture;
  const index = pictures.indexOf(picture);
  const isActive = job && ["queued", "running"].includes(job.state);
  try {
    if (job) await remove(`api/jobs/${job.id}`);
  } catch (error) {
    if (error.status !== 404) showError(error.message);
  }
  if (!isActive) drop(index);
}

export async function forgetAll() {
  for (const picture of [...pictures]) {
    await forget(picture);
    if (pictures.includes(picture)) await forget(picture); // the first call only canceled it
  }
}

// ---- sending and planning ----

/** Send files to the service. */
export async function take(files) {
  const taken = [...files].map((file) => add({ name: file.name || "pasted.png", file, state: "sending", share: 0 }));
  const current = pictures.find(isShown);
  if (taken.length && (!current || current.job)) look(taken[0]);
  for (const picture of taken) await upload(picture);
}

/** Show a picture that was already sent to the service. */
export function addSent(source, name) {
  const picture = add({ name, source, state: "sending", share: 1 });
  plan(picture).then(() => (isShown(picture) || !pictures.some(isShown)) && look(picture));
}

async function upload(picture) {
  const current = version;
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
    if (current !== version) await plan(picture);
  } catch (error) {
    Object.assign(picture, { state: "refused", error: error.message || t("noAnswer") });
    announce(t("labeled", { name: picture.name, state: error.message }));
  }
  draw(picture);
  if (isShown(picture)) look(picture);
}

/** Ask for the plan of a picture with the current options. */
async function plan(picture) {
  const current = version;
  const query = recipe();
  // not every result has a quality, and only single pictures can be checked
  if (query.quality && !query.format && !/JPEG|WebP/.test(picture.plan?.format ?? "")) delete query.quality;
  if (picture.plan && !picture.plan.can_preview) delete query.check;
  try {
    const answer = await (await post("api/plan", { source: picture.source, ...query }, picture.name)).json();
    if (current !== version || picture.job) return; // the options changed, or it was started meanwhile
    Object.assign(picture, { plan: answer, query, version: current, state: "ready", error: "" });
  } catch (error) {
    if (current !== version || picture.job) return;
    Object.assign(picture, { state: error.status === 404 ? "gone" : "refused", error: error.message });
  }
  draw(picture);
}

let planning;

/** Plan all pictures again after the options have changed. */
export function optionsChanged() {
  version += 1;
  clearTimeout(planning);
  planning = setTimeout(planAll, 250);
}

async function planAll() {
  const current = version;
  for (const picture of pictures.filter((each) => !each.job && each.source)) {
    if (current !== version) return;
    await plan(picture);
  }
  const picture = pictures.find(isShown);
  if (picture && !picture.job) look(picture, true);
}

// ---- jobs ----

async function start(picture) {
  while (pictures.includes(picture)) {
    try {
      const query = { source: picture.source, ...picture.query };
      picture.isStarting = true;
      updateFromList(await (await post("api/jobs", query, picture.name)).json(), picture);
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

export async function startAll() {
  for (const picture of pictures.filter((each) => each.state === "ready")) {
    if (picture.version !== version) await plan(picture); // the options changed after it was planned
    if (picture.state === "ready") await start(picture);
  }
}

/** Update the picture of a job after an event. Events arrive in order. */
export function updateFromEvent(kind, job) {
  if (kind !== "gone") return update(job);
  const index = pictures.findIndex((each) => each.job?.id === job.id);
  if (index >= 0) drop(index);
}

/** Update the picture of a job from a response, which may be older than the latest event. */
export function updateFromList(job, picture = pictures.find((each) => each.job?.id === job.id)) {
  if (picture?.job?.id !== job.id || stage(job) >= stage(picture.job)) update(job, picture);
}

const stage = (job) => ({ queued: 0, running: 1 })[job.state] ?? 2;

function update(job, picture = pictures.find((each) => each.job?.id === job.id)) {
  // an event may arrive before the response to the request that added the job
  picture ??= pictures.find((each) => each.isStarting && each.source === job.source);
  picture ??= { name: job.name || job.id.slice(0, 8) };
  const before = picture.job?.state;
  const source = job.source || picture.source;
  Object.assign(picture, { job, plan: job, state: job.state, source, error: job.error ?? "" });
  if (pictures.includes(picture)) draw(picture);
  else add(picture);
  if (job.state !== before && ["done", "failed"].includes(job.state) && before) {
    announce(t("labeled", { name: picture.name, state: status(picture) }));
    if (isShown(picture)) look(picture, true);
  }
}

/** Return a finished picture to the state in which its options can be changed. */
async function redo(picture) {
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
