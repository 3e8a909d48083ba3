package rest

import (
	"encoding/json"
	"net/http"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/wabastream/wabastream/server/internal/guard"
)

// document is what of the API's document is compared with the routes.
type document struct {
	Paths map[string]map[string]struct {
		Parameters []struct{ Name, In string }
		Security   *[]any
	}
}

// The document has every path of the API, and no other, with the method, the parameters
// and whether somebody has to say who calls.
func TestDocumentHasEveryRoute(t *testing.T) {
	t.Parallel()
	r := newRig(t, scripted{})
	got := r.do(t, http.MethodGet, "/openapi.json", "")
	require.Equal(t, http.StatusOK, got.status)
	require.Equal(t, "application/json", got.header.Get("Content-Type"))
	var doc document
	require.NoError(t, json.Unmarshal([]byte(got.body), &doc))
	var documented, routes []string
	for path, methods := range doc.Paths {
		for method := range methods {
			documented = append(documented, strings.ToUpper(method)+" "+path)
		}
	}
	for _, route := range Routes() {
		path := strings.ReplaceAll(route.Path, "{waba_id}", "{wabaId}") // as JSON has the name
		routes = append(routes, route.Method+" "+path)
		operation := doc.Paths[path][strings.ToLower(route.Method)]
		require.Equal(t, route.Rule == guard.Anybody, operation.Security != nil && len(*operation.Security) == 0, route.Path)
		var query []string
		for _, p := range operation.Parameters {
			if p.In == "query" {
				query = append(query, p.Name)
			}
		}
		require.Subset(t, route.Query, query, route.Path)
		for _, name := range route.Query {
			require.True(t, contains(query, name), "%s: %s is not documented", route.Path, name)
		}
	}
	require.ElementsMatch(t, routes, documented)
}

// contains reports whether a name is there, in either of the ways that JSON of protobuf
// is read in.
func contains(names []string, name string) bool {
	for _, each := range names {
		if strings.EqualFold(strings.ReplaceAll(each, "_", ""), strings.ReplaceAll(name, "_", "")) {
			return true
		}
	}
	return false
}

func TestPageOfTheAPI(t *testing.T) {
	t.Parallel()
	r := newRig(t, scripted{})
	got := r.do(t, http.MethodGet, "/docs", "")
	require.Equal(t, http.StatusOK, got.status)
	require.Equal(t, "text/html; charset=utf-8", got.header.Get("Content-Type"))
	require.Contains(t, got.header.Get("Content-Security-Policy"), "default-src 'none'")
	require.Contains(t, got.body, "POST /v1/events:subscribe")
	require.Empty(t, r.do(t, http.MethodHead, "/docs", "").body)
	r.do(t, http.MethodPost, "/docs", "").requireStatus(t, http.StatusMethodNotAllowed, "METHOD_NOT_ALLOWED")
}
