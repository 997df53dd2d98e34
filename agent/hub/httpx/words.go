package httpx

import (
	"encoding/json"
	"net/http"
)

// Words answers with a few words of text, where there is no page. It has the origin that servers' pages share, and a
// page of a server can have it in a frame or a window, perhaps below the server's own path. Without a policy its window
// would be a place in that origin from which nothing is forbidden, so it gets an origin of its own (CSP 3, 6.2.2:
// sandbox).
func Words(w http.ResponseWriter, text string, status int) {
	Alone(w.Header())
	http.Error(w, text, status)
}

// JSONWords is Words for programs, in JupyterHub's form.
func JSONWords(w http.ResponseWriter, text string, status int) {
	h := w.Header()
	Alone(h)
	h.Set("Content-Type", "application/json")
	h.Set("X-Content-Type-Options", "nosniff")
	w.WriteHeader(status)
	_ = json.NewEncoder(w).Encode(map[string]any{"status": status, "message": text}) // an error: the client is gone
}

// Alone sets the headers of an answer that is no page and no part of one.
func Alone(h http.Header) {
	Isolate(h)
	h.Set("Content-Security-Policy", "default-src 'none'; sandbox")
}
