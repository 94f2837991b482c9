#!/usr/bin/env python3
"""visitors.py URL URL: visits the applications of www/ on two web servers. Exit status 1 if a test fails."""
import concurrent.futures
import http.cookiejar
import json
import sys
import urllib.request

URLS = sys.argv[1:3]
TIMEOUT_SECS = 60
VISITORS, PAGES_EACH = 8, 10
APPS = {"Symfony": "symfony.php?do=", "Laravel": "laravel.php/"}

failures = 0


def expect(what, expected, found):
    global failures
    if expected == found:
        print(f"ok: {what}")
    else:
        failures += 1
        print(f"not ok: {what}: expected {expected!r}, found {found!r}")


class Visitor:
    def __init__(self, app):
        self.app = app
        self.jar = http.cookiejar.CookieJar()
        self.pages = 0

    def visit(self, action):
        """Each page is of the other server."""
        self.pages += 1
        url = f"{URLS[self.pages % 2]}/{APPS[self.app]}{action}"
        opener = urllib.request.build_opener(urllib.request.HTTPCookieProcessor(self.jar))
        try:
            with opener.open(url, timeout=TIMEOUT_SECS) as response:
                body = response.read().decode()
        except urllib.error.HTTPError as error:
            body = f"{error.code} {error.read().decode()[:2000]}"
        try:
            return json.loads(body)
        except ValueError:
            return body


def flash_of(app, text):
    return ([text] if text else []) if app == "Symfony" else text


for app in APPS:
    visitor = Visitor(app)
    before = visitor.visit("look")
    expect(f"{app}: no user is logged in", None, before["user"])
    expect(f"{app}: the next page has the same session", before["session"], visitor.visit("look")["session"])
    login = visitor.visit("login")
    expect(f"{app}: login", "alice", login["user"])
    expect(f"{app}: the login changed the id", True, before["session"] != login["session"])
    looked = visitor.visit("look")
    expect(f"{app}: logged in on the other server", "alice", looked["user"])
    expect(f"{app}: flash data exist for one request", flash_of(app, "welcome"), looked["flash"])
    expect(f"{app}: flash data are deleted after one request", flash_of(app, None), visitor.visit("look")["flash"])

    def count(_):
        # Each thread has its own cookies: parallel responses may arrive in any order.
        browser = Visitor(app)
        for cookie in visitor.jar:
            browser.jar.set_cookie(cookie)
        for _ in range(PAGES_EACH):
            browser.visit("count")

    with concurrent.futures.ThreadPoolExecutor(VISITORS) as pool:
        list(pool.map(count, range(VISITORS)))
    expect(f"{app}: no parallel change is lost", VISITORS * PAGES_EACH, visitor.visit("look")["n"])

    stale = Visitor(app)
    for cookie in visitor.jar:
        stale.jar.set_cookie(cookie)
    expect(f"{app}: logout", None, visitor.visit("logout")["user"])
    expect(f"{app}: logged out on the other server", None, visitor.visit("look")["user"])
    expect(f"{app}: the old cookie is invalid", None, stale.visit("look")["user"])

sys.exit(1 if failures else 0)
