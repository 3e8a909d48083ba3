package main

import (
	"bytes"
	"encoding/json"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"
	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/reflect/protoreflect"

	"github.com/wabastream/wabastream/client/callbacks"
	wabastreamv1 "github.com/wabastream/wabastream/gen/wabastream/v1"
	"github.com/wabastream/wabastream/server/servertest"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

const pageFile = "../../../docs/events.md"

func TestThePageIsCurrent(t *testing.T) {
	t.Parallel()
	var want bytes.Buffer
	require.NoError(t, run(t.Context(), &want))
	got, err := os.ReadFile(pageFile)
	require.NoError(t, err)
	require.Equal(t, want.String(), string(got), "docs/events.md is stale: run make docs")
}

// What the page says is what a server streams.
func TestExamplesAreWhatAServerStreams(t *testing.T) {
	t.Parallel()
	server := servertest.Start(t)
	examples := pairs(t)
	require.Greater(t, len(examples), 25)
	// Those that name no account come first: the page has each alone, and of the others
	// the server learns whose numbers they are.
	for _, named := range []bool{false, true} {
		for _, pair := range examples {
			if strings.Contains(pair[1], `"wabaId":`) == named {
				status, answer := server.Post([]byte(pair[0]))
				require.Equal(t, http.StatusOK, status, answer)
			}
		}
	}
	streamed := streamedBy(t, server)
	for _, pair := range examples {
		var want wabastreamv1.Event
		require.NoError(t, protojson.Unmarshal([]byte(pair[1]), &want))
		got, ok := streamed[want.GetId()]
		require.True(t, ok, "no event %s", want.GetId())
		got.Cursor, got.Sequence, got.ReceiveTime = "", 0, nil
		require.JSONEq(t, protojson.Format(&want), protojson.Format(got))
	}
}

// pairs are the page's examples: callback and event.
func pairs(t *testing.T) [][2]string {
	t.Helper()
	page, err := os.ReadFile(pageFile)
	require.NoError(t, err)
	blocks := strings.Split(string(page), "```json\n")[1:]
	require.Zero(t, len(blocks)%2)
	var all [][2]string
	for i := 0; i < len(blocks); i += 2 {
		callback, _, _ := strings.Cut(blocks[i], "```")
		event, _, _ := strings.Cut(blocks[i+1], "```")
		var compact bytes.Buffer // as unrecognized events quote it
		require.NoError(t, json.Compact(&compact, []byte(callback)))
		all = append(all, [2]string{compact.String(), event})
	}
	return all
}

func streamedBy(t *testing.T, server *servertest.Server) map[string]*wabastreamv1.Event {
	t.Helper()
	request, err := http.NewRequestWithContext(t.Context(), http.MethodPost, server.APIURL()+"/v1/events:list", strings.NewReader(`{"pageSize":1000}`))
	require.NoError(t, err)
	response, err := http.DefaultClient.Do(request)
	require.NoError(t, err)
	defer response.Body.Close()
	defer http.DefaultClient.CloseIdleConnections()
	var text json.RawMessage
	require.NoError(t, json.NewDecoder(response.Body).Decode(&text))
	var page wabastreamv1.ListEventsResponse
	require.NoError(t, protojson.Unmarshal(text, &page), string(text))
	events := map[string]*wabastreamv1.Event{}
	for _, event := range page.GetEvents() {
		events[event.GetId()] = event
	}
	return events
}

// Whatever package translate's own test data becomes, as far as all its words are
// known, is listed.
func TestEveryKnownTypeIsListed(t *testing.T) {
	t.Parallel()
	c, err := readComments("../../../gen/wabastream/v1")
	require.NoError(t, err)
	entries, err := list(c)
	require.NoError(t, err)
	listed := map[string]bool{}
	for _, of := range entries {
		for _, e := range of {
			listed[e.kind] = true
		}
	}
	bodies := map[string]string{}
	for _, example := range callbacks.NXCloud() {
		bodies[example.Name] = string(example.Body)
	}
	variants, err := filepath.Glob("../translate/testdata/variants/*.json")
	require.NoError(t, err)
	require.NotEmpty(t, variants)
	for _, file := range variants {
		body, err := os.ReadFile(file)
		require.NoError(t, err)
		bodies[file] = string(body)
	}
	known := 0
	for name, body := range bodies {
		event, err := translated(body)
		if err != nil || event.GetUnrecognized() != nil || !allKnown(event.ProtoReflect()) {
			continue
		}
		known++
		require.True(t, listed[event.GetType()], "%s: %s", name, event.GetType())
	}
	require.Greater(t, known, 20)
}

// allKnown reports whether the words that make a message's type have a value.
func allKnown(m protoreflect.Message) bool {
	known := true
	m.Range(func(f protoreflect.FieldDescriptor, v protoreflect.Value) bool {
		text := strings.HasSuffix(string(f.Name()), "_text")
		if word := m.Descriptor().Fields().ByName(protoreflect.Name(strings.TrimSuffix(string(f.Name()), "_text"))); text && word != nil && word.Enum() != nil {
			known = known && m.Has(word)
		}
		if f.Message() != nil && !f.IsList() && f.Message().ParentFile().Package() == m.Descriptor().ParentFile().Package() {
			known = known && allKnown(v.Message())
		}
		return known
	})
	return known
}

func TestEveryCommentIsThere(t *testing.T) {
	t.Parallel()
	c, err := readComments("../../../gen/wabastream/v1")
	require.NoError(t, err)
	for _, arm := range arms() {
		require.NotEmpty(t, c.field(arm), arm.FullName())
		require.NotEmpty(t, c.message(arm.Message()), arm.FullName())
		fields := arm.Message().Fields()
		for i := range fields.Len() {
			require.NotEmpty(t, c.field(fields.Get(i)), fields.Get(i).FullName())
			if enum := fields.Get(i).Enum(); enum != nil {
				for v := range enum.Values().Len() {
					require.NotEmpty(t, c.value(enum.Values().Get(v)), enum.Values().Get(v).FullName())
				}
			}
		}
	}
}
