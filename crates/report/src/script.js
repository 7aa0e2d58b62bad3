"use strict";
(() => {
  const all = (s, of) => Array.from((of || document).querySelectorAll(s));
  // Columns sort by their button; the first press gives the order that matters most for figures.
  all("table.sortable").forEach((table) => {
    all("thead th", table).forEach((head, column) => {
      const button = head.querySelector("button");
      if (!button) return;
      button.addEventListener("click", () => {
        const down = head.getAttribute("aria-sort") === "ascending";
        all("th", head.parentNode).forEach((h) => h.removeAttribute("aria-sort"));
        head.setAttribute("aria-sort", down ? "descending" : "ascending");
        const key = (row) => {
          const cell = row.cells[column];
          return cell.dataset.value === undefined ? cell.textContent : Number(cell.dataset.value);
        };
        const order = (a, b) => (typeof a === "number" ? a - b : a.localeCompare(b));
        const rows = Array.from(table.tBodies[0].rows);
        rows.sort((a, b) => (down ? -1 : 1) * order(key(a), key(b)));
        rows.forEach((row) => table.tBodies[0].append(row));
      });
    });
  });
  const search = document.getElementById("search");
  let label = "";
  const filter = () => {
    const text = search ? search.value.trim().toLowerCase() : "";
    all("table.sortable tbody tr").forEach((row) => {
      const fits = (!label || row.dataset.label === label) && (!text || row.textContent.toLowerCase().includes(text));
      row.hidden = !fits;
      const link = row.querySelector("a");
      const page = link && document.getElementById(link.hash.slice(1));
      if (page) page.hidden = !fits;
    });
  };
  all("[data-filter]").forEach((button) =>
    button.addEventListener("click", () => {
      label = button.dataset.filter;
      all("[data-filter]").forEach((b) => b.setAttribute("aria-pressed", String(b === button)));
      filter();
    })
  );
  if (search) search.addEventListener("input", filter);
  document.addEventListener("input", (event) => {
    const slider = event.target.closest && event.target.closest("[data-heat-slider]");
    if (!slider) return;
    const heat = slider.closest("figure").querySelector("[data-heat]");
    if (heat) heat.style.opacity = slider.value / 100;
  });
  const open = () => {
    const page = location.hash && document.getElementById(location.hash.slice(1));
    if (page && page.tagName === "DETAILS") page.open = true;
  };
  window.addEventListener("hashchange", open);
  open();
  window.addEventListener("beforeprint", () => all("details.file").forEach((d) => (d.open = true)));
  // j and k go to the next and the one before.
  document.addEventListener("keydown", (event) => {
    if (event.ctrlKey || event.metaKey || event.altKey || /^(INPUT|TEXTAREA|SELECT)$/.test(event.target.tagName)) return;
    const step = { j: 1, k: -1 }[event.key];
    if (!step) return;
    const pages = all("details.file").filter((d) => !d.hidden);
    const at = pages.findIndex((d) => d.contains(document.activeElement));
    const next = pages[Math.max(0, Math.min(pages.length - 1, at < 0 ? 0 : at + step))];
    if (!next) return;
    next.open = true;
    next.querySelector("summary").focus();
    next.scrollIntoView({ block: "start" });
  });
})();
