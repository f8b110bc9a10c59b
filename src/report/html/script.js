"use strict";
// The theme: the system's, until the button says otherwise.
const root = document.documentElement;
const stored = (() => { try { return localStorage.getItem("theme"); } catch { return null; } })();
if (stored === "light" || stored === "dark") root.dataset.theme = stored;
document.getElementById("theme").addEventListener("click", () => {
  const dark = root.dataset.theme ? root.dataset.theme === "dark" : matchMedia("(prefers-color-scheme: dark)").matches;
  root.dataset.theme = dark ? "light" : "dark";
  try { localStorage.setItem("theme", root.dataset.theme); } catch { /* a page opened from a file may not store */ }
});
// A heading sorts by its column; empty cells stay last, a second press turns the order round.
for (const button of document.querySelectorAll("table.layers th button")) {
  button.addEventListener("click", () => {
    const head = button.parentElement, table = head.closest("table"), column = head.cellIndex;
    const down = head.getAttribute("aria-sort") === "ascending";
    for (const other of table.querySelectorAll("th")) other.removeAttribute("aria-sort");
    head.setAttribute("aria-sort", down ? "descending" : "ascending");
    const key = (row) => row.cells[column].dataset.v;
    const compare = (a, b) => (isNaN(a) || isNaN(b) ? String(a).localeCompare(b) : a - b) * (down ? -1 : 1);
    const rows = [...table.tBodies[0].rows].sort((r, s) => {
      const a = key(r), b = key(s);
      return a === undefined || b === undefined ? (a === undefined) - (b === undefined) : compare(a, b);
    });
    table.tBodies[0].append(...rows);
  });
}
// On paper everything is open.
addEventListener("beforeprint", () => document.querySelectorAll("details.more").forEach((d) => { d.open = true; }));
