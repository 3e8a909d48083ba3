package main

import (
	"bufio"
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"net/http"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/stretchr/testify/require"
	"google.golang.org/protobuf/encoding/protojson"

	"github.com/wabastream/wabastream/client"
	"github.com/wabastream/wabastream/client/callbacks"
	wabastreamv1 "github.com/wabastream/wabastream/gen/wabastream/v1"
)

// hostile is one post and the answer it must get.
type hostile struct {
	name        string
	method      string // POST if empty
	contentType string // application/json if empty
	body        []byte
	want        int
}

func hostileCallbacks(t *testing.T) []hostile {
	t.Helper()
	list := []hostile{
		{name: "empty", body: nil, want: 400},
		{name: "white space", body: []byte(" \n"), want: 400},
		{name: "truncated", body: []byte(`{"field":"account_update","value":{"event":"ACC`), want: 400},
		{name: "two texts", body: []byte(`{} {}`), want: 400},
		{name: "not JSON", body: []byte(`field=account_update`), want: 400},
		{name: "byte order mark", body: []byte("\xef\xbb\xbf{}"), want: 400},
		{name: "invalid UTF-8", body: []byte("{\"field\":\"\xff\xfe\"}"), want: 400},
		{name: "NaN", body: []byte(`{"field":"account_update","value":{"time":NaN}}`), want: 400},
		{name: "10 MiB", body: bytes.Repeat([]byte(" "), 10<<20), want: 413},
		{name: "form", contentType: "application/x-www-form-urlencoded", body: []byte(`{}`), want: 415},
		{name: "multipart", contentType: "multipart/form-data; boundary=x", body: []byte(`{}`), want: 415},
		{name: "GET", method: http.MethodGet, want: 405},
		{name: "DELETE", method: http.MethodDelete, want: 405},

		{name: "text/plain", contentType: "text/plain", body: []byte(`{"field":"text_plain"}`), want: 200},
		{name: "null", body: []byte(`null`), want: 200},
		{name: "true", body: []byte(`true`), want: 200},
		{name: "number", body: []byte(`-0.5e+300`), want: 200},
		{name: "string", body: []byte(`"\u0000"`), want: 200},
		{name: "array", body: []byte(`[]`), want: 200},
		{name: "array of callbacks", body: []byte(`[{"field":"account_update"},{"field":"account_update"}]`), want: 200},
		{name: "object", body: []byte(`{}`), want: 200},
		{name: "depth 100,000", body: []byte(strings.Repeat("[", 100_000) + strings.Repeat("]", 100_000)), want: 200},
		{name: "depth 100,000, objects", body: []byte(strings.Repeat(`{"value":`, 100_000) + "1" + strings.Repeat("}", 100_000)), want: 200},
		{name: "duplicate keys", body: []byte(`{"field":"account_update","field":"x","value":{"wabaId":"1","wabaId":"2","time":1,"time":2}}`), want: 200},
		{name: "names in the wrong case", body: []byte(`{"Field":"account_update","VALUE":{"WABAID":"1"}}`), want: 200},
		{name: "lone surrogates", body: []byte(`{"field":"account_update","value":{"event":"\ud800","wabaId":"\udfff x","x":"\ud800\ud800"}}`), want: 200},
		{name: "huge numbers", body: []byte(`{"field":"account_update","value":{"wabaId":` + strings.Repeat("9", 100) + `,"time":1e400,"business_phone":-1.5E+99}}`), want: 200},
		{name: "year 300000", body: []byte(`{"field":"account_update","value":{"event":"ACCOUNT_DELETED","time":9404640000000,"wabaId":"1"}}`), want: 200},
		{name: "before 1970", body: []byte(`{"field":"account_update","value":{"event":"ACCOUNT_DELETED","time":-62135596801,"wabaId":"1"}}`), want: 200},
		{name: "long ids", body: []byte(`{"field":"account_update","value":{"event":"ACCOUNT_DELETED","wabaId":"` + strings.Repeat("1", 5000) + `"}}`), want: 200},
		{name: "long names", body: []byte(`{"field":"` + strings.Repeat("é.", 5000) + `","value":{"event":"` + strings.Repeat("X", 5000) + `"}}`), want: 200},
		{name: "empty preferences", body: []byte(`{"field":"user_preferences","value":{"user_preferences":[]}}`), want: 200},
		{name: "10,000 preferences", body: []byte(`{"field":"user_preferences","value":{"user_preferences":[` + strings.Repeat(`{},`, 9_999) + `{}]}}`), want: 200},
		{name: "4,096 preferences", body: []byte(`{"field":"user_preferences","value":{"user_preferences":[` + strings.Repeat(`{"value":"stop"},`, 4_095) + `{}]}}`), want: 200},
		{name: "unknown members", body: []byte(`{"field":"account_update","value":{"event":"ACCOUNT_DELETED","new":{"a":[1,{"b":null}]}},"more":1}`), want: 200},
		{name: "almost 1 MiB", body: []byte(`{"field":"account_update","value":{"event":"ACCOUNT_DELETED","pad":"` + strings.Repeat("x", 1<<20-100) + `"}}`), want: 200},
		{name: "almost 1 MiB, typed", body: []byte(`{"field":"phone_number_name_update","value":{"requested_verified_name":"` + strings.Repeat("\u00e9", 1<<19-100) + `"}}`), want: 200},
		{name: "almost 1 MiB, unrecognized", body: []byte(`{"a":"` + strings.Repeat("x", 1<<20-100) + `"}`), want: 200},
	}
	for _, c := range callbacks.NXCloud() {
		for i, body := range wrongTypes(t, c.Body) {
			list = append(list, hostile{name: fmt.Sprintf("%s, wrong type %d", c.Name, i), body: body, want: 200})
		}
	}
	return list
}

// wrongTypes returns the callback once for each of its members at any depth and
// each kind of value, with that member replaced.
func wrongTypes(t *testing.T, body []byte) [][]byte {
	t.Helper()
	var root any
	require.NoError(t, json.Unmarshal(body, &root))
	var out [][]byte
	var visit func(container any)
	replace := func(set func(v any), original any) {
		for _, wrong := range []any{nil, true, 1.5, "\u0000", []any{}, []any{map[string]any{}}, map[string]any{}, map[string]any{"x": 1}} {
			set(wrong)
			text, err := json.Marshal(root)
			require.NoError(t, err)
			out = append(out, text)
		}
		set(original)
		visit(original)
	}
	visit = func(container any) {
		switch c := container.(type) {
		case map[string]any:
			for _, name := range slices.Sorted(maps.Keys(c)) {
				replace(func(v any) { c[name] = v }, c[name])
			}
		case []any:
			for i := range c {
				replace(func(v any) { c[i] = v }, c[i])
			}
		}
	}
	visit(root)
	return out
}

// Each hostile callback gets its documented status, none disturbs the others,
// none that is JSON is lost, and every stored event reaches every kind of client.
func TestHostileCallbacks(t *testing.T) {
	t.Parallel()
	p := startProcess(t, t.TempDir())
	list := hostileCallbacks(t)
	require.Greater(t, len(list), 500)
	stored := make(map[string]bool) // the JSON that must come out
	for _, h := range list {
		if h.want == http.StatusOK {
			stored[string(h.body)] = true
		}
	}

	var posters sync.WaitGroup
	work := make(chan hostile)
	for range 8 {
		posters.Go(func() {
			for h := range work {
				status, answer := p.postHostile(h)
				if status != h.want || status == http.StatusOK && answer != "success" {
					t.Errorf("%s: status %d %s, want %d", h.name, status, answer, h.want)
				}
			}
		})
	}
	for _, h := range list {
		work <- h
	}
	close(work)
	posters.Wait()

	viaSDK := p.readBySDK(t)
	for _, e := range viaSDK {
		delete(stored, e.GetRawJson())
		delete(stored, e.GetUnrecognized().GetJson())
	}
	// An array comes out entry by entry, each in a callback reduced to it.
	maps.DeleteFunc(stored, func(text string, _ bool) bool { return strings.Count(text, `{"value":"stop"}`) == 4_095 })
	require.Empty(t, stored, "JSON that did not come out")
	require.Len(t, slices.DeleteFunc(slices.Clone(viaSDK), func(e *wabastreamv1.Event) bool {
		return e.GetRawJson() != `{"field":"user_preferences","value":{"user_preferences":[{"value":"stop"}]}}`
	}), 4_095)
	require.Len(t, p.grpcurlEvents(`{"position":"START_POSITION_EARLIEST","stop_at_head":true,"include_raw_json":true}`), len(viaSDK))
	require.Equal(t, len(viaSDK), p.countByGateway(t))
}

func (p *process) postHostile(h hostile) (status int, answer string) {
	method, contentType := h.method, h.contentType
	if method == "" {
		method = http.MethodPost
	}
	if contentType == "" {
		contentType = "application/json"
	}
	req, err := http.NewRequestWithContext(p.tb.Context(), method, p.webhook, bytes.NewReader(h.body))
	if err != nil {
		return 0, err.Error()
	}
	req.Header.Set("Content-Type", contentType)
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return 0, err.Error()
	}
	defer resp.Body.Close()
	text, err := io.ReadAll(resp.Body)
	if err != nil {
		return 0, err.Error()
	}
	return resp.StatusCode, string(text)
}

func (p *process) readBySDK(t *testing.T) []*wabastreamv1.Event {
	t.Helper()
	c, err := client.New(p.grpc)
	require.NoError(t, err)
	defer c.Close()
	var events []*wabastreamv1.Event
	for event, err := range c.Subscribe(t.Context(), &wabastreamv1.SubscribeRequest{
		Start:          &wabastreamv1.SubscribeRequest_Position{Position: wabastreamv1.StartPosition_START_POSITION_EARLIEST},
		Stop:           &wabastreamv1.SubscribeRequest_StopAtHead{StopAtHead: true},
		IncludeRawJson: true,
	}) {
		require.NoError(t, err)
		events = append(events, event)
	}
	return events
}

func (p *process) countByGateway(t *testing.T) (events int) {
	t.Helper()
	resp, err := http.Post(p.api+"/v1/events:subscribe", "application/json",
		strings.NewReader(`{"position":"START_POSITION_EARLIEST","stopAtHead":true,"includeRawJson":true}`))
	require.NoError(t, err)
	defer resp.Body.Close()
	require.Equal(t, "application/x-ndjson", resp.Header.Get("Content-Type"))
	lines := bufio.NewReader(resp.Body)
	for {
		line, err := lines.ReadBytes('\n')
		if errors.Is(err, io.EOF) {
			return events
		}
		require.NoError(t, err)
		var envelope struct {
			Result json.RawMessage `json:"result"`
			Error  json.RawMessage `json:"error"`
		}
		require.NoError(t, json.Unmarshal(line, &envelope))
		require.Empty(t, envelope.Error)
		frame := new(wabastreamv1.SubscribeResponse)
		require.NoError(t, protojson.Unmarshal(envelope.Result, frame))
		events += len(frame.GetBatch().GetEvents())
	}
}
