// Requests to the service. No other module makes them, except for the addresses of images and downloads.

export class Problem extends Error {
  constructor(sentence, status) {
    super(sentence);
    this.status = status;
  }
}

/** The response itself, or an exception with the message of the service. */
async function checked(response) {
  if (response.ok) return response;
  let sentence = response.statusText;
  try {
    sentence = (await response.json()).detail;
  } catch {
    // not JSON: the response of a proxy
  }
  throw new Problem(sentence, response.status);
}

export async function get(path) {
  return (await checked(await fetch(path))).json();
}

export async function post(path, query, name) {
  const headers = { "X-Name": encodeURIComponent(name) };
  return checked(await fetch(`${path}?${new URLSearchParams(query)}`, { method: "POST", headers }));
}

export async function remove(path) {
  await checked(await fetch(path, { method: "DELETE" }));
}

/** Send a picture, and resolve to its plan. Not by fetch(), which can't report the progress of an upload. */
export function send(file, query, progress) {
  return new Promise((resolve, reject) => {
    const request = new XMLHttpRequest();
    request.open("POST", `api/plan?${new URLSearchParams(query)}`);
    request.setRequestHeader("X-Name", encodeURIComponent(file.name));
    request.responseType = "json";
    request.upload.onprogress = (event) => event.lengthComputable && progress(event.loaded / event.total);
    request.onerror = () => reject(new Problem("", 0));
    request.onload = () => {
      if (request.status === 200) resolve(request.response);
      else reject(new Problem(request.response?.detail ?? request.statusText, request.status));
    };
    request.send(file);
  });
}

export async function signIn(token) {
  await checked(await fetch("api/session", { method: "POST", headers: { Authorization: `Bearer ${token}` } }));
}

/** Listen to the events of all jobs. The browser reconnects by itself, and then gets the events it missed. */
export function listen(onEvent, onLost, onOpen) {
  const source = new EventSource("api/events");
  for (const kind of ["queued", "progress", "done", "failed", "canceled", "gone"]) {
    source.addEventListener(kind, (event) => onEvent(kind, JSON.parse(event.data)));
  }
  source.onerror = onLost;
  source.onopen = onOpen;
}
