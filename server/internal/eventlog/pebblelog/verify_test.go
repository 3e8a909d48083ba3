package pebblelog

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"strconv"
	"testing"
	"time"

	"github.com/cockroachdb/pebble/v2"
	"github.com/cockroachdb/pebble/v2/vfs"
	"github.com/stretchr/testify/require"

	"github.com/wabastream/wabastream/server/internal/eventlog"
)

// verifyRecords is more than two groups of records that are compared together.
const verifyRecords = 2*groupRecords + 1000

func verifyRecord(n int) eventlog.Record {
	r := eventlog.Record{
		Header: eventlog.Header{
			Source: "s", Type: fmt.Sprintf("a.b%d", n%3), WABAID: strconv.Itoa(n % 7), WABASource: eventlog.WABAPayload,
			Severity: eventlog.SeverityInfo,
		},
		Payload: []byte("payload"), Horizon: time.Hour,
	}
	if n%5 != 0 {
		r.BusinessPhone = strconv.Itoa(n % 5)
	}
	copy(r.ID[:], fmt.Sprintf("%020d", n))
	return r
}

// verifiable makes a store whose records have the sequences 101 and on; those of
// type a.b2 up to 500 are removed, and the id of 6000 is that of 2000, too.
func verifiable(t *testing.T) vfs.FS {
	t.Helper()
	disk := vfs.NewMem()
	now := time.Unix(1_700_000_000, 0)
	l, err := Open(t.Context(), "log", Options{FS: disk, Now: func() time.Time { return now }})
	require.NoError(t, err)
	for from := 1; from <= verifyRecords; from += 1000 {
		var records []eventlog.Record
		for n := from; n < from+1000 && n <= verifyRecords; n++ {
			records = append(records, verifyRecord(n))
			if n == 6000 {
				records[n-from].ID = verifyRecord(2000).ID
			}
		}
		now = now.Add(time.Hour)
		_, err := l.Append(t.Context(), records)
		require.NoError(t, err)
	}
	require.NoError(t, l.Trim(t.Context(), 100))
	require.NoError(t, l.TrimType(t.Context(), "a.b2", 500))
	require.NoError(t, l.Close())
	return disk
}

func problemsOf(t *testing.T, disk vfs.FS) (problems []Problem, records uint64) {
	t.Helper()
	r, err := OpenReader(t.Context(), "log", Options{FS: disk, LockWait: -1})
	require.NoError(t, err)
	defer func() { require.NoError(t, r.Close()) }()
	done, all := uint64(0), uint64(0)
	records, err = r.Verify(t.Context(), func(p Problem) { problems = append(problems, p) }, func(d, total uint64) {
		require.GreaterOrEqual(t, d, done)
		done, all = d, total
	})
	require.NoError(t, err)
	require.Equal(t, all, done)
	return problems, records
}

// damaged changes the store behind the log's back.
func damaged(t *testing.T, disk vfs.FS, damage func(*pebble.DB) error) {
	t.Helper()
	db, err := pebble.Open("log", &pebble.Options{
		FS: disk, FormatMajorVersion: pebble.FormatTableFormatV6, Logger: storeLogger{newFailure(nil)},
	})
	require.NoError(t, err)
	require.NoError(t, damage(db))
	require.NoError(t, db.Close())
}

func change(db *pebble.DB, key []byte, edit func([]byte)) error {
	value, closer, err := db.Get(key)
	if err != nil {
		return err
	}
	own := append([]byte{}, value...)
	if err := closer.Close(); err != nil {
		return err
	}
	edit(own)
	return db.Set(key, own, pebble.Sync)
}

func TestVerifyFindsDamage(t *testing.T) {
	t.Parallel()
	const at = 5000
	record := verifyRecord(at)
	for name, c := range map[string]struct {
		damage func(*pebble.DB) error
		want   []Problem
	}{
		"nothing": {func(*pebble.DB) error { return nil }, nil},
		"a flipped bit": {
			func(db *pebble.DB) error { return change(db, recordKey(at), func(v []byte) { v[len(v)-1] ^= 1 }) },
			[]Problem{{ProblemRecord, at, at, "checksum does not match"}},
		},
		"missing records": {
			func(db *pebble.DB) error { return db.DeleteRange(recordKey(at), recordKey(at+10), pebble.Sync) },
			[]Problem{{ProblemRecord, at, at + 9, "record is missing"}}, // and not again for what leads to them
		},
		"records in another's place": {
			func(db *pebble.DB) error {
				value, closer, err := db.Get(recordKey(at))
				if err != nil {
					return err
				}
				defer closer.Close()
				return db.Set(recordKey(at+1), value, pebble.Sync)
			},
			[]Problem{{ProblemRecord, at + 1, at + 1, "checksum does not match"}},
		},
		"a stamp that goes back": {
			func(db *pebble.DB) error {
				s := stage(&record)
				s.seal(at, 1)
				e := idEntry{seq: at, stamp: 1, horizon: s.horizon}
				return errors.Join(db.Set(recordKey(at), s.value, pebble.Sync), db.Set(idKey(record.ID), e.encode(), pebble.Sync))
			},
			[]Problem{{ProblemOrder, at, at, "stamped earlier than the record before"}},
		},
		"an account's entry missing": {
			func(db *pebble.DB) error { return db.Delete(indexKey(wabaKind, record.WABAID, at), pebble.Sync) },
			[]Problem{{ProblemIndex, at, at, "missing from the index of accounts"}},
		},
		"an entry for another type": {
			func(db *pebble.DB) error { return db.Set(indexKey(typeKind, "x", at), nil, pebble.Sync) },
			[]Problem{{ProblemIndex, at, at, "the index of types names it wrongly"}},
		},
		"an entry for a removed record": {
			func(db *pebble.DB) error { return db.Set(indexKey(typeKind, "a.b2", 200), nil, pebble.Sync) },
			[]Problem{{ProblemIndex, 200, 200, "the index of types names it, and it was removed"}},
		},
		"an entry beyond the head": {
			func(db *pebble.DB) error { return db.Set(indexKey(phoneKind, "1", 1<<40), nil, pebble.Sync) },
			[]Problem{{ProblemIndex, 1 << 40, 1 << 40, fmt.Sprintf("the index of phone numbers names it, and should end at %d", verifyRecords)}},
		},
		"an entry of a trimmed record": {
			func(db *pebble.DB) error { return db.Set(indexKey(phoneKind, "1", 7), nil, pebble.Sync) },
			nil, // readers never look there
		},
		"what is no entry": {
			func(db *pebble.DB) error { return db.Set([]byte("w?"), nil, pebble.Sync) },
			[]Problem{{ProblemIndex, 0, 0, "the index of accounts has a malformed entry of 2 bytes"}},
		},
		"an id missing": {
			func(db *pebble.DB) error { return db.Delete(idKey(record.ID), pebble.Sync) },
			[]Problem{{ProblemID, at, at, "its id is not known"}},
		},
		"an id that leads back": {
			func(db *pebble.DB) error {
				return db.Set(idKey(verifyRecord(2000).ID), idEntry{seq: 2000, stamp: 1}.encode(), pebble.Sync)
			},
			[]Problem{{ProblemID, 6000, 6000, "its id leads to an earlier record"}, {ProblemID, 2000, 2000, "the index of ids names it wrongly"}},
		},
		"a malformed id": {
			func(db *pebble.DB) error { return db.Set(idKey(record.ID), []byte("?"), pebble.Sync) },
			[]Problem{{ProblemID, 0, 0, "the index of ids has a malformed entry of 21 bytes"}},
		},
		"a wrong count": {
			func(db *pebble.DB) error { return db.Set(goneMetaKey(), binary.AppendUvarint(nil, 1), pebble.Sync) },
			[]Problem{{ProblemCount, 0, 0, fmt.Sprintf("holds %d records and says %d", verifyHeld, verifyRecords-101)}},
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			disk := verifiable(t)
			damaged(t, disk, c.damage)
			got, _ := problemsOf(t, disk)
			require.Equal(t, c.want, got)
		})
	}
}

// verifyHeld is how many records verifiable leaves: of 101 to 500 a third is removed.
const verifyHeld = verifyRecords - 100 - 134

// TestVerifyChangesNothing: not even what a crash has left unfinished.
func TestVerifyChangesNothing(t *testing.T) {
	t.Parallel()
	for name, packed := range makeFixtures(t) {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			disk, made := unpack(t, packed)
			before := contents(t, disk)
			problems, records := problemsOf(t, disk)
			require.Empty(t, problems)
			require.Equal(t, uint64(len(made.Entries)), records)
			require.Equal(t, before, contents(t, disk))
		})
	}
}

func contents(t *testing.T, disk vfs.FS) map[string]string {
	t.Helper()
	names, err := disk.List("log")
	require.NoError(t, err)
	files := make(map[string]string)
	for _, name := range names {
		f, err := disk.Open(disk.PathJoin("log", name))
		require.NoError(t, err)
		content, err := io.ReadAll(f)
		require.NoError(t, err)
		require.NoError(t, f.Close())
		files[name] = string(content)
	}
	return files
}

func TestVerifyEnds(t *testing.T) {
	t.Parallel()
	r, err := OpenReader(t.Context(), "log", Options{FS: verifiable(t)})
	require.NoError(t, err)
	ctx, cancel := context.WithCancel(t.Context())
	_, err = r.Verify(ctx, func(Problem) {}, func(uint64, uint64) { cancel() })
	require.ErrorIs(t, err, context.Canceled)
	require.NoError(t, r.Close())
}

func TestReaderRefuses(t *testing.T) {
	t.Parallel()
	disk := vfs.NewMem()
	_, err := OpenReader(t.Context(), "nowhere", Options{FS: disk})
	require.ErrorContains(t, err, "there is no log")
	require.NoError(t, disk.MkdirAll("other", 0o700))
	_, err = OpenReader(t.Context(), "other", Options{FS: disk})
	require.ErrorContains(t, err, "there is no log")
	names, err := disk.List("other")
	require.NoError(t, err)
	require.Empty(t, names)

	l, err := Open(t.Context(), "log", Options{FS: disk})
	require.NoError(t, err)
	_, err = OpenReader(t.Context(), "log", Options{FS: disk, LockWait: -1})
	require.ErrorIs(t, err, ErrInUse)
	require.NoError(t, l.Close())
	damaged(t, disk, func(db *pebble.DB) error {
		return db.Set(formatMetaKey(), binary.AppendUvarint(nil, formatVersion+1), pebble.Sync)
	})
	_, err = OpenReader(t.Context(), "log", Options{FS: disk})
	require.ErrorContains(t, err, "use a newer release")
}
