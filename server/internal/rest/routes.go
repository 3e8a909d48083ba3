package rest

import (
	"net/http"
	"slices"
	"strings"
)

// route is a call of the contract as proto/gateway.yaml has it.
type route struct {
	method, path string
}

func routes() []route {
	return []route{
		{http.MethodPost, "/v1/events:subscribe"},
		{http.MethodPost, "/v1/events:list"},
		{http.MethodGet, "/v1/events/{id}"},
		{http.MethodGet, "/v1/log"},
		{http.MethodPost, "/v1/backups"},
		{http.MethodPost, "/v1/quarantine:list"},
		{http.MethodPost, "/v1/quarantine:reinject"},
		{http.MethodPost, "/v1/subscriptions:list"},
	}
}

// takesBody reports whether a request's parameters are in its body: so it is for
// every POST.
func takesBody(r *http.Request) bool {
	return slices.Contains(routes(), route{r.Method, r.URL.Path}) && r.Method == http.MethodPost
}

// paths tells who asks for another path what there is.
func paths() string {
	var all []string
	for _, r := range routes() {
		all = append(all, r.method+" "+r.path)
	}
	last := len(all) - 1
	return "the API is at " + strings.Join(all[:last], ", ") + " and " + all[last]
}
