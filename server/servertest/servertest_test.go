package servertest_test

import (
	"bytes"
	"encoding/json"
	"io"
	"net/http"
	"strings"
	"sync"
	"testing"

	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"

	"github.com/wabastream/wabastream/client"
	wabastreamv1 "github.com/wabastream/wabastream/gen/wabastream/v1"
	"github.com/wabastream/wabastream/server/servertest"
)

func TestMain(m *testing.M) {
	goleak.VerifyTestMain(m, goleak.Cleanup(func(int) { http.DefaultClient.CloseIdleConnections() }))
}

func events(t *testing.T, s *servertest.Server) (events []*wabastreamv1.Event) {
	t.Helper()
	c, err := client.New(s.GRPCAddr())
	require.NoError(t, err)
	defer c.Close()
	for event, err := range c.Subscribe(t.Context(), &wabastreamv1.SubscribeRequest{
		Start: &wabastreamv1.SubscribeRequest_Position{Position: wabastreamv1.StartPosition_START_POSITION_EARLIEST},
		Stop:  &wabastreamv1.SubscribeRequest_StopAtHead{StopAtHead: true},
	}) {
		require.NoError(t, err)
		events = append(events, event)
	}
	return events
}

const deleted = `{"field":"account_update","value":{"event":"ACCOUNT_DELETED","time":1757450905,"wabaId":"1618074075500491","n":9007199254740993}}`

// The same content is one event however often, at once, indented or ordered.
func TestTheSameCallbackIsOneEvent(t *testing.T) {
	t.Parallel()
	s := servertest.Start(t)
	var indented bytes.Buffer
	require.NoError(t, json.Indent(&indented, []byte(deleted), "", "\t"))
	same := []string{
		deleted,
		indented.String(),
		`{"value":{"wabaId":"1618074075500491","n":9007199254740993,"time":1757450905,"event":"ACCOUNT_DELETED"},"field":"account_update"}`,
		`{"field":"account_update","value":{"event":"ACCOUNT_\u0044ELETED","time":1757450905,"wabaId":"1618074075500491","n":9007199254740993}}`,
	}
	var posters sync.WaitGroup
	for i := range 100 {
		posters.Go(func() {
			status, answer := s.Post([]byte(same[i%len(same)]))
			if status != http.StatusOK || answer != "success" {
				t.Errorf("status %d, %s", status, answer)
			}
		})
	}
	posters.Wait()
	require.Len(t, events(t, s), 1)

	s.Restart()
	status, answer := s.Post([]byte(deleted))
	require.Equal(t, http.StatusOK, status)
	require.Equal(t, "success", answer)
	require.Len(t, events(t, s), 1, "it is recognised after a restart too")
}

func TestAnyOtherDifferenceIsAnotherEvent(t *testing.T) {
	t.Parallel()
	s := servertest.Start(t)
	different := []string{
		deleted,
		strings.Replace(deleted, "9007199254740993", "9007199254740992", 1), // equal as a float64
		strings.Replace(deleted, "9007199254740993", "9007199254740993.0", 1),
		strings.Replace(deleted, `"n":9007199254740993`, `"n":"9007199254740993"`, 1),
		strings.Replace(deleted, `"n":`, `"n":1,"n":`, 1),
		strings.Replace(deleted, `"n":`, `"N":`, 1),
		strings.Replace(deleted, `"n":`, `"n ":`, 1),
		strings.Replace(deleted, `}}`, `,"x":null}}`, 1),
		strings.Replace(deleted, `1757450905`, `1757450906`, 1),
		strings.Replace(deleted, `"field"`, `"more":[1,2],"field"`, 1),
		strings.Replace(deleted, `"field"`, `"more":[2,1],"field"`, 1),
	}
	for _, body := range different {
		status, _ := s.Post([]byte(body))
		require.Equal(t, http.StatusOK, status)
	}
	require.Len(t, events(t, s), len(different))
}

func TestRestartKeepsEventsAndAddresses(t *testing.T) {
	t.Parallel()
	s := servertest.Start(t, servertest.WithDiscard("messages"), servertest.WithNumbers(map[string]string{"+1 555": "w9"}))
	s.Post([]byte(deleted))
	s.Post([]byte(`{"messages":[],"business_phone":"1"}`))
	s.Post([]byte(`{"field":"user_preferences","value":{"metadata":{"display_phone_number":"1555"},"user_preferences":[{"wa_id":"7","category":"marketing_messages","value":"stop","timestamp":"1753407219"}]}}`))
	before := s.GRPCAddr()
	s.Restart()
	require.Equal(t, before, s.GRPCAddr())
	got := events(t, s)
	require.Len(t, got, 2, "messages are discarded")
	require.Equal(t, "w9", got[1].GetWabaId())
	require.Equal(t, wabastreamv1.WabaIdSource_WABA_ID_SOURCE_CONFIGURED, got[1].GetWabaIdSource())
}

func TestOverHTTP(t *testing.T) {
	t.Parallel()
	s := servertest.Start(t)
	s.Post([]byte(deleted))
	id := events(t, s)[0].GetId()
	for name, c := range map[string]struct {
		method, path, body string
		status             int
		want               string
	}{
		"log":              {"GET", "/v1/log", "", 200, `"eventCount":"1"`},
		"event":            {"GET", "/v1/events/" + id, "", 200, `"accountUpdate"`},
		"event, raw":       {"GET", "/v1/events/" + id + "?includeRawJson=true", "", 200, `9007199254740993`},
		"no such event":    {"GET", "/v1/events/" + strings.Repeat("0", 32), "", 404, `EVENT_NOT_FOUND`},
		"list":             {"POST", "/v1/events:list", `{"pageSize":1}`, 200, id},
		"list, defaults":   {"POST", "/v1/events:list", `{}`, 200, id},
		"unknown member":   {"POST", "/v1/events:subscribe", `{"afterCurser":"x"}`, 400, `afterCurser`},
		"invalid":          {"POST", "/v1/events:subscribe", `{"afterCursor":""}`, 400, `REQUEST_INVALID`},
		"subscribe by GET": {"GET", "/v1/events:subscribe", ``, 405, `POST`},
		"ready":            {"GET", "/readyz", "", 200, "ready"},
		"metrics":          {"GET", "/metrics", "", 200, `wabastream_callbacks_total{outcome="stored",source="nxcloud"} 1`},
		"webhook":          {"POST", "/webhooks/nxcloud", "{}", 404, "NOT_FOUND"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			req, err := http.NewRequestWithContext(t.Context(), c.method, s.APIURL()+c.path, strings.NewReader(c.body))
			require.NoError(t, err)
			resp, err := http.DefaultClient.Do(req)
			require.NoError(t, err)
			defer resp.Body.Close()
			text, err := io.ReadAll(resp.Body)
			require.NoError(t, err)
			require.Equal(t, c.status, resp.StatusCode, string(text))
			require.Contains(t, string(bytes.ReplaceAll(text, []byte(`": `), []byte(`":`))), c.want)
		})
	}
}
