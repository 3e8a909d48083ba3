package rest

import (
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"unicode/utf8"

	wabastreamv1 "github.com/wabastream/wabastream/gen/wabastream/v1"
	"github.com/wabastream/wabastream/server/internal/guard"
)

// Route is a path of the API.
type Route struct {
	// Method is the one that the path takes; where Rule is guard.Anybody HEAD does for
	// GET.
	Method string
	// Path may have wildcards, as http.ServeMux has them.
	Path string
	// Query are the parameters that a call takes in its query.
	Query []string
	// RPC is the full name of the gRPC method that answers; empty if none does. The
	// parameters of those that are posted are in the body.
	RPC string
	// Rule says who may; that of the gRPC method if one answers.
	Rule guard.Rule
}

// Routes are all paths of the API; there are no others.
func Routes() []Route {
	routes := []Route{
		{Method: http.MethodGet, Path: healthPath, Rule: guard.Anybody},
		{Method: http.MethodGet, Path: readyPath, Rule: guard.Anybody},
		{Method: http.MethodGet, Path: metricsPath, Rule: guard.Monitors},
		{Method: http.MethodGet, Path: documentPath, Rule: guard.Anybody},
		{Method: http.MethodGet, Path: docsPath, Rule: guard.Anybody},
		{Method: http.MethodGet, Path: ssePath, Query: []string{"waba_id", "type", "after_cursor", "from"}, RPC: wabastreamv1.EventService_Subscribe_FullMethodName},
	}
	routes = append(routes, calls()...)
	rules := guard.Methods()
	for i := range routes {
		if r := &routes[i]; r.RPC != "" {
			r.Rule = rules[r.RPC]
		}
	}
	return routes
}

const (
	healthPath   = "/healthz"
	readyPath    = "/readyz"
	metricsPath  = "/metrics"
	documentPath = "/openapi.json"
	docsPath     = "/docs"
	ssePath      = "/v1/events:sse"
)

// calls are the contract's calls as proto/gateway.yaml has them.
func calls() []Route {
	return []Route{
		{Method: http.MethodPost, Path: "/v1/events:subscribe", RPC: wabastreamv1.EventService_Subscribe_FullMethodName},
		{Method: http.MethodPost, Path: "/v1/events:list", RPC: wabastreamv1.EventService_ListEvents_FullMethodName},
		{Method: http.MethodGet, Path: "/v1/events/{id}", Query: []string{"includeRawJson", "include_raw_json"}, RPC: wabastreamv1.EventService_GetEvent_FullMethodName},
		{Method: http.MethodGet, Path: "/v1/log", RPC: wabastreamv1.EventService_GetLogInfo_FullMethodName},
		{Method: http.MethodGet, Path: "/v1/accounts/{waba_id}", Query: []string{"atLeastCursor", "at_least_cursor"}, RPC: wabastreamv1.AccountService_GetAccount_FullMethodName},
		{Method: http.MethodPost, Path: "/v1/accounts:list", RPC: wabastreamv1.AccountService_ListAccounts_FullMethodName},
		{Method: http.MethodPost, Path: "/v1/accounts:watch", RPC: wabastreamv1.AccountService_WatchAccounts_FullMethodName},
		{Method: http.MethodPost, Path: "/v1/phone-numbers:list", RPC: wabastreamv1.AccountService_ListPhoneNumbers_FullMethodName},
		{Method: http.MethodPost, Path: "/v1/marketing-preferences:get", RPC: wabastreamv1.AccountService_GetMarketingPreference_FullMethodName},
		{Method: http.MethodPost, Path: "/v1/marketing-opt-outs:list", RPC: wabastreamv1.AccountService_ListMarketingOptOuts_FullMethodName},
		{Method: http.MethodPost, Path: "/v1/backups", RPC: wabastreamv1.AdminService_CreateBackup_FullMethodName},
		{Method: http.MethodPost, Path: "/v1/quarantine:list", RPC: wabastreamv1.AdminService_ListQuarantined_FullMethodName},
		{Method: http.MethodPost, Path: "/v1/quarantine:reinject", RPC: wabastreamv1.AdminService_ReinjectQuarantined_FullMethodName},
		{Method: http.MethodPost, Path: "/v1/subscriptions:list", RPC: wabastreamv1.AdminService_ListSubscriptions_FullMethodName},
	}
}

// takes reports whether the route is for a request of this method.
func (r Route) takes(method string) bool {
	return method == r.Method || method == http.MethodHead && r.Method == http.MethodGet && r.Rule == guard.Anybody
}

// paths tells who asks for another path what there is.
func paths() string {
	var all []string
	for _, r := range Routes() {
		if strings.HasPrefix(r.Path, "/v1/") {
			all = append(all, r.Method+" "+r.Path)
		}
	}
	last := len(all) - 1
	return "the API is at " + strings.Join(all[:last], ", ") + " and " + all[last] + ", which " + docsPath + " describes"
}

// checkQuery refuses parameters that a call does not take, which would otherwise be
// passed over.
func (r Route) checkQuery(raw string) error {
	if r.RPC == "" {
		return nil
	}
	query, err := url.ParseQuery(raw)
	if err != nil {
		return invalid("query", "it cannot be read")
	}
	for name, values := range query {
		switch {
		case len(r.Query) == 0 && r.Method == http.MethodPost:
			return invalid("query", "parameters belong into the body, as one JSON object")
		case len(r.Query) == 0:
			return invalid("query", "there are no parameters")
		case !slices.Contains(r.Query, name):
			return invalid("query", fmt.Sprintf("%.40q is not a parameter; there are: %s", name, strings.Join(r.Query, ", ")))
		case !utf8.ValidString(strings.Join(values, "")):
			return invalid(name, "it is not UTF-8")
		}
	}
	return nil
}
