package logtool_test

import (
	"bytes"
	"crypto/sha256"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/wabastream/wabastream/server/internal/eventlog"
	"github.com/wabastream/wabastream/server/internal/eventlog/pebblelog"
	"github.com/wabastream/wabastream/server/internal/logtool"
)

// sums is a projection with values large enough for several parts, and notes.
func sums() eventlog.Projection {
	return eventlog.Projection{Name: "sums", Version: 3, Fold: func(get func([]byte) ([]byte, error), entries []eventlog.Entry) (eventlog.Changes, error) {
		var out eventlog.Changes
		values := make(map[string][]byte)
		for _, e := range entries {
			value, ok := values[e.WABAID]
			if !ok {
				var err error
				if value, err = get([]byte("waba " + e.WABAID)); err != nil {
					return out, err
				}
			}
			sum := sha256.Sum256(append(slices.Clip(value), e.Payload...))
			values[e.WABAID] = bytes.Repeat(sum[:], 1000)
			out.Notes = append(out.Notes, eventlog.Note{At: e.Position.Sequence, Value: sum[:]})
		}
		for key, value := range values {
			out.Writes = append(out.Writes, eventlog.Write{Key: []byte("waba " + key), Value: value})
		}
		return out, nil
	}}
}

// statefulFolder is folderOf with the state of a projection.
func statefulFolder(t *testing.T) logtool.Folder {
	t.Helper()
	folder := logtool.Folder{Dir: filepath.Join(t.TempDir(), "log")}
	log, err := pebblelog.Open(t.Context(), folder.Dir, pebblelog.Options{})
	require.NoError(t, err)
	_, err = log.Project(t.Context(), sums())
	require.NoError(t, err)
	for n := range made {
		_, err := log.Append(t.Context(), []eventlog.Record{record(t, n)})
		require.NoError(t, err)
	}
	require.NoError(t, log.Trim(t.Context(), trimmed))
	require.NoError(t, log.TrimType(t.Context(), "type1", made/2))
	require.NoError(t, log.Close())
	return folder
}

// stateOf is everything in the state of a folder's log, made again or not.
func stateOf(t *testing.T, folder logtool.Folder, rebuild bool) string {
	t.Helper()
	log, err := pebblelog.Open(t.Context(), folder.Dir, pebblelog.Options{})
	require.NoError(t, err)
	defer func() { require.NoError(t, log.Close()) }()
	s, err := log.Project(t.Context(), sums())
	require.NoError(t, err)
	require.NoError(t, s.Wait(t.Context(), made-1))
	if rebuild {
		differences, err := s.Rebuild(t.Context(), nothing)
		require.NoError(t, err)
		require.Zero(t, differences)
	}
	v, err := s.View()
	require.NoError(t, err)
	defer v.Close()
	var out strings.Builder
	fmt.Fprintln(&out, v.Position().Sequence, v.Position().Fingerprint)
	require.NoError(t, v.Scan(nil, nil, false, func(key, value []byte) bool {
		fmt.Fprintf(&out, "%q %x\n", key, value)
		return true
	}))
	require.NoError(t, v.Notes(0, func(n eventlog.Note) bool {
		fmt.Fprintf(&out, "%d %x\n", n.At, n.Value)
		return true
	}))
	return out.String()
}

// What follows from events that are gone travels with those that are held.
func TestStatesTravel(t *testing.T) {
	t.Parallel()
	for _, format := range formats() {
		t.Run(string(format), func(t *testing.T) {
			t.Parallel()
			from := statefulFolder(t)
			whole := exportAll(t, from, format)
			to := logtool.Folder{Dir: filepath.Join(t.TempDir(), "log")}
			done, err := importAll(t, to, whole)
			require.NoError(t, err)
			require.Equal(t, uint64(made-trimmed-20), done.Events)
			for _, other := range formats() {
				require.Equal(t, exportAll(t, from, other), exportAll(t, to, other))
			}
			requireSound(t, to)
			want := stateOf(t, from, false)
			require.Equal(t, want, stateOf(t, to, false))
			require.Equal(t, want, stateOf(t, to, true))
			requireSound(t, to)
		})
	}
}

// A file that was cut off among the parts of a state is written anew, and an import of
// it is continued.
func TestStatesThatWereCutOff(t *testing.T) {
	t.Parallel()
	for _, format := range formats() {
		t.Run(string(format), func(t *testing.T) {
			t.Parallel()
			from := statefulFolder(t)
			whole := exportAll(t, from, format)
			to := logtool.Folder{Dir: filepath.Join(t.TempDir(), "log")}
			for cut := range 25 {
				part := whole[:len(whole)*cut/25]
				file := filepath.Join(t.TempDir(), "export")
				require.NoError(t, os.WriteFile(file, part, 0o600))
				_, err := logtool.Export(t.Context(), from, logtool.ExportOptions{Format: format, File: file, Resume: true, Progress: nothing})
				require.NoError(t, err)
				got, err := os.ReadFile(file)
				require.NoError(t, err)
				require.True(t, bytes.Equal(whole, got))
				if _, err := importAll(t, to, part); err != nil {
					require.Regexp(t, "continue with the whole input|within its first event", err.Error())
				}
			}
			_, err := importAll(t, to, whole)
			require.NoError(t, err)
			require.True(t, bytes.Equal(whole, exportAll(t, to, format)))
			requireSound(t, to)
			_, err = importAll(t, to, whole)
			require.NoError(t, err, "again")
		})
	}
}

// Without some events, or without the state, an import is another log's beginning.
func TestStatesThatDoNotFit(t *testing.T) {
	t.Parallel()
	whole := exportAll(t, statefulFolder(t), logtool.FormatJSONL)
	lines := bytes.SplitAfter(whole, []byte("\n"))
	states := 0
	for bytes.HasPrefix(lines[states], []byte(`{"state"`)) {
		states++
	}
	require.Greater(t, states, 2)
	folder := func() logtool.Folder { return logtool.Folder{Dir: filepath.Join(t.TempDir(), "log")} }

	late := folder()
	_, err := importAll(t, late, bytes.Join(append(lines[:states:states], lines[len(lines)-20:]...), nil))
	require.NoError(t, err)
	requireSound(t, late)
	stateOf(t, late, true)

	_, err = importAll(t, folder(), bytes.Join(append(lines[states:states+1:states+1], lines[0]), nil))
	require.ErrorContains(t, err, "comes after records")
	_, err = importAll(t, folder(), bytes.Join([][]byte{lines[0], lines[states]}, nil))
	require.ErrorContains(t, err, "comes before the last part")
	_, err = importAll(t, folder(), bytes.Join([][]byte{lines[0], bytes.Replace(lines[1], []byte(`"sums"`), []byte(`"other"`), 1)}, nil))
	require.ErrorContains(t, err, "belongs to another state")
	_, err = importAll(t, folder(), bytes.Replace(lines[0], []byte(`"sums"`), []byte(`"Sums"`), 1))
	require.ErrorContains(t, err, "its name must be")
	there := folder()
	_, err = importAll(t, there, whole)
	require.NoError(t, err)
	_, err = importAll(t, there, bytes.Replace(whole, []byte(`"sequence":"98","finger`), []byte(`"sequence":"97","finger`), 1))
	require.ErrorContains(t, err, "another state of projection")
}
