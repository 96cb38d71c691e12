// A real OpenID provider on loopback for the tests of logins: node provider.mjs PORT REDIRECT_URI…
// TARN_NODE_MODULES names the folder that `npm ci` filled (scripts/setup.sh).
//
// People: alice (staff, stewards), bob (staff), carol (none); their login page takes any password.
// Clients: web/websecret (code + PKCE), cli (public, device code). An access token is a JWT for the `resource` that was
// asked for (RFC 8707), urn:tarn:api unless said; a strict provider knows no resources. `POST /test/sign` signs any claims with the provider's own key, to make tokens that are wrong.
import { createServer } from 'node:http';
import { createPrivateKey, createPublicKey, generateKeyPairSync, sign } from 'node:crypto';
import { join } from 'node:path';
import { pathToFileURL } from 'node:url';

const { default: Provider } = await import(
  pathToFileURL(join(process.env.TARN_NODE_MODULES, 'oidc-provider', 'lib', 'index.js'))
);

const [port, ...redirects] = process.argv.slice(2);
const issuer = `http://127.0.0.1:${port}`;
const audience = 'urn:tarn:api';
// A strict provider: claims stand at its userinfo endpoint alone, and access tokens are for that.
const strict = process.env.STRICT === '1';
const groups = { alice: ['staff', 'stewards'], bob: ['staff'], carol: [] };
// What tests let the provider say of people besides: set by POST /test/claims.
const extra = {};
const claimsOf = (id) => ({ groups: groups[id] ?? [], ...(extra[id] ?? {}) });

const key = generateKeyPairSync('rsa', { modulusLength: 2048 }).privateKey.export({ format: 'jwk' });
Object.assign(key, { kid: `key-${port}`, use: 'sig', alg: 'RS256' });

const provider = new Provider(issuer, {
  jwks: { keys: [key] },
  clients: [
    {
      client_id: 'web', client_secret: 'websecret', redirect_uris: redirects,
      grant_types: ['authorization_code'], response_types: ['code'],
    },
    {
      client_id: 'cli', token_endpoint_auth_method: 'none', redirect_uris: [], response_types: [],
      grant_types: ['urn:ietf:params:oauth:grant-type:device_code'],
    },
  ],
  claims: {
    openid: ['sub', 'ga4gh_passport_v1', 'eduperson_assurance', 'eduperson_scoped_affiliation'],
    profile: ['name'], email: ['email'], groups: ['groups'],
  },
  conformIdTokenClaims: strict,
  findAccount: (ctx, id) => ({
    accountId: id, claims: () => ({ sub: id, name: `Dr ${id}`, email: `${id}@lab.test`, ...claimsOf(id) }),
  }),
  features: {
    deviceFlow: { enabled: true },
    devInteractions: { enabled: true },
    resourceIndicators: {
      enabled: !strict,
      defaultResource: () => audience,
      useGrantedResource: () => true,
      getResourceServerInfo: (ctx, resource) => ({
        scope: 'tarn:read tarn:write', audience: resource, accessTokenTTL: 600, accessTokenFormat: 'jwt',
        jwt: { sign: { alg: 'RS256' } },
      }),
    },
  },
  extraTokenClaims: (ctx, token) => ({ name: `Dr ${token.accountId}`, ...claimsOf(token.accountId) }),
  pkce: { required: () => true },
  ttl: { AccessToken: 600, IdToken: 600, DeviceCode: 300, Grant: 3600, Session: 3600, Interaction: 600 },
  cookies: { keys: ['tests'] },
  loadExistingGrant: async (ctx) => {
    const grant = new ctx.oidc.provider.Grant({
      clientId: ctx.oidc.client.clientId, accountId: ctx.oidc.session.accountId,
    });
    grant.addOIDCScope('openid profile email groups');
    if (!strict) grant.addResourceScope(audience, 'tarn:read tarn:write');
    await grant.save();
    return grant;
  },
});
provider.on('server_error', (ctx, error) => console.error(error));

const encoded = (value) => Buffer.from(JSON.stringify(value)).toString('base64url');
const signed = ({ header, claims }) => {
  const message = `${encoded({ alg: 'RS256', kid: key.kid, ...header })}.${encoded(claims)}`;
  return `${message}.${sign('sha256', Buffer.from(message), createPrivateKey({ key, format: 'jwk' })).toString('base64url')}`;
};
const publicKey = () => createPublicKey({ key, format: 'jwk' }).export({ type: 'spki', format: 'pem' });

async function body(request) {
  let text = '';
  for await (const chunk of request) text += chunk;
  return JSON.parse(text);
}

const handle = provider.callback();
createServer(async (request, response) => {
  if (request.method === 'POST' && request.url === '/test/sign') {
    response.end(signed(await body(request)));
  } else if (request.method === 'POST' && request.url === '/test/claims') {
    Object.assign(extra, await body(request));
    response.end();
  } else if (request.url === '/test/public-key') {
    response.end(publicKey());
  } else {
    handle(request, response);
  }
}).listen(Number(port), '127.0.0.1', () => console.log('ready'));
