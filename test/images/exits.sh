#!/bin/sh
# A server that cannot start: what it says must reach the person who waits for it.
echo "cannot find the licence server" >&2
exit 3
