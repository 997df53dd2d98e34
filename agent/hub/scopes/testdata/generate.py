"""Ask JupyterHub's own scopes.py and roles.py what lists of scopes mean.

    python3 generate.py CHECKOUT TAG > jupyterhub-TAG.json

CHECKOUT is a clone of github.com/jupyterhub/jupyterhub. What those two files import is
replaced by the little they use of it, so that nothing needs to be installed.
"""

import json
import logging
import random
import subprocess
import sys
import types
import warnings

MEMBERS = {"alice": ["cgs", "all"], "bob": ["cgs"], "carol": ["all"], "dora": []}
FILTERS = {
    "user": ["user", "user=alice", "user=bob", "group=cgs", "group=all"],
    "server": ["server", "server=alice/", "server=alice/gpu", "server=bob/"],
    "group": ["group=cgs", "group=all"],
    "service": ["service", "service=culler", "service=nbgrader"],
}
UNFILTERED = ("(no_scope)", "self", "inherit", "admin-ui", "read:hub", "proxy", "shutdown", "read:metrics")


class Name:
    """orm.User.name: a column on the class, a name on an instance."""

    def __get__(self, obj, cls):
        return Column() if obj is None else obj.__dict__["name"]

    def __set__(self, obj, value):
        obj.__dict__["name"] = value


class Column:
    def __eq__(self, other):
        return other  # "filter(User.name == x)" gets x


class Base:
    def __init__(self, name):
        self.name = name


class User(Base):
    name = Name()
    groups = None


class Service(Base):
    pass


class Group:
    name = "group.name"


class Query:
    """The one query there is: the groups of a user."""

    def query(self, *_):
        return self

    join = query

    def filter(self, user):
        return iter((group,) for group in MEMBERS[user])


def load(checkout, tag):
    def module(name, **attributes):
        m = sys.modules[name] = types.ModuleType(name)
        m.__dict__.update(attributes)
        return m

    module("sqlalchemy", func=None)
    web = module("tornado.web")
    module("tornado", web=web)
    module("tornado.log", app_log=logging.getLogger())
    package = module("jh", __path__=[])
    package.orm = module("jh.orm", Base=Base, User=User, Service=Service, Group=Group)
    for name in ("_memoize", "scopes", "roles"):
        setattr(package, name, module("jh." + name, __package__="jh"))
    for name in ("_memoize", "roles", "scopes"):
        source = subprocess.check_output(["git", "-C", checkout, "show", f"{tag}:jupyterhub/{name}.py"])
        exec(compile(source, name, "exec"), getattr(package, name).__dict__)
    return package


def kinds(scope):
    """Which filters to try."""
    if scope in UNFILTERED:
        return []
    if scope == "read:roles":
        return ["user", "service"]
    if "services" in scope:
        return ["service"]
    if "groups" in scope and not scope.startswith("read:users"):
        return ["group"]
    if "server" in scope or scope in ("shares", "read:shares"):
        return ["user", "server"]
    return ["user"]


def main(checkout, tag):
    warnings.simplefilter("ignore")
    jh = load(checkout, tag)
    rng = random.Random(5)

    def expand(scopes, user="", service="", server=""):
        owner = User(user) if user else Service(service)
        client = types.SimpleNamespace(identifier=service + server, service=None, spawner=None)
        if server:
            name, _, of = server.partition("/")
            client.spawner = types.SimpleNamespace(user=User(name), name=of)
        elif service:
            client.service = Service(service)
        return sorted(s for s in jh.scopes.expand_scopes(scopes, owner, client) if s != "inherit")

    def case(scopes, **owner):
        return {"scopes": scopes, **owner, "want": expand(scopes, **owner)}

    names = [s for s in jh.scopes.scope_definitions if s != "inherit"]
    written = [f"{s}{f}" for s in names for f in [""] + ["!" + f for k in kinds(s) for f in FILTERS[k]]]
    owners = [
        {"user": "alice"},
        {"user": "bob", "server": "alice/gpu"},
        {"service": "culler"},
        {"user": "alice", "service": "nbgrader"},
    ]

    def two_lists():
        """Lists that are likely to have something in common."""
        base = rng.sample(names, 2)
        pool = [s for s in written if s.split("!")[0] in base]
        pool += ["servers!user=bob", "servers!group=cgs", "servers!server=bob/", "self", "users!group=all", "users!user=carol"]
        return [rng.sample(pool, rng.randint(1, 6)) for _ in range(2)]

    def intersection():
        token, owner = two_lists()
        both = jh.scopes._intersect_expanded_scopes(expand(token, "alice"), expand(owner, "alice"), db=Query())
        return {"token": token, "owner": owner, "want": sorted(both)}

    rows = {
        "roles": [{**r, "want": expand(r["scopes"], "alice", server="alice/")} for r in jh.roles.get_default_roles()],
        "expansions": [case([s], user="alice") for s in written]
        + [case(rng.sample(written, rng.randint(2, 6)), **rng.choice(owners)) for _ in range(100)],
        "intersections": [intersection() for _ in range(200)],
    }
    subscopes = {s: d.get("subscopes", []) for s, d in jh.scopes.scope_definitions.items()}
    print('{"version": %s, "members": %s,\n"subscopes": %s' % (json.dumps(tag), json.dumps(MEMBERS), json.dumps(subscopes)), end="")
    for key, cases in rows.items():
        print(',\n"%s": [\n' % key + ",\n".join(json.dumps(c) for c in cases) + "]", end="")
    print("}")


main(*sys.argv[1:])
