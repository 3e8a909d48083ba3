package quarantine_test

import (
	"bytes"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"

	"github.com/wabastream/wabastream/server/internal/quarantine"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func at(second int) time.Time {
	return time.Date(2026, 1, 2, 3, 4, second, 5, time.FixedZone("", 3600))
}

// opened is a store and what it tells.
type opened struct {
	*quarantine.Store
	registry *prometheus.Registry
	lines    *bytes.Buffer
}

func open(t *testing.T, dir string, entries int, size int64) opened {
	t.Helper()
	o := opened{registry: prometheus.NewRegistry(), lines: new(bytes.Buffer)}
	var err error
	o.Store, err = quarantine.Open(quarantine.Config{
		Dir: dir, MaxEntries: entries, MaxBytes: size,
		Registerer: o.registry,
		Logger:     slog.New(slog.NewTextHandler(o.lines, nil)),
	})
	require.NoError(t, err)
	return o
}

// value reads a metric by the end of its name.
func (o opened) value(t *testing.T, name string) float64 {
	t.Helper()
	families, err := o.registry.Gather()
	require.NoError(t, err)
	for _, f := range families {
		if f.GetName() == "wabastream_quarantine_"+name {
			return f.GetMetric()[0].GetGauge().GetValue() + f.GetMetric()[0].GetCounter().GetValue()
		}
	}
	t.Fatalf("no metric %s", name)
	return 0
}

// bodies reads everything that is held, the newest first.
func (o opened) bodies(t *testing.T) []string {
	t.Helper()
	entries, more := o.List(nil, 1000)
	require.False(t, more)
	all := make([]string, len(entries))
	for i, e := range entries {
		c, err := o.Get(e.ID)
		require.NoError(t, err)
		require.Equal(t, e, c.Entry)
		all[i] = string(c.Body)
	}
	return all
}

func TestWhatIsPutIsThereAfterARestart(t *testing.T) {
	t.Parallel()
	dir := filepath.Join(t.TempDir(), "made", "when missing")
	s := open(t, dir, 10, 1<<20)
	body := "{\n\x00\xff not JSON"
	require.NoError(t, s.Put("nxcloud", at(1), "at byte 2", []byte(body)))
	for _, s := range []opened{s, open(t, dir, 10, 1<<20)} {
		entries, more := s.List(nil, 10)
		require.False(t, more)
		require.Len(t, entries, 1)
		require.Equal(t, quarantine.Entry{
			ID: entries[0].ID, Source: "nxcloud", ReceiveTime: at(1).UTC(), Reason: "at byte 2", Size: int64(len(body)),
		}, entries[0])
		require.Regexp(t, "^[0-9a-f]{32}$", entries[0].ID)
		require.Equal(t, []string{body}, s.bodies(t))
		require.InDelta(t, 1, s.value(t, "callbacks"), 0)
		require.InDelta(t, len(body), s.value(t, "bytes"), 0)
	}
}

// Entries have one order, which is that of their times in the files: a clock that was
// set back in between would otherwise give two.
func TestTimesAreOfTheWallClock(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	s := open(t, dir, 10, 1<<20)
	require.NoError(t, s.Put("a", time.Now(), "", []byte("x")))
	before, _ := s.List(nil, 1)
	after, _ := open(t, dir, 10, 1<<20).List(nil, 1)
	require.Equal(t, before, after)
	require.NotContains(t, before[0].ReceiveTime.String(), "m=")
}

// What is held may name people.
func TestFilesAreTheOwners(t *testing.T) {
	t.Parallel()
	dir := filepath.Join(t.TempDir(), "quarantine")
	s := open(t, dir, 10, 1<<20)
	require.NoError(t, s.Put("a", at(1), "", []byte("x")))
	found := 0
	require.NoError(t, filepath.WalkDir(dir, func(_ string, d fs.DirEntry, err error) error {
		require.NoError(t, err)
		info, err := d.Info()
		require.NoError(t, err)
		require.Zero(t, info.Mode().Perm()&0o077, d.Name())
		found++
		return nil
	}))
	require.Equal(t, 2, found)
}

func TestTheSameContentIsKeptOnce(t *testing.T) {
	t.Parallel()
	s := open(t, t.TempDir(), 10, 1<<20)
	var posters sync.WaitGroup
	for i := range 50 {
		posters.Go(func() {
			if err := s.Put("a", at(i), "", []byte("x")); err != nil {
				t.Error(err)
			}
		})
	}
	posters.Wait()
	require.NoError(t, s.Put("b", at(59), "", []byte("x")), "of another source it is another one")
	require.Equal(t, []string{"x", "x"}, s.bodies(t))
	require.Zero(t, s.value(t, "dropped_total"))
}

func TestTheOldestMakeRoom(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	s := open(t, dir, 3, 10)
	for i, body := range []string{"1", "22", "333", "4444"} {
		require.NoError(t, s.Put("a", at(i), "", []byte(body)))
	}
	require.Equal(t, []string{"4444", "333", "22"}, s.bodies(t), "by number")
	require.InDelta(t, 1, s.value(t, "dropped_total"), 0)
	require.NoError(t, s.Put("a", at(5), "", []byte("55555")))
	require.Equal(t, []string{"55555", "4444"}, s.bodies(t), "by size")
	require.NoError(t, s.Put("a", at(6), "", []byte("more than ten")))
	require.Equal(t, []string{"55555", "4444"}, s.bodies(t), "one that never fits drives out nothing")
	require.InDelta(t, 4, s.value(t, "dropped_total"), 0)
	require.Len(t, files(t, dir), 2)

	s = open(t, dir, 1, 10)
	require.Equal(t, []string{"55555"}, s.bodies(t), "limits may become narrower")
	s = open(t, dir, 0, 10)
	require.NoError(t, s.Put("a", at(7), "", []byte("7")))
	require.Empty(t, s.bodies(t), "none is a limit as well")
	require.Empty(t, files(t, dir))
}

func files(t *testing.T, dir string) []string {
	t.Helper()
	found, err := os.ReadDir(dir)
	require.NoError(t, err)
	names := make([]string, len(found))
	for i, f := range found {
		names[i] = f.Name()
	}
	return names
}

func TestPages(t *testing.T) {
	t.Parallel()
	s := open(t, t.TempDir(), 100, 1<<20)
	for i := range 10 {
		require.NoError(t, s.Put("a", at(i/2), "", fmt.Append(nil, i))) // two of a moment
	}
	var all []string
	var before *quarantine.Entry
	for more := true; more; {
		var page []quarantine.Entry
		page, more = s.List(before, 3)
		for _, e := range page {
			all = append(all, e.ID)
		}
		before = &page[len(page)-1]
		require.NoError(t, s.Remove(before.ID), "the next page does not need it")
	}
	whole := make(map[string]bool)
	for _, id := range all {
		whole[id] = true
	}
	require.Len(t, all, 10)
	require.Len(t, whole, 10)
	page, more := s.List(before, 3)
	require.Empty(t, page)
	require.False(t, more)
}

func TestRemove(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	s := open(t, dir, 10, 1<<20)
	require.NoError(t, s.Put("a", at(1), "", []byte("x")))
	entries, _ := s.List(nil, 1)
	require.NoError(t, s.Remove(entries[0].ID))
	require.NoError(t, s.Remove(entries[0].ID))
	_, err := s.Get(entries[0].ID)
	require.ErrorIs(t, err, quarantine.ErrNotFound)
	_, err = s.Get("../" + entries[0].ID)
	require.ErrorIs(t, err, quarantine.ErrNotFound)
	require.Empty(t, files(t, dir))
	require.Zero(t, s.value(t, "bytes"))
}

// A crash leaves files that are not whole; disks and people damage others.
func TestDamage(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	s := open(t, dir, 10, 1<<20)
	require.NoError(t, s.Put("a", at(1), "", []byte("whole")))
	require.NoError(t, s.Put("a", at(2), "", []byte("secret content")))
	damaged, _ := s.List(nil, 1)
	path := filepath.Join(dir, damaged[0].ID+".callback")
	text, err := os.ReadFile(path)
	require.NoError(t, err)
	for name, content := range map[string]string{
		damaged[0].ID + ".callback":                      strings.Replace(string(text), "content", "kontent", 1),
		strings.Repeat("a", 32) + ".callback.unfinished": "half",
		strings.Repeat("b", 32) + ".callback":            "secret",
		strings.Repeat("c", 32) + ".callback":            `{"format":2}` + "\n",
		strings.Repeat("d", 32) + ".callback":            strings.Repeat("x", 10_000) + "\n",
		"somebody's notes":                               "",
	} {
		require.NoError(t, os.WriteFile(filepath.Join(dir, name), []byte(content), 0o600))
	}
	s = open(t, dir, 10, 1<<20)
	entries, _ := s.List(nil, 10)
	require.Len(t, entries, 2)
	_, err = s.Get(entries[0].ID)
	require.ErrorContains(t, err, "damaged")
	require.NotContains(t, err.Error(), "secret")
	require.NotContains(t, s.lines.String(), "secret")
	require.Equal(t, 3, strings.Count(s.lines.String(), "cannot be read"))
	require.Len(t, files(t, dir), 6, "only what was not finished is removed")
}

func TestDiskTrouble(t *testing.T) {
	t.Parallel()
	dir := filepath.Join(t.TempDir(), "quarantine")
	s := open(t, dir, 10, 1<<20)
	require.NoError(t, os.RemoveAll(dir))
	require.Error(t, s.Put("a", at(1), "", []byte("x")))
	require.InDelta(t, 1, s.value(t, "failures_total"), 0)
	require.Empty(t, s.bodies(t))
	require.NoError(t, os.WriteFile(dir, nil, 0o600))
	_, err := quarantine.Open(quarantine.Config{Dir: dir})
	require.ErrorContains(t, err, "open the quarantine")
}
