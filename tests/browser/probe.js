// What is looked for in a page that is laid out. Each function returns what is wrong, in words.

name(node) {
  const element = node.nodeType === Node.TEXT_NODE ? node.parentElement : node;
  const words = (node.textContent || "").trim().replace(/\s+/g, " ").slice(0, 40);
  const place = element.closest("[id]");
  return `<${element.tagName.toLowerCase()}>${words && ` "${words}"`}${place ? ` in #${place.id}` : ""}`;
},

shown(element) {
  return element.checkVisibility({ visibilityProperty: true, opacityProperty: true });
},

// Every text node that is shown: SVG's titles and descriptions are not, nor what is kept for screen readers alone.
texts() {
  const walker = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
  const found = [];
  for (let node = walker.nextNode(); node; node = walker.nextNode()) {
    const parent = node.parentElement;
    if (!node.data.trim() || !this.shown(parent) || parent.closest("title, desc, script, style, noscript")) continue;
    const range = document.createRange();
    range.selectNodeContents(node);
    const box = range.getBoundingClientRect();
    if (box.width > 0 && box.height > 0) found.push(node);
  }
  return found;
},

scrolls() {
  const root = document.documentElement;
  if (root.scrollWidth <= root.clientWidth) return [];
  const wide = [...document.body.querySelectorAll("*")].filter((element) => {
    if (element.getBoundingClientRect().right <= root.clientWidth + 0.5) return false;
    for (let up = element.parentElement; up && up !== document.body; up = up.parentElement) {
      if (getComputedStyle(up).overflowX !== "visible") return false;
    }
    return true;
  });
  return [`the page is ${root.scrollWidth} wide, the window ${root.clientWidth}: ${wide.slice(0, 3).map((e) => this.name(e)).join(", ")}`];
},

// A frame that hides what does not fit, and cannot be scrolled. A drawer that waits beside the window is not seen.
cut() {
  return [...document.body.querySelectorAll("*")]
    .filter((e) => this.shown(e) && !e.closest("svg") && e.clientWidth > 1 && e.getBoundingClientRect().right > 0)
    .filter((e) => e.scrollWidth > e.clientWidth + 1 && ["hidden", "clip"].includes(getComputedStyle(e).overflowX))
    .filter((e) => this.texts().some((node) => e.contains(node)))
    .map((e) => `${this.name(e)}: ${e.scrollWidth} wide, ${e.clientWidth} shown`);
},

scale(element) {
  const matrix = element.closest("svg") && element.getScreenCTM ? element.getScreenCTM() : null;
  return matrix ? Math.hypot(matrix.a, matrix.b) : 1;
},

small() {
  const found = new Map();
  for (const node of this.texts()) {
    const size = parseFloat(getComputedStyle(node.parentElement).fontSize) * this.scale(node.parentElement);
    if (size < 10.99) found.set(`${node.parentElement.tagName}.${node.parentElement.getAttribute("class")} ${size.toFixed(1)}`, node);
  }
  return [...found].map(([size, node]) => `${size} px: ${this.name(node)}`);
},

pictures() {
  const wrong = [];
  for (const picture of document.querySelectorAll("svg, img, canvas")) {
    if (!this.shown(picture)) continue;
    const box = picture.getBoundingClientRect();
    if (box.width < 8 || box.height < 8) wrong.push(`${this.name(picture)}: ${box.width} by ${box.height}`);
    if (picture.tagName === "IMG" && !(picture.complete && picture.naturalWidth)) wrong.push(`${this.name(picture)} is not loaded`);
    if (picture.tagName === "svg" && !picture.querySelector("rect, circle, path, polyline, line, use")) wrong.push(`${this.name(picture)} is empty`);
    for (const shape of picture.querySelectorAll("rect[width='NaN'], [class*='undefined']")) wrong.push(`${this.name(shape)}: bad`);
  }
  return wrong;
},

// The corners of a text's box on the screen, turned as the text is.
corners(text) {
  const box = text.getBBox(), matrix = text.getScreenCTM();
  // A line's box has air above and below the letters.
  const air = box.height * 0.18;
  return [[box.x, box.y + air], [box.x + box.width, box.y + air], [box.x + box.width, box.y + box.height - air], [box.x, box.y + box.height - air]]
    .map(([x, y]) => ({ x: matrix.a * x + matrix.c * y + matrix.e, y: matrix.b * x + matrix.d * y + matrix.f }));
},

// Whether two boxes share more than half a pixel: no axis of theirs separates them.
overlap(one, other) {
  for (const [a, b] of [one, other].flatMap((box) => [[box[0], box[1]], [box[1], box[2]]])) {
    const length = Math.hypot(b.x - a.x, b.y - a.y) || 1;
    const along = (p) => (p.x * (b.x - a.x) + p.y * (b.y - a.y)) / length;
    const [ones, others] = [one.map(along), other.map(along)];
    if (Math.max(...ones) - 0.5 <= Math.min(...others) || Math.max(...others) - 0.5 <= Math.min(...ones)) return false;
  }
  return true;
},

labels() {
  const wrong = [];
  for (const picture of document.querySelectorAll("svg")) {
    if (!this.shown(picture)) continue;
    const frame = picture.getBoundingClientRect();
    const texts = [...picture.querySelectorAll("text")].filter((text) => text.textContent.trim() && this.shown(text));
    const boxes = texts.map((text) => this.corners(text));
    texts.forEach((text, i) => {
      const out = boxes[i].some((p) => p.x < frame.left - 1 || p.x > frame.right + 1 || p.y < frame.top - 1 || p.y > frame.bottom + 1);
      if (out) wrong.push(`${this.name(text)} is cut off by its picture's edge`);
      for (let j = 0; j < i; j++) {
        if (this.overlap(boxes[i], boxes[j])) wrong.push(`${this.name(text)} lies over ${this.name(texts[j])}`);
      }
    });
  }
  return wrong;
},

colour(words) {
  const found = words.match(/^rgba?\(([\d.]+), ([\d.]+), ([\d.]+)(?:, ([\d.]+))?\)$/);
  return found && { rgb: [+found[1], +found[2], +found[3]], alpha: found[4] === undefined ? 1 : +found[4] };
},

over(top, below) {
  return top.rgb.map((value, i) => value * top.alpha + below[i] * (1 - top.alpha));
},

contrast(one, other) {
  const light = (rgb) => {
    const [r, g, b] = rgb.map((v) => (v / 255 <= 0.04045 ? v / 255 / 12.92 : ((v / 255 + 0.055) / 1.055) ** 2.4));
    return 0.2126 * r + 0.7152 * g + 0.0722 * b;
  };
  const [low, high] = [light(one), light(other)].sort((a, b) => a - b);
  return (high + 0.05) / (low + 0.05);
},

ground(element) {
  const layers = [];
  for (let up = element; up; up = up.parentElement) {
    const own = this.colour(getComputedStyle(up).backgroundColor);
    if (own && own.alpha > 0) layers.push(own);
    if (own && own.alpha === 1) break;
  }
  // A page without a background of its own is on the browser's canvas.
  const dark = matchMedia("(prefers-color-scheme: dark)").matches && getComputedStyle(document.documentElement).colorScheme.includes("dark");
  return layers.reduceRight((below, top) => this.over(top, below), dark ? [18, 18, 18] : [255, 255, 255]);
},

// What lies under the middle of a label: the last shape before it that covers the place.
under(text) {
  const picture = text.closest("svg");
  const box = text.getBoundingClientRect();
  const [x, y] = [box.left + box.width / 2, box.top + box.height / 2];
  let found = this.ground(picture);
  for (const shape of picture.querySelectorAll("rect, circle, path, polygon")) {
    if (shape.compareDocumentPosition(text) & Node.DOCUMENT_POSITION_PRECEDING) break;
    const own = this.colour(getComputedStyle(shape).fill), place = shape.getBoundingClientRect();
    if (!own || x < place.left || x > place.right || y < place.top || y > place.bottom) continue;
    own.alpha *= parseFloat(getComputedStyle(shape).fillOpacity);
    found = this.over(own, found);
  }
  return found;
},

faint() {
  const found = new Map();
  for (const node of this.texts()) {
    const element = node.parentElement, style = getComputedStyle(element), drawn = element.closest("svg");
    const ground = drawn ? this.under(element) : this.ground(element);
    const ink = this.colour(drawn ? style.fill : style.color);
    if (!ink) { found.set(`colour ${drawn ? style.fill : style.color}`, node); continue; }
    const size = parseFloat(style.fontSize), large = size >= 24 || (size >= 18.66 && +style.fontWeight >= 700);
    const ratio = this.contrast(this.over(ink, ground), ground);
    if (ratio < (large ? 3 : 4.5)) found.set(`${ratio.toFixed(2)} of ${this.over(ink, ground).map(Math.round)} on ${ground.map(Math.round)}`, node);
  }
  return [...found].map(([words, node]) => `contrast ${words}: ${this.name(node)}`);
},

// Shapes that say something stand out from what is behind them (WCAG 1.4.11: 3 to 1); lines of a grid are no shapes.
pale() {
  const found = new Map();
  for (const shape of document.querySelectorAll("figure svg rect, figure svg circle")) {
    if (!this.shown(shape)) continue;
    const style = getComputedStyle(shape), ground = this.ground(shape.closest("svg"));
    const paints = [style.fill, shape.tagName === "circle" ? style.stroke : "none"].map((paint) => this.colour(paint)).filter(Boolean);
    const ratio = Math.max(...paints.map((paint) => this.contrast(paint.rgb, ground)));
    if (ratio < 3) found.set(`${shape.getAttribute("class")} ${ratio.toFixed(2)}`, shape);
  }
  return [...found].map(([words, shape]) => `shape ${words}: ${this.name(shape)}`);
},

// Where keys have to lead: links, controls, and frames that scroll.
controls() {
  const scrolls = (e) => /auto|scroll/.test(getComputedStyle(e).overflow) && (e.scrollWidth > e.clientWidth + 1 || e.scrollHeight > e.clientHeight + 1);
  return [...document.querySelectorAll("a[href], button, input, select, textarea, summary, [tabindex='0'], *")]
    .filter((e, i, all) => all.indexOf(e) === i && this.shown(e) && e.tabIndex >= -1)
    .filter((e) => e.matches("a[href], button, input, select, textarea, summary, [tabindex='0']") || (e !== document.documentElement && e !== document.body && scrolls(e) && !e.querySelector("a[href], button, input, [tabindex='0']")))
    .filter((e) => e.getAttribute("tabindex") !== "-1");
},

// Number the controls; the number under the keys' focus is read by focused().
number() {
  window.numbered = this.controls();
  return window.numbered.map((e) => this.name(e));
},

focused() {
  const element = document.activeElement, style = getComputedStyle(element);
  const ring = style.outlineStyle !== "none" && parseFloat(style.outlineWidth) >= 1;
  const inner = element.querySelector && element.querySelector(".point");
  const box = element.getBoundingClientRect();
  return {
    place: window.numbered.indexOf(element),
    name: this.name(element),
    ring: ring || Boolean(inner && parseFloat(getComputedStyle(inner).strokeWidth) >= 2.9),
    inside: box.bottom > 0 && box.top < innerHeight,
  };
},
