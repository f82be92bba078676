"use strict";
const MAX_ROWS = 200;
const PAUSE_MS = 1500;
const table = document.querySelector("table");
const notice = document.getElementById("notice");
const faults = document.getElementById("faults");
const tones = { completed: "good", declined: "bad", failed: "bad", pending: "wait" };

// All external text is set by textContent, so that a reference cannot inject markup.
function cell(label, text, tone, small) {
  const td = document.createElement("td");
  const span = document.createElement("span");
  td.dataset.label = label;
  span.textContent = text;
  span.className = tone || "";
  td.append(span);
  if (small) {
    const note = document.createElement("small");
    note.textContent = small;
    td.append(note);
  }
  return td;
}

const clock = (seconds) => (seconds ? new Date(seconds * 1000).toLocaleTimeString() : "");
const answers = (calls) => calls.map((call) => call.http || (call.http === 0 ? "dropped" : "no answer")).join(", ");

function notified(id, client, status) {
  if (!client) return cell("Client notified", "–");
  const words = client.notifications.map((note) => note.status + (note.verdict === "new" ? "" : ` (${note.verdict})`));
  const differs = client.final && status && client.final !== status;
  const odd = client.notifications.some((note) => note.verdict === "stale" || note.verdict === "conflicting");
  const tone = differs || odd ? "bad" : tones[client.final] || "wait";
  const as = `as ${id}, ${clock(client.notifications.at(-1)?.at)}`;
  return cell("Client notified", words.join(" → "), tone, differs ? `third party: ${status}` : as);
}

function row(id, seen, clientId, client) {
  const tr = document.createElement("tr");
  const polls = `read ${seen.polls}×, not found ${seen.checks}×`;
  const webhooks = seen.webhooks.map((one) => one.status).join(", ") || "–";
  const contradicts = seen.webhooks.some((one) => tones[seen.status] && one.status !== seen.status);
  const creates = seen.create_calls.length ? `create: ${answers(seen.create_calls)}` : "no create";
  tr.append(
    cell("Reference", seen.reference ?? client?.reference ?? "–", "", id),
    cell("Behaviour", seen.behaviour ?? "–", "", clock(seen.first_create_at)),
    cell("Third party", seen.status ?? "absent", tones[seen.status]),
    cell("Calls", creates, seen.creates > 1 ? "wait" : "", polls),
    cell("Webhooks", webhooks, contradicts ? "bad" : "", seen.webhooks.length ? `answers: ${answers(seen.webhooks)}` : ""),
    notified(clientId, client, seen.status),
  );
  return tr;
}

const emptyRecord = (client) => ({
  reference: client.reference, status: null, polls: 0, checks: 0, creates: 0, create_calls: [], webhooks: [],
});

function rows({ provider, client }) {
  const atProvider = new Map(Object.entries(provider.transactions));
  const byProviderId = new Map();
  const clientOnly = [];
  for (const [id, known] of Object.entries(client.transactions)) {
    const match = [known.provider_transaction_id, id].find((one) => atProvider.has(one));
    if (match) byProviderId.set(match, [id, known]);
    else clientOnly.push(row("", emptyRecord(known), id, known));
  }
  return [...atProvider].map(([id, seen]) => row(id, seen, ...(byProviderId.get(id) ?? []))).concat(clientOnly);
}

function total(name, value, isBad) {
  const box = document.createElement("div");
  const dt = document.createElement("dt");
  const dd = document.createElement("dd");
  dt.textContent = name;
  dd.textContent = value;
  dd.className = isBad && value ? "bad" : "";
  box.append(dt, dd);
  return box;
}

function show(state) {
  const { provider, client, control } = state;
  const shown = rows(state);
  document.getElementById("totals").replaceChildren(
    total("At the third party", provider.known),
    total("Duplicate creates", provider.duplicate_creates, true),
    total("Peak in flight", provider.peak_in_flight),
    total("At the client", client.known),
    total("Stale", client.stale, true),
    total("Conflicting", client.conflicting, true),
    total("Bad signatures", client.bad_signatures, true),
  );
  table.hidden = !shown.length;
  table.tBodies[0].replaceChildren(...shown);
  notice.textContent = shown.length ? `The newest ${MAX_ROWS} transactions of each side.` : "No transactions yet.";
  for (const side of Object.keys(control)) {
    const select = faults.elements[side];
    if (document.activeElement !== select) select.value = control[side];
    select.classList.toggle("fault", control[side] !== "ok");
  }
}

async function refresh() {
  try {
    if (!document.hidden) show(await (await fetch(`state?last=${MAX_ROWS}`)).json());
  } catch {
    notice.textContent = "The sandbox does not answer.";
  }
}

async function refreshForever() {
  await refresh();
  setTimeout(refreshForever, PAUSE_MS);
}

faults.addEventListener("change", async ({ target }) => {
  await fetch("control", { method: "POST", body: JSON.stringify({ [target.name]: target.value }) });
  target.blur();
  await refresh();
});
document.getElementById("reset").addEventListener("click", async () => {
  await fetch("reset", { method: "POST" });
  await refresh();
});
document.addEventListener("visibilitychange", refresh);
refreshForever();
