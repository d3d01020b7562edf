// What the pages do beyond links and forms: actions with confirmation, local times, the theme.
// Everything works without it but for these comforts: a button is a link to the same question on a page of its own.
"use strict";

(() => {
  // ---- times

  const local = new Intl.DateTimeFormat(undefined, { dateStyle: "short", timeStyle: "short" });

  function ago(seconds) {
    const parts = [];
    let left = Math.floor(Math.abs(seconds));
    for (const [unit, span] of [["d", 86400], ["h", 3600], ["min", 60], ["s", 1]]) {
      const amount = Math.floor(left / span);
      left -= amount * span;
      if (amount || (unit === "s" && !parts.length)) parts.push(`${amount} ${unit}`);
    }
    return (seconds < 0 ? "in " : "") + parts.slice(0, 2).join(" ");
  }

  function times(root) {
    for (const one of root.querySelectorAll("time[datetime]")) {
      const moment = new Date(one.dateTime);
      one.textContent = one.matches(MOVING) ? moving(one) : local.format(moment);
    }
  }

  const MOVING = "time[data-age], time[data-ahead]";

  function moving(one) {
    const seconds = (Date.now() - new Date(one.dateTime)) / 1000;
    return one.hasAttribute("data-ahead") && seconds >= 0 ? "any moment" : ago(seconds);
  }

  // ---- the theme

  function isDark() {
    const wish = document.documentElement.dataset.theme;
    return wish ? wish === "dark" : matchMedia("(prefers-color-scheme: dark)").matches;
  }

  function theme() {
    const button = document.getElementById("theme");
    const name = () => { button.textContent = isDark() ? "Light" : "Dark"; };
    button.hidden = false;
    name();
    matchMedia("(prefers-color-scheme: dark)").addEventListener("change", name);
    button.addEventListener("click", () => {
      const wish = isDark() ? "light" : "dark";
      document.documentElement.dataset.theme = wish;
      try { localStorage.setItem("theme", wish); } catch { /* for this page only */ }
      name();
      document.dispatchEvent(new Event("theme-changed"));
    });
  }

  // ---- actions

  const WHAT = {
    retry: "It becomes due now, and its failures are forgotten.",
    release: "It goes on from where it stands; no proof is skipped.",
    cancel: "Nothing more of it moves until somebody releases it. What stands at the store already is finished.",
    pause: "Nothing moves there until somebody resumes it.",
    resume: "It is used again at once.",
    prioritise: "It goes before everything of a lower level.",
    limit: "At most this much leaves the lab's machine, at once and instead of the timetable.",
    unlimit: "The timetable holds again.",
    timetable: "This timetable holds at once, instead of the config's.",
    untimetable: "The timetable of the config holds again.",
    run: "The round is walked now, although it is not due.",
  };
  const NEED = new Set(["cancel", "pause", "limit", "timetable"]);
  const dialog = document.getElementById("act");
  const part = (name) => document.getElementById(`act-${name}`);
  let asked = null;

  function ask(button) {
    asked = { ...button.dataset, opener: button };
    part("title").textContent = `${button.dataset.label}: ${button.dataset.name}`;
    part("what").textContent = WHAT[asked.action] || "";
    part("go").textContent = button.dataset.label;
    part("why").value = "";
    part("why-need").textContent = NEED.has(asked.action) ? "(needed)" : "(for the audit log)";
    part("level").hidden = asked.action !== "prioritise";
    part("rate").hidden = asked.action !== "limit";
    part("week").hidden = asked.action !== "timetable";
    part("week-field").value = asked.now || "";
    part("refused").hidden = true;
    part("go").disabled = false;
    say(""); // what came of the last one is over, and the same words are heard again
    dialog.showModal();
    part("why").focus();
  }

  function body() {
    const why = part("why").value.trim();
    if (asked.action === "run") return {};
    const sent = asked.target.startsWith("hold:") ? { hold: asked.target.slice(5) } : { target: asked.target };
    if (why) sent.why = why;
    if (asked.action === "prioritise") sent.level = Number(part("level-field").value);
    if (asked.action === "timetable") {
      sent.entries = part("week-field").value.split("\n").map((one) => one.trim()).filter(Boolean);
    }
    if (asked.action === "limit") {
      sent.rate = part("rate-field").value.trim();
      if (part("hours-field").value) sent.seconds = Math.round(Number(part("hours-field").value) * 3600);
    }
    return sent;
  }

  function path() {
    if (asked.action === "run") return `/api/v1/schedule/${encodeURIComponent(asked.target)}/run`;
    return `/api/v1/actions/${asked.target.startsWith("hold:") ? "release-all" : asked.action}`;
  }

  function changed(answer) {
    const parts = [];
    for (const [key, one] of [["files", "file"], ["sessions", "session"], ["batches", "transfer"]]) {
      if (answer[key]) parts.push(`${answer[key]} ${one}${answer[key] === 1 ? "" : one === "transfer" ? "s" : "s"}`);
    }
    if (answer.endpoints && answer.endpoints.length) parts.push(answer.endpoints.join(", "));
    const what = parts.length ? `Done: ${parts.join(", ")}.` : "Done; it stood like this already.";
    return answer.heard === false ? `${what} No worker heard of it: they look by themselves within a minute.` : what;
  }

  function say(words, bad) {
    const place = document.getElementById("said");
    place.textContent = words;
    place.classList.toggle("bad", Boolean(bad));
  }

  async function send() {
    if (NEED.has(asked.action) && !part("why").value.trim()) return refuse("Say why: it is shown wherever this waits.");
    part("go").disabled = true;
    try {
      const answer = await fetch(path(), {
        method: "POST",
        headers: {
          "Content-Type": "application/json",
          "Accept": "application/json",
          "X-CSRF-Token": document.querySelector('meta[name="csrf-token"]').content,
        },
        body: JSON.stringify(body()),
      });
      const told = await answer.json();
      if (!answer.ok) return refuse(told.detail || `It was refused (${answer.status}).`);
      dialog.close();
      await renew().catch(() => {}); // it is done, whether or not the page can be loaded again
      say(changed(told));
    } catch {
      refuse("The dashboard cannot be reached. Whether it was done is not known; it may be repeated.");
    }
    return undefined;
  }

  function confirm() {
    if (!part("go").disabled) send();
  }

  function refuse(words) {
    part("refused").textContent = words;
    part("refused").hidden = false;
    part("go").disabled = false;
  }

  // The page as it stands now, with focus and what was said kept.
  async function renew() {
    const answer = await fetch(location.href, { headers: { Accept: "text/html" } });
    if (!answer.ok) return;
    const fresh = new DOMParser().parseFromString(await answer.text(), "text/html").getElementById("main");
    const main = document.getElementById("main");
    if (!fresh) return; // the login is over, and this is its page
    fresh.querySelectorAll("script").forEach((one) => one.remove());
    // By htmx, which ends the streams of what it takes away: a browser opens six at most, and then loads nothing more.
    htmx.swap(main, fresh.innerHTML, { swapStyle: "innerHTML" });
    ready(main);
    document.dispatchEvent(new Event("parts-changed"));
    main.focus({ preventScroll: true });
  }

  function acting() {
    document.addEventListener("click", (event) => {
      const button = event.target.closest("[data-action]");
      if (!button || event.ctrlKey || event.metaKey || event.shiftKey) return;
      event.preventDefault();
      ask(button);
    });
    document.addEventListener("keydown", (event) => {
      if (event.key === " " && event.target.matches && event.target.matches("a[data-action]")) {
        event.preventDefault();
        ask(event.target);
      }
    });
    part("go").addEventListener("click", confirm);
    part("leave").addEventListener("click", () => dialog.close());
    dialog.addEventListener("submit", (event) => { event.preventDefault(); confirm(); });
    // Enter in a field of one line means the button; in the reason it is a new line.
    dialog.addEventListener("keydown", (event) => {
      if (event.key !== "Enter" || event.isComposing || !event.target.matches("input")) return;
      event.preventDefault();
      confirm();
    });
    dialog.addEventListener("close", () => { if (asked && asked.opener.isConnected) asked.opener.focus(); });
  }

  // ---- live parts

  const PATIENCE = 5000; // milliseconds: a stream that is begun anew at once was never lost

  function staying() {
    const line = document.getElementById("stale");
    let lost = 0;
    document.body.addEventListener("htmx:sseError", () => {
      lost = lost || setTimeout(() => { line.hidden = false; }, PATIENCE);
    });
    document.body.addEventListener("htmx:sseOpen", () => {
      clearTimeout(lost);
      lost = 0;
      line.hidden = true;
    });
  }

  // A list that changes under somebody's keyboard leaves the focus on the same action or link, if it still stands there.
  function keepingFocus() {
    const CAN = "[data-action], a[href]";
    let same = null;
    document.body.addEventListener("htmx:sseBeforeMessage", (event) => {
      const focused = event.target.contains(document.activeElement) && document.activeElement.closest(CAN);
      if (!focused) { same = null; return; }
      const { action, target } = focused.dataset, address = focused.getAttribute("href");
      same = (one) => one.dataset.action === action && one.dataset.target === target && one.getAttribute("href") === address;
    });
    document.body.addEventListener("htmx:sseMessage", (event) => {
      const found = same && [...event.target.querySelectorAll(CAN)].find(same);
      same = null;
      if (found) found.focus({ preventScroll: true });
    });
  }

  function ready(root) { times(root); }

  // ---- all of it

  document.body.addEventListener("htmx:afterSettle", (event) => ready(event.target));
  document.body.addEventListener("htmx:sseMessage", (event) => ready(event.target));
  document.body.addEventListener("htmx:oobAfterSwap", (event) => ready(event.target));
  ready(document);
  theme();
  acting();
  staying();
  keepingFocus();
  setInterval(() => {
    for (const one of document.querySelectorAll(MOVING)) one.textContent = moving(one);
  }, 10000);
})();
