#!/bin/sh
# A server that never listens: starting it must end in a time-out, and stopping it must not take long.
trap 'exit 0' TERM INT
echo "starting, and never ready"
while :; do
  sleep 3600 &
  wait $!
done
