package pebblelog

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/cockroachdb/pebble/v2"
	"github.com/cockroachdb/pebble/v2/vfs"
	"github.com/stretchr/testify/require"

	"github.com/wabastream/wabastream/server/internal/eventlog"
	"github.com/wabastream/wabastream/server/internal/eventlog/eventlogtest"
)

// A fixture is a store as a release of a format wrote it, and what it holds: an
// archive testdata/format<N>/<name>.tar.gz with the folder "log" and
// "expected.json". It is never made anew. Freeze the current format when it
// lands, before anything of the next one is written:
//
//	WABASTREAM_FREEZE_FORMAT=1 go test -run TestCurrentFormat ./server/internal/eventlog/pebblelog

// frozenLog is what a fixture holds, in words that later releases understand.
type frozenLog struct {
	LogID   string        `json:"log_id"`
	Start   uint64        `json:"start"`
	Trimmed []frozenEntry `json:"trimmed"` // known for their horizon only
	Entries []frozenEntry `json:"entries"`
	// Removed were removed for their type, TypeTrim, the last of them at TypeTrimmed.
	// Like what was trimmed they are known for their horizon.
	Removed     []frozenEntry `json:"removed,omitempty"`
	TypeTrim    string        `json:"type_trim,omitempty"`
	TypeTrimmed uint64        `json:"type_trimmed,omitempty"`
	// State is that of the projection "chain" (see Chain), as of the newest entry.
	State *frozenState `json:"state,omitempty"`
	// Unindexed says that the newest entries have no index yet.
	Unindexed bool `json:"unindexed"`
}

type frozenState struct {
	Version uint64            `json:"version"`
	Values  map[string][]byte `json:"values"` // of WABAs, escaped as Go does
	Notes   map[uint64][]byte `json:"notes"`
}

type frozenEntry struct {
	Sequence    uint64    `json:"sequence"`
	Fingerprint uint32    `json:"fingerprint"`
	AppendTime  time.Time `json:"append_time"`
	ID          string    `json:"id"`
	Source      string    `json:"source"`
	WABA        string    `json:"waba,omitempty"`
	WABASource  uint8     `json:"waba_source,omitempty"`
	Type        string    `json:"type"`
	Phone       string    `json:"phone,omitempty"`
	Severity    uint8     `json:"severity"`
	OccurTime   time.Time `json:"occur_time,omitzero"`
	Horizon     int64     `json:"horizon_seconds"`
	Payload     []byte    `json:"payload,omitempty"`
	Raw         []byte    `json:"raw,omitempty"`
}

func frozen(r *eventlog.Record, p eventlog.Position, at time.Time) frozenEntry {
	return frozenEntry{
		Sequence: uint64(p.Sequence), Fingerprint: p.Fingerprint, AppendTime: at,
		ID: r.ID.String(), Source: r.Source, WABA: r.WABAID, WABASource: uint8(r.WABASource), Type: r.Type,
		Phone: r.BusinessPhone, Severity: uint8(r.Severity), OccurTime: r.OccurTime,
		Horizon: int64(r.Horizon / time.Second), Payload: r.Payload, Raw: r.Raw,
	}
}

func (f frozenEntry) entry(t *testing.T, log eventlog.LogID) eventlog.Entry {
	t.Helper()
	id, err := eventlog.ParseID(f.ID)
	require.NoError(t, err)
	return eventlog.Entry{
		Record: eventlog.Record{
			Header: eventlog.Header{
				ID: id, Source: f.Source, WABAID: f.WABA, WABASource: eventlog.WABASource(f.WABASource), Type: f.Type,
				BusinessPhone: f.Phone, Severity: eventlog.Severity(f.Severity), OccurTime: f.OccurTime,
			},
			Payload: f.Payload, Raw: f.Raw, Horizon: time.Duration(f.Horizon) * time.Second,
		},
		Position:   eventlog.Position{Log: log, Sequence: eventlog.Sequence(f.Sequence), Fingerprint: f.Fingerprint},
		AppendTime: f.AppendTime,
	}
}

// maker fills a store with everything the format has.
type maker struct {
	t      *testing.T
	log    *Log
	state  eventlog.State
	now    time.Time
	random *rand.Rand
	next   int
	made   frozenLog
}

func fixtureOptions(fs vfs.FS, now func() time.Time) Options {
	return Options{FS: fs, Now: now, MemTableBytes: 64 << 10, CacheBytes: 1 << 20, LockWait: -1}
}

// makeFixtures makes the fixtures of the current format: a log that was closed,
// and the same log, gone on, as a power cut leaves it.
func makeFixtures(t *testing.T) map[string][]byte {
	t.Helper()
	disk := vfs.NewCrashableMem()
	m := &maker{t: t, now: time.Date(2026, 1, 2, 3, 4, 5, 678_901_000, time.UTC), random: rand.New(rand.NewPCG(1, 2))}
	m.open(disk)
	m.append(130)
	m.trim(40)
	m.append(100)
	m.trimType("account_update", 150)
	m.close()
	m.open(disk) // makes tables of what is in the write-ahead log
	m.freezeState()
	m.close()
	fixtures := map[string][]byte{"closed": m.pack(disk)}

	m.open(disk)
	m.append(60)
	require.NoError(t, m.log.index.write())
	// Its index is written without a sync of its own: a power cut takes it back.
	m.append(10)
	m.made.Unindexed = true
	m.freezeState()
	crashed := disk.CrashClone(vfs.CrashCloneCfg{})
	m.close()
	fixtures["crashed"] = m.pack(crashed)
	return fixtures
}

func (m *maker) open(fs vfs.FS) {
	m.t.Helper()
	var err error
	m.log, err = Open(m.t.Context(), "log", fixtureOptions(fs, func() time.Time { return m.now }))
	require.NoError(m.t, err)
	m.made.LogID = m.log.id.String()
	m.state, err = m.log.Project(m.t.Context(), eventlogtest.Chain())
	require.NoError(m.t, err)
}

// freezeState notes the state as of the newest entry.
func (m *maker) freezeState() {
	m.t.Helper()
	m.made.State = stateOf(m.t, m.log, m.state)
	require.NotEmpty(m.t, m.made.State.Notes)
	require.NotZero(m.t, m.log.states[0].base.seq)
}

// stateOf reads a state as of the newest entry.
func stateOf(t *testing.T, log *Log, s eventlog.State) *frozenState {
	t.Helper()
	require.NoError(t, s.Wait(t.Context(), log.view.Load().head.seq-1))
	v, err := s.View()
	require.NoError(t, err)
	defer v.Close()
	out := &frozenState{Version: eventlogtest.Chain().Version, Values: make(map[string][]byte), Notes: make(map[uint64][]byte)}
	require.NoError(t, v.Scan(nil, nil, false, func(key, value []byte) bool {
		out.Values[strconv.Quote(string(key))] = bytes.Clone(value)
		return true
	}))
	require.NoError(t, v.Notes(0, func(n eventlog.Note) bool {
		out.Notes[uint64(n.At)] = bytes.Clone(n.Value)
		return true
	}))
	return out
}

func (m *maker) close() {
	m.t.Helper()
	require.NoError(m.t, m.log.Close())
}

// append appends about n records in calls of one to seven. Some are duplicates,
// and some have the id of one whose horizon is over.
func (m *maker) append(n int) {
	m.t.Helper()
	for end := m.next + n; m.next < end; {
		var records []eventlog.Record
		for range 1 + m.random.IntN(7) {
			records = append(records, m.record())
			m.next++
		}
		records = append(records, records[0])
		m.now = m.now.Add(time.Duration(1+m.random.IntN(3_000_000)) * time.Microsecond)
		answers, err := m.log.Append(m.t.Context(), records)
		require.NoError(m.t, err)
		for i, a := range answers {
			if !a.Duplicate {
				m.made.Entries = append(m.made.Entries, frozen(&records[i], a.Position, m.now.Truncate(time.Microsecond)))
			}
		}
	}
}

func (m *maker) record() eventlog.Record {
	pick := func(values ...string) string { return values[m.random.IntN(len(values))] }
	r := eventlog.Record{
		Header: eventlog.Header{
			Source: pick("nxcloud", "other"), WABAID: pick("", "1618074075500491", "2", "ü\x00", "ü"),
			Type:          pick("account_update.account_deleted", "account_update", "account_updates", "messages", "calls.x"),
			BusinessPhone: pick("", "15550001111", "2", "not a number"),
			Severity:      eventlog.Severity(1 + m.random.IntN(3)),
		},
		Payload: fmt.Appendf(nil, "payload %d", m.next),
		Horizon: 7 * 24 * time.Hour,
	}
	if r.WABAID != "" {
		r.WABASource = eventlog.WABASource(1 + m.random.IntN(3))
	}
	id := m.next
	switch m.next % 10 {
	case 3:
		r.OccurTime = time.Unix(int64(m.next), 123_456_789).UTC()
	case 4:
		r.OccurTime = time.Unix(-int64(m.next), 0).UTC() // before 1970
	case 5:
		r.Raw = fmt.Appendf(nil, `{"raw":%d}`, m.next)
	case 6:
		r.Payload, r.Raw = nil, bytes.Repeat([]byte("large "), 1000)
	case 7:
		id, r.Horizon = 7, time.Second // soon over: the same id is a new record
	case 8:
		r.Horizon = 0 // never a duplicate of anything
	}
	copy(r.ID[:], fmt.Sprintf("%020d", id))
	return r
}

func (m *maker) trim(n int) {
	m.t.Helper()
	last := m.made.Entries[n-1]
	require.NoError(m.t, m.log.Trim(m.t.Context(), eventlog.Sequence(last.Sequence)))
	m.made.Start = last.Sequence
	m.made.Trimmed, m.made.Entries = m.made.Entries[:n:n], m.made.Entries[n:]
}

func (m *maker) trimType(path string, upTo uint64) {
	m.t.Helper()
	require.NoError(m.t, m.log.TrimType(m.t.Context(), path, eventlog.Sequence(upTo)))
	m.made.Entries = slices.DeleteFunc(m.made.Entries, func(f frozenEntry) bool {
		gone := f.Sequence <= upTo && (f.Type == path || strings.HasPrefix(f.Type, path+"."))
		if gone {
			m.made.Removed = append(m.made.Removed, f)
		}
		return gone
	})
	require.NotEmpty(m.t, m.made.Removed)
	m.made.TypeTrim, m.made.TypeTrimmed = path, m.made.Removed[len(m.made.Removed)-1].Sequence
}

// pack makes the archive.
func (m *maker) pack(fs vfs.FS) []byte {
	m.t.Helper()
	var packed bytes.Buffer
	zipped, err := gzip.NewWriterLevel(&packed, gzip.BestCompression)
	require.NoError(m.t, err)
	archive := tar.NewWriter(zipped)
	add := func(name string, content []byte) {
		require.NoError(m.t, archive.WriteHeader(&tar.Header{Name: name, Mode: 0o600, Size: int64(len(content))}))
		_, err := archive.Write(content)
		require.NoError(m.t, err)
	}
	expected, err := json.Marshal(m.made)
	require.NoError(m.t, err)
	add("expected.json", expected)
	names, err := fs.List("log")
	require.NoError(m.t, err)
	for _, name := range names {
		f, err := fs.Open(fs.PathJoin("log", name))
		require.NoError(m.t, err)
		content, err := io.ReadAll(f)
		require.NoError(m.t, errors.Join(err, f.Close()))
		add("log/"+name, content)
	}
	require.NoError(m.t, errors.Join(archive.Close(), zipped.Close()))
	return packed.Bytes()
}

// unpack lays a fixture's store into a file system of its own.
func unpack(t *testing.T, packed []byte) (fs vfs.FS, made frozenLog) {
	t.Helper()
	fs = vfs.NewMem()
	require.NoError(t, fs.MkdirAll("log", 0o700))
	zipped, err := gzip.NewReader(bytes.NewReader(packed))
	require.NoError(t, err)
	archive := tar.NewReader(zipped)
	for {
		header, err := archive.Next()
		if errors.Is(err, io.EOF) {
			return fs, made
		}
		require.NoError(t, err)
		content, err := io.ReadAll(archive)
		require.NoError(t, err)
		if header.Name == "expected.json" {
			require.NoError(t, json.Unmarshal(content, &made))
			continue
		}
		f, err := fs.Create(fs.PathJoin("log", path.Base(header.Name)), vfs.WriteCategoryUnspecified)
		require.NoError(t, err)
		_, err = f.Write(content)
		require.NoError(t, errors.Join(err, f.Sync(), f.Close()))
	}
}

// freeze writes the fixtures of the current format to testdata, never over older
// ones.
func freeze(t *testing.T, fixtures map[string][]byte) {
	t.Helper()
	dir := filepath.Join("testdata", fmt.Sprintf("format%d", formatVersion))
	require.NoDirExists(t, dir, "a format is frozen once")
	require.NoError(t, os.MkdirAll(dir, 0o755))
	for name, packed := range fixtures {
		require.NoError(t, os.WriteFile(filepath.Join(dir, name+".tar.gz"), packed, 0o644))
	}
}

// rawMark reads the index mark without opening the store as a log.
func rawMark(t *testing.T, fs vfs.FS) eventlog.Sequence {
	t.Helper()
	db, err := pebble.Open("log", &pebble.Options{FS: fs, ReadOnly: true, Logger: storeLogger{newFailure(nil)}})
	require.NoError(t, err)
	value, closer, err := db.Get(indexMetaKey())
	require.NoError(t, err)
	mark := sequenceOf(value)
	require.NoError(t, errors.Join(closer.Close(), db.Close()))
	return mark
}
