// What the page says, in the language of en.json, and how it makes its elements.

const texts = await (await fetch("en.json")).json();
export const $ = (id) => document.getElementById(id);
export const t = (key, values = {}) => texts[key].replace(/\{(\w+)\}/g, (_, name) => values[name] ?? "");

export function duration(seconds) {
  if (seconds < 90) return `${seconds < 10 ? Math.max(seconds, 0.1).toFixed(1) : Math.round(seconds)} s`;
  return seconds < 3600 ? `${Math.round(seconds / 60)} min` : `${+(seconds / 3600).toFixed(1)} h`;
}

export function bytes(count) {
  return count < 1e6 ? `${Math.max(Math.round(count / 1e3), 1)} kB` : `${(count / 1e6).toFixed(1)} MB`;
}

export const percent = (share) => `${Math.round(share * 100)} %`;

export function node(tag, attributes = {}, ...children) {
  const made = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) {
    if (name.startsWith("on")) made.addEventListener(name.slice(2), value);
    else if (value !== null && value !== false) made.setAttribute(name, value === true ? "" : value);
  }
  made.append(...children);
  return made;
}
