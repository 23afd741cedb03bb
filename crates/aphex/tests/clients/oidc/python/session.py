"""A session of an OpenID provider with Authlib, along the checks of the OpenID Foundation's basic profile.

Names are those of the Foundation's conformance suite (https://gitlab.com/openid/conformance-suite); each check asks of the provider
what the module of that name asks, as far as a client that is given one person and its clients can. Each prints `ok NAME` or
`not NAME: why`; one that is not ok ends the session with an error.
"""

import os
import sys
import time
import traceback

import requests
from authlib.common.security import generate_token
from authlib.integrations.base_client.sync_openid import OpenIDMixin
from authlib.integrations.requests_client import OAuth2Session, OAuthError

from browser import Browser

ISSUER, REDIRECT = os.environ["OIDC_ISSUER"], os.environ["OIDC_REDIRECT_URI"]
USER, PASSWORD, GROUP = (os.environ[name] for name in ("OIDC_USER", "OIDC_PASSWORD", "OIDC_GROUP"))
SCOPE = "openid profile email groups offline_access"
METADATA = requests.get(ISSUER.rstrip("/") + "/.well-known/openid-configuration", timeout=10).json()


class Client(OpenIDMixin, OAuth2Session):
    """Authlib's session with Authlib's verification of ID tokens."""

    def __init__(self, client=None, secret=None, method="none", scope=SCOPE, redirect=REDIRECT):
        super().__init__(
            client or os.environ["OIDC_CLIENT_ID"],
            secret,
            scope=scope,
            redirect_uri=redirect,
            code_challenge_method="S256",
            token_endpoint_auth_method=method,
        )
        self.server_metadata, self.verifier = dict(METADATA), generate_token(48)

    def load_server_metadata(self):
        return self.server_metadata

    def _get_session(self):
        return self

    def address(self, **more):
        more.setdefault("nonce", generate_token(20))
        more = {name: value for name, value in more.items() if value is not None}
        url, self.sent_state = self.create_authorization_url(
            METADATA["authorization_endpoint"], code_verifier=self.verifier, **more
        )
        return url

    def code(self, browser, **more):
        answer = browser.visit(self.address(**more), self.redirect_uri)
        assert answer.get("state") == self.sent_state, f"state came back as {answer.get('state')!r}"
        return answer

    def exchange(self, answer):
        assert "code" in answer, f"no code, but {answer.get('error')}: {answer.get('error_description')}"
        return self.fetch_token(METADATA["token_endpoint"], code=answer["code"], code_verifier=self.verifier)

    def login(self, browser, **more):
        """The claims of a whole login."""
        more.setdefault("nonce", generate_token(20))
        token = self.exchange(self.code(browser, **more))
        return self.parse_id_token(token, more["nonce"])


def browser():
    return Browser(USER, PASSWORD)


def refused(code, attempt):
    try:
        attempt()
    except OAuthError as error:
        assert error.error == code, f"expected {code}, got {error.error}"
        return
    raise AssertionError(f"expected {code}, and nothing was refused")


def oidcc_server():
    claims = Client().login(browser())
    assert claims["email"] == USER and claims["email_verified"] is True and claims["name"], dict(claims)
    assert GROUP in claims["groups"], claims["groups"]


def oidcc_discovery_endpoint_verification():
    assert METADATA["issuer"] == ISSUER, METADATA["issuer"]
    needed = ["authorization_endpoint", "token_endpoint", "userinfo_endpoint", "jwks_uri", "response_types_supported",
              "subject_types_supported", "id_token_signing_alg_values_supported"]
    assert all(METADATA.get(name) for name in needed), METADATA
    assert "code" in METADATA["response_types_supported"]
    assert "RS256" in METADATA["id_token_signing_alg_values_supported"]
    keys = requests.get(METADATA["jwks_uri"], timeout=10).json()["keys"]
    private = {"d", "p", "q", "dp", "dq", "qi", "k"}
    assert keys and all(key.get("kid") and not private & key.keys() for key in keys), [key.keys() for key in keys]


def oidcc_response_type_missing():
    client = Client()
    url = client.address().replace("response_type=code&", "")
    assert "response_type" not in url
    answer = browser_or_page(url, client.redirect_uri)
    assert answer in ("page", "invalid_request", "unsupported_response_type"), answer


def browser_or_page(url, back):
    """The error with which the browser is sent back, or `page` where it is shown one."""
    answer = requests.get(url, allow_redirects=False, timeout=10)
    if answer.status_code >= 400:
        return "page"
    return browser().visit(url, back).get("error", "nothing")


def oidcc_userinfo_get():
    client = Client()
    claims = client.login(browser())
    info = client.userinfo()
    assert info["sub"] == claims["sub"] and info["email"] == USER and GROUP in info["groups"], dict(info)


def oidcc_userinfo_post_header():
    client = Client()
    claims = client.login(browser())
    answer = client.post(METADATA["userinfo_endpoint"])
    assert answer.status_code == 200 and answer.json()["sub"] == claims["sub"], answer.status_code


def oidcc_ensure_request_without_nonce_succeeds_for_code_flow():
    claims = Client().login(browser(), nonce=None)
    assert "nonce" not in claims


def oidcc_scope_profile():
    client = Client(scope="openid profile")
    client.login(browser())
    assert client.userinfo().get("name"), "profile brings the name"


def oidcc_scope_email():
    client = Client(scope="openid email")
    client.login(browser())
    info = client.userinfo()
    assert info["email"] == USER and "groups" not in info, dict(info)


def oidcc_ensure_other_scope_order_succeeds():
    claims = Client(scope="email groups profile openid").login(browser())
    assert claims["email"] == USER


def oidcc_display_page():
    Client().login(browser(), display="page")


def oidcc_display_popup():
    Client().login(browser(), display="popup")


def oidcc_prompt_login():
    person = browser()
    first = Client().login(person)
    second = Client().login(person, prompt="login")
    assert person.logins == 2, f"the person logged in {person.logins} times"
    assert second["sub"] == first["sub"]


def oidcc_prompt_none_not_logged_in():
    answer = Client().code(browser(), prompt="none")
    assert answer.get("error") == "login_required", answer.get("error")


def oidcc_prompt_none_logged_in():
    person = browser()
    first = Client().login(person, max_age="10000")
    second = Client().login(person, prompt="none", max_age="10000")
    assert person.logins == 1 and second["sub"] == first["sub"]
    assert second["auth_time"] == first["auth_time"]


def oidcc_max_age_1():
    # Zero seconds instead of one, so that nobody has to wait (OpenID Connect Core errata 2, 3.1.2.1: as prompt=login).
    person = browser()
    Client().login(person)
    claims = Client().login(person, max_age="0")
    assert person.logins == 2, f"the person logged in {person.logins} times"
    assert abs(claims["auth_time"] - time.time()) < 60


def oidcc_max_age_10000():
    person = browser()
    first = Client().login(person, max_age="10000")
    second = Client().login(person, max_age="10000")
    assert person.logins == 1, f"the person logged in {person.logins} times"
    assert second["auth_time"] == first["auth_time"]


def oidcc_ensure_request_with_unknown_parameter_succeeds():
    Client().login(browser(), extra="foobar")


def oidcc_id_token_hint():
    person, client = browser(), Client()
    token = client.exchange(client.code(person))
    claims = Client().login(person, prompt="none", id_token_hint=token["id_token"])
    assert claims["email"] == USER


def oidcc_login_hint():
    Client().login(browser(), login_hint=USER)


def oidcc_ui_locales():
    Client().login(browser(), ui_locales="se de")


def oidcc_claims_locales():
    Client().login(browser(), claims_locales="se")


def oidcc_ensure_request_with_acr_values_succeeds():
    Client().login(browser(), acr_values="1 2")


def oidcc_codereuse():
    client = Client()
    answer = client.code(browser())
    client.exchange(answer)
    refused("invalid_grant", lambda: client.exchange(answer))


def oidcc_ensure_registered_redirect_uri():
    for other in (REDIRECT + "/more", REDIRECT + "?more=1", "https://attacker.example/callback"):
        answer = requests.get(Client(redirect=other).address(), allow_redirects=False, timeout=10)
        assert answer.status_code >= 400 and "location" not in answer.headers, f"{other}: {answer.status_code}"


def oidcc_ensure_post_request_succeeds():
    client, nonce = Client(), generate_token(20)
    at, _, query = client.address(nonce=nonce).partition("?")
    headers = {"content-type": "application/x-www-form-urlencoded"}
    answer = browser().visit(at, REDIRECT, method="POST", data=query, headers=headers)
    claims = client.parse_id_token(client.exchange(answer), nonce)
    assert claims["email"] == USER


def oidcc_refresh_token():
    client = Client()
    token = client.exchange(client.code(browser()))
    before = client.parse_id_token(token, None)
    seen = [token["refresh_token"]]
    for _ in range(2):
        token = client.refresh_token(METADATA["token_endpoint"], refresh_token=seen[-1])
        assert token["refresh_token"] not in seen, "the refresh token was not rotated"
        after = client.parse_id_token(token, None)
        same = ("iss", "sub", "aud", "email", "groups")
        assert all(before[name] == after[name] for name in same), (dict(before), dict(after))
        seen.append(token["refresh_token"])
    refused("invalid_grant", lambda: client.refresh_token(METADATA["token_endpoint"], refresh_token=seen[0]))


def confidential(method):
    client = os.environ["OIDC_CONFIDENTIAL_ID"]
    secret, redirect = os.environ["OIDC_CONFIDENTIAL_SECRET"], os.environ["OIDC_CONFIDENTIAL_REDIRECT_URI"]
    claims = Client(client, secret, method, redirect=redirect).login(browser())
    assert client in claims["aud"], claims["aud"]
    wrong = Client(client, secret + "x", method, redirect=redirect)
    refused("invalid_client", lambda: wrong.login(browser()))


def oidcc_server_client_secret_basic():
    confidential("client_secret_basic")


def oidcc_server_client_secret_post():
    confidential("client_secret_post")


def main():
    checks = {name: check for name, check in globals().items() if name.startswith("oidcc_")}
    if "OIDC_CONFIDENTIAL_ID" not in os.environ:
        checks = {name: check for name, check in checks.items() if "client_secret" not in name}
    failed = 0
    for name, check in checks.items():
        name = name.replace("_", "-")
        try:
            check()
            print("ok", name)
        except Exception as error:
            failed += 1
            place = traceback.extract_tb(error.__traceback__)[-1]
            print(f"not {name}: {type(error).__name__}: {error} ({os.path.basename(place.filename)}:{place.lineno})")
    sys.exit(1 if failed else 0)


main()
