// The list as it appears on the page: a row for each picture, and the totals below.

import { $, bytes, duration, node, percent, t } from "./text.js";

/** The sentence about the state of a picture. */
export function status(picture) {
  const { state, plan, job, error } = picture;
  if (state === "sending") return picture.share < 1 ? t("sending", { percent: percent(picture.share) }) : t("reading");
  if (error) return error;
  if (state === "queued") return t("queued", { place: job.place });
  if (state === "running") {
    return job.share ? t("running", { percent: percent(job.share), time: duration(job.seconds_left) }) : t("starting");
  }
  if (state === "done") return t("done", { model: job.model, size: bytes(job.bytes), time: duration(job.took) });
  if (state === "canceled") return t("canceled");
  return t("about", { model: plan.model, time: duration(plan.seconds) });
}

function sizes({ plan }) {
  if (!plan?.width) return "";
  const from = plan.source_width ? `${plan.source_width} \u00d7 ${plan.source_height}` : "";
  return t("becomes", { from, to: `${plan.width} \u00d7 ${plan.height}` });
}

/**
 * Draw the row of a picture.
 *
 * `actions` are the functions to call with the picture: look, forget, retry and redo.
 */
export function drawRow(picture, isShown, actions) {
  const { row, state, name } = picture;
  if (row.querySelector("progress") && row.className === state) return updateRow(picture, isShown);
  const focused = row.contains(document.activeElement) ? document.activeElement.dataset.act : null;
  const parts = [summary(picture, isShown, actions), buttons(picture, actions)];
  if (["running", "sending"].includes(state)) {
    parts.push(node("progress", { max: 1, value: share(picture), "aria-label": t("labeled", { name, state: status(picture) }) }));
  }
  row.className = state;
  row.replaceChildren(...parts);
  if (focused) (row.querySelector(`[data-act=${focused}]`) ?? row.querySelector("button")).focus();
}

const share = ({ state, job, share }) => (state === "running" ? job.share : share);
const isBad = ({ state }) => ["refused", "failed", "gone"].includes(state);

/** Change the progress of a row but keep its elements: a click on a button that is replaced meanwhile would be lost. */
function updateRow(picture, isShown) {
  const { row, name } = picture;
  const bar = row.querySelector("progress");
  row.querySelector(".state").textContent = status(picture);
  bar.value = share(picture);
  bar.ariaLabel = t("labeled", { name, state: status(picture) });
  row.querySelector(".select").ariaCurrent = isShown ? "true" : null;
}

function summary(picture, isShown, { look }) {
  const select = node(
    "button",
    { class: "select", "data-act": "select", "aria-current": isShown ? "true" : null, onclick: () => look(picture) },
    node("span", { class: "name" }, picture.name),
    node("span", { class: "faint" }, sizes(picture)),
    node("span", { class: isBad(picture) ? "bad" : "state" }, status(picture)),
  );
  if (picture.state === "ready" && picture.plan.why) {
    select.append(node("span", { class: "faint why" }, picture.plan.why));
  }
  return select;
}

function buttons(picture, { forget, retry, redo }) {
  const { state, name, job } = picture;
  const act = (key, action, symbol) =>
    node("button", { class: "quiet", "data-act": key, "aria-label": t(key, { name }), title: t(key, { name }), onclick: () => action(picture) }, symbol);
  const box = node("div", { class: "actions" });
  const hasSource = picture.file || picture.source;
  if (state === "done") {
    const link = { class: "button quiet", href: `api/jobs/${job.id}/result`, download: job.name, "data-act": "download" };
    box.append(node("a", { ...link, "aria-label": t("download", { name: job.name }), title: job.name }, "\u2193"));
  }
  if ((isBad(picture) && hasSource) || state === "canceled") box.append(act("retry", retry, "\u21bb"));
  if (state === "done" && hasSource) box.append(act("redo", redo, "\u21bb"));
  box.append(act(["queued", "running"].includes(state) ? "cancel" : "remove", forget, "\u00d7"));
  return box;
}

/** Draw what follows from all pictures: the button that starts them, their total time, and the archive. */
export function drawTotals(pictures) {
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
