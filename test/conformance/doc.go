// Package conformance asks a hub what JupyterHub's REST API promises, a case for each row
// of its tables (docs/source/_static/rest-api.yml and the handlers of version 5.5), over
// HTTP and as any client does. The same cases run against gifford-hub and against the real
// JupyterHub that Debian packages: what the latter answers is the truth. test/conformance/run
// runs it. Differences are told in docs/compatibility.md.
package conformance
