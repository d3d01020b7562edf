// Before anything is drawn, so that a dark page never flashes white.
(() => {
  "use strict";
  try {
    const wish = localStorage.getItem("theme");
    if (wish === "dark" || wish === "light") document.documentElement.dataset.theme = wish;
  } catch { /* no storage: the system's wish holds */ }
})();
