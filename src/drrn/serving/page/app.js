// The page: its start, its controls, and the events of the service.

import { get, listen, signIn } from "./api.js";
import { showOptions } from "./options.js";
import { addSent, forgetAll, lookAtNewest, optionsChanged, startAll, take, updateFromEvent, updateFromList } from "./pictures.js";
import { drawTotals } from "./rows.js";
import { $, duration, node, showError, t } from "./text.js";
import { copyShown, startViewer } from "./viewer.js";

function translate() {
  for (const each of document.querySelectorAll("[data-text]")) each.textContent = t(each.dataset.text);
  for (const each of document.querySelectorAll("[data-label]")) each.setAttribute("aria-label", t(each.dataset.label));
}

function connectControls() {
  for (const id of ["scale", "exact", "model", "format", "quality", "metadata", "check"]) {
    $(id).addEventListener("input", () => showOptions() && optionsChanged());
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
  $("copy").addEventListener("click", () => copyShown().catch((error) => showError(error.message)));
  $("clear").addEventListener("click", forgetAll);
}

/** Fill in the models and formats that the service offers. */
function offer(about) {
  $("model").append(node("option", { value: "auto", selected: true }, t("auto")));
  for (const model of about.models) {
    const text = t("speed", { name: model.name, speed: model.megapixels_per_second });
    $("model").append(node("option", { value: model.name }, text));
  }
  for (const format of ["keep", "png", "jpg", "webp", "tif"]) {
    $("format").append(node("option", { value: format }, format === "keep" ? t("keep") : format.toUpperCase()));
  }
  document.querySelector("[data-text=private]").textContent = t("private", { keep: duration(about.limits.keep_seconds) });
}

/** The parameters in the fragment of the address, which is then cleared: they may contain the token. */
function takeFragment() {
  const parameters = [...new URLSearchParams(location.hash.slice(1))];
  if (location.hash) history.replaceState(null, "", location.pathname);
  return parameters;
}

/** Show the pictures that drrn serve --open has sent: the fragment has a `picture` and a `name` for each. */
function addOpened(parameters) {
  let name = null;
  for (const [key, value] of parameters.reverse()) {
    if (key === "name") name = value;
    if (key === "picture") addSent(value, name ?? value);
  }
}

async function loadJobs() {
  for (const job of await get("api/jobs")) updateFromList(job);
}

async function start() {
  translate();
  connectControls();
  const parameters = takeFragment();
  const token = parameters.find(([key]) => key === "token");
  if (token) await signIn(token[1]);
  const about = await get("api/about");
  startViewer(about.models);
  offer(about);
  showOptions();
  drawTotals([]);
  await loadJobs();
  addOpened(parameters);
  lookAtNewest();
  listen(updateFromEvent, () => showError(t("lost")), async () => {
    showError("");
    await loadJobs(); // for events that were missed
  });
  document.body.dataset.ready = "true";
}

start().catch((error) => showError(error.status === 401 ? t("token") : t("failed", { sentence: error.message })));
