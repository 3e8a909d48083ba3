package main

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/wabastream/wabastream/server/internal/eventlog"
	"github.com/wabastream/wabastream/server/internal/guarantees"
	"github.com/wabastream/wabastream/server/internal/translate"
)

// producer posts callbacks as the provider does: each again until it is answered
// 200, and now and then one that was answered. It belongs to one goroutine.
type producer struct {
	t       *testing.T
	name    string
	link    *link
	random  *rand.Rand
	client  *http.Client
	posted  []guarantees.Callback
	retries int
}

func newProducer(t *testing.T, name string, l *link, random *rand.Rand) *producer {
	t.Helper()
	transport := &http.Transport{}
	t.Cleanup(transport.CloseIdleConnections)
	return &producer{t: t, name: name, link: l, random: random, client: &http.Client{Transport: transport}}
}

// run posts until enough has ended; what is under way then is posted to its end.
func (p *producer) run(ctx, enough context.Context) {
	for n := 0; enough.Err() == nil && ctx.Err() == nil; n++ {
		body := p.body(n)
		events, err := translate.Callback("nxcloud", body)
		if err != nil {
			p.t.Errorf("translate a callback: %v", err)
			return
		}
		c := guarantees.Callback{Name: fmt.Sprint(p.name, "/", n)}
		for i := range events {
			c.EventIDs = append(c.EventIDs, eventlog.ID(events[i].ID).String())
		}
		c.Answered = p.deliver(ctx, body)
		if p.random.IntN(10) == 0 {
			c.Answered = p.deliver(ctx, body) && c.Answered
		}
		p.posted = append(p.posted, c)
		pause(enough, time.Duration(p.random.IntN(4))*time.Millisecond)
	}
}

// deliver posts until the answer is 200.
func (p *producer) deliver(ctx context.Context, body []byte) bool {
	for ctx.Err() == nil {
		if p.post(ctx, body) == http.StatusOK {
			return true
		}
		p.retries++
		pause(ctx, 10*time.Millisecond)
	}
	return false
}

// post returns the answer's status; zero when no whole answer came.
func (p *producer) post(ctx context.Context, body []byte) int {
	ctx, cancel := context.WithTimeout(ctx, 5*time.Second)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, "http://"+p.link.addr()+"/webhooks/nxcloud", bytes.NewReader(body))
	if err != nil {
		p.t.Errorf("make a request: %v", err)
		return 0
	}
	req.Header.Set("Content-Type", "application/json")
	resp, err := p.client.Do(req)
	if err != nil {
		return 0
	}
	defer resp.Body.Close()
	if _, err := io.Copy(io.Discard, resp.Body); err != nil {
		return 0
	}
	return resp.StatusCode
}

// body is a callback that nobody else posts: of a few accounts and numbers, of
// several types, some with several events, some large, some of no account.
func (p *producer) body(n int) []byte {
	waba, phone := fmt.Sprint("waba", p.random.IntN(5)), fmt.Sprint("1555010", p.random.IntN(4))
	unique := fmt.Sprint(p.name, "-", n)
	switch p.random.IntN(6) {
	case 0, 1:
		return fmt.Appendf(nil, `{"field":"account_update","value":{"event":"ACCOUNT_DELETED","business_phone":%q,"time":1757450905,"wabaId":%q,"n":%q}}`, phone, waba, unique)
	case 2:
		return fmt.Appendf(nil, `{"field":"account_update","value":{"event":"DISABLED_UPDATE","ban_info":{"waba_ban_state":"DISABLE"},"time":1761200607,"wabaId":%q,"n":%q}}`, waba, unique)
	case 3:
		return fmt.Appendf(nil, `{"field":"phone_number_quality_update","value":{"event":"FLAGGED","business_phone":%q,"time":1761103022,"n":%q}}`, phone, unique)
	case 4:
		text := strings.Repeat("x", p.random.IntN(3000))
		return fmt.Appendf(nil, `{"wabaId":%q,"messages":[{"id":%q,"text":%q}]}`, waba, unique, text)
	default:
		return fmt.Appendf(nil, `{"field":"user_preferences","value":{"metadata":{"display_phone_number":%q},"user_preferences":[%s]}}`,
			phone, strings.Join([]string{preference(unique, "stop"), preference(unique, "resume"), preference(unique, "stop")}[:1+p.random.IntN(3)], ","))
	}
}

func preference(person, value string) string {
	return fmt.Sprintf(`{"wa_id":%q,"category":"marketing_messages","value":%q,"timestamp":1753407219}`, person, value)
}
