// stibgate's console. Every page works without this file but the live tail and the charts.
"use strict";

(() => {
  const one = (selector, root = document) => root.querySelector(selector);
  const all = (selector, root = document) => [...root.querySelectorAll(selector)];

  // -- keys ---------------------------------------------------------------------------------------------------------

  const rows = () => all("[data-rows] > tr").filter((row) => one("a[href]", row));

  function move(step) {
    const list = rows();
    if (!list.length) return;
    const at = list.findIndex((row) => row.getAttribute("aria-selected") === "true");
    const next = Math.min(Math.max(at < 0 ? (step > 0 ? 0 : list.length - 1) : at + step, 0), list.length - 1);
    list.forEach((row, index) => (index === next ? row.setAttribute("aria-selected", "true") : row.removeAttribute("aria-selected")));
    const link = one("a[href]", list[next]);
    link.focus({ preventScroll: true });
    list[next].scrollIntoView({ block: "nearest" });
  }

  const keys = {
    j: () => move(1),
    k: () => move(-1),
    "/": () => one("[data-search]")?.focus(),
    r: () => {
      const replay = one("[data-replay]");
      replay?.scrollIntoView({ block: "nearest" });
      replay?.focus();
    },
    "?": () => one("#keys")?.showModal(),
  };

  document.addEventListener("keydown", (event) => {
    const typing = event.target.closest?.("input, select, textarea, dialog");
    if (typing || event.ctrlKey || event.metaKey || event.altKey || !(event.key in keys)) return;
    event.preventDefault();
    keys[event.key]();
  });

  for (const button of all("[data-keys]")) {
    button.hidden = false;
    button.addEventListener("click", keys["?"]);
  }

  // -- choosing rows ------------------------------------------------------------------------------------------------

  for (const box of all("[data-all]")) {
    box.hidden = false;
    const boxes = () => all(`input[type=checkbox][name=${box.dataset.all}]`);
    box.addEventListener("change", () => boxes().forEach((each) => (each.checked = box.checked)));
  }

  // -- copying ------------------------------------------------------------------------------------------------------

  for (const button of all("[data-copy]")) {
    button.hidden = false;
    button.addEventListener("click", async () => {
      const text = button.dataset.copy || location.href;
      const word = button.textContent;
      try {
        await navigator.clipboard.writeText(text);
        button.textContent = "Copied";
      } catch {
        button.textContent = "Not allowed here";
      }
      setTimeout(() => (button.textContent = word), 1500);
    });
  }
})();
