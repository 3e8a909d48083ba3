package rest

import (
	"net/http"
	"strings"

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
	// RPC is the full name of the gRPC method that answers; empty if none does. The
	// parameters of those that are posted are in the body.
	RPC string
	// Rule says who may; that of the gRPC method if one answers.
	Rule guard.Rule
}

// Routes are all paths of the API; there are no others.
func Routes() []Route {
	routes := []Route{
		{http.MethodGet, healthPath, "", guard.Anybody},
		{http.MethodGet, readyPath, "", guard.Anybody},
		{http.MethodGet, metricsPath, "", guard.Monitors},
	}
	rules := guard.Methods()
	for _, r := range calls() {
		r.Rule = rules[r.RPC]
		routes = append(routes, r)
	}
	return routes
}

const (
	healthPath  = "/healthz"
	readyPath   = "/readyz"
	metricsPath = "/metrics"
)

// calls are the contract's calls as proto/gateway.yaml has them.
func calls() []Route {
	return []Route{
		{Method: http.MethodPost, Path: "/v1/events:subscribe", RPC: wabastreamv1.EventService_Subscribe_FullMethodName},
		{Method: http.MethodPost, Path: "/v1/events:list", RPC: wabastreamv1.EventService_ListEvents_FullMethodName},
		{Method: http.MethodGet, Path: "/v1/events/{id}", RPC: wabastreamv1.EventService_GetEvent_FullMethodName},
		{Method: http.MethodGet, Path: "/v1/log", RPC: wabastreamv1.EventService_GetLogInfo_FullMethodName},
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
	return "the API is at " + strings.Join(all[:last], ", ") + " and " + all[last]
}
