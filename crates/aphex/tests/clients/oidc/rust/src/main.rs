//! A session of an OpenID provider with `openidconnect`: discovery, code flow with PKCE through the provider's login
//! page, verification of the ID token, userinfo, refresh with rotation, revocation, introspection, the device flow, and
//! what must not work. Ends with an error that names the check.

mod browser;
mod device;
mod party;

use anyhow::{Context as _, bail, ensure};
use openidconnect::core::{CoreAuthenticationFlow, CoreErrorResponseType, CoreRevocableToken};
use openidconnect::{
    AccessToken, AccessTokenHash, AuthorizationCode, ClaimsVerificationError, CsrfToken, HttpRequest,
    HttpResponse, Nonce, OAuth2TokenResponse as _, PkceCodeChallenge, PkceCodeVerifier, RefreshToken,
    RequestTokenError, Scope, StandardErrorResponse, SubjectIdentifier, SyncHttpClient as _,
    TokenIntrospectionResponse as _, TokenResponse as _,
};
use reqwest::blocking::Client as Http;
use reqwest::redirect::Policy;

use browser::Browser;
use party::{Claims, Metadata, Party, Token, Tokens, UserInfo};

const SCOPES: [&str; 4] = ["profile", "email", "groups", "offline_access"];

struct Session {
    http: Http,
    browser: Browser,
    metadata: Metadata,
    party: Party,
    redirect: String,
    user: String,
    group: String,
    algorithm: String,
}

fn main() -> anyhow::Result<()> {
    let issuer = told("OIDC_ISSUER")?;
    // As the crate asks for: whoever follows redirects here can be sent anywhere.
    let http = Http::builder().redirect(Policy::none()).no_proxy().build()?;
    let metadata = party::discover(&issuer, &http)?;
    let methods = &metadata.additional_metadata().code_challenge_methods_supported;
    ensure!(methods.iter().any(|method| method == "S256"), "discovery: S256 is not among {methods:?}");
    ok("discovery names the issuer, its endpoints, its keys and PKCE with S256");
    let redirect = told("OIDC_REDIRECT_URI")?;
    let user = told("OIDC_USER")?;
    let session = Session {
        browser: Browser::new(&user, &told("OIDC_PASSWORD")?)?,
        party: party::party(&metadata, &told("OIDC_CLIENT_ID")?, None, &redirect)?,
        group: told("OIDC_GROUP")?,
        algorithm: told("OIDC_ALGORITHM")?,
        http,
        metadata,
        redirect,
        user,
    };
    session.login()?;
    session.forgeries()?;
    session.refresh()?;
    session.refusals()?;
    session.revocation()?;
    device::check(&session)
}

fn told(name: &str) -> anyhow::Result<String> {
    std::env::var(name).with_context(|| format!("{name} is not set"))
}

fn ok(what: &str) {
    println!("ok {what}");
}

/// That the provider refused, and with which error.
fn refused<T, E>(
    answer: Result<T, RequestTokenError<E, StandardErrorResponse<CoreErrorResponseType>>>,
    expected: &CoreErrorResponseType,
) -> anyhow::Result<()>
where
    E: std::error::Error + 'static,
{
    match answer {
        Ok(_) => bail!("expected {expected:?}, and nothing was refused"),
        Err(RequestTokenError::ServerResponse(said)) => {
            ensure!(said.error() == expected, "expected {expected:?}, got {said}");
            Ok(())
        }
        Err(other) => bail!("expected {expected:?}, got {other}"),
    }
}

/// What a login at the page gave, before it is exchanged.
struct Code {
    code: AuthorizationCode,
    verifier: PkceCodeVerifier,
    nonce: Nonce,
}

impl Session {
    fn code(&self) -> anyhow::Result<Code> {
        let (challenge, verifier) = PkceCodeChallenge::new_random_sha256();
        let (at, state, nonce) = self
            .party
            .authorize_url(
                CoreAuthenticationFlow::AuthorizationCode,
                CsrfToken::new_random,
                Nonce::new_random,
            )
            .add_scopes(SCOPES.map(|scope| Scope::new(scope.to_owned())))
            .set_pkce_challenge(challenge)
            .url();
        let answer = self.browser.visit(&at, &self.redirect)?;
        ensure!(answer.get("state") == Some(state.secret()), "state came back as {:?}", answer.get("state"));
        let code = answer.get("code").with_context(|| format!("no code, but {answer:?}"))?;
        Ok(Code { code: AuthorizationCode::new(code.clone()), verifier, nonce })
    }

    fn tokens(&self) -> anyhow::Result<(Tokens, Nonce)> {
        let Code { code, verifier, nonce } = self.code()?;
        let tokens = self.party.exchange_code(code).set_pkce_verifier(verifier).request(&self.http)?;
        Ok((tokens, nonce))
    }

    /// The claims of an ID token that verifies, for the access token beside it.
    fn verified<'a>(&self, tokens: &'a Tokens, nonce: Option<&Nonce>) -> anyhow::Result<&'a Claims> {
        let token = id_token(tokens)?;
        let verifier = self.party.id_token_verifier();
        let same = |told: Option<&Nonce>| match nonce {
            // A refresh tells none (OpenID Connect Core 1.0, 12.2), or the first one.
            None => Ok(()),
            Some(nonce) if told.is_some_and(|told| told.secret() == nonce.secret()) => Ok(()),
            Some(_) => Err(format!("it came back as {told:?}")),
        };
        let claims = token.claims(&verifier, same).context("ID token")?;
        let algorithm = format!("{:?}", token.signing_alg()?);
        let wanted = if self.algorithm == "ES256" { "EcdsaP256Sha256" } else { "RsaSsaPkcs1V15Sha256" };
        ensure!(algorithm == wanted, "it is signed with {algorithm}, not {wanted}");
        let hash = AccessTokenHash::from_token(
            tokens.access_token(),
            token.signing_alg()?,
            token.signing_key(&verifier)?,
        )?;
        ensure!(claims.access_token_hash().is_none_or(|told| *told == hash), "at_hash is another token's");
        Ok(claims)
    }

    fn login(&self) -> anyhow::Result<()> {
        let Code { code, verifier, nonce } = self.code().context("login")?;
        ok("a login at the provider's page gives a code and the state");
        let again = PkceCodeVerifier::new(verifier.secret().clone());
        let tokens =
            self.party.exchange_code(code.clone()).set_pkce_verifier(verifier).request(&self.http)?;
        let claims = self.verified(&tokens, Some(&nonce))?;
        ok(&format!("the ID token verifies: {}, issuer, audience, times, nonce, at_hash", self.algorithm));
        self.person(claims)?;
        ok("it has email, email_verified, name and groups");
        let about = |subject: &SubjectIdentifier| {
            self.party.user_info(tokens.access_token().clone(), Some(subject.clone())).request(&self.http)
        };
        let info: UserInfo = about(claims.subject()).context("userinfo")?;
        ensure!(info.email() == claims.email() && info.additional_claims() == claims.additional_claims());
        ok("userinfo is about the same person");
        let made_up = AccessToken::new("made-up".to_owned());
        let answer: Result<UserInfo, _> = self.party.user_info(made_up, None).request(&self.http);
        ensure!(answer.is_err(), "userinfo answers a token that was made up");
        ok("userinfo refuses a token that was made up");
        let twice = self.party.exchange_code(code).set_pkce_verifier(again).request(&self.http);
        refused(twice, &CoreErrorResponseType::InvalidGrant).context("a code twice")?;
        ok("a code is good once");
        Ok(())
    }

    fn person(&self, claims: &Claims) -> anyhow::Result<()> {
        let email = claims.email().map(|email| email.as_str());
        ensure!(email == Some(self.user.as_str()), "email is {email:?}");
        ensure!(claims.email_verified() == Some(true), "the address is not verified");
        ensure!(claims.name().is_some_and(|name| name.iter().next().is_some()), "no name");
        let groups = &claims.additional_claims().groups;
        ensure!(groups.contains(&self.group), "groups are {groups:?}");
        Ok(())
    }

    /// ID tokens that are not the one asked for.
    fn forgeries(&self) -> anyhow::Result<()> {
        let (tokens, nonce) = self.tokens()?;
        let token = id_token(&tokens)?;
        let wrong = token.claims(&self.party.id_token_verifier(), &Nonce::new_random()).map(|_| ());
        ensure!(matches!(wrong, Err(ClaimsVerificationError::InvalidNonce(_))), "another nonce: {wrong:?}");
        ok("an ID token with another nonce is refused");
        let other = party::party(&self.metadata, "somebody-else", None, &self.redirect)?;
        let wrong = token.claims(&other.id_token_verifier(), &nonce).map(|_| ());
        ensure!(
            matches!(wrong, Err(ClaimsVerificationError::InvalidAudience(_))),
            "another client: {wrong:?}"
        );
        ok("an ID token for another client is refused");
        let text = token.to_string();
        let (signed, signature) = text.rsplit_once('.').context("a token has a signature")?;
        let first = if signature.starts_with('A') { "B" } else { "A" };
        let changed: Token = format!("{signed}.{first}{}", &signature[1..]).parse()?;
        let wrong = changed.claims(&self.party.id_token_verifier(), &nonce).map(|_| ());
        let caught = matches!(wrong, Err(ClaimsVerificationError::SignatureVerification(_)));
        ensure!(caught, "a changed signature: {wrong:?}");
        ok("an ID token with a changed signature is refused");
        Ok(())
    }

    fn refresh(&self) -> anyhow::Result<()> {
        let (tokens, nonce) = self.tokens()?;
        let before = self.verified(&tokens, Some(&nonce))?;
        let mut seen = vec![refresh_token(&tokens)?.clone()];
        for _ in 0..2 {
            let newest = seen.last().context("there is one")?;
            let fresh = self.party.exchange_refresh_token(newest).request(&self.http).context("refresh")?;
            let after = self.verified(&fresh, None)?;
            let same = after.subject() == before.subject()
                && after.email() == before.email()
                && after.additional_claims() == before.additional_claims();
            ensure!(same, "refresh: {before:?} became {after:?}");
            let next = refresh_token(&fresh)?.clone();
            ensure!(
                seen.iter().all(|old| old.secret() != next.secret()),
                "the refresh token was not rotated"
            );
            seen.push(next);
        }
        ok("refreshing gives the same person, and each time another refresh token");
        let reused = self.party.exchange_refresh_token(&seen[0]).request(&self.http);
        refused(reused, &CoreErrorResponseType::InvalidGrant).context("a refresh token of before")?;
        ok("a refresh token of two rotations ago is refused");
        let newest = seen.last().context("there is one")?;
        let ended = self.party.exchange_refresh_token(newest).request(&self.http);
        refused(ended, &CoreErrorResponseType::InvalidGrant).context("the newest after the reuse")?;
        ok("and its reuse ends the newest one as well");
        Ok(())
    }

    /// What no provider may let pass.
    fn refusals(&self) -> anyhow::Result<()> {
        let code = self.code()?.code;
        let (_, other) = PkceCodeChallenge::new_random_sha256();
        let answer = self.party.exchange_code(code).set_pkce_verifier(other).request(&self.http);
        refused(answer, &CoreErrorResponseType::InvalidGrant).context("another verifier")?;
        ok("a code is of no use without the verifier it was asked for with");
        let attacker = party::party(
            &self.metadata,
            &told("OIDC_CLIENT_ID")?,
            None,
            "https://attacker.example/callback",
        )?;
        let (challenge, _) = PkceCodeChallenge::new_random_sha256();
        let (at, _, _) = attacker
            .authorize_url(
                CoreAuthenticationFlow::AuthorizationCode,
                CsrfToken::new_random,
                Nonce::new_random,
            )
            .set_pkce_challenge(challenge)
            .url();
        let answer = self.http.get(at).send()?;
        ensure!(
            answer.status().is_client_error(),
            "another redirect URI is answered with {}",
            answer.status()
        );
        ok("an unknown redirect URI is refused, and nobody is sent there");
        Ok(())
    }

    fn revocation(&self) -> anyhow::Result<()> {
        let secret = told("OIDC_CONFIDENTIAL_SECRET")?;
        let redirect = told("OIDC_CONFIDENTIAL_REDIRECT_URI")?;
        let resource =
            party::party(&self.metadata, &told("OIDC_CONFIDENTIAL_ID")?, Some(&secret), &redirect)?;
        let (tokens, nonce) = self.tokens()?;
        let access = tokens.access_token();
        let before = resource.introspect(access).request(&self.http).context("introspection")?;
        ensure!(before.active(), "a token that was just given is not active");
        let subject = self.verified(&tokens, Some(&nonce))?.subject();
        ensure!(before.sub() == Some(subject.as_str()), "introspection is about {:?}", before.sub());
        ok("introspection tells a client with a secret that the token is active, and whose it is");
        let refresh = refresh_token(&tokens)?;
        let revoke = self.party.revoke_token(CoreRevocableToken::RefreshToken(refresh.clone()))?;
        revoke.request(&|request: HttpRequest| self.plainly(request)).context("revocation")?;
        let answer = self.party.exchange_refresh_token(refresh).request(&self.http);
        refused(answer, &CoreErrorResponseType::InvalidGrant).context("a revoked refresh token")?;
        ok("a refresh token that was revoked is refused");
        let after = resource.introspect(access).request(&self.http).context("introspection")?;
        ensure!(!after.active(), "an access token is active whose grant was revoked");
        ok("and introspection says that the access token beside it is active no more");
        Ok(())
    }

    /// Sends to a provider on loopback what the crate would send over TLS alone.
    fn plainly(&self, mut request: HttpRequest) -> Result<HttpResponse, Unsent> {
        let at = request.uri().to_string().replacen("https:", "http:", 1);
        *request.uri_mut() = at.parse().map_err(Unsent::new)?;
        self.http.call(request).map_err(Unsent::new)
    }
}

fn id_token(tokens: &Tokens) -> anyhow::Result<&Token> {
    tokens.id_token().context("the answer has no id_token")
}

fn refresh_token(tokens: &Tokens) -> anyhow::Result<&RefreshToken> {
    tokens.refresh_token().context("offline_access gave no refresh token")
}

/// Why a request did not go out.
#[derive(Debug)]
struct Unsent(String);

impl Unsent {
    fn new(error: impl std::error::Error) -> Self {
        Self(error.to_string())
    }
}

impl std::fmt::Display for Unsent {
    fn fmt(&self, to: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        to.write_str(&self.0)
    }
}

impl std::error::Error for Unsent {}
