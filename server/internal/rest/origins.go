package rest

import (
	"net/http"
	"slices"
	"strings"

	"github.com/wabastream/wabastream/server/internal/guard"
)

// preflightMaxAge is how long, in seconds, a browser may remember an answer.
const preflightMaxAge = "600"

// fromKnownOrigin reports whether a request is to be served; if not it was answered.
// Pages of other origins are told apart by what browsers say of themselves. Those that
// were named may read the answers and send tokens, but no browser sends them a
// client certificate of its user: that is for pages of the server's own.
func (a *API) fromKnownOrigin(w http.ResponseWriter, r *http.Request, rule guard.Rule) bool {
	header := w.Header()
	if len(a.origins) > 0 {
		header.Add("Vary", "Origin")
	}
	origin := guard.OtherOrigin(r)
	switch {
	case origin == "", rule == guard.Anybody && isNavigation(r):
		return true
	case !slices.Contains(a.origins, origin):
		WriteError(w, guard.OtherPage("name its origin in cors_origins"))
		return false
	}
	header.Set("Access-Control-Allow-Origin", origin)
	header.Set("Access-Control-Expose-Headers", "Retry-After, WWW-Authenticate")
	if r.Method != http.MethodOptions || r.Header.Get("Access-Control-Request-Method") == "" {
		return true
	}
	header.Set("Access-Control-Allow-Methods", strings.Join([]string{http.MethodGet, http.MethodPost}, ", "))
	header.Set("Access-Control-Allow-Headers", "Authorization, Cache-Control, Content-Type, Last-Event-ID")
	header.Set("Access-Control-Max-Age", preflightMaxAge)
	w.WriteHeader(http.StatusNoContent)
	return false
}

// isNavigation reports whether somebody followed a link: the page that it is on sees
// nothing of what comes.
func isNavigation(r *http.Request) bool {
	return r.Method == http.MethodGet && r.Header.Get("Sec-Fetch-Mode") == "navigate"
}
