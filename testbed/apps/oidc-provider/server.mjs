// A certified OpenID provider that is not ours (npm `oidc-provider`), with people to sign in as and a few commands for tests.
//
//   node server.mjs FOLDER CONFIG
//
// FOLDER is the one that holds node_modules. CONFIG is JSON:
//   port, audience, access_seconds, clients (client metadata as of OpenID registration), accounts ({name: {name, scopes, permissions}}).
//
// The pages take plain form posts without a script, so that a browser and a few lines of HTTP can both use them. Commands, by POST:
//   /-/rotate {keep}             new signing keys; `keep` publishes the old ones too
//   /-/scopes {account, scopes}  what the account may do from its next token on
//   /-/logout {account}          ends the account's sessions here and tells every client by back-channel; says what they answered
//   /-/opaque {account, scopes}   an opaque access token for the audience, and a refresh token: {"access_token", "refresh_token"}
//   /-/counts                    successful token requests: {"authorization_code": 1, "refresh_token": 3, "refused": 0}

import { generateKeyPairSync } from 'node:crypto';
import { createServer } from 'node:http';
import { createRequire } from 'node:module';
import { pathToFileURL } from 'node:url';

const [folder, text] = process.argv.slice(2);
const config = JSON.parse(text);
const require = createRequire(pathToFileURL(`${folder}/`));
const { Provider } = await import(pathToFileURL(require.resolve('oidc-provider')));

const issuer = `http://127.0.0.1:${config.port}`;
const accounts = new Map(Object.entries(config.accounts));
const counts = { authorization_code: 0, refresh_token: 0, refused: 0 };
const resourceScopes = ['access:ea', 'access:devel', 'access:admin'];

// Everything the provider keeps. Its own memory store forgets all but a thousand entries.
const kept = new Map();

class Store {
  constructor(model) {
    this.model = model;
  }

  key(id) {
    return `${this.model}:${id}`;
  }

  async upsert(id, payload, seconds) {
    kept.set(this.key(id), { id, model: this.model, payload, until: seconds ? Date.now() + seconds * 1000 : Infinity });
  }

  async find(id) {
    const entry = kept.get(this.key(id));
    return entry && entry.until > Date.now() ? entry.payload : undefined;
  }

  async findByUid(uid) {
    const entry = entries(this.model).find(({ payload }) => payload.uid === uid);
    return entry && this.find(entry.id);
  }

  async findByUserCode() {
    return undefined;
  }

  async consume(id) {
    kept.get(this.key(id)).payload.consumed = Math.floor(Date.now() / 1000);
  }

  async destroy(id) {
    kept.delete(this.key(id));
  }

  async revokeByGrantId(grantId) {
    for (const [key, { payload }] of kept) {
      if (payload.grantId === grantId) kept.delete(key);
    }
  }
}

const entries = (model) => [...kept.values()].filter((entry) => entry.model === model);

const newKeys = () => {
  const kid = (kind) => `${kind}-${Math.random().toString(36).slice(2, 10)}`;
  const rsa = generateKeyPairSync('rsa', { modulusLength: 2048 }).privateKey.export({ format: 'jwk' });
  const ec = generateKeyPairSync('ec', { namedCurve: 'P-256' }).privateKey.export({ format: 'jwk' });
  return [
    { ...rsa, kid: kid('rsa'), use: 'sig', alg: 'RS256' },
    { ...ec, kid: kid('ec'), use: 'sig', alg: 'ES256' },
  ];
};

function start(keys) {
  const provider = new Provider(issuer, {
    adapter: Store,
    clients: config.clients,
    jwks: { keys },
    cookies: { keys: ['development-only-cookie-key'] },
    scopes: ['openid', 'offline_access'],
    claims: { openid: ['sub'], profile: ['name'], email: ['email', 'email_verified'] },
    // Without this an ID token of the code flow holds no name or e-mail address.
    conformIdTokenClaims: false,
    pkce: { required: () => true },
    rotateRefreshToken: true,
    expiresWithSession: () => false,
    clientAuthMethods: ['client_secret_basic', 'client_secret_post', 'private_key_jwt', 'none'],
    enabledJWA: { clientAuthSigningAlgValues: ['RS256', 'ES256'] },
    ttl: {
      AccessToken: config.access_seconds,
      Grant: 86_400,
      IdToken: 3600,
      Interaction: 600,
      RefreshToken: 86_400,
      Session: 86_400,
    },
    // Its guard lets no request go to this machine, where all clients are.
    fetch: (url, options) => globalThis.fetch(url, { ...options, dispatcher: undefined }),
    interactions: { url: (ctx, interaction) => `/interaction/${interaction.uid}` },
    findAccount: (ctx, sub) => {
      const account = accounts.get(sub);
      if (!account) return undefined;
      const claims = { sub, name: account.name, email: `${sub}@example.com`, email_verified: true };
      return { accountId: sub, claims: () => claims };
    },
    extraTokenClaims: (ctx, token) => ({ permissions: accounts.get(token.accountId)?.permissions ?? [] }),
    renderError: (ctx, out) => {
      ctx.type = 'text';
      ctx.body = `${out.error}: ${out.error_description ?? ''}\n`;
    },
    features: {
      devInteractions: { enabled: false },
      backchannelLogout: { enabled: true },
      revocation: { enabled: true },
      introspection: { enabled: true },
      rpInitiatedLogout: {
        enabled: true,
        logoutSource: (ctx, form) => {
          ctx.body = page('Sign out', `${form}<button type="submit" form="op.logoutForm" name="logout" value="yes">Sign out</button>`);
        },
      },
      resourceIndicators: {
        enabled: true,
        // A refresh names no resource: it stays with the one that was agreed to.
        useGrantedResource: () => true,
        defaultResource: (ctx, client, oneOf) => oneOf,
        getResourceServerInfo: () => ({
          scope: resourceScopes.join(' '),
          audience: config.audience,
          accessTokenFormat: 'jwt',
          accessTokenTTL: config.access_seconds,
          jwt: { sign: { alg: 'RS256' } },
        }),
      },
    },
  });
  provider.on('grant.success', (ctx) => {
    counts[ctx.oidc.params.grant_type] += 1;
  });
  provider.on('grant.error', (ctx, error) => {
    counts.refused += 1;
    console.log(`token request refused: ${error.message}: ${error.error_detail ?? error.error_description ?? ''}`);
  });
  for (const event of ['authorization.error', 'end_session.error', 'server_error']) {
    provider.on(event, (ctx, error) => console.log(`${event}: ${error.message}: ${error.error_description ?? error.stack}`));
  }
  provider.on('backchannel.error', (ctx, error) => console.log(`backchannel: ${error.message}`));
  return { provider, callback: provider.callback(), keys };
}

const escape = (text) => String(text).replace(/[&<>"]/g, (sign) => `&#${sign.charCodeAt(0)};`);
const page = (title, body) =>
  `<!doctype html><html lang="en"><head><meta charset="utf-8"><title>${title}</title></head><body><h1>${title}</h1>${body}</body></html>\n`;

// One page signs in and consents: the granted scopes are those that the account has.
async function showInteraction(provider, request, response) {
  const { uid, session } = await provider.interactionDetails(request, response);
  const names = session?.accountId ? [session.accountId] : [...accounts.keys()];
  const buttons = names.map((name) => `<button name="account" value="${escape(name)}">${escape(name)}</button>\n`);
  response.setHeader('content-type', 'text/html; charset=utf-8');
  response.end(page('Sign in', `<form method="post" action="/interaction/${uid}">${buttons.join('')}</form>`));
}

async function finishInteraction(provider, request, response) {
  const account = new URLSearchParams(await bodyOf(request)).get('account');
  const { params } = await provider.interactionDetails(request, response);
  if (!accounts.has(account)) {
    return provider.interactionFinished(request, response, { error: 'access_denied' });
  }
  const grant = new provider.Grant({ accountId: account, clientId: params.client_id });
  const asked = (params.scope ?? '').split(' ');
  grant.addOIDCScope(asked.filter((scope) => !resourceScopes.includes(scope)).join(' '));
  grant.addOIDCClaims(['name', 'email', 'email_verified']);
  const owned = accounts.get(account).scopes;
  for (const scope of resourceScopes.filter((scope) => asked.includes(scope))) {
    // What is neither granted nor rejected would be asked for again, without end.
    if (owned.includes(scope)) grant.addResourceScope(config.audience, scope);
    else grant.rejectResourceScope(config.audience, scope);
  }
  const result = { login: { accountId: account }, consent: { grantId: await grant.save() } };
  return provider.interactionFinished(request, response, result, { mergeWithLastSubmission: false });
}

function setScopes({ account, scopes }) {
  accounts.get(account).scopes = scopes;
  for (const { payload } of entries('Grant').filter(({ payload }) => payload.accountId === account)) {
    payload.resources = scopes.length > 0 ? { [config.audience]: scopes.join(' ') } : {};
    const without = resourceScopes.filter((scope) => !scopes.includes(scope));
    payload.rejected = { ...payload.rejected, resources: { [config.audience]: without.join(' ') } };
  }
  // A refresh token holds what was granted when it was made, and can not hold less than is asked with it.
  for (const { payload } of entries('RefreshToken').filter(({ payload }) => payload.accountId === account)) {
    const others = payload.scope.split(' ').filter((scope) => !resourceScopes.includes(scope));
    payload.scope = [...others, ...scopes].join(' ');
  }
}

async function logOut(provider, { account }) {
  const answers = [];
  for (const { id, payload } of entries('Session').filter(({ payload }) => payload.accountId === account)) {
    for (const [clientId, { sid }] of Object.entries(payload.authorizations ?? {})) {
      const client = await provider.Client.find(clientId);
      if (!client?.backchannelLogoutUri) continue;
      answers.push(await client.backchannelLogout(account, sid).then(() => 200, (error) => error.response?.status ?? error.message));
    }
    kept.delete(`Session:${id}`);
  }
  return { answers };
}

// As a sign-in at this audience would bring, if its tokens were not JWTs.
async function opaqueTokens(provider, { account, scopes }) {
  const client = await provider.Client.find('tiergate');
  const grant = new provider.Grant({ accountId: account, clientId: client.clientId });
  grant.addResourceScope(config.audience, scopes.join(' '));
  const common = { accountId: account, client, grantId: await grant.save(), gty: 'authorization_code', scope: scopes.join(' ') };
  const access = new provider.AccessToken(common);
  access.resourceServer = new provider.ResourceServer(config.audience, {
    scope: resourceScopes.join(' '),
    accessTokenFormat: 'opaque',
    accessTokenTTL: config.access_seconds,
  });
  const refresh = new provider.RefreshToken({ ...common, rotations: 0, resource: config.audience });
  return { access_token: await access.save(), refresh_token: await refresh.save() };
}

async function bodyOf(request) {
  const chunks = [];
  for await (const chunk of request) chunks.push(chunk);
  return Buffer.concat(chunks).toString();
}

async function command(path, body) {
  switch (path) {
    case '/-/rotate': {
      const old = body.keep ? running.keys : [];
      running = start([...newKeys(), ...old]);
      return {};
    }
    case '/-/scopes':
      return setScopes(body) ?? {};
    case '/-/logout':
      return logOut(running.provider, body);
    case '/-/opaque':
      return opaqueTokens(running.provider, body);
    case '/-/counts':
      return counts;
    default:
      return { error: 'no such command' };
  }
}

let running = start(newKeys());

const server = createServer(async (request, response) => {
  const { pathname } = new URL(request.url, issuer);
  try {
    if (pathname.startsWith('/-/') && request.method === 'POST') {
      const answer = await command(pathname, JSON.parse((await bodyOf(request)) || '{}'));
      response.setHeader('content-type', 'application/json');
      response.end(JSON.stringify(answer));
    } else if (pathname.startsWith('/interaction/')) {
      const step = request.method === 'POST' ? finishInteraction : showInteraction;
      await step(running.provider, request, response);
    } else {
      await running.callback(request, response);
    }
  } catch (error) {
    console.log(`${request.method} ${pathname}: ${error.stack}`);
    response.statusCode = error.statusCode ?? 500;
    response.end(`${error.message}\n`);
  }
});
server.listen(config.port, '127.0.0.1', () => console.log('ready'));
