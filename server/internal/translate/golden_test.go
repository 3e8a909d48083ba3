package translate_test

import (
	"bytes"
	"encoding/base32"
	"encoding/json"
	"flag"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"google.golang.org/protobuf/encoding/protojson"

	"github.com/wabastream/wabastream/client/callbacks"
	"github.com/wabastream/wabastream/server/internal/translate"
)

// The golden files freeze what callbacks become, ids first of all: an id that
// changes makes subscribers take an old event for a new one. Rewrite them with
// -update only for a change that means to do that, or for new inputs.
func TestMain(m *testing.M) {
	flag.Bool("update", false, "rewrite the golden files")
	m.Run()
}

func updating() bool { return flag.Lookup("update").Value.String() == "true" }

// goldenEvent is a whole event as the golden files show it.
type goldenEvent struct {
	ID            string          `json:"id"`
	Type          string          `json:"type"`
	Severity      string          `json:"severity"`
	WABAID        string          `json:"waba_id"`
	BusinessPhone string          `json:"business_phone"`
	OccurTime     string          `json:"occur_time"`
	Timed         bool            `json:"timed"`
	Payload       json.RawMessage `json:"payload"`
	// Raw is left out where it is the body.
	Raw string `json:"raw,omitempty"`
}

func TestGoldenNXCloud(t *testing.T) {
	t.Parallel()
	examples := callbacks.NXCloud()
	require.Len(t, examples, 16)
	for _, example := range examples {
		t.Run(example.Name, func(t *testing.T) {
			t.Parallel()
			events := translateAll(t, example.Body)
			require.Len(t, events, 1)
			require.Nil(t, events[0].Payload.GetUnrecognized())
			require.NotEmpty(t, events[0].BusinessPhone)
			require.False(t, events[0].OccurTime.IsZero())
			require.True(t, strings.HasPrefix(events[0].Type+".", goldenType(example.Name)+"."))
			checkGolden(t, filepath.Join("testdata", "nxcloud", example.Name), example.Body, events)
		})
	}
}

// goldenType is the type that an example's name begins with.
func goldenType(name string) string {
	parts := strings.Split(name, ".")
	if parts[0] == "phone_number_quality_update" || parts[0] == "user_preferences" {
		return parts[0]
	}
	return name
}

func TestGoldenVariants(t *testing.T) {
	t.Parallel()
	inputs, err := filepath.Glob(filepath.Join("testdata", "variants", "*.json"))
	require.NoError(t, err)
	require.NotEmpty(t, inputs)
	for _, input := range inputs {
		if strings.HasSuffix(input, ".golden.json") {
			continue
		}
		name := strings.TrimSuffix(input, ".json")
		t.Run(filepath.Base(name), func(t *testing.T) {
			t.Parallel()
			body, err := os.ReadFile(input)
			require.NoError(t, err)
			checkGolden(t, name, body, translateAll(t, body))
		})
	}
}

func checkGolden(t *testing.T, name string, body []byte, events []translate.Event) {
	t.Helper()
	var got bytes.Buffer
	encoder := json.NewEncoder(&got)
	encoder.SetEscapeHTML(false)
	encoder.SetIndent("", "  ")
	golden := make([]goldenEvent, len(events))
	for i := range events {
		golden[i] = newGoldenEvent(t, body, &events[i])
	}
	require.NoError(t, encoder.Encode(golden))
	file := name + ".golden.json"
	if updating() {
		require.NoError(t, os.WriteFile(file, got.Bytes(), 0o644))
	}
	want, err := os.ReadFile(file)
	require.NoError(t, err)
	require.Equal(t, string(want), got.String())
}

func newGoldenEvent(t *testing.T, body []byte, event *translate.Event) goldenEvent {
	t.Helper()
	payload, err := protojson.MarshalOptions{UseProtoNames: true}.Marshal(event.Payload)
	require.NoError(t, err)
	golden := goldenEvent{
		ID:            idText(event),
		Type:          event.Type,
		Severity:      event.Severity.String(),
		WABAID:        event.WABAID,
		BusinessPhone: event.BusinessPhone,
		Timed:         event.Timed,
		Payload:       payload, // indented by the encoder: protojson varies its white space
	}
	if !event.OccurTime.IsZero() {
		golden.OccurTime = event.OccurTime.Format(time.RFC3339Nano)
	}
	if !bytes.Equal(event.Raw, body) {
		golden.Raw = string(event.Raw)
	}
	return golden
}

// idText writes an id the way the log and the contract do.
func idText(event *translate.Event) string {
	return strings.ToLower(base32.HexEncoding.EncodeToString(event.ID[:]))
}
