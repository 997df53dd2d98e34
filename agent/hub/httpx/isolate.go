package httpx

import "net/http"

// Isolate sets the headers that keep an answer of the hub apart from the pages of servers, which share its origin: no
// window that such a page has opened can be reached from it, nothing can be embedded, and a page of the hub uses no
// device of the visitor's.
func Isolate(h http.Header) {
	h.Set("Cross-Origin-Opener-Policy", "same-origin")
	h.Set("Cross-Origin-Resource-Policy", "same-origin")
	h.Set("Permissions-Policy", permissions)
}

// permissions takes every feature that browsers know away from the hub's own pages. There is no word for all of them.
const permissions = "accelerometer=(), autoplay=(), bluetooth=(), camera=(), clipboard-read=(), clipboard-write=(), " +
	"display-capture=(), encrypted-media=(), fullscreen=(), gamepad=(), geolocation=(), gyroscope=(), hid=(), " +
	"idle-detection=(), local-fonts=(), magnetometer=(), microphone=(), midi=(), payment=(), picture-in-picture=(), " +
	"publickey-credentials-create=(), publickey-credentials-get=(), screen-wake-lock=(), serial=(), " +
	"storage-access=(), usb=(), web-share=(), window-management=(), xr-spatial-tracking=()"
