package app

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"

	"github.com/wabastream/wabastream/client"
	wabastreamv1 "github.com/wabastream/wabastream/gen/wabastream/v1"
	"github.com/wabastream/wabastream/server/internal/eventlog"
	"github.com/wabastream/wabastream/server/internal/retention"
)

func TestRetentionMistakesAreNamed(t *testing.T) {
	t.Parallel()
	rules := func(r ...RetentionRule) func(*Config) { return func(c *Config) { c.RetentionTypes = r } }
	hour := time.Hour
	many := RetentionRule{Age: hour}
	for i := range maxRuleTypes + 1 {
		many.Types = append(many.Types, fmt.Sprintf("t%d", i))
	}
	for want, set := range map[string]func(*Config){
		"retention_types[0]: types: empty":                         rules(RetentionRule{Age: hour}),
		`retention_types[0]: types: "Messages" is not a type path`: rules(RetentionRule{Types: []string{"Messages"}, Age: hour}),
		`types: "messages.*" is not`:                               rules(RetentionRule{Types: []string{"messages.*"}, Age: hour}),
		`types: "" is not`:                                         rules(RetentionRule{Types: []string{""}, Age: hour}),
		"retention_types[1]: neither age nor bytes":                rules(RetentionRule{Types: []string{"a"}, Age: hour}, RetentionRule{Types: []string{"b"}}),
		"age: -1ns; want more than zero":                           rules(RetentionRule{Types: []string{"a"}, Age: -1}),
		"bytes: 5; want at least 1048576":                          rules(RetentionRule{Types: []string{"a"}, Bytes: 5}),
		`[0]: types: "a" is the same as "a" of retention_types[0]`: rules(RetentionRule{Types: []string{"a", "a"}, Age: hour}),
		`[1]: types: "a.b" is below "a" of retention_types[0]`:     rules(RetentionRule{Types: []string{"a"}, Age: hour}, RetentionRule{Types: []string{"c", "a.b"}, Age: hour}),
		`[1]: types: "a" is above "a.b.c" of retention_types[0]`:   rules(RetentionRule{Types: []string{"a.b.c"}, Age: hour}, RetentionRule{Types: []string{"a"}, Age: hour}),
		"33 types in all rules":                                    rules(many),
		"age: 2h0m0s is longer than retention_age, 1h0m0s":         func(c *Config) { c.RetentionAge = hour; rules(RetentionRule{Types: []string{"a"}, Age: 2 * hour})(c) },
		"the bytes of all rules together reach retention_bytes": func(c *Config) {
			c.RetentionBytes = 2 << 30
			rules(RetentionRule{Types: []string{"a"}, Bytes: 1 << 30}, RetentionRule{Types: []string{"b"}, Bytes: 1 << 30})(c)
		},
		"the bytes of all rules together reach retention_bytes, 2147": func(c *Config) {
			c.RetentionBytes = 2 << 30
			rules(RetentionRule{Types: []string{"a"}, Bytes: 1<<64 - 1}, RetentionRule{Types: []string{"b"}, Bytes: 1 << 30})(c)
		},
	} {
		config := testConfig(t)
		set(&config)
		require.ErrorContains(t, config.validate(), want)
	}
}

func TestRetentionAsConfigured(t *testing.T) {
	t.Parallel()
	config := testConfig(t)
	require.Equal(t, retention.Policy{}, config.retentionPolicy(), "nothing is removed unless configured")
	config.RetentionAge, config.RetentionBytes = 720*time.Hour, 10<<30
	config.RetentionTypes = []RetentionRule{
		{Types: []string{"messages", "statuses"}, Age: 72 * time.Hour, Bytes: 4 << 30},
		{Types: []string{"messages_echo", "account_update.account_deleted"}, Age: 720 * time.Hour},
	}
	require.NoError(t, config.validate())
	require.Equal(t, retention.Policy{
		MaxAge: 720 * time.Hour, MaxBytes: 10 << 30,
		Types: []retention.TypeRule{
			{Paths: []string{"messages", "statuses"}, MaxAge: 72 * time.Hour, MaxBytes: 4 << 30},
			{Paths: []string{"messages_echo", "account_update.account_deleted"}, MaxAge: 720 * time.Hour},
		},
	}, config.retentionPolicy())
}

// TestMessagesDoNotEvictBans floods a server with messages, a few bans among
// them, and lets retention keep the messages to their bytes.
func TestMessagesDoNotEvictBans(t *testing.T) {
	t.Parallel()
	config := testConfig(t)
	config.RetentionTypes = []RetentionRule{{Types: []string{"messages"}, Bytes: minRuleBytes}}
	a := startApp(t, config)
	c, err := client.New(a.Addrs().GRPC)
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, c.Close()) })
	before, err := c.API().GetLogInfo(t.Context(), &wabastreamv1.GetLogInfoRequest{}, grpc.WaitForReady(true))
	require.NoError(t, err)

	const bans, messagesEach = 5, 20
	for ban := range bans {
		a.post(t, fmt.Sprintf(`{"field":"account_update","value":{"event":"DISABLED_UPDATE","ban_info":{"waba_ban_state":"DISABLE"},"wabaId":"%d","time":1761200607}}`, ban))
		for n := range messagesEach {
			a.post(t, fmt.Sprintf(`{"messages":[{"id":"%d.%d","text":%q}]}`, ban, n, strings.Repeat("x", 50_000)))
		}
	}
	a.retain(t, config)

	all, gaps, err := readAll(t, c, &wabastreamv1.SubscribeRequest{Start: earliest()})
	require.NoError(t, err)
	require.Empty(t, gaps, "whoever asks for what there is")
	messages := all["messages"]
	require.Less(t, messages, bans*messagesEach/4)
	require.Positive(t, messages)
	require.Equal(t, map[string]int{"messages": messages, "account_update.disabled_update.disable": bans}, all)

	after := &wabastreamv1.SubscribeRequest_AfterCursor{AfterCursor: before.GetHeadCursor()}
	onlyBans, gaps, err := readAll(t, c, &wabastreamv1.SubscribeRequest{Start: after, Filters: typed("account_update")})
	require.NoError(t, err)
	require.Empty(t, gaps)
	require.Equal(t, bans, onlyBans["account_update.disabled_update.disable"], "who wants bans notices nothing")

	_, _, err = readAll(t, c, &wabastreamv1.SubscribeRequest{Start: after, Filters: typed("messages")})
	require.ErrorIs(t, err, &client.Error{Code: codes.OutOfRange, Reason: client.ReasonCursorExpired})
	require.ErrorContains(t, err, "events of type messages")

	told, gaps, err := readAll(t, c, &wabastreamv1.SubscribeRequest{
		Start: after, ExpiredCursorPolicy: wabastreamv1.ExpiredCursorPolicy_EXPIRED_CURSOR_POLICY_CONTINUE_WITH_GAP,
	})
	require.NoError(t, err)
	require.Len(t, gaps, 1)
	require.Equal(t, []string{"messages"}, gaps[0].Types)
	require.Equal(t, all, told, "with the gap told, the same")

	info, err := c.API().GetLogInfo(t.Context(), &wabastreamv1.GetLogInfoRequest{})
	require.NoError(t, err)
	require.EqualValues(t, bans+messages, info.GetEventCount())
	require.Len(t, info.GetTypeTrims(), 1)
	require.Equal(t, gaps[0].To, info.GetTypeTrims()[0].GetUpToCursor())
	_, text := get(t, "http://"+a.Addrs().API+"/v1/log")
	require.Contains(t, text, `"type":"messages"`)
}

func (r *running) post(t *testing.T, body string) {
	t.Helper()
	resp, err := http.Post("http://"+r.Addrs().HTTP+"/webhooks/nxcloud", "application/json", strings.NewReader(body))
	require.NoError(t, err)
	require.NoError(t, resp.Body.Close())
	require.Equal(t, http.StatusOK, resp.StatusCode)
}

// retain does in an instant what the server's own keeper does in a minute.
func (r *running) retain(t *testing.T, config Config) {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	retention.New(retention.Config{
		Log:      &oneRound{Log: r.log, over: cancel},
		Policy:   config.retentionPolicy(),
		Interval: time.Millisecond,
		Logger:   logger(t),
	}).Run(ctx)
}

// oneRound tells when a second round begins.
type oneRound struct {
	retention.Log
	began bool
	over  func()
}

func (l *oneRound) Bounds(ctx context.Context) (eventlog.Bounds, error) {
	if l.began {
		l.over()
	}
	l.began = true
	return l.Log.Bounds(ctx)
}

// readAll reads to the head, and counts the events of each type.
func readAll(t *testing.T, c *client.Client, req *wabastreamv1.SubscribeRequest) (counts map[string]int, gaps []*client.GapError, err error) {
	t.Helper()
	req.Stop = &wabastreamv1.SubscribeRequest_StopAtHead{StopAtHead: true}
	counts = map[string]int{}
	for event, err := range c.Subscribe(t.Context(), req) {
		if gap, ok := errors.AsType[*client.GapError](err); ok {
			gaps = append(gaps, gap)
			continue
		}
		if err != nil {
			return counts, gaps, err
		}
		counts[event.GetType()]++
	}
	return counts, gaps, nil
}

func earliest() *wabastreamv1.SubscribeRequest_Position {
	return &wabastreamv1.SubscribeRequest_Position{Position: wabastreamv1.StartPosition_START_POSITION_EARLIEST}
}

func typed(path string) []*wabastreamv1.EventFilter {
	return []*wabastreamv1.EventFilter{{Types: []string{path}}}
}
