// The viewer: the picture in view, before and after, with its caption.

import { post } from "./api.js";
import { crop } from "./compare.js";
import { $, announce, t } from "./text.js";

const compare = $("compare");
let shown = null; // the picture in view
let speeds = {}; // megapixels per second by model

/** Whether a browser can show this kind of file. */
const canShow = (plan) => ["image", "animation"].includes(plan.kind);
const whole = (plan) => ({ left: 0, top: 0, width: plan.width, height: plan.height });

export const isShown = (picture) => picture === shown;

/** Label the elements, and follow the comparison. `models` are those of api/about. */
export function startViewer(models) {
  speeds = Object.fromEntries(models.map((each) => [each.name, each.megapixels_per_second]));
  compare.texts({ before: t("before"), after: t("after"), slider: t("slider"), area: t("area") });
  compare.addEventListener("region", (event) => showRegion(event.detail));
  for (const button of document.querySelectorAll("[data-zoom]")) {
    button.addEventListener("click", () => compare.setZoom(button.dataset.zoom === "fit" ? "fit" : +button.dataset.zoom));
  }
}

/** Show a picture, or nothing if it is null. With `keepPlace`, the same picture stays at its zoom and position. */
export function show(picture, keepPlace = false) {
  const previous = shown;
  shown = picture;
  const plan = picture?.plan;
  $("empty").hidden = Boolean(plan?.width);
  $("view").hidden = !plan?.width;
  if (!plan?.width) return;
  const visible = canShow(plan);
  const isDone = picture.state === "done";
  $("copy").hidden = !visible || !isDone;
  for (const id of ["compare", "zooms"]) $(id).hidden = !visible;
  $("plain").hidden = visible;
  $("plain").textContent = isDone ? t("finished") : t("noPreview");
  $("warning").hidden = !plan.warning;
  $("warning").textContent = plan.warning ?? "";
  if (visible) {
    const { width, height } = compare.size;
    if (keepPlace && previous === picture && width === plan.width && height === plan.height) compare.ask();
    else compare.open(plan.width, plan.height, isDone && previous !== picture ? "fit" : 1);
  }
  caption();
}

function caption(isWorking = false) {
  const { plan } = shown;
  const parts = [`${plan.width} \u00d7 ${plan.height}`];
  if (shown.state === "done") parts.unshift(t("final"));
  else if (plan.can_preview) parts.unshift(t("preview"));
  else if (canShow(plan)) parts.push(t("noAnimationPreview"));
  if (isWorking) parts.push(t("working"));
  else if (plan.check) {
    const psnr = plan.check.psnr ?? t("same");
    parts.push(t("checked", { psnr, bicubic: plan.check.bicubic.psnr ?? t("same") }));
  }
  if (plan.changes?.length) parts.push(t("changes", { changes: plan.changes.join(", ") }));
  $("caption").textContent = parts.join(" \u00b7 ");
  $("view").setAttribute("aria-busy", String(isWorking));
}

let isBusy = false;
let wanted = null; // the latest region, if it is still to be fetched

/** Fetch the region in view. While one is being fetched, only the latest one after it is remembered. */
async function showRegion(region) {
  for (const button of document.querySelectorAll("[data-zoom]")) {
    const { zoom } = button.dataset;
    button.setAttribute("aria-pressed", String(compare.zoom === (zoom === "fit" ? compare.fit : +zoom)));
  }
  wanted = region;
  if (isBusy) return;
  isBusy = true;
  while (wanted && shown) {
    const next = wanted;
    wanted = null;
    try {
      await (shown.state === "done" ? showResult(shown, next) : showPreview(shown, next));
    } catch (error) {
      if (shown && error.status !== 404) $("caption").textContent = error.message;
    }
  }
  isBusy = false;
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
  const { plan, source, query } = picture;
  if (picture.state === "sending" || picture.state === "refused" || !query) return;
  if (picture.file && !compare.querySelector(".back")) {
    for (const side of ["before", "after"]) {
      await compare.show(side, URL.createObjectURL(picture.file), whole(plan), "back"); // which revokes the URL
    }
  }
  if (!plan.can_preview) return caption();
  caption(true);
  const part = crop(region, speeds[plan.model]);
  const place = `${part.width}x${part.height}+${part.left}+${part.top}`;
  for (const side of ["before", "after"]) {
    const response = await post("api/preview", { source, ...query, crop: place, side }, picture.name);
    const url = URL.createObjectURL(await response.blob());
    if (picture !== shown || picture.plan !== plan) return;
    await compare.show(side, url, part, "exact");
  }
  $("view").dataset.previewed = place;
  caption();
}

/** Copy the result in view to the clipboard, as a PNG. */
export async function copyShown() {
  const { job } = shown;
  const path = job.format === "PNG" && job.bytes < 3e7 ? "result" : "view?side=after";
  const png = fetch(`api/jobs/${job.id}/${path}`).then((response) => response.blob());
  await navigator.clipboard.write([new ClipboardItem({ "image/png": png })]);
  announce(t("copied"));
  $("copy").textContent = t("copied");
  setTimeout(() => ($("copy").textContent = t("copy")), 2000);
}
