// Which map is looked at: its kind, layer and head. This part comes last and draws the page.

function choose(changes) {
  Object.assign(state, changes);
  draw();
  remember();
}

function draw() {
  by("kinds").replaceChildren(...kinds.map(kind => {
    const tab = button(null, TITLES[kind.kind], {}, () => choose({ kind, layer: null, head: null }));
    tab.setAttribute("aria-pressed", kind === state.kind);
    return tab;
  }));
  by("forms").replaceChildren(...["lines", "matrix"].map(form => {
    const choice = button(null, form, {}, () => choose({ form }));
    choice.setAttribute("aria-pressed", form === state.form);
    return choice;
  }));
  by("explain").textContent = EXPLAIN[state.kind.kind];
  const title = where();
  by("detail-title").textContent = title[0].toUpperCase() + title.slice(1);
  drawOverview();
  drawPattern();
  drawFocus();
}

// The address keeps what is looked at, so that it can be gone back to and passed on.
function remember() {
  const { kind, layer, head, form, focus, pinned } = state;
  const parts = { kind: kind.kind, layer: layer ?? "mean", head: head ?? "mean", form };
  if (pinned) parts.focus = `${focus.stream}.${focus.index}`;
  history.replaceState(null, "", "#" + new URLSearchParams(parts));
}

function recall() {
  const parts = new URLSearchParams(location.hash.slice(1));
  const number = (name, count) => {
    const value = Number.parseInt(parts.get(name), 10);
    return value >= 0 && value < count ? value : null;
  };
  state.kind = kinds.find(kind => kind.kind === parts.get("kind")) || kinds[0];
  state.layer = number("layer", state.kind.layers);
  state.head = number("head", state.kind.heads);
  state.form = parts.get("form") === "matrix" ? "matrix" : "lines";
  const [stream, index] = (parts.get("focus") || "").split(".");
  if (names[stream] && names[stream][index] !== undefined) {
    Object.assign(state, { focus: { stream, index: Number(index) }, pinned: true });
  }
}

Object.assign(by("text"), { textContent: data.text, title: data.text });
for (const fact of data.facts) element("span", { textContent: fact }, by("facts"));
by("detail").onmousemove = event => point(detail.hit(event.offsetX, event.offsetY));
by("detail").onmouseleave = () => point(null);
by("detail").onclick = event => pin(detail.hit(event.offsetX, event.offsetY));
document.onkeydown = event => { if (event.key === "Escape") pin(null); };
window.onresize = draw;
setUpPhoto();
recall();
draw();
