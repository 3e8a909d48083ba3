package rest

import (
	"bytes"
	"errors"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"google.golang.org/genproto/googleapis/rpc/errdetails"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/types/known/durationpb"
)

// Whatever is wrong is said in one shape.
func TestErrorsHaveOneShape(t *testing.T) {
	t.Parallel()
	r := newRig(t, scripted{})
	for name, c := range map[string]struct {
		method, path, body string
		header             []string
		status             int
		reason             string
	}{
		"no such path":       {"GET", "/", "", nil, 404, "NOT_FOUND"},
		"nor in the API":     {"POST", "/v1/events", "{}", nil, 404, "NOT_FOUND"},
		"id with a slash":    {"GET", "/v1/events/a%2Fb", "", nil, 404, "NOT_FOUND"},
		"webhook":            {"POST", "/webhooks/nxcloud", "{}", nil, 404, "NOT_FOUND"},
		"not UTF-8":          {"GET", "/v1/events/%ff", "", nil, 400, "REQUEST_INVALID"},
		"wrong method":       {"GET", "/v1/events:list", "", nil, 405, "METHOD_NOT_ALLOWED"},
		"wrong method, too":  {"DELETE", "/v1/events/x", "", nil, 405, "METHOD_NOT_ALLOWED"},
		"HEAD of a stream":   {"POST", "/v1/events:sse", "", nil, 405, "METHOD_NOT_ALLOWED"},
		"health is read":     {"POST", "/healthz", "", nil, 405, "METHOD_NOT_ALLOWED"},
		"OPTIONS":            {"OPTIONS", "/v1/log", "", nil, 405, "METHOD_NOT_ALLOWED"},
		"too large":          {"POST", "/v1/events:list", strings.Repeat(" ", 1<<20) + "{}", nil, 413, "REQUEST_INVALID"},
		"an image":           {"POST", "/v1/events:list", "{}", []string{"Content-Type", "image/png"}, 415, "MEDIA_TYPE_NOT_SUPPORTED"},
		"several parts":      {"POST", "/v1/events:list", "{}", []string{"Content-Type", "multipart/form-data; boundary=x"}, 415, "MEDIA_TYPE_NOT_SUPPORTED"},
		"compressed":         {"POST", "/v1/events:list", "{}", []string{"Content-Encoding", "gzip"}, 415, "MEDIA_TYPE_NOT_SUPPORTED"},
		"no type at all":     {"POST", "/v1/events:list", "{}", []string{"Content-Type", ";"}, 415, "MEDIA_TYPE_NOT_SUPPORTED"},
		"not JSON":           {"POST", "/v1/events:list", "a=b", nil, 400, "REQUEST_INVALID"},
		"unknown member":     {"POST", "/v1/events:list", `{"a":1}`, nil, 400, "REQUEST_INVALID"},
		"unknown parameter":  {"GET", "/v1/log?a=b", "", nil, 400, "REQUEST_INVALID"},
		"of gRPC itself":     {"POST", "/v1/backups", "{}", nil, 501, "UNIMPLEMENTED"},
		"not ready":          {"GET", "/readyz", "", nil, 503, "NOT_READY"},
		"page elsewhere":     {"GET", "/v1/log", "", []string{"Origin", "https://evil.example"}, 403, "ORIGIN_NOT_ALLOWED"},
		"page elsewhere, no": {"POST", "/nothing", "", []string{"Sec-Fetch-Site", "cross-site"}, 403, "ORIGIN_NOT_ALLOWED"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			got := r.do(t, c.method, c.path, c.body, c.header...)
			got.requireStatus(t, c.status, c.reason)
			require.Equal(t, "no-store", got.header.Get("Cache-Control"))
			require.Equal(t, c.status == http.StatusMethodNotAllowed, got.header.Get("Allow") != "")
		})
	}
}

// What is declared otherwise, but not as something else, is read as JSON.
func TestBodiesThatMayBeJSON(t *testing.T) {
	t.Parallel()
	r := newRig(t, scripted{})
	for _, declared := range []string{"application/json", "application/json; charset=utf-8", "application/vnd.api+json", "application/x-www-form-urlencoded", "text/plain"} {
		require.Equal(t, http.StatusOK, r.do(t, http.MethodPost, "/v1/events:list", "{}", "Content-Type", declared).status, declared)
	}
	require.Equal(t, http.StatusOK, r.do(t, http.MethodPost, "/v1/events:list", "{}").status)
	require.Equal(t, http.StatusOK, r.do(t, http.MethodHead, "/healthz", "").status)
}

func TestWriteError(t *testing.T) {
	t.Parallel()
	retry, err := status.New(codes.Unavailable, "busy").WithDetails(&errdetails.RetryInfo{RetryDelay: durationpb.New(1200 * time.Millisecond)})
	require.NoError(t, err)
	for name, c := range map[string]struct {
		err                      error
		status                   int
		reason, challenge, retry string
	}{
		"missing": {reasoned(codes.Unauthenticated, "CREDENTIALS_MISSING", "x").Err(), 401, "CREDENTIALS_MISSING", "Bearer", ""},
		"invalid": {reasoned(codes.Unauthenticated, "CREDENTIALS_INVALID", "x").Err(), 401, "CREDENTIALS_INVALID", `Bearer error="invalid_token"`, ""},
		"busy":    {retry.Err(), 503, "", "", "2"},
		"plain":   {errors.New("x"), 500, "UNKNOWN", "", ""},
	} {
		w := httptest.NewRecorder()
		WriteError(w, c.err)
		require.Equal(t, c.status, w.Code, name)
		require.Equal(t, c.challenge, w.Header().Get("WWW-Authenticate"), name)
		require.Equal(t, c.retry, w.Header().Get("Retry-After"), name)
		if c.reason != "" {
			require.Equal(t, c.reason, reasonIn(t, w.Body.String()), name)
		}
	}
}

// A panic ends its request, and what it was about is not logged.
func TestPanicsSayNothing(t *testing.T) {
	t.Parallel()
	var lines bytes.Buffer
	a := &API{logger: slog.New(slog.NewTextHandler(&lines, nil)), mux: http.NewServeMux()}
	a.mux.HandleFunc("/", func(http.ResponseWriter, *http.Request) { panic("wa_id 4915112345678") })
	require.PanicsWithValue(t, http.ErrAbortHandler, func() {
		a.ServeHTTP(httptest.NewRecorder(), httptest.NewRequestWithContext(t.Context(), http.MethodGet, "/", nil))
	})
	require.Contains(t, lines.String(), "panic in a request")
	require.NotContains(t, lines.String(), "4915112345678")
}
