package main

import (
	"bytes"
	"encoding/json"
	"errors"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/stretchr/testify/require"
	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/testing/protocmp"
	"google.golang.org/protobuf/types/known/timestamppb"

	"github.com/wabastream/wabastream/client/callbacks"
	wabastreamv1 "github.com/wabastream/wabastream/gen/wabastream/v1"
)

// Each of the provider's examples, posted with curl, comes out of grpcurl as the
// typed event that the translator's golden file states.
func TestEveryExampleFromCurlToGRPCurl(t *testing.T) {
	t.Parallel()
	p := startProcess(t, t.TempDir())
	examples := callbacks.NXCloud()
	require.Len(t, examples, 16)
	for _, c := range examples {
		file := filepath.Join(t.TempDir(), "callback.json")
		require.NoError(t, os.WriteFile(file, c.Body, 0o600))
		answer := command(t, "curl", "-sS", "-w", " %{http_code}", "-H", "Content-Type: application/json", "--data-binary", "@"+file, p.webhook)
		require.Equal(t, "success 200", answer, c.Name)
	}
	got := p.grpcurlEvents(`{"position":"START_POSITION_EARLIEST","stop_at_head":true}`)
	require.Len(t, got, 16)
	for i, c := range examples {
		t.Run(c.Name, func(t *testing.T) {
			t.Parallel()
			require.False(t, got[i].GetReceiveTime().AsTime().IsZero())
			require.NotEmpty(t, got[i].GetCursor())
			want := goldenEvent(t, c.Name)
			if want.GetUserPreference() != nil { // other examples have told whose the number is
				want.WabaId, want.WabaIdSource = "xxx", wabastreamv1.WabaIdSource_WABA_ID_SOURCE_LEARNED
			}
			require.Empty(t, cmp.Diff(want, got[i], protocmp.Transform(),
				protocmp.IgnoreFields(&wabastreamv1.Event{}, "cursor", "sequence", "receive_time")))
		})
	}
}

// The greeting promises commands that work as pasted.
func TestGreetingWorksAsPasted(t *testing.T) {
	t.Parallel()
	p := startProcess(t, t.TempDir())
	curl := p.pasted("curl ")
	require.Contains(t, command(t, "sh", "-c", curl), "success")
	subscribe := strings.Replace(p.pasted("grpcurl "), "EARLIEST\"", "EARLIEST\",\"stop_at_head\":true", 1)
	subscribe = strings.Replace(subscribe, "grpcurl ", strings.Join(grpcurl(), " ")+" ", 1)
	require.Contains(t, command(t, "sh", "-c", subscribe), "account_update.disabled_update.disable")
}

func TestOrderlyStopSucceeds(t *testing.T) {
	t.Parallel()
	require.NoError(t, startProcess(t, t.TempDir()).stop())
}

func TestStartRefusesWhatIsUnsafeOrWrong(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		args []string
		want string
	}{
		"address open to others": {[]string{"--grpc-addr", "0.0.0.0:0"}, "insecure_listen"},
		"not an address":         {[]string{"--http-addr", "8080"}, "http_addr"},
		"unknown flag":           {[]string{"--grpc-port", "1"}, "unknown flag: --grpc-port"},
		"argument":               {[]string{"serve"}, `unknown command "serve"; the server itself is wabastreamd without one`},
		"days":                   {[]string{"--retention-age", "30d"}, `--retention-age: "30d" is not a duration; write one with its unit, the largest of which is hours`},
		"log level":              {[]string{"--log-level", "loud"}, "log_level"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			var stderr bytes.Buffer
			args := append([]string{"--data-dir", t.TempDir()}, c.args...)
			require.Equal(t, 1, run(args, nil, io.Discard, &stderr))
			require.Contains(t, stderr.String(), c.want)
		})
	}
}

func TestHelpTeaches(t *testing.T) {
	t.Parallel()
	var stdout bytes.Buffer
	require.Zero(t, run([]string{"--help"}, nil, &stdout, io.Discard))
	for _, want := range []string{"--http-addr", "127.0.0.1:8080", "WABASTREAM_HTTP_ADDR", "--config wabastream.yaml"} {
		require.Contains(t, stdout.String(), want)
	}
}

// pasted is the greeting's command that begins so, as a shell reads it.
func (p *process) pasted(begin string) string {
	p.tb.Helper()
	_, rest, found := strings.Cut(p.greeting, "\n  "+begin)
	require.True(p.tb, found, "%q in the greeting:\n%s", begin, p.greeting)
	text, _, _ := strings.Cut(begin+rest, "\n\n")
	return strings.TrimSpace(text)
}

// grpcurlEvents subscribes with grpcurl and returns the events it printed.
func (p *process) grpcurlEvents(request string) []*wabastreamv1.Event {
	p.tb.Helper()
	args := append(grpcurl(), "-plaintext", "-d", request, p.grpc, "wabastream.v1.EventService/Subscribe")
	out := command(p.tb, args[0], args[1:]...)
	var events []*wabastreamv1.Event
	decoder := json.NewDecoder(strings.NewReader(out))
	for {
		var text json.RawMessage
		err := decoder.Decode(&text)
		if errors.Is(err, io.EOF) {
			return events
		}
		require.NoError(p.tb, err)
		frame := new(wabastreamv1.SubscribeResponse)
		require.NoError(p.tb, protojson.Unmarshal(text, frame))
		events = append(events, frame.GetBatch().GetEvents()...)
	}
}

func command(tb testing.TB, name string, args ...string) string {
	tb.Helper()
	var stderr bytes.Buffer
	cmd := exec.CommandContext(tb.Context(), name, args...)
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	require.NoError(tb, err, "%s: %s", name, stderr.String())
	return string(out)
}

// goldenEvent is what the translator's golden file says of an example.
func goldenEvent(tb testing.TB, name string) *wabastreamv1.Event {
	tb.Helper()
	text, err := os.ReadFile(filepath.Join("internal", "translate", "testdata", "nxcloud", name+".golden.json"))
	require.NoError(tb, err)
	var golden []struct {
		ID            string          `json:"id"`
		Type          string          `json:"type"`
		Severity      string          `json:"severity"`
		WABAID        string          `json:"waba_id"`
		BusinessPhone string          `json:"business_phone"`
		OccurTime     json.RawMessage `json:"occur_time"`
		Payload       json.RawMessage `json:"payload"`
	}
	require.NoError(tb, json.Unmarshal(text, &golden))
	require.Len(tb, golden, 1)
	g := golden[0]
	event := new(wabastreamv1.Event)
	require.NoError(tb, protojson.Unmarshal(g.Payload, event))
	event.Id, event.Type, event.WabaId, event.BusinessPhone, event.Source = g.ID, g.Type, g.WABAID, g.BusinessPhone, "nxcloud"
	event.Severity = wabastreamv1.Severity(wabastreamv1.Severity_value[g.Severity])
	if g.WABAID != "" {
		event.WabaIdSource = wabastreamv1.WabaIdSource_WABA_ID_SOURCE_PAYLOAD
	}
	event.OccurTime = new(timestamppb.Timestamp)
	require.NoError(tb, protojson.Unmarshal(g.OccurTime, event.GetOccurTime()))
	return event
}
