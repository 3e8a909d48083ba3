package app

import (
	"net/http"
	"time"
)

// endAmbiguous ends a connection behind a request whose end a proxy in front may have
// seen elsewhere: a body in chunks, beside which there may have been a length, and
// anything of HTTP/1.0, which knows no chunks. What follows it on the connection is
// never taken for a request of its own. net/http refuses most such requests, and
// leaves no trace of a length that it passed over.
func endAmbiguous(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if len(r.TransferEncoding) > 0 || !r.ProtoAtLeast(1, 1) {
			w.Header().Set("Connection", "close")
		}
		next.ServeHTTP(w, r)
	})
}

// boundBodies gives a body its time, also one that no handler reads: for the rest of
// that the server would wait for ever. Who streams an answer, and has read the body
// before, takes the limit off.
func boundBodies(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.ContentLength != 0 {
			_ = http.NewResponseController(w).SetReadDeadline(time.Now().Add(readTimeout)) // every net/http connection can
		}
		next.ServeHTTP(w, r)
	})
}
