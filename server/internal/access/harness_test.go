package access_test

import (
	"bytes"
	"context"
	"crypto/x509"
	"crypto/x509/pkix"
	"errors"
	"log/slog"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"

	"github.com/wabastream/wabastream/server/internal/access"
)

const (
	// keyEnv holds a key of pseudonyms, shortKeyEnv one that is too short.
	keyEnv      = "ACCESS_TEST_KEY"
	shortKeyEnv = "ACCESS_TEST_SHORT_KEY"
	testKey     = "0123456789abcdef0123456789abcdef"
)

func TestMain(m *testing.M) {
	for name, value := range map[string]string{keyEnv: testKey, shortKeyEnv: testKey[1:]} {
		if err := os.Setenv(name, value); err != nil {
			panic(err)
		}
	}
	goleak.VerifyTestMain(m)
}

const (
	interval = time.Second // the default of access.Config
	// settled is enough for a change to be seen twice.
	settled = 2 * interval
)

// site is a server's access file and what its policy says.
type site struct {
	config   access.Config
	lines    *lines
	registry *prometheus.Registry
}

func newSite(t *testing.T, file string) *site {
	t.Helper()
	s := &site{lines: &lines{}, registry: prometheus.NewRegistry()}
	s.config = access.Config{
		File:       filepath.Join(t.TempDir(), "access.yaml"),
		Logger:     slog.New(slog.NewTextHandler(s.lines, nil)),
		Registerer: s.registry,
	}
	s.write(t, file)
	return s
}

func (s *site) write(t *testing.T, file string) {
	t.Helper()
	writeFile(t, s.config.File, file)
}

func writeFile(tb testing.TB, path, text string) {
	tb.Helper()
	require.NoError(tb, os.WriteFile(path, []byte(text), 0o600))
}

// restarted is the same file, for another policy.
func (s *site) restarted() *site {
	s.registry = prometheus.NewRegistry()
	s.config.Registerer = s.registry
	return s
}

func (s *site) open(t *testing.T) *access.Policy {
	t.Helper()
	p, err := access.Open(s.config)
	require.NoError(t, err)
	return p
}

// follow opens the file and follows it until the test ends; inside a synctest
// bubble.
func (s *site) follow(t *testing.T) *access.Policy {
	t.Helper()
	p := s.open(t)
	run(t, p)
	synctest.Wait()
	return p
}

func run(t *testing.T, p *access.Policy) {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan struct{})
	go func() {
		defer close(done)
		p.Run(ctx)
	}()
	t.Cleanup(func() {
		cancel()
		<-done
	})
}

// pass lets time go by, and ends after what fell into it.
func pass(d time.Duration) {
	<-time.After(d)
	synctest.Wait()
}

// opened returns a policy of a file.
func opened(t *testing.T, file string) *access.Policy {
	t.Helper()
	return newSite(t, file).open(t)
}

// counters returns those of a metric by the values of its labels.
func (s *site) counters(t *testing.T, name string) map[string]float64 {
	t.Helper()
	families, err := s.registry.Gather()
	require.NoError(t, err)
	found := make(map[string]float64)
	for _, f := range families {
		if f.GetName() != name {
			continue
		}
		for _, m := range f.GetMetric() {
			var labels []string
			for _, l := range m.GetLabel() {
				labels = append(labels, l.GetValue())
			}
			found[strings.Join(labels, " ")] = m.GetCounter().GetValue()
		}
	}
	return found
}

// admit lets in a caller with a token.
func admit(t *testing.T, p *access.Policy, token string) *access.Session {
	t.Helper()
	s, err := p.Authenticate(t.Context(), access.Credentials{Bearer: token})
	require.NoError(t, err)
	return s
}

// watched is a session and how often it changed.
type watched struct {
	*access.Session
	mu      sync.Mutex
	changes int // guarded by mu
	stop    func()
}

func watch(s *access.Session) *watched {
	w := &watched{Session: s}
	w.stop = s.OnChange(func() {
		w.mu.Lock()
		defer w.mu.Unlock()
		w.changes++
	})
	return w
}

func (w *watched) changed() int {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.changes
}

// certificate makes one with names as the access file has them. It is not signed:
// who verifies certificates is the handshake.
func certificate(t *testing.T, expireTime time.Time, names ...string) *x509.Certificate {
	t.Helper()
	c := &x509.Certificate{NotAfter: expireTime}
	for _, name := range names {
		if common, ok := strings.CutPrefix(name, "CN="); ok {
			c.Subject = pkix.Name{CommonName: common}
			continue
		}
		if !strings.Contains(name, "://") {
			c.DNSNames = append(c.DNSNames, name)
			continue
		}
		uri, err := url.Parse(name)
		require.NoError(t, err)
		c.URIs = append(c.URIs, uri)
	}
	return c
}

// lines is a log output.
type lines struct {
	mu  sync.Mutex
	buf bytes.Buffer // guarded by mu
}

func (l *lines) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.buf.Write(p)
}

// with returns those that contain the text.
func (l *lines) with(text string) []string {
	l.mu.Lock()
	defer l.mu.Unlock()
	var found []string
	for line := range strings.Lines(l.buf.String()) {
		if strings.Contains(line, text) {
			found = append(found, line)
		}
	}
	return found
}

func errorIsOneOf(err error, targets ...error) bool {
	return slices.ContainsFunc(targets, func(target error) bool { return errors.Is(err, target) })
}
