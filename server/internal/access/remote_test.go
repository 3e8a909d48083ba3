package access_test

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/go-jose/go-jose/v4"
	"github.com/stretchr/testify/require"

	"github.com/wabastream/wabastream/server/internal/access"
)

const keysURL = "https://login.example.com/keys?secret=hunter2"

// publisher answers requests for keys, in memory.
type publisher struct {
	mu       sync.Mutex
	requests int
	status   int           // of the next answers; zero is an error
	keys     string        // their body
	delay    time.Duration // before them
}

func (p *publisher) set(status int, keys string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.status, p.keys = status, keys
}

func (p *publisher) asked() int {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.requests
}

// RoundTrip implements http.RoundTripper.
func (p *publisher) RoundTrip(r *http.Request) (*http.Response, error) {
	p.mu.Lock()
	p.requests++
	status, keys, delay := p.status, p.keys, p.delay
	p.mu.Unlock()
	select {
	case <-time.After(delay):
	case <-r.Context().Done():
		return nil, r.Context().Err()
	}
	if status == 0 {
		return nil, errors.New("connection refused")
	}
	w := httptest.NewRecorder()
	w.Header().Set("Location", "https://elsewhere.example.com/")
	w.WriteHeader(status)
	_, _ = w.WriteString(keys)
	return w.Result(), nil
}

// withURL is a site whose keys are published.
func withURL(t *testing.T, signers ...signer) (*site, *publisher) {
	t.Helper()
	issuer := &publisher{status: http.StatusOK, keys: publish(t, signers...)}
	s := newSite(t, jwtFile("jwks_url: "+keysURL, ""))
	s.config.HTTPClient = &http.Client{Transport: issuer}
	return s, issuer
}

func TestKeysAreFetched(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		old, next := newSigner(t, "old", jose.ES256), newSigner(t, "next", jose.ES256)
		s, issuer := withURL(t, old)
		p := s.follow(t)
		require.Equal(t, 1, issuer.asked())
		byOld := watch(admit(t, p, old.token(t, map[string]any{"exp": time.Now().Add(time.Hour).Unix()})))
		require.Equal(t, 1, issuer.asked())

		// A new key is fetched when it is needed.
		pass(time.Minute)
		issuer.set(http.StatusOK, publish(t, old, next))
		admit(t, p, next.token(t, nil))
		require.Equal(t, 2, issuer.asked())
		require.NoError(t, byOld.Err())

		// One that is withdrawn is out of use within minutes.
		issuer.set(http.StatusOK, publish(t, next))
		pass(5 * time.Minute)
		require.Equal(t, 3, issuer.asked())
		require.ErrorIs(t, byOld.Err(), access.ErrInvalid)
		_, err := p.Authenticate(t.Context(), bearer(old.token(t, nil)))
		require.ErrorIs(t, err, access.ErrInvalid)

		// A new access file with the same URL has the keys already.
		before := issuer.asked()
		s.write(t, jwtFile("jwks_url: "+keysURL, "  - name: another\n"))
		pass(settled)
		admit(t, p, next.token(t, nil))
		require.Equal(t, before, issuer.asked())
		require.Empty(t, s.lines.with("hunter2"))
	})
}

// TestStrangersDoNotFloodTheIssuer with ids of keys that do not exist.
func TestStrangersDoNotFloodTheIssuer(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		es := newSigner(t, "es", jose.ES256)
		s, issuer := withURL(t, es)
		p := s.follow(t)
		var strangers sync.WaitGroup
		for n := range 60 {
			stranger := newSigner(t, fmt.Sprintf("stranger %d", n), jose.ES256)
			token := stranger.token(t, nil)
			for range 10 {
				strangers.Go(func() {
					_, err := p.Authenticate(context.Background(), bearer(token))
					if !errors.Is(err, access.ErrInvalid) {
						t.Errorf("not refused: %v", err)
					}
				})
			}
			pass(time.Second)
			admit(t, p, es.token(t, nil))
		}
		strangers.Wait()
		require.LessOrEqual(t, issuer.asked(), 7, "once in 10 s")
		require.Greater(t, issuer.asked(), 5)
	})
}

func TestIssuerThatIsDownAtTheStart(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		token, hash := access.NewToken()
		es := newSigner(t, "es", jose.ES256)
		s, issuer := withURL(t, es)
		s.write(t, jwtFile("jwks_url: "+keysURL, consumer("support", hash, "operate: true")))
		issuer.set(0, "")
		p := s.follow(t)
		_, err := p.Authenticate(t.Context(), bearer(es.token(t, nil)))
		require.ErrorIs(t, err, access.ErrUnavailable)
		require.Equal(t, "support", admit(t, p, token).Caller().Name, "nobody else is kept out")
		pass(time.Minute)
		require.Len(t, s.lines.with("keys of JWTs cannot be fetched"), 1)
		require.Contains(t, s.lines.with("keys of JWTs cannot be fetched")[0], "connection refused")
		require.Contains(t, s.lines.with("keys of JWTs cannot be fetched")[0], "host=login.example.com ")
		require.Empty(t, s.lines.with("hunter2"))
		require.Equal(t, 7, issuer.asked(), "every 10 s")

		issuer.set(http.StatusOK, publish(t, es))
		pass(10 * time.Second)
		admit(t, p, es.token(t, nil))
		require.Len(t, s.lines.with("were fetched"), 1)
		require.Equal(t, map[string]float64{"failed": 7, "fetched": 1}, s.counters(t, "wabastream_jwt_key_fetches_total"))
		require.InDelta(t, 1, s.counters(t, "wabastream_authentications_total")["jwt unavailable"], 0)
	})
}

// TestIssuerThatFailsLater is no reason to end anybody, nor to refuse who has a key
// that is known.
func TestIssuerThatFailsLater(t *testing.T) {
	t.Parallel()
	for name, breakIt := range map[string]func(*publisher){
		"outage":    func(p *publisher) { p.set(0, "") },
		"error":     func(p *publisher) { p.set(http.StatusInternalServerError, "{}") },
		"redirect":  func(p *publisher) { p.set(http.StatusFound, "") },
		"no keys":   func(p *publisher) { p.set(http.StatusOK, `{"keys":[]}`) },
		"not JSON":  func(p *publisher) { p.set(http.StatusOK, "<html>") },
		"endless":   func(p *publisher) { p.set(http.StatusOK, `{"keys":[],"`+strings.Repeat("a", 1<<20)+`":1}`) },
		"many keys": func(p *publisher) { p.set(http.StatusOK, `{"keys":[`+strings.Repeat("{},", 40)+`{}]}`) },
		"secret":    func(p *publisher) { p.set(http.StatusOK, `{"keys":[{"kty":"oct","k":"c2VjcmV0"}]}`) },
		"hanging":   func(p *publisher) { p.mu.Lock(); defer p.mu.Unlock(); p.delay = time.Hour },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				es, next := newSigner(t, "es", jose.ES256), newSigner(t, "next", jose.ES256)
				s, issuer := withURL(t, es)
				p := s.follow(t)
				w := watch(admit(t, p, es.token(t, nil)))
				breakIt(issuer)
				pass(6 * time.Minute)
				require.NoError(t, w.Err())
				admit(t, p, es.token(t, nil))
				_, err := p.Authenticate(t.Context(), bearer(next.token(t, nil)))
				require.ErrorIs(t, err, access.ErrUnavailable, "it may be a new one")
				require.Len(t, s.lines.with("keys of JWTs cannot be fetched"), 1)
			})
		})
	}
}

// TestCallersThatWaitForKeys wait for the first fetch together, and no longer than
// they want to.
func TestCallersThatWaitForKeys(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		es := newSigner(t, "es", jose.ES256)
		s, issuer := withURL(t, es)
		issuer.delay = 3 * time.Second
		p := s.follow(t)
		begun := time.Now()
		var callers sync.WaitGroup
		for range 10 {
			callers.Go(func() { admit(t, p, es.token(t, nil)) })
		}
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		_, err := p.Authenticate(ctx, bearer(es.token(t, nil)))
		require.ErrorIs(t, err, access.ErrUnavailable)
		require.Equal(t, time.Second, time.Since(begun))
		callers.Wait()
		require.Equal(t, 3*time.Second, time.Since(begun))
		require.Equal(t, 1, issuer.asked())
	})
}

// TestNobodyFetches as long as Run does not.
func TestNobodyFetches(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		es := newSigner(t, "es", jose.ES256)
		s, issuer := withURL(t, es)
		p := s.open(t)
		_, err := p.Authenticate(t.Context(), bearer(es.token(t, nil)))
		require.ErrorIs(t, err, access.ErrUnavailable)
		require.Zero(t, issuer.asked())
		run(t, p)
		synctest.Wait()
		admit(t, p, es.token(t, nil))
	})
}

// TestAnotherURL leaves open sessions alone until its keys are known.
func TestAnotherURL(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		es, other := newSigner(t, "es", jose.ES256), newSigner(t, "other", jose.ES256)
		s, issuer := withURL(t, es, other)
		p := s.follow(t)
		kept, ended := watch(admit(t, p, es.token(t, nil))), watch(admit(t, p, other.token(t, nil)))
		issuer.set(0, "")
		s.write(t, jwtFile("jwks_url: https://login.example.com/v2/keys", ""))
		pass(time.Minute)
		require.NoError(t, kept.Err())
		require.NoError(t, ended.Err())
		_, err := p.Authenticate(t.Context(), bearer(es.token(t, nil)))
		require.ErrorIs(t, err, access.ErrUnavailable)
		issuer.set(http.StatusOK, publish(t, es))
		pass(10 * time.Second)
		require.NoError(t, kept.Err())
		require.ErrorIs(t, ended.Err(), access.ErrInvalid)
	})
}

// TestIssuerOverTLS fetches over a real connection, and by the issuer's certificate.
func TestIssuerOverTLS(t *testing.T) {
	t.Parallel()
	es := newSigner(t, "es", jose.ES256)
	keys := publish(t, es)
	server := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { _, _ = w.Write([]byte(keys)) }))
	server.Config.ErrorLog = slog.NewLogLogger(slog.DiscardHandler, slog.LevelError)
	server.StartTLS()
	t.Cleanup(server.Close)
	s := newSite(t, jwtFile("jwks_url: "+server.URL, ""))
	untrusting := s.open(t)
	run(t, untrusting)
	_, err := untrusting.Authenticate(t.Context(), bearer(es.token(t, nil)))
	require.ErrorIs(t, err, access.ErrUnavailable)
	require.Len(t, s.lines.with("certificate signed by unknown authority"), 1)

	s.config.HTTPClient = server.Client()
	p := s.restarted().open(t)
	run(t, p)
	require.Equal(t, "billing", admit(t, p, es.token(t, nil)).Caller().Name)
}
