package webhook

import (
	"bytes"
	"context"
	"crypto/md5"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"

	"github.com/wabastream/wabastream/server/internal/eventlog"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

const (
	testKey    = "app-key_1"
	testSecret = "s3cr3t-of-the-app"
	testBody   = `{"field":"account_update","value":{"event":"ACCOUNT_DELETED","wabaId":"1001","business_phone":"15550100","time":1761200607}}`
)

func testTime() time.Time { return time.Date(2026, 3, 4, 5, 6, 7, 0, time.UTC) }

// fakeLog keeps what is appended and knows duplicates by id.
type fakeLog struct {
	// before runs at the start of each append; its error is the append's.
	before func(context.Context) error

	mu      sync.Mutex
	records []eventlog.Record    // guarded by mu
	ids     map[eventlog.ID]bool // guarded by mu
}

func (l *fakeLog) Append(ctx context.Context, records []eventlog.Record) ([]eventlog.Appended, error) {
	if l.before != nil {
		if err := l.before(ctx); err != nil {
			return nil, err
		}
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.ids == nil {
		l.ids = make(map[eventlog.ID]bool)
	}
	answers := make([]eventlog.Appended, len(records))
	for i, r := range records {
		answers[i].Duplicate = l.ids[r.ID]
		if !l.ids[r.ID] {
			l.ids[r.ID] = true
			l.records = append(l.records, r)
		}
	}
	return answers, nil
}

func (l *fakeLog) stored() []eventlog.Record {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.records
}

// lines is a log output that tests read while the handler writes.
type lines struct {
	mu  sync.Mutex
	buf bytes.Buffer // guarded by mu
}

func (l *lines) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.buf.Write(p)
}

func (l *lines) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.buf.String()
}

// fixture is a handler and everything around it.
type fixture struct {
	*Handler
	log      *fakeLog
	lines    *lines
	registry *prometheus.Registry
}

// newFixture makes a handler with one source, "nxcloud".
func newFixture(tb testing.TB, s Source) *fixture {
	tb.Helper()
	s.Name = "nxcloud"
	f := &fixture{log: &fakeLog{}, lines: &lines{}, registry: prometheus.NewRegistry()}
	h, err := New(Config{
		Sources:    []Source{s},
		Log:        f.log,
		Logger:     slog.New(slog.NewJSONHandler(f.lines, &slog.HandlerOptions{Level: slog.LevelDebug})),
		Registerer: f.registry,
		Now:        testTime,
	})
	require.NoError(tb, err)
	f.Handler = h
	return f
}

func unsignedSource() Source { return Source{AllowUnsigned: true} }

func signedSource(algorithms ...Algorithm) Source {
	return Source{AccessKeys: []AccessKey{{Key: testKey, Secret: testSecret, Algorithms: algorithms}}}
}

// do calls the handler without a network.
func (f *fixture) do(r *http.Request) *httptest.ResponseRecorder {
	w := httptest.NewRecorder()
	f.ServeHTTP(w, r)
	return w
}

func (f *fixture) post(body string) *httptest.ResponseRecorder {
	return f.do(newPost(body))
}

func newPost(body string) *http.Request {
	r := httptest.NewRequest(http.MethodPost, "/webhooks/nxcloud", strings.NewReader(body))
	r.Header.Set("Content-Type", "application/json")
	return r
}

// newSignedPost signs with SHA-256 as the provider's page says, independently of the code
// under test.
func newSignedPost(body string) *http.Request {
	r := newPost(body)
	r.Header.Set("accesskey", testKey)
	r.Header.Set("action", "mt")
	r.Header.Set("biztype", "2")
	r.Header.Set("ts", "1776221463135")
	r.Header.Set("algorithm", "sha256")
	r.Header.Set("sign", referenceSign(SHA256, testKey, "mt", "2", "1776221463135", body, testSecret))
	return r
}

func referenceSign(a Algorithm, key, action, bizType, ts, body, secret string) string {
	text := fmt.Sprintf("accessKey=%s&action=%s&bizType=%s&ts=%s", key, action, bizType, ts)
	if body != "" {
		text += "&body=" + body
	}
	text += "&accessSecret=" + secret
	if a == MD5 {
		sum := md5.Sum([]byte(text))
		return hex.EncodeToString(sum[:])
	}
	sum := sha256.Sum256([]byte(text))
	return hex.EncodeToString(sum[:])
}

func requireSuccess(tb testing.TB, w *httptest.ResponseRecorder) {
	tb.Helper()
	require.Equal(tb, http.StatusOK, w.Code, w.Body)
	require.Equal(tb, "success", w.Body.String())
	require.Equal(tb, "text/plain; charset=utf-8", w.Header().Get("Content-Type"))
	require.Equal(tb, "nosniff", w.Header().Get("X-Content-Type-Options"))
}

// requireRefused checks an error answer's whole form.
func requireRefused(tb testing.TB, w *httptest.ResponseRecorder, status int, reason string) {
	tb.Helper()
	require.Equal(tb, status, w.Code, w.Body)
	require.Equal(tb, "application/json", w.Header().Get("Content-Type"))
	require.Equal(tb, "nosniff", w.Header().Get("X-Content-Type-Options"))
	var got map[string]string
	require.NoError(tb, json.Unmarshal(w.Body.Bytes(), &got))
	require.Equal(tb, reason, got["reason"])
	require.NotEmpty(tb, got["message"])
	require.Len(tb, got, 2)
}

// value reads one counter of the registry.
func (f *fixture) value(tb testing.TB, name string, labels ...string) int {
	tb.Helper()
	families, err := f.registry.Gather()
	require.NoError(tb, err)
	for _, family := range families {
		if family.GetName() != name {
			continue
		}
		for _, m := range family.GetMetric() {
			var have []string
			for _, l := range m.GetLabel() {
				have = append(have, l.GetValue())
			}
			if strings.Join(have, ",") == strings.Join(labels, ",") {
				return int(m.GetCounter().GetValue())
			}
		}
	}
	tb.Fatalf("no metric %s with labels %q", name, labels)
	return 0
}

// callbacks is how many callbacks of the source ended in the outcome.
func (f *fixture) callbacks(tb testing.TB, o outcome) int {
	tb.Helper()
	return f.value(tb, "wabastream_callbacks_total", string(o), "nxcloud")
}

func millis(t time.Time) string  { return strconv.FormatInt(t.UnixMilli(), 10) }
func seconds(t time.Time) string { return strconv.FormatInt(t.Unix(), 10) }
