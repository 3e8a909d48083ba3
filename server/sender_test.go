package main

import (
	"bytes"
	"context"
	"io"
	"net/http"
	"strconv"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

const (
	// sendInterval is the time between two callbacks.
	sendInterval = time.Millisecond
	// sendAgain is the time between two attempts; the provider's is a minute.
	sendAgain = 200 * time.Millisecond
	// sendTimeout bounds one attempt.
	sendTimeout = 5 * time.Second
)

// sender posts callbacks at a steady rate as the provider does: what was not answered
// 200 is posted again after a while, and holds up nothing else.
type sender struct {
	url    string
	client *http.Client
	enough context.CancelFunc
	done   chan struct{}

	mu       sync.Mutex // guards fields below it
	answered map[string]bool
	retries  int
	last     time.Time
	gap      time.Duration // the longest between two answers
}

func startSender(t *testing.T, addr string) *sender {
	t.Helper()
	transport := &http.Transport{MaxIdleConnsPerHost: 64}
	t.Cleanup(transport.CloseIdleConnections)
	enough, stop := context.WithCancel(t.Context())
	s := &sender{
		url:      "http://" + addr + "/webhooks/nxcloud",
		client:   &http.Client{Transport: transport, Timeout: sendTimeout},
		enough:   stop,
		done:     make(chan struct{}),
		answered: make(map[string]bool),
	}
	go func() {
		defer close(s.done)
		s.run(t.Context(), enough)
	}()
	t.Cleanup(func() { s.finish() })
	return s
}

// run begins a callback every interval until enough has ended, and returns when all
// of them are answered or the context has ended.
func (s *sender) run(ctx, enough context.Context) {
	var underWay sync.WaitGroup
	defer underWay.Wait()
	ticker := time.NewTicker(sendInterval)
	defer ticker.Stop()
	for n := 0; ; n++ {
		select {
		case <-ticker.C:
			underWay.Go(func() { s.deliver(ctx, strconv.Itoa(n)) })
		case <-enough.Done():
			return
		}
	}
}

// deliver posts one callback until it is answered.
func (s *sender) deliver(ctx context.Context, id string) {
	for !s.post(ctx, callbackOf(id)) {
		if ctx.Err() != nil {
			return
		}
		s.mu.Lock()
		s.retries++
		s.mu.Unlock()
		pause(ctx, sendAgain)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	now := time.Now()
	if !s.last.IsZero() {
		s.gap = max(s.gap, now.Sub(s.last))
	}
	s.last = now
	s.answered[id] = true
}

// post reports whether the answer is 200.
func (s *sender) post(ctx context.Context, body []byte) bool {
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, s.url, bytes.NewReader(body))
	if err != nil {
		return false
	}
	req.Header.Set("Content-Type", "application/json")
	resp, err := s.client.Do(req)
	if err != nil {
		return false
	}
	defer resp.Body.Close()
	_, err = io.Copy(io.Discard, resp.Body)
	return err == nil && resp.StatusCode == http.StatusOK
}

func (s *sender) count() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return len(s.answered)
}

// awaitAnswers waits until some hundred more callbacks are answered.
func (s *sender) awaitAnswers(t *testing.T) {
	t.Helper()
	const some = 300
	enough := s.count() + some
	require.Eventually(t, func() bool { return s.count() >= enough }, time.Minute, 5*time.Millisecond, "callbacks are not answered")
}

// finish posts nothing new, waits until everything is answered and returns what was.
func (s *sender) finish() map[string]bool {
	s.enough()
	<-s.done
	return s.answered
}
