package translate_test

import (
	"bytes"
	"encoding/json"
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/wabastream/wabastream/client/callbacks"
	"github.com/wabastream/wabastream/server/internal/translate"
)

func FuzzCallback(f *testing.F) {
	for _, example := range callbacks.NXCloud() {
		f.Add(example.Body)
	}
	variants, err := filepath.Glob(filepath.Join("testdata", "variants", "*.json"))
	require.NoError(f, err)
	for _, variant := range variants {
		body, err := os.ReadFile(variant)
		require.NoError(f, err)
		f.Add(body)
	}
	for _, body := range []string{
		``, `null`, `[[]]`, `{"a":1,"a":2}`, `"\ud800\udc00\ud800"`, "\"\xff\"", `-0.5E+7`, `{"field":"f","value":[`,
		`{"field":"user_preferences","value":{"contacts":[{"wa_id":1},{}],"user_preferences":[{"wa_id":"1"},{"wa_id":"1"},7]}}`,
	} {
		f.Add([]byte(body))
	}
	f.Fuzz(func(t *testing.T, body []byte) {
		events, err := translate.Callback(source, body)
		if err != nil {
			require.ErrorIs(t, err, translate.ErrNotJSON)
			require.False(t, isJSON(body))
			return
		}
		if brackets := bytes.Count(body, []byte{'['}) + bytes.Count(body, []byte{'{'}); brackets <= 10_000 {
			require.True(t, isJSON(body))
			requireSameIDsWhenReformatted(t, body, events)
		}
		requireSound(t, body, events)
		requireSameIDsWhenReduced(t, events)
	})
}

func requireSameIDsWhenReformatted(t *testing.T, body []byte, events []translate.Event) {
	t.Helper()
	var indented, compact bytes.Buffer
	require.NoError(t, json.Indent(&indented, body, " ", "\t"))
	require.NoError(t, json.Compact(&compact, body))
	require.Equal(t, idsOf(events), idsOf(translateAll(t, compact.Bytes())))
	if indented.Len() <= translate.MaxExpandedBytes/translate.MaxEntries {
		require.Equal(t, idsOf(events), idsOf(translateAll(t, indented.Bytes())))
	}
}

// Each reduced callback, received alone, is one of the events it came from.
func requireSameIDsWhenReduced(t *testing.T, events []translate.Event) {
	t.Helper()
	ids := idsOf(events)
	for i := range events {
		alone := translateAll(t, jsonOf(&events[i]))
		require.Len(t, alone, 1)
		require.Contains(t, ids, alone[0].ID)
		require.Equal(t, events[i].Type, alone[0].Type)
		require.Equal(t, events[i].Severity, alone[0].Severity)
	}
}

func idsOf(events []translate.Event) [][20]byte {
	ids := make([][20]byte, len(events))
	for i := range events {
		ids[i] = events[i].ID
	}
	return ids
}
