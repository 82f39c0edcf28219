// An Auth0 Action for the trigger "Post User Registration": tells Tiergate of each new user.
//
// Secrets of the Action: TIERGATE_HOOK_URL, such as https://apps.example.com/_auth/hooks/users, and
// TIERGATE_HOOK_SECRET, the `secret` of the hook in Tiergate's config. It needs no npm package.

const { createHmac } = require("node:crypto");

const TRIES = 4;

async function send(url, key, body) {
  const timestamp = Math.floor(Date.now() / 1000).toString();
  const signature = createHmac("sha256", key).update(`${timestamp}.`).update(body).digest("hex");
  return fetch(url, {
    method: "POST",
    redirect: "error",
    signal: AbortSignal.timeout(5000),
    headers: {
      "Content-Type": "application/json",
      "X-Tiergate-Timestamp": timestamp,
      "X-Tiergate-Signature": `sha256=${signature}`,
    },
    body,
  });
}

exports.onExecutePostUserRegistration = async (event) => {
  const { TIERGATE_HOOK_URL: url, TIERGATE_HOOK_SECRET: key } = event.secrets;
  // Never the whole event: the secrets of the Action are in it.
  const body = JSON.stringify({ user: event.user, connection: event.connection, tenant: event.tenant });
  for (let tried = 1; ; tried += 1) {
    const answer = await send(url, key, body).catch((error) => ({ ok: false, status: 0, text: async () => error.message }));
    if (answer.ok) {
      console.log(`tiergate: ${await answer.text()}`);
      return;
    }
    // Another try helps where nobody answered, and where the service or its database was away.
    const passes = answer.status === 0 || answer.status >= 500;
    if (!passes || tried === TRIES) {
      throw new Error(`tiergate did not take the user: status ${answer.status}: ${await answer.text()}`);
    }
    await new Promise((resolve) => setTimeout(resolve, 500 * 2 ** tried));
  }
};
