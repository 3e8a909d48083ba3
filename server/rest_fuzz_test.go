package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"io"
	"log/slog"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"golang.org/x/net/http/httpguts"
	"google.golang.org/genproto/googleapis/rpc/errdetails"
	spb "google.golang.org/genproto/googleapis/rpc/status"
	"google.golang.org/protobuf/encoding/protojson"

	"github.com/wabastream/wabastream/client/callbacks"
	"github.com/wabastream/wabastream/server/internal/access"
	"github.com/wabastream/wabastream/server/internal/app"
)

// FuzzREST: whatever comes over HTTP, the server answers, with what was asked for or
// with a google.rpc.Status that carries a reason, leads nobody to another host, and
// has nothing to tell its operator. One that is open answers its own machine only; one
// with an access file gives strangers nothing, and a consumer only what it may see.
func FuzzREST(f *testing.F) {
	token, hash := access.NewToken()
	open, guarded := startFuzzedAPI(f, ""), startFuzzedAPI(f, "consumers: [{name: c, tokens: ['"+hash+"'], waba_ids: ['"+grantedWABA+"'], unattributed: true, types: ['*'], personal_data: none}]")
	subscribe, list := "/v1/events:subscribe", "/v1/events:list"
	for _, body := range []string{
		`{}`, `{"position":"START_POSITION_EARLIEST","stopAtHead":true}`, `{"afterCursor":""}`, `{"filters":[{"wabaIds":["1618074075500491"],"minSeverity":"SEVERITY_CRITICAL"}]}`,
		`{"afterEventId":"00000000000000000000000000000000"}`, `{"startTime":"2026-01-01T00:00:00Z","heartbeatInterval":"1s"}`, `{"stop_at_head":false}`, `{"afterCursor":null}`, `null`, `[]`, ``,
	} {
		f.Add(http.MethodPost, subscribe, "Content-Type: application/json", []byte(body))
	}
	for _, body := range []string{
		`{}`, `{"pageSize":1,"order":"LIST_ORDER_OLDEST_FIRST"}`, `{"pageToken":"d"}`, `{"order":"LIST_ORDER_OLDEST_FIRST","wait":"60s","filters":[{"types":["x"]}]}`, "{\"pageSize\":1e400}", "{\"filters\":[{\"wabaIds\":[\"\xff\"]}]}",
	} {
		f.Add(http.MethodPost, list, "", []byte(body))
	}
	for _, target := range []string{
		"/v1/log", "/v1/log?x=%zz", "/v1/events/00000000000000000000000000000000", "/v1/events/%2e%2e%2f", "/v1/events/a/b", "/v1/events/%ff", "//example.com/v1/log", "/v1/../metrics",
		"/metrics", "/readyz", "/healthz", "/docs", "/openapi.json?x", "/", "/%", "*", "/v1/events:sse?from=earliest", "/v1/events:sse?waba_id=1&type=a&after_cursor=", "/debug/pprof/",
	} {
		f.Add(http.MethodGet, target, "", []byte(nil))
	}
	f.Add(http.MethodGet, "/v1/log", "Host: example.com", []byte(nil))
	f.Add(http.MethodGet, "/v1/log", "X-Forwarded-For: 192.0.2.1\nHost: localhost", []byte(nil))
	f.Add(http.MethodGet, "/v1/log", "Origin: https://example.com\nSec-Fetch-Site: cross-site", []byte(nil))
	f.Add(http.MethodGet, "/v1/log", "Grpc-Timeout: 1n\nGrpc-Metadata-Authorization: x\nAuthorization: Bearer x", []byte(nil))
	f.Add(http.MethodOptions, list, "Access-Control-Request-Method: POST\nOrigin: null", []byte(nil))
	f.Add(http.MethodPost, "/v1/backups", "", []byte(`{"backupId":"../x"}`))
	f.Add(http.MethodPost, "/v1/quarantine:list", "Content-Encoding: gzip", []byte(`{}`))
	f.Add(http.MethodPost, "/v1/quarantine:reinject", "Expect: 100-continue", []byte(`{"id":"x"}`))
	f.Add(http.MethodHead, "/healthz", "", []byte(nil))

	f.Fuzz(func(t *testing.T, method, target, headers string, body []byte) {
		asked := fuzzedRequest{method, target, headers, body}
		open.answer(t, asked, "", func(req *http.Request, resp *http.Response, _ []byte) {
			require.False(t, resp.StatusCode < 300 && isForeign(req), "served to another machine: %v", asked)
		})
		guarded.answer(t, asked, "", func(req *http.Request, resp *http.Response, _ []byte) {
			require.False(t, resp.StatusCode < 300 && !isForAnybody(target), "served to a stranger: %v", asked)
			if resp.StatusCode == http.StatusUnauthorized {
				require.NotEmpty(t, resp.Header.Get("WWW-Authenticate"))
			}
		})
		guarded.answer(t, asked, token, func(_ *http.Request, resp *http.Response, body []byte) {
			require.NotContains(t, resp.Header.Get("Content-Type"), "version=", "metrics for somebody who may not")
			if !isForAnybody(target) { // the API's document has words that events have
				requireGranted(t, body)
			}
		})
	})
}

// isForAnybody reports whether nobody is asked who wants it.
func isForAnybody(target string) bool {
	u, err := url.ParseRequestURI(target)
	return err == nil && slices.Contains([]string{"/healthz", "/readyz", "/docs", "/openapi.json"}, u.Path)
}

const grantedWABA = "1618074075500491"

// fuzzedAPI is the API of a whole server.
type fuzzedAPI struct {
	base   string
	client *http.Client
	errors chan string // messages that were logged as errors
}

func startFuzzedAPI(f *testing.F, accessFile string) *fuzzedAPI {
	f.Helper()
	config := app.DefaultConfig()
	config.HTTPAddr, config.APIAddr, config.GRPCAddr = "127.0.0.1:0", "127.0.0.1:0", "127.0.0.1:0"
	config.DataDir = f.TempDir()
	noFolder := filepath.Join(f.TempDir(), "file")
	require.NoError(f, os.WriteFile(noFolder, nil, 0o600))
	config.BackupDir = filepath.Join(noFolder, "backups") // no disk is filled with backups

	if accessFile != "" {
		config.AccessFile = filepath.Join(f.TempDir(), "access.yaml")
		require.NoError(f, os.WriteFile(config.AccessFile, []byte(accessFile), 0o600))
	}

	api := &fuzzedAPI{errors: make(chan string, 100)}
	transport := &http.Transport{MaxIdleConnsPerHost: 4, DisableCompression: true}
	api.client = &http.Client{Transport: transport, CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}
	a, err := app.New(context.Background(), config, "fuzz", slog.New(errorRecords{slog.DiscardHandler, api.errors}))
	require.NoError(f, err)
	ctx, stop := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- a.Run(ctx) }()
	f.Cleanup(func() {
		transport.CloseIdleConnections()
		stop()
		require.NoError(f, <-done)
	})
	api.base = "http://" + a.Addrs().API
	for _, example := range callbacks.NXCloud() {
		resp, err := api.client.Post("http://"+a.Addrs().HTTP+"/webhooks/nxcloud", "application/json", bytes.NewReader(example.Body))
		require.NoError(f, err)
		require.NoError(f, resp.Body.Close())
		require.Equal(f, http.StatusOK, resp.StatusCode)
	}
	return api
}

// errorRecords passes on what an operator would be woken for, but for backups that
// cannot be written.
type errorRecords struct {
	slog.Handler
	errors chan<- string
}

func (errorRecords) Enabled(_ context.Context, level slog.Level) bool {
	return level >= slog.LevelError
}

func (e errorRecords) Handle(_ context.Context, r slog.Record) error {
	if !strings.Contains(r.Message, "backup") {
		e.errors <- r.Message
	}
	return nil
}

func (e errorRecords) WithAttrs([]slog.Attr) slog.Handler { return e }

func (e errorRecords) WithGroup(string) slog.Handler { return e }

// fuzzedRequest is a request as it stands. Headers are lines.
type fuzzedRequest struct {
	method, target, headers string
	body                    []byte
}

// make returns nil if net/http does not send such a request.
func (f fuzzedRequest) make(ctx context.Context, base, token string) *http.Request {
	build := func() *http.Request {
		req, err := http.NewRequestWithContext(ctx, f.method, base, bytes.NewReader(f.body))
		if err != nil {
			return nil
		}
		req.URL.Opaque = f.target
		for line := range strings.SplitSeq(f.headers, "\n") {
			name, value, _ := strings.Cut(line, ": ")
			if name == "" {
				continue
			}
			if http.CanonicalHeaderKey(name) == "Host" {
				req.Host = value
			}
			req.Header.Add(name, value)
		}
		if token != "" {
			req.Header["Authorization"] = []string{"Bearer " + token}
		}
		return req
	}
	first := build()
	if first == nil || f.method == http.MethodConnect || strings.HasPrefix(f.target, "//") || !validHeaders(first.Header) || first.Write(io.Discard) != nil {
		return nil
	}
	return build()
}

func validHeaders(header http.Header) bool {
	for name, values := range header {
		if !httpguts.ValidHeaderFieldName(name) || slices.ContainsFunc(values, func(v string) bool { return !httpguts.ValidHeaderFieldValue(v) }) {
			return false
		}
	}
	return true
}

// answer sends a request, and checks what holds for every answer, and more.
func (api *fuzzedAPI) answer(t *testing.T, asked fuzzedRequest, token string, check func(*http.Request, *http.Response, []byte)) {
	t.Helper()
	limit := 10 * time.Second
	if bytes.Contains(asked.body, []byte("wait")) {
		limit = 50 * time.Millisecond // a list may wait for events that never come
	}
	ctx, cancel := context.WithTimeout(t.Context(), limit)
	defer cancel()
	req := asked.make(ctx, api.base, token)
	if req == nil {
		return
	}
	resp, err := api.client.Do(req)
	if errors.Is(err, context.DeadlineExceeded) && limit < time.Second {
		return
	}
	require.NoError(t, err, "%v", asked)
	defer resp.Body.Close()
	contentType, _, _ := strings.Cut(resp.Header.Get("Content-Type"), ";")
	isStream := contentType == "application/x-ndjson" || contentType == "text/event-stream"
	if isStream {
		time.AfterFunc(20*time.Millisecond, cancel) // what is in the log has come by then
	}
	body, err := io.ReadAll(resp.Body)
	if !isStream {
		require.NoError(t, err, "%v", asked)
	}
	requireAnswer(t, req, resp, body)
	check(req, resp, body)
	require.Empty(t, api.errors, "the server logged an error")
}

func requireAnswer(t *testing.T, req *http.Request, resp *http.Response, body []byte) {
	t.Helper()
	what := req.Method + " " + req.URL.Opaque
	contentType := resp.Header.Get("Content-Type")
	require.NotContains(t, resp.Header, "Access-Control-Allow-Origin", what)
	switch {
	case resp.StatusCode >= 500:
		// No disk for backups, a timeout that the caller chose: its own errors.
		require.True(t, req.URL.Opaque == "/v1/backups" || req.Header.Get("Grpc-Timeout") != "", "%s: %s", what, resp.Status)
	case resp.StatusCode >= 300 && resp.StatusCode < 400:
		location := resp.Header.Get("Location")
		require.True(t, strings.HasPrefix(location, "/") && !strings.HasPrefix(location, "//"), "%s leads to %q", what, location)
	}
	switch {
	case resp.StatusCode >= 400 && req.Method != http.MethodHead && !isOfNetHTTP(resp, body):
		require.Equal(t, "application/json", contentType, "%s: %s %s", what, resp.Status, body)
		var envelope struct{ Error json.RawMessage } // of a stream
		if json.Unmarshal(body, &envelope) == nil && envelope.Error != nil {
			body = envelope.Error
		}
		requireStatus(t, body)
	case contentType == "application/x-ndjson":
		first, _, _ := bytes.Cut(body, []byte{'\n'})
		requireFrame(t, first)
	case contentType == "application/json" && req.Method != http.MethodHead:
		require.True(t, json.Valid(body), "%s: %q", what, body)
	}
}

// requireGranted: no event of another account, and nobody's number, whatever it came
// in: a JSON text, or one a line, or in server-sent events.
func requireGranted(t *testing.T, body []byte) {
	t.Helper()
	for line := range bytes.Lines(body) {
		var value any
		if json.Unmarshal(bytes.TrimPrefix(line, []byte("data:")), &value) == nil {
			requireGrantedIn(t, value)
		}
	}
}

func requireGrantedIn(t *testing.T, value any) {
	t.Helper()
	switch v := value.(type) {
	case []any:
		for _, item := range v {
			requireGrantedIn(t, item)
		}
	case map[string]any:
		if waba, isEvent := v["wabaId"]; isEvent {
			require.Equal(t, grantedWABA, waba)
		}
		for _, personal := range []string{"waId", "profileName", "rawJson"} {
			require.NotContains(t, v, personal)
		}
		for _, member := range v {
			requireGrantedIn(t, member)
		}
	}
}

// isForeign says that a request names another host or came through a proxy.
func isForeign(req *http.Request) bool {
	for name := range req.Header {
		if strings.EqualFold(name, "Forwarded") || strings.EqualFold(name, "Via") || strings.HasPrefix(strings.ToLower(name), "x-forwarded-") {
			return true
		}
	}
	local := regexp.MustCompile(`(?i)^(127(\.[0-9]{1,3}){3}|localhost|\[?(::|[0:]+:)0*1\]?|\[?::ffff:[0-9a-f.:]+\]?)(:[0-9]*)?$`)
	return req.Host != "" && !local.MatchString(req.Host)
}

// isOfNetHTTP says that a request was refused before it came to the server's code.
func isOfNetHTTP(resp *http.Response, body []byte) bool {
	return resp.Close && (len(body) == 0 || strings.HasPrefix(resp.Header.Get("Content-Type"), "text/plain") && bytes.HasPrefix(body, []byte(resp.Status[:3])))
}

// requireFrame: a stream begins with `ready`, or says what is wrong.
func requireFrame(t *testing.T, line []byte) {
	t.Helper()
	var frame struct {
		Result map[string]json.RawMessage
		Error  json.RawMessage
	}
	require.NoError(t, json.Unmarshal(line, &frame), "%q", line)
	if frame.Error != nil {
		requireStatus(t, frame.Error)
		return
	}
	require.Contains(t, frame.Result, "ready", "%s", line)
}

func requireStatus(t *testing.T, body []byte) {
	t.Helper()
	var st spb.Status
	require.NoError(t, protojson.Unmarshal(body, &st), "%q", body)
	require.NotZero(t, st.GetCode())
	require.NotEmpty(t, st.GetMessage())
	require.LessOrEqual(t, len(st.GetMessage()), 1000, "%s", body)
	require.NotEmpty(t, st.GetDetails(), "%s", body)
	var info errdetails.ErrorInfo
	require.NoError(t, st.GetDetails()[0].UnmarshalTo(&info), "%s", body)
	require.Regexp(t, `^[A-Z][A-Z0-9_]+$`, info.GetReason())
	require.Equal(t, "wabastream", info.GetDomain())
}
