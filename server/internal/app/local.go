package app

import (
	"net/http"
	"strings"

	"github.com/wabastream/wabastream/server/internal/guard"
	"github.com/wabastream/wabastream/server/internal/rest"
)

// unsignedFromHere keeps callbacks to sources that accept unsigned ones to this
// machine, and to what is no page in a browser on it; a source whose callbacks must be
// signed may be posted to from anywhere.
func (a *App) unsignedFromHere(next http.Handler) http.Handler {
	if a.config.InsecureListen {
		return next
	}
	const instead = "give the source access keys and set allow_unsigned to false, or accept the risk with insecure_listen"
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if a.toUnsignedSource(r) {
			err := guard.OwnMachine(r.Host, r.Header, instead)
			if err == nil && guard.OtherOrigin(r) != "" {
				err = guard.OtherPage(instead)
			}
			if err != nil {
				rest.WriteError(w, err)
				return
			}
		}
		next.ServeHTTP(w, r)
	})
}

// toUnsignedSource reports whether a callback goes to a source that would accept
// it without a signature.
func (a *App) toUnsignedSource(r *http.Request) bool {
	name := strings.TrimPrefix(r.URL.Path, "/webhooks/")
	for _, s := range a.config.Sources {
		if s.Name == name {
			return s.AllowUnsigned
		}
	}
	return false
}
