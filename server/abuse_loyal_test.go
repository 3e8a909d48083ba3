package main

import (
	"bytes"
	"context"
	"crypto/sha256"
	"crypto/tls"
	"encoding/hex"
	"fmt"
	"io"
	"maps"
	"net/http"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

const (
	// loyalInterval is the time between two callbacks on connections that stay.
	loyalInterval = 10 * time.Millisecond
	// freshInterval is the time between two that have a connection each.
	freshInterval = 50 * time.Millisecond
	// loyalTimeout bounds one attempt.
	loyalTimeout = 20 * time.Second
)

// loyal is the provider: it posts signed callbacks at a steady rate, over connections
// that stay and over new ones.
type loyal struct {
	name, url string
	stop      context.CancelFunc
	ended     chan struct{}

	mu     sync.Mutex // guards fields below it
	posted map[string]bool
	took   []time.Duration // since they were last asked for
	wrong  []string        // what was not answered 200
	again  int             // new connections that were closed, for which another was made
}

func startLoyal(t *testing.T, b *besieged, name string) *loyal {
	t.Helper()
	ctx, stop := context.WithCancel(t.Context())
	l := &loyal{name: name, url: b.webhook, stop: stop, ended: make(chan struct{}), posted: make(map[string]bool)}
	go func() {
		defer close(l.ended)
		l.run(ctx)
	}()
	t.Cleanup(func() { l.finish() })
	return l
}

func (l *loyal) run(ctx context.Context) {
	trusting := func() *tls.Config { return &tls.Config{InsecureSkipVerify: true} } // where there is TLS at all
	staying := &http.Transport{MaxIdleConnsPerHost: 16, TLSClientConfig: trusting(), ForceAttemptHTTP2: true}
	defer staying.CloseIdleConnections()
	fresh := &http.Transport{DisableKeepAlives: true, TLSClientConfig: trusting()}
	var underWay sync.WaitGroup
	defer underWay.Wait()
	every, also := time.NewTicker(loyalInterval), time.NewTicker(freshInterval)
	defer every.Stop()
	defer also.Stop()
	for n := 0; ; n++ {
		select {
		case <-every.C:
			underWay.Go(func() { l.post(staying, fmt.Sprintf("%s-%d", l.name, n), 1) })
		case <-also.C:
			underWay.Go(func() { l.post(fresh, fmt.Sprintf("%s-%d", l.name, n), 10) })
		case <-ctx.Done():
			return
		}
	}
}

// post posts a callback, again if there was no answer, and notes how long it took.
func (l *loyal) post(transport *http.Transport, id string, attempts int) {
	began := time.Now()
	var wrong string
	again := -1
	for ; attempts > 0; attempts-- {
		again++
		status, err := l.try(transport, callbackOf(id))
		if err == nil && status == http.StatusOK {
			wrong = ""
			break
		}
		wrong = fmt.Sprintf("%s: status %d, %v", id, status, err)
		if err == nil {
			break // it was answered
		}
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	l.again += again
	l.took = append(l.took, time.Since(began))
	if wrong != "" {
		l.wrong = append(l.wrong, wrong)
		return
	}
	l.posted[id] = true
}

func (l *loyal) try(transport *http.Transport, body []byte) (status int, err error) {
	ctx, cancel := context.WithTimeout(context.Background(), loyalTimeout)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, l.url, bytes.NewReader(body))
	if err != nil {
		return 0, err
	}
	maps.Copy(req.Header, signed(body, besiegedSecret))
	resp, err := transport.RoundTrip(req)
	if err != nil {
		return 0, err
	}
	defer resp.Body.Close()
	_, err = io.Copy(io.Discard, resp.Body)
	return resp.StatusCode, err
}

// signed are the headers of a callback that is signed with a secret.
func signed(body []byte, secret string) http.Header {
	sum := sha256.Sum256(fmt.Appendf(nil, "accessKey=%s&action=a&bizType=2&ts=1&body=%s&accessSecret=%s", besiegedKey, body, secret))
	return http.Header{
		"Content-Type": {"application/json"}, "Accesskey": {besiegedKey}, "Action": {"a"}, "Biztype": {"2"}, "Ts": {"1"},
		"Algorithm": {"sha256"}, "Sign": {hex.EncodeToString(sum[:])},
	}
}

// latencies are how long callbacks took, and how many had to come again.
type latencies struct {
	count, again     int
	median, p99, max time.Duration
}

// requireServed checks that everything since the last time was answered 200, and
// returns how fast.
func (l *loyal) requireServed(t *testing.T) latencies {
	t.Helper()
	l.mu.Lock()
	defer l.mu.Unlock()
	require.Empty(t, l.wrong[:min(3, len(l.wrong))], "the first of %d that were not answered 200", len(l.wrong))
	took, again := l.took, l.again
	l.took, l.again = nil, 0
	if len(took) == 0 {
		return latencies{}
	}
	slices.Sort(took)
	return latencies{count: len(took), again: again, median: took[len(took)/2], p99: took[len(took)*99/100], max: took[len(took)-1]}
}

// served is how many were answered since the last time.
func (l *loyal) served() int {
	l.mu.Lock()
	defer l.mu.Unlock()
	return len(l.took)
}

// afterSome waits until some were answered.
func (l *loyal) afterSome(t *testing.T) *loyal {
	t.Helper()
	require.Eventually(t, func() bool { return l.served() >= enoughServed }, time.Minute, 10*time.Millisecond, "the provider is not served")
	return l
}

// finish posts nothing new, waits for the answers and returns what was answered 200.
func (l *loyal) finish() map[string]bool {
	l.stop()
	<-l.ended
	return l.posted
}
