// The form of options: what it asks the service for, and whether that makes sense.

import { $, t } from "./text.js";

/** The parameters of a request. */
export function recipe() {
  const query = {};
  const exact = $("exact").value.trim();
  if (exact) query.size = exact;
  else query.scale = $("scale").value;
  if ($("model").value !== "auto") query.model = $("model").value;
  if ($("format").value !== "keep") query.format = $("format").value;
  if (+$("quality").value && !$("quality").disabled) query.quality = $("quality").value;
  if (!$("metadata").checked) query.metadata = "drop";
  if ($("check").checked) query.check = "true";
  return query;
}

/** Show what depends on other options; whether the exact size is sound. */
export function showOptions() {
  const exact = $("exact");
  const sound = /^(\d{1,5}x?|x\d{1,5}|\d{1,5}x\d{1,5}\+?|)$/.test(exact.value.trim());
  exact.setAttribute("aria-invalid", String(!sound));
  $("times").value = `${(+$("scale").value).toFixed(1)}x`;
  $("scale").disabled = Boolean(exact.value.trim());
  const lossy = ["keep", "jpg", "webp"].includes($("format").value);
  $("quality").disabled = !lossy;
  $("percent").value = +$("quality").value && lossy ? $("quality").value : t("default");
  return sound;
}
