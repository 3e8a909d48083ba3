package app

import (
	"net"
	"net/http"
	"strings"

	"github.com/wabastream/wabastream/server/internal/rest"
)

// localOnly keeps an open server on loopback to itself. It refuses what reached
// it through a proxy, and what names another host: a page in a browser of this
// machine can make its own name resolve to loopback (DNS rebinding), and would
// otherwise read events or post them. Requests that applies does not name pass.
func (a *App) localOnly(applies func(*http.Request) bool, next http.Handler) http.Handler {
	if a.config.InsecureListen {
		return next
	}
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		switch {
		case !applies(r):
		case !isLocalHost(r.Host):
			rest.Refuse(w, http.StatusForbidden, "HOST_NOT_LOCAL",
				"this server is open to its own machine only, and the request names another host; use localhost or 127.0.0.1, or accept the risk with insecure_listen")
			return
		case isProxied(r.Header):
			rest.Refuse(w, http.StatusForbidden, "PROXIED",
				"this server is open to its own machine only, and the request came through a proxy; give the source access keys and set allow_unsigned to false, or accept the risk with insecure_listen")
			return
		}
		next.ServeHTTP(w, r)
	})
}

func isLocalHost(hostport string) bool {
	host := hostport
	if h, _, err := net.SplitHostPort(hostport); err == nil {
		host = h
	}
	return isLoopback(strings.Trim(host, "[]"))
}

func isProxied(header http.Header) bool {
	for name := range header {
		if name == "Forwarded" || name == "Via" || strings.HasPrefix(name, "X-Forwarded-") {
			return true
		}
	}
	return false
}

// toUnsignedSource reports whether a callback goes to a source that would accept
// it without a signature; one that must be signed may come from anywhere.
func (a *App) toUnsignedSource(r *http.Request) bool {
	name := strings.TrimPrefix(r.URL.Path, "/webhooks/")
	for _, s := range a.config.Sources {
		if s.Name == name {
			return s.AllowUnsigned
		}
	}
	return false
}
