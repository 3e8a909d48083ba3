package natslog

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"testing"
	"testing/iotest"

	"github.com/stretchr/testify/require"

	"github.com/wabastream/wabastream/server/internal/eventlog"
	"github.com/wabastream/wabastream/server/internal/eventlog/pebblelog"
)

// heldState is a state as a test sees it.
type heldState struct {
	Stored pebblelog.StoredState
	Parts  []string
	Ended  bool
}

// readBase reads an object.
func readBase(in io.Reader, begin beginState) (baseHead, error) {
	r, head, err := newBaseReader(in)
	if err == nil {
		err = r.parts(begin)
	}
	return head, err
}

func (h *heldState) Value(key, value []byte) error {
	h.Parts = append(h.Parts, fmt.Sprintf("value %q %q", key, value))
	return nil
}

func (h *heldState) Note(n eventlog.Note) error {
	h.Parts = append(h.Parts, fmt.Sprintf("note %d %q", n.At, n.Value))
	return nil
}

func (h *heldState) End() error {
	h.Ended = true
	return nil
}

// held reads an object, and returns what it has as far as it could be read.
func held(in io.Reader) (baseHead, []*heldState, error) {
	var all []*heldState
	head, err := readBase(in, func(s pebblelog.StoredState) (eventlog.StateImport, error) {
		all = append(all, &heldState{Stored: s})
		return all[len(all)-1], nil
	})
	return head, all, err
}

func sampleHead() baseHead {
	return baseHead{log: eventlog.LogID{1, 2}, at: place{message: 1 << 40, head: 12, fingerprint: 1<<32 - 1, stamp: -5}, trimmed: 1 << 50}
}

func sampleObject(tb testing.TB) []byte {
	tb.Helper()
	var out bytes.Buffer
	w := newBaseWriter(&out, sampleHead())
	at := eventlog.Position{Sequence: 1 << 60, Fingerprint: 7}
	require.NoError(tb, w.state(pebblelog.StoredState{Name: "accounts", Version: 3, Base: at}))
	require.NoError(tb, w.value([]byte("key"), []byte("value")))
	require.NoError(tb, w.value([]byte{0}, nil))
	require.NoError(tb, w.note(eventlog.Note{At: 5, Value: []byte("note")}))
	require.NoError(tb, w.state(pebblelog.StoredState{Name: "empty", Version: 1}))
	require.NoError(tb, w.end())
	require.Equal(tb, uint64(out.Len()), w.size)
	return out.Bytes()
}

func TestObjectIsReadAsItWasWritten(t *testing.T) {
	t.Parallel()
	whole := sampleObject(t)
	for _, in := range []io.Reader{bytes.NewReader(whole), iotest.OneByteReader(bytes.NewReader(whole))} {
		head, states, err := held(in)
		require.NoError(t, err)
		require.Equal(t, sampleHead(), head)
		require.Equal(t, []*heldState{
			{pebblelog.StoredState{Name: "accounts", Version: 3, Base: eventlog.Position{Sequence: 1 << 60, Fingerprint: 7}}, []string{`value "key" "value"`, `value "\x00" ""`, `note 5 "note"`}, true},
			{pebblelog.StoredState{Name: "empty", Version: 1}, nil, true},
		}, states)
	}
}

// Every changed byte is found before the last state is ended, and so is every cut, and
// what follows the end.
func TestObjectThatIsDamagedIsRefused(t *testing.T) {
	t.Parallel()
	whole := sampleObject(t)
	refused := func(b []byte, what string, at int) {
		t.Helper()
		_, states, err := held(bytes.NewReader(b))
		require.Error(t, err, "%s %d", what, at)
		require.False(t, len(states) == 2 && states[1].Ended, "%s %d", what, at)
	}
	for i := range whole {
		damaged := bytes.Clone(whole)
		damaged[i] ^= 0x20
		refused(damaged, "byte", i)
		refused(whole[:i], "cut at", i)
	}
	refused(append(bytes.Clone(whole), 0), "behind", len(whole))
	other := bytes.Clone(whole)
	other[0] = 9
	_, _, err := held(bytes.NewReader(other))
	require.ErrorContains(t, err, "use a newer release")
}

// What it is read from says more than that it is cut off.
func TestObjectThatCannotBeRead(t *testing.T) {
	t.Parallel()
	whole, broken := sampleObject(t), errors.New("broken")
	for n := range len(whole) + 1 {
		_, _, err := held(io.MultiReader(bytes.NewReader(whole[:n]), iotest.ErrReader(broken)))
		require.ErrorIs(t, err, broken, "after %d bytes", n)
	}
}

// A length that nothing is behind takes no memory.
func TestObjectOfGreatLengthsIsRefused(t *testing.T) {
	t.Parallel()
	var out bytes.Buffer
	w := newBaseWriter(&out, sampleHead())
	require.NoError(t, w.state(pebblelog.StoredState{Name: "a", Version: 1}))
	for _, part := range [][]byte{{valuePart}, {notePart, 1}, {statePart}} {
		b := append(bytes.Clone(out.Bytes()), part...)
		_, _, err := held(bytes.NewReader(binary.AppendUvarint(b, 1<<62)))
		require.ErrorIs(t, err, errMalformed)
	}
}

func FuzzReadBase(f *testing.F) {
	whole := sampleObject(f)
	f.Add(whole[:len(whole)-5])
	f.Fuzz(func(t *testing.T, body []byte) {
		sealed := append(bytes.Clone(body), endPart)
		sealed = binary.LittleEndian.AppendUint32(sealed, crc32.Checksum(sealed, castagnoli()))
		head, states, err := held(bytes.NewReader(sealed))
		if err != nil {
			return
		}
		var out bytes.Buffer
		w := newBaseWriter(&out, head)
		_, err = readBase(bytes.NewReader(sealed), func(s pebblelog.StoredState) (eventlog.StateImport, error) {
			return copying{w}, w.state(s)
		})
		require.NoError(t, err)
		require.NoError(t, w.end())
		again, same, err := held(&out)
		require.NoError(t, err)
		require.Equal(t, head, again)
		require.Equal(t, states, same)
	})
}

// copying writes what is read.
type copying struct{ w *baseWriter }

func (c copying) Value(key, value []byte) error { return c.w.value(key, value) }
func (c copying) Note(n eventlog.Note) error    { return c.w.note(n) }
func (c copying) End() error                    { return nil }
