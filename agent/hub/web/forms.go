package web

import (
	"net/http"
	"regexp"
	"slices"

	"github.com/gifford-lab/gifford-hub/agent/hub/httpx"
	"github.com/gifford-lab/gifford-hub/agent/hub/xsrf"
)

// maxForm bounds the body of a form, in bytes.
const maxForm = 16 << 10

// postForm is the beginning of a form, as html/template leaves it: in attributes it escapes each ">", and in text each
// "<", so that nothing which people have written looks like it.
var postForm = regexp.MustCompile(`<form method="post"[^>]*>`)

// withToken puts a token into each form of a page. It is done here and not in the templates, so that none can be
// forgotten.
func withToken(page []byte, token string) []byte {
	field := `<input type="hidden" name="` + xsrf.Field + `" value="` + token + `">`
	return postForm.ReplaceAllFunc(page, func(form []byte) []byte { return append(slices.Clone(form), field...) })
}

// readForm reads the form of a POST.
func readForm(w http.ResponseWriter, r *http.Request) error {
	r.Body = http.MaxBytesReader(w, r.Body, maxForm)
	if err := r.ParseForm(); err != nil {
		return &httpx.Error{Status: http.StatusBadRequest, Public: "the form cannot be read",
			Hint: "go back and try again", Cause: err}
	}
	return nil
}
