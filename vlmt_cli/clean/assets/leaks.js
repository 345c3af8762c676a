"use strict";
const leaks = JSON.parse(document.getElementById("leaks").textContent);
const AT_ONCE = 50;
const HOW = {
  flickr: "one Flickr photo", url: "one address", file: "the same file", pixels: "the same pixels",
  perceptual: "looks the same", embedding: "much the same to a network",
};
const rows = leaks.rows.map(row => ({
  file: row[0], benchmark: row[1], image: row[2], key: row[3], written: row[4], how: row[5], records: row[6],
  numbers: row[7], ids: row[8], hasText: row[9], said: row[10] || "", photo: row[11] || "", testPhoto: row[12] || "",
  searched: [row[2], row[3], row[4], ...row[8]].join("\n").toLowerCase(),
}));
const at = id => document.getElementById(id);
const cells = Array.from(document.querySelectorAll("button[data-benchmark]"));
let chosen = {benchmark: null, file: null}, found = rows, drawn = 0;

// Text goes into the page as text alone, whatever it holds.
const element = (tag, text, name) => {
  const made = document.createElement(tag);
  if (text !== undefined) made.textContent = text;
  if (name) made.className = name;
  return made;
};
const counted = (number, noun) => `${number.toLocaleString("en")} ${noun}${number === 1 ? "" : "s"}`;

const how = row => {
  if (row.how === "id") return `${row.key || row.image}, by its name`;
  if (row.how === "crosswalk") return `${row.key} = ${row.image}`;
  return HOW[row.how] || row.how;
};

const facts = pairs => {
  const list = element("dl");
  for (const [name, value] of pairs) if (value) list.append(element("dt", name), element("dd", value));
  return list;
};

const side = (title, photo, name, pairs, texts) => {
  const part = element("div");
  part.append(element("h4", title));
  if (photo && leaks.photos[photo]) {
    const picture = element("img");
    picture.src = leaks.photos[photo];
    picture.alt = name;
    part.append(picture);
  }
  part.append(facts(pairs));
  for (const text of texts) if (text) part.append(element("p", text, "said"));
  return part;
};

const card = row => {
  const item = element("li"), head = element("h3"), both = element("div", undefined, "two");
  head.append(element("span", row.image), element("span", how(row), "chip"));
  if (row.hasText) head.append(element("span", "image and text", "chip text"));
  const shown = row.numbers.join(", ") + (row.records > row.numbers.length ? ", ..." : "");
  const ids = row.ids.join(", ") + (row.records > row.ids.length && row.ids.length ? ", ..." : "");
  both.append(
    side(`In training: ${leaks.files[row.file]}`, row.photo, row.written || row.key,
      [["image", row.written], ["key", row.key === row.written ? "" : row.key], [counted(row.records, "record"), shown], ["id", ids]], [row.said]),
    side(`In the benchmark: ${leaks.benchmarks[row.benchmark]}`, row.testPhoto, row.image,
      [["image", row.image]], leaks.asked[`${row.benchmark} ${row.image}`] || []),
  );
  item.append(head, both);
  return item;
};

const draw = () => {
  const next = found.slice(drawn, drawn + AT_ONCE);
  at("images").append(...next.map(card));
  drawn += next.length;
  at("more").hidden = drawn >= found.length;
};

const title = () => {
  const {benchmark, file} = chosen;
  if (benchmark === null) return "All images";
  return leaks.benchmarks[benchmark] + (file === null ? "" : ` in ${leaks.files[file]}`);
};

const show = () => {
  const wanted = at("search").value.trim().toLowerCase();
  found = rows.filter(row => (chosen.benchmark === null || row.benchmark === chosen.benchmark)
    && (chosen.file === null || row.file === chosen.file) && row.searched.includes(wanted));
  for (const cell of cells) {
    const is = Number(cell.dataset.benchmark) === chosen.benchmark
      && (cell.dataset.file === "" ? null : Number(cell.dataset.file)) === chosen.file;
    cell.setAttribute("aria-pressed", String(is));
  }
  at("chosen").textContent = title();
  at("images").replaceChildren();
  drawn = 0;
  draw();
  // Which benchmark's they are counts: an image that two of them use is a leak of both.
  const images = new Set(found.map(row => `${row.benchmark} ${row.image}`)).size;
  at("count").textContent = found.length
    ? `${counted(images, "test image")}${wanted ? ` match “${at("search").value.trim()}”` : ""}.`
    : "Nothing matches.";
};

for (const cell of cells) {
  cell.onclick = () => {
    chosen = {
      benchmark: Number(cell.dataset.benchmark), file: cell.dataset.file === "" ? null : Number(cell.dataset.file),
    };
    show();
    at("chosen").focus();
  };
}
at("all").onclick = () => {
  chosen = {benchmark: null, file: null};
  at("search").value = "";
  show();
};
at("search").oninput = show;
at("more").onclick = draw;
at("copy").onclick = async () => {
  // One line an image, as the mixture names it.
  const lines = Array.from(new Set(found.map(row => row.written || row.key)));
  const list = at("excluded");
  list.value = lines.map(line => line + "\n").join("");
  let done = false;
  try {
    await navigator.clipboard.writeText(list.value);
    done = true;
  } catch (refused) {  // a page from the disk may not, in some browsers
    list.hidden = false;
    list.select();
    done = document.execCommand("copy");
    list.hidden = true;
  }
  const part = rows.length < leaks.all ? ` Only those on this page; ${leaks.table} has all.` : "";
  at("count").textContent = done ? `Copied: ${counted(lines.length, "image")}, a line each.${part}`
    : `This browser does not let a page copy; ${leaks.table} has the list.`;
};
if (rows.length) {
  at("list").hidden = false;
  show();
}
