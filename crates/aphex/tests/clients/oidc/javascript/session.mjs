// A session of an OpenID provider with openid-client, which the OpenID Foundation has certified: discovery, code flow with PKCE through
// the provider's login page, verification of the ID token, userinfo, refresh with rotation, revocation where there is one, and what
// must not work. Ends with an error that names the check.

import assert from 'node:assert/strict';
import * as openid from 'openid-client';

const { OIDC_ISSUER, OIDC_CLIENT_ID, OIDC_REDIRECT_URI, OIDC_USER, OIDC_PASSWORD, OIDC_GROUP } = process.env;
const SCOPE = 'openid profile email groups offline_access';

// Keeps cookies, follows redirects, fills in forms.
class Browser {
  #cookies = new Map();

  async #request(url, init = {}) {
    const headers = { ...init.headers, cookie: [...this.#cookies].map(([name, value]) => `${name}=${value}`).join('; ') };
    const answer = await fetch(url, { ...init, headers, redirect: 'manual' });
    for (const cookie of answer.headers.getSetCookie()) {
      const [, name, value] = /^([^=]+)=([^;]*)/.exec(cookie);
      if (value === '' || /;\s*max-age=0\b/i.test(cookie)) this.#cookies.delete(name);
      else this.#cookies.set(name, value);
    }
    return answer;
  }

  // The URL with which the provider sends the browser to the client.
  async visit(first, back) {
    let url = new URL(first);
    let answer = await this.#request(url);
    for (let step = 0; step < 12; step += 1) {
      const location = answer.headers.get('location');
      if (location && answer.status < 400) {
        url = new URL(location, url);
        if (url.href.startsWith(`${back}?`)) return url;
        answer = await this.#request(url);
        continue;
      }
      const form = read(await answer.text());
      assert(form, `${url.pathname} answers ${answer.status}, without a form`);
      url = new URL(form.action, url);
      answer = await this.#request(url, { method: 'POST', body: new URLSearchParams(form.fields) });
    }
    throw new Error('the provider never sends the browser back');
  }
}

const text = (escaped) =>
  escaped.replace(/&(?:amp|lt|gt|quot|#0*39|#x0*27);/gi, (entity) =>
    ({ '&amp;': '&', '&lt;': '<', '&gt;': '>', '&quot;': '"' })[entity.toLowerCase()] ?? "'");

function attributes(tag) {
  const found = {};
  for (const [, name, , quoted, single, bare] of tag.matchAll(/([\w-]+)\s*(=\s*(?:"([^"]*)"|'([^']*)'|([^\s>]+)))?/g)) {
    found[name.toLowerCase()] = text(quoted ?? single ?? bare ?? '');
  }
  return found;
}

// The first form of a page that is sent by POST, filled in.
function read(page) {
  for (const [, tag, inside] of page.matchAll(/<form\b([^>]*)>([\s\S]*?)<\/form>/gi)) {
    const form = attributes(tag);
    if (!form.method) continue;
    const fields = {};
    for (const [, input] of inside.matchAll(/<input\b([^>]*)>/gi)) {
      const { name, type = 'text', value = '' } = attributes(input);
      if (!name || ['checkbox', 'radio', 'submit'].includes(type)) continue;
      fields[name] = type === 'password' ? OIDC_PASSWORD : ['text', 'email'].includes(type) ? OIDC_USER : value;
    }
    return { action: form.action ?? '', fields };
  }
  return undefined;
}

const ok = (what) => console.log('ok', what);

const insecure = OIDC_ISSUER.startsWith('http:') ? [openid.allowInsecureRequests] : [];
const config = await openid.discovery(new URL(OIDC_ISSUER), OIDC_CLIENT_ID, undefined, openid.None(), { execute: insecure });
assert(config.serverMetadata().supportsPKCE('S256'));
ok('discovery names the issuer, its endpoints and PKCE with S256');

async function code(browser) {
  const verifier = openid.randomPKCECodeVerifier();
  const [state, nonce] = [openid.randomState(), openid.randomNonce()];
  const url = openid.buildAuthorizationUrl(config, {
    redirect_uri: OIDC_REDIRECT_URI,
    scope: SCOPE,
    code_challenge: await openid.calculatePKCECodeChallenge(verifier),
    code_challenge_method: 'S256',
    state,
    nonce,
  });
  const answer = await browser.visit(url, OIDC_REDIRECT_URI);
  return { answer, checks: { pkceCodeVerifier: verifier, expectedState: state, expectedNonce: nonce, idTokenExpected: true } };
}

const refused = (attempt, error) => assert.rejects(attempt, (thrown) => {
  assert.equal(thrown.error, error, `${thrown.code}: ${thrown.message}`);
  return true;
});

const browser = new Browser();
{
  const { answer, checks } = await code(browser);
  const tokens = await openid.authorizationCodeGrant(config, answer, checks);
  const claims = tokens.claims();
  ok('a login at the page gives an ID token that verifies: signature, issuer, audience, times, nonce, at_hash');
  assert.equal(claims.email, OIDC_USER);
  assert.equal(claims.email_verified, true);
  assert(claims.name && claims.groups.includes(OIDC_GROUP), JSON.stringify(claims.groups));
  ok('it has email, email_verified, name and groups');
  const info = await openid.fetchUserInfo(config, tokens.access_token, claims.sub);
  assert.equal(info.email, OIDC_USER);
  ok('userinfo is about the same person');
  await refused(openid.authorizationCodeGrant(config, answer, checks), 'invalid_grant');
  ok('a code is good once');
}
{
  const { answer, checks } = await code(browser);
  await refused(
    openid.authorizationCodeGrant(config, answer, { ...checks, pkceCodeVerifier: openid.randomPKCECodeVerifier() }),
    'invalid_grant',
  );
  ok('a code is of no use without the verifier it was asked for with');
}
{
  const { answer, checks } = await code(browser);
  const tokens = await openid.authorizationCodeGrant(config, answer, checks);
  const before = tokens.claims();
  const seen = [tokens.refresh_token];
  for (let turn = 0; turn < 2; turn += 1) {
    const fresh = await openid.refreshTokenGrant(config, seen.at(-1));
    assert(fresh.refresh_token && !seen.includes(fresh.refresh_token), 'the refresh token was not rotated');
    const after = fresh.claims();
    assert.deepEqual([after.sub, after.email, after.groups], [before.sub, before.email, before.groups]);
    seen.push(fresh.refresh_token);
  }
  ok('refreshing gives the same person, and each time another refresh token');
  await refused(openid.refreshTokenGrant(config, seen[0]), 'invalid_grant');
  ok('a refresh token of two rotations ago is refused');
}
if (config.serverMetadata().revocation_endpoint) {
  const { answer, checks } = await code(browser);
  const tokens = await openid.authorizationCodeGrant(config, answer, checks);
  await openid.tokenRevocation(config, tokens.refresh_token);
  await refused(openid.refreshTokenGrant(config, tokens.refresh_token), 'invalid_grant');
  ok('a refresh token that was revoked is refused');
}
