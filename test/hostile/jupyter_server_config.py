# Loads the hostile extension beside it into the member's own server.
import os
import sys

sys.path.insert(0, os.path.dirname(__file__))
c.ServerApp.jpserver_extensions = {"hostile": True}  # noqa: F821 (c is Jupyter's)
