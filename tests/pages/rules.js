// Look for what keeps people out of a page. Every rule is one that axe-core has; what is found is said so that a person
// can find it in the page.
() => {
  const found = [], all = (what) => [...document.querySelectorAll(what)];
  const say = (rule, each) => found.push(`${rule}: ${each.outerHTML.slice(0, 120)}`);
  const named = (each) => (each.getAttribute("aria-label") || each.textContent || each.title || "").trim();
  if (document.documentElement.lang !== "en") found.push("html-has-lang");
  if (!document.title) found.push("document-title");
  if (all("h1").length !== 1) found.push(`page-has-heading-one: ${all("h1").length}`);
  for (const what of ["header", "main", "footer"]) if (all(`body > ${what}`).length !== 1) found.push(`landmark ${what}`);
  let level = 0;
  for (const each of all("h1, h2, h3, h4, h5, h6")) {
    if (Number(each.tagName[1]) > level + 1) say("heading-order", each);
    level = Number(each.tagName[1]);
  }
  const ids = all("[id]").map((each) => each.id);
  for (const id of ids) if (ids.filter((other) => other === id).length > 1) found.push(`duplicate-id: ${id}`);
  for (const each of all("input:not([type=hidden]), select, textarea"))
    if (!each.labels.length && !each.getAttribute("aria-label")) say("label", each);
  for (const each of all("a[href], button")) if (!named(each)) say("name", each);
  for (const each of all("[aria-labelledby], [aria-describedby]"))
    for (const id of `${each.getAttribute("aria-labelledby") || ""} ${each.getAttribute("aria-describedby") || ""}`.trim().split(/ +/))
      if (!document.getElementById(id)) say("aria-valid-attr-value", each);
  for (const each of all("main > * table, table")) if (!each.closest(".prose")) {
    if (!each.caption) say("table caption", each);
    for (const cell of each.querySelectorAll("thead th")) if (cell.scope !== "col") say("scope", cell);
  }
  for (const each of all("nav, .scroll, form[role=search]")) if (!each.getAttribute("aria-label") && !each.querySelector("label")) say("region name", each);
  for (const each of all(".scroll")) if (each.tabIndex !== 0) say("scrollable-region-focusable", each);
  for (const each of all("[tabindex]")) if (each.tabIndex > 0) say("tabindex", each);
  for (const each of all("svg")) if (!each.closest("[aria-hidden=true]") && each.getAttribute("role") !== "img") say("svg", each);
  for (const each of all("[style]")) if (!each.closest(".plot")) say("inline style", each);

  // Contrast of every text with what lies behind it (WCAG 2.2, 1.4.3).
  const known = new Map();
  const parse = (text) => { if (known.has(text)) return known.get(text); const canvas = parse.canvas ??= document.createElement("canvas").getContext("2d", { willReadFrequently: true });
    canvas.clearRect(0, 0, 1, 1); canvas.fillStyle = text; canvas.fillRect(0, 0, 1, 1); const [r, g, b, a] = canvas.getImageData(0, 0, 1, 1).data; const read = [r, g, b, a / 255]; known.set(text, read); return read; };
  const behind = (each) => { const layers = [];
    for (let at = each; at; at = at.parentElement) { const layer = parse(getComputedStyle(at).backgroundColor); if (layer[3]) layers.push(layer); if (layer[3] === 1) break; }
    return layers.reverse().reduce((under, [r, g, b, a]) => [r, g, b].map((part, index) => part * a + under[index] * (1 - a)), [255, 255, 255]); };
  const light = (colour) => { const [r, g, b] = colour.map((part) => { part /= 255; return part <= 0.04045 ? part / 12.92 : ((part + 0.055) / 1.055) ** 2.4; }); return 0.2126 * r + 0.7152 * g + 0.0722 * b; };
  const walker = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
  const seen = new Set();
  while (walker.nextNode()) {
    const each = walker.currentNode.parentElement;
    if (!walker.currentNode.data.trim() || seen.has(each) || each.closest(".hidden, script, .skip, option, datalist, title") || !each.getClientRects().length) continue;
    seen.add(each);
    const style = getComputedStyle(each), ink = each.closest("svg") ? style.fill : style.color;
    let ground = behind(each);
    const box = each.closest(".box"); if (box) ground = parse(getComputedStyle(box.querySelector("rect")).fill).slice(0, 3);
    const pair = [light(parse(ink).slice(0, 3)), light(ground)].sort((one, other) => other - one);
    const ratio = (pair[0] + 0.05) / (pair[1] + 0.05);
    if (ratio < 4.5) say(`contrast ${ratio.toFixed(2)}`, each);
  }
  return found;
}
