package stream

import (
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/wabastream/wabastream/server/internal/eventlog"
)

func TestCursorRoundTrip(t *testing.T) {
	t.Parallel()
	for _, p := range []eventlog.Position{
		{},
		{Log: eventlog.LogID{1, 2, 3}, Sequence: 1, Fingerprint: 7},
		{Log: eventlog.LogID{255, 255, 255, 255, 255, 255, 255, 255}, Sequence: 1<<64 - 1, Fingerprint: 1<<32 - 1},
	} {
		text := cursorOf(p)
		require.Len(t, text, 32)
		require.True(t, strings.HasPrefix(text, "c"), text)
		got, err := parseToken(kindCursor, text)
		require.NoError(t, err)
		require.Equal(t, token{kind: kindCursor, at: p}, got)

		held := token{kind: kindCursor, at: p, held: true}
		require.True(t, strings.HasPrefix(held.String(), "c"), held)
		require.NotEqual(t, text, held.String())
		got, err = parseToken(kindCursor, held.String())
		require.NoError(t, err)
		require.Equal(t, held, got)
	}
}

func TestCursorRefusesEveryChangedCharacter(t *testing.T) {
	t.Parallel()
	text := cursorOf(eventlog.Position{Log: eventlog.LogID{9, 8, 7}, Sequence: 4711, Fingerprint: 42})
	for i := range text {
		for _, c := range "Az09-_c=\x00é" {
			changed := text[:i] + string(c) + text[i+1:]
			if changed == text {
				continue
			}
			_, err := parseToken(kindCursor, changed)
			require.ErrorIs(t, err, errTokenMalformed, changed)
		}
	}
}

func TestCursorRefusesOtherTokens(t *testing.T) {
	t.Parallel()
	for _, text := range []string{
		"", "c", "latest", strings.Repeat("c", 31), strings.Repeat("c", 33),
		cursorOf(eventlog.Position{}) + " ",
		token{kind: kindNewestFirst}.String(),
		token{kind: kindOldestFirst, held: true}.String(),
	} {
		_, err := parseToken(kindCursor, text)
		require.ErrorIs(t, err, errTokenMalformed, text)
	}
}

func FuzzParseCursor(f *testing.F) {
	f.Add(cursorOf(eventlog.Position{Log: eventlog.LogID{1}, Sequence: 2, Fingerprint: 3}))
	f.Add(token{kind: kindCursor, at: eventlog.Position{Sequence: 7}, held: true}.String())
	f.Add("")
	f.Add(strings.Repeat("c", 32))
	f.Fuzz(func(t *testing.T, text string) {
		got, err := parseToken(kindCursor, text)
		if err == nil && got.String() != text {
			t.Fatalf("%q was accepted, but means %q", text, got)
		}
	})
}
