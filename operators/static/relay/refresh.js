// Replaces the content of `data-refresh` every few seconds. Open details, the focus and scroll positions are kept; while
// text in it is selected or the tab is hidden, nothing is requested.
const EVERY = 5000, PATIENCE = 10000; // ms
const part = document.querySelector("[data-refresh]");
const state = document.querySelector("[data-refresh-state]");

function say(text) {
  if (state.textContent !== text) state.textContent = text;
  state.hidden = !text;
}

// Return a function that finds the element again in the new content: by its id, or by its tag, link and position.
function finder(element) {
  if (element.id) return () => document.getElementById(element.id);
  const href = element.getAttribute("href");
  const alike = () => [...part.querySelectorAll(element.tagName)].filter((one) => one.getAttribute("href") === href);
  const place = alike().indexOf(element);
  return () => alike()[place];
}

function replace(html) {
  const open = [...part.querySelectorAll("details[open]")].map((one) => one.id);
  const scrolled = [...part.querySelectorAll(".relay-scroll")].map((one) => [one.scrollLeft, one.scrollTop]);
  const active = part.contains(document.activeElement) && finder(document.activeElement);
  part.innerHTML = html;
  for (const id of open) document.getElementById(id)?.setAttribute("open", "");
  part.querySelectorAll(".relay-scroll").forEach((one, n) => scrolled[n] && one.scrollTo(...scrolled[n]));
  if (active) active()?.focus({ preventScroll: true });
}

async function refresh() {
  const selected = getSelection();
  if (document.hidden || (!selected.isCollapsed && part.contains(selected.anchorNode))) return;
  try {
    const answer = await fetch(part.dataset.refresh, { redirect: "error", signal: AbortSignal.timeout(PATIENCE) });
    if (!answer.ok) throw new Error(answer.status);
    replace(await answer.text());
    say("");
  } catch {
    const made = part.querySelector("time").textContent;
    say(`No update since ${made} UTC; retrying. If you were logged out, reload the page.`);
  }
}

async function again() {
  await refresh();
  setTimeout(again, EVERY);
}

setTimeout(again, EVERY);
document.addEventListener("visibilitychange", refresh);
