"""Follows redirects and fills in forms until a provider sends it back to the client."""

from html.parser import HTMLParser
from urllib.parse import parse_qs, urljoin, urlsplit

import requests


class Form(HTMLParser):
    """The first form of a page that is sent by POST, with its fields."""

    def __init__(self, text):
        super().__init__()
        self.action, self.fields, self.open, self.types = None, {}, False, []
        self.feed(text)

    def handle_starttag(self, tag, attributes):
        at = dict(attributes)
        if tag == "form" and self.action is None and at.get("method"):
            self.action, self.open = at.get("action") or "", True
        elif tag == "input" and self.open and at.get("name"):
            kind = at.get("type") or "text"
            self.types.append(kind)
            if kind not in ("checkbox", "radio", "submit"):
                self.fields[at["name"]] = (kind, at.get("value") or "")

    def handle_endtag(self, tag):
        if tag == "form":
            self.open = False

    def filled(self, user, password):
        values = {"password": password, "text": user, "email": user}
        return {name: values.get(kind, value) for name, (kind, value) in self.fields.items()}


class Browser:
    def __init__(self, user, password):
        self.session, self.user, self.password = requests.Session(), user, password
        self.logins = 0

    def visit(self, at, back, **first):
        """The parameters with which the provider sends the browser to the client.

        The first request may be another than GET.
        """
        answer = self.session.request(first.pop("method", "GET"), at, allow_redirects=False, **first)
        for _ in range(12):
            if answer.is_redirect:
                there = urljoin(answer.url, answer.headers["location"])
                if there.startswith(back + "?"):
                    return {name: values[0] for name, values in parse_qs(urlsplit(there).query).items()}
                answer = self.session.get(there, allow_redirects=False)
                continue
            form = Form(answer.text)
            if form.action is None:
                raise AssertionError(f"{answer.url} answers {answer.status_code}, without a form")
            self.logins += "password" in form.types
            fields = form.filled(self.user, self.password)
            answer = self.session.post(urljoin(answer.url, form.action), data=fields, allow_redirects=False)
        raise AssertionError("the provider never sends the browser back")
