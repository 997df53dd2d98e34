// The identity provider of the demo and the tests: oidc-provider with one client, a password form and no consent page.
//
// Environment:
//   IDP_ISSUER          its own address, such as http://10.213.1.2:9000 (it listens on that port)
//   IDP_REDIRECT_URIS   where a login may return to, separated by spaces
//   IDP_LOGOUT_URIS     where a logout may return to, separated by spaces
//   IDP_CLIENT_SECRET   the secret of the client "gifford-hub"
//   IDP_ACCOUNTS        the accounts' file, read again each time, so that memberships can change while a session lasts
//   IDP_ACCESS_SECONDS  how long an access or ID token lives (default 3600)
import { generateKeyPairSync, randomBytes } from 'node:crypto';
import { readFileSync } from 'node:fs';
import http from 'node:http';
import Provider from 'oidc-provider';

const env = (name, fallback) => {
  const value = process.env[name] ?? fallback;
  if (value === undefined) throw new Error(`${name} is not set`);
  return value;
};
const list = (name) => env(name, '').split(' ').filter(Boolean);
const issuer = env('IDP_ISSUER');
const tokenSeconds = Number(env('IDP_ACCESS_SECONDS', '3600'));

function account(name) {
  const accounts = JSON.parse(readFileSync(env('IDP_ACCOUNTS'), 'utf8'));
  if (!Object.hasOwn(accounts, name)) return undefined;
  const claims = {
    sub: name,
    preferred_username: name,
    name: name[0].toUpperCase() + name.slice(1),
    email: `${name}@gifford.test`,
    email_verified: true,
    ...accounts[name],
  };
  return { accountId: name, claims: () => claims };
}

const key = generateKeyPairSync('rsa', { modulusLength: 2048 }).privateKey.export({ format: 'jwk' });

const provider = new Provider(issuer, {
  clients: [{
    client_id: 'gifford-hub',
    client_secret: env('IDP_CLIENT_SECRET'),
    redirect_uris: list('IDP_REDIRECT_URIS'),
    post_logout_redirect_uris: list('IDP_LOGOUT_URIS'),
    grant_types: ['authorization_code', 'refresh_token'],
    response_types: ['code'],
  }],
  jwks: { keys: [{ ...key, kid: 'test', alg: 'RS256', use: 'sig' }] },
  cookies: { keys: [randomBytes(32).toString('hex')] },
  claims: {
    openid: ['sub'],
    profile: ['name', 'preferred_username'],
    email: ['email', 'email_verified'],
    groups: ['groups'],
  },
  scopes: ['openid', 'offline_access', 'profile', 'email', 'groups'],
  conformIdTokenClaims: false, // claims stand in the ID token, too, as institutes' providers have them
  pkce: { required: () => true },
  ttl: { AccessToken: tokenSeconds, IdToken: tokenSeconds, RefreshToken: 86400, Session: 86400, Grant: 86400, Interaction: 3600 },
  // With offline_access (which needs prompt=consent) a refresh token outlives the session, without it ends with it.
  issueRefreshToken: async (ctx, client) => client.grantTypeAllowed('refresh_token'),
  findAccount: (ctx, id) => account(id),
  loadExistingGrant,
  interactions: { url: (ctx, interaction) => `/login/${interaction.uid}` },
  features: {
    devInteractions: { enabled: false },
    rpInitiatedLogout: { enabled: true, logoutSource, postLogoutSuccessSource },
    revocation: { enabled: true },
  },
});

// Our own client is consented to once and for all: every scope that it asks for is granted.
async function grantAll(accountId, clientId) {
  const grant = new provider.Grant({ accountId, clientId });
  grant.addOIDCScope('openid offline_access profile email groups');
  await grant.save();
  return grant;
}

async function loadExistingGrant(ctx) {
  return grantAll(ctx.oidc.session.accountId, ctx.oidc.client.clientId);
}

const escape = (text) => String(text).replace(/[&<>"']/g, (c) => `&#${c.charCodeAt(0)};`);
const page = (title, body) => `<!DOCTYPE html><html lang="en"><head><meta charset="utf-8"><title>${title}</title>
<style>body{font:16px sans-serif;max-width:22rem;margin:10vh auto}input,button{font:inherit;width:100%;margin:.3rem 0 1rem;padding:.4rem;box-sizing:border-box}</style>
</head><body><h1>${title}</h1>${body}</body></html>`;

// A logout that the hub asked for needs no second click; without a script the button is there.
async function logoutSource(ctx, form) {
  ctx.body = page('Log out', `${form}<button type="submit" form="op.logoutForm" name="logout" value="yes">Log out</button>
<script>document.forms[0].insertAdjacentHTML('beforeend','<input type="hidden" name="logout" value="yes">');document.forms[0].submit()</script>`);
}

async function postLogoutSuccessSource(ctx) {
  ctx.body = page('Logged out', '<p>You are logged out of Gifford Institute.</p>');
}

const loginPage = (error = '') => page('Gifford Institute', `<form method="post">
${error && `<p role="alert">${escape(error)}</p>`}
<label>Account<input name="login" autofocus autocomplete="username"></label>
<label>Password<input name="password" type="password" autocomplete="current-password"></label>
<button type="submit">Log in</button></form>`);

async function formOf(req) {
  let text = '';
  for await (const chunk of req) {
    text += chunk;
    if (text.length > 10_000) throw new Error('the form is too long');
  }
  return new URLSearchParams(text);
}

async function login(req, res) {
  const { prompt, params, session } = await provider.interactionDetails(req, res); // throws if no login is under way
  if (prompt.name === 'consent') {
    const grant = await grantAll(session.accountId, params.client_id);
    await provider.interactionFinished(req, res, { consent: { grantId: grant.jti } }, { mergeWithLastSubmission: true });
    return;
  }
  if (req.method === 'POST') {
    const form = await formOf(req);
    const name = form.get('login') ?? '';
    if (account(name) && form.get('password') === `${name}-demo`) {
      await provider.interactionFinished(req, res, { login: { accountId: name } }, { mergeWithLastSubmission: false });
      return;
    }
    res.writeHead(401, { 'content-type': 'text/html; charset=utf-8' }).end(loginPage('wrong account or password'));
    return;
  }
  res.writeHead(200, { 'content-type': 'text/html; charset=utf-8' }).end(loginPage());
}

const callback = provider.callback();
const server = http.createServer((req, res) => {
  if (!req.url.startsWith('/login/')) return callback(req, res);
  return login(req, res).catch((error) => {
    console.error(error.message);
    res.writeHead(400, { 'content-type': 'text/html; charset=utf-8' }).end(page('This login is over', '<p>Start again from the hub.</p>'));
  });
});
const { hostname, port } = new URL(issuer);
server.listen(Number(port || 80), hostname, () => console.log(`listening as ${issuer}`));
