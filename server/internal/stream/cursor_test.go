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

// FuzzParseCursor: a text is at most one kind of token, and what is accepted is
// spelled in no other way.
func FuzzParseCursor(f *testing.F) {
	f.Add(cursorOf(eventlog.Position{Log: eventlog.LogID{1}, Sequence: 2, Fingerprint: 3}))
	f.Add(token{kind: kindCursor, at: eventlog.Position{Sequence: 7}, held: true}.String())
	f.Add(token{kind: kindNewestFirst}.String())
	f.Add("")
	f.Add(strings.Repeat("c", 32))
	f.Fuzz(func(t *testing.T, text string) {
		accepted := 0
		for _, kind := range tokenKinds() {
			got, err := parseToken(kind, text)
			if err != nil {
				require.Equal(t, token{}, got)
				continue
			}
			accepted++
			require.Equal(t, text, got.String())
		}
		require.LessOrEqual(t, accepted, 1)
	})
}

// FuzzToken: every position survives, in every kind and as nothing else, and one
// changed character is noticed wherever it stands.
func FuzzToken(f *testing.F) {
	f.Add(uint8(0), false, []byte("12345678"), uint64(4711), uint32(42), uint8(31), uint8(1))
	f.Add(uint8(1), true, []byte{}, uint64(1<<64-1), uint32(1<<32-1), uint8(0), uint8(63))
	f.Fuzz(func(t *testing.T, kind uint8, held bool, log []byte, seq uint64, fingerprint uint32, at, by uint8) {
		kinds := tokenKinds()
		want := token{kind: kinds[int(kind)%len(kinds)], held: held}
		copy(want.at.Log[:], log)
		want.at.Sequence, want.at.Fingerprint = eventlog.Sequence(seq), fingerprint
		text := want.String()
		for _, k := range kinds {
			got, err := parseToken(k, text)
			if k != want.kind {
				require.ErrorIs(t, err, errTokenMalformed)
				continue
			}
			require.NoError(t, err)
			require.Equal(t, want, got)
		}

		const alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"
		i := int(at) % len(text)
		other := alphabet[(strings.IndexByte(alphabet, text[i])+1+int(by)%(len(alphabet)-1))%len(alphabet)]
		changed := text[:i] + string(other) + text[i+1:]
		for _, k := range kinds {
			_, err := parseToken(k, changed)
			require.ErrorIs(t, err, errTokenMalformed, "%s, changed to %s", text, changed)
		}
	})
}

func tokenKinds() []tokenKind { return []tokenKind{kindCursor, kindNewestFirst, kindOldestFirst} }
