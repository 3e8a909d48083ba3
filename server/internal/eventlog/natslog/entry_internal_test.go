package natslog

import (
	"bytes"
	"encoding/binary"
	"hash/crc32"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/stretchr/testify/require"

	"github.com/wabastream/wabastream/server/internal/eventlog"
)

func samples() []*entry {
	full := eventlog.Record{
		Header: eventlog.Header{
			ID: idOf(7), Source: "src", WABAID: "1001\x00\xc3\xa9", WABASource: eventlog.WABALearned, Type: "a.b",
			BusinessPhone: "49170", Severity: eventlog.SeverityCritical, OccurTime: time.Date(1969, 2, 3, 4, 5, 6, 789, time.UTC),
		},
		Payload: []byte("pay"), Raw: []byte("raw"), Horizon: time.Hour,
	}
	seen := place{message: 1 << 40, head: 12, fingerprint: 1<<32 - 1, stamp: -5}
	return []*entry{
		{kind: callback, seen: seen, stamp: 77, records: []eventlog.Record{full, recordOf(1)}},
		{kind: imported, seen: seen, entries: []eventlog.Entry{{Record: full, Position: eventlog.Position{Sequence: 9}, AppendTime: timeOf(-3)}}},
		{kind: trim, upTo: 1 << 50},
		{kind: trimType, upTo: 3, path: "messages"},
		{kind: tick, stamp: 1},
		{kind: base, base: seen},
		{kind: stateBase, seen: seen, stamp: 9, base: seen, objects: []string{"an object"}},
		{kind: beginning, upTo: 41, stamp: -3, objects: []string{"one", "two"}},
		{kind: beginning, upTo: 41},
	}
}

func TestEntryIsReadAsItWasWritten(t *testing.T) {
	t.Parallel()
	for _, want := range samples() {
		got, err := decode(want.encode())
		require.NoError(t, err)
		require.Empty(t, cmp.Diff(want, got, cmp.AllowUnexported(entry{}, place{}), cmp.Comparer(bytes.Equal)))
	}
}

// A release before bases with states goes on behind one, as if it said nothing, and does
// not begin at it: its place is none.
func TestBaseWithStatesToAnEarlierRelease(t *testing.T) {
	t.Parallel()
	for _, want := range samples() {
		msg := want.message("s")
		got, err := decodeMessage(msg.Data, msg.Header)
		require.NoError(t, err)
		require.Empty(t, cmp.Diff(want, got, cmp.AllowUnexported(entry{}, place{}), cmp.Comparer(bytes.Equal)))
		if want.kind != stateBase {
			continue
		}
		earlier, err := decode(msg.Data)
		require.NoError(t, err)
		require.Equal(t, &entry{kind: base, seen: want.seen, stamp: want.stamp}, earlier)
		msg.Header.Set(headerEntry, "no base64")
		_, err = decodeMessage(msg.Data, msg.Header)
		require.Error(t, err)
	}
	_, err := decode((&entry{kind: stateBase}).encode())
	require.Error(t, err, "names no object")
}

// Every changed byte is found, and so is every cut.
func TestEntryThatIsDamagedIsRefused(t *testing.T) {
	t.Parallel()
	for _, e := range samples() {
		whole := e.encode()
		for i := range whole {
			damaged := bytes.Clone(whole)
			damaged[i] ^= 0x20
			_, err := decode(damaged)
			require.Error(t, err, "byte %d", i)
			_, err = decode(whole[:i])
			require.Error(t, err, "cut at %d", i)
		}
	}
}

func TestEntryOfANewerReleaseSaysSo(t *testing.T) {
	t.Parallel()
	_, err := decode((&entry{kind: 99}).encode())
	require.ErrorContains(t, err, "use a newer release")
	other := (&entry{kind: tick}).encode()
	other[0] = 9
	_, err = decode(other)
	require.ErrorContains(t, err, "use a newer release")
}

// sealed puts the right head before a body.
func sealed(body []byte) []byte {
	b := append(make([]byte, entryHead), body...)
	b[0] = entryVersion
	binary.LittleEndian.PutUint32(b[1:], crc32.Checksum(body, castagnoli()))
	return b
}

func FuzzDecode(f *testing.F) {
	for _, e := range samples() {
		f.Add(e.encode()[entryHead:])
	}
	f.Fuzz(func(t *testing.T, body []byte) {
		e, err := decode(sealed(body))
		if err != nil {
			return
		}
		again, err := decode(e.encode())
		require.NoError(t, err)
		require.Equal(t, e, again)
	})
}
