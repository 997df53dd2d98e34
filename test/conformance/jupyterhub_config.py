# The real JupyterHub, set up for test/conformance: three users, two services and every
# feature that the suite asks for.
c.JupyterHub.bind_url = "http://:8000/"
c.JupyterHub.hub_bind_url = "http://127.0.0.1:8181"
c.JupyterHub.authenticator_class = "dummy"
c.Authenticator.allow_all = True
c.Authenticator.admin_users = {"dora"}
c.JupyterHub.spawner_class = "simple"
c.Spawner.args = ["--allow-root"]
c.JupyterHub.allow_named_servers = True
c.JupyterHub.cleanup_servers = True
c.ConfigurableHTTPProxy.command = ["/opt/chp/node/bin/node", "/opt/chp/node_modules/configurable-http-proxy/bin/configurable-http-proxy"]
c.JupyterHub.db_url = "sqlite:////srv/jupyterhub/jupyterhub.sqlite"
c.JupyterHub.cookie_secret_file = "/srv/jupyterhub/cookie_secret"
c.JupyterHub.services = [
    {"name": "admin", "admin": True, "api_token": "conformance-admin-token-0123456789"},
    {
        "name": "limited",
        "api_token": "conformance-limited-token-012345678",
        "oauth_client_id": "service-limited",
        "oauth_redirect_uri": "/services/limited/oauth_callback",
    },
]
c.JupyterHub.load_roles = [
    {"name": "limited", "scopes": ["list:users"], "services": ["limited"]},
]
