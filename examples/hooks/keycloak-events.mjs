// Reads the admin events of a Keycloak realm and hands each one about a user on to Tiergate, oldest first.
// Run it every few seconds, from cron or a systemd timer, or with --every SECONDS. It needs Node 18 and no npm package.
//
//   KEYCLOAK_URL          https://idp.example.com/admin/realms/REALM/
//   KEYCLOAK_TOKEN_URL    https://idp.example.com/realms/REALM/protocol/openid-connect/token
//   KEYCLOAK_CLIENT_ID, KEYCLOAK_CLIENT_SECRET   a client with a service account that has the role `view-events`
//   TIERGATE_HOOK_URL     https://apps.example.com/_auth/hooks/users
//   TIERGATE_HOOK_SECRET  the `secret` of the hook in Tiergate's config
//   STATE_FILE            where it keeps how far it has come

import { createHash, createHmac } from "node:crypto";
import { readFileSync, renameSync, writeFileSync } from "node:fs";

const PAGE = 100;
// Events of one moment may appear after later ones: so much is read again, and told apart by id.
const OVERLAP = 60_000;

const setting = (name) => {
  const value = process.env[name];
  if (!value) throw new Error(`${name} is not set`);
  return value;
};

async function ask(url, options) {
  const answer = await fetch(url, { redirect: "error", signal: AbortSignal.timeout(10_000), ...options });
  if (!answer.ok) throw new Error(`${new URL(url).pathname} answered with status ${answer.status}`);
  return answer.json();
}

async function keycloakToken() {
  const body = new URLSearchParams({
    grant_type: "client_credentials",
    client_id: setting("KEYCLOAK_CLIENT_ID"),
    client_secret: setting("KEYCLOAK_CLIENT_SECRET"),
  });
  return (await ask(setting("KEYCLOAK_TOKEN_URL"), { method: "POST", body })).access_token;
}

// Older versions of Keycloak give events no id.
const idOf = (event) => event.id ?? createHash("sha256").update(JSON.stringify(event)).digest("hex");

// Keycloak lists the latest first.
async function eventsSince(time, token) {
  const found = [];
  for (let first = 0; ; first += PAGE) {
    const query = new URLSearchParams([["resourceTypes", "USER"], ["resourceTypes", "GROUP_MEMBERSHIP"], ["first", first], ["max", PAGE]]);
    const page = await ask(`${setting("KEYCLOAK_URL")}admin-events?${query}`, { headers: { Authorization: `Bearer ${token}` } });
    found.push(...page.filter((event) => event.time >= time));
    if (page.length < PAGE || page.some((event) => event.time < time)) break;
  }
  return found.sort((one, other) => one.time - other.time);
}

async function handOn(event) {
  const body = JSON.stringify(event);
  const [id, timestamp] = [idOf(event), Math.floor(Date.now() / 1000).toString()];
  // The id of the event is signed too, between timestamp and message.
  const signature = createHmac("sha256", setting("TIERGATE_HOOK_SECRET")).update(`${timestamp}.${id}.${body}`).digest("hex");
  const answer = await fetch(setting("TIERGATE_HOOK_URL"), {
    method: "POST",
    redirect: "error",
    signal: AbortSignal.timeout(5000),
    headers: {
      "Content-Type": "application/json",
      "X-Tiergate-Timestamp": timestamp,
      "X-Tiergate-Event": id,
      "X-Tiergate-Signature": `sha256=${signature}`,
    },
    body,
  });
  const text = (await answer.text()).trim();
  // What is not understood now is not understood later: it must not hold up the others.
  if (answer.status === 400) console.error(`${id}: not understood: ${text}`);
  else if (!answer.ok) throw new Error(`tiergate answered with status ${answer.status}: ${text}`);
  else console.log(`${id}: ${text}`);
}

function load(file) {
  try {
    return JSON.parse(readFileSync(file, "utf8"));
  } catch (error) {
    if (error.code !== "ENOENT") throw error;
    return { time: 0, sent: [] };
  }
}

function save(file, state) {
  writeFileSync(`${file}.new`, JSON.stringify(state), { mode: 0o600 });
  renameSync(`${file}.new`, file);
}

async function once() {
  const file = setting("STATE_FILE");
  let state = load(file);
  const sent = new Map(state.sent);
  for (const event of await eventsSince(state.time - OVERLAP, await keycloakToken())) {
    if (sent.has(idOf(event))) continue;
    await handOn(event);
    sent.set(idOf(event), event.time);
    const time = Math.max(state.time, event.time);
    state = { time, sent: [...sent].filter(([, at]) => at >= time - OVERLAP) };
    save(file, state);
  }
}

const every = process.argv[2] === "--every" ? Number(process.argv[3]) : 0;
do {
  try {
    await once();
  } catch (error) {
    if (!every) throw error;
    console.error(error.message);
  }
  if (every) await new Promise((resolve) => setTimeout(resolve, every * 1000));
} while (every);
