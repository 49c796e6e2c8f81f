// Talks to the service. Nothing else does, and nothing here touches the page.

export class Problem extends Error {
  constructor(sentence, status) {
    super(sentence);
    this.status = status;
  }
}

async function answered(response) {
  if (response.ok) return response;
  let sentence = response.statusText;
  try {
    sentence = (await response.json()).detail;
  } catch {
    // no JSON: a proxy between has answered
  }
  throw new Problem(sentence, response.status);
}

export async function get(path) {
  return (await answered(await fetch(path))).json();
}

export async function post(path, query, name) {
  const headers = { "X-Name": encodeURIComponent(name) };
  return answered(await fetch(`${path}?${new URLSearchParams(query)}`, { method: "POST", headers }));
}

export async function remove(path) {
  await answered(await fetch(path, { method: "DELETE" }));
}

/** Send a picture, and resolve to its plan. fetch() can't tell how much has been sent. */
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
  await answered(await fetch("api/session", { method: "POST", headers: { Authorization: `Bearer ${token}` } }));
}

/** One stream for all jobs; the browser connects again by itself, and asks for what it missed. */
export function listen(told, lost, found) {
  const source = new EventSource("api/events");
  for (const kind of ["queued", "progress", "done", "failed", "canceled", "gone"]) {
    source.addEventListener(kind, (event) => told(kind, JSON.parse(event.data)));
  }
  source.onerror = lost;
  source.onopen = found;
}
