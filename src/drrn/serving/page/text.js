// The text of the page, which is all in en.json, and the elements that show it.

const texts = await (await fetch("en.json")).json();
export const $ = (id) => document.getElementById(id);
export const t = (key, values = {}) => texts[key].replace(/\{(\w+)\}/g, (_, name) => values[name] ?? "");

/** Announce a sentence to screen readers. */
export function announce(sentence) {
  $("say").textContent = sentence;
}

/** Show an error, or hide it if the sentence is empty. */
export function showError(sentence) {
  $("alarm").textContent = sentence;
  $("alarm").hidden = !sentence;
}

export function duration(seconds) {
  if (seconds < 90) return `${seconds < 10 ? Math.max(seconds, 0.1).toFixed(1) : Math.round(seconds)} s`;
  return seconds < 3600 ? `${Math.round(seconds / 60)} min` : `${+(seconds / 3600).toFixed(1)} h`;
}

export function bytes(count) {
  return count < 1e6 ? `${Math.max(Math.round(count / 1e3), 1)} kB` : `${(count / 1e6).toFixed(1)} MB`;
}

export const percent = (share) => `${Math.round(share * 100)} %`;

/** Make an element. An attribute such as onclick is a listener; null and false leave an attribute out. */
export function node(tag, attributes = {}, ...children) {
  const element = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) {
    if (name.startsWith("on")) element.addEventListener(name.slice(2), value);
    else if (value !== null && value !== false) element.setAttribute(name, value === true ? "" : value);
  }
  element.append(...children);
  return element;
}
