// What the page holds: names, maps, and how shares become shades and words.
// Streams are "text" and "image"; a map of kind "text-image" has text as queries and image regions as keys.

const data = JSON.parse(document.getElementById("data").textContent);
const names = { text: data.tokens, image: data.regions };
const kinds = data.maps.map(decode);
const state = { kind: kinds[0], layer: null, head: null, form: "lines", focus: null, pinned: false, word: null };
const by = id => document.getElementById(id);

const EXPLAIN = {
  "text-text": "Self-attention of the text: each word asks the other words.",
  "text-image": "Co-attention: each word asks the image's regions.",
  "image-text": "Co-attention: each region asks the words of the text.",
  "image-image": "Self-attention of the image: each region asks the other regions.",
};
if (data.single) for (const kind in EXPLAIN) {
  EXPLAIN[kind] = "A part of a single stream's self-attention: each row as shares of this part.";
}
const TITLES = { "text-text": "Text → text", "text-image": "Text → image", "image-text": "Image → text",
  "image-image": "Image → image" };
const COLOURS = ["#d1495b", "#00798c", "#b5651d", "#3d5a98", "#6a994e", "#8e44ad", "#c2185b", "#52606d", "#0277bd",
  "#9a7b00", "#4e342e", "#00695c"];
const LABELS = 24;  // regions named at once; the others are outlined faintly
const SHADED = 16;  // regions shaded at once, those with most attention, by what is more than even
const PATTERNS = { itself: "#5b2bc4", "the word before": "#00798c", "the word after": "#d1495b", "other words": "#b9a8e6",
  "special tokens": "#c9c7d1", "the whole image": "#c9c7d1", "other regions": "#b9a8e6", words: "#b9a8e6",
  regions: "#b9a8e6" };

// A byte holds 255 times the square root of a share, so that small shares keep their digits; rows sum to one again.
function decode(map) {
  const bytes = Uint8Array.from(atob(map.bytes), letter => letter.charCodeAt(0));
  const values = new Float32Array(bytes.length);
  const [queries, keys] = map.kind.split("-");
  const width = names[keys].length;
  let largest = 0;
  for (let row = 0; row < bytes.length; row += width) {
    let sum = 0;
    for (let at = row; at < row + width; at++) sum += values[at] = (bytes[at] / 255) ** 2;
    for (let at = row; at < row + width; at++) largest = Math.max(largest, values[at] /= sum);
  }
  return { ...map, queries, keys, values, largest, means: new Map() };
}

// One map, averaged over layers, heads or both where the number is null.
function pick(kind, layer, head) {
  const size = names[kind.queries].length * names[kind.keys].length;
  const start = (l, h) => (l * kind.heads + h) * size;
  if (layer !== null && head !== null) return kind.values.subarray(start(layer, head), start(layer, head) + size);
  const name = `${layer} ${head}`;
  if (!kind.means.has(name)) {
    const mean = new Float32Array(size);
    const layers = layer === null ? [...Array(kind.layers).keys()] : [layer];
    const heads = head === null ? [...Array(kind.heads).keys()] : [head];
    for (const l of layers) for (const h of heads) {
      const from = start(l, h);
      for (let at = 0; at < size; at++) mean[at] += kind.values[from + at];
    }
    kind.means.set(name, mean.map(value => value / (layers.length * heads.length)));
  }
  return kind.means.get(name);
}

const current = () => pick(state.kind, state.layer, state.head);

// What the thing in focus attends to; or, when it is only asked, how much each that asks attends to it.
function looked() {
  const { queries, keys } = state.kind, map = current(), width = names[keys].length, { stream, index } = state.focus;
  if (stream === queries) return { stream: keys, asks: true, shares: map.slice(index * width, (index + 1) * width) };
  return { stream: queries, asks: false, shares: Float32Array.from(names[queries], (_, row) => map[row * width + index]) };
}

// Figure 10: of each region, the word that gets most of its attention, or most more than the average region gives it.
function regionWords(beyondAverage) {
  const kind = kinds.find(each => each.kind === "image-text");
  if (!kind || !data.words.length) return [];
  const map = kind === state.kind ? current() : pick(kind, null, null), width = data.tokens.length;
  const shares = data.regions.map((_, region) => data.words.map(
    word => Math.max(...word.places.map(at => map[region * width + at]))));
  const average = data.words.map((_, word) => beyondAverage
    ? shares.reduce((sum, row) => sum + row[word], 0) / shares.length : 0);
  return shares.map((row, region) => {
    const scores = row.map((share, word) => share - average[word]);
    const word = scores.indexOf(Math.max(...scores));
    return { region, word, share: row[word], score: scores[word] };
  });
}

// White is nothing, the darkest is the largest share, or four times what even attention would give.
const SHADES = [[255, 255, 255], [150, 118, 226], [58, 16, 128]];
function shade(share, largest, keys) {
  const t = 2 * Math.sqrt(Math.min(share / Math.max(largest, 4 / keys), 1)), from = t < 1 ? 0 : 1;
  return SHADES[from].map((light, i) => Math.round(light + (SHADES[from + 1][i] - light) * (t - from)));
}

const percent = share => (share >= 0.0995 ? `${Math.round(100 * share)} %` : `${(100 * share).toFixed(1)} %`);
const where = () => {
  const part = (name, number) => (number === null ? `mean of all ${name}s` : `${name} ${number}`);
  return state.layer === null && state.head === null ? "mean of all layers and heads"
    : `${part("layer", state.layer)}, ${part("head", state.head)}`;
};
