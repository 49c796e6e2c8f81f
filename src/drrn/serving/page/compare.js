// <drrn-compare>: two pictures of one place under one slider, with zoom and pan.
//
// It shows a part of a picture of `width` x `height` pixels. When that part has changed and rests, it fires `region`
// with {left, top, width, height, scale}; whoever listens answers with show(side, url, region).

const REST = 120; // milliseconds without movement after which a part is asked for
const STEP = 40; // pixels of the screen that an arrow key moves
const MOST = 8;

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

  /** Another picture, seen as a whole, or in its middle at one pixel a pixel. */
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

  /** Put a picture where `region` is; what lies below stays until this is there. */
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

  /** Of the screen's pixels for one of the picture. */
  setZoom(zoom) {
    const middle = this.middle();
    this.isFitted = zoom === "fit";
    this.zoom = zoom === "fit" ? this.fit : Math.min(Math.max(zoom, Math.min(this.fit, 1)), MOST);
    this.moveTo(middle.x, middle.y);
  }

  middle() {
    if (!this.seen) return { x: this.size.width / 2, y: this.size.height / 2 };
    return { x: this.left + this.seen.width / 2, y: this.top + this.seen.height / 2 };
  }

  moveTo(x, y) {
    this.seen = null;
    this.left = x;
    this.top = y;
    this.moved(true);
  }

  /** Keep the part inside of the picture, show what is there, and ask for the rest. */
  moved(centered = false) {
    const { width, height } = this.size;
    if (!width || !this.area.clientWidth) return;
    const unit = this.zoom / devicePixelRatio;
    const seen = { width: this.area.clientWidth / unit, height: this.area.clientHeight / unit };
    if (centered) {
      this.left -= seen.width / 2;
      this.top -= seen.height / 2;
    }
    this.seen = seen;
    this.left = seen.width >= width ? (width - seen.width) / 2 : Math.min(Math.max(this.left, 0), width - seen.width);
    this.top = seen.height >= height ? (height - seen.height) / 2 : Math.min(Math.max(this.top, 0), height - seen.height);
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

  /** What is seen, in whole pixels of the picture. */
  region() {
    const { width, height } = this.size;
    const left = Math.max(Math.floor(this.left), 0);
    const top = Math.max(Math.floor(this.top), 0);
    const right = Math.min(Math.ceil(this.left + this.seen.width), width);
    const bottom = Math.min(Math.ceil(this.top + this.seen.height), height);
    return { left, top, width: right - left, height: bottom - top, scale: Math.min(this.zoom, 1) };
  }

  ask() {
    if (!this.seen) return;
    this.dispatchEvent(new CustomEvent("region", { detail: this.region() }));
  }

  /** Zoom so that what is under (x, y) of the screen stays there. */
  zoomAt(factor, x, y) {
    this.isFitted = false;
    const box = this.area.getBoundingClientRect();
    const before = this.zoom / devicePixelRatio;
    const at = { x: this.left + (x - box.left) / before, y: this.top + (y - box.top) / before };
    this.zoom = Math.min(Math.max(this.zoom * factor, Math.min(this.fit, 1)), MOST);
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

/** The middle of what is seen, as large as the model makes in about a second. */
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
