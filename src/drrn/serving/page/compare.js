// <drrn-compare>: a picture before and after, divided by a slider, with zoom and pan.
//
// It shows a region of a picture of `width` x `height` pixels. When the region has changed and no longer moves, it fires
// the event `region` with {left, top, width, height, scale}. The listener then calls show(side, url, region).

const REST = 120; // milliseconds without movement before a region is requested
const STEP = 40; // screen pixels to move by an arrow key
const MAX_ZOOM = 8;

class Compare extends HTMLElement {
  connectedCallback() {
    if (this.range) return;
    this.innerHTML = `<div class="area" tabindex="0" role="group"><div class="layer before"></div><div class="layer after">
      </div><div class="line"></div><span class="tag left"></span><span class="tag right"></span></div>
      <input class="divide" type="range" min="0" max="100" step="1" value="50">`;
    this.area = this.querySelector(".area");
    this.range = this.querySelector(".divide");
    this.size = { width: 0, height: 0 };
    this.zoom = 1;
    this.left = this.top = 0;
    this.pointers = new Map();
    this.range.addEventListener("input", () => this.divide(+this.range.value));
    this.divide(50);
    this.area.addEventListener("wheel", (event) => this.wheel(event), { passive: false });
    this.area.addEventListener("pointerdown", (event) => this.press(event));
    this.area.addEventListener("pointermove", (event) => this.drag(event));
    for (const end of ["pointerup", "pointercancel"]) {
      this.area.addEventListener(end, (event) => this.pointers.delete(event.pointerId));
    }
    this.area.addEventListener("keydown", (event) => this.key(event));
    this.observer = new ResizeObserver(() => (this.isFitted ? this.setZoom("fit") : this.moved()));
    this.observer.observe(this.area);
  }

  texts({ before, after, slider, area }) {
    this.querySelector(".tag.left").textContent = before;
    this.querySelector(".tag.right").textContent = after;
    this.range.setAttribute("aria-label", slider);
    this.area.setAttribute("aria-label", area);
  }

  /** Open another picture: the whole of it with the zoom "fit", otherwise its middle. */
  open(width, height, zoom = "fit") {
    this.size = { width, height };
    this.clear();
    this.setZoom(zoom);
  }

  clear() {
    for (const layer of this.querySelectorAll(".layer")) layer.replaceChildren();
  }

  divide(percent) {
    this.style.setProperty("--at", `${percent}%`);
  }

  /** Show an image at `region`. What was there stays until the image is loaded. */
  async show(side, url, region, kind = "") {
    const image = new Image();
    image.className = kind;
    image.src = url;
    image.alt = "";
    await image.decode().catch(() => {});
    if (url.startsWith("blob:")) URL.revokeObjectURL(url);
    Object.assign(image, { region });
    const layer = this.querySelector(`.${side}`);
    if (kind === "back") layer.prepend(image);
    else layer.append(image);
    this.place();
    const others = [...this.querySelectorAll(`.${side} img:not(.back)`)];
    for (const old of others.slice(0, -2)) old.remove();
  }

  get fit() {
    const { width, height } = this.size;
    const ratio = devicePixelRatio;
    return Math.min((this.area.clientWidth * ratio) / width, (this.area.clientHeight * ratio) / height, 1);
  }

  /** Set the zoom: screen pixels per pixel of the picture, or "fit". */
  setZoom(zoom) {
    const middle = this.middle();
    this.isFitted = zoom === "fit";
    this.zoom = zoom === "fit" ? this.fit : Math.min(Math.max(zoom, Math.min(this.fit, 1)), MAX_ZOOM);
    this.moveTo(middle.x, middle.y);
  }

  middle() {
    if (!this.view) return { x: this.size.width / 2, y: this.size.height / 2 };
    return { x: this.left + this.view.width / 2, y: this.top + this.view.height / 2 };
  }

  moveTo(x, y) {
    this.view = null;
    this.left = x;
    this.top = y;
    this.moved(true);
  }

  /** Keep the region inside the picture, move the images, and request the region after a pause. */
  moved(centered = false) {
    const { width, height } = this.size;
    if (!width || !this.area.clientWidth) return;
    const unit = this.zoom / devicePixelRatio;
    const view = { width: this.area.clientWidth / unit, height: this.area.clientHeight / unit };
    if (centered) {
      this.left -= view.width / 2;
      this.top -= view.height / 2;
    }
    this.view = view;
    this.left = view.width >= width ? (width - view.width) / 2 : Math.min(Math.max(this.left, 0), width - view.width);
    this.top = view.height >= height ? (height - view.height) / 2 : Math.min(Math.max(this.top, 0), height - view.height);
    this.place();
    clearTimeout(this.timer);
    this.timer = setTimeout(() => this.ask(), REST);
  }

  place() {
    const unit = this.zoom / devicePixelRatio;
    for (const image of this.querySelectorAll("img")) {
      const { left, top, width, height } = image.region;
      image.style.width = `${width * unit}px`;
      image.style.height = `${height * unit}px`;
      image.style.transform = `translate(${(left - this.left) * unit}px, ${(top - this.top) * unit}px)`;
      image.classList.toggle("coarse", this.zoom >= 2);
    }
  }

  /** The region in view, in whole pixels of the picture. */
  region() {
    const { width, height } = this.size;
    const left = Math.max(Math.floor(this.left), 0);
    const top = Math.max(Math.floor(this.top), 0);
    const right = Math.min(Math.ceil(this.left + this.view.width), width);
    const bottom = Math.min(Math.ceil(this.top + this.view.height), height);
    return { left, top, width: right - left, height: bottom - top, scale: Math.min(this.zoom, 1) };
  }

  ask() {
    if (!this.view) return;
    this.dispatchEvent(new CustomEvent("region", { detail: this.region() }));
  }

  /** Zoom around the point (x, y) of the screen, which stays in place. */
  zoomAt(factor, x, y) {
    this.isFitted = false;
    const box = this.area.getBoundingClientRect();
    const before = this.zoom / devicePixelRatio;
    const at = { x: this.left + (x - box.left) / before, y: this.top + (y - box.top) / before };
    this.zoom = Math.min(Math.max(this.zoom * factor, Math.min(this.fit, 1)), MAX_ZOOM);
    const after = this.zoom / devicePixelRatio;
    this.left = at.x - (x - box.left) / after;
    this.top = at.y - (y - box.top) / after;
    this.moved();
  }

  wheel(event) {
    event.preventDefault();
    this.zoomAt(Math.exp(-event.deltaY * (event.deltaMode ? 0.05 : 0.002)), event.clientX, event.clientY);
  }

  press(event) {
    if (event.button) return;
    this.area.setPointerCapture(event.pointerId);
    this.pointers.set(event.pointerId, event);
  }

  drag(event) {
    const before = this.pointers.get(event.pointerId);
    if (!before) return;
    const unit = this.zoom / devicePixelRatio;
    const other = [...this.pointers.values()].find((each) => each.pointerId !== event.pointerId);
    if (other) {
      const apart = (one) => Math.hypot(one.clientX - other.clientX, one.clientY - other.clientY) || 1;
      const x = (event.clientX + other.clientX) / 2;
      const y = (event.clientY + other.clientY) / 2;
      this.zoomAt(apart(event) / apart(before), x, y);
    }
    const share = other ? 2 : 1;
    this.left -= (event.clientX - before.clientX) / unit / share;
    this.top -= (event.clientY - before.clientY) / unit / share;
    this.pointers.set(event.pointerId, event);
    this.moved();
  }

  key(event) {
    if (event.ctrlKey || event.metaKey || event.altKey) return;
    const step = (STEP * devicePixelRatio) / this.zoom;
    const moves = { ArrowLeft: [-step, 0], ArrowRight: [step, 0], ArrowUp: [0, -step], ArrowDown: [0, step] };
    if (moves[event.key]) {
      this.left += moves[event.key][0];
      this.top += moves[event.key][1];
      this.moved();
    } else if ("123".includes(event.key)) this.setZoom(+event.key);
    else if (event.key === "0") this.setZoom("fit");
    else if ("+=-".includes(event.key)) this.setZoom(this.zoom * (event.key === "-" ? 0.8 : 1.25));
    else return;
    event.preventDefault();
  }
}

/** The middle of a region, as large as a model of this speed (megapixels per second) enlarges in about a second. */
export function crop(region, speed = 1) {
  const most = Math.min(Math.max(speed * 4e5, 6e4), 4e5);
  const factor = Math.min(Math.sqrt(most / (region.width * region.height)), 1);
  const width = Math.max(Math.floor(region.width * factor), 1);
  const height = Math.max(Math.floor(region.height * factor), 1);
  const left = region.left + Math.floor((region.width - width) / 2);
  const top = region.top + Math.floor((region.height - height) / 2);
  return { left, top, width, height };
}

customElements.define("drrn-compare", Compare);
