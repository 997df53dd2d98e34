package web

import (
	"net/http"

	"github.com/gifford-lab/gifford-hub/agent/hub/httpx"
)

// maxForm bounds the body of a form, in bytes.
const maxForm = 16 << 10

// readForm reads the form of a POST.
func readForm(w http.ResponseWriter, r *http.Request) error {
	r.Body = http.MaxBytesReader(w, r.Body, maxForm)
	if err := r.ParseForm(); err != nil {
		return &httpx.Error{Status: http.StatusBadRequest, Public: "the form cannot be read",
			Hint: "go back and try again", Cause: err}
	}
	return nil
}
