// The form with the options: their values as parameters of a request, and their validity.

import { $, t } from "./text.js";

/** The options as parameters of a request. */
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

/** Update what depends on other options. Returns whether the exact size is valid. */
export function showOptions() {
  const exact = $("exact");
  const isValid = /^(\d{1,5}x?|x\d{1,5}|\d{1,5}x\d{1,5}\+?|)$/.test(exact.value.trim());
  exact.setAttribute("aria-invalid", String(!isValid));
  $("times").value = `${(+$("scale").value).toFixed(1)}x`;
  $("scale").disabled = Boolean(exact.value.trim());
  const isLossy = ["keep", "jpg", "webp"].includes($("format").value);
  $("quality").disabled = !isLossy;
  $("percent").value = +$("quality").value && isLossy ? $("quality").value : t("default");
  return isValid;
}
